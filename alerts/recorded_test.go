package alerts

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// rings replays values and returns at which points it rang.
func rings(values []float64) (at []int) {
	r := NewRecorded(DefaultSeries())
	for i, v := range values {
		if r.Observe(day0.Add(time.Duration(i)*5*time.Minute), v) >= 0.5 {
			at = append(at, i)
		}
	}
	return at
}

func noise(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, n)
	for i := range out {
		out[i] = 100 + 5*rng.NormFloat64()
	}
	return out
}

func TestRecordedRingsOnceForASpike(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		values := noise(1500, seed)
		for i := 1200; i < 1210; i++ {
			values[i] = 250
		}
		if at := rings(values); len(at) != 1 || at[0] != 1200 {
			t.Errorf("seed %d: rang at %v", seed, at)
		}
	}
}

// What drifts by less than one spread a point is seen at the slower pace; a dip as well as a rise; a shift of level
// rings once, and what is usual since then does not.
func TestRecordedOfShiftsAndDips(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(i int, v float64) float64{
		"dip":   func(i int, v float64) float64 { return v - 60 },
		"shift": func(i int, v float64) float64 { return v + 18 },
		"flat":  func(i int, v float64) float64 { return 0 },
	} {
		values := noise(1900, 7)
		for i := 1200; i < len(values); i++ {
			values[i] = change(i, values[i])
		}
		if at := rings(values); len(at) < 1 || len(at) > 3 || at[0] < 1200 || at[0] > 1215 {
			t.Errorf("%s: rang at %v", name, at)
		}
	}
}

// A series whose nature it is to shoot up rings for the first times, not for each.
func TestRecordedLearnsRecords(t *testing.T) {
	t.Parallel()
	values := noise(3000, 3)
	spikes := 0
	for i := 100; i < len(values); i += 97 {
		values[i] = 300 + float64(i%7)
		spikes++
	}
	at := rings(values)
	if spikes < 30 || len(at) > spikes/3 {
		t.Errorf("rang %d times for %d spikes: %v", len(at), spikes, at)
	}
	values[2900] = 3000
	if at = rings(values); !slices.Contains(at, 2900) {
		t.Errorf("did not ring for the one that is ten times as far: %v", at)
	}
}

// Scaled and moved values ring at the same points when they are as fine: 0 means nothing to a series of any kind.
func TestRecordedOfQuietSeries(t *testing.T) {
	t.Parallel()
	if at := rings(times(1500, 45)); len(at) != 0 {
		t.Errorf("a series that never moves rang at %v", at)
	}
	if at := rings(append(times(1000, 45), 900, 45)); len(at) != 1 || at[0] != 1000 {
		t.Errorf("its first move: rang at %v", at)
	}
	if at := rings(noise(2500, 11)); len(at) > 8 { // no order, so records are few
		t.Errorf("noise rang %d times: %v", len(at), at)
	}
}

func TestRecordedIsFinite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultSeries()
		cfg.Detector.Window, cfg.Detector.Warmup, cfg.Smooth, cfg.Quiet = 20, 5, 4, 3
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		r := NewRecorded(cfg)
		for i, v := range rapid.SliceOfN(rapid.Float64(), 1, 100).Draw(t, "values") {
			if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
				v = []float64{math.NaN(), math.Inf(1), math.MaxFloat64}[i%3]
			}
			if s := r.Observe(day0.Add(time.Duration(i)*time.Minute), v); !(s >= 0 && s <= 1) {
				t.Fatalf("score %v of %v", s, v)
			}
		}
	})
}

func TestSeriesConfigValidate(t *testing.T) {
	t.Parallel()
	good := DefaultSeries()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*SeriesConfig){
		"smooth": func(c *SeriesConfig) { c.Smooth = 0 }, "wide": func(c *SeriesConfig) { c.Smooth = 289 },
		"half life": func(c *SeriesConfig) { c.HalfLife = 0 }, "quiet": func(c *SeriesConfig) { c.Quiet = -1 },
		"detector": func(c *SeriesConfig) { c.Detector.Open = 0 },
	} {
		c := DefaultSeries()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}
