package alerts

import (
	"fmt"
	"math"
	"time"
)

// SeriesConfig sets how a recorded series of any values is judged, in points of the series.
type SeriesConfig struct {
	Detector DetectorConfig
	// Smooth is how many points the second pace takes the mean of: what drifts in small steps stands out there.
	Smooth int
	// HalfLife is after how many points half of a record is forgotten.
	HalfLife int
	// Quiet is for how many points after a ring none rings, unless it is twice as strange as anything before.
	Quiet int
}

// again is the score of a point that is twice as strange as the record.
const again = 2.0 / 3

// DefaultSeries returns the configuration for series of unknown kind, chosen on the AWS, traffic and artificial files of
// the Numenta Anomaly Benchmark together: the detector of minute counts with a longer past, without hours of earlier
// days, and with the least spread from the steps of the series itself, since its values need not be counts.
func DefaultSeries() SeriesConfig {
	d := DefaultDetector()
	d.Window, d.Warmup, d.Unit, d.Hours = 288, 50, 0, false
	return SeriesConfig{Detector: d, Smooth: 12, HalfLife: 10 * d.Window, Quiet: d.Window / 2}
}

// Validate reports the first impossible value.
func (c *SeriesConfig) Validate() error {
	switch {
	case c.Smooth < 1 || c.Smooth > c.Detector.Window:
		return fmt.Errorf("smooth: %d is out of range; use 1 to Window points", c.Smooth)
	case c.HalfLife < 1:
		return fmt.Errorf("half-life: %d is out of range; use 1 point or more", c.HalfLife)
	case c.Quiet < 0:
		return fmt.Errorf("quiet: %d is out of range; use 0 points or more", c.Quiet)
	}
	return c.Detector.Validate()
}

// Recorded judges a recorded series as it would have been judged while it came: one point after the other, with the
// alerts' detector and its own past as the baseline, and nothing known of later points. It knows nothing of stores and
// clocks, and is not safe for concurrent use.
//
// Two detectors look on, one at the points and one at means of a few. What they find strange is held against the
// strangest so far, because series differ: one that shoots up every hour rings no more for it, one that never moved
// rings for little. A record is never below DetectorConfig.Open, and is forgotten slowly. Of a sequence without order
// only few points are records, whatever its distribution (about the logarithm of its length; Rényi, 1962), which bounds
// false alarms without knowing the series.
type Recorded struct {
	cfg    SeriesConfig
	paces  [2]pace
	decay  float64
	recent []float64 // ring of Smooth points
	next   int
	quiet  int // points left in which none rings
}

type pace struct {
	d      *Detector
	record float64
}

// NewRecorded returns a replay of a valid configuration, which has seen nothing.
func NewRecorded(cfg SeriesConfig) *Recorded {
	r := &Recorded{cfg: cfg, decay: math.Exp2(-1 / float64(cfg.HalfLife)), recent: make([]float64, 0, cfg.Smooth)}
	for i := range r.paces {
		r.paces[i] = pace{NewDetector(cfg.Detector), cfg.Detector.Open}
	}
	return r
}

// Observe judges the point at t and takes it in; points come in order of time. The score is 0 to 1: one half where a
// point is as strange as the strangest so far, which is where it rings, and 0 without a baseline and, but for what is
// twice as strange, shortly after a ring. A value that is no finite number scores 0 and changes nothing.
func (r *Recorded) Observe(t time.Time, value float64) (score float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0
	}
	point := r.paces[0].observe(t, value, r.cfg.Detector.Open, r.decay)
	score = max(point, r.paces[1].observe(t, r.smooth(value), r.cfg.Detector.Open, r.decay))
	if r.quiet > 0 {
		r.quiet--
		if score = point; score < again { // means follow late: they tell of the same once more
			return 0
		}
	}
	if score >= 0.5 {
		r.quiet = r.cfg.Quiet
	}
	return score
}

// smooth returns the mean of the last few values.
func (r *Recorded) smooth(value float64) float64 {
	if len(r.recent) < cap(r.recent) {
		r.recent = append(r.recent, value)
	} else {
		r.recent[r.next] = value
		r.next = (r.next + 1) % len(r.recent)
	}
	mean := 0.0
	for _, v := range r.recent { // divided first: the sum of huge values would overflow
		mean += float64(v / float64(len(r.recent)))
	}
	return mean
}

func (p *pace) observe(t time.Time, value, least, decay float64) float64 {
	young := p.d.State() == NoBaseline
	z, _ := p.d.Observe(t, value)
	if young {
		return 0
	}
	strange := math.Abs(z)
	score := strange / (strange + p.record)
	p.record = max(least, float64(p.record*decay), strange)
	return score
}
