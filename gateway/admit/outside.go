package admit

import (
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// outside holds senders whose next request nobody reads yet; what waits here has
// cost nothing so far. They are called in as permits come back with nobody waiting
// for them, the most valuable first and of those the oldest, much as Breakwater (Cho
// et al., OSDI 2020) hands out credits. All at once they would meet at a full waiting
// room, be refused at a good part of the price of an answer, and leave the gate
// without work until their time is up again.
type outside struct {
	count atomic.Int64  // of who is outside, so that nobody takes the lock for nothing
	batch int           // called at the end of the last calm Interval; Run's goroutine alone
	told  func(*waiter) // of who is called; tests only

	mu   sync.Mutex
	room room // without a bound
	rng  *rand.Rand
}

func (o *outside) init(seed uint64) {
	o.room.slots = math.MaxInt
	o.room.publish()
	o.rng = rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // when somebody comes again is no secret
}

// enter puts w outside and returns how long it stays there at most: up to a half
// less than limit, so that those who were refused in one moment do not come again
// in one.
func (o *outside) enter(w *waiter, limit time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.room.add(w)
	o.count.Add(1)
	return limit - time.Duration(o.rng.Int64N(int64(limit)/2+1))
}

// quit takes w away, if nobody has called it yet.
func (o *outside) quit(w *waiter) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !w.room {
		return false
	}
	o.take(w)
	return true
}

func (o *outside) take(w *waiter) {
	o.room.remove(w)
	o.count.Add(-1)
}

// call calls n in, and nobody whose class is not let in.
func (o *outside) call(n int, open Class) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for ; n > 0; n-- {
		w := o.room.first(false)
		if w == nil || w.rank.class() >= open {
			return
		}
		o.take(w)
		if o.told != nil {
			o.told(w)
		}
		w.decision <- Admitted
	}
}

// called returns how many are called in when a permit came back and w is what that
// left: one in its place. With two, as in a slow start, too many meet at the gate: from
// the call to there it takes the length of the run queue. It is a pure function.
func called(w word, t terms) int {
	if w.waiting() > 0 || w.inFlight() >= t.limit() {
		return 0
	}
	return 1
}

// calledAfter returns how many are called in at the end of an Interval, given how
// many were at the end of the one before: none unless it was calm, then as many as
// there are permits, then twice as many each time once all classes are let in: those
// of a class that was shut out for long must not come at once either. Where nobody is
// inside no permit comes back that could call. It is a pure function.
func calledAfter(before int, calm bool, t terms) int {
	switch {
	case !calm:
		return 0
	case t.open() < NumClasses:
		return t.limit()
	}
	return min(max(t.limit(), 2*before), math.MaxInt32/2)
}

// callIn calls those in for whom a permit that came back has room.
func (g *Gate) callIn(w word) {
	if g.outside.count.Load() == 0 {
		return
	}
	t := terms(g.terms.Load())
	if n := called(w, t); n > 0 {
		g.outside.call(n, t.open())
	}
}

// callCalm is callIn at the end of an Interval.
func (g *Gate) callCalm(calm bool, t terms) {
	o := &g.outside
	o.batch = calledAfter(o.batch, calm, t)
	if o.batch > 0 && o.count.Load() > 0 {
		o.call(o.batch, t.open())
	}
}

// WaitOutside returns when a sender of a class is called in, after half of limit to
// all of it, or when stop is closed, whatever comes first. Those who would most
// likely be refused wait here instead of being read. It holds no permit and promises
// none.
func (g *Gate) WaitOutside(c Class, limit time.Duration, stop <-chan struct{}) {
	w := g.pool.Get().(*waiter)
	w.rank = rankOf(c, false)
	w.timer.Reset(g.outside.enter(w, limit))
	called := false
	select {
	case <-w.decision:
		called = true
	case <-w.timer.C:
	case <-stop:
	}
	w.timer.Stop()
	if !called && !g.outside.quit(w) {
		<-w.decision
	}
	g.pool.Put(w)
}

// Outside returns how many senders wait to be read.
func (g *Gate) Outside() int { return int(g.outside.count.Load()) }
