package series

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var day0 = time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)

// perDay points of a day stand five minutes apart.
const perDay = 288

func at(i int) time.Time { return day0.Add(time.Duration(i) * 5 * time.Minute) }

// ringing replays values and returns at which points it rang.
func ringing(values []float64) (rang []int) {
	d := New(Default())
	for i, v := range values {
		if d.Observe(at(i), v) >= 0.5 {
			rang = append(rang, i)
		}
	}
	return rang
}

func noise(n int, seed uint64) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	out := make([]float64, n)
	for i := range out {
		out[i] = 100 + 5*rng.NormFloat64()
	}
	return out
}

// days is noise that is higher by 60 from 9 to 18 h.
func days(n int, seed uint64) []float64 {
	out := noise(n*perDay, seed)
	for i := range out {
		if h := i % perDay / 12; h >= 9 && h < 18 {
			out[i] += 60
		}
	}
	return out
}

// within are the rings from a point to another one.
func within(rang []int, from, to int) (in []int) {
	for _, i := range rang {
		if i >= from && i < to {
			in = append(in, i)
		}
	}
	return in
}

// Each change is one that another question finds; all have to ring soon, and the same series without it must not.
func TestFindsWhatChanges(t *testing.T) {
	t.Parallel()
	const from = 8*perDay + 9*12 // 9 h of the ninth day
	for name, c := range map[string]struct {
		length, soon int
		change       func(i int, v float64) float64
	}{
		"spike":               {1, 1, func(_ int, v float64) float64 { return v + 200 }},
		"fall":                {12, 2, func(_ int, v float64) float64 { return v - 160 }},
		"shift":               {3 * perDay, 12, func(_ int, v float64) float64 { return v + 40 }},
		"flat within range":   {60, 40, func(int, float64) float64 { return 130 }},
		"no day today":        {9 * 12, 12, func(_ int, v float64) float64 { return v - 60 }},
		"wilder, same mean":   {perDay, 24, func(i int, v float64) float64 { return v + float64(40*(i%2*2-1)) }},
		"half the usual rise": {9 * 12, 36, func(_ int, v float64) float64 { return v - 30 }},
	} {
		for seed := range uint64(2) {
			values := days(9, seed)[:from+min(c.length, c.soon)]
			for i := from; i < len(values); i++ {
				values[i] = c.change(i, values[i])
			}
			if rang := within(ringing(values), from, from+c.soon); len(rang) == 0 {
				t.Errorf("%s, seed %d: did not ring", name, seed)
			}
		}
	}
	for seed := range uint64(2) {
		if rang := within(ringing(days(9, seed)[:from+40]), from, from+40); len(rang) > 0 {
			t.Errorf("seed %d: rang at %v without any change", seed, rang)
		}
	}
}

// What happened once is no excuse; what keeps happening is usual.
func TestRepetition(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		values := days(8, seed)
		first, second := 4*perDay+30, 7*perDay+200
		for i := range 10 {
			values[first+i], values[second+i] = 400, 400
		}
		rang := ringing(values)
		if len(within(rang, first, first+10)) == 0 || len(within(rang, second, second+10)) == 0 {
			t.Errorf("seed %d: rang at %v, not at %d and %d", seed, rang, first, second)
		}
	}
	values, spikes := noise(11*perDay, 3), 0
	for i := 100; i < len(values); i += 97 {
		values[i] = 300 + float64(i%7)
		spikes++
	}
	rang := ringing(values)
	if spikes < 30 || len(rang) > spikes/3 {
		t.Errorf("rang %d times for %d spikes: %v", len(rang), spikes, rang)
	}
	values[len(values)-40] = 3000
	if rang = ringing(values); !slices.Contains(rang, len(values)-40) {
		t.Errorf("did not ring for the one that is ten times as far: %v", rang)
	}
}

