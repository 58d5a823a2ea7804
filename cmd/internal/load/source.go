package load

import (
	"math/rand/v2"
	"sync"
	"time"
)

// source hands arrivals out to connections, in order, and counts what was offered.
type source interface {
	// take returns the next arrival; false when there is none, or when it could
	// only start after the end.
	take(now time.Duration) (Arrival, bool)
	// giveBack takes back an arrival that was not due when the run was cut short.
	giveBack(Arrival)
	// offered returns the arrivals by class up to an instant, those that nobody
	// took included.
	offered(until time.Duration) [numClasses]int64
}

// openSource is a schedule shared by connections.
type openSource struct {
	mu       sync.Mutex
	schedule *Schedule
	end      time.Duration // no start after it
	count    [numClasses]int64
}

func (s *openSource) take(now time.Duration) (Arrival, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now > s.end {
		return Arrival{}, false
	}
	a, ok := s.schedule.Next()
	if ok {
		s.count[a.Class]++
	}
	return a, ok
}

func (s *openSource) giveBack(a Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[a.Class]--
}

func (s *openSource) offered(until time.Duration) [numClasses]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a, ok := s.schedule.Next(); ok && a.At <= until; a, ok = s.schedule.Next() {
		s.count[a.Class]++
	}
	return s.count
}

// closedSource has an arrival for whoever asks, until the end.
type closedSource struct {
	mu    sync.Mutex
	mix   Mix
	rand  *rand.Rand
	end   time.Duration
	count [numClasses]int64
}

func newClosedSource(seed uint64, mix Mix, end time.Duration) *closedSource {
	return &closedSource{mix: mix, rand: rand.New(rand.NewPCG(seed, 2)), end: end}
}

func (s *closedSource) take(now time.Duration) (Arrival, bool) {
	if now >= s.end {
		return Arrival{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := Arrival{At: now, Class: s.mix.pick(s.rand), Draw: s.rand.Uint64()}
	s.count[a.Class]++
	return a, true
}

func (s *closedSource) giveBack(a Arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[a.Class]--
}

func (s *closedSource) offered(time.Duration) [numClasses]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}
