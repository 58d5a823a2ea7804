package scoring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring/iforest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// otherForest is a model that does not score as forest does.
func otherForest(t testing.TB) *iforest.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	rows := make([][]float32, 300)
	for i := range rows {
		for range Features {
			rows[i] = append(rows[i], float32(rng.NormFloat64()))
		}
	}
	m, err := iforest.Train(rows, iforest.Config{Seed: 2, VectorVersion: VectorVersion})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func set(t testing.TB, m *Models, live, shadow Forest) {
	t.Helper()
	if err := m.Set(live, shadow); err != nil {
		t.Fatal(err)
	}
}

// stream are the verdicts of people and a flood.
func stream(s *Scorer) (verdicts []click.Verdict) {
	for i := range int64(400) {
		verdicts = append(verdicts, s.judge(fmt.Sprintf("203.0.113.%d", i%80+1), browser, start+i*500_000))
		if i >= 200 {
			verdicts = append(verdicts, s.judge("198.51.100.7", browser, start+i*500_000+1))
		}
	}
	return verdicts
}

// outcomesOf reads the counters of a source.
func outcomesOf(t *testing.T, m *Models, tenant, source string) (n [numOutcomes]float64) {
	t.Helper()
	for i, name := range outcomeNames {
		var d dto.Metric
		if err := m.seen.clicks.WithLabelValues(tenant, source, name).Write(&d); err != nil {
			t.Fatal(err)
		}
		n[i] = d.GetCounter().GetValue()
	}
	return n
}

// A shadow changes no bit of any verdict, and every click is counted once under what
// both forests say of it.
func TestShadowHasNoInfluence(t *testing.T) {
	t.Parallel()
	live := Forest{forest(t), 0.6}
	alone, watched := newScorer(t), newScorer(t)
	alone.policy.ModelSuspect, watched.policy.ModelSuspect = 0.6, 0.6
	set(t, alone.Models(), live, Forest{})
	set(t, watched.Models(), live, Forest{otherForest(t), 0.6})
	want, got := stream(alone), stream(watched)
	states := map[click.State]int{}
	beyond := 0.0
	for i := range want {
		if want[i] != got[i] {
			t.Fatalf("click %d: %+v with a shadow, %+v without", i, got[i], want[i])
		}
		states[got[i].State]++
		if got[i].Vector[SlotModel] >= 0.6 {
			beyond++
		}
	}
	if len(states) < 2 || states[click.SIVT] < 50 {
		t.Errorf("too few states to tell: %v", states)
	}
	n := outcomesOf(t, watched.Models(), "demo", "")
	if sum := n[neither] + n[liveOnly] + n[shadowOnly] + n[both]; sum != float64(len(got)) || n[liveOnly]+n[both] != beyond {
		t.Errorf("outcomes %v of %d clicks, %v of them beyond the live threshold", n, len(got), beyond)
	}
	if n[liveOnly]+n[shadowOnly] == 0 || n[neither]+n[both] == 0 {
		t.Errorf("outcomes %v: the forests do not differ, or always do", n)
	}
	if none := outcomesOf(t, alone.Models(), "demo", ""); none != [numOutcomes]float64{} {
		t.Errorf("counted without a shadow: %v", none)
	}
}

