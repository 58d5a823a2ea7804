package scoring

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// docs/scoring.md has a line for every slot, by its number, name and unit, and none more.
func TestSlotsAreDocumented(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/scoring.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i, s := range Slots {
		if line := fmt.Sprintf("\n| %d | `%s` | %s |", i, s.Name, s.Unit); strings.Count(text, line) != 1 {
			t.Errorf("the table lacks %q", line)
		}
	}
	if line := fmt.Sprintf("\n| %d | `", numSlots); strings.Contains(text, line) {
		t.Errorf("the table has %q, and there is no such slot", line)
	}
	for bit := headersKnown; bit <= headersOrder; bit <<= 1 {
		if !strings.Contains(text, fmt.Sprintf("\n| %d | ", bit)) {
			t.Errorf("bit %d of the headers is not described", bit)
		}
	}
}
