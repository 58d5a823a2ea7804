package timescale

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"

	"github.com/jackc/pgx/v5"
)

func TestUnitPagesFollowIndex(t *testing.T) {
	t.Parallel()
	unitPagesFollowIndex(t, &postgres)
}

// unitPagesFollowIndex: a page reads as many clicks as it returns, from one index,
// in the one day of its hour and the one beside it, and sorts nothing.
func unitPagesFollowIndex(t *testing.T, s *server) {
	store := s.open(t)
	var rows []aggregate.ClickRow
	for i := range 3000 { // of 50 minutes, in no order, and ten days
		at := storetest.Base.Add(-time.Duration(i*7919%3000) * time.Second)
		row := clickAt(byte(i), at)
		row.EventID[14], row.EventID[15] = byte(i>>8), byte(i)
		rows = append(rows, row)
	}
	for i := range 10 {
		rows = append(rows, clickAt(byte(i), storetest.Base.Add(-time.Duration(i)*oneDay-time.Hour)))
	}
	applyAll(t, store, 0, rows...)
	touch(t, store, shop)
	late := clickAt(200, storetest.Base.Add(time.Second))
	err := store.InTx(t.Context(), func(tx aggregate.Tx) error {
		if _, err := tx.InsertClicks(t.Context(), []aggregate.ClickRow{late}); err != nil {
			return err
		}
		return tx.InsertLate(t.Context(), []aggregate.EventKey{aggregate.KeyOf(late.Click)}, []aggregate.Unit{shop})
	})
	if err != nil {
		t.Fatal(err)
	}
	args := pageArgs(shop, aggregate.ClickPosition{EventTime: storetest.Base.Add(-20 * time.Minute).UnixMicro()}, 10)
	wantPlan(t, closingPlan(t, store, unitClicksSQL, args...), `event_time_event_id_idx|clicks_unit`, 10)
	wantPlan(t, closingPlan(t, store, lateClicksSQL, append(args, micros(shop.Hour))...), `_pkey`, 1)
}

// scan is a line of a plan that reads clicks.
var scan = regexp.MustCompile(`(\w+) Scan.* on (?:clicks_\w+|_hyper_\d+_\d+_chunk).*actual rows=(\d+)`)

// wantPlan demands that clicks are read by an index, which pattern describes, that
// the scans return rows clicks together, and that nothing is sorted.
func wantPlan(t *testing.T, plan, pattern string, rows int) {
	t.Helper()
	index, days, read := regexp.MustCompile(pattern), 0, 0
	for line := range strings.Lines(plan) {
		if strings.Contains(line, "Sort (") {
			t.Errorf("something is sorted: %s", line)
		}
		m := scan.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[2])
		days, read = days+1, read+n
		if n > 0 && (m[1] != "Index" || !index.MatchString(line)) {
			t.Errorf("clicks are not read by the index: %s", line)
		}
	}
	if read != rows || days < 1 || days > 2 {
		t.Errorf("a page reads %d clicks of %d days, want %d of at most 2", read, days, rows)
	}
	if t.Failed() {
		t.Logf("the plan:\n%s", plan)
	}
}

// closingPlan returns the plan of a statement as InClosing runs it, carried out.
func closingPlan(t *testing.T, s *Store, sql string, args ...any) string {
	t.Helper()
	var plan strings.Builder
	fence := lease(t, s, shop, "a")
	err := s.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.(*closingTx).query(t.Context(), "plan", "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+sql, func(r pgx.Rows) error {
			var line string
			err := r.Scan(&line)
			plan.WriteString(line + "\n")
			return err
		}, args...)
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan.String()
}