// A stationary series rings about once a period for each of the questions that are independent, and no more.
func TestFalseRings(t *testing.T) {
	t.Parallel()
	n, rang, cfg := 0, 0, Default()
	for seed := range uint64(3) {
		n += 8 * perDay
		rang += len(ringing(noise(8*perDay, 100+seed)))
	}
	if most := 4 * n / cfg.Period; rang > most {
		t.Errorf("rang %d times in %d points, more than %d", rang, n, most)
	}
	flat := make([]float64, 1500)
	for i := range flat {
		flat[i] = 45
	}
	if rang := ringing(flat); len(rang) != 0 {
		t.Errorf("a series that never moves rang at %v", rang)
	}
	if rang := ringing(append(flat[:1000:1000], 900, 45)); len(rang) != 1 || rang[0] != 1000 {
		t.Errorf("its first move: rang at %v", rang)
	}
	square := make([]float64, 8*perDay) // to the digit the same each day
	for i := range square {
		square[i] = 20 + 60*float64(i%perDay/144)
	}
	if rang := within(ringing(square), 3*perDay, len(square)); len(rang) != 0 {
		t.Errorf("a series that repeats itself rang at %v", rang)
	}
}

// A ring is told again at most twice while it becomes worse, and what comes after the quiet time is told anew, as is what lasts.
func TestQuiet(t *testing.T) {
	t.Parallel()
	values, quiet := noise(1500, 5), Default().Quiet
	for i := range 10 {
		values[1200+i], values[1400+i] = 250+float64(10*i*i), 1e5
	}
	rang := ringing(values)
	if first := within(rang, 1200, 1200+quiet); len(first) == 0 || first[0] != 1200 || len(first) > 3 {
		t.Errorf("rang at %v", rang)
	}
	if len(within(rang, 1400, 1410)) == 0 {
		t.Errorf("did not ring for the second: %v", rang)
	}
}

// Scores must not know the unit, nor anything later.
func TestUnitsAndLaterPoints(t *testing.T) {
	t.Parallel()
	values := days(6, 9)
	d, small, cut := New(Default()), New(Default()), New(Default())
	most := 0.0
	for i, v := range values {
		score := d.Observe(at(i), v)
		most = max(most, score)
		if s := small.Observe(at(i), v/1024); math.Abs(s-score) > 1e-9 {
			t.Fatalf("point %d: %v, in another unit %v", i, score, s)
		}
		if i < 1000 {
			if s := cut.Observe(at(i), v); s != score {
				t.Fatalf("point %d: %v, then %v", i, score, s)
			}
		}
	}
	if most < 0.1 {
		t.Errorf("no score is above %v", most)
	}
}

func tiny() Config {
	return Config{Window: 40, Apart: 4, Patterns: []int{1, 3}, Level: 5, Period: 30, Quiet: 3}
}

func TestIsFinite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := New(tiny())
		for i, v := range rapid.SliceOfN(rapid.Float64(), 1, 150).Draw(t, "values") {
			if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
				v = []float64{math.NaN(), math.Inf(1), math.MaxFloat64, -math.MaxFloat64}[i%4]
			}
			if s := d.Observe(day0.Add(time.Duration(i)*time.Hour), v); !(s >= 0 && s <= 1) {
				t.Fatalf("score %v of %v", s, v)
			}
		}
	})
	d := New(tiny())
	for i := range 200 { // what is no number changes nothing, at any time
		v := float64(i * i % 17)
		d.Observe(at(i), v)
		if s := d.Observe(time.Time{}, math.NaN()); s != 0 {
			t.Fatalf("score %v of no number", s)
		}
	}
	if d.values.past.n != 41 || len(d.sorted) != 41 {
		t.Errorf("remembers %d points and %d ranks", d.values.past.n, len(d.sorted))
	}
}

