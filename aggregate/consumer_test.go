package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestRestart: the next aggregator goes on from the store's position, though
// Kafka knows nothing of it, and reads nothing twice.
func TestRestart(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	const rounds, each = 3, 120
	for i := range rounds {
		r.produce(r.clicks(i*each, each)...)
		a := r.start(r.store, fmt.Sprint("run ", i), func(c *aggregate.Config) { c.Group = fmt.Sprint("group ", i) })
		r.waitStored()
		a.stop()
		if n := a.metric("clickgate_aggregate_batch_records"); n != each {
			t.Errorf("run %d read %v records, want %d", i, n, each)
		}
		r.wantStates(map[click.State]int64{click.Valid: int64((i + 1) * each)})
	}
}

// hooked is a store that a test can trip up.
type hooked struct {
	aggregate.Ingest
	inTx func(ctx context.Context, f func(aggregate.Tx) error) error
}

func (h *hooked) InTx(ctx context.Context, f func(aggregate.Tx) error) error { return h.inTx(ctx, f) }

// TestTakeover: an aggregator stands still between its fetch and its commit,
// another takes the partition over and goes on, and what the first brings when it
// wakes is refused whole.
func TestTakeover(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.produce(r.clicks(0, 300)...)
	asleep, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	woken := make(chan error, 1)
	paused := &hooked{Ingest: r.store}
	paused.inTx = func(ctx context.Context, f func(aggregate.Tx) error) error {
		first := false
		once.Do(func() { first = true; close(asleep); <-wake })
		err := r.store.InTx(ctx, f)
		if first {
			woken <- err
		}
		return err
	}
	first := r.start(paused, "first")
	<-asleep
	second := r.start(r.store, "second")
	r.waitStored()
	r.wantStates(map[click.State]int64{click.Valid: 300})
	close(wake)
	if err := <-woken; !errors.Is(err, aggregate.ErrFenced) {
		t.Errorf("the sleeper's batch: %v, want it fenced", err)
	}
	r.eventually("the sleeper's session ends as fenced", func() bool { return first.sessionErrors("fenced") > 0 })
	r.produce(r.clicks(300, 100)...)
	r.waitStored()
	second.stop()
	r.produce(r.clicks(400, 100)...)
	r.waitStored() // by the first, which has the partition again
	first.stop()
	r.wantStates(map[click.State]int64{click.Valid: 500})
	n := first.metric("clickgate_aggregate_batch_records") + second.metric("clickgate_aggregate_batch_records")
	if n != 500 {
		t.Errorf("both applied %v records, want each of 500 once", n)
	}
}

// TestDeletedRecords: records that were deleted before they were read stop their
// partition and no other, which a metric and readiness say; nothing behind them is
// stored as if they had never been, until somebody moves the position.
func TestDeletedRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	held, other := r.inPartition(0, 200), r.inPartition(1, 60)
	r.produce(held[:100]...)
	a := r.start(r.store, "before")
	r.waitStored()
	a.stop()
	for _, rec := range held[100:150] { // batches of their own
		r.produce(rec)
	}
	r.deleteBefore(0, 120)

	a = r.start(r.store, "after")
	stopped := func() bool { return a.metric("clickgate_aggregate_stopped_partitions") == 1 }
	r.eventually("the partition stands still", stopped)
	if err := a.Ready(); !errors.Is(err, aggregate.ErrGap) || !strings.Contains(err.Error(), "clicks.v1-0") {
		t.Errorf("readiness says %v", err)
	}
	r.produce(held[150:151]...)
	r.produce(other...)
	r.eventually("the other partition is stored", func() bool { return r.next(1) == 60 })
	if n := a.sessionErrors("other") + a.sessionErrors("fenced"); n != 0 || a.sessionErrors("gap") != 1 {
		t.Errorf("%v sessions ended, %v gaps", n, a.sessionErrors("gap"))
	}
	if next := r.next(0); next != 100 || !stopped() {
		t.Errorf("position %d, want 100", next)
	}
	r.wantStates(map[click.State]int64{click.Valid: 160})

	r.move(0, 120)
	r.waitStored()
	r.wantStates(map[click.State]int64{click.Valid: 191})
	r.eventually("nothing stands still", func() bool { return a.Ready() == nil && !stopped() })
	a.stop()
	if p := r.poison(); len(p) != 0 {
		t.Errorf("poison %v", p)
	}
}

// inPartition are records of n valid clicks that all belong into one partition.
func (r *rig) inPartition(partition int32, n int) (records []*kgo.Record) {
	for i := uint64(1); len(records) < n; i++ {
		if rec := r.click(aggregate.NewClick(i, aggregate.TestTime+int64(i)*1_000_000)); rec.Partition == partition {
			records = append(records, rec)
		}
	}
	return records
}

