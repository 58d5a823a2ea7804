package scoring

import (
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// unwatched are tests of many thousand clicks by one goroutine, in which there is no race
// to be found and which take ten times as long under the detector. What several goroutines
// share is watched by the others, and so are smaller towns of the same rules.
var unwatched = []string{
	"TestDayFindsWhoComesBack", "TestDayIsRememberedOrRead", "TestDayKnowsHabits",
	"TestHourFindsAttacks", "TestHourLeavesCrowdsAlone", "TestHourLeavesRelaysAlone",
	"TestPublisherSurprise", "TestSurveyStaysBounded",
}

// runUnwatched runs them all, once, in a process that looks for no races.
var runUnwatched = sync.OnceValues(func() (string, error) {
	args := []string{"test", "-race=false", "-count=1", "-v", "-run=^(" + strings.Join(unwatched, "|") + ")$", "."}
	if testing.Short() {
		args = append(args, "-short")
	}
	out, err := exec.Command("go", args...).CombinedOutput()
	return string(out), err
})

// withoutRaces reports whether the test is done, because it passed or failed in a process
// that looks for no races; false means that this is such a process.
func withoutRaces(t *testing.T) bool {
	t.Helper()
	if !raceEnabled {
		return false
	}
	out, err := runUnwatched()
	passed := regexp.MustCompile(`(?m)^--- PASS: ` + t.Name() + ` \(.*\)$`).FindString(out)
	if passed == "" {
		t.Fatalf("without the race detector: %v\n%s", err, out)
	}
	t.Logf("without the race detector: %s", passed)
	return true
}
