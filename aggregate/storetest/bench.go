package storetest

import (
	"encoding/binary"
	"fmt"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// BatchSizes are the batches that stores are measured with.
var BatchSizes = [...]int{200, 1_000, 5_000}

// Load makes batches of ever new clicks for benchmarks: 500 campaigns, half of
// the clicks with a token, four clicks of an address, 3 % suspects, 350 clicks a
// second, and in each batch 2 % redeliveries of the batch before.
type Load struct {
	batch aggregate.Batch
	n     uint64
}

// NewLoad claims partition 0 of store for batches of size clicks.
func NewLoad(b *testing.B, store aggregate.Store, size int) *Load {
	b.Helper()
	c, err := store.Claim(b.Context(), partition(0), "bench")
	if err != nil {
		b.Fatal(err)
	}
	l := &Load{batch: aggregate.Batch{Partition: partition(0), Fence: c.Fence, Next: c.Next}}
	for i := range size {
		row := newRow(1, base)
		row.CampaignID = fmt.Sprint("campaign-", i%500)
		row.Evidence = make([]byte, 200)
		row.Verdict.VectorVersion = 1
		l.batch.Clicks = append(l.batch.Clicks, row)
	}
	return l
}

// Next renews the rows in place and returns the next batch.
func (l *Load) Next() *aggregate.Batch {
	b := &l.batch
	b.First, b.Next = b.Next, b.Next+int64(len(b.Clicks))
	for i := range b.Clicks {
		row := &b.Clicks[i]
		l.n++
		row.Ingest.Seq, row.Offset = l.n, b.First+int64(i)
		if i%50 == 49 {
			continue // as it was in the last batch, by another ingest
		}
		l.renew(row)
	}
	return b
}

func (l *Load) renew(row *aggregate.ClickRow) {
	t := base + int64(l.n)*second/350
	row.EventID = eventID(t, l.n*0x9e3779b97f4a7c15)
	row.IDTime, row.EventTime, row.ReceivedAt = row.EventID.Time(), t, t+second/10
	binary.BigEndian.PutUint64(row.IPKey[:], l.n/4*0xff51afd7ed558ccd)
	row.Verdict.State = click.Valid
	if l.n%32 == 0 {
		row.Verdict.State = click.Suspect
	}
	row.ClickID, row.RepeatKey = [16]byte{}, int64(l.n*0xbf58476d1ce4e5b9)|1
	if l.n%2 == 0 {
		binary.BigEndian.PutUint64(row.ClickID[:], l.n*0x94d049bb133111eb)
		row.RepeatKey = 0
	}
}

// Bench measures aggregate.Apply into a fresh store, for each batch size, beside
// plain, which writes the same rows into clicks with nothing else.
func Bench(b *testing.B, open func(b *testing.B) aggregate.Store, plain func(b *testing.B, s aggregate.Store, rows []aggregate.ClickRow)) {
	for _, size := range BatchSizes {
		for _, way := range []string{"Apply", "Plain"} {
			b.Run(fmt.Sprintf("%s/%d", way, size), func(b *testing.B) {
				store := open(b)
				load := NewLoad(b, store, size)
				b.ReportAllocs()
				for b.Loop() {
					batch := load.Next()
					if way == "Plain" {
						plain(b, store, fresh(batch.Clicks))
					} else if _, err := aggregate.Apply(b.Context(), store, batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// fresh renews nothing but leaves the redeliveries out, which a plain insert
// cannot take.
func fresh(rows []aggregate.ClickRow) []aggregate.ClickRow {
	out := rows[:0:0]
	for i, r := range rows {
		if i%50 != 49 {
			out = append(out, r)
		}
	}
	return out
}
