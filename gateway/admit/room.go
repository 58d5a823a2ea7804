package admit

import (
	"sync/atomic"
	"time"
)

// waiter is a request in the waiting room. It is told its decision exactly once:
// whoever takes it out of the room, under the gate's lock, tells it.
type waiter struct {
	rank     rank
	until    time.Time // its last moment
	decision chan Decision
	timer    *time.Timer

	room       bool // has a place
	next, prev *waiter
}

func newWaiter() *waiter {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &waiter{decision: make(chan Decision, 1), timer: t}
}

// room is the waiting room: a line per rank, oldest first, and one bound for all.
// The gate's lock guards it.
type room struct {
	slots  int
	lines  [numRanks]line
	counts occupancy
	since  time.Time // somebody has been waiting without a break from then on
	// shut is the rank from which on nobody gets a place now. It may be read
	// without the lock, so that a flood is refused without it.
	shut atomic.Uint32
}

type line struct{ oldest, newest *waiter }

// occupancy counts the places taken, by rank.
type occupancy [numRanks]int

func (o *occupancy) total() (n int) {
	for _, c := range o {
		n += c
	}
	return n
}

// lowest returns the least valuable rank that waits, and whether anybody does.
func (o *occupancy) lowest() (rank, bool) {
	for r := numRanks; r > 0; r-- {
		if o[r-1] > 0 {
			return r - 1, true
		}
	}
	return 0, false
}

// place says what a request finds that got no permit: it waits, taking the place
// of the oldest of victim if displace is set, or is refused. The waiting room is
// what is looked at last: whether a class may come in at all comes first, and
// rank comes before room. It is a pure function.
func place(r rank, o *occupancy, slots int, open Class) (d Decision, victim rank, displace bool) {
	if r.class() >= open {
		return Closed, 0, false
	}
	if o.total() < slots {
		return waits, 0, false
	}
	if low, ok := o.lowest(); ok && low > r {
		return waits, low, true
	}
	return Full, 0, false
}

// deadline is the last moment of a request that begins to wait at now, in a room
// where somebody has been waiting since. A room that stands is a queue that does
// not drain, so the less valuable are answered while the answer is still of use
// (the idea is CoDel's, by Nichols and Jacobson, 2012). It is a pure function.
func (c *Config) deadline(r rank, now, since time.Time) time.Time {
	if r.class() == Paid {
		return now.Add(c.PaidWait)
	}
	until, standing := now.Add(c.LowWait), since.Add(c.StandingAfter)
	if standing.After(until) {
		return standing
	}
	return until
}

// standing reports whether the room has not been empty for long enough to be
// called a queue.
func (c *Config) standing(now, since time.Time) bool { return now.Sub(since) >= c.StandingAfter }

func (m *room) add(w *waiter) {
	l := &m.lines[w.rank]
	w.room, w.prev, w.next = true, l.newest, nil
	if l.newest != nil {
		l.newest.next = w
	} else {
		l.oldest = w
	}
	l.newest = w
	m.counts[w.rank]++
	m.publish()
}

func (m *room) remove(w *waiter) {
	l := &m.lines[w.rank]
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.oldest = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.newest = w.prev
	}
	w.room, w.prev, w.next = false, nil, nil
	m.counts[w.rank]--
	m.publish()
}

// publish brings shut up to date: a full room shuts out the rank that is worth
// least in it, and all that are worth no more; see place.
func (m *room) publish() {
	shut := numRanks
	if m.counts.total() >= m.slots {
		shut, _ = m.counts.lowest()
	}
	m.shut.Store(uint32(shut))
}

// first returns whose turn it is. In a standing room the newest of a lower class
// is next: the oldest have nearly waited for nothing, and somebody should be served
// well.
func (m *room) first(lifo bool) *waiter {
	for r := range numRanks {
		switch l := &m.lines[r]; {
		case l.oldest == nil:
		case lifo && r.class() != Paid:
			return l.newest
		default:
			return l.oldest
		}
	}
	return nil
}
