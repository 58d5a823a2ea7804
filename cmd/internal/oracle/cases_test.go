package oracle

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var caseRow = regexp.MustCompile("(?m)^\\| (\\d\\d) [^|]*\\| `([^`]+)` `([^`]+)` \\|$")

// TestCasesAreTests: each of the twenty cases in docs/reliability.md names tests that
// there are.
func TestCasesAreTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/reliability.md")
	check(t, err)
	seen := map[string]bool{}
	for _, row := range caseRow.FindAllStringSubmatch(string(page), -1) {
		seen[row[1]] = true
		text, err := os.ReadFile(filepath.Join("../../..", row[2]))
		if err != nil || !strings.Contains(string(text), "\nfunc "+row[3]+"(t ") {
			t.Errorf("case %s: there is no %s in %s, %v", row[1], row[3], row[2], err)
		}
	}
	if len(seen) != 20 {
		t.Errorf("docs/reliability.md has %d of 20 cases", len(seen))
	}
}
