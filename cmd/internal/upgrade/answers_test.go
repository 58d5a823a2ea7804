package upgrade_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/command"
)

// office is where commands are given: flags that lead to a store, and a time, the
// present one when it is zero.
type office struct {
	flags []string
	now   time.Time
}

// run gives a command and returns what it said and its exit status.
func (o *office) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	now := time.Now
	if !o.now.IsZero() {
		now = func() time.Time { return o.now }
	}
	status = command.Run(context.WithoutCancel(t.Context()), append(args, o.flags...), command.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Now: now,
		Entropy: rand.Reader, User: "ada", Version: "v0.0.0",
	})
	return out.String(), errs.String(), status
}

// must gives a command that has to succeed.
func (o *office) must(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, status := o.run(t, "", args...)
	if status != command.ExitOK {
		t.Fatalf("%v: status %d\n%s%s", args, status, stdout, stderr)
	}
	return stdout
}

// ask returns what the program says of a store, by name of a file to keep it in.
func (o *office) ask(t *testing.T, s *story, under string) (map[string]answer, map[string]string) {
	t.Helper()
	exact := func(args ...string) answer { return answer{Args: args, Exact: true} }
	more := func(args ...string) answer { return answer{Args: args} }
	answers := map[string]answer{
		"statement.json":   exact("report", "statement", "--month", month, "--format", "json"),
		"statement.csv":    exact("report", "statement", "--month", month, "--format", "csv"),
		"statement.txt":    exact("report", "statement", "--month", month),
		"adjustments.json": more("report", "statement", "--month", month, "--adjustments", "--format", "json"),
		"invoices.json":    more("invoice", "list", "--format", "json"),
		"billing.json":     more("report", "billing", "--format", "json"),
		"invalid.json":     more("report", "invalid", "--format", "json"),
		"hours.json":       more("hours", "list", "--to", "2026-11-01", "--format", "json"),
		"review.json":      more("review", "list", "--limit", "1000", "--format", "json"),
		"letters.json":     more("dlq", "list", "--each", "--tenant", "acme", "--format", "json"),
		"incidents.json":   more("alerts", "list", "--format", "json"),
		"users.txt":        exact("user", "list"),
		"unmasked.json":    more("trace", s.one[0].String(), "--json", "--unmask", "--reason", "upgrade"),
	}
	for i, id := range s.one {
		answers[fmt.Sprintf("trace-%d.json", i)] = more("trace", id.String(), "--json")
	}
	kept, said := map[string]answer{}, map[string]string{}
	for name, a := range answers {
		text := o.must(t, a.Args...)
		if !a.Exact {
			text = withoutVectors(t, text)
		}
		kept[path.Join(under, name)], said[path.Join(under, name)] = a, text
	}
	return kept, said
}

// withoutVectors takes the vectors out of an answer: where a slot stands in one is a
// matter of its version, what was decided by it is not.
func withoutVectors(t *testing.T, text string) string {
	t.Helper()
	var v any
	must(t, json.Unmarshal([]byte(text), &v))
	dropVectors(v)
	b, err := json.MarshalIndent(v, "", " ")
	must(t, err)
	return string(b) + "\n"
}

func dropVectors(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			dropVectors(e)
		}
	case map[string]any:
		delete(v, "vector")
		for _, e := range v {
			dropVectors(e)
		}
	}
}

// compare gives the commands again and returns where the program says something else.
func (o *office) compare(t *testing.T, g *generation, b *books) (problems []string) {
	t.Helper()
	for name, a := range b.Answers {
		want := string(g.read(t, name))
		got, stderr, status := o.run(t, "", a.Args...)
		switch {
		case status != command.ExitOK:
			problems = append(problems, fmt.Sprintf("%v: status %d: %s", a.Args, status, stderr))
		case a.Exact && got != want:
			problems = append(problems, fmt.Sprintf("%v says\n%s\nit said\n%s", a.Args, got, want))
		case !a.Exact:
			for _, p := range uncovered([]byte(want), []byte(got)) {
				problems = append(problems, fmt.Sprintf("%v: %s", a.Args, p))
			}
		}
	}
	if stdout, stderr, status := o.run(t, "", "report", "reconcile"); status != command.ExitOK || !strings.HasSuffix(stdout, "\nbalanced\n") {
		problems = append(problems, fmt.Sprintf("reconcile: status %d\n%s%s", status, stdout, stderr))
	}
	return problems
}

// uncovered says where want is not part of got, both JSON: objects may have got more
// keys, everything else is equal.
func uncovered(want, got []byte) []string {
	var w, g any
	if err := json.Unmarshal(want, &w); err != nil {
		return []string{"the old answer: " + err.Error()}
	}
	if err := json.Unmarshal(got, &g); err != nil {
		return []string{"the new answer: " + err.Error()}
	}
	return uncoveredAt("$", w, g)
}

func uncoveredAt(at string, want, got any) (problems []string) {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for key, v := range w {
			value, there := g[key]
			if !there {
				problems = append(problems, at+"."+key+" is gone")
				continue
			}
			problems = append(problems, uncoveredAt(at+"."+key, v, value)...)
		}
		return problems
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			problems = append(problems, uncoveredAt(fmt.Sprintf("%s[%d]", at, i), w[i], g[i])...)
		}
		return problems
	default:
		if reflect.DeepEqual(want, got) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s is %v, it was %v", at, got, want)}
}

func TestUncovered(t *testing.T) {
	t.Parallel()
	const want = `{"a":[{"b":1,"c":"x"}],"d":null}`
	for name, c := range map[string]struct {
		got  string
		want int
	}{
		"equal":           {want, 0},
		"more keys":       {`{"a":[{"b":1,"c":"x","n":5}],"d":null,"e":[]}`, 0},
		"another value":   {`{"a":[{"b":2,"c":"x"}],"d":null}`, 1},
		"another kind":    {`{"a":{"b":1},"d":null}`, 1},
		"a key is gone":   {`{"a":[{"b":1}],"d":null}`, 1},
		"a row is gone":   {`{"a":[],"d":null}`, 1},
		"one row more":    {`{"a":[{"b":1,"c":"x"},{}],"d":null}`, 1},
		"null is a value": {`{"a":[{"b":1,"c":"x"}],"d":0}`, 1},
		"no JSON":         {`{`, 1},
	} {
		if got := uncovered([]byte(want), []byte(c.got)); len(got) != c.want {
			t.Errorf("%s: %q, want %d problems", name, got, c.want)
		}
	}
}
