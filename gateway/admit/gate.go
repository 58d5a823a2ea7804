package admit

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/cpu"
)

// word is the state every request writes: permits given out in the low half, and
// how many requests wait in the high half. Both stand in one word so that nobody
// can give a permit back without seeing those who wait for it.
//
// Without the gate's lock a word changes only while nobody waits.
type word uint64

const oneWaiting = 1 << 32

func (w word) inFlight() int { return int(uint32(w)) }
func (w word) waiting() int  { return int(w >> 32) }

// terms are what the controller decides and every request reads: the limit in
// the low half, and how many classes are let in above it.
type terms uint64

func newTerms(limit int, open Class) terms { return terms(open)<<32 | terms(uint32(limit)) }

func (t terms) limit() int  { return int(uint32(t)) }
func (t terms) open() Class { return Class(t >> 32) }

// fits reports whether a request of class c gets a permit at once. Who waits
// comes first. It is a pure function.
func fits(w word, t terms, c Class) bool {
	return w.waiting() == 0 && w.inFlight() < t.limit() && c < t.open()
}

// Dependencies are what a Gate works with.
type Dependencies struct {
	MaxLimit int              // most permits ever
	Now      func() time.Time // with time.Now its monotonic part is used
	Signals  func() Signals   // asked once per Interval
	Seed     uint64           // keys the table of publishers
}

// Gate gives out permits. It is safe for concurrent use.
type Gate struct {
	_    cpu.CacheLinePad // every request writes word: keep neighbours off its line
	word atomic.Uint64
	_    cpu.CacheLinePad

	terms atomic.Uint64
	cfg   Config
	now   func() time.Time
	place func(rank, *occupancy, int, Class) (Decision, rank, bool) // place; tests put mistakes here
	trace func(event)                                               // of decisions under the lock; tests only
	pool  sync.Pool                                                 // of *waiter

	shed       [NumClasses][NumDecisions]atomic.Uint64
	publishers *Publishers

	mu      sync.Mutex
	room    room
	outside outside

	signals func() Signals
	control controller // the goroutine of Run alone
	status  atomic.Pointer[Status]
}

// event is one step of one request, for tests.
type event struct {
	rank     rank
	decision Decision
	waiter   *waiter // nil if it never waited
}

// Request is what a decision rests on.
type Request struct {
	Class Class
	// Publisher is where the click comes from, as Publishers.Find returns it; nil
	// for nobody.
	Publisher *Publisher
}

// NewGate returns a gate that gives out permits at once; the limit moves once
// Run runs. cfg must be valid.
func NewGate(cfg Config, dep Dependencies) *Gate {
	g := &Gate{cfg: cfg, now: dep.Now, place: place, signals: dep.Signals, publishers: newPublishers(dep.Seed)}
	g.room.slots = cfg.Waiting
	g.room.publish()
	g.outside.init(dep.Seed)
	g.pool.New = func() any { return newWaiter() }
	g.control = newController(&g.cfg, dep.MaxLimit)
	g.terms.Store(uint64(newTerms(g.control.limit.permits(), NumClasses)))
	g.status.Store(&Status{Limit: g.control.limit.permits(), Open: NumClasses})
	return g
}

// Enter takes a permit, waiting for one if need be and if there is a place to
// wait. At most Config.Waiting calls wait at any time, none longer than its class
// may. After Admitted the caller must call Leave once.
func (g *Gate) Enter(r Request) Decision {
	excess := r.Publisher.count()
	if g.take(r.Class) {
		return Admitted
	}
	own := rankOf(r.Class, excess)
	d := g.turnedAway(own)
	if d == Admitted {
		d = g.enterSlow(own)
	}
	if d != Admitted {
		g.shed[r.Class][d].Add(1)
		r.Publisher.refused()
	}
	return d
}

// turnedAway refuses what gets neither a permit nor a place, without the lock;
// Admitted says that it takes a closer look.
func (g *Gate) turnedAway(r rank) Decision {
	switch {
	case r.class() >= terms(g.terms.Load()).open():
		return Closed
	case uint32(r) >= g.room.shut.Load():
		return Full
	}
	return Admitted
}

// take is the way in while nobody waits.
func (g *Gate) take(c Class) bool {
	for {
		w := g.word.Load()
		if !fits(word(w), terms(g.terms.Load()), c) {
			return false
		}
		if g.word.CompareAndSwap(w, w+1) {
			return true
		}
	}
}

