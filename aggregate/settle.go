package aggregate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Late clicks are judged among the clicks of their hour, so a pass over a few costs as
// much as one over the whole hour. Where clicks come in drips, each would have its own
// pass, and hours that are due would wait behind them.
const (
	// settleRound is when a round begins no further pass; the next round goes on.
	settleRound = 30 * time.Second
	// settleCheap is a pass that is worth no rest.
	settleCheap = time.Second
	// An hour rests settleShare times as long as its pass took, so that passes over it
	// take a tenth of the time, but not longer than settleRest.
	settleShare = 9
	settleRest  = time.Hour
)

// rests says until when hours wait for their next pass, so that drips gather.
type rests struct {
	mu    sync.Mutex
	until map[Unit]time.Time
}

// resting reports whether u waits, and forgets a rest that is over.
func (r *rests) resting(u Unit, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, found := r.until[u]
	if found && !now.Before(until) {
		delete(r.until, u)
	}
	return now.Before(until)
}

func (r *rests) rest(u Unit, took time.Duration, now time.Time) {
	if took < settleCheap {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = make(map[Unit]time.Time)
	}
	for other, until := range r.until { // of hours that had no late clicks since
		if !now.Before(until) {
			delete(r.until, other)
		}
	}
	r.until[u] = now.Add(min(settleShare*took, settleRest))
}

// settleSome works off late clicks of closed units, as far as a round's time goes and
// without the units that rest.
func (c *Closer) settleSome(ctx context.Context) error {
	began := time.Now()
	return c.settleEach(ctx, func(u Unit) bool {
		now := time.Now()
		return now.Sub(began) < settleRound && !c.rests.resting(u, now)
	})
}

// settleAll works off the late clicks of all closed units, a batch of each.
func (c *Closer) settleAll(ctx context.Context) error {
	return c.settleEach(ctx, func(Unit) bool { return true })
}

func (c *Closer) settleEach(ctx context.Context, now func(Unit) bool) error {
	units, err := c.dep.Store.LateUnits(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, u := range units {
		if !now(u) {
			continue
		}
		if err := c.settle(ctx, u); err != nil && !errors.Is(err, ErrNotLeased) {
			errs = append(errs, fmt.Errorf("late clicks of %v: %w", u, err))
		}
	}
	return errors.Join(errs...)
}

// settle works off a batch of a unit's late clicks. The unit rests after it, unless
// the batch was full: then more are waiting already.
func (c *Closer) settle(ctx context.Context, u Unit) error {
	began, more := time.Now(), false
	fed, err := c.fed(ctx, u)
	if err != nil {
		return err
	}
	err = c.leased(ctx, u, func(fence int64) error {
		// Forced: an unscored click cannot hold an hour that is closed.
		return c.inPass(ctx, u, fence, c.judge(), true, func(p *pass) error {
			p.fed = fed == feedUsed
			err := p.settleLate(ctx)
			more = p.more
			return err
		})
	})
	if now := time.Now(); !more || err != nil {
		c.rests.rest(u, now.Sub(began), now)
	}
	return err
}
