package alerts

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"clickgate/scoring/zscore"

	"pgregory.net/rapid"
)

var day0 = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC) // a Monday

func minuteAt(n int) time.Time { return day0.Add(time.Duration(n) * time.Minute) }

// seen is one answer of a detector.
type seen struct {
	value, score, expected float64
	state                  State
}

func run(d *Detector, values ...float64) (out []seen) {
	for n, v := range values {
		score, state := d.Observe(minuteAt(n), v)
		out = append(out, seen{v, score, d.Expected, state})
	}
	return out
}

func times(n int, v float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// scaled multiplies values; unit 0 leaves it to the detector to find the step.
func scaled(by float64, values []float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = v * by
	}
	return out
}

// TestSeriesThatNeverMoves is the constant series: exactly 0, then what each
// later value scores with a floor of sqrt(median).
func TestSeriesThatNeverMoves(t *testing.T) {
	t.Parallel()
	values := append(times(120, 40), 40, 41, 60, 400, 40, 40, 40)
	want := map[int]float64{120: 0, 121: 1 / math.Sqrt(40), 122: 20 / math.Sqrt(40), 123: 360 / math.Sqrt(40), 124: 0, 125: 0, 126: 0}
	for name, c := range map[string]struct{ by, unit float64 }{
		"counts": {1, 1}, "fractions of a known unit": {0.087, 0.087}, "fractions of an unknown unit": {0.087, 0}, "counts of an unknown unit": {1, 0},
	} {
		cfg := DefaultDetector()
		cfg.Unit = c.unit
		got := run(NewDetector(cfg), scaled(c.by, values)...)
		for n := 15; n < 120; n++ {
			if got[n].score != 0 || got[n].state != Calm {
				t.Fatalf("%s: point %d scores %v, %s", name, n, got[n].score, got[n].state)
			}
		}
		for n, score := range want {
			if c.unit != 0 && math.Abs(got[n].score-score) > 1e-9 {
				t.Errorf("%s: %v scores %v, want %v", name, got[n].value, got[n].score, score)
			}
			flagged, shall := got[n].score >= cfg.Open, values[n] == 400
			if flagged != shall {
				t.Errorf("%s: %v flagged %v, want %v (score %v)", name, got[n].value, flagged, shall, got[n].score)
			}
			if math.Abs(got[n].expected-40*c.by) > 1e-9 {
				t.Errorf("%s: baseline %v after %v, want still %v", name, got[n].expected, got[n].value, 40*c.by)
			}
		}
		if got[123].state != Strange || got[122].state != Calm {
			t.Errorf("%s: states %s at 60 and %s at 400", name, got[122].state, got[123].state)
		}
	}
}

func TestZerosThenSome(t *testing.T) {
	t.Parallel()
	for _, by := range []float64{1, 0.087} {
		for _, unit := range []float64{by, 0} {
			cfg := DefaultDetector()
			cfg.Unit = unit
			got := run(NewDetector(cfg), scaled(by, append(times(119, 0), 1, 50))...)
			if got[118].score != 0 || got[119].score >= cfg.Open || got[119].state != Calm || got[120].score < cfg.AtOnce || got[120].state != Strange {
				t.Errorf("by %v, unit %v: %+v", by, unit, got[118:])
			}
		}
	}
}

// TestNoBaselineYet: a young series is not judged, whatever comes.
func TestNoBaselineYet(t *testing.T) {
	t.Parallel()
	for _, values := range [][]float64{{40}, {40, 1e9}, times(14, 0)} {
		for _, s := range run(NewDetector(DefaultDetector()), values...) {
			if s.state != NoBaseline || s.state.String() != "no baseline yet" {
				t.Errorf("%v: %+v", values, s)
			}
		}
	}
}

// TestMostlyEqual: MAD 0 with some spread neither blows up nor hides an attack.
func TestMostlyEqual(t *testing.T) {
	t.Parallel()
	values := times(80, 40)
	for i := 0; i < len(values); i += 3 {
		values[i] = 40 + float64(i%11)
	}
	got := run(NewDetector(DefaultDetector()), append(values, 400)...)
	for n := 15; n < 80; n++ {
		if got[n].score >= 2 || got[n].state != Calm {
			t.Errorf("point %d: %+v", n, got[n])
		}
	}
	if last := got[80]; last.state != Strange || last.score < 50 {
		t.Errorf("attack: %+v", last)
	}
}