// Leave gives a permit back.
func (g *Gate) Leave() {
	for {
		w := g.word.Load()
		if word(w).waiting() > 0 {
			g.handOn()
			return
		}
		if g.word.CompareAndSwap(w, w-1) {
			g.callIn(word(w - 1))
			return
		}
	}
}

func (g *Gate) enterSlow(r rank) Decision {
	w := g.pool.Get().(*waiter)
	w.rank = r
	d := g.arrive(w)
	if d == waits {
		d = g.wait(w)
	}
	g.pool.Put(w)
	return d
}

// wait returns the decision on w, which has a place. Either somebody takes w out
// and tells it, or its time is up and it takes itself out: never both.
func (g *Gate) wait(w *waiter) Decision {
	w.timer.Reset(w.until.Sub(g.now()))
	select {
	case d := <-w.decision:
		w.timer.Stop()
		return d
	case <-w.timer.C:
	}
	if g.expire(w) {
		return Expired
	}
	return <-w.decision
}

// arrive gives w a permit, a place or a refusal.
func (g *Gate) arrive(w *waiter) Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		s, t := g.word.Load(), terms(g.terms.Load())
		if fits(word(s), t, w.rank.class()) {
			if g.word.CompareAndSwap(s, s+1) {
				g.tell(event{w.rank, Admitted, nil})
				return Admitted
			}
			continue
		}
		d, victim, displace := g.place(w.rank, &g.room.counts, g.room.slots, t.open())
		if d != waits {
			g.tell(event{w.rank, d, nil})
			return d
		}
		// Only if no permit came back since: else it would lie there while w waits.
		if !g.word.CompareAndSwap(s, s+oneWaiting) {
			continue
		}
		if displace {
			g.release(g.room.lines[victim].oldest, Displaced)
		}
		now := g.now()
		if word(s).waiting() == 0 {
			g.room.since = now
		}
		w.until = g.cfg.deadline(w.rank, now, g.room.since)
		g.room.add(w)
		g.tell(event{w.rank, waits, w})
		return waits
	}
}

// release takes w out of the room with a decision that is no permit.
func (g *Gate) release(w *waiter, d Decision) {
	g.room.remove(w)
	g.word.Add(^uint64(oneWaiting - 1))
	g.tell(event{w.rank, d, w})
	w.decision <- d
}

// expire takes w out of the room at the end of its time, if it is still there.
func (g *Gate) expire(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !w.room {
		return false
	}
	g.room.remove(w)
	g.word.Add(^uint64(oneWaiting - 1))
	g.tell(event{w.rank, Expired, w})
	return true
}

// handOn gives a permit back while others wait.
func (g *Gate) handOn() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.word.Add(^uint64(0))
	g.serve()
}

// serve gives free permits to those who wait. The lock is held, so while somebody
// waits the word stands still.
func (g *Gate) serve() {
	for {
		s := word(g.word.Load())
		if s.waiting() == 0 || s.inFlight() >= terms(g.terms.Load()).limit() {
			return
		}
		w := g.room.first(g.cfg.standing(g.now(), g.room.since))
		g.room.remove(w)
		g.word.Add(1 + ^uint64(oneWaiting-1))
		g.tell(event{w.rank, Admitted, w})
		w.decision <- Admitted
	}
}

// setTerms puts a new limit in force: who waits and is not let in any more is
// refused, and free permits find their owners.
func (g *Gate) setTerms(t terms) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.terms.Store(uint64(t))
	for r := rankOf(t.open(), false); r < numRanks; r++ {
		for w := g.room.lines[r].oldest; w != nil; w = g.room.lines[r].oldest {
			g.release(w, Closed)
		}
	}
	g.serve()
}

func (g *Gate) tell(e event) {
	if g.trace != nil {
		g.trace(e)
	}
}

// InFlight returns the permits given out.
func (g *Gate) InFlight() int { return word(g.word.Load()).inFlight() }

// Waiting returns how many requests wait for a permit.
func (g *Gate) Waiting() int { return word(g.word.Load()).waiting() }

// Limit returns how many permits there are.
func (g *Gate) Limit() int { return terms(g.terms.Load()).limit() }

// LetsIn reports whether requests of a class are let in at all.
func (g *Gate) LetsIn(c Class) bool { return c < terms(g.terms.Load()).open() }

// Calm reports whether a request of a class would get a permit now. Work that
// holds no permit, because it goes on for minutes, asks before each of its steps.
func (g *Gate) Calm(c Class) bool {
	return fits(word(g.word.Load()), terms(g.terms.Load()), c)
}

// Refused returns how many requests of a class were refused for a reason.
func (g *Gate) Refused(c Class, d Decision) uint64 { return g.shed[c][d].Load() }
