// Package series judges a series of any values, point by point: how rare is what it does now, by its own past?
//
// Three questions are asked, each of the values and of their ranks, so that a fall of a series that shoots up counts as
// well:
//
//   - Was there ever a pattern like the last points'? The distance of two stretches is the mean of the gaps between
//     their points, the newest counting most; the distance to the second nearest stretch of the past tells how new the
//     present one is. One that came once before is still new: an incident must not excuse the next one. (Nearest
//     neighbours of lagged vectors: Burnaev and Ishimtsev, Conformalized density- and distance-based anomaly detection
//     in time-series data, 2016.)
//   - Was it ever at this hour of the day?
//   - Had it ever this mean and this scatter?
//
// None of these distances has a unit that says anything, so each is turned into its return period: after how many points
// one as large is to be expected, by the largest ones of earlier stretches of time and the tail that fits them (Hill, A
// simple general approach to inference about the tail of a distribution, 1975; for streams Siffer et al., Anomaly
// detection in streams with extreme value theory, 2017). The longest period is what counts.
package series

import (
	"math"
	"slices"
	"time"
)

// Detector judges one series while it comes. It knows nothing of clocks, stores and later points: the same points give
// the same scores. Its memory is fixed by the configuration (about one megabyte by default), and a point costs no
// allocation. It is not safe for concurrent use.
type Detector struct {
	cfg    Config
	values view
	ranks  view
	sorted []float64 // the remembered values
	hours  *trail    // seconds of the day
	near   []int     // scratch: lags of the same hour
	quiet  int       // points left in which none rings
	told   float64   // return period of what rang last
}

// New returns a detector of a valid configuration, which has seen nothing.
func New(cfg Config) *Detector {
	cfg.Patterns = slices.Clone(cfg.Patterns)
	return &Detector{
		cfg: cfg, values: newView(&cfg), ranks: newView(&cfg), hours: newTrail(cfg.Window),
		sorted: make([]float64, 0, cfg.Window+1), near: make([]int, 0, cfg.Window),
	}
}

// again is how much rarer than what rang a point must be to ring in the quiet time after it. Beyond again*again periods
// there is no rarer: so far out a return period is a guess, and one incident rings three times at most.
const again = 4

// limit bounds values, so that no distance overflows.
const limit = 1e300

// Observe judges the point at t and takes it in; points come in order of time. The score is 0 to 1: p/(p+Period), where
// p is after how many points something as strange is to be expected. It rings from one half on; for Quiet points after
// that the score of what is not four times as rare again is 0. It is 0, too, without a past to compare with. A value
// that is no finite number scores 0 and changes nothing; beyond ±1e300 values count as that.
func (d *Detector) Observe(t time.Time, value float64) (score float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0
	}
	value = max(-limit, min(value, limit))
	d.sameHour(t)
	rank := d.rank(value)
	period := max(d.values.observe(value, d.near), d.ranks.observe(rank, d.near))
	score = 1 - float64(d.cfg.Period)/(period+float64(d.cfg.Period))
	rarity := min(period, float64(again*again*d.cfg.Period))
	if d.quiet > 0 {
		if d.quiet--; rarity < again*d.told {
			return 0
		}
	}
	if score >= 0.5 {
		d.quiet, d.told = d.cfg.Quiet, rarity
	}
	return score
}

// Hours of the day are compared within half an hour.
const (
	day      = 24 * 60 * 60
	halfHour = 30 * 60
)

// sameHour collects the lags at which it was this hour of the day.
func (d *Detector) sameHour(t time.Time) {
	now := float64((t.Unix()%day + day) % day)
	hours := d.hours.push(now)
	d.near = d.near[:0]
	for lag := d.cfg.Apart; lag < len(hours); lag++ {
		if apart := math.Abs(now - hours[lag]); apart <= halfHour || apart >= day-halfHour {
			d.near = append(d.near, lag)
		}
	}
}

// rank takes a value in and returns which share of the remembered ones is below it, those that equal it by half.
func (d *Detector) rank(value float64) float64 {
	if past := d.values.past.back(); len(past) > d.cfg.Window {
		at, _ := slices.BinarySearch(d.sorted, past[d.cfg.Window])
		d.sorted = slices.Delete(d.sorted, at, at+1)
	}
	below, _ := slices.BinarySearch(d.sorted, value)
	to, _ := slices.BinarySearchFunc(d.sorted, value, func(a, b float64) int {
		if a <= b {
			return -1
		}
		return 1
	})
	d.sorted = slices.Insert(d.sorted, to, value)
	return (float64(below+to) + 1) / float64(2*len(d.sorted))
}