// TestHysteresis: two of three open, five calm ones close, in between it holds.
func TestHysteresis(t *testing.T) {
	t.Parallel()
	const high, middle = 40 + 8*6.33, 40 + 4*6.33 // scores of 8 and 4
	for name, c := range map[string]struct {
		after []float64
		want  string // o open, . calm
	}{
		"one is none":           {[]float64{high, 40, 40, 40}, "...."},
		"two of three":          {[]float64{high, 40, high, 40}, "..oo"},
		"two of four":           {[]float64{high, 40, 40, high}, "...."},
		"middling does not end": {[]float64{high, high, middle, 40, 40, 40, 40, middle, 40, 40, 40, 40, 40, 40}, ".ooooooooooo.."},
		"at once":               {append([]float64{400}, times(6, 40)...), "ooooo.."},
		"dip at once":           {append([]float64{40, -40}, times(6, 40)...), ".ooooo.."},
		"falling inside counts": {append([]float64{400, 0, 0}, times(6, 40)...), "ooooooo.."},
		"no number":             {[]float64{math.NaN(), math.Inf(1), math.Inf(-1), 40}, "...."},
	} {
		values := append(times(60, 40), c.after...)
		var got strings.Builder
		for _, s := range run(NewDetector(DefaultDetector()), values...)[60:] {
			got.WriteByte(".o"[s.state-Calm])
		}
		if got.String() != c.want {
			t.Errorf("%s: %s, want %s", name, got.String(), c.want)
		}
	}
}

// TestNoFlapping: values around the threshold open once and close once.
func TestNoFlapping(t *testing.T) {
	t.Parallel()
	d := NewDetector(DefaultDetector())
	run(d, times(60, 100)...)
	changes, before := 0, Calm
	for i := range 60 {
		v := 100.0
		if i < 40 && i%2 == 0 {
			v = 170
		}
		_, st := d.Observe(minuteAt(60+i), v)
		if st != before {
			changes, before = changes+1, st
		}
	}
	if changes != 2 || before != Calm {
		t.Errorf("%d changes, at the end %v", changes, before)
	}
}

// TestDipNeedsAWholeWindow: who only just began to send, or pauses now and then,
// may stop.
func TestDipNeedsAWholeWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []float64
		want   State
	}{
		"young":      {append(times(59, 400), 0, 0, 0), Calm},
		"whole":      {append(times(60, 400), 0, 0), Strange},
		"had pauses": {append(append(times(30, 400), 0), append(times(59, 400)[:29], 0, 0)...), Calm},
	} {
		got := run(NewDetector(DefaultDetector()), c.values...)
		if last := got[len(got)-1]; last.state != c.want {
			t.Errorf("%s: %+v", name, last)
		}
	}
}

// TestMornings: four days of a day's shape teach the fifth; a quiet night that
// turns as loud as noon is strange all the same.
func TestMornings(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	level := func(n int) float64 {
		h := float64(n%1440) / 60
		return 400 + 380*math.Sin((h-9)*math.Pi/12)
	}
	d := NewDetector(DefaultDetector())
	noise := func(n int) float64 {
		l := level(n)
		return math.Max(0, math.Round(l+r.NormFloat64()*math.Sqrt(l)))
	}
	for n := range 4 * 1440 {
		d.Observe(minuteAt(n), noise(n))
	}
	for n := 4 * 1440; n < 6*1440; n++ {
		if score, state := d.Observe(minuteAt(n), noise(n)); state != Calm {
			t.Fatalf("minute %d of the day: score %v", n%1440, score)
		}
	}
	for n := 6*1440 + 180; n < 6*1440+183; n++ { // 03:00
		d.Observe(minuteAt(n), 700)
	}
	if d.State() != Strange {
		t.Error("noon at three in the morning is not strange")
	}
}

// TestCreeping: a flood that grows by a hundredth a minute is usual for the recent
// past, and strange for the hour.
func TestCreeping(t *testing.T) {
	t.Parallel()
	cfg := DefaultDetector()
	found := func(hours bool) bool {
		cfg.Hours = hours
		d := NewDetector(cfg)
		for n := range 4 * 1440 {
			d.Observe(minuteAt(n), 1000)
		}
		value := 1000.0
		for n := 4 * 1440; n < 4*1440+300; n++ {
			value *= 1.005
			if _, state := d.Observe(minuteAt(n), value); state == Strange {
				return true
			}
		}
		return false
	}
	if !found(true) {
		t.Error("the creeping flood is not found by the hours")
	}
	if found(false) {
		t.Error("the flood does not creep: the recent past alone finds it")
	}
}

