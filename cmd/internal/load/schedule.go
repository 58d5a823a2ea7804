package load

import (
	"fmt"
	"math/rand/v2"
	"time"

	"clickgate/cmd/internal/fraudrange"
)

// Process is how arrivals follow each other.
type Process uint8

// Processes.
const (
	Poisson Process = iota // as people come: independent of each other
	Uniform                // at equal distances
)

// ParseProcess reads poisson or uniform.
func ParseProcess(text string) (Process, error) {
	switch text {
	case "poisson":
		return Poisson, nil
	case "uniform":
		return Uniform, nil
	}
	return 0, fmt.Errorf("arrivals: %q is unknown; use poisson or uniform", text)
}

// Arrival is one entry of a schedule.
type Arrival struct {
	At    time.Duration // since the start
	Class Class
	Draw  uint64 // decides who comes; the same in every run of the seed

	attack *fraudrange.Click // of an attack; nil in a run
}

// Schedule gives arrivals in order of time. It is a function of its arguments
// alone: instants are drawn from one stream and classes from another, so that
// another mix leaves every instant where it was. It is not safe for concurrent use.
type Schedule struct {
	process Process
	mix     Mix
	cursor  cursor
	times   *rand.Rand
	classes *rand.Rand
	n       float64 // position of the next arrival, in expected arrivals
}

// NewSchedule begins the schedule of a valid profile and mix.
func NewSchedule(seed uint64, profile Profile, process Process, mix Mix) *Schedule {
	s := &Schedule{
		process: process, mix: mix, cursor: cursor{rest: profile},
		times: rand.New(rand.NewPCG(seed, 1)), classes: rand.New(rand.NewPCG(seed, 2)),
	}
	if process == Poisson {
		s.n = s.times.ExpFloat64()
	}
	return s
}

// Next returns the next arrival, false after the last one. It does not allocate.
//
// A Poisson process of changing rate is one of rate 1 seen through the inverse of
// the expected number of arrivals (Lewis and Shedler, "Simulation of
// nonhomogeneous Poisson processes by thinning", 1979, section 1).
func (s *Schedule) Next() (Arrival, bool) {
	at, ok := s.cursor.at(s.n)
	if !ok {
		return Arrival{}, false
	}
	if s.process == Poisson {
		s.n += s.times.ExpFloat64()
	} else {
		s.n++
	}
	return Arrival{At: at, Class: s.mix.pick(s.classes), Draw: s.classes.Uint64()}, true
}
