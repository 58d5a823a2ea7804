package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"clickgate/aggregate"
)

// BenchClosing measures what closing costs ingest: batches with units touched and
// with the index that the second pass reads by, in turns with the same batches into
// a store without either. It reports the median time of both and their ratio.
func BenchClosing(b *testing.B, open func(b *testing.B) aggregate.Store, dropIndex func(b *testing.B, s aggregate.Store)) {
	for _, size := range BatchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			without := open(b)
			dropIndex(b, without)
			stores := [2]aggregate.Store{touched{open(b)}, untouched{without}}
			loads := [2]*Load{NewLoad(b, stores[0], size), NewLoad(b, stores[1], size)}
			var times [2][]time.Duration
			for turn := 0; b.Loop(); turn++ {
				for k := range stores {
					i := (turn + k) % 2 // each goes first half the times
					s := stores[i]
					batch, start := loads[i].Next(), time.Now()
					if _, err := aggregate.Apply(b.Context(), s, batch); err != nil {
						b.Fatal(err)
					}
					times[i] = append(times[i], time.Since(start))
				}
			}
			with, base := median(times[0]), median(times[1])
			b.ReportMetric(0, "ns/op") // both together say nothing
			b.ReportMetric(float64(with.Microseconds()), "µs/batch-with")
			b.ReportMetric(float64(base.Microseconds()), "µs/batch-without")
			b.ReportMetric(float64(with)/float64(base), "ratio")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// untouched leaves units alone.
type untouched struct{ aggregate.Store }

func (s untouched) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	return s.Store.InTx(ctx, func(tx aggregate.Tx) error { return f(untouchedTx{tx}) })
}

type untouchedTx struct{ aggregate.Tx }

func (untouchedTx) TouchUnits(_ context.Context, units []aggregate.Unit) ([]bool, error) {
	return make([]bool, len(units)), nil
}

// touched sees to it that each batch touches its units.
type touched struct{ aggregate.Store }

func (s touched) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	return s.Store.InTx(ctx, func(tx aggregate.Tx) error { return f(&touchedTx{Tx: tx}) })
}

type touchedTx struct {
	aggregate.Tx
	done bool
}

func (t *touchedTx) TouchUnits(ctx context.Context, units []aggregate.Unit) ([]bool, error) {
	t.done = true
	return t.Tx.TouchUnits(ctx, units)
}

func (t *touchedTx) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	if !t.done {
		units, _ := unitsOf(rows)
		if _, err := t.TouchUnits(ctx, units); err != nil {
			return nil, err
		}
	}
	return t.Tx.InsertClicks(ctx, rows)
}

// BenchPages measures how fast a closer reads a unit of 20,000 clicks and enters
// them as billable, in pages of 5,000.
func BenchPages(b *testing.B, open func(b *testing.B) aggregate.Store) {
	const size, page = 5_000, 5_000
	store := open(b)
	load := NewLoad(b, store, size)
	for range 4 {
		if _, err := aggregate.Apply(b.Context(), touched{store}, load.Next()); err != nil {
			b.Fatal(err)
		}
	}
	fence, err := store.Lease(b.Context(), shop, closerName, hour)
	if err != nil {
		b.Fatal(err)
	}
	clicks := 0
	b.ReportAllocs()
	for b.Loop() {
		err := store.InClosing(b.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
			n, err := pass(b.Context(), tx, page)
			clicks += n
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(clicks)/b.Elapsed().Seconds(), "clicks/s")
}

// pass reads and bills a unit once.
func pass(ctx context.Context, tx aggregate.ClosingTx, limit int) (n int, err error) {
	var after aggregate.ClickPosition
	for {
		page, err := tx.UnitClicks(ctx, shop, false, after, limit)
		if err != nil || len(page) == 0 {
			return n, err
		}
		bills := make([]aggregate.Billing, len(page))
		for i := range page {
			bills[i] = billingOf(page[i].ClickRow)
		}
		if _, err := tx.Bill(ctx, bills); err != nil {
			return n, err
		}
		n += len(page)
		last := page[len(page)-1]
		after = aggregate.ClickPosition{EventTime: last.EventTime, EventID: last.EventID}
	}
}
