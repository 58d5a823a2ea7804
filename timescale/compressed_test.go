package timescale

import (
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
	"clickgate/gateway/click"
)

const compressSQL = `
ALTER TABLE clicks SET (timescaledb.compress, timescaledb.compress_segmentby = 'tenant_id',
  timescaledb.compress_orderby = 'id_time, event_id')`

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
	if _, err := s.Pool().Exec(t.Context(), compressSQL); err != nil {
		t.Fatal(err)
	}
	var compressed int
	err := s.Pool().QueryRow(t.Context(), `
SELECT count(public.compress_chunk(c)) FROM public.show_chunks('clicks'::regclass) AS c`).Scan(&compressed)
	if err != nil || compressed != 1 {
		t.Fatalf("%d chunks compressed (%v), want 1", compressed, err)
	}
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
