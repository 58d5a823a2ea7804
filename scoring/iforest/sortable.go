package iforest

import "math"

// sortable maps a float32 to an integer so that the order of integers is the
// order of numbers: -Inf lowest, one zero, +Inf, then NaN.
func sortable(x float32) uint32 {
	if x != x {
		return math.MaxUint32
	}
	b := math.Float32bits(x + 0) // -0 + 0 is +0
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

// pack returns a node that sends a value left when its sortable form, without the
// low bits, is less than cut. A packed node is never 0, which means no cut.
func pack(column int, cut uint32, columnBits int) uint32 {
	return cut<<columnBits | uint32(column)
}

// probe is what a value is compared as with whole nodes, column and all:
//
//	value is right of the cut  <=>  node < probe
//
// The low bits are all ones, so that among equal high bits no column exceeds
// them, and one more makes the comparison strict.
func probe(x float32, columnBits int) int64 {
	return int64(sortable(x)|(1<<columnBits-1)) + 1
}
