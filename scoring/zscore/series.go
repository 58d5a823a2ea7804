package zscore

import "slices"

const (
	// Window is how many closed minutes a baseline looks back over.
	Window = 60
	// MinBaseline is the least number of closed minutes, or values, that make a baseline.
	MinBaseline = 3
	// MaxStep is by how many minutes one event may move a series ahead. Clocks and grace differ by a few minutes; an
	// event further ahead may be wrong, and believing it would overwrite the past. It is believed after confirmations
	// events have agreed with it while none came for the time before.
	MaxStep = 10

	ring          = 64 // minutes kept: the window, the current one, and a few so that indexing is a mask
	confirmations = 3

	minuteMicros = 60_000_000
	maxTime      = minuteMicros * int64(1<<32-1-ring)
)

// Point is what one observation says about its minute.
type Point struct {
	Count uint32  // events in that minute so far, this one included
	Z     float64 // robust score of Count, never below 0: a minute that is not over cannot be too quiet
	OK    bool    // there is a baseline; without one, Z is 0 and says nothing
	Kept  bool    // the event was counted; false for those too old or not yet believed
}

// Series counts the events of one entity per minute and scores each minute against those before it. The zero value is
// ready; it holds no pointers and allocates nothing. Not safe for concurrent use.
type Series struct {
	first   uint32 // minute of the first event
	current uint32 // newest minute; 0 is no event yet
	claimed uint32 // newest minute of the events ahead that are not believed yet
	claims  uint8  // how many there are
	nonzero uint8  // closed minutes of the window that are not 0
	stale   bool   // the baseline is to be measured anew
	sum     uint64 // of the closed minutes of the window

	median2, mad4 uint64 // baseline of the closed minutes, exact: twice the median, four times the MAD

	counts [ring]uint32 // minute m at m % ring; last, so that what every event reads lies together
}

// Observe counts one event at event time t, in microseconds since the epoch.
//
// Events of minutes still in the ring count there, older ones change nothing. Fewer than MinBaseline closed minutes
// since the first event are no baseline. The baseline leaves the current minute out and takes quiet minutes as 0.
func (s *Series) Observe(t int64) Point { return s.Add(t, 1) }

// Add counts n events at time t, as one observation. A feed of minute counts adds its zeros too: after more than
// MaxStep minutes of silence the first observations must be confirmed.
func (s *Series) Add(t int64, n uint32) Point {
	if t < minuteMicros || t > maxTime {
		return Point{}
	}
	minute := uint32(t / minuteMicros)
	switch {
	case s.current == 0:
		s.first, s.current = minute, minute
	case minute > s.current+MaxStep:
		if p, believed := s.claim(minute, n); !believed {
			return p
		}
		s.roll(minute)
	case minute > s.current:
		s.roll(minute)
		s.claims = 0
	case minute+ring <= s.current:
		return Point{}
	default:
		s.claims = 0
	}
	return s.count(minute, n)
}

func (s *Series) count(minute, n uint32) Point {
	c := &s.counts[minute%ring]
	was := *c
	if *c += n; *c < was {
		*c = 1<<32 - 1
	}
	if minute != s.current && minute+Window >= s.current {
		s.first = min(s.first, minute) // events out of order: the entity is older than it seemed
		s.sum += uint64(*c - was)
		s.stale = true
		if was == 0 && n > 0 {
			s.nonzero++
		}
	}
	p := Point{Count: *c, Kept: true}
	var b baseline
	if b, p.OK = s.baseline(); p.OK {
		p.Z = b.excess(*c)
	}
	return p
}

// claim takes note of an event too far ahead, and believes it when enough agree. Until then it scores against the
// quiet minutes it claims have passed, when they would be most of the window, else against the baseline as it is.
func (s *Series) claim(minute, n uint32) (Point, bool) {
	if s.claims == 0 || minute > s.claimed+MaxStep || minute+MaxStep < s.claimed {
		s.claimed, s.claims = minute, 0
	}
	s.claimed = max(s.claimed, minute)
	if s.claims++; s.claims >= confirmations {
		s.claims = 0
		return Point{}, true
	}
	p := Point{Count: n * uint32(s.claims)}
	b, ok := s.baseline()
	if minute-s.current > Window/2 {
		b, ok = baseline{}, true
	}
	if p.OK = ok; ok {
		p.Z = b.excess(p.Count)
	}
	return p, false
}

// roll closes the minutes up to the given one.
func (s *Series) roll(minute uint32) {
	if minute-s.current > ring {
		s.counts = [ring]uint32{}
		s.nonzero, s.sum, s.current = 0, 0, minute
		s.median2, s.mad4, s.stale = 0, 0, false
		return
	}
	for m := s.current; m != minute; m++ {
		enters, leaves := s.counts[m%ring], uint32(0)
		if out := m - Window; out >= s.first && out < m {
			leaves = s.counts[out%ring]
		}
		s.sum += uint64(enters) - uint64(leaves)
		if enters != 0 {
			s.nonzero++
		}
		if leaves != 0 {
			s.nonzero--
		}
		s.counts[(m+1)%ring] = 0
	}
	s.current, s.stale = minute, true
}

// hour is the number of events in the current minute and the 59 before it.
func (s *Series) hour() uint64 {
	oldest := uint64(0)
	if out := s.current - Window; out >= s.first && out < s.current {
		oldest = uint64(s.counts[out%ring])
	}
	return s.sum - oldest + uint64(s.counts[s.current%ring])
}

// closed is how many closed minutes the baseline has.
func (s *Series) closed() uint32 { return min(s.current-s.first, Window) }

// Baseline returns median and MAD of the closed minutes, and how many there are. ok is false below MinBaseline.
func (s *Series) Baseline() (median, mad float64, minutes int, ok bool) {
	b, ok := s.baseline()
	return float64(b.median2) / 2, float64(b.mad4) / 4, int(s.closed()), ok
}

func (s *Series) baseline() (baseline, bool) {
	n := s.closed()
	if s.current == 0 || n < MinBaseline {
		return baseline{}, false
	}
	if s.stale {
		s.stale = false
		s.median2, s.mad4 = 0, 0
		if 2*uint32(s.nonzero)+1 >= n { // else zeros reach past the middle, and both are 0
			s.median2, s.mad4 = s.measure(n)
		}
	}
	return baseline{s.median2, s.mad4}, true
}

func (s *Series) measure(n uint32) (median2, mad4 uint64) {
	var sorted [Window]uint64
	v := sorted[:n]
	for i := range n {
		v[i] = uint64(s.counts[(s.current-1-i)%ring])
	}
	slices.Sort(v)
	median2 = v[(n-1)/2] + v[n/2]
	for i := range v {
		v[i] = distance(2*v[i], median2)
	}
	slices.Sort(v)
	return median2, v[(n-1)/2] + v[n/2]
}

func distance(a, b uint64) uint64 {
	if a > b {
		return a - b
	}
	return b - a
}

// baseline is an exact median (times 2) and MAD (times 4) of counts.
type baseline struct{ median2, mad4 uint64 }

// excess is the score of a count that may still grow: below the median it is 0.
func (b baseline) excess(count uint32) float64 {
	median := float64(b.median2) / 2
	return max(0, Robust(float64(count), median, float64(b.mad4)/4, CountFloor(median, 1)))
}
