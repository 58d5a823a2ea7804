package fraudeval

import (
	"fmt"
	"math"
	"slices"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// forestFalse is the share of people's clicks that a forest may take for fraud: its
// threshold is set on the training seeds so that it takes this much.
const forestFalse = 0.001

// forest is a model and the score from which it calls a click fraud.
type forest struct {
	model *iforest.Model
	from  float64
}

// train makes a forest of a mixture as it came, without a family (NoFamily: with all).
func train(mix *mixture, without fraudrange.Family, seed uint64) (*forest, error) {
	var rows [][]float32
	for i, f := range mix.families {
		if f != without || f == fraudrange.NoFamily {
			rows = append(rows, mix.rows[i])
		}
	}
	cfg := iforest.Config{Names: scoring.FeatureNames(), Seed: seed, VectorVersion: scoring.VectorVersion, CreatedBy: "clickgate eval fraud"}
	model, err := iforest.Train(rows, cfg)
	if err != nil {
		return nil, fmt.Errorf("forest without %s: %w", without, err)
	}
	var people []float64
	for i, f := range mix.families {
		if f == fraudrange.NoFamily {
			people = append(people, model.Score(mix.rows[i]))
		}
	}
	slices.Sort(people)
	return &forest{model, people[int(float64(len(people)-1)*(1-forestFalse))]}, nil
}

// over counts the rows above the threshold; equal scores are people's.
func (f *forest) over(rows [][]float32) (n float64) {
	for _, row := range rows {
		if f.model.Score(row) > f.from {
			n++
		}
	}
	return n
}

// mixture is what arrived in the training seeds, people and families in their shares.
type mixture struct {
	rows     [][]float32
	families []fraudrange.Family // NoFamily: a person
}

// mix puts samples together so that each has its share of all clicks: the most thinly
// sampled group sets how many of each are taken.
func mix(results []*seedResult) *mixture {
	m := &mixture{}
	for _, r := range results {
		thin := 1.0
		for f := range r.samples.groups {
			if s := &r.samples.groups[f]; s.seen > 0 {
				thin = min(thin, float64(len(s.rows))/float64(s.seen))
			}
		}
		for f := range r.samples.groups {
			s := &r.samples.groups[f]
			for _, row := range s.rows[:min(len(s.rows), int(math.Round(thin*float64(s.seen))))] {
				m.rows, m.families = append(m.rows, row), append(m.families, fraudrange.Family(f))
			}
		}
	}
	return m
}

// separation is what the best single feature would do against missed clicks: a
// threshold at their median catches half of them and takes clicks of people too.
type separation struct {
	Feature string  `json:"feature"`
	Missed  float64 `json:"missed_median"`
	Above   bool    `json:"above"`  // missed clicks lie above people's
	People  float64 `json:"people"` // share of people's clicks that reach the threshold
	NAT     float64 `json:"nat"`    // and of those from behind a NAT
}

// separate finds the feature whose threshold costs people least.
func separate(missed, people, nat [][]float32) (best separation) {
	best.People = 2
	for i := range scoring.Features {
		at, middle := median(missed, i), median(people, i)
		s := separation{Feature: scoring.Slots[i].Name, Missed: float64(at), Above: at >= middle}
		s.People, s.NAT = reach(people, i, at, s.Above), reach(nat, i, at, s.Above)
		if s.People < best.People {
			best = s
		}
	}
	return best
}

// median is the lower one of a feature.
func median(rows [][]float32, i int) float32 {
	column := make([]float32, len(rows))
	for n, row := range rows {
		column[n] = row[i]
	}
	slices.Sort(column)
	return column[(len(column)-1)/2]
}

// reach is the share of rows with a feature at a threshold or beyond it.
func reach(rows [][]float32, i int, at float32, above bool) float64 {
	n := 0
	for _, row := range rows {
		if row[i] == at || row[i] > at == above {
			n++
		}
	}
	return float64(n) / float64(max(1, len(rows)))
}

func (s *separation) why() string {
	sign := "<="
	if s.Above {
		sign = ">="
	}
	text := fmt.Sprintf("%s %s %.4g has half of them, %.2f%% of people's clicks and %.2f%% of those behind NAT", s.Feature, sign, s.Missed, 100*s.People, 100*s.NAT)
	if s.People > GoalFalse {
		return "no single feature tells them from people; at best " + text
	}
	return "a feature would do that is not used so: " + text
}
