package series

import "math"

// trail is the last values of something, newest first in one piece. Each value is kept twice, a length apart, so that
// nothing has to move.
type trail struct {
	twice []float64
	at, n int
}

// newTrail returns a trail of the newest value and so many earlier ones.
func newTrail(earlier int) *trail { return &trail{twice: make([]float64, 2*(earlier+1))} }

// push takes a value in and returns the trail: at index i what was i values ago.
func (t *trail) push(v float64) []float64 {
	length := len(t.twice) / 2
	t.at = (t.at + length - 1) % length
	t.twice[t.at], t.twice[t.at+length] = v, v
	t.n = min(t.n+1, length)
	return t.back()
}

func (t *trail) back() []float64 { return t.twice[t.at : t.at+t.n] }

// view watches a series in one unit: its values, or their ranks.
type view struct {
	apart    int
	past     *trail
	step     float64 // mean of the steps that were any
	steps    float64
	patterns []pattern
	level    level
}

func newView(cfg *Config) view {
	v := view{apart: cfg.Apart, past: newTrail(cfg.Window), level: newLevel(cfg)}
	for _, length := range cfg.Patterns {
		v.patterns = append(v.patterns, newPattern(length, cfg))
	}
	return v
}

// observe takes a value in and returns the longest return period of what is strange about it, in points.
func (v *view) observe(value float64, near []int) (period float64) {
	past := v.past.push(value)
	if len(past) > 1 && value != past[1] {
		v.steps++
		v.step += (math.Abs(value-past[1]) - v.step) / v.steps
	}
	for i := range v.patterns {
		p := &v.patterns[i]
		p.fade(past)
		period = max(period, p.times.observe(p.gaps[:len(past)], near, v.step))
	}
	return max(period, v.level.observe(value, near, v.step))
}

// pattern compares the last points with those of every lag before.
type pattern struct {
	keep  float64   // what a point's weight falls to with the next one
	gaps  []float64 // by lag: fading mean of the gaps between points a lag apart
	times times
}

func newPattern(length int, cfg *Config) pattern {
	return pattern{1 - 1/float64(length), make([]float64, cfg.Window+1), newTimes(cfg)}
}

// fade moves all gaps by one point: a lag is the same stretch one point on, so each takes one step only, however long
// the pattern.
func (p *pattern) fade(past []float64) {
	value, weight := past[0], 1-p.keep
	gaps := p.gaps[:len(past)]
	for lag, then := range past {
		gaps[lag] = float64(p.keep*gaps[lag]) + float64(weight*math.Abs(value-then))
	}
}

// level compares the mean and the scatter around it, both fading, with those of every lag before.
type level struct {
	weight  float64
	mean    float64
	scatter float64
	means   *trail
	scats   *trail
	gaps    []float64 // scratch, by lag
	times   times
}

func newLevel(cfg *Config) level {
	return level{
		weight: 1 / float64(cfg.Level), means: newTrail(cfg.Window), scats: newTrail(cfg.Window),
		gaps: make([]float64, cfg.Window+1), times: newTimes(cfg),
	}
}

func (l *level) observe(value float64, near []int, step float64) float64 {
	if l.means.n == 0 {
		l.mean = value
	}
	l.scatter += float64(l.weight * (math.Abs(value-l.mean) - l.scatter))
	l.mean += float64(l.weight * (value - l.mean))
	means, scats := l.means.push(l.mean), l.scats.push(l.scatter)
	gaps := l.gaps[:len(means)]
	for lag := range gaps {
		gaps[lag] = math.Abs(l.mean-means[lag]) + math.Abs(l.scatter-scats[lag])
	}
	return l.times.observe(gaps, near, step)
}

// times turns distances by lag into return periods: among all the past, and among the same hours of it.
type times struct {
	apart     int
	any, same tail
}

func newTimes(cfg *Config) times {
	return times{cfg.Apart, newTail(cfg.Apart), newTail(cfg.Apart)}
}

func (t *times) observe(gaps []float64, near []int, step float64) (period float64) {
	if d := t.nearest(gaps); !math.IsInf(d, 1) {
		period = t.any.observe(d, step)
	}
	if d := t.nearestOf(gaps, near); !math.IsInf(d, 1) {
		period = max(period, t.same.observe(d, step))
	}
	return period
}

// two holds the nearest and the second nearest occurrence.
type two struct{ first, second float64 }

func (n *two) take(d float64) {
	switch {
	case d < n.first:
		n.first, n.second = d, n.first
	case d < n.second:
		n.second = d
	}
}

// nearest returns the distance of the second nearest occurrence, +Inf where there are not two. Lags below Apart belong
// to the present, and of Apart lags in a row only the nearest counts.
func (t *times) nearest(gaps []float64) float64 {
	best := two{math.Inf(1), math.Inf(1)}
	for from := t.apart; from < len(gaps); from += t.apart {
		least := gaps[from]
		for _, d := range gaps[from:min(from+t.apart, len(gaps))] {
			if d < least {
				least = d
			}
		}
		best.take(least)
	}
	return best.second
}

// nearestOf is nearest among some lags, which rise.
func (t *times) nearestOf(gaps []float64, lags []int) float64 {
	best := two{math.Inf(1), math.Inf(1)}
	least, end := math.Inf(1), 0
	for _, lag := range lags {
		if lag >= end {
			best.take(least)
			least, end = math.Inf(1), lag-lag%t.apart+t.apart
		}
		least = min(least, gaps[lag])
	}
	best.take(least)
	return best.second
}
