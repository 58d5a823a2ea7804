package fraudrange

import (
	"math"
	"math/rand/v2"
	"time"
)

// shape is how active a kind of people is over a week.
type shape struct {
	night   float64 // what is left at the quietest time
	bumps   []bump
	weekend float64 // Saturdays and Sundays against other days
}

// bump is a peak of activity at an hour of the day, with a width in hours.
type bump struct{ hour, width, height float64 }

// at returns the activity at an hour of the week, from Monday, as a part of about 1.
func (s *shape) at(weekHour float64) float64 {
	hour := math.Mod(weekHour, 24)
	x := s.night
	for _, b := range s.bumps {
		d := math.Abs(hour - b.hour)
		d = min(d, 24-d)
		x += b.height * math.Exp(-d*d/(2*b.width*b.width))
	}
	if weekHour >= 5*24 {
		x *= s.weekend
	}
	return x
}

// weekMean and weekPeak look at every quarter of an hour.
func (s *shape) weekMean() (mean float64) {
	for i := range 7 * 24 * 4 {
		mean += s.at(float64(i)/4) / (7 * 24 * 4)
	}
	return mean
}

func (s *shape) weekPeak() (peak float64) {
	for i := range 7 * 24 * 4 {
		peak = max(peak, s.at(float64(i)/4))
	}
	return peak * 1.02 // between two quarters it may be a little higher
}

// weekHour is the hour of the week at t since the start.
func (w *World) weekHour(t time.Duration) float64 { return math.Mod(w.opening+t.Hours(), 7*24) }

// arrival returns the next event after t of a Poisson process of rate per second.
func arrival(r *rand.Rand, t time.Duration, rate float64) time.Duration {
	return t + time.Duration(min(r.ExpFloat64()/rate, 1e8)*float64(time.Second))
}

// between draws from [low, high); low when there is nothing between.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(r.Int64N(int64(high-low)))
}
