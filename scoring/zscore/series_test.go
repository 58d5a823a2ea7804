package zscore

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat"
	"pgregory.net/rapid"
)

const start = int64(1_790_000_040_000_000) // a whole minute

func at(minute int) int64 { return start + int64(minute)*minuteMicros }

// minuteEnds feeds whole minutes event by event and returns the point after each minute's last event.
func minuteEnds(s *Series, from int, counts ...int) []Point {
	var out []Point
	for i, n := range counts {
		p := s.Add(at(from+i), 0)
		for k := range n {
			p = s.Observe(at(from+i) + int64(k)*minuteMicros/int64(n))
		}
		out = append(out, p)
	}
	return out
}

func repeat(n, value int) []int { return slices.Repeat([]int{value}, n) }

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

func TestSeriesThatNeverMoves(t *testing.T) {
	t.Parallel()
	var s Series
	for i, p := range minuteEnds(&s, 0, repeat(120, 40)...) {
		if p.Z != 0 || p.OK != (i >= MinBaseline) || !p.Kept {
			t.Fatalf("minute %d of 40: %+v", i, p)
		}
	}
	want := []struct{ count, z, by float64 }{{40, 0, 0}, {41, 0.158, 0.001}, {60, 3.162, 0.001}, {400, 56.921, 0.001}}
	for i, p := range minuteEnds(&s, 120, 40, 41, 60, 400) {
		if w := want[i]; !p.OK || float64(p.Count) != w.count || !near(p.Z, w.z, w.by) {
			t.Errorf("count %v: %+v, want z %v", w.count, p, w.z)
		}
	}
	for i, p := range minuteEnds(&s, 124, repeat(30, 40)...) {
		if median, mad, n, ok := s.Baseline(); p.Z != 0 || !p.OK || median != 40 || mad != 0 || n != Window || !ok {
			t.Fatalf("minute %d after the flood: %+v, baseline %v %v of %d", i, p, median, mad, n)
		}
	}
}

func TestQuietSeries(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		count   int
		flagged bool
	}{{1, false}, {3, false}, {50, true}} {
		var s Series
		minuteEnds(&s, 0, repeat(119, 0)...)
		p := minuteEnds(&s, 119, c.count)[0]
		if !p.OK || (p.Z > Flagged) != c.flagged || p.Z != float64(c.count) {
			t.Errorf("%d after 119 zeros: %+v", c.count, p)
		}
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	var s Series
	if _, _, _, ok := s.Baseline(); ok {
		t.Error("an empty series has a baseline")
	}
	for i, p := range minuteEnds(&s, 0, 5, 400, 5, 400) {
		if p.OK != (i >= 3) || !p.OK && p.Z != 0 {
			t.Errorf("minute %d: %+v", i, p)
		}
	}
	// One event, then silence: the silent minutes are the past.
	var quiet Series
	quiet.Observe(at(0))
	if p := quiet.Observe(at(5)); !p.OK || p.Z != 1 {
		t.Errorf("after five quiet minutes: %+v", p)
	}
}

// More than half the minutes equal (MAD 0), the rest spread.
func TestHalfEqual(t *testing.T) {
	t.Parallel()
	var s Series
	for i := range 60 {
		n := 10
		if i%3 == 0 {
			n = 10 + i
		}
		minuteEnds(&s, i, n)
	}
	median, mad, _, ok := s.Baseline()
	if p := minuteEnds(&s, 60, 12)[0]; !ok || median != 10 || mad != 0 || p.Z > Flagged {
		t.Errorf("12: %+v, baseline %v %v", p, median, mad)
	}
	if p := minuteEnds(&s, 61, 100)[0]; p.Z < Flagged {
		t.Errorf("100: %+v", p)
	}
}

// An attack shorter than half the window moves the baseline hardly, and never hides itself.
func TestBaselineDoesNotCreep(t *testing.T) {
	t.Parallel()
	var s Series
	minuteEnds(&s, 0, repeat(60, 40)...)
	for i, p := range minuteEnds(&s, 60, repeat(29, 400)...) {
		if median, _, _, _ := s.Baseline(); p.Z < 50 || median != 40 {
			t.Fatalf("attack minute %d: %+v, median %v", i, p, median)
		}
	}
}

