package fraudeval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
)

func options(t testing.TB, seeds ...uint64) Options {
	t.Helper()
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	opt := Options{
		Seeds: seeds, Families: fraudrange.Families(), Hours: 2, Rate: 1, Scoring: scoring.DefaultConfig(),
		Close: aggregate.DefaultConfig().Close, Lists: lists, Now: time.Now,
	}
	opt.Scoring.MaxKeys = 1 << 15 // what a test needs
	return opt
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// Every click of every kind gets exactly one verdict, twice the same.
func TestEveryClickGetsOneVerdict(t *testing.T) {
	t.Parallel()
	opt := options(t, 5)
	opt.Training = []uint64{6}
	rep, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	counted := countLabels(t, opt, 5)
	total := int64(0)
	for _, a := range rep.Families {
		if n := counted["family "+a.Family]; n < 50 || sum(a.States) != n || int64(a.Recall.Of) != n {
			t.Errorf("%s: %d clicks, verdicts %v", a.Family, n, a.States)
		}
		if a.Seeds != 1 || a.Forest == nil {
			t.Errorf("%s: seeds %d, forest %v", a.Family, a.Seeds, a.Forest)
		}
		if a.Missed != nil && (a.Missed.Why == "" || a.Missed.Clicks != int64(a.Recall.Of-a.Recall.Hits) || sum(a.Missed.States) != a.Missed.Clicks) {
			t.Errorf("%s: missed %+v", a.Family, a.Missed)
		}
		total += sum(a.States)
	}
	for _, p := range rep.People {
		if n := counted["segment "+p.Segment]; n < 20 || sum(p.States) != n || p.Clicks != n {
			t.Errorf("%s: %d clicks, verdicts %v", p.Segment, n, p.States)
		}
		total += p.Clicks
	}
	for _, r := range rep.Routine {
		if n := counted["label "+r.Label]; n < 10 || sum(r.States) != n || r.Clicks != n {
			t.Errorf("%s: %d clicks, verdicts %v", r.Label, n, r.States)
		}
		total += r.Clicks
	}
	if total != rep.Clicks || total != counted["all"] {
		t.Errorf("%d clicks were made, %d have a row, the report says %d", counted["all"], total, rep.Clicks)
	}
	m := rep.Money
	if m.Fraud != m.Saved+m.Lost || m.Fraud == 0 || m.People == 0 {
		t.Errorf("money %+v", m)
	}
	again, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	rep.ElapsedS, again.ElapsedS = 0, 0
	if !reflect.DeepEqual(rep, again) {
		t.Error("a second run came out otherwise")
	}
	checkText(t, rep)
}

// countLabels counts a world's clicks without any detector.
func countLabels(t *testing.T, opt Options, seed uint64) map[string]int64 {
	t.Helper()
	w, err := fraudrange.New(fraudrange.Config{Seed: seed, Hours: opt.Hours, Rate: opt.Rate, Families: opt.Families})
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int64{}
	for c := range w.Clicks() {
		n["all"]++
		n["label "+c.Label.String()]++
		n["family "+c.Family.String()]++
		n["segment "+c.Segment.String()]++
	}
	return n
}

func checkText(t *testing.T, rep *Report) {
	t.Helper()
	var b bytes.Buffer
	if err := rep.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 seeds (5)", "loud flood", "slow clock-skew", "relay users:", "double_click", "not caught, and why:", "goals: ", "money of attacks"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	if _, err := json.Marshal(rep); err != nil { // NaN and infinity have no place
		t.Error(err)
	}
}

