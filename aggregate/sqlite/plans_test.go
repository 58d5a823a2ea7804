package sqlite

import (
	"math"
	"path/filepath"
	"strings"
	"testing"

	"clickgate/gateway/click"
)

// TestReviewPlans: what the console asks for is found by indexes, however many
// clicks and revisions there are.
func TestReviewPlans(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "clicks.db"))
	ip, id := click.Key{1}, click.ID{1}
	for _, q := range []struct {
		name, sql string
		args      []any
		want      []string
	}{
		{"the queue", flaggedSQL, []any{"acme", "", 0, math.MaxInt64}, []string{"clicks_flagged (event_time", "verdict_revisions_flagged (hour", "sqlite_autoindex_clicks_1"}},
		{"an address", addressClicksSQL, []any{"acme", ip[:], 0, math.MaxInt64, 10}, []string{"clicks_address"}},
		{"its minutes", addressMinutesSQL, []any{"acme", ip[:], 0, math.MaxInt64}, []string{"clicks_address"}},
		{"its peers", peerCountsSQL, []any{"acme", "shop", 0}, []string{"clicks_unit"}},
		{"a click", clickOfSQL, []any{"acme", id[:]}, []string{"sqlite_autoindex_clicks_1"}},
	} {
		plan := queryPlan(t, s, q.sql, q.args...)
		for _, want := range q.want {
			if !strings.Contains(plan, want) {
				t.Errorf("%s is not found by %s:\n%s", q.name, want, plan)
			}
		}
		for line := range strings.Lines(plan) {
			if strings.HasPrefix(line, "SCAN ") && line != "SCAN flagged\n" {
				t.Errorf("%s reads a whole table: %s", q.name, line)
			}
		}
	}
}

// queryPlan returns the steps of a statement's plan, one a line.
func queryPlan(t *testing.T, s *Store, statement string, args ...any) string {
	t.Helper()
	rows, err := s.DB().QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
