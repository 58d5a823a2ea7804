package timescale

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// clickAt is a minimal click whose id is made of its time and n.
func clickAt(n byte, at time.Time) aggregate.ClickRow {
	us := at.UnixMicro()
	return aggregate.ClickRow{RepeatKey: int64(n) + 1, Click: &click.Click{
		TenantID: "acme", SourceID: "shop", EventID: click.ID{15: n + 1}, IDTime: us, EventTime: us, ReceivedAt: us,
		Verdict: click.Verdict{State: click.Valid}, Ingest: click.IngestID{Gateway: "g", Boot: 1, Seq: uint64(n) + 1},
	}}
}

// applyAll applies one batch of rows to a fresh claim of partition number p.
func applyAll(t testing.TB, s *Store, p int32, rows ...aggregate.ClickRow) {
	t.Helper()
	part := aggregate.Partition{ClusterID: "c", Topic: "t", Number: p}
	c, err := s.Claim(t.Context(), part, "test")
	if err != nil {
		t.Fatal(err)
	}
	b := &aggregate.Batch{Partition: part, Fence: c.Fence, First: c.Next, Next: c.Next + int64(len(rows)), Clicks: rows}
	if _, err := aggregate.Apply(t.Context(), s, b); err != nil {
		t.Fatal(err)
	}
}

// rowsIn returns the number of clicks in each partition or chunk that has any.
func rowsIn(t testing.TB, s *Store) map[string]int {
	t.Helper()
	rows, err := s.Pool().Query(t.Context(), "SELECT tableoid::regclass::text, count(*) FROM clicks GROUP BY 1")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]int)
	if err := each(rows, func(r pgx.Rows) error {
		var name string
		var n int
		err := r.Scan(&name, &n)
		got[name] = n
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

const oneDay = 24 * time.Hour

// TestDaysOnDemand: every day within reach gets a partition, others stay in the
// default one, and nothing is lost either way.
func TestDaysOnDemand(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	var rows []aggregate.ClickRow
	want := map[string]int{"clicks_default": 3}
	for i, days := range []int{-9_000, -91, -90, -3, -3, 0, 1, 2, 3} {
		at := storetest.Base.Add(time.Duration(days) * oneDay)
		rows = append(rows, clickAt(byte(i), at))
		if days >= -daysBack && days <= daysAhead {
			want["clicks_d"+at.Format("20060102")]++
		}
	}
	applyAll(t, s, 0, rows...)
	if got := rowsIn(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows stand in %v, want %v", got, want)
	}
	other := &Store{pool: s.pool, cfg: s.cfg} // another process: it finds the partitions
	applyAll(t, other, 1, clickAt(100, storetest.Base.Add(-3*oneDay)))
}

// TestDayWithRowsInDefault: a day whose rows stand in the default partition stays
// there.
func TestDayWithRowsInDefault(t *testing.T) {
	t.Parallel()
	now := storetest.Base
	s := postgres.openWith(t, Config{MaxConns: 4, Now: func() time.Time { return now }})
	ahead := now.Add(10 * oneDay)
	applyAll(t, s, 0, clickAt(1, ahead))
	now = ahead
	applyAll(t, s, 0, clickAt(2, ahead), clickAt(3, ahead.Add(oneDay)))
	want := map[string]int{"clicks_default": 2, "clicks_d" + ahead.Add(oneDay).Format("20060102"): 1}
	if got := rowsIn(t, s); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("rows stand in %v, want %v", got, want)
	}
}

// TestDaysAtOnce: several processes meet the same new days while a report reads.
func TestDaysAtOnce(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	report := make(chan struct{})
	var wg, reading sync.WaitGroup
	reading.Add(1)
	wg.Go(func() { // a long report of days that exist holds nobody up
		err := s.snapshot(context.Background(), "report", func(tx pgx.Tx) error {
			_, err := tx.Exec(context.Background(), "SELECT count(*) FROM clicks_d"+storetest.Base.Format("20060102"))
			reading.Done()
			<-report
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	reading.Wait()
	var ingest sync.WaitGroup
	for w := range 3 {
		ingest.Go(func() {
			other := &Store{pool: s.pool, cfg: s.cfg}
			var rows []aggregate.ClickRow
			for d := range 5 {
				rows = append(rows, clickAt(byte(10*w+d), storetest.Base.Add(-time.Duration(d+5)*oneDay)))
			}
			applyAll(t, other, int32(w), rows...)
		})
	}
	ingest.Wait()
	close(report)
	wg.Wait()
	got := rowsIn(t, s)
	if len(got) != 5 || got["clicks_default"] != 0 {
		t.Errorf("rows stand in %v, want 5 partitions", got)
	}
}

// TestDaysBesideReads: a transaction that has read, and meets a new day while another
// of this process makes a partition, gives way at once. The maker's lock waits for the
// reader, so a reader that waited for the maker would end both by a timeout.
func TestDaysBesideReads(t *testing.T) {
	t.Parallel()
	s := postgres.openWith(t, Config{MaxConns: 4, Now: func() time.Time { return storetest.Base }})
	applyAll(t, s, 0, clickAt(1, storetest.Base))
	waits := func() bool {
		var n int
		err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE NOT l.granted AND l.mode = 'AccessExclusiveLock' AND c.relname = 'clicks_default' AND c.relnamespace = current_schema()::regnamespace`).Scan(&n)
		if err != nil {
			t.Error(err)
		}
		return n > 0
	}
	made := make(chan error, 1)
	tries := 0
	err := s.InTx(t.Context(), func(a aggregate.Tx) error {
		if tries++; tries == 1 {
			if _, err := a.(*tx).tx.Exec(t.Context(), "SELECT count(*) FROM clicks"); err != nil {
				return err
			}
			go func() {
				made <- s.days.make(t.Context(), s, []int64{storetest.Base.Add(-7*oneDay).UnixMicro() / dayMicros})
			}()
			for n := 0; !waits() && n < 10_000; n++ {
				time.Sleep(time.Millisecond)
			}
		}
		_, err := a.InsertClicks(t.Context(), []aggregate.ClickRow{clickAt(2, storetest.Base.Add(-8*oneDay))})
		return err
	})
	if err := errors.Join(err, <-made); err != nil {
		t.Error(err)
	}
	want := map[string]int{"clicks_d" + storetest.Base.Format("20060102"): 1, "clicks_d" + storetest.Base.Add(-8*oneDay).Format("20060102"): 1}
	if got := rowsIn(t, s); fmt.Sprint(got) != fmt.Sprint(want) || tries != 2 {
		t.Errorf("after %d tries rows stand in %v, want %v", tries, got, want)
	}
}

// TestNotMigrated: a store without tables says what to do.
func TestNotMigrated(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	if _, err := s.Pool().Exec(t.Context(), "DROP TABLE clicks"); err != nil {
		t.Fatal(err)
	}
	fresh := &Store{pool: s.pool, cfg: s.cfg}
	_, err := fresh.Claim(t.Context(), aggregate.Partition{}, "x")
	if err == nil || !slices.Contains([]string{"the store has no tables: run clickgate migrate"}, err.Error()) {
		t.Errorf("error %v", err)
	}
}