// The parts are the product's: a replayed token is billed once, a prefetch does not use
// it up, and a click whose evidence is lists alone is found.
func TestPartsAreReal(t *testing.T) {
	t.Parallel()
	opt := options(t, 7)
	opt.Families = []fraudrange.Family{fraudrange.Replay, fraudrange.DeclaredBot}
	tr, err := newTrial(&opt, 7)
	if err != nil {
		t.Fatal(err)
	}
	billed := map[click.ID]int{}
	seen := 0
	final := tr.hours.final
	tr.hours.final = func(e *entry) {
		final(e)
		if seen++; e.State == click.Valid {
			billed[e.ClickID]++
		}
	}
	if err := tr.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if seen < 5000 || len(billed) < 4000 {
		t.Fatalf("only %d clicks, %d billed", seen, len(billed))
	}
	for id, n := range billed {
		if n > 1 {
			t.Fatalf("opportunity %s was billed %d times", id, n)
		}
	}
	labels := &tr.result.labels
	if p := &labels[fraudrange.Prefetch]; p.clicks < 5 || p.final[click.GIVT] != p.clicks {
		t.Errorf("prefetches ended as %v", p.final)
	}
	if bots := &tr.result.families[fraudrange.DeclaredBot]; bots.clicks < 20 || bots.reasons[click.ReasonCrawler] == 0 {
		t.Errorf("declared crawlers ended as %v", bots.final)
	}
	if d := &labels[fraudrange.DoubleClick]; d.clicks < 20 || d.final[click.Valid] > 0 {
		t.Errorf("double clicks ended as %v", d.final)
	}
	// Two sources' open hours, and the one before, at most.
	if len(tr.hours.units) > 4 {
		t.Errorf("%d units are kept", len(tr.hours.units))
	}
}

// What the account would not notice by itself: a click that is lost on its way, or that
// comes after its hour.
func TestLossesAreErrors(t *testing.T) {
	t.Parallel()
	opt := options(t, 8)
	opt.Families = nil
	tr, err := newTrial(&opt, 8)
	if err != nil {
		t.Fatal(err)
	}
	final, n := tr.hours.final, 0
	tr.hours.final = func(e *entry) {
		if n++; n != 100 {
			final(e)
		}
	}
	if err := tr.run(t.Context()); err == nil || !strings.Contains(err.Error(), "arrived") {
		t.Errorf("a lost click gave %v", err)
	}
	late := click.Click{TenantID: tenant, SourceID: edgeID, EventTime: tr.intake.start}
	if err := tr.hours.insert(&late, truth{}); err != nil { // the unit is forgotten, so it is a new one
		t.Fatal(err)
	}
	if err := tr.hours.Seal(t.Context(), aggregate.UnitOf(&late), 1); err != nil {
		t.Fatal(err)
	}
	if err := tr.hours.insert(&late, truth{}); !errors.Is(err, errLate) {
		t.Errorf("a late click gave %v", err)
	}
}

func TestRunRefusesAndStops(t *testing.T) {
	t.Parallel()
	opt := options(t, 9, 9)
	if _, err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("equal seeds: %v", err)
	}
	opt = options(t)
	if _, err := Run(t.Context(), opt); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("no seeds: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	opt = options(t, 10)
	opt.Progress = func(uint64, int) { cancel() }
	if _, err := Run(ctx, opt); !errors.Is(err, context.Canceled) {
		t.Errorf("cut short: %v", err)
	}
}

