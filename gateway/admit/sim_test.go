package admit

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// The simulation is a queueing system in virtual time, driven by one event after
// the other, so that a seed gives the same run everywhere, bit for bit: open-loop
// Poisson arrivals, a gate, and behind it 16 workers that take one request each.
// A request of the log's is one whose flush is its worker. The rate at which the
// workers are all busy is the capacity C.
const (
	simWorkers  = 16
	simService  = 8 * time.Millisecond
	simCapacity = 2000                   // simWorkers / simService, a second
	inTime      = 250 * time.Millisecond // a later answer is no goodput
)

// phase is a stretch of one load.
type phase struct {
	length time.Duration
	load   float64 // of capacity
	shares [NumClasses]float64
	slow   float64 // service time at the end against simService; 0 is 1
	flood  float64 // replays of paid tokens, of capacity, on top
}

// call is one request in the simulation.
type call struct {
	class    Class
	arrived  time.Duration
	enqueued time.Duration // at the workers
	replay   bool
	conn     *simConn // where there is a processor
}

// tally counts the requests of one class that arrived in a window.
type tally struct {
	offered, good, shed int
	latency             []time.Duration // of admitted ones
}

func (t *tally) loss() float64 { return float64(t.shed) / float64(max(1, t.offered)) }

func p99(ds []time.Duration) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[(len(ds)*99-1)/100]
}

type simEvent struct {
	at   time.Duration
	n    int // order of equal times
	what func()
}

type agenda []simEvent

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(simEvent)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	x := (*a)[last]
	*a = (*a)[:last]
	return x
}

type sim struct {
	gate    *Gate
	rng     *rand.Rand
	now     time.Duration
	agenda  agenda
	events  int
	current phase
	since   time.Duration // start of the phase

	waiting map[*waiter]*call
	told    []event
	queue   []*call
	busy    int
	signals Signals

	count   func(*call, Decision) // when its fate is known: refused, or served at s.now
	ticked  func()                // after each of the controller's steps
	limits  []int                 // after each of them
	entered []int                 // admitted per Interval
	reuse   func(*call) Class     // class after demotion
	none    bool                  // no gate at all

	groupCommit time.Duration // of any number of requests; 0: workers
	flushing    []*call

	cpu *processor // what is short in place of the workers; nil: it costs nothing
}

func newSim(seed uint64, change func(*Config)) *sim {
	s := &sim{rng: rand.New(rand.NewPCG(seed, 1)), waiting: map[*waiter]*call{}, count: func(*call, Decision) {}, ticked: func() {}}
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	s.gate = NewGate(cfg, Dependencies{MaxLimit: 4096, Now: func() time.Time { return time.Unix(0, 0).Add(s.now) }, Seed: seed})
	s.gate.trace = func(e event) {
		if e.waiter != nil && e.decision != waits {
			s.told = append(s.told, e)
		}
	}
	s.reuse = func(c *call) Class { return c.class }
	s.entered = []int{0}
	s.after(Interval, s.tick)
	return s
}

func (s *sim) after(d time.Duration, what func()) {
	s.events++
	heap.Push(&s.agenda, simEvent{s.now + d, s.events, what})
}

// run plays one phase to its end.
func (s *sim) run(p phase) {
	s.current, s.since = p, s.now
	end := s.now + p.length
	for c, share := range p.shares {
		s.source(end, p.load*share*simCapacity, Class(c), false)
	}
	s.source(end, p.flood*simCapacity, Paid, true)
	for len(s.agenda) > 0 && s.agenda[0].at <= end {
		e := heap.Pop(&s.agenda).(simEvent)
		s.now = e.at
		e.what()
	}
	s.now = end
	if s.cpu != nil {
		s.cpu.giveUp()
	}
}

// source makes requests until end.
func (s *sim) source(end time.Duration, rate float64, c Class, replay bool) {
	if rate == 0 {
		return
	}
	var next func()
	next = func() {
		if s.now >= end {
			return
		}
		if one := (&call{class: c, arrived: s.now, replay: replay}); s.cpu != nil {
			s.cpu.send(one)
		} else {
			s.arrive(one)
		}
		s.after(time.Duration(s.rng.ExpFloat64()/rate*float64(time.Second)), next)
	}
	s.after(time.Duration(s.rng.ExpFloat64()/rate*float64(time.Second)), next)
}

