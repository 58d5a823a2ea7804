package lab

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// FalseRates are the false-positive rates at which recall is reported.
var FalseRates = []float64{0.0001, 0.001, 0.01, 0.1}

// Interval is a figure with the bounds of its bootstrap interval.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Quality is how well a score puts invalid clicks above valid ones.
type Quality struct {
	AUROC     Interval   `json:"auroc"`             // area under the ROC curve, 0.5 by chance
	Precision Interval   `json:"average_precision"` // the share of invalid clicks by chance
	Recall    []Interval `json:"recall"`            // at FalseRates
}

// weights are valid and invalid clicks of one score.
type weights struct{ valid, fraud float64 }

// Ranking gathers scores of labelled clicks, each once. Its intervals come from a bootstrap over addresses (Poisson
// weights, Hanley and MacGibbon, 2006; by groups, because clicks of one address hang together): each replicate gives
// every address a weight by a hash, so that memory does not grow with the clicks. Figures are exact; replicates put
// scores that differ by less than 0.4 % into one. Not safe for concurrent use.
type Ranking struct {
	seed       uint64
	replicates int
	exact      map[float32]*weights
	sampled    map[uint32][]weights // by the upper bits of the score, by replicate
}

// NewRanking returns an empty ranking; replicates may be 0 for no intervals.
func NewRanking(replicates int, seed uint64) *Ranking {
	return &Ranking{seed: seed, replicates: replicates, exact: map[float32]*weights{}, sampled: map[uint32][]weights{}}
}

// Weights are what the replicates count an address for.
func (r *Ranking) Weights(address string, buf []float64) []float64 {
	buf = buf[:0]
	at := xxhash.Sum64String(address) ^ r.seed
	for range r.replicates {
		at += 0x9e3779b97f4a7c15 // SplitMix64 (Steele, Lea, Flood, 2014)
		z := at
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		buf = append(buf, poisson1(float64((z^z>>31)>>11)/(1<<53)))
	}
	return buf
}

// poisson1 is the inverse of the distribution function of a Poisson variable of mean 1.
func poisson1(u float64) float64 {
	p := math.Exp(-1)
	n, sum := 0.0, p
	for u >= sum && n < 20 {
		n++
		p /= n
		sum += p
	}
	return n
}

// Add takes in a score of 0 or more of one click; by are the weights of its address.
func (r *Ranking) Add(score float32, fraud bool, by []float64) {
	w := r.exact[score]
	if w == nil {
		w = &weights{}
		r.exact[score] = w
	}
	w.add(fraud, 1)
	if r.replicates == 0 {
		return
	}
	const lost = 15 // bits of the mantissa
	bin := math.Float32bits(score) >> lost
	sampled := r.sampled[bin]
	if sampled == nil {
		sampled = make([]weights, r.replicates)
		r.sampled[bin] = sampled
	}
	for i, n := range by {
		sampled[i].add(fraud, n)
	}
}

func (w *weights) add(fraud bool, n float64) {
	if fraud {
		w.fraud += n
	} else {
		w.valid += n
	}
}

// confidence of the intervals: what lies outside, on each side.
const outside = 0.025

// Quality returns the figures; ok is false without clicks of both kinds.
func (r *Ranking) Quality() (q Quality, ok bool) {
	falling := func(a, b float32) int { return cmp.Compare(b, a) }
	var steps []weights
	for _, score := range slices.SortedFunc(maps.Keys(r.exact), falling) {
		steps = append(steps, *r.exact[score])
	}
	value, ok := measure(steps)
	if !ok {
		return q, false
	}
	bins := slices.SortedFunc(maps.Keys(r.sampled), func(a, b uint32) int { return cmp.Compare(b, a) })
	samples := make([][]float64, len(value))
	for i := range r.replicates {
		steps = steps[:0]
		for _, bin := range bins {
			steps = append(steps, r.sampled[bin][i])
		}
		if figures, ok := measure(steps); ok {
			for k, v := range figures {
				samples[k] = append(samples[k], v)
			}
		}
	}
	intervals := make([]Interval, len(value))
	for k, v := range value {
		intervals[k] = bounds(v, samples[k])
	}
	return Quality{AUROC: intervals[0], Precision: intervals[1], Recall: intervals[2:]}, true
}

func bounds(value float64, samples []float64) Interval {
	if len(samples) == 0 {
		return Interval{value, value, value}
	}
	slices.Sort(samples)
	at := func(p float64) float64 { return samples[int(math.Round(p*float64(len(samples)-1)))] }
	return Interval{value, at(outside), at(1 - outside)}
}

// measure returns the area under the ROC curve, the average precision and the recall at FalseRates, of steps in
// falling order of their scores. A step is one threshold.
func measure(steps []weights) (figures []float64, ok bool) {
	var all weights
	for _, s := range steps {
		all.fraud, all.valid = all.fraud+s.fraud, all.valid+s.valid
	}
	if all.fraud == 0 || all.valid == 0 {
		return nil, false
	}
	figures = make([]float64, 2+len(FalseRates))
	var above weights
	for _, s := range steps {
		figures[0] += float64(s.valid*above.fraud) + float64(s.valid*s.fraud)/2
		above.fraud, above.valid = above.fraud+s.fraud, above.valid+s.valid
		if s.fraud > 0 {
			figures[1] += s.fraud * above.fraud / (above.fraud + above.valid)
		}
		for i, rate := range FalseRates {
			if above.valid <= rate*all.valid {
				figures[2+i] = above.fraud / all.fraud
			}
		}
	}
	figures[0] /= all.fraud * all.valid
	figures[1] /= all.fraud
	return figures, true
}