func TestLateAndAheadEvents(t *testing.T) {
	t.Parallel()
	var s Series
	minuteEnds(&s, 0, repeat(60, 40)...)
	if p := s.Observe(at(30)); p.Count != 41 || !p.Kept {
		t.Errorf("late: %+v", p)
	}
	before := s
	if p := s.Observe(at(60 - ring - 1)); p != (Point{}) || s != before {
		t.Errorf("older than the ring: %+v", p)
	}
	for _, bad := range []int64{-1, 0, math.MinInt64, math.MaxInt64} {
		if p := s.Observe(bad); p != (Point{}) || s != before {
			t.Errorf("time %d: %+v", bad, p)
		}
	}
	// One event three days ahead, and again after normal ones: the past stays.
	for i := range 10 {
		if p := s.Observe(at(3 * 24 * 60)); p.Kept {
			t.Fatalf("an event three days ahead was believed: %+v", p)
		}
		if p := minuteEnds(&s, 60+i, 40)[0]; p.Z != 0 || !p.Kept {
			t.Fatalf("after it: %+v", p)
		}
	}
	if median, _, n, _ := s.Baseline(); median != 40 || n != Window {
		t.Errorf("baseline is %v over %d", median, n)
	}
	// A key that comes back after hours is believed at its third event, and its past is silence.
	var kept []bool
	for range 4 {
		p := s.Observe(at(1000))
		kept = append(kept, p.Kept)
		if !p.OK || p.Z == 0 {
			t.Errorf("back after hours: %+v", p)
		}
	}
	if !slices.Equal(kept, []bool{false, false, true, true}) {
		t.Errorf("kept %v", kept)
	}
	// Five minutes ahead, within the step: the minutes between still take their events.
	var f Series
	minuteEnds(&f, 0, repeat(60, 40)...)
	f.Observe(at(64))
	for i, p := range minuteEnds(&f, 60, 40, 40, 40, 40) {
		if p.Count != 40 || p.Z != 0 || !p.Kept {
			t.Errorf("minute %d behind a fast clock: %+v", i, p)
		}
	}
}

// The ring, with its running sums and shortcuts, against counts in a map.
func TestSeriesAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s Series
		model := map[int]int{}
		now, first := 0, 0
		for range rapid.IntRange(1, 300).Draw(t, "events") {
			m := now + rapid.IntRange(-70, MaxStep).Draw(t, "step")*rapid.IntRange(0, 1).Draw(t, "move")
			p := s.Observe(at(m))
			if len(model) == 0 {
				now, first = m, m
			}
			if kept := m > now-ring; kept != p.Kept {
				t.Fatalf("minute %d at %d: %+v", m, now, p)
			} else if !kept {
				continue
			}
			model[m]++
			now = max(now, m)
			if m >= now-Window {
				first = min(first, m)
			}
			var past []float64
			hour, nonzero := 0, uint8(0)
			for k := now - 1; k >= max(first, now-Window); k-- {
				past = append(past, float64(model[k]))
				if model[k] > 0 {
					nonzero++
				}
			}
			for k := now; k > now-60; k-- {
				if k >= first {
					hour += model[k]
				}
			}
			median, mad, ok := MedianMAD(slices.Clone(past))
			gotMedian, gotMAD, n, gotOK := s.Baseline()
			if ok != gotOK || ok && (median != gotMedian || mad != gotMAD) || n != len(past) {
				t.Fatalf("baseline %v %v %t of %d, model %v %v %t of %d", gotMedian, gotMAD, gotOK, n, median, mad, ok, len(past))
			}
			if int(s.hour()) != hour || int(p.Count) != model[m] || s.nonzero != nonzero {
				t.Fatalf("hour %d, count %d, nonzero %d; model %d, %d, %d", s.hour(), p.Count, s.nonzero, hour, model[m], nonzero)
			}
		}
	})
}

