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
	"clickgate/scoring/iforest"
)

// weeks is a fortnight of one world. People's clicks that the edge found valid are from the
// same three days of both weeks, when gateways know who comes; those of attacks are such
// that it did not find.
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

// newReference trains the first model, of the first week.
func (w *weeks) newReference(t testing.TB, set retrain.Settings) *retrain.Reference {
	t.Helper()
	c, err := retrain.Train(w.sample(0, fraudrange.NoFamily, 0, 1), nil, set)
	if err != nil {
		t.Fatal(err)
	}
	return &retrain.Reference{Model: c.Model, Beyond: c.Manifest.Beyond, Profile: c.Manifest.Profile}
}

// auc is how often a click of the family scores above a person's, ties not counted.
func (w *weeks) auc(m *iforest.Model, f fraudrange.Family) float64 {
	var people []float64
	for i := 0; i < len(w.people[1]); i += 10 {
		people = append(people, m.Score(w.people[1][i].Vector[:scoring.Features]))
	}
	slices.Sort(people)
	above, n := 0.0, 0.0
	for i := 0; i < len(w.attack[f]); i += 1 + len(w.attack[f])/2000 {
		above += float64(sort.SearchFloat64s(people, m.Score(w.attack[f][i].Vector[:scoring.Features]))) / float64(len(people))
		n++
	}
	return above / n
}

// poisoned is what a training on people and a share of attack came to.
type poisoned struct {
	family  fraudrange.Family
	share   float64
	refused string
	worst   map[string]float64 // by kind, over all sources
	loss    float64            // of the area under the ROC curve beyond chance, against training on people alone
	auc     float64
}

// blind reports that the guard let an attack through that cost the model something.
func (p *poisoned) blind() bool { return p.refused == "" && p.loss > maxLoss }

// maxLoss is what a model may lose without anybody noticing.
const maxLoss = 0.06

func (w *weeks) poison(t testing.TB, ref *retrain.Reference, set retrain.Settings, f fraudrange.Family, share, clean float64) *poisoned {
	t.Helper()
	c, err := retrain.Train(w.sample(1, f, share, 2), ref, set)
	if err != nil {
		t.Fatal(err)
	}
	p := &poisoned{family: f, share: share, refused: c.Manifest.Guard.Refused, worst: map[string]float64{}, auc: w.auc(c.Model, f)}
	p.loss = max(clean, 0.5) - max(p.auc, 0.5)
	for i := range c.Manifest.Guard.Worst {
		x := &c.Manifest.Guard.Worst[i]
		p.worst[x.Kind] = max(p.worst[x.Kind], x.Foreign)
	}
	return p
}

// TestGuardAgainstLearningAnAttack mixes attack clicks that no rule found among ordinary
// ones: the guard takes an ordinary week, refuses a fifth of attack always, and never lets
// through what costs the model much: a model that ranks a family no better than chance has
// nothing to lose. Without
// the guard the same check fails. The log is the table of docs/models.md.
func TestGuardAgainstLearningAnAttack(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("simulates a fortnight, which takes minutes under the race detector; nothing in it runs at once")
	}
	families := []fraudrange.Family{fraudrange.Replay, fraudrange.Rotation, fraudrange.MaskedBot, fraudrange.Drip, fraudrange.Residential, fraudrange.Collusion, fraudrange.Poisoning}
	cfg := scoring.DefaultConfig().Retrain
	set := retrain.Settings{Limits: retrain.Limits{MaxForeign: cfg.MaxForeign, MaxShift: cfg.MaxShift, MaxGrowth: cfg.MaxGrowth}, Seed: 1}
	w := newWeeks(t, 3, 0.1, families)
	ref := w.newReference(t, set)
	t.Logf("%d and %d clicks of people", len(w.people[0]), len(w.people[1]))
	ordinary := w.poison(t, ref, set, fraudrange.NoFamily, 0, 0)
	if ordinary.refused != "" {
		t.Errorf("an ordinary week is refused: %s", ordinary.refused)
	}
	t.Logf("ordinary week: score %.3f, feature %.3f, who %.3f", ordinary.worst["score"], ordinary.worst["feature"], ordinary.worst["who"])
	unguarded := set
	unguarded.Unguarded = true
	seen, lost := 0, 0
	for _, f := range families {
		if len(w.attack[f]) < 200 {
			t.Errorf("only %d clicks of %s were not found", len(w.attack[f]), f)
			continue
		}
		clean := w.auc(cleanModel(t, w, ref, set), f)
		for _, share := range []float64{0.01, 0.05, 0.20} {
			p := w.poison(t, ref, set, f, share, clean)
			t.Logf("| %s | %.0f %% | %.3f | %.3f | %.3f | %v | %.3f | %.3f |", f, 100*share, p.worst["score"], p.worst["who"], p.worst["feature"], p.refused != "", clean, p.auc)
			if share == 0.20 && p.refused == "" {
				t.Errorf("a fifth of %s was accepted", f)
			}
			if p.blind() {
				t.Errorf("%.0f%% of %s were accepted and cost the model %.3f", 100*share, f, p.loss)
			}
			if p.refused != "" {
				seen++
			}
			if u := w.poison(t, ref, unguarded, f, share, clean); u.blind() {
				lost++
			}
		}
	}
	if seen < len(families)+3 {
		t.Errorf("only %d of %d mixtures are refused", seen, 3*len(families))
	}
	if lost == 0 {
		t.Error("without the guard nothing is lost: the check cannot fail")
	}
}

// cleanModel is trained on the second week's people alone.
func cleanModel(t testing.TB, w *weeks, ref *retrain.Reference, set retrain.Settings) *iforest.Model {
	t.Helper()
	c, err := retrain.Train(w.sample(1, fraudrange.NoFamily, 0, 2), ref, set)
	if err != nil {
		t.Fatal(err)
	}
	return c.Model
}
