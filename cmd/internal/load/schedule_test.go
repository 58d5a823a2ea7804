package load

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func all(s *Schedule) (a []Arrival) {
	for x, ok := s.Next(); ok; x, ok = s.Next() {
		a = append(a, x)
	}
	return a
}

func instants(a []Arrival) (at []time.Duration) {
	for _, x := range a {
		at = append(at, x.At)
	}
	return at
}

func TestUniformInstants(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		ramp string
		want []time.Duration
	}{
		"constant":        {"10:10:500ms", []time.Duration{0, 100 * ms, 200 * ms, 300 * ms, 400 * ms}},
		"rising from 0":   {"0:10:2s", []time.Duration{0, 632455532, 894427191, 1095445115, 1264911064, 1414213562, 1549193338, 1673320053, 1788854382, 1897366596}}, // sqrt(n/2.5)
		"falling to 0":    {"4:0:2s", []time.Duration{0, 267949192, 585786438, 1000 * ms}},                                                                           // 2-sqrt(4-n)
		"two steps":       {"2:2:1s,4:4:500ms", []time.Duration{0, 500 * ms, 1000 * ms, 1250 * ms}},
		"pause":           {"1:1:1s,0:0:1s,1:1:1s", []time.Duration{0, 2000 * ms}},
		"shares of steps": {"1:1:500ms,1:1:1500ms", []time.Duration{0, 1000 * ms}},
	} {
		p, err := ParseRamp(tt.ramp)
		if err != nil {
			t.Fatal(name, err)
		}
		got := instants(all(NewSchedule(1, p, Uniform, Mix{Paid: 1})))
		if !slices.EqualFunc(got, tt.want, func(a, b time.Duration) bool { return (a - b).Abs() <= time.Nanosecond }) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A Poisson process of rate 1 that is seen through the profile: the instants are
// known from the draws alone.
func TestPoissonInstantsAreAFunctionOfTheSeed(t *testing.T) {
	t.Parallel()
	p := Profile{{50, 150, 10 * time.Second}, {150, 0, 5 * time.Second}}
	a, b := all(NewSchedule(7, p, Poisson, Mix{Paid: 1})), all(NewSchedule(7, p, Poisson, Mix{Paid: 1}))
	if len(a) == 0 || !slices.Equal(a, b) {
		t.Errorf("%d and %d arrivals of one seed differ", len(a), len(b))
	}
	if slices.Equal(instants(a), instants(all(NewSchedule(8, p, Poisson, Mix{Paid: 1})))) {
		t.Error("another seed changes nothing")
	}
	mixed := all(NewSchedule(7, p, Poisson, Mix{Paid: 1, Organic: 3, Batch: 1}))
	if !slices.Equal(instants(a), instants(mixed)) {
		t.Error("another mix moves instants")
	}
}

func TestPoissonGaps(t *testing.T) {
	t.Parallel()
	at := instants(all(NewSchedule(3, Constant(1000, 100*time.Second), Poisson, Mix{Paid: 1})))
	var sum, squares float64
	for i := range at[1:] {
		gap := (at[i+1] - at[i]).Seconds() * 1000
		sum += gap
		squares += gap * gap
	}
	n := float64(len(at) - 1)
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	// Exponential gaps have their mean as their deviation; here over 100,000 of them.
	if n < 90_000 || math.Abs(mean-1) > 0.02 || math.Abs(deviation-1) > 0.03 {
		t.Errorf("%.0f gaps of mean %.4f and deviation %.4f, want 1 and 1", n, mean, deviation)
	}
}

func TestScheduleInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Step {
			return Step{
				From: rapid.Float64Range(0, 300).Draw(t, "from"), To: rapid.Float64Range(0, 300).Draw(t, "to"),
				Lasts: time.Duration(rapid.IntRange(1, 5000).Draw(t, "ms")) * time.Millisecond,
			}
		}), 1, 4).Draw(t, "profile")
		profile := Profile(p)
		if profile.Validate() != nil {
			t.Skip("nothing would arrive")
		}
		process := rapid.SampledFrom([]Process{Poisson, Uniform}).Draw(t, "process")
		got := instants(all(NewSchedule(rapid.Uint64().Draw(t, "seed"), profile, process, Mix{Paid: 1})))
		if !slices.IsSorted(got) || len(got) > 0 && got[len(got)-1] > profile.Duration() {
			t.Fatalf("arrivals out of order or past %s: %v", profile.Duration(), got)
		}
		expect := profile.Total()
		switch slack := 7*math.Sqrt(expect) + 7; {
		case process == Uniform && math.Abs(float64(len(got))-expect) > 1,
			process == Poisson && math.Abs(float64(len(got))-expect) > slack:
			t.Fatalf("%d arrivals, want about %.1f", len(got), expect)
		}
	})
}