func TestRobustIsAlwaysFinite(t *testing.T) {
	t.Parallel()
	odd := []float64{0, 1, -1, 40, 1e-300, -1e308, 1e308, math.MaxFloat64, math.SmallestNonzeroFloat64,
		math.Inf(1), math.Inf(-1), math.NaN()}
	n := 0
	for _, x := range odd {
		for _, m := range odd {
			for _, d := range odd {
				for _, f := range odd {
					z := Robust(x, m, d, f)
					if math.IsNaN(z) || math.Abs(z) > Limit || x == m && z != 0 {
						t.Fatalf("Robust(%v, %v, %v, %v) = %v", x, m, d, f, z)
					}
					if _, err := json.Marshal(z); err != nil {
						t.Fatal(err)
					}
					n++
				}
				if f := CountFloor(m, d); math.IsNaN(f) || !(f > 0) {
					t.Fatalf("CountFloor(%v, %v) = %v", m, d, f)
				}
			}
		}
	}
	if n != len(odd)*len(odd)*len(odd)*len(odd) {
		t.Error("loop ended early")
	}
	if z := Robust(math.Inf(1), 40, 1, 1); z != Limit {
		t.Errorf("infinite x scores %v", z)
	}
}

// Scaling a series by .087 flags the same minutes.
func TestFractionalSeries(t *testing.T) {
	t.Parallel()
	const unit = 0.087
	past := slices.Repeat([]float64{40}, 120)
	scaled := make([]float64, len(past))
	for i, v := range past {
		scaled[i] = float64(v * unit)
	}
	m1, d1, _ := MedianMAD(past)
	m2, d2, ok := MedianMAD(scaled)
	if !ok {
		t.Fatal("no baseline")
	}
	flagged := 0
	for _, x := range []float64{0, 40, 41, 60, 63, 400} {
		a := Robust(x, m1, d1, CountFloor(m1, 1))
		b := Robust(float64(x*unit), m2, d2, CountFloor(m2, unit))
		if !near(a, b, 1e-9) || (math.Abs(a) > Flagged) != (math.Abs(b) > Flagged) {
			t.Errorf("%v scores %v, scaled %v", x, a, b)
		}
		if a > Flagged {
			flagged++
		}
	}
	if flagged != 2 {
		t.Errorf("%d flagged, want 63 and 400", flagged)
	}
}

func TestMedianAgainstGonum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 3, 61).Draw(t, "values")
		if len(v)%2 == 0 {
			v = v[1:]
		}
		if len(v) < MinBaseline {
			return
		}
		sorted := slices.Sorted(slices.Values(v))
		want := stat.Quantile(0.5, stat.Empirical, sorted, nil)
		dev := make([]float64, len(v))
		for i, x := range sorted {
			dev[i] = math.Abs(x - want)
		}
		slices.Sort(dev)
		median, mad, ok := MedianMAD(v)
		if wantMAD := stat.Quantile(0.5, stat.Empirical, dev, nil); !ok || median != want || mad != wantMAD {
			t.Fatalf("%v %v %t, gonum %v %v", median, mad, ok, want, wantMAD)
		}
	})
	for _, v := range [][]float64{nil, {1}, {1, 2}, {1, math.NaN(), 2}, {1, 2, math.Inf(1)}} {
		if _, _, ok := MedianMAD(v); ok {
			t.Errorf("%v has a baseline", v)
		}
	}
	if m, _, _ := MedianMAD([]float64{1, math.MaxFloat64, math.MaxFloat64, 2}); math.IsInf(m, 0) {
		t.Error("the mean of the middle two overflowed")
	}
}

func FuzzSeries(f *testing.F) {
	f.Add(int64(0), int64(60), int64(1<<62), uint32(1))
	f.Add(start, start+60_000_000, start+3600_000_000*100, uint32(1<<31))
	f.Fuzz(func(t *testing.T, a, b, c int64, n uint32) {
		var s Series
		for range 3 {
			for _, at := range []int64{a, b, c, b + c, a + minuteMicros*3} {
				p := s.Add(at, n)
				if math.IsNaN(p.Z) || p.Z < 0 || p.Z > Limit || !p.OK && p.Z != 0 {
					t.Fatalf("%d: %+v", at, p)
				}
				if uint32(s.nonzero) > s.closed() {
					t.Fatalf("%d closed minutes of %d are not 0", s.nonzero, s.closed())
				}
			}
		}
	})
}
