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

func TestPlansLeaveDaysOut(t *testing.T) {
	t.Parallel()
	plansLeaveDaysOut(t, &postgres)
}

// plansLeaveDaysOut: with clicks of ten days, the statements of a batch of one day
// touch only the days their bounds allow.
func plansLeaveDaysOut(t *testing.T, s *server) {
	store := s.open(t)
	var rows []aggregate.ClickRow
	for i := range 10 {
		rows = append(rows, clickAt(byte(i), storetest.Base.Add(-time.Duration(i)*oneDay)))
	}
	applyAll(t, store, 0, rows...)
	if n := len(rowsIn(t, store)); n != 10 {
		t.Fatalf("clicks stand in %d days, want 10", n)
	}
	for _, st := range dayStatements(storetest.Base.Add(-4 * oneDay)) {
		days := daysIn(t, store, st.sql, st.args...)
		if len(days) < 1 || len(days) > st.most {
			t.Errorf("%s touches %d days, want 1 to %d: %v", st.name, len(days), st.most, days)
		}
	}
}

type dayStatement struct {
	name, sql string
	args      []any
	most      int // days, the default partition not counted
}

// dayStatements are the statements of a batch with one click at time at, an hour
// and two minutes from which no other day begins.
func dayStatements(at time.Time) []dayStatement {
	at = at.Add(-12 * time.Hour)
	key, us := clickAt(1, at), micros(at.UnixMicro())
	probes := []aggregate.Probe{{TenantID: "acme", RepeatKey: 1, ClickID: key.EventID, EventTime: int64(us)}}
	tenants, events, times := []string{"acme"}, [][16]byte{key.EventID}, []micros{us}
	return []dayStatement{
		{"the search for a click_id", sameClickSQL, findArgs([]int{0}, probes, events, clickSpan), 3},
		{"the search for a double click", doubleClickSQL, findArgs([]int{0}, probes, []int64{1}, repeatSpan), 1},
		{"the search for stored keys", storedKeysSQL, []any{tenants, events, times, us, us}, 1},
		{"the search for stored ingest ids", storedIngestSQL, []any{tenants, events, times, us, us}, 1},
		{"the marking of duplicates", markDuplicatesSQL, []any{tenants, events, times, []int64{1}, us, us}, 1},
	}
}

// leaf is a partition or chunk in a plan's scan.
var leaf = regexp.MustCompile(` on (clicks_d\d{8}|_hyper_\d+_\d+_chunk)`)

// daysIn returns which days the plan of a statement scans.
func daysIn(t *testing.T, s *Store, sql string, args ...any) map[string]bool {
	t.Helper()
	days := make(map[string]bool)
	var plan strings.Builder
	err := s.InTx(t.Context(), func(a aggregate.Tx) error {
		return a.(*tx).query(t.Context(), "plan", "EXPLAIN (COSTS OFF) "+sql, func(r pgx.Rows) error {
			var line string
			err := r.Scan(&line)
			plan.WriteString(line + "\n")
			if m := leaf.FindStringSubmatch(line); m != nil && strings.Contains(line, "Scan") {
				days[m[1]] = true
			}
			return err
		}, args...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(days) == 0 {
		t.Logf("plan without a day:\n%s", plan.String())
	}
	return days
}

func TestOneUniqueConstraint(t *testing.T) {
	t.Parallel()
	oneUniqueConstraint(t, &postgres)
}

// oneUniqueConstraint: a hypertable with two of them lets rows through ON
// CONFLICT, and a NULL in a unique key lets duplicates in.
func oneUniqueConstraint(t *testing.T, s *server) {
	store := s.open(t)
	for _, table := range splitTables {
		var unique, nullable int
		err := store.Pool().QueryRow(t.Context(), `
SELECT count(DISTINCT i.indexrelid), count(*) FILTER (WHERE NOT a.attnotnull)
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indisunique AND i.indrelid = to_regclass($1)`, table).Scan(&unique, &nullable)
		if err != nil || unique != 1 || nullable != 0 {
			t.Errorf("%s: %d unique constraints with %d nullable columns (%v), want 1 and 0", table, unique, nullable, err)
		}
	}
}

// hypertables: the tables are split by day the way the server allows.
func hypertables(t *testing.T) {
	store := tsdb.open(t)
	var n int
	err := store.Pool().QueryRow(t.Context(), `
SELECT count(*) FROM timescaledb_information.dimensions
WHERE hypertable_schema = current_schema() AND time_interval = interval '1 day'`).Scan(&n)
	if err != nil || n != len(splitTables) {
		t.Errorf("%d hypertables with chunks of a day (%v), want %d", n, err, len(splitTables))
	}
}
