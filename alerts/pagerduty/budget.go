package pagerduty

import (
	"context"
	"sync"
	"time"
)

// window is the time over which calls are counted. It is a little longer than
// PagerDuty's minute, because calls may take unequal times to arrive.
const window = time.Minute + 5*time.Second

// budget allows n calls in any window: a sliding one, because fixed minutes would
// let twice as many through around their border. A process that was killed forgets
// its calls; half of PagerDuty's limit leaves room for one that starts again.
type budget struct {
	now  func() time.Time
	mu   sync.Mutex
	last []time.Time // ring of the last n calls
	next int
}

func newBudget(n int, now func() time.Time) *budget {
	return &budget{now: now, last: make([]time.Time, n)}
}

// ready returns how long until a call is allowed; take says to count one when it
// is now.
func (b *budget) ready(take bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if oldest := b.last[b.next]; !oldest.IsZero() {
		if wait := oldest.Add(window).Sub(now); wait > 0 {
			return wait
		}
	}
	if take {
		b.last[b.next] = now
		b.next = (b.next + 1) % len(b.last)
	}
	return 0
}

// wait returns when a call would be allowed.
func (b *budget) wait(ctx context.Context) error { return b.until(ctx, false) }

// take waits for a call to be allowed and counts it.
func (b *budget) take(ctx context.Context) error { return b.until(ctx, true) }

func (b *budget) until(ctx context.Context, take bool) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := b.ready(take)
		if d == 0 {
			return nil
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
