package storetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// concurrent: four partitions bring the same events at once, each shuffled its
// own way. One copy of each is the event, the others are redeliveries.
func concurrent(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	const workers, events, batchSize = 4, 300, 50
	var batches [workers][]*aggregate.Batch
	for w := range workers {
		p := partition(int32(w))
		c, err := e.store.Claim(e.ctx(), p, "worker")
		e.must(err)
		order := rand.New(rand.NewPCG(uint64(w), 2)).Perm(events)
		for from := 0; from < events; from += batchSize {
			b := &aggregate.Batch{Partition: p, Fence: c.Fence, First: int64(from), Next: int64(from + batchSize)}
			for _, n := range order[from : from+batchSize] {
				row := newRow(uint64(n)+1, base+int64(n)*second, token(byte(n/2)))
				b.Clicks = append(b.Clicks, again(row, uint64(1000*(w+1)+n)))
			}
			batches[w] = append(batches[w], b)
		}
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for _, b := range batches[w] {
				if _, err := aggregate.Apply(e.ctx(), e.store, b); err != nil {
					e.Errorf("worker %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	got := e.totals()
	equal(e, "redeliveries", got[click.Redelivered], (workers-1)*events)
	equal(e, "events", got[click.Valid]+got[click.Duplicate], events)
	if got[click.Duplicate] == 0 {
		e.Error("no duplicate was seen")
	}
}

// cancelled: a context that ends before the commit leaves nothing.
func cancelled(e *env) {
	p := partition(0)
	b := e.batch(p, newRow(1, base))
	ctx, cancel := context.WithCancel(e.ctx())
	err := e.store.InTx(ctx, func(tx aggregate.Tx) error {
		if err := tx.Advance(ctx, p, b.Fence, b.First, b.Next); err != nil {
			return err
		}
		if _, err := tx.InsertClicks(ctx, b.Clicks); err != nil {
			return err
		}
		cancel()
		return nil
	})
	e.wantErr("commit under a cancelled context", err, context.Canceled)
	_, err = aggregate.Apply(ctx, e.store, b)
	e.wantErr("batch under a cancelled context", err, context.Canceled)
	equal(e, "stored events", sum(e.totals()), 0)
	e.apply(b) // the same position still holds
	equal(e, "stored events", sum(e.totals()), 1)
}

// panicRollsBack: a panic in the transaction leaves nothing and no lock.
func panicRollsBack(e *env) {
	b := e.batch(partition(0), newRow(1, base))
	func() {
		defer func() {
			if recover() == nil {
				e.Error("the panic was swallowed")
			}
		}()
		_ = e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
			_, err := tx.InsertClicks(e.ctx(), b.Clicks)
			e.must(err)
			panic(errors.New("seeded"))
		})
	}()
	equal(e, "stored clicks", e.count("SELECT count(*) FROM clicks"), 0)
	e.apply(b)
	equal(e, "stored events", sum(e.totals()), 1)
}

func migrateAgain(e *env) {
	e.put(newRow(1, base))
	e.must(e.store.Migrate(e.ctx()))
	e.must(e.store.Ping(e.ctx()))
	if e.opts.Serial == "" {
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := e.store.Migrate(e.ctx()); err != nil {
					e.Error(err)
				}
			})
		}
		wg.Wait()
	}
	e.put(newRow(2, base))
	equal(e, "stored events", sum(e.totals()), 2)
}
