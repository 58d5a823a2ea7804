package fraudeval

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/retrain"
	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
)

// weeks is a fortnight of one world: people's clicks that the edge found valid, by week,
// and those of attacks that it did not find.
type weeks struct {
	people [2][]aggregate.TrainingClick
	attack [fraudrange.NumFamilies][]aggregate.TrainingClick
	caught [2][]aggregate.TrainingClick // sivt
}

func newWeeks(t testing.TB, seed uint64, rate float64, families []fraudrange.Family) *weeks {
	t.Helper()
	w, err := fraudrange.New(fraudrange.Config{Seed: seed, Hours: fraudrange.MaxHours, Rate: rate, Families: families})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	scorer, err := scoring.New(scoring.DefaultConfig(), lists, seed, nil)
	if err != nil {
		t.Fatal(err)
	}
	in, err := newIntake(w, scorer)
	if err != nil {
		t.Fatal(err)
	}
	out := &weeks{}
	const day = 24 * hourMicros
	window := func(at int64) int {
		switch d := (at - in.start) / day; {
		case d >= 4 && d < 7:
			return 0
		case d >= 11:
			return 1
		}
		return -1
	}
	for c := range w.Clicks() {
		got := in.take(&c)
		row := aggregate.TrainingClick{
			EventKey: aggregate.KeyOf(got), SourceID: got.SourceID, EventTime: got.EventTime, State: got.Verdict.State,
			PublisherID: got.PublisherID, IPPrefix: got.IPPrefix, AgentFamily: got.AgentFamily, Vector: got.Verdict.Vector,
		}
		w := window(got.EventTime)
		switch {
		case row.State == click.SIVT && w >= 0:
			out.caught[w] = append(out.caught[w], row)
		case row.State != click.Valid:
		case c.Label == fraudrange.Fraud:
			out.attack[c.Family] = append(out.attack[c.Family], row)
		case w >= 0:
			out.people[w] = append(out.people[w], row)
		}
	}
	return out
}

// sample mixes attack clicks among people's so that they are a share of all; they come
// at people's times, so that volume alone does not tell.
func (w *weeks) sample(week int, family fraudrange.Family, share float64, seed uint64) *retrain.Sample {
	s := retrain.NewSample(1, 4000)
	r := rand.New(rand.NewPCG(seed, 9))
	people := w.people[week]
	for i := range people {
		s.Add(&people[i])
	}
	for n := range int(share / (1 - share) * float64(len(people))) {
		row := w.attack[family][r.IntN(len(w.attack[family]))]
		binary.BigEndian.PutUint64(row.EventID[8:], uint64(n)|1<<63)
		row.EventTime = people[r.IntN(len(people))].EventTime
		s.Add(&row)
	}
	for i := range w.caught[week] {
		s.Add(&w.caught[week][i])
	}
	return s
}

func TestRetrainProbe(t *testing.T) {
	for _, seed := range []uint64{3, 5} {
		ws := newWeeks(t, seed, 0.15, fraudrange.Families())
		t.Logf("seed %d: people %d %d, caught %d", seed, len(ws.people[0]), len(ws.people[1]), len(ws.caught[1]))
		limits := retrain.Limits{MaxForeign: 0.05, MaxGrowth: 2}
		first, err := retrain.Train(ws.sample(0, 0, 0, 1), nil, retrain.Settings{Limits: limits, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		ref := &retrain.Reference{Model: first.Model, Beyond: first.Manifest.Beyond, Profile: first.Manifest.Profile}
		for _, fam := range fraudrange.Families() {
			if len(ws.attack[fam]) < 300 {
				continue
			}
			for _, share := range []float64{0, 0.01, 0.05, 0.2} {
				c, err := retrain.Train(ws.sample(1, fam, share, 2), ref, retrain.Settings{Limits: limits, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				auc := func(m *retrain.Candidate) (n float64) {
					var people []float64
					for i := 0; i < len(ws.people[1]); i += 10 {
						people = append(people, m.Model.Score(ws.people[1][i].Vector[:scoring.Features]))
					}
					slices.Sort(people)
					k := 0
					for i := 0; i < len(ws.attack[fam]); i += 1 + len(ws.attack[fam])/2000 {
						n += float64(sort.SearchFloat64s(people, m.Model.Score(ws.attack[fam][i].Vector[:scoring.Features]))) / float64(len(people))
						k++
					}
					return n / float64(k)
				}
				g := c.Manifest.Guard
				k := map[string]retrain.Finding{}
				for _, f := range g.Worst {
					if f.Source == "all" {
						k[f.Kind] = f
					}
				}
				t.Logf("%s %.2f: score %.3f feature %.3f (%s) who %.3f (%s); auc %.3f (before %.3f)", fam, share, k["score"].Foreign, k["feature"].Foreign, k["feature"].What, k["who"].Foreign, k["who"].What, auc(c), auc(first))
			}
		}
	}
}
