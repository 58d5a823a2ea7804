// Package unwatched runs tests in a process that looks for no races, for tests in which
// there are none to be found and which take many times as long under the detector.
package unwatched

import (
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Tests are tests of one package. It is safe for concurrent use.
type Tests struct{ run func() (string, error) }

// These returns the tests of the calling package that have these names, none of which is
// part of another's.
func These(names ...string) *Tests {
	return &Tests{sync.OnceValues(func() (string, error) {
		args := []string{"test", "-race=false", "-count=1", "-v", "-run=^(" + strings.Join(names, "|") + ")$", "."}
		if testing.Short() {
			args = append(args, "-short")
		}
		out, err := exec.Command("go", args...).CombinedOutput() //nolint:gosec // the names stand in the tests
		return string(out), err
	})}
}

// Done reports whether the test that calls it is done, because it passed or failed in a
// process that looks for no races, in which all of them run, once. False means that this
// is such a process.
func (u *Tests) Done(t *testing.T) bool {
	t.Helper()
	if !watched {
		return false
	}
	out, err := u.run()
	passed := regexp.MustCompile(`(?m)^--- PASS: ` + t.Name() + ` \(.*\)$`).FindString(out)
	if passed == "" {
		t.Fatalf("without the race detector: %v\n%s", err, out)
	}
	t.Logf("without the race detector: %s", passed)
	return true
}
