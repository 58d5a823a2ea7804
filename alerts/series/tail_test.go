package series

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Of distances with a Pareto tail, what is told to come once in n points must come about as often.
func TestReturnPeriods(t *testing.T) {
	t.Parallel()
	for _, alpha := range []float64{2, 4, 8} {
		passed := map[float64]int{}
		n := 0
		for seed := range uint64(8) {
			rng := rand.New(rand.NewPCG(seed, uint64(alpha)))
			tail := newTail(24)
			for i := range 12_000 {
				period := tail.observe(math.Pow(1-rng.Float64(), -1/alpha), 1e-6)
				if i < 2000 {
					continue
				}
				n++
				for _, p := range []float64{200, 1000, 5000} {
					if period >= p {
						passed[p]++
					}
				}
			}
		}
		for p, k := range passed {
			want := float64(n) / p
			if float64(k) < want/3 || float64(k) > 3*want {
				t.Errorf("tail of %v: once in %v points is %d times in %d points", alpha, p, k, n)
			}
		}
		if len(passed) != 3 {
			t.Errorf("tail of %v: only %v", alpha, passed)
		}
	}
}

func TestTailBeforeItKnows(t *testing.T) {
	t.Parallel()
	tail := newTail(4)
	for i := range 4 * young {
		if p := tail.observe(100, 1); p != 0 {
			t.Fatalf("point %d: %v, of fewer than %d stretches", i, p, young)
		}
	}
	if p := tail.observe(200, 1); p < 4*young {
		t.Errorf("twice as far as ever: once in %v points", p)
	}
	if p := tail.observe(0.01, 1); p != 0 {
		t.Errorf("less than a hundredth of a step: once in %v points", p)
	}
	still := newTail(4)
	for i := range 100 {
		if p := still.observe(0, 0); p != 0 {
			t.Fatalf("point %d of what never moved: %v", i, p)
		}
	}
	if p := still.observe(5, 5); p < 1000 {
		t.Errorf("the first move ever: once in %v points", p)
	}
}

// The tail is made of the last stretches, and of the largest distance in each.
func TestTailForgets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tail := newTail(2)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var peaks []float64
		for range rapid.IntRange(0, 2*stretches).Draw(t, "stretches") {
			a, b := float64(rng.IntN(50)), float64(rng.IntN(50))
			tail.observe(a, 1)
			tail.observe(b, 1)
			peaks = append(peaks, max(a, b))
		}
		want := slices.Clone(peaks[max(0, len(peaks)-stretches):])
		slices.Sort(want)
		slices.Reverse(want)
		if !slices.Equal(tail.sorted, want) {
			t.Fatalf("holds %v, want %v", tail.sorted, want)
		}
	})
}
