package zscore

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// weekStart is the beginning of an hour.
const weekStart = int64(1_790_000_000_000_000) / hourMicros * hourMicros

// daily plays hours of a publisher, as many events in each as pace says, and returns the
// last surprise and the time of its event. The pace handed over is that of the last 60
// minutes, as a Table has it.
func daily(w *Week, from, hours int, pace func(hour int) int) (s Surprise) {
	for h := from; h < from+hours; h++ {
		n, before := pace(h), 0
		if h > 0 {
			before = pace(h - 1)
		}
		for i := range n {
			part := float64(i) / float64(n)
			minute := math.Floor(part * 60)
			sliding := float64(i+1) + float64(before)*(59-minute)/60
			s = w.Observe(weekStart+int64(h)*hourMicros+int64(part*hourMicros), sliding)
		}
	}
	return s
}

// business is a publisher's week: busy by day, quiet at night, and other on two days.
func business(hour int) int {
	day, of := hour/24%7, hour%24
	n := 10
	if of >= 8 && of < 20 {
		n = 200
	}
	if day >= 5 {
		n /= 5
	}
	return n
}

// The same pace is a surprise in an hour that is usually quiet and none in one that is
// usually as busy: the neighbours of each hour of the fifth week.
func TestWeekKnowsTheHour(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		past  int // hours
		pace  func(hour int) int
		z     [2]float64 // bounds
		hours float64
	}{
		"as always":                      {5*168 + 13, business, [2]float64{0, 1}, 11},
		"a rush at night":                {5*168 + 27, func(int) int { return 200 }, [2]float64{30, Limit}, 11},
		"a rush by day":                  {5*168 + 13, func(int) int { return 600 }, [2]float64{10, 60}, 11},
		"a busy Saturday":                {5*168 + 5*24 + 13, func(int) int { return 200 }, [2]float64{0, 1}, 11}, // as on other days of the week
		"after three days a rush by day": {3*24 + 13, func(int) int { return 600 }, [2]float64{10, 60}, 3},
		"after two days there is no say": {2*24 + 13, func(int) int { return 600 }, [2]float64{0, 0}, 0},
	} {
		var w Week
		daily(&w, 0, tc.past, business)
		s := daily(&w, tc.past, 1, tc.pace)
		if s.Hours != tc.hours || s.Z < tc.z[0] || s.Z > tc.z[1] {
			t.Errorf("%s: %+v, want z in %v of %v hours", name, s, tc.z, tc.hours)
		}
	}
}

// One day of a flood does not make floods usual, and a week's silence ends what was.
func TestWeekIsRobustAndForgets(t *testing.T) {
	t.Parallel()
	flood := func(int) int { return 3_000 }
	var w Week
	daily(&w, 0, 4*168+13, business)
	daily(&w, 4*168+13, 3, flood)
	daily(&w, 4*168+16, 21, business)
	if s := daily(&w, 4*168+37, 1, flood); s.Z < 10 {
		t.Errorf("the second day of a flood has %+v", s)
	}
	if s := daily(&w, 4*168+39+169, 1, flood); s != (Surprise{}) {
		t.Errorf("after a silence of more than a week %+v", s)
	}
}

// The baselines are median and MAD over the hours that there are, by a model that keeps
// every count.
func TestWeekAgainstExact(t *testing.T) {
	t.Parallel()
	spoke := 0
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		var w Week
		counts := map[int64]uint32{}
		hour, newest, first := int64(500_000), int64(0), int64(math.MaxInt64)
		for range rapid.IntRange(1, 900).Draw(t, "steps") {
			hour += int64(rng.IntN(3))
			if rng.IntN(200) == 0 {
				hour += int64(rng.IntN(200))
			}
			at := hour
			if rng.IntN(10) == 0 {
				at -= int64(rng.IntN(3)) // late
			}
			pace, minute := float64(rng.IntN(100)), rng.Int64N(60)
			s := w.Observe(at*hourMicros+minute*minuteMicros, pace)
			if at-newest > 168 {
				clear(counts)
				first = at
			}
			if newest = max(newest, at); at >= newest-1 {
				counts[at]++
				first = min(first, at)
			}
			if want := surpriseOf(counts, first, newest, at, minute, pace); s != want {
				t.Fatalf("hour %d of %d, minute %d, pace %v: %+v, exact %+v", at, newest, minute, pace, s, want)
			}
			if s.Hours > 0 {
				spoke++
			}
		}
	})
	if spoke < 100 {
		t.Errorf("only %d surprises rest on something", spoke)
	}
}

func surpriseOf(counts map[int64]uint32, first, hour, at, minute int64, pace float64) (s Surprise) {
	if at != hour {
		return s
	}
	for _, b := range []struct{ step, times int64 }{{168, 4}, {24, 7}} {
		var values []float64
		for i := int64(1); i <= b.times && hour-i*b.step-1 > first; i++ {
			x, y := counts[hour-i*b.step], counts[hour-i*b.step-1]
			values = append(values, float64((minute+1)*int64(binValue(bin(x)))+(59-minute)*int64(binValue(bin(y)))))
		}
		median, mad, ok := MedianMAD(values)
		if !ok {
			continue
		}
		z := max(0, Robust(60*pace, median, mad, max(CountFloor(median, 60), median/8)))
		if s.Hours == 0 || z < s.Z {
			s.Z = z
		}
		s.Hours += float64(len(values))
	}
	return s
}

func FuzzWeek(f *testing.F) {
	f.Add(int64(0), weekStart, int64(math.MaxInt64), 7.0)
	f.Add(weekStart, weekStart-hourMicros, weekStart+200*hourMicros, math.Inf(1))
	f.Fuzz(func(t *testing.T, a, b, c int64, pace float64) {
		var w Week
		for i := range int64(40) {
			for _, at := range []int64{a, b + i*24*hourMicros, c} {
				if s := w.Observe(at, pace); math.IsNaN(s.Z) || s.Z < 0 || s.Z > Limit || s.Hours < 0 || s.Hours > 11 {
					t.Fatalf("%+v", s)
				}
			}
		}
	})
}

func TestWeekAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	w, i := new(Week), int64(0)
	if n := testing.AllocsPerRun(2_000, func() {
		i++
		w.Observe(weekStart+i*hourMicros/3, 10)
	}); n != 0 || w.sameOfDay.hours == 0 {
		t.Errorf("%v allocations an event, of %d hours", n, w.sameOfDay.hours)
	}
}

func BenchmarkWeek(b *testing.B) {
	for name, step := range map[string]int64{"same minute": 1000, "every minute anew": minuteMicros} {
		b.Run(name, func(b *testing.B) {
			var w Week
			daily(&w, 0, 5*168, business)
			at := weekStart + 5*168*hourMicros
			b.ReportAllocs()
			for b.Loop() {
				at += step
				w.Observe(at, 100)
			}
		})
	}
}
