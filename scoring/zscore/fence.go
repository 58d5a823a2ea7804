package zscore

import "math"

const (
	// FarOut is how many interquartile ranges beyond the quartiles Tukey's outer fence stands (Exploratory Data
	// Analysis, 1977): what is past it he calls far out.
	FarOut = 3.0

	// iqrToSigma is the interquartile range of a normal distribution, in standard deviations.
	iqrToSigma = 1.349
)

// Beyond says how many interquartile ranges x lies outside the quartiles: above q3 it is positive, below q1 negative,
// between them 0; within ±Limit. So x is past Tukey's fences q1 - k IQR and q3 + k IQR where it is beyond ±k.
//
// A range narrower than that of a normal distribution with standard deviation floor is taken for it: where three
// quarters of the values are equal the range is 0, and then everything else would be far out. What is not a number
// scores 0, and a floor that is not positive is taken for 1, as by Robust.
//
// The medcouple (Hubert and Vandervieren, 2008) is left out on purpose. It multiplies the range, by up to e^3 = 20,
// so it cannot help where the range is 0; among values that equal the median it rests on a convention; and it hands
// a factor of 20 to whoever brings a quarter of the keys.
func Beyond(x, q1, q3, floor float64) float64 {
	if !(floor > 0) {
		floor = 1
	}
	width := max(float64(q3-q1), float64(iqrToSigma*floor))
	out := 0.0
	switch {
	case x > q3:
		out = float64(x-q3) / width
	case x < q1:
		out = float64(x-q1) / width
	}
	if math.IsNaN(out) || math.IsNaN(width) {
		return 0
	}
	return max(-Limit, min(Limit, out))
}
