package fraudeval

import "math"

// Rate is a proportion over all seeds with one-sided bounds of 95 % each.
type Rate struct {
	Hits  float64 `json:"hits"` // clicks or micros
	Of    float64 `json:"of"`
	Value float64 `json:"value"` // Hits / Of; 0 of nothing
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// part is what one seed gives to a proportion.
type part struct {
	hits, of float64
	clicks   int // behind of
}

const z95 = 1.6448536269514722 // quantile of the normal distribution at 0.95

// rateOf estimates hits / of. Clicks of one seed are alike, so they count for fewer
// than they are: the variance is that between seeds (the ratio estimator of cluster
// sampling), from which follows how many independent clicks would be worth as much.
// Wilson's interval is taken for that number, reduced for few seeds by Student's t
// (Korn and Graubard, Confidence intervals for proportions with small expected
// number of positive counts estimated from survey data, 1998). Where seeds do not
// differ at all, or there is one only, all clicks count.
func rateOf(parts []part) Rate {
	var r Rate
	n, seeds := 0, 0
	for _, p := range parts {
		if p.of > 0 {
			r.Hits, r.Of = r.Hits+p.hits, r.Of+p.of
			n += p.clicks
			seeds++
		}
	}
	if r.Of == 0 {
		r.High = 1
		return r
	}
	r.Value = r.Hits / r.Of
	r.Low, r.High = wilson(r.Value, effective(parts, r, n, seeds))
	return r
}

func effective(parts []part, r Rate, n, seeds int) float64 {
	if seeds < 2 {
		return float64(n)
	}
	variance := 0.0
	for _, p := range parts {
		d := p.hits - r.Value*p.of
		variance += d * d
	}
	variance *= float64(seeds) / float64(seeds-1) / (r.Of * r.Of)
	if alone := r.Value * (1 - r.Value); variance > 0 && alone > 0 {
		t := student95(seeds - 1)
		return min(float64(n), alone/variance) * (z95 / t) * (z95 / t)
	}
	return float64(n)
}

// wilson returns Wilson's score bounds for a proportion of n.
func wilson(p, n float64) (low, high float64) {
	if n <= 0 {
		return 0, 1
	}
	z2 := z95 * z95
	centre := p + z2/(2*n)
	spread := z95 * math.Sqrt(p*(1-p)/n+z2/(4*n*n))
	low, high = max(0, (centre-spread)/(1+z2/n)), min(1, (centre+spread)/(1+z2/n))
	switch p { // exact where rounding would leave a rest
	case 0:
		low = 0
	case 1:
		high = 1
	}
	return low, high
}

// student95 is the quantile at 0.95 of Student's t with so many degrees of freedom:
// exact for 1 and 2, else the expansion of Abramowitz and Stegun 26.7.5.
func student95(df int) float64 {
	switch df {
	case 1:
		return math.Tan(math.Pi * 0.45)
	case 2:
		return 0.9 / math.Sqrt(2*0.95*0.05)
	}
	z, v := z95, float64(df)
	z3, z5, z7 := z*z*z, math.Pow(z, 5), math.Pow(z, 7)
	return z + (z3+z)/(4*v) + (5*z5+16*z3+3*z)/(96*v*v) + (3*z7+19*z5+17*z3-15*z)/(384*v*v*v)
}