func (s *sim) arrive(c *call) {
	c.class = s.reuse(c)
	if s.none || s.gate.take(c.class) {
		s.admit(c)
		return
	}
	w := newWaiter()
	w.rank = rankOf(c.class, false)
	switch d := s.gate.arrive(w); d {
	case Admitted:
		s.admit(c)
	case waits:
		s.waiting[w] = c
		s.after(w.until.Sub(time.Unix(0, 0))-s.now, func() {
			if s.gate.expire(w) {
				s.settle()
			}
		})
	default:
		s.refuse(c, d)
	}
	s.settle()
}

// settle acts on what the gate told those who wait.
func (s *sim) settle() {
	for len(s.told) > 0 {
		e := s.told[0]
		s.told = s.told[1:]
		c := s.waiting[e.waiter]
		delete(s.waiting, e.waiter)
		if e.decision == Admitted {
			s.admit(c)
		} else {
			s.refuse(c, e.decision)
		}
	}
}

func (s *sim) refuse(c *call, d Decision) {
	s.gate.shed[c.class][d].Add(1)
	if s.cpu != nil {
		s.cpu.refuse(c, d)
		return
	}
	s.count(c, d)
}

func (s *sim) admit(c *call) {
	s.entered[len(s.entered)-1]++
	if s.cpu != nil {
		s.cpu.work(c)
		return
	}
	c.enqueued = s.now
	s.queue = append(s.queue, c)
	s.work()
}

// closed keeps n clients busy: each sends again when it has its answer, and a
// little later when it was refused.
func (s *sim) closed(n int) {
	s.count = func(_ *call, d Decision) {
		pause := time.Duration(s.rng.IntN(20)) * time.Microsecond
		if d != Admitted {
			pause = 10 * time.Millisecond
		}
		s.after(pause, func() { s.arrive(&call{class: Organic, arrived: s.now}) })
	}
	for range n {
		s.count(nil, Admitted)
	}
}

// commit flushes all that waits, one group after the other.
func (s *sim) commit() {
	if len(s.flushing) > 0 || len(s.queue) == 0 {
		return
	}
	s.flushing, s.queue = s.queue, nil
	for _, c := range s.flushing {
		s.signals.Waits++
		s.signals.Wait += s.now - c.enqueued
	}
	s.after(s.groupCommit, func() {
		group := s.flushing
		s.flushing = nil
		s.signals.Flushes++
		s.signals.Flush += s.groupCommit
		for _, c := range group {
			s.signals.Flushed++
			s.count(c, Admitted)
			if !s.none {
				s.gate.Leave()
			}
		}
		s.settle()
		s.work()
	})
}

func (s *sim) work() {
	if s.groupCommit > 0 {
		s.commit()
		return
	}
	for s.busy < simWorkers && len(s.queue) > 0 {
		c := s.queue[0]
		s.queue = s.queue[1:]
		s.busy++
		took := s.service()
		s.signals.Waits++
		s.signals.Wait += s.now - c.enqueued
		s.after(took, func() {
			s.busy--
			s.signals.Flushed++
			s.signals.Flushes++
			s.signals.Flush += took
			s.count(c, Admitted)
			if !s.none {
				s.gate.Leave()
			}
			s.settle()
			s.work()
		})
	}
}

// service draws a service time: the sum of three exponential ones (Erlang), whose
// p99 unloaded is 2.8 times its mean.
func (s *sim) service() time.Duration {
	mean := float64(simService)
	if s.current.slow > 0 {
		mean *= 1 + (s.current.slow-1)*float64(s.now-s.since)/float64(s.current.length)
	}
	return time.Duration(mean / 3 * (s.rng.ExpFloat64() + s.rng.ExpFloat64() + s.rng.ExpFloat64()))
}

func (s *sim) tick() {
	if !s.none {
		s.gate.tick(s.signals)
		s.settle()
		if s.cpu != nil {
			s.cpu.ticked()
		}
	}
	s.limits = append(s.limits, s.gate.Limit())
	s.ticked()
	s.entered = append(s.entered, 0)
	s.after(Interval, s.tick)
}

// mixed gives paid its share and splits the rest over the other classes.
func mixed(paid float64) [NumClasses]float64 {
	return [NumClasses]float64{paid, (1 - paid) / 2, (1 - paid) / 4, (1 - paid) / 4}
}

// variation is the coefficient of variation.
func variation(xs []int) float64 {
	var sum, squares float64
	for _, x := range xs {
		sum += float64(x)
		squares += float64(x) * float64(x)
	}
	mean := sum / float64(len(xs))
	return math.Sqrt(squares/float64(len(xs))-mean*mean) / mean
}
