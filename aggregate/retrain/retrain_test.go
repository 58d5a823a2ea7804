package retrain

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"

	"pgregory.net/rapid"
)

// The sample is the same in whatever order clicks come, bounded by source, and fair.
func TestSample(t *testing.T) {
	t.Parallel()
	clicks := append(traffic(1, "big", 5000, monday, false), traffic(2, "small", 90, monday, false)...)
	for i := range 60 {
		clicks[i].State = click.SIVT
	}
	odd := clicks[100:103:103]
	odd = append([]aggregate.TrainingClick(nil), odd...)
	for i, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		odd[i].EventID[15], odd[i].Vector[i] = 0xff, float32(x)
	}
	clicks = append(clicks, odd...) // which are passed over
	draw := func() *Sample {
		s := NewSample(7, 400)
		for i := range clicks {
			s.Add(&clicks[i])
		}
		return s
	}
	a := draw()
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(clicks), func(i, j int) { clicks[i], clicks[j] = clicks[j], clicks[i] })
	b := draw()
	rowsOf := func(s *Sample) (out []Row) {
		for _, row := range append(s.rows(s.names()), s.invalid()...) {
			out = append(out, *row)
		}
		return out
	}
	if !reflect.DeepEqual(rowsOf(a), rowsOf(b)) {
		t.Error("the sample depends on the order of clicks")
	}
	big, small := a.strata["acme/big"], a.strata["acme/small"]
	if len(big.valid.heap) != 400 || len(small.valid.heap) != 90 || len(big.invalid.heap) != 60 || a.Seen() != 5030 {
		t.Errorf("%d, %d, %d rows of %d clicks", len(big.valid.heap), len(small.valid.heap), len(big.invalid.heap), a.Seen())
	}
	late, middle := 0, monday.Add(-84*time.Hour).UnixMicro()
	byID := map[click.ID]int64{}
	for i := range clicks {
		byID[clicks[i].EventID] = clicks[i].EventTime
	}
	for i := range big.valid.heap {
		if byID[big.valid.heap[i].id] >= middle {
			late++
		}
	}
	if late < 150 || late > 250 {
		t.Errorf("%d of 400 rows are of the second half of the window", late)
	}
}

// Sources beyond the first share a stratum.
func TestSourcesAreBounded(t *testing.T) {
	t.Parallel()
	s := NewSample(1, 300)
	for i := range maxSources + 20 {
		for _, c := range traffic(uint64(i), strings.Repeat("s", i+1), 3, monday, false) {
			s.Add(&c)
		}
	}
	if len(s.strata) != maxSources+1 || s.strata[Other].valid.seen != 60 {
		t.Errorf("%d strata, %d clicks of others", len(s.strata), s.strata[Other].valid.seen)
	}
}

// The bound never says more than there is, and finds what is well above the noise.
func TestForeign(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, e := rapid.Float64Range(0, 0.99).Draw(t, "share before"), rapid.Float64Range(0, 0.9).Draw(t, "foreign")
		in := rapid.Float64Range(0, 1).Draw(t, "share of the foreign in the event")
		n := rapid.IntRange(scoring.MinRowsPerSource, 1_000_000).Draw(t, "rows")
		q := p*(1-e) + in*e
		if got := foreign(p, n, q, n); got > e+1e-12 {
			t.Fatalf("%v of another kind at least, there are %v", got, e)
		}
		if got := foreign(p, 1<<40, p*(1-e)+e, 1<<40); math.Abs(got-e*(1-p)) > 1e-3 {
			t.Fatalf("%v of %v found in an endless sample", got, e*(1-p))
		}
	})
	if foreign(0.01, 1000, 0.015, 1000) != 0 {
		t.Error("noise is taken for an attack")
	}
}

func sampleOf(size int, clicks ...[]aggregate.TrainingClick) *Sample {
	s := NewSample(3, size)
	for _, c := range slices.Concat(clicks...) {
		s.Add(&c)
	}
	return s
}

