package admit

import (
	"math"
	"time"
)

// Interval is how often the limit is thought over.
const Interval = 100 * time.Millisecond

// Signals are what the gateway's parts report, once per Interval. Counts and sums
// only ever rise; fills are 0 to 1.
type Signals struct {
	Flushed uint64 // requests whose flush has ended
	// Waits are samples of the time from a request's hand-over to the log until
	// its flush began, Wait is their sum; Flushes and Flush are the same of the
	// flushes themselves.
	Waits, Flushes uint64
	Wait, Flush    time.Duration

	Buffered float64 // produce buffer, in records or bytes, whichever is fuller
	Memory   float64 // live heap of the memory limit
	Spool    float64 // quota, or bytes waiting for the disk
	Files    float64 // file descriptors
}

// interval is what happened between two reports.
type interval struct {
	wait, flush    time.Duration // means
	waits, flushes uint64
	flushed        uint64
	inFlight       int // at its end
	refused        bool
	buffered       float64
}

// between returns what happened from a to b.
func between(a, b *Signals) interval {
	i := interval{waits: b.Waits - a.Waits, flushes: b.Flushes - a.Flushes, flushed: b.Flushed - a.Flushed, buffered: b.Buffered}
	if i.waits > 0 {
		i.wait = (b.Wait - a.Wait) / time.Duration(i.waits) //nolint:gosec // a count of samples
	}
	if i.flushes > 0 {
		i.flush = (b.Flush - a.Flush) / time.Duration(i.flushes) //nolint:gosec // a count of samples
	}
	return i
}

// limit is the adaptive limit. step is its only writer and a pure function of
// what it holds and what it is told.
type limit struct {
	cfg      *Config
	low, max float64
	value    float64
	wait     float64 // smoothed mean wait, ns
	normal   float64 // learned mean wait without queueing, ns
	started  bool    // a queue was seen, so growth is careful from here on
	stalled  time.Duration
	study    study
}

func newLimit(cfg *Config, most int) limit {
	m := float64(max(1, most))
	low := min(float64(cfg.MinLimit), m)
	return limit{cfg: cfg, low: low, max: m, value: min(max(float64(cfg.StartLimit), low), m)}
}

func (l *limit) permits() int { return int(l.value) }

// step takes one interval in.
//
// The queue is Vegas' estimate: of value requests in flight the share 1-target/wait
// would not be there without queueing. It may be 3 to 6 log10(value), as in
// Netflix's concurrency-limits; a produce buffer that is more than half full counts
// as a queue too. A limit that is not used does not grow.
func (l *limit) step(i *interval) {
	l.learn(i)
	queue := l.queue(i)
	most, least := 6*math.Log10(l.value), 3*math.Log10(l.value)
	switch {
	case l.tooSlow(i):
		l.value *= .9
	case queue > most:
		l.started = true
		l.value -= min((queue-most)/2, .3*l.value)
	case queue < least && 2*i.inFlight >= l.permits():
		l.value += l.growth()
	}
	l.value = min(max(l.value, l.low), l.max)
}

// growth doubles until the first queue and goes by tenths afterwards.
func (l *limit) growth() float64 {
	if !l.started {
		return l.value
	}
	return max(1, l.value/10)
}

func (l *limit) target() float64 {
	return max(float64(l.cfg.TargetWait), l.cfg.Tolerance*l.normal)
}

func (l *limit) queue(i *interval) float64 {
	queue := l.value * max(0, 2*i.buffered-1)
	if t := l.target(); l.wait > t {
		queue += l.value * (1 - t/l.wait)
	}
	return queue
}

// tooSlow is the guard that no learning moves: flushes that take too long, or
// none at all while requests are inside. Without it a back end that answers every
// request with the same timeout would look healthy.
func (l *limit) tooSlow(i *interval) bool {
	if i.flushed > 0 || i.inFlight == 0 {
		l.stalled = 0
	} else {
		l.stalled += Interval
	}
	return i.flush > l.cfg.MaxFlush || l.stalled > l.cfg.MaxFlush
}

// learn follows the mean wait and what of it is normal. Normal falls with every
// lull. It rises only at the end of a study in which nobody was refused and more
// requests in flight went with more throughput, and never above MaxNormal.
func (l *limit) learn(i *interval) {
	switch {
	case i.waits > 0:
		l.wait += (float64(i.wait) - l.wait) / 2
	case i.inFlight == 0:
		l.wait = 0
	}
	least, healthy, done := l.study.add(i)
	if !done {
		return
	}
	if least < l.normal || healthy {
		l.normal = min(least, float64(l.cfg.MaxNormal))
	}
}

// study looks at studyLength intervals in a row.
type study struct {
	n                int
	load, rate, both float64 // sums: in flight, throughput, their product
	least            float64
	refused          bool
}

const (
	studyLength = 50
	fewWaits    = 8 // samples below which a mean says nothing
)

// add takes an interval in. At the end of a study it returns the least mean wait,
// and whether that may be called normal.
func (s *study) add(i *interval) (least float64, healthy, done bool) {
	load, rate := float64(i.inFlight), float64(i.flushed)
	s.n++
	s.load, s.rate, s.both = s.load+load, s.rate+rate, s.both+load*rate
	s.refused = s.refused || i.refused
	if i.waits >= fewWaits && (s.least == 0 || float64(i.wait) < s.least) {
		s.least = float64(i.wait)
	}
	if s.n < studyLength {
		return 0, false, false
	}
	covariance := s.both/studyLength - s.load/studyLength*s.rate/studyLength
	least, healthy, done = s.least, !s.refused && covariance >= 0 && s.least > 0, s.least > 0
	*s = study{}
	return least, healthy, done
}
