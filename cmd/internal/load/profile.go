package load

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of a profile.
const (
	MaxRate     = 1_000_000 // arrivals per second
	MaxDuration = 24 * time.Hour
	maxSteps    = 1000
)

// Step is a stretch of time in which the rate goes from From to To in a straight
// line, arrivals per second.
type Step struct {
	From, To float64
	Lasts    time.Duration
}

// Profile is the rate over time: its steps, one after the other.
type Profile []Step

// Constant is a profile of one rate.
func Constant(rate float64, lasts time.Duration) Profile { return Profile{{rate, rate, lasts}} }

// ParseRamp reads FROM:TO:DURATION,..., for example 100:1000:30s,1000:1000:1m. An
// error says which step is wrong.
func ParseRamp(text string) (p Profile, err error) {
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Split(strings.TrimSpace(part), ":")
		if len(fields) != 3 {
			return nil, fmt.Errorf("ramp: %q is no step; write FROM:TO:DURATION, for example 100:1000:30s", part)
		}
		var s Step
		var errs [3]error
		s.From, errs[0] = strconv.ParseFloat(fields[0], 64)
		s.To, errs[1] = strconv.ParseFloat(fields[1], 64)
		s.Lasts, errs[2] = time.ParseDuration(fields[2])
		for i, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("ramp: %q: %q is no %s", part, fields[i], [...]string{"rate", "rate", "duration such as 30s"}[i])
			}
		}
		p = append(p, s)
	}
	return p, p.Validate()
}

// Validate reports the first impossible step.
func (p Profile) Validate() error {
	if len(p) == 0 || len(p) > maxSteps {
		return fmt.Errorf("rate: a run has %d steps; use 1 to %d", len(p), maxSteps)
	}
	for _, s := range p {
		switch {
		case !(s.From >= 0 && s.From <= MaxRate && s.To >= 0 && s.To <= MaxRate):
			return fmt.Errorf("rate: %v to %v per second is out of range; use 0 to %d", s.From, s.To, MaxRate)
		case s.Lasts <= 0 || s.Lasts > MaxDuration:
			return fmt.Errorf("rate: a step of %s is out of range; use more than 0 and at most %s", s.Lasts, MaxDuration)
		}
	}
	if d := p.Duration(); d > MaxDuration {
		return fmt.Errorf("rate: all steps together last %s; a run may last %s", d, MaxDuration)
	}
	if p.Total() < 1 {
		return fmt.Errorf("rate: the run would see %.3g arrivals; raise rate or duration", p.Total())
	}
	return nil
}

// Duration is how long all steps last together.
func (p Profile) Duration() (d time.Duration) {
	for _, s := range p {
		d += s.Lasts
	}
	return d
}

// Total is the expected number of arrivals.
func (p Profile) Total() (n float64) {
	for _, s := range p {
		n += s.arrivals()
	}
	return n
}

func (s *Step) arrivals() float64 { return (s.From + s.To) / 2 * s.Lasts.Seconds() }

// after returns when n arrivals of the step have come, n at most s.arrivals(): the
// solution of From*t + slope*t^2/2 = n in the form that loses no digits when the
// slope is small and needs no case for none.
func (s *Step) after(n float64) time.Duration {
	if n <= 0 {
		return 0
	}
	slope := (s.To - s.From) / s.Lasts.Seconds()
	root := math.Sqrt(max(0, s.From*s.From+2*slope*n))
	return min(s.Lasts, time.Duration(math.Round(2*n/(s.From+root)*float64(time.Second))))
}

// cursor walks along a profile; positions must rise.
type cursor struct {
	rest   Profile
	passed float64       // arrivals of the steps before rest
	begins time.Duration // of rest
}

// at returns when n arrivals have come since the start, false past the end.
func (c *cursor) at(n float64) (time.Duration, bool) {
	for len(c.rest) > 0 {
		s := &c.rest[0]
		// The last digit of a sum must not make an arrival at the very end.
		if size := s.arrivals(); n-c.passed >= size*(1-1e-12) {
			c.passed += size
			c.begins += s.Lasts
			c.rest = c.rest[1:]
			continue
		}
		return c.begins + s.after(n-c.passed), true
	}
	return 0, false
}

// String returns the profile in the form that ParseRamp reads.
func (p Profile) String() string {
	var parts []string
	for _, s := range p {
		parts = append(parts, fmt.Sprintf("%g:%g:%s", s.From, s.To, s.Lasts))
	}
	return strings.Join(parts, ",")
}
