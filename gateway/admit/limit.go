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
	inFlight       int  // at its end
	contended      bool // somebody waited for a permit or was refused
	buffered       float64
}

// between returns what happened from a to b.
func between(a, b *Signals) interval {
	i := interval{waits: b.Waits - a.Waits, flushes: b.Flushes - a.Flushes, flushed: b.Flushed - a.Flushed, buffered: b.Buffered}
	if i.waits > 0 {
		i.wait = (b.Wait - a.Wait) / time.Duration(i.waits)
	}
	if i.flushes > 0 {
		i.flush = (b.Flush - a.Flush) / time.Duration(i.flushes)
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
// The queue is Vegas' estimate: of the requests in flight the share 1-target/wait
// would not be there without queueing. It may be 3 to 6 log10(value), as in
// Netflix's concurrency-limits; a produce buffer that is more than half full counts
// as a queue too. A limit that nobody meets does not grow, nor does one whose last
// interval alone had a queue. It falls towards what is used, for what is unused
// would let a queue of its size in at once.
func (l *limit) step(i *interval) {
	l.learn(i)
	queue := l.queue(i, l.wait)
	most, least := 6*math.Log10(l.value), 3*math.Log10(l.value)
	switch {
	case l.tooSlow(i):
		l.value *= .9
	case queue > most:
		l.started = true
		l.value = max(.7*l.value, min(l.value, float64(i.inFlight))-(queue-most)/2)
	case l.queue(i, max(l.wait, float64(i.wait))) < least && l.met(i):
		l.value += l.growth()
	}
	l.value = min(max(l.value, l.low), l.max)
}

// met reports whether requests meet the limit.
func (l *limit) met(i *interval) bool {
	return i.inFlight >= l.permits() || i.contended && 2*i.inFlight >= l.permits()
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

// queue is how many requests queue when the mean wait is what it is.
func (l *limit) queue(i *interval, wait float64) float64 {
	queue := float64(i.inFlight) * max(0, 2*i.buffered-1)
	if t := l.target(); wait > t {
		queue += float64(i.inFlight) * (1 - t/wait)
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

// learn follows the mean wait and what of it is normal. Group commit makes
// requests wait for the flush before theirs, on a slow disk for long; that is no
// queue, and it shows in that throughput follows the requests in flight. So
// normal is set only at the end of a study in which it did, from the least mean
// wait of that study, and never above MaxNormal: what has come to its capacity
// teaches nothing, however long it lasts. Otherwise normal only ever falls.
func (l *limit) learn(i *interval) {
	switch {
	case i.waits > 0:
		l.wait += (float64(i.wait) - l.wait) / 2
	case i.inFlight == 0:
		l.wait = 0
	}
	if l.study.add(i); l.study.n < studyLength {
		return
	}
	least := min(l.study.least, float64(l.cfg.MaxNormal))
	switch {
	case l.study.follows():
		l.normal = least
	case least < l.normal:
		l.normal += (least - l.normal) / 10
	}
	l.study = study{}
}

// study looks at studyLength intervals in a row, and fits throughput to a power
// of the requests in flight: logarithms on a line. A power of 1 is a back end
// that takes all it is given, 0 one at its capacity.
type study struct {
	n, points        int
	x, y, xx, yy, xy float64 // sums over the points
	least            float64 // mean wait
}

const (
	studyLength = 10
	fewPoints   = 6  // of a study; with less it says nothing
	fewWaits    = 4  // samples of an interval below which its mean says nothing
	varied      = .1 // deviation of the logarithm: how much requests in flight must move
	power       = .5
	correlation = .8
)

func (s *study) add(i *interval) {
	s.n++
	if i.waits < fewWaits || i.flushed == 0 || i.inFlight == 0 {
		return
	}
	if s.points == 0 || float64(i.wait) < s.least {
		s.least = float64(i.wait)
	}
	x, y := math.Log(float64(i.inFlight)), math.Log(float64(i.flushed))
	s.points++
	s.x, s.y, s.xx, s.yy, s.xy = s.x+x, s.y+y, s.xx+x*x, s.yy+y*y, s.xy+x*y
}

// follows reports whether throughput went with the requests in flight.
func (s *study) follows() bool {
	n := float64(s.points)
	if s.points < fewPoints {
		return false
	}
	xx, yy, xy := s.xx/n-s.x/n*s.x/n, s.yy/n-s.y/n*s.y/n, s.xy/n-s.x/n*s.y/n
	return xx >= varied*varied && xy >= power*xx && xy >= correlation*math.Sqrt(xx*yy)
}
