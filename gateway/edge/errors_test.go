package edge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// codeUses returns the value of every Code constant, and how often each is
// mentioned outside errors.go, from the package's source.
func codeUses(t *testing.T) (values map[string]string, uses map[string]int) {
	t.Helper()
	values, uses = map[string]string{}, map[string]int{}
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if strings.HasPrefix(name.Name, "Code") {
						values[name.Name], _ = strconv.Unquote(n.Values[i].(*ast.BasicLit).Value)
					}
				}
			case *ast.Ident:
				if f.Name() != "errors.go" {
					uses[n.Name]++
				}
			}
			return true
		})
	}
	return values, uses
}

func TestCodesAreDocumentedAndUsed(t *testing.T) {
	t.Parallel()
	values, uses := codeUses(t)
	if len(values) < 20 {
		t.Fatalf("only %d codes found in the source", len(values))
	}
	docs := Codes()
	if len(docs) != len(values) {
		t.Errorf("%d codes documented, %d exist", len(docs), len(values))
	}
	if !slices.IsSortedFunc(docs, func(a, b CodeDoc) int { return strings.Compare(a.Code, b.Code) }) {
		t.Error("the table is not sorted")
	}
	snake := regexp.MustCompile(`^[a-z]+(_[a-z0-9]+)*$`)
	for name, value := range values {
		i := slices.IndexFunc(docs, func(d CodeDoc) bool { return d.Code == value })
		if i < 0 || docs[i].Meaning == "" || docs[i].Remedy == "" {
			t.Errorf("%s is not documented", name)
		}
		if uses[name] == 0 {
			t.Errorf("%s is never returned", name)
		}
		if !snake.MatchString(value) {
			t.Errorf("%s = %q is not snake_case", name, value)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	e := fail(CodeMissing, "", "the id is empty")
	if got := e.Error(); got != "missing: the id is empty" {
		t.Error(got)
	}
	if got := e.In("campaign_id").Error(); got != "missing: campaign_id: the id is empty" {
		t.Error(got)
	}
	if e.Field != "" {
		t.Error("In changed its receiver")
	}
	if (*Error)(nil).In("x") != nil {
		t.Error("In made an error out of none")
	}
}

func TestFieldNamesCarryNoPersonalData(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"user_agent": "user_agent", "ext.v2": "ext.v2",
		"jo@mail.example": "", "203.0.113.9": "", "+4915112345": "", "Jo Doe": "", "": "",
		strings.Repeat("a", 41): "",
	} {
		if got := fieldName(key); got != want {
			t.Errorf("fieldName(%q) = %q, want %q", key, got, want)
		}
	}
}

func TestErrorOwnsItsMemory(t *testing.T) {
	t.Parallel()
	body := []byte(`{"campaign_id":1}`)
	var s Scratch
	err := ParseObject(body, &s, func(_ string, v Value) *Error {
		_, err := v.String()
		return err
	})
	for i := range body {
		body[i] = 'x'
	}
	if err == nil || err.Field != "campaign_id" {
		t.Errorf("%v: the field changed with the request buffer", err)
	}
}
