package synth

import (
	"math"
	"math/rand/v2"
	"time"
)

// A day is a wave of one period and one of half of it: people sleep, and click
// most in the late morning and in the evening. Hours and amplitudes give peaks
// near 10:00 and 20:00 and a trough near 03:00 at a sixth of the peak.
const (
	dayWave, dayTop   = 0.35, 15.0
	halfWave, halfTop = 0.40, 9.0
)

func wave(hour float64) float64 {
	return 1 + dayWave*math.Cos(2*math.Pi*(hour-dayTop)/24) + halfWave*math.Cos(4*math.Pi*(hour-halfTop)/24)
}

// wavePeak is the maximum of wave.
var wavePeak = func() (peak float64) {
	for minute := range 24 * 60 {
		peak = max(peak, wave(float64(minute)/60))
	}
	return peak
}()

// shape returns the activity of people at an hour of the day, 0 to 24, as a part
// of that at the busiest time.
func shape(hour float64) float64 { return min(1, wave(hour)/wavePeak) }

// meanShape is the mean of shape over a day: both waves add up to nothing.
func meanShape() float64 { return 1 / wavePeak }

// end is when traffic stops.
func (w *world) end() time.Duration {
	if w.Duration == 0 {
		return math.MaxInt64
	}
	return w.Duration
}

// hour is the hour of the day at t.
func (w *world) hour(t time.Duration) float64 {
	return math.Mod(24*float64(t)/float64(w.Day)+w.Opening.Hours(), 24)
}

// arrival returns the next event after t of a Poisson process of rate per
// second, or end when there is none before it.
func arrival(r *rand.Rand, t, end time.Duration, rate float64) time.Duration {
	if gap := r.ExpFloat64() / rate * float64(time.Second); gap < float64(end-t) {
		return t + time.Duration(gap)
	}
	return end
}

// arrivalByDay is arrival with the rate of the hour, by thinning (Lewis and
// Shedler 1979): events at the peak rate are kept with the probability shape.
func (w *world) arrivalByDay(r *rand.Rand, t time.Duration, peak float64) time.Duration {
	for end := w.end(); ; {
		if t = arrival(r, t, end, peak); t == end || r.Float64() < shape(w.hour(t)) {
			return t
		}
	}
}
