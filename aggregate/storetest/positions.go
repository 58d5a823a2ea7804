package storetest

import (
	"context"
	"errors"
	"sync"

	"clickgate/aggregate"
)

// claims: every claim has a higher fence, and the position stays.
func claims(e *env) {
	p := partition(0)
	first, err := e.store.Claim(e.ctx(), p, "a")
	e.must(err)
	equal(e, "first position", first.Next, 0)
	e.apply(e.batch(p, newRow(1, base)))
	last := e.claims[p]
	for range 3 {
		c, err := e.store.Claim(e.ctx(), p, "b")
		e.must(err)
		if c.Fence <= last.Fence || c.Next != last.Next {
			e.Fatalf("claim after %+v is %+v, want a higher fence and the same position", last, c)
		}
		last = c
	}
	other := p
	other.TopicID[0]++ // the topic was made again
	c, err := e.store.Claim(e.ctx(), other, "b")
	e.must(err)
	equal(e, "position of a new topic id", c.Next, 0)
}

func storedThrough(e *env) {
	e.put(newRow(1, base), newRow(2, base))
	_, err := e.store.Claim(e.ctx(), partition(7), "test")
	e.must(err)
	_, err = e.store.Claim(e.ctx(), letterPartition(0), "test")
	e.must(err)
	p := partition(0)
	next, err := e.store.StoredThrough(e.ctx(), p.ClusterID, p.TopicID)
	e.must(err)
	if len(next) != 2 || next[0] != 3 || next[7] != 0 {
		e.Errorf("StoredThrough is %v, want 0:3 7:0", next)
	}
	next, err = e.store.StoredThrough(e.ctx(), "elsewhere", p.TopicID)
	e.must(err)
	equal(e, "partitions of another cluster", len(next), 0)
}

// fencedBatch: the old owner wakes up with a batch and writes nothing of it.
func fencedBatch(e *env) {
	old := e.batch(partition(0), newRow(1, base), newRow(2, base))
	old.Marks = append(old.Marks, newMark(1, 2))
	_, err := e.store.Claim(e.ctx(), old.Partition, "new owner")
	e.must(err)
	_, err = aggregate.Apply(e.ctx(), e.store, old)
	e.wantErr("batch under an old fence", err, aggregate.ErrFenced)
	equal(e, "stored states", e.totals(), [10]int64{})
	l, err := e.store.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	equal(e, "stored marks", len(l.Marks), 0)

	unclaimed := *old
	unclaimed.Partition.Number = 99
	_, err = aggregate.Apply(e.ctx(), e.store, &unclaimed)
	e.wantErr("batch of a partition nobody claimed", err, aggregate.ErrFenced)
}

// lostAnswer commits and then says that it failed, like a broken connection.
type lostAnswer struct{ aggregate.Store }

var errLost = errors.New("connection lost")

func (s lostAnswer) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	if err := s.Store.InTx(ctx, f); err != nil {
		return err
	}
	return errLost
}

// ambiguousCommit: a batch whose commit had no answer is applied again.
func ambiguousCommit(e *env) {
	b := e.batch(partition(0), newRow(1, base), newRow(2, base+minute), again(newRow(1, base), 77))
	_, err := aggregate.Apply(e.ctx(), lostAnswer{e.store}, b)
	e.wantErr("commit without an answer", err, errLost)
	before := e.totals()
	for range 2 {
		_, err = aggregate.Apply(e.ctx(), e.store, b)
		e.wantErr("same batch again", err, aggregate.ErrApplied)
	}
	equal(e, "states after applying again", e.totals(), before)
	equal(e, "stored events", sum(before), 3)

	_, err = e.store.Claim(e.ctx(), b.Partition, "new owner")
	e.must(err)
	_, err = aggregate.Apply(e.ctx(), e.store, b)
	e.wantErr("same batch under an old fence", err, aggregate.ErrFenced)

	// The records come once more with other batch borders: nothing counts twice.
	delete(e.claims, b.Partition)
	e.must(e.rewind(b.Partition))
	e.put(newRow(1, base))
	e.put(newRow(2, base+minute), again(newRow(1, base), 77))
	equal(e, "states after other batch borders", e.totals(), before)
}

// rewind sets the position of p to 0, as if it stood in another database.
func (e *env) rewind(p aggregate.Partition) error {
	c, err := e.store.Claim(e.ctx(), p, "rewind")
	if err != nil {
		return err
	}
	return e.store.InTx(e.ctx(), func(tx aggregate.Tx) error { return tx.Advance(e.ctx(), p, c.Fence, c.Next, 0) })
}

func gap(e *env) {
	b := e.batch(partition(0), newRow(1, base))
	b.First, b.Next = 5, 7
	_, err := aggregate.Apply(e.ctx(), e.store, b)
	e.wantErr("batch behind a gap", err, aggregate.ErrGap)

	e.put(newRow(1, base), newRow(2, base)) // through 3
	b.First, b.Next = 1, 2
	_, err = aggregate.Apply(e.ctx(), e.store, b)
	e.wantErr("batch before the stored position", err, aggregate.ErrFenced)
	equal(e, "stored events", sum(e.totals()), 2)
}

// concurrentClaims: no two claims get one fence.
func concurrentClaims(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	const workers, rounds = 6, 5
	fences := make(chan int64, workers*rounds)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				c, err := e.store.Claim(e.ctx(), partition(0), "racer")
				if err != nil {
					e.Error(err)
					return
				}
				fences <- c.Fence
			}
		})
	}
	wg.Wait()
	close(fences)
	seen := make(map[int64]bool)
	for f := range fences {
		seen[f] = true
	}
	equal(e, "distinct fences", len(seen), workers*rounds)
}

func sum(byState [10]int64) (n int64) {
	for _, c := range byState {
		n += c
	}
	return n
}
