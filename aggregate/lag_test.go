package aggregate_test

import (
	"context"
	"sync"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// The lag says how many records wait while the store is slow, and none when all
// is stored; a partition that went to another aggregator is that one's.
func TestLag(t *testing.T) {
	t.Parallel()
	const lag = "clickgate_aggregate_lag_records"
	r := newRig(t, 1)
	r.produce(r.clicks(0, 500)...)
	asleep, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := &hooked{Ingest: r.store}
	slow.inTx = func(ctx context.Context, f func(aggregate.Tx) error) error {
		once.Do(func() { close(asleep); <-wake })
		return r.store.InTx(ctx, f)
	}
	a := r.start(slow, "slow")
	<-asleep
	if n := a.metric(lag); n != 500 {
		t.Errorf("the lag is %v while nothing is stored, want 500", n)
	}
	close(wake)
	r.waitStored()
	r.eventually("no lag", func() bool { return a.metric(lag) == 0 })
	r.wantStates(map[click.State]int64{click.Valid: 500})
	a.stop()
	if n := a.metric(lag); n != 0 {
		t.Errorf("the lag is %v after the end, want 0", n)
	}
}