func TestMixOfArrivals(t *testing.T) {
	t.Parallel()
	mix := Mix{Paid: 10, Organic: 60, Batch: 5, Malformed: 25}
	var got [numClasses]float64
	n := 0.0
	for _, a := range all(NewSchedule(5, Constant(10_000, 10*time.Second), Uniform, mix)) {
		got[a.Class]++
		n++
	}
	for c, w := range mix {
		share := float64(w) / 100
		if math.Abs(got[c]-n*share) > 6*math.Sqrt(n*share*(1-share)) {
			t.Errorf("%s: %.0f of %.0f, want a share of %.2f", Class(c), got[c], n, share)
		}
	}
}

func TestScheduleAllocatesNothing(t *testing.T) {
	s := NewSchedule(1, Constant(1000, time.Hour), Poisson, Mix{Paid: 1, Batch: 2})
	if n := testing.AllocsPerRun(1000, func() { s.Next() }); n != 0 {
		t.Errorf("%v allocations an arrival", n)
	}
}

func TestGrammar(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "paid", "paid=", "paid=x", "paid=-1", "paid=1,paid=2", "pait=1", "paid=0", "paid=1000001", "paid=1,,batch=1"} {
		if m, err := ParseMix(text); err == nil {
			t.Errorf("mix %q was read as %v", text, m)
		}
	}
	if m, err := ParseMix("paid=10, organic=60,batch=5,reused=0"); err != nil || m != (Mix{Paid: 10, Organic: 60, Batch: 5}) || m.String() != "paid=10,organic=60,batch=5" {
		t.Errorf("mix %v, %v", m, err)
	}
	for _, text := range []string{"", "1:2", "1:2:3", "x:2:1s", "1:x:1s", "-1:2:1s", "NaN:1:1s", "1:Inf:1s", "1:2:-1s", "1:2:0s", "1:2:25h", "0:0:1s", "1:2000000:1s", "1:1:20h,1:1:20h"} {
		if p, err := ParseRamp(text); err == nil {
			t.Errorf("ramp %q was read as %v", text, p)
		}
	}
	if _, err := ParseProcess("often"); err == nil {
		t.Error("an unknown process was read")
	}
}

func FuzzParseMix(f *testing.F) {
	f.Add("paid=10,organic=60,batch=5")
	f.Add("reused=1")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMix(text)
		if err != nil {
			return
		}
		if again, err := ParseMix(m.String()); err != nil || again != m {
			t.Errorf("%q was read as %v, and that as %v: %v", text, m, again, err)
		}
	})
}

func FuzzParseRamp(f *testing.F) {
	f.Add("100:1000:30s,1000:1000:1m")
	f.Add("0:1:2s")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseRamp(text)
		if err != nil {
			return
		}
		again, err := ParseRamp(p.String())
		if err != nil || !slices.Equal(again, p) {
			t.Errorf("%q was read as %v, and that as %v: %v", text, p, again, err)
		}
		s := NewSchedule(1, p, Poisson, Mix{Paid: 1})
		last := time.Duration(0)
		for range 1000 {
			a, ok := s.Next()
			if ok && (a.At < last || a.At > p.Duration()) {
				t.Fatalf("%q: arrival at %s after %s, of %s", text, a.At, last, p.Duration())
			}
			last = max(last, a.At)
		}
	})
}
