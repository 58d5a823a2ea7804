package timescale

import (
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

// TestAuditIsAppendOnly: not even a mistake in the program changes an entry.
func TestAuditIsAppendOnly(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	if err := s.WriteAudit(t.Context(), &aggregate.AuditEntry{At: 1, Who: "anna", Action: "login"}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE audit SET who = 'bob'", "DELETE FROM audit"} {
		if _, err := s.Pool().Exec(t.Context(), statement); err == nil || !strings.Contains(err.Error(), "audit is append only") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if entries, err := s.ReadAudit(t.Context(), &aggregate.AuditQuery{}); err != nil || len(entries) != 1 || entries[0].Who != "anna" {
		t.Errorf("%+v, %v", entries, err)
	}
}

// TestRecentLeavesDaysOut: counts of an hour are read from its days alone.
func TestRecentLeavesDaysOut(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	var rows []aggregate.ClickRow
	for i := range 10 {
		rows = append(rows, clickAt(byte(i), storetest.Base.Add(-time.Duration(i)*oneDay)))
	}
	applyAll(t, s, 0, rows...)
	from := storetest.Base.Add(-4*oneDay - 12*time.Hour).UnixMicro()
	plan, err := s.Pool().Query(t.Context(), "EXPLAIN (COSTS OFF) "+recentSQL, micros(from), micros(from+hourMicros), "", 60.0)
	if err != nil {
		t.Fatal(err)
	}
	defer plan.Close()
	days := map[string]bool{}
	for plan.Next() {
		var line string
		if err := plan.Scan(&line); err != nil {
			t.Fatal(err)
		}
		if _, name, ok := strings.Cut(line, " on click_minutes_d"); ok {
			days[name[:8]] = true
		}
	}
	if len(days) != 1 {
		t.Errorf("the plan reads the days %v, want one", days)
	}
}