// TestLevelThatStays: a new level is strange at first and usual within hours.
func TestLevelThatStays(t *testing.T) {
	t.Parallel()
	d := NewDetector(DefaultDetector())
	run(d, times(90, 1000)...)
	strange := 0
	for n := range 600 {
		if _, state := d.Observe(minuteAt(90+n), 1600); state == Strange {
			strange++
		}
	}
	if strange < 20 || strange > 300 || d.State() != Calm {
		t.Errorf("strange for %d minutes, at last %s", strange, d.State())
	}
}

// TestLevelThatStaysForDays: where earlier days say otherwise for weeks, a new level
// is told for hours and not for days, and an attack on top of it rings again.
func TestLevelThatStaysForDays(t *testing.T) {
	t.Parallel()
	for name, grow := range map[string]func(minute int) float64{
		"at once": func(int) float64 { return 4000 },
		"slowly":  func(n int) float64 { return min(4000, 1000*math.Pow(1.005, float64(n))) },
	} {
		d := NewDetector(DefaultDetector())
		const days = 4 * 1440
		for n := range days {
			d.Observe(minuteAt(n), 1000)
		}
		strange, times := 0, 0
		for n, before := 0, Calm; n < 1440; n++ {
			_, state := d.Observe(minuteAt(days+n), grow(n))
			if state == Strange {
				strange++
			}
			if state != before && state == Strange {
				times++
			}
			before = state
		}
		if strange < 60 || strange > 480 || times != 1 || d.State() != Calm {
			t.Errorf("%s: strange for %d minutes, %d times, at last %s", name, strange, times, d.State())
		}
		for n := range 2 {
			d.Observe(minuteAt(days+1440+n), 12_000)
		}
		if d.State() != Strange {
			t.Errorf("%s: an attack on the new level is not seen", name)
		}
	}
}

// TestDetectorIsTotal: any values give finite scores, the same twice, that JSON
// can hold; scaling by powers of two changes nothing where the unit is found.
func TestDetectorIsTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultDetector()
		cfg.Window, cfg.Warmup, cfg.Unit = 8, 3, rapid.SampledFrom([]float64{0, 1, 0.087}).Draw(t, "unit")
		value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 40, 41, 1e-17, math.NaN(), math.Inf(1), -math.MaxFloat64, math.MaxFloat64}))
		values := rapid.SliceOfN(value, 1, 60).Draw(t, "values")
		first, second := run(NewDetector(cfg), values...), run(NewDetector(cfg), values...)
		for n, s := range first {
			if s != second[n] && !math.IsNaN(s.value) {
				t.Fatalf("point %d: %+v, then %+v", n, s, second[n])
			}
			if _, err := json.Marshal([]float64{s.score, s.expected}); err != nil || math.Abs(s.score) > zscore.Limit {
				t.Fatalf("point %d of %v scores %v: %v", n, values, s.score, err)
			}
		}
		if cfg.Unit != 0 {
			return
		}
		counts := rapid.SliceOfN(rapid.IntRange(0, 1000), 10, 40).Draw(t, "counts")
		plain := make([]float64, len(counts))
		for n, c := range counts {
			plain[n] = float64(c)
		}
		quarter := run(NewDetector(cfg), scaled(0.25, plain)...)
		for n, s := range run(NewDetector(cfg), plain...) {
			if math.Abs(s.score-quarter[n].score) > 1e-6*max(1, math.Abs(s.score)) {
				t.Fatalf("point %d of %v: %v, a quarter of it %v", n, plain, s.score, quarter[n].score)
			}
		}
	})
}

func TestDetectorConfig(t *testing.T) {
	t.Parallel()
	good := DefaultDetector()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*DetectorConfig){
		"window": func(c *DetectorConfig) { c.Window = 2 },
		"warmup": func(c *DetectorConfig) { c.Warmup = 61 },
		"scores": func(c *DetectorConfig) { c.Close = c.Open },
		"points": func(c *DetectorConfig) { c.Need = 4 },
		"calm":   func(c *DetectorConfig) { c.Calm = 0 },
		"unit":   func(c *DetectorConfig) { c.Unit = math.NaN() },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	d := NewDetector(DefaultDetector())
	r := rand.New(rand.NewPCG(1, 1))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		d.Observe(minuteAt(n), float64(400+r.IntN(40)))
	}
}
