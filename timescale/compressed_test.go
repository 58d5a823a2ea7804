package timescale

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
	"clickgate/gateway/click"
)

const compressSQL = `
ALTER TABLE clicks SET (timescaledb.compress, timescaledb.compress_segmentby = 'tenant_id',
  timescaledb.compress_orderby = 'id_time, event_id')`

// compress compresses the one chunk that there is.
func compress(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Pool().Exec(t.Context(), compressSQL); err != nil {
		t.Fatal(err)
	}
	var compressed int
	err := s.Pool().QueryRow(t.Context(), `
SELECT count(public.compress_chunk(c)) FROM public.show_chunks('clicks'::regclass) AS c`).Scan(&compressed)
	if err != nil || compressed != 1 {
		t.Fatalf("%d chunks compressed (%v), want 1", compressed, err)
	}
}

// lateIntoCompressedChunk: copies and new clicks, mixed, reach a day whose
// chunk is compressed already. Each copy is found and each new click is stored
// (timescale/timescaledb#7672: an insert once stopped at its first conflict).
func lateIntoCompressedChunk(t *testing.T) {
	s := tsdb.open(t)
	at := func(n byte, days int) aggregate.ClickRow {
		return clickAt(n, storetest.Base.Add(time.Duration(days)*oneDay-time.Duration(n)*time.Minute))
	}
	old := []aggregate.ClickRow{at(1, -5), at(2, -5), at(3, -5)}
	applyAll(t, s, 0, old...)
	compress(t, s)
	again := func(r aggregate.ClickRow) aggregate.ClickRow {
		c := *r.Click
		c.Ingest.Seq += 100
		r.Click = &c
		return r
	}
	applyAll(t, s, 1, again(old[1]), at(4, -5), again(old[2]), at(5, -4), at(6, 0))
	applyAll(t, s, 2, old...) // our own copies

	want := map[click.State]int64{click.Valid: 6, click.Redelivered: 2}
	totals, err := s.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range totals {
		if x.Rows != want[x.State] || x.Rows != x.Minutes {
			t.Errorf("%v: %d rows, %d in minute counts, want %d", x.State, x.Rows, x.Minutes, want[x.State])
		}
		delete(want, x.State)
	}
	if len(want) != 0 {
		t.Errorf("states without rows: %v", want)
	}
}

// unitOfCompressedChunk: a unit is read in order, and its late clicks are found, when
// its day is compressed; and late clicks come into it.
func unitOfCompressedChunk(t *testing.T) {
	s := tsdb.open(t)
	start := time.UnixMicro(shop.Hour)
	at := func(n byte, second int) aggregate.ClickRow {
		return clickAt(n, start.Add(time.Duration(second)*time.Second))
	}
	applyAll(t, s, 0, at(5, 40), at(1, 40), at(3, 10), at(4, 3599), at(2, 0))
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	if err := s.Seal(t.Context(), shop, fence); err != nil {
		t.Fatal(err)
	}
	compress(t, s)
	late := []aggregate.ClickRow{at(7, 60), at(6, 61)}
	err := s.InTx(t.Context(), func(tx aggregate.Tx) error {
		sealed, err := tx.TouchUnits(t.Context(), []aggregate.Unit{shop})
		if err != nil || !sealed[0] {
			return fmt.Errorf("sealed is %v: %w", sealed, err)
		}
		if _, err := tx.InsertClicks(t.Context(), late); err != nil {
			return err
		}
		keys := []aggregate.EventKey{aggregate.KeyOf(late[0].Click), aggregate.KeyOf(late[1].Click)}
		return tx.InsertLate(t.Context(), keys, []aggregate.Unit{shop, shop})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		late bool
		want []byte
	}{{false, []byte{2, 3, 1, 5, 4}}, {true, []byte{7, 6}}} {
		var got []byte
		err := s.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
			var after aggregate.ClickPosition
			for {
				page, err := tx.UnitClicks(t.Context(), shop, c.late, after, 2)
				if err != nil || len(page) == 0 {
					return err
				}
				for _, x := range page {
					got = append(got, x.EventID[15]-1)
					after = aggregate.ClickPosition{EventTime: x.EventTime, EventID: x.EventID}
				}
			}
		})
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("late %v: clicks %v (%v), want %v", c.late, got, err, c.want)
		}
	}
}
