package zscore

import (
	"math"
	"slices"
)

const (
	// Flagged is the score past which an observation is called an anomaly (Iglewicz and Hoaglin, 1993).
	Flagged = 3.5
	// Limit bounds every score, so that no feature, JSON or product of scores is ever infinite.
	Limit = 1e6

	madToSigma = 1.4826 // MAD of a normal distribution is sigma / 1.4826
)

// CountFloor is the least spread of counts around a median: sqrt(max(median, 1)), in units. A unit is what one event
// adds: 1 for plain counts, 0.087 for counts that were scaled by it, so that scaling a series changes no score. A unit
// that is not positive and finite is taken for 1.
func CountFloor(median, unit float64) float64 {
	if !(unit > 0) || math.IsInf(unit, 1) {
		unit = 1
	}
	n := median / unit
	if !(n > 1) {
		n = 1
	}
	return float64(unit * math.Sqrt(n))
}

// Robust returns (x - median) / max(1.4826 mad, floor), within ±Limit. Equal x and median score exactly 0. It is
// finite for all arguments: what is not a number scores 0, and a floor that is not positive is taken for 1.
func Robust(x, median, mad, floor float64) float64 {
	if x == median || math.IsNaN(x) || math.IsNaN(median) {
		return 0
	}
	spread := float64(madToSigma * mad)
	if !(floor > 0) {
		floor = 1
	}
	if !(spread > floor) {
		spread = floor
	}
	if math.IsInf(spread, 1) {
		return 0
	}
	return max(-Limit, min(Limit, float64(x-median)/spread))
}

// MedianMAD returns median and median absolute deviation of values, which it sorts and overwrites. ok is false for
// fewer than MinBaseline values or when one is not a finite number.
func MedianMAD(values []float64) (median, mad float64, ok bool) {
	if len(values) < MinBaseline || slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }) {
		return 0, 0, false
	}
	slices.Sort(values)
	median = middle(values)
	for i, v := range values {
		values[i] = math.Abs(float64(v - median))
	}
	slices.Sort(values)
	return median, middle(values), true
}

func middle(sorted []float64) float64 {
	low, high := sorted[(len(sorted)-1)/2], sorted[len(sorted)/2]
	if low == high {
		return low
	}
	return float64(low/2) + float64(high/2) // halves first: the sum of two huge values would overflow
}