// Wilson's bounds against published values, and clusters that count for fewer.
func TestBounds(t *testing.T) {
	t.Parallel()
	near := func(what string, got, want, by float64) {
		t.Helper()
		if math.Abs(got-want) > by {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	r := rateOf([]part{{hits: 81, of: 263, clicks: 263}}) // Newcombe 1998, at 90 % two-sided
	near("value", r.Value, 81.0/263, 1e-12)
	low, high := wilson(81.0/263, 263)
	near("low", r.Low, low, 1e-12)
	near("high", r.High, high, 1e-12)
	near("solves the score equation", (r.Value-r.Low)/math.Sqrt(r.Low*(1-r.Low)/263), z95, 1e-9)
	near("and above", (r.High-r.Value)/math.Sqrt(r.High*(1-r.High)/263), z95, 1e-9)

	for df, want := range map[int]float64{1: 6.3138, 2: 2.9200, 3: 2.3534, 5: 2.0150, 19: 1.7291, 100: 1.6602} {
		near("Student's t", student95(df), want, 0.02)
	}
	even := rateOf([]part{{90, 100, 100}, {91, 100, 100}, {89, 100, 100}})
	apart := rateOf([]part{{100, 100, 100}, {100, 100, 100}, {70, 100, 100}})
	if even.Value != apart.Value || apart.Low >= even.Low || apart.High <= even.High {
		t.Errorf("seeds that differ are worth as much as those that do not: %+v, %+v", even, apart)
	}
	all := rateOf([]part{{100, 100, 100}, {100, 100, 100}})
	if all.High != 1 || all.Low < 0.98 || all.Low >= 1 {
		t.Errorf("all of 200: %+v", all)
	}
	none := rateOf(nil)
	if none.Low != 0 || none.High != 1 {
		t.Errorf("nothing is known of %+v", none)
	}
}

// The lower bound is below the truth in 95 of 100 draws, also when seeds differ.
func TestBoundsCover(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	const rounds, seeds, clicks = 2000, 20, 300
	held := 0
	for range rounds {
		parts := make([]part, seeds)
		for i := range parts {
			p := 0.6 + 0.6*(r.Float64()-0.5) // 0.3 to 0.9 by seed, 0.6 on average
			hits := 0
			for range clicks {
				if r.Float64() < p {
					hits++
				}
			}
			parts[i] = part{float64(hits), clicks, clicks}
		}
		if rateOf(parts).Low <= 0.6 {
			held++
		}
	}
	if share := float64(held) / rounds; share < 0.93 || share > 0.98 {
		t.Errorf("the lower bound held in %.3f of the draws", share)
	}
}

func TestMedianOf(t *testing.T) {
	t.Parallel()
	if m := medianOf([]float64{3, 1}, 3); m == nil || *m != 3 {
		t.Errorf("of 1, 3 and never: %v", m)
	}
	if m := medianOf([]float64{1}, 3); m != nil {
		t.Errorf("of 1 and twice never: %v", *m)
	}
	if m := medianOf(nil, 0); m != nil {
		t.Errorf("of nothing: %v", *m)
	}
}

// A feature that tells missed clicks apart is found, with what it would cost.
func TestSeparate(t *testing.T) {
	t.Parallel()
	row := func(slot int, x float32) []float32 {
		v := make([]float32, scoring.Features)
		v[slot] = x
		return v
	}
	var missed, people, nat [][]float32
	for i := range 100 {
		missed = append(missed, row(3, 50))
		people = append(people, row(3, float32(i%51))) // one in fifty reaches it
		nat = append(nat, row(3, 50))
	}
	s := separate(missed, people, nat)
	if s.Feature != scoring.Slots[3].Name || !s.Above || s.Missed != 50 || s.People != 0.01 || s.NAT != 1 {
		t.Errorf("%+v", s)
	}
	if why := s.why(); !strings.Contains(why, "no single feature") || !strings.Contains(why, "1.00%") {
		t.Error(why)
	}
}

// A forest is trained without the rows of the family that it is then asked about.
func TestForestLeavesOneOut(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	m := &mixture{}
	add := func(n int, f fraudrange.Family, at float32) (rows [][]float32) {
		for range n {
			row := make([]float32, scoring.Features)
			for i := range row {
				row[i] = at + r.Float32()
			}
			m.rows, m.families, rows = append(m.rows, row), append(m.families, f), append(rows, row)
		}
		return rows
	}
	people := add(2000, fraudrange.NoFamily, 0)
	flood := add(600, fraudrange.Flood, 5)
	with, err := train(m, fraudrange.NoFamily, 1)
	if err != nil {
		t.Fatal(err)
	}
	without, err := train(m, fraudrange.Flood, 1)
	if err != nil {
		t.Fatal(err)
	}
	if with.model.Hash() == without.model.Hash() {
		t.Error("leaving a family out made the same forest")
	}
	if got := without.over(flood); got < 500 {
		t.Errorf("a forest that knows no flood finds %v of %d clicks far from people's", got, len(flood))
	}
	if got := without.over(people); got > 0.002*float64(len(people)) {
		t.Errorf("%v of %d people are above the threshold", got, len(people))
	}
}
