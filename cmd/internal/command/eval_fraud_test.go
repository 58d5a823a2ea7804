package command

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"clickgate/cmd/internal/fraudeval"
)

func TestEvalFraud(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	small := []string{"eval", "fraud", "--set", "scoring.max_keys=16384", "--hours", "1", "--rate", "0.5"}
	with := func(args ...string) []string { return append(slices.Clone(small), args...) }

	// The table comes with status 0 whatever it says.
	stdout, _ := d.run(ExitOK, with("--seeds", "1", "--training", "2", "--families", "flood,drip")...)
	for _, want := range []string{"1 seeds (1) of 1 hours", "loud flood", "slow drip", "not met:", "relay users"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("lacks %q:\n%s", want, stdout)
		}
	}
	if strings.Contains(stdout, "replay") {
		t.Errorf("a family that was not asked for:\n%s", stdout)
	}
	// An hour never shows 10,000 relay users, so not every goal is met.
	d.run(ExitNegative, with("--seeds", "1", "--training", "none", "--families", "flood", "--require")...)

	stdout, _ = d.run(ExitOK, with("--seeds", "3,1-2", "--training", "none", "--families", "loud", "--json")...)
	var rep fraudeval.Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || len(rep.Seeds) != 3 || len(rep.Families) != 7 || len(rep.Worlds) != 3 || rep.Clicks < 1000 {
		t.Errorf("%v: %d seeds, %d families, %d clicks", err, len(rep.Seeds), len(rep.Families), rep.Clicks)
	}

	for _, c := range []struct {
		want string
		args []string
	}{
		{"no seed and no range", []string{"--seeds", "9-1"}},
		{"stands twice", []string{"--seeds", "1-3,2"}},
		{"that are not reported", []string{"--seeds", "1", "--training", "1"}},
		{"use seeds of 1 to 99", []string{"--seeds", "1", "--training", "1000"}},
		{"is unknown; use flood", []string{"--families", "floods"}},
		{"hours: 0 is out of range", []string{"--hours", "0"}},
		{"scoring.max_keys: 1 is out of range", []string{"--set", "scoring.max_keys=1"}},
		{"rate: -1 is out of range", []string{"--rate", "-1"}},
	} {
		d.must(ExitUsage, c.want, with(c.args...)...)
	}
}
