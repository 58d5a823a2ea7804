package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
	"clickgate/gateway/click"
)

var shop = aggregate.Unit{TenantID: "acme", SourceID: "shop", Hour: storetest.Base.Truncate(time.Hour).UnixMicro()}

// TestUnitPagesFollowIndex: a page goes on from its place in one index, and nothing
// is sorted.
func TestUnitPagesFollowIndex(t *testing.T) {
	t.Parallel()
	s := openCopy(t)
	for query, want := range map[string]string{
		unitClicksSQL: "SEARCH c USING INDEX clicks_unit (tenant_id=? AND source_id=? AND (event_time,event_id)>(?,?) AND event_time<?)",
		lateClicksSQL: "SEARCH l USING COVERING INDEX late_clicks_open (tenant_id=? AND source_id=? AND hour=? AND (event_time,event_id)>(?,?) AND event_time<?)",
	} {
		var plan strings.Builder
		err := s.read(t.Context(), "plan", "EXPLAIN QUERY PLAN "+query, func(r *sql.Rows) error {
			var a, b, c int
			var line string
			err := r.Scan(&a, &b, &c, &line)
			plan.WriteString(line + "\n")
			return err
		}, "acme", "shop", 0, []byte{}, 1, 10, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.String(); !strings.Contains(got, want) || strings.Contains(got, "SCAN") || strings.Contains(got, "TEMP B-TREE") {
			t.Errorf("the plan is\n%swant one with\n%s", got, want)
		}
	}
}

// TestCloserBesideWriter: one process closes units of the file that another fills.
func TestCloserBesideWriter(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clicks.db")
	writer, closer := open(t, path), open(t, path)
	const batches = 60
	begun := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := range batches {
			if err := ingestOne(t.Context(), writer, n); err != nil {
				t.Errorf("batch %d: %v", n, err)
			}
			if n == 5 {
				close(begun)
			}
		}
	})
	<-begun
	fence, err := closer.Lease(t.Context(), shop, "a", hourMicros)
	if err != nil {
		t.Fatal(err)
	}
	if err := closer.Seal(t.Context(), shop, fence); err != nil {
		t.Fatal(err)
	}
	counts := func() (sealed, late int) {
		t.Helper()
		err := closer.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
			a, err := tx.UnitClicks(t.Context(), shop, false, aggregate.ClickPosition{}, batches)
			if err != nil {
				return err
			}
			b, err := tx.UnitClicks(t.Context(), shop, true, aggregate.ClickPosition{}, batches)
			sealed, late = len(a), len(b)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return sealed, late
	}
	first, _ := counts()
	wg.Wait()
	if sealed, late := counts(); first == 0 || sealed != first || sealed+late != batches {
		t.Errorf("%d clicks in the sealed set, later %d, and %d late ones; want %d in all", first, sealed, late, batches)
	}
}

// ingestOne stores one click of the unit shop.
func ingestOne(ctx context.Context, s *Store, n int) error {
	row := aggregate.ClickRow{RepeatKey: 1, Click: &click.Click{
		TenantID: shop.TenantID, SourceID: shop.SourceID, EventID: click.ID{0: 1, 15: byte(n)}, EventTime: shop.Hour + int64(n),
	}}
	return s.InTx(ctx, func(tx aggregate.Tx) error {
		sealed, err := tx.TouchUnits(ctx, []aggregate.Unit{shop})
		if err != nil {
			return err
		}
		if _, err := tx.InsertClicks(ctx, []aggregate.ClickRow{row}); err != nil || !sealed[0] {
			return err
		}
		return tx.InsertLate(ctx, []aggregate.EventKey{aggregate.KeyOf(row.Click)}, []aggregate.Unit{shop})
	})
}

// TestUnitClock: leases and times of units follow the store's clock; when clicks
// last came is kept to the minute.
func TestUnitClock(t *testing.T) {
	t.Parallel()
	now := storetest.Base
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n, c := range []struct{ at, last time.Duration }{
		{0, 0}, {59 * time.Second, 0}, {60 * time.Second, 0}, {61 * time.Second, 61 * time.Second}, {62 * time.Second, 61 * time.Second},
		{time.Hour, time.Hour},
	} {
		now = storetest.Base.Add(c.at)
		if err := ingestOne(t.Context(), s, n); err != nil {
			t.Fatal(err)
		}
		want := aggregate.UnitInfo{Unit: shop, FirstSeen: storetest.Base.UnixMicro(), LastReceived: storetest.Base.Add(c.last).UnixMicro()}
		if got, err := s.OpenUnits(t.Context()); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("after %v units are %+v (%v), want %+v", c.at, got, err, want)
		}
	}
	lease := func(owner string) error {
		_, err := s.Lease(t.Context(), shop, owner, 1000)
		return err
	}
	if err := lease("a"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(999 * time.Microsecond)
	if lease("b") == nil {
		t.Error("a lease was given away a microsecond before its end")
	}
	now = now.Add(time.Microsecond)
	if err := lease("b"); err != nil {
		t.Error(fmt.Errorf("at the end of a lease: %w", err))
	}
}
