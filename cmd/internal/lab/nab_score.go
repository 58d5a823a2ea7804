package lab

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Profile weighs what a detector does in the Numenta Anomaly Benchmark (Lavin and Ahmad, Evaluating Real-time Anomaly
// Detection Algorithms, ICMLA 2015).
type Profile struct {
	Name                          string
	TruePositive, FalseP, FalseNe float64 // weights
}

// Profiles are those of the benchmark, version 1.1.
var Profiles = []Profile{
	{"standard", 1, 0.11, 1}, {"reward_low_FP_rate", 1, 0.22, 1}, {"reward_low_FN_rate", 1, 0.11, 2},
}

// Window is a labelled stretch of a series, both ends included.
type Window struct{ From, To time.Time }

// Series is a judged file.
type Series struct {
	Times   []time.Time
	Scores  []float64 // anomaly scores, 0 to 1
	Windows []Window  // by time, apart from each other
}

// probation is the share of a file, of at most 5000 points, in which nothing is scored.
const (
	probation       = 0.15
	probationPoints = 750
)

// Probation returns how many first points of n are not scored.
func Probation(n int) int { return min(int(probation*float64(n)), probationPoints) }

// worth is the benchmark's sigmoid: 0.987 at the left edge of a window (-1), 0 at its right one (0), towards -1 behind.
func worth(position float64) float64 {
	if position >= 3 {
		return -1
	}
	return 2/(1+math.Exp(5*position)) - 1
}

// graded is a scored point: what a detection there is worth.
type graded struct {
	score  float64
	worth  float64 // unweighted
	window int     // over all series; -1 outside
}

// grade gives every point behind the probation its worth. first is the number of the series' first window.
func (s *Series) grade(first int) (points []graded, windows int) {
	skip := Probation(len(s.Times))
	right, width := -1, 0 // of the last window that is over
	next := 0
	for i := 0; i < len(s.Times); i++ {
		for next < len(s.Windows) && s.Times[i].After(s.Windows[next].To) {
			next++ // no point of the series is in it
		}
		if next == len(s.Windows) || s.Times[i].Before(s.Windows[next].From) {
			if i >= skip {
				points = append(points, graded{s.Scores[i], behind(i, right, width), -1})
			}
			continue
		}
		end := i
		for end+1 < len(s.Times) && !s.Times[end+1].After(s.Windows[next].To) {
			end++
		}
		right, width = end, end-i+1
		for ; i <= end; i++ {
			if i >= skip {
				points = append(points, graded{s.Scores[i], worth(-float64(right-i+1)/float64(width)) / worth(-1), first + windows})
			}
		}
		i--
		next++
		if right >= skip { // one that is over by then is nobody's to find
			windows++
		}
	}
	return points, windows
}

// behind is what a detection outside windows is worth, by its distance from the one before.
func behind(i, right, width int) float64 {
	if right < 0 || width < 2 {
		return -1
	}
	return worth(float64(i-right) / float64(width-1))
}

// Result is the score of one profile.
type Result struct {
	Profile   string  `json:"profile"`
	Threshold float64 `json:"threshold"`
	Score     float64 `json:"score"` // 100: every window at its first point and nothing else; 0: no detection at all
	Windows   int     `json:"windows"`
	Found     int     `json:"windows_found"`
	False     int     `json:"false_detections"` // points outside windows
}

// NAB scores series by the benchmark's rule: the first detection in a window counts, the earlier the more; each one
// outside costs. threshold 0 chooses for each profile the one with the best score over all series, as the benchmark
// does; otherwise it is the one that detections need.
func NAB(series []Series, threshold float64) []Result {
	var points []graded
	windows := 0
	for i := range series {
		p, n := series[i].grade(windows)
		points, windows = append(points, p...), windows+n
	}
	slices.SortStableFunc(points, func(a, b graded) int { return cmp.Compare(b.score, a.score) })
	results := make([]Result, len(Profiles))
	for i := range Profiles {
		results[i] = sweep(points, windows, &Profiles[i], threshold)
	}
	return results
}

// sweep lowers the threshold from above all scores, point by point.
func sweep(points []graded, windows int, p *Profile, threshold float64) Result {
	best := make([]float64, windows) // worth of the best detection so far; below 0: none
	for i := range best {
		best[i] = -1
	}
	total, found, wrong := 0-float64(p.FalseNe*float64(windows)), 0, 0 // not -0 where there are none
	of := func(at float64) Result {
		r := Result{Profile: p.Name, Threshold: at, Windows: windows, Found: found, False: wrong}
		if windows > 0 {
			none := -p.FalseNe * float64(windows)
			r.Score = 100 * (total - none) / (p.TruePositive*float64(windows) - none)
		} else {
			r.Score = total
		}
		return r
	}
	chosen := of(1.1)
	for i := 0; i < len(points); {
		at := points[i].score
		if threshold > 0 && at < threshold {
			break
		}
		for ; i < len(points) && points[i].score == at; i++ {
			switch g := &points[i]; {
			case g.window < 0:
				total += float64(g.worth * p.FalseP)
				wrong++
			case best[g.window] < 0:
				total += p.FalseNe + float64(g.worth*p.TruePositive)
				best[g.window] = g.worth
				found++
			case g.worth > best[g.window]:
				total += float64((g.worth - best[g.window]) * p.TruePositive)
				best[g.window] = g.worth
			}
		}
		if r := of(at); threshold > 0 || r.Score > chosen.Score {
			chosen = r
		}
	}
	if threshold > 0 {
		chosen.Threshold = threshold
	}
	return chosen
}
