package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A module of which every test ends in its own way.
var module = map[string]string{
	"go.mod":       "module example\n\ngo 1.26.0\n",
	"good/good.go": "package good\n",
	"none/none.go": "package none\n",
	"good/good_test.go": `package good
import "testing"
func TestPass(t *testing.T) { t.Log("silent"); t.Run("sub", func(t *testing.T) {}) }
func TestSkip(t *testing.T) { t.Log("first"); t.Skip("needs a server") }
func TestSkipToo(t *testing.T) { t.Skip("needs a server") }
func TestSkipLong(t *testing.T) { t.Skip("needs two\nlines") }
func TestSkipBare(t *testing.T) { t.SkipNow() }
`,
	"bad/bad_test.go": `package bad
import "testing"
func TestFail(t *testing.T) {
	t.Run("hidden", func(t *testing.T) { t.Log("not shown") })
	t.Run("seen", func(t *testing.T) { t.Error("it broke") })
}
func TestFine(t *testing.T) { t.Log("not shown") }
`,
	"panics/panics_test.go": `package panics
import "testing"
func TestPanic(t *testing.T) { panic("out of cheese") }
`,
	"broken/broken_test.go": `package broken
import "testing"
func TestBroken(t *testing.T) { undefinedName() }
`,
}

// summarise runs the real go test over packages of the module.
func summarise(t *testing.T, verbose bool, packages ...string) (out, closing string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range module {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, packages...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	events, goErr := cmd.Output()
	if len(events) == 0 {
		t.Fatalf("go test printed nothing: %v", goErr)
	}
	file := filepath.Join(dir, "closing")
	var b bytes.Buffer
	err = run(bytes.NewReader(events), &b, file, verbose)
	text, readErr := os.ReadFile(file)
	if readErr != nil {
		t.Fatal(readErr)
	}
	return b.String(), string(text), err
}

func TestRealRuns(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		packages      []string
		verbose       bool
		shows, hides  []string
		closing, fail string
	}{
		"passing": {
			packages: []string{"./good", "./none"},
			shows:    []string{"ok  \texample/good", "?   \texample/none\t[no test files]"},
			hides:    []string{"silent", "=== RUN", "PASS"},
			closing:  "skipped 2: needs a server\nskipped 1: needs two lines\nskipped 1: no reason given\n2 passed, 0 failed, 4 skipped\n",
		},
		"verbose": {
			packages: []string{"./good"}, verbose: true,
			shows:   []string{"silent", "--- PASS: TestPass/sub"},
			closing: "skipped 2: needs a server\nskipped 1: needs two lines\nskipped 1: no reason given\n2 passed, 0 failed, 4 skipped\n",
		},
		"failing": {
			packages: []string{"./bad"},
			shows:    []string{"bad_test.go:5: it broke", "--- FAIL: TestFail/seen", "FAIL\texample/bad"},
			hides:    []string{"not shown"},
			closing:  "2 passed, 2 failed, 0 skipped\n",
		},
		"panicking": {
			packages: []string{"./panics"},
			shows:    []string{"out of cheese", "FAIL\texample/panics"},
			closing:  "0 passed, 1 failed, 0 skipped\n",
		},
		"not building": {
			packages: []string{"./broken", "./good"},
			shows:    []string{"undefined: undefinedName", "example/broken [build failed]", "ok  \texample/good"},
			closing:  "skipped 2: needs a server\nskipped 1: needs two lines\nskipped 1: no reason given\n2 passed, 1 failed, 4 skipped\n",
		},
		"no test": {
			packages: []string{"./none"},
			shows:    []string{"[no test files]"},
			closing:  "0 passed, 0 failed, 0 skipped\n",
			fail:     "no test ran (0 were skipped)",
		},
		"only skips": {
			packages: []string{"-run=TestSkipBare", "./good"},
			closing:  "skipped 1: no reason given\n0 passed, 0 failed, 1 skipped\n",
			fail:     "no test ran (1 were skipped)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, closing, err := summarise(t, c.verbose, c.packages...)
			if got := fmt.Sprint(err); (c.fail == "") != (err == nil) || !strings.Contains(got, c.fail) {
				t.Errorf("error %v, want %q", err, c.fail)
			}
			if closing != c.closing {
				t.Errorf("closing lines\n%swant\n%s", closing, c.closing)
			}
			for _, want := range c.shows {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
			for _, bad := range c.hides {
				if strings.Contains(out, bad) {
					t.Errorf("%q is in\n%s", bad, out)
				}
			}
		})
	}
}

func TestCutOffRunFails(t *testing.T) {
	t.Parallel()
	in := `{"Action":"run","Package":"p","Test":"TestA"}
go: a word of its own
{"Action":"output","Package":"p","Test":"TestA","Output":"half\n"}
`
	var b bytes.Buffer
	if err := run(strings.NewReader(in), &b, "", false); err != nil {
		t.Fatal(err)
	}
	want := "go: a word of its own\nhalf\n0 passed, 1 failed, 0 skipped\n"
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

// FuzzRead holds that no input is too strange, and that every test is counted
// once.
func FuzzRead(f *testing.F) {
	f.Add(`{"Action":"skip","Package":"p","Test":"T"}` + "\n" + `{"Action":"pass","Package":"p"}`)
	f.Add(`{"Action":"output","Package":"p","Test":"T","Output":"    a.go:1: why\n"}`)
	f.Add("{\n\x00")
	f.Fuzz(func(t *testing.T, in string) {
		var b bytes.Buffer
		_ = run(strings.NewReader(in), &b, "", false)
		last := strings.LastIndex(strings.TrimSuffix(b.String(), "\n"), "\n")
		var passed, failed, skipped int
		if _, err := fmt.Sscanf(b.String()[last+1:], "%d passed, %d failed, %d skipped", &passed, &failed, &skipped); err != nil {
			t.Fatalf("last line of %q: %v", b.String(), err)
		}
		if n := strings.Count(in, "\n") + 1; passed+failed+skipped > 2*n {
			t.Errorf("%d tests of %d lines", passed+failed+skipped, n)
		}
	})
}
