package gateway

import (
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/durable"
)

// Phases of an outcome.
const (
	outcomeOpen int32 = iota
	outcomeSettled
	outcomeAbandoned
)

// outcome waits until everything a request gave to the log is settled. It
// implements durable.Waiter for all its records at once, and is pooled.
type outcome struct {
	log     Log
	lost    func(tenant, source string) // counts an unrecorded redirect
	pool    *sync.Pool
	pending atomic.Int32 // records not settled, and one for the handler
	failed  atomic.Bool
	phase   atomic.Int32
	ready   chan struct{}
	timer   *time.Timer

	// When a redirect was answered before the log said what became of its click,
	// the click is unrecorded only if the log fails in the end.
	tenant, source string
}

func newOutcomePool(log Log, lost func(tenant, source string)) *sync.Pool {
	pool := &sync.Pool{}
	pool.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return &outcome{log: log, lost: lost, pool: pool, ready: make(chan struct{}, 1), timer: timer}
	}
	return pool
}

// beginOutcome takes an outcome out of the pool. tenant and source must live on
// after the request.
func beginOutcome(pool *sync.Pool, tenant, source string) *outcome {
	o := pool.Get().(*outcome)
	o.pending.Store(1)
	o.failed.Store(false)
	o.phase.Store(outcomeOpen)
	o.tenant, o.source = tenant, source
	return o
}

// record gives one event to the log; a refusal counts as a failure.
func (o *outcome) record(r *durable.Record) {
	o.pending.Add(1)
	if err := o.log.Record(r, o); err != nil {
		o.Done(err)
	}
}

// Done implements durable.Waiter.
func (o *outcome) Done(err error) {
	if err != nil {
		o.failed.Store(true)
	}
	if o.pending.Add(-1) > 0 {
		return
	}
	if o.phase.CompareAndSwap(outcomeOpen, outcomeSettled) {
		o.ready <- struct{}{}
		return
	}
	if o.failed.Load() && o.tenant != "" {
		o.lost(o.tenant, o.source)
	}
	o.pool.Put(o)
}

// result of a wait.
type result uint8

const (
	recorded result = iota
	failed          // at least one record is not durable
	late            // the log has not answered in time and may still do so
)

// wait returns once all records are settled or the time is up, and gives the
// outcome back; it must not be used after. On late, countLoss says whether a
// failure in the end is an unrecorded redirect.
func (o *outcome) wait(limit time.Duration, countLoss bool) result {
	if !countLoss {
		o.tenant = ""
	}
	if o.pending.Add(-1) > 0 && !o.settled(limit) {
		return late
	}
	r := recorded
	if o.failed.Load() {
		r = failed
	}
	o.pool.Put(o)
	return r
}

func (o *outcome) settled(limit time.Duration) bool {
	o.timer.Reset(limit)
	select {
	case <-o.ready:
		o.timer.Stop()
		return true
	case <-o.timer.C:
	}
	if o.phase.CompareAndSwap(outcomeOpen, outcomeAbandoned) {
		return false
	}
	<-o.ready
	return true
}
