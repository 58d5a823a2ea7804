package timescale

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"

	"github.com/jackc/pgx/v5"
)

func TestQueueReadsItsHours(t *testing.T) {
	t.Parallel()
	queueReadsItsHours(t, &postgres)
}

// revisedAll makes every click sivt by a revision.
const revisedAll = `
INSERT INTO verdict_revisions (tenant_id, event_id, id_time, revision, source_id, hour, at, from_state, state, reasons, score,
  vector_version, lists_hash, policy_hash, model_hash, model_slot, cause, decision, who, why)
SELECT tenant_id, event_id, id_time, 1, source_id, date_trunc('hour', event_time, 'UTC'), event_time, state, 5, 1, 0, 0, 0, 0, 0, 0, 1, 0, 'closer', ''
FROM clicks`

// queueReadsItsHours: the review queue of an hour reads the revisions and the days of
// that hour, however many there are of other times.
func queueReadsItsHours(t *testing.T, s *server) {
	store := s.open(t)
	var rows []aggregate.ClickRow
	for i := range 2400 { // ten days, ten clicks an hour
		row := clickAt(byte(i), storetest.Base.Add(-time.Duration(i)*6*time.Minute))
		row.EventID[14], row.EventID[15] = byte(i>>8), byte(i)
		rows = append(rows, row)
	}
	applyAll(t, store, 0, rows...)
	for _, statement := range []string{revisedAll, "ANALYZE clicks", "ANALYZE verdict_revisions"} {
		if _, err := store.Pool().Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	at := storetest.Base.Add(-5*oneDay - 12*time.Hour).Truncate(time.Hour) // in the middle of all, and of a day
	from, to := span(at.UnixMicro(), at.Add(time.Hour).UnixMicro())
	for _, tenant := range []string{"acme", ""} {
		plan := readPlan(t, store, flaggedSQL, tenant, "", from, to)
		days, revisions := map[string]bool{}, ""
		for line := range strings.Lines(plan) {
			if m := leaf.FindStringSubmatch(line); m != nil && strings.Contains(line, "Scan") && !strings.Contains(line, "never executed") {
				days[m[1]] = true
			}
			if strings.Contains(line, "on verdict_revisions f ") {
				revisions = line
			}
		}
		if len(days) != 1 {
			t.Errorf("the queue of an hour of tenant %q reads %d days, want 1: %v", tenant, len(days), days)
		}
		if !regexp.MustCompile(`Scan .*actual rows=(10|[1-9]|1[0-9])(\.00)? `).MatchString(revisions) || strings.Contains(revisions, "Seq Scan") {
			t.Errorf("the queue of an hour of tenant %q reads revisions so: %q; want the ten of its hour, by an index", tenant, revisions)
		}
		if t.Failed() {
			t.Logf("the plan:\n%s", plan)
		}
	}
}

// readPlan returns the plan of a report's statement, carried out.
func readPlan(t *testing.T, s *Store, sql string, args ...any) string {
	t.Helper()
	var plan strings.Builder
	err := s.snapshot(t.Context(), "plan", func(tx pgx.Tx) error {
		rows, err := tx.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+sql, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var line string
			err := r.Scan(&line)
			plan.WriteString(line + "\n")
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