// Where the policy has no threshold, each forest goes by its own; a score is compared
// as the vector holds it.
func TestBeyond(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		own, suspect, score float64
		want                bool
	}{
		{0.6, 0, 0.6, true}, {0.6, 0, 0.59, false}, {0, 0, 0.99, false}, {0.6, 0.7, 0.65, false}, {0.9, 0.7, 0.7, true}, {0.6, 0, 0.6 - 1e-12, true},
	} {
		if f := (Forest{Beyond: c.own}); f.beyond(c.score, c.suspect) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestSetRefusesOtherVectors(t *testing.T) {
	t.Parallel()
	m := newModels("edge")
	good := Forest{Model: forest(t)}
	set(t, m, good, Forest{})
	other, err := iforest.Train([][]float32{{1, 2}, {3, 4}}, iforest.Config{VectorVersion: VectorVersion + 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range [][2]Forest{{{Model: other}, {}}, {good, {Model: other}}} {
		if err := m.Set(f[0], f[1]); err == nil || !strings.Contains(err.Error(), "vector version") {
			t.Errorf("set another version: %v", err)
		}
	}
	if live, shadow := m.Hashes(); live != good.Model.Hash() || shadow != 0 {
		t.Errorf("in force %x %x after a refusal", live, shadow)
	}
}

// Sources have no bound, labels do.
func TestShadowSourcesAreBounded(t *testing.T) {
	t.Parallel()
	m := newModels("edge")
	reg := prometheus.NewRegistry()
	m.Register(reg)
	set(t, m, Forest{forest(t), 0.5}, Forest{otherForest(t), 0.5})
	for i := range maxShadowSources + 50 {
		c := &click.Click{TenantID: "t", SourceID: fmt.Sprint("s", i)}
		m.watch(m.inForce.Load(), c, &c.Verdict, 0)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := 0
	for _, f := range families {
		if f.GetName() == "clickgate_scoring_shadow_clicks_total" {
			labels = len(f.GetMetric())
		}
	}
	other := outcomesOf(t, m, "other", "other")
	if labels != (maxShadowSources+1)*numOutcomes || other[neither]+other[liveOnly]+other[shadowOnly]+other[both] != 50 {
		t.Errorf("%d label sets, others %v", labels, other)
	}
}

// Models are swapped while clicks are scored: every verdict is of one model whole.
func TestSwapUnderClicks(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	a, b := Forest{forest(t), 0.5}, Forest{otherForest(t), 0.5}
	byHash := map[uint64]*iforest.Model{a.Model.Hash(): a.Model, b.Model.Hash(): b.Model}
	find := func(h uint64) (*iforest.Model, error) { return byHash[h], nil }
	set(t, s.Models(), a, b)
	done := make(chan struct{})
	var swaps sync.WaitGroup
	swaps.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if i%2 == 0 {
				set(t, s.Models(), b, a)
			} else {
				set(t, s.Models(), a, b)
			}
		}
	})
	seen := map[uint64]int{}
	for i := 0; i < 3000 || len(seen) < 2 && i < 300_000; i++ {
		v := s.judge(fmt.Sprintf("203.0.113.%d", i%80+1), browser, start+int64(i)*500_000)
		seen[v.ModelHash]++
		if err := Rescore(&v, find); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	swaps.Wait()
	if len(seen) != 2 {
		t.Errorf("scored by %v", seen)
	}
}

// What a fixed judge says of itself holds through a swap, which the next one follows.
func TestFixedJudge(t *testing.T) {
	t.Parallel()
	a, b := forest(t), otherForest(t)
	j, err := NewJudge(DefaultConfig(), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	fixed := j.Fixed()
	set(t, j.Models(), Forest{Model: b}, Forest{})
	for _, c := range []struct {
		j    *Judge
		want uint64
	}{{fixed, a.Hash()}, {j, b.Hash()}, {j.Fixed(), b.Hash()}} {
		_, _, judge, err := c.j.Begin("demo", "", start/hourMicros*hourMicros)
		if err != nil {
			t.Fatal(err)
		}
		cl, _ := visit("203.0.113.9", browser, start)
		cl.Verdict.VectorVersion = VectorVersion
		if _, hash := c.j.Hashes("demo", ""); hash != c.want || judge(&cl).ModelHash != c.want {
			t.Errorf("hash %x, verdict by %x, want %x", hash, judge(&cl).ModelHash, c.want)
		}
	}
}

// A stored score comes out again bit for bit, whatever is in force by then; a model that
// is gone, and evidence that was touched, are told apart.
func TestRescore(t *testing.T) {
	t.Parallel()
	s, kept := newScorer(t), forest(t)
	find := func(h uint64) (*iforest.Model, error) {
		if h == kept.Hash() {
			return kept, nil
		}
		return nil, nil
	}
	set(t, s.Models(), Forest{Model: kept}, Forest{})
	verdicts := stream(s)
	set(t, s.Models(), Forest{Model: otherForest(t)}, Forest{})
	for i := range verdicts {
		if err := Rescore(&verdicts[i], find); err != nil {
			t.Fatal(err)
		}
	}
	v := s.judge("203.0.113.1", browser, start+3600e6)
	if err := Rescore(&v, find); !errors.Is(err, ErrModelGone) || !strings.Contains(err.Error(), fmt.Sprintf("%016x", v.ModelHash)) {
		t.Errorf("a model that is gone: %v", err)
	}
	touched := verdicts[0]
	touched.Vector[SlotModel] += 0.001
	if err := Rescore(&touched, find); err == nil || errors.Is(err, ErrModelGone) {
		t.Errorf("a score that was changed: %v", err)
	}
	if err := Rescore(&click.Verdict{}, find); err != nil {
		t.Errorf("a verdict without a model: %v", err)
	}
}

func TestShadowAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := newScorer(t)
	set(t, s.Models(), Forest{forest(t), 0.6}, Forest{otherForest(t), 0.6})
	c, sig := visit("203.0.113.9", browser, start)
	s.Score(&c, &sig)
	if n := testing.AllocsPerRun(500, func() { c.EventTime += 1000; s.Score(&c, &sig) }); n != 0 {
		t.Errorf("%v allocations per click with a shadow", n)
	}
}

// BenchmarkShadow scores the same clicks in turns without forests, with a live one and
// with a shadow beside it. The shadow is to cost about what the live one does: its score,
// a look-up of the source and two counts.
func BenchmarkShadow(b *testing.B) {
	live, shadow := Forest{forest(b), 0.6}, Forest{otherForest(b), 0.6}
	var scorers [3]*Scorer
	for i := range scorers {
		scorers[i] = newScorer(b)
	}
	set(b, scorers[1].Models(), live, Forest{})
	set(b, scorers[2].Models(), live, shadow)
	const turn = 64
	clicks, signals := make([]click.Click, 512), make([]click.Signals, 512)
	for i := range clicks {
		clicks[i], signals[i] = visit(fmt.Sprintf("203.0.%d.%d", i/250, i%250+1), browser, 0)
	}
	var took [3][]time.Duration
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		for i, s := range scorers {
			began := time.Now()
			for k := range turn {
				at := (n*turn + k) % len(clicks)
				clicks[at].EventTime = start + int64(n*turn+k)*20_000
				s.Score(&clicks[at], &signals[at])
			}
			took[i] = append(took[i], time.Since(began))
		}
	}
	// The median of turns: other work on the machine hits few of them.
	per := func(i int) float64 {
		slices.Sort(took[i])
		return float64(took[i][len(took[i])/2].Nanoseconds()) / turn
	}
	b.ReportMetric(per(0), "none-ns/click")
	b.ReportMetric(per(1), "live-ns/click")
	b.ReportMetric(per(2), "shadow-ns/click")
	b.ReportMetric(per(2)/per(1), "shadow/live")
}
