package iforest

import "math"

// Length is a path length, or a difference of two: cuts in units of 2^-40.
// Integers, because their sums do not depend on the order of terms.
type Length int64

const fraction = 40

// Cuts returns l as a number of cuts.
func (l Length) Cuts() float64 { return float64(l) * (1.0 / (1 << fraction)) }

// averageLengths returns c(n) for n = 0..most: what a leaf of n rows would still
// be deep if it were cut on, which is the mean depth of an unsuccessful search in
// a binary search tree of n keys, 2 H(n-1) - 2 (n-1)/n (Liu et al. 2008, eq. 1).
// The harmonic number H is summed up rather than estimated by ln(n) + 0.5772,
// which is 38 % off at n = 3 and needs a logarithm.
func averageLengths(most int) []Length {
	c := make([]Length, most+1)
	harmonic := 0.0
	for n := 2; n <= most; n++ {
		harmonic += 1 / float64(n-1)
		cuts := float64(2*harmonic) - float64(float64(2*(n-1))/float64(n))
		c[n] = Length(math.RoundToEven(cuts * (1 << fraction)))
	}
	return c
}

// exp2Terms are ln(2)^k / k!, the Taylor series of 2^x: at |x| <= 1/2 the rest
// after term 13 is below 5e-18.
var exp2Terms = [14]float64{
	1, 0.6931471805599453, 0.2402265069591007, 0.05550410866482158, 0.009618129107628477,
	0.0013333558146428443, 0.0001540353039338161, 1.5252733804059841e-05, 1.321548679014431e-06,
	1.01780860092397e-07, 7.054911620801123e-09, 4.4455382718708116e-10, 2.5678435993488202e-11,
	1.3691488853904128e-12,
}

// exp2 returns 2^x for -1000 < x < 1000. math.Exp2 is assembly on some platforms
// and other bits there. Even and odd powers are summed side by side, which halves
// the wait.
func exp2(x float64) float64 {
	k := math.RoundToEven(x)
	r := x - k
	s := float64(r * r)
	even, odd := exp2Terms[12], exp2Terms[13]
	for i := 10; i >= 0; i -= 2 {
		even = float64(even*s) + exp2Terms[i]
		odd = float64(odd*s) + exp2Terms[i+1]
	}
	power := math.Float64frombits(uint64(int64(k)+1023) << 52)
	return float64(even+float64(odd*r)) * power
}
