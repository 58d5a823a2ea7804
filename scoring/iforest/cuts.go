package iforest

import "math"

// term is one column's part in a slanted cut.
type term struct {
	column         uint32
	origin, weight float32
}

// at is rounded on its own, so that it is never fused into a sum.
func (t *term) at(x []float32) float64 {
	return float64(float64(t.weight) * (float64(x[t.column]) - float64(t.origin)))
}

// cuts are slanted cuts one after the other, each with the same number of terms
// in rising order of columns. Nodes count them from 1.
type cuts []term

// of returns the terms of the cut that a node names.
func (c cuts) of(node uint32, terms int) cuts {
	to := int(node) * terms
	return c[to-terms : to]
}

// right returns on which side of a single cut x is, 0 for left and 1 for right:
// right is everything that is not below zero, NaN too.
func (c cuts) right(x []float32) int {
	sum := 0.0
	for i := range c {
		sum += c[i].at(x)
	}
	if sum < 0 {
		return 0
	}
	return 1
}

// total sums the magnitudes of a single cut's terms; 0 where it is no yardstick.
func (c cuts) total(x []float32) float64 {
	total := 0.0
	for i := range c {
		total += math.Abs(c[i].at(x))
	}
	if total <= math.MaxFloat64 {
		return total
	}
	return 0
}