// deleteBefore deletes the records of a partition before an offset.
func (r *rig) deleteBefore(partition int32, offset int64) {
	r.Helper()
	var cut kadm.Offsets
	cut.AddOffset(stream.ClicksTopic, partition, offset, -1)
	deleted, err := r.admin.DeleteRecords(r.Context(), cut)
	r.must(err)
	r.must(deleted.Error())
}

// move moves a position as an operator does: under the fence of whoever has it.
func (r *rig) move(partition int32, offset int64) {
	r.Helper()
	p := aggregate.Partition{ClusterID: r.topics.ClusterID, TopicID: r.topics.Clicks.ID, Topic: stream.ClicksTopic, Number: partition}
	c, err := r.store.Claim(r.Context(), p, "operator")
	r.must(err)
	r.must(r.store.InTx(r.Context(), func(tx aggregate.Tx) error { return tx.Advance(r.Context(), p, c.Fence, c.Next, offset) }))
}

var errAway = errors.New("store is away")

// TestStoreAway: a store that fails, before or behind its commit, delays events
// and changes nothing else.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(run func() error) error{
		"nothing is done":    func(func() error) error { return errAway },
		"the answer is lost": func(run func() error) error { return errors.Join(run(), errAway) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2)
			r.produce(r.clicks(0, 300)...)
			var calls, failures atomic.Int64
			shaky := &hooked{Ingest: r.store}
			shaky.inTx = func(ctx context.Context, f func(aggregate.Tx) error) error {
				run := func() error { return r.store.InTx(ctx, f) }
				if n := calls.Add(1); n > 2 && n <= 6 || failures.Load() == 0 {
					failures.Add(1)
					return fail(run)
				}
				return run()
			}
			a := r.start(shaky, "shaky", func(c *aggregate.Config) { c.MaxRecords = 50 })
			r.waitStored()
			r.produce(r.clicks(300, 50)...)
			r.waitStored()
			r.waitLag(2)
			a.stop()
			if failures.Load() < 3 || a.sessionErrors("other") < 3 {
				t.Errorf("%d failures, %v sessions ended; want at least 3", failures.Load(), a.sessionErrors("other"))
			}
			if n := a.sessionErrors("gap") + a.sessionErrors("fenced"); n != 0 {
				t.Errorf("%v sessions ended for another cause", n)
			}
			r.wantStates(map[click.State]int64{click.Valid: 350})
		})
	}
}

// TestClaimFails: an aggregator that cannot claim tries again.
func TestClaimFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.produce(r.clicks(0, 10)...)
	var left atomic.Int64
	left.Store(2)
	a := r.start(&claimless{r.store, &left}, "unlucky")
	r.waitStored()
	a.stop()
	if left.Load() >= 0 || a.sessionErrors("other") < 2 {
		t.Errorf("%d failures left, %v sessions ended; want at least 2", left.Load(), a.sessionErrors("other"))
	}
	r.wantStates(map[click.State]int64{click.Valid: 10})
}

type claimless struct {
	aggregate.Ingest
	left *atomic.Int64
}

func (c *claimless) Claim(ctx context.Context, p aggregate.Partition, owner string) (aggregate.Claim, error) {
	if c.left.Add(-1) >= 0 {
		return aggregate.Claim{}, errAway
	}
	return c.Ingest.Claim(ctx, p, owner)
}

// TestAppliedBefore: a store that runs a transaction again although it committed
// says that the batch is applied; the aggregator goes on behind it.
func TestAppliedBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.produce(r.clicks(0, 100)...)
	var applied atomic.Int64
	twice := &hooked{Ingest: r.store}
	twice.inTx = func(ctx context.Context, f func(aggregate.Tx) error) error {
		if err := r.store.InTx(ctx, f); err != nil {
			return err
		}
		err := r.store.InTx(ctx, f)
		if errors.Is(err, aggregate.ErrApplied) {
			applied.Add(1)
		}
		return err
	}
	a := r.start(twice, "twice")
	r.waitStored()
	r.produce(r.clicks(100, 100)...)
	r.waitStored()
	a.stop()
	if applied.Load() < 2 {
		t.Errorf("%d batches were applied before, want 2 at least", applied.Load())
	}
	if n := a.sessionErrors("other") + a.sessionErrors("gap") + a.sessionErrors("fenced"); n != 0 {
		t.Errorf("%v sessions ended", n)
	}
	r.wantStates(map[click.State]int64{click.Valid: 200})
}