// Each check of the guard refuses what it is for, says why, and takes ordinary traffic.
func TestGuard(t *testing.T) {
	t.Parallel()
	set := Settings{Limits: Limits{0.02, 0.1, 2}, Seed: 1}
	first, err := Train(sampleOf(2000, traffic(1, "web", 3000, monday, false)), nil, set)
	if err != nil || first.Manifest.Guard.Refused != "" {
		t.Fatal(err, first)
	}
	ref := &Reference{first.Model, first.Manifest.Beyond, first.Manifest.Profile}
	next := monday.Add(7 * 24 * time.Hour)
	ordinary := traffic(2, "web", 3000, next, false)
	// Clicks of one publisher that look like the others.
	publisher := slices.Clone(ordinary)
	for i := range 300 {
		publisher[i].PublisherID = "mine"
	}
	// Single features move, in the middle of what the model knows.
	shifted := slices.Clone(ordinary)
	for i := range shifted {
		if i%2 == 0 {
			shifted[i].Vector[0] = 0.5
		}
	}
	invalid := traffic(5, "web", 200, next, true)
	for i := range invalid {
		invalid[i].State = click.SIVT
	}
	for _, c := range []struct {
		name, want string
		clicks     [][]aggregate.TrainingClick
	}{
		{"an ordinary week", "", [][]aggregate.TrainingClick{ordinary}},
		{"a new source", "", [][]aggregate.TrainingClick{ordinary, traffic(4, "app", 3000, next, true)}},
		{"strange clicks", "score of the accepted model", [][]aggregate.TrainingClick{ordinary[:2850], traffic(3, "web", 150, next, true)}},
		{"one publisher", `publisher "mine"`, [][]aggregate.TrainingClick{publisher}},
		{"a feature", "in the bin", [][]aggregate.TrainingClick{shifted}},
		{"volume", "are usual in the same hours", [][]aggregate.TrainingClick{ordinary, traffic(6, "web", 4500, next, false)}},
		{"invalid clicks beside", "", [][]aggregate.TrainingClick{ordinary, invalid}},
	} {
		got, err := Train(sampleOf(2000, c.clicks...), ref, set)
		if err != nil {
			t.Fatal(err)
		}
		refused := got.Manifest.Guard.Refused
		if (refused == "") != (c.want == "") || !strings.Contains(refused, c.want) {
			t.Errorf("%s: refused %q, want %q; %+v", c.name, refused, c.want, got.Manifest.Guard.Worst)
		}
		if c.name == "a new source" && (!slices.Equal(got.Manifest.Sources, []string{"acme/web"}) || !slices.Equal(got.Manifest.Guard.New, []string{"acme/app"}) || got.Manifest.Profile["acme/app"] == nil) {
			t.Errorf("learned from %v, new %v", got.Manifest.Sources, got.Manifest.Guard.New)
		}
		if c.want == "" {
			continue
		}
		off := set
		off.Unguarded = true
		if got, err := Train(sampleOf(2000, c.clicks...), ref, off); err != nil || got.Manifest.Guard.Refused != "" {
			t.Errorf("%s: refused without a guard: %v", c.name, err)
		}
	}
	lost := &Report{Invalid: minInvalid, Caught: 0.5, CaughtBefore: 0.9}
	if c := *first; true {
		c.Manifest.Beyond = 0.99 // finds nothing
		lost.judge(set.Limits, ref, nil, &c, sampleOf(2000, ordinary, invalid), nil)
		if !strings.Contains(lost.Refused, "of the invalid clicks") {
			t.Errorf("a candidate that finds nothing: %+v", lost)
		}
	}
}

// Who comes in two steps, each below the limit, is found against the model before.
func TestGuardAgainstSmallSteps(t *testing.T) {
	t.Parallel()
	set := Settings{Limits: Limits{0.05, 0.2, 3}, Seed: 1}
	week := func(seed uint64, attack int) *Sample {
		return sampleOf(4000, traffic(seed, "web", 5000-attack, monday, false), traffic(seed+100, "web", attack, monday, true))
	}
	reference := func(s *Sample, ref *Reference) *Reference {
		c, err := Train(s, ref, set)
		if err != nil || c.Manifest.Guard.Refused != "" {
			t.Fatalf("%v, refused %q", err, c.Manifest.Guard.Refused)
		}
		return &Reference{c.Model, c.Manifest.Beyond, c.Manifest.Profile}
	}
	first := reference(week(1, 0), nil)
	second := reference(week(2, 300), first)
	for _, older := range []*Reference{nil, first} {
		set.Older = older
		c, err := Train(week(3, 600), second, set)
		if err != nil {
			t.Fatal(err)
		}
		if refused := c.Manifest.Guard.Refused; older == nil && refused != "" || older != nil && !strings.HasPrefix(refused, "against the model before") {
			t.Errorf("with the model before: %v, refused %q", older != nil, refused)
		}
	}
}

// The same clicks and seed give the same model and manifest; another seed another.
func TestTrainIsReproducible(t *testing.T) {
	t.Parallel()
	a, b, other := candidate(t, 1), candidate(t, 1), candidate(t, 2)
	if !bytes.Equal(a.Model.Bytes(), b.Model.Bytes()) || !reflect.DeepEqual(a.Manifest, b.Manifest) {
		t.Error("two trainings from the same clicks differ")
	}
	if bytes.Equal(a.Model.Bytes(), other.Model.Bytes()) {
		t.Error("another seed gives the same model")
	}
	if a.Manifest.Beyond <= 0.5 || a.Manifest.Rows < 300 || a.Manifest.Profile[All] == nil {
		t.Errorf("manifest %+v", a.Manifest)
	}
	if _, err := Train(NewSample(1, 500), nil, Settings{}); err == nil || !strings.Contains(err.Error(), "0 clicks to learn from") {
		t.Errorf("nothing to learn from: %v", err)
	}
}
