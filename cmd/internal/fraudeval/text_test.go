package fraudeval

import (
	"strings"
	"testing"
)

func TestGoalsAreTold(t *testing.T) {
	t.Parallel()
	met, missed := Goal{What: "recall of a", Bound: 0.9, Goal: 0.8, Met: true}, Goal{What: "recall of b", Bound: 0.7, Goal: 0.8}
	for want, goals := range map[string][]Goal{
		"\ngoals: 2 of 2 met\n": {met, met},
		"\ngoals: 1 of 2 met; not met:\n  recall of b: bound 0.7, goal 0.8\n": {met, missed},
	} {
		var b strings.Builder
		(&Report{Goals: goals}).writeGoals(&b)
		if b.String() != want {
			t.Errorf("%q, want %q", b.String(), want)
		}
	}
}