// Distances and ranks, which are carried from point to point, must be what their definitions say.
func TestAgainstDefinitions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := tiny()
		d := New(cfg)
		var values []float64
		for i := range rapid.IntRange(1, 130).Draw(t, "points") {
			v := float64(rapid.IntRange(-8, 8).Draw(t, "value"))
			values = append(values, v)
			d.Observe(at(i), v)
			past := values[max(0, len(values)-cfg.Window-1):]
			below, same := 0, 0
			for _, u := range past {
				if u < v {
					below++
				} else if u == v {
					same++
				}
			}
			if want, got := (float64(below)+float64(same)/2)/float64(len(past)), d.ranks.past.back()[0]; math.Abs(got-want) > 1e-12 {
				t.Fatalf("rank %v, want %v", got, want)
			}
		}
		for k, length := range cfg.Patterns {
			for lag := 1; lag < min(len(values), cfg.Window+1); lag++ {
				want, weight := 0.0, 1/float64(length)
				for i := len(values) - 1; i >= lag; i-- {
					want += weight * math.Abs(values[i]-values[i-lag])
					weight *= 1 - 1/float64(length)
				}
				if got := d.values.patterns[k].gaps[lag]; math.Abs(got-want) > 1e-9 {
					t.Fatalf("pattern of %d, lag %d: %v, want %v", length, lag, got, want)
				}
			}
		}
	})
}

func TestNearest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := tiny()
		times := newTimes(&cfg)
		gaps := rapid.SliceOfN(rapid.Float64Range(0, 9), 0, 60).Draw(t, "gaps")
		var lags []int
		for lag := cfg.Apart; lag < len(gaps); lag++ {
			if rapid.Bool().Draw(t, "near") {
				lags = append(lags, lag)
			}
		}
		second := func(lags []int) float64 {
			least := map[int]float64{}
			for _, lag := range lags {
				if d, ok := least[lag/cfg.Apart]; !ok || gaps[lag] < d {
					least[lag/cfg.Apart] = gaps[lag]
				}
			}
			all := []float64{math.Inf(1), math.Inf(1)}
			for _, d := range least {
				all = append(all, d)
			}
			slices.Sort(all)
			return all[1]
		}
		var every []int
		for lag := cfg.Apart; lag < len(gaps); lag++ {
			every = append(every, lag)
		}
		if got, want := times.nearest(gaps), second(every); got != want {
			t.Fatalf("nearest %v, want %v", got, want)
		}
		if got, want := times.nearestOf(gaps, lags), second(lags); got != want {
			t.Fatalf("nearest of some %v, want %v", got, want)
		}
	})
}

func TestObserveAllocatesNothing(t *testing.T) {
	d, values, i := New(Default()), days(16, 1), 0
	for ; i < len(values); i++ {
		d.Observe(at(i), values[i])
	}
	if n := testing.AllocsPerRun(500, func() {
		d.Observe(at(i), values[i%len(values)])
		i++
	}); n != 0 {
		t.Errorf("%v allocations a point", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	d, values, i := New(Default()), days(16, 1), 0
	for ; i < len(values); i++ {
		d.Observe(at(i), values[i])
	}
	b.ReportAllocs()
	for b.Loop() {
		d.Observe(at(i), values[i%len(values)])
		i++
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	for _, good := range []Config{Default(), tiny()} {
		if err := good.Validate(); err != nil {
			t.Error(err)
		}
	}
	for name, change := range map[string]func(*Config){
		"apart": func(c *Config) { c.Apart = 1 }, "short": func(c *Config) { c.Window = 100 }, "long": func(c *Config) { c.Window = 1 << 17 },
		"no pattern": func(c *Config) { c.Patterns = nil }, "pattern": func(c *Config) { c.Patterns = []int{4, 0} },
		"long pattern": func(c *Config) { c.Patterns = []int{5000} }, "level": func(c *Config) { c.Level = 1 },
		"period": func(c *Config) { c.Period = 0 }, "quiet": func(c *Config) { c.Quiet = -1 },
	} {
		c := Default()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: is taken", name)
		}
	}
}
