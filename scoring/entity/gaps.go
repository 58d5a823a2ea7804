package entity

import (
	"math"
	"math/bits"
)

const (
	// shortest is the gap that shorter ones count as: times may be whole seconds, and
	// a finger may press twice.
	shortest = 500_000
	// forgetting is how long a silence is that begins a new series.
	forgetting = 2 * 3600 * 1_000_000
	// mostGaps is how many gaps weigh in at most; then older ones weigh half.
	mostGaps = 256
	fraction = 8 // bits behind the point of a logarithm
)

// Gaps measures how evenly events come: the standard deviation of the binary logarithm
// of the gaps between them. Of a crowd, whose clicks come as a Poisson process, it is
// pi/sqrt(6)/ln(2) = 1.85 octaves whatever the rate; of a machine with a timer that
// varies by half it is 0.44. The logarithm keeps one pause from hiding a hundred even
// gaps. The zero value is ready; it holds integers only.
type Gaps struct {
	last int64 // newest event, Unix microseconds; 0 is none yet
	sum  int64 // of the logarithms
	sum2 int64 // of their squares
	n    uint32
}

// Observe notes an event at time t, Unix microseconds.
func (g *Gaps) Observe(t int64) {
	if g.last == 0 {
		g.last = t
		return
	}
	gap := t - g.last
	if gap < 0 {
		gap = -gap // out of order
	}
	g.last = max(g.last, t)
	if gap > forgetting {
		g.n, g.sum, g.sum2 = 0, 0, 0
		return
	}
	if g.n == mostGaps {
		g.n, g.sum, g.sum2 = g.n/2, g.sum/2, g.sum2/2
	}
	l := log2(uint64(max(gap, shortest)))
	g.n++
	g.sum += l
	g.sum2 += l * l
}

// Since is how long after the newest event t is, in microseconds.
func (g *Gaps) Since(t int64) int64 { return t - g.last }

// Count is how many gaps were measured, at most 256.
func (g *Gaps) Count() float64 { return float64(g.n) }

// Octaves is the standard deviation of the gaps' binary logarithms; 0 below two gaps.
func (g *Gaps) Octaves() float64 {
	if g.n < 2 {
		return 0
	}
	n := int64(g.n)
	spread := max(0, n*g.sum2-g.sum*g.sum)
	return math.Sqrt(float64(spread)/float64(n*(n-1))) / (1 << fraction)
}

// Typical is the geometric mean of the gaps in seconds; 0 without a gap.
func (g *Gaps) Typical() float64 {
	if g.n == 0 {
		return 0
	}
	return math.Exp2(float64(g.sum)/float64(g.n)/(1<<fraction)) / 1e6
}

// log2 is the binary logarithm of x, at least 1, in 256ths, straight between powers of
// two (Mitchell, 1962): off by less than 0.09, and exact to repeat.
func log2(x uint64) int64 {
	e := bits.Len64(x) - 1
	f := x << (63 - e) << 1 >> (64 - fraction)
	return int64(e)<<fraction | int64(f)
}
