package lab

import (
	"math"
	"time"
)

// gaussianWindow is how many points the baseline remembers.
const gaussianWindow = 1000

// Gaussian is the simplest detector that is worth comparing with: how far is a value from the mean of the points before
// it, in their standard deviations? It is written for this comparison, after the windowed Gaussian that the Numenta
// Anomaly Benchmark lists (Lavin and Ahmad, 2015), with a window of 1000 points and nothing tuned.
type Gaussian struct {
	past []float64
	next int
}

// Observe judges a value against the window and takes it in. The score is z/(1+z), which has the order of the tail
// probability that others use, and does not round to 1 beyond z = 8; it is 0 for the first two points.
func (g *Gaussian) Observe(_ time.Time, value float64) (score float64) {
	mean, deviation := moments(g.past)
	switch away := math.Abs(value - mean); {
	case len(g.past) < 2 || away == 0:
	case deviation == 0:
		score = 1
	default:
		score = 1 - 1/(1+away/deviation)
	}
	if len(g.past) < gaussianWindow {
		g.past = append(g.past, value)
	} else {
		g.past[g.next] = value
		g.next = (g.next + 1) % gaussianWindow
	}
	return score
}

// moments returns mean and standard deviation, summed anew: running sums of large values lose the small ones.
func moments(values []float64) (mean, deviation float64) {
	n := float64(len(values))
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		deviation += (v - mean) / n * (v - mean)
	}
	return mean, math.Sqrt(deviation)
}
