package zscore

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Quartiles of a histogram are those of the sorted counts by nearest rank, counts of 64
// and more standing for the middle of their bin, and lower than each other in order.
func TestQuartilesAgainstExact(t *testing.T) {
	t.Parallel()
	wide := 0
	rapid.Check(t, func(t *rapid.T) {
		// Many ties, as real counts have, and some far out.
		count := rapid.OneOf(rapid.Just(uint32(1)), rapid.Uint32Range(1, 5), rapid.Uint32Range(1, 200), rapid.Uint32Range(60, 70), rapid.Uint32())
		var h histogram
		var exact []uint64
		for _, n := range rapid.SliceOfN(count, 1, 120).Draw(t, "counts") {
			h.counts[bin(n)]++
			exact = append(exact, binValue(bin(n)))
		}
		slices.Sort(exact)
		rank := func(share float64) uint64 { return exact[int(math.Ceil(share*float64(len(exact))))-1] }
		u := h.usual()
		if u.q1 != rank(0.25) || u.median2 != 2*rank(0.5) || u.q3 != rank(0.75) {
			t.Fatalf("%+v, exact %d %d %d of %v", u, rank(0.25), rank(0.5), rank(0.75), exact)
		}
		if u.q3 > u.q1 {
			wide++
		}
	})
	if wide < 5 {
		t.Errorf("only %d histograms have an interquartile range", wide)
	}
}

// A value is beyond k where it is past Tukey's fence, by the definition; the score rises
// with the value, is odd under reflection and finite for every argument.
func TestBeyondIsTukeysFence(t *testing.T) {
	t.Parallel()
	past := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Float64Range(0, 1e4)
		x, q1, floor := rapid.OneOf(number, rapid.Float64Range(1e4, 1e6)).Draw(t, "x"), number.Draw(t, "q1"), rapid.Float64Range(0.5, 100).Draw(t, "floor")
		q3 := q1 + rapid.SampledFrom([]float64{0, 0, 1, 10, 1000}).Draw(t, "IQR")
		got := Beyond(x, q1, q3, floor)
		width := math.Max(q3-q1, 1.349*floor)
		for _, k := range []float64{1.5, FarOut} {
			// Values within rounding of the fence may fall on either side.
			if high := q3 + k*width; math.Abs(x-high) > 1e-6 && (got > k) != (x > high) {
				t.Fatalf("%v is beyond %v, the fence of %v is %v", x, got, k, high)
			}
			if low := q1 - k*width; math.Abs(x-low) > 1e-6 && (got < -k) != (x < low) {
				t.Fatalf("%v is beyond %v, the lower fence of %v is %v", x, got, k, low)
			}
		}
		if (x >= q1 && x <= q3) != (got == 0) {
			t.Fatalf("%v between %v and %v is beyond %v", x, q1, q3, got)
		}
		if mirror := Beyond(-x, -q3, -q1, floor); mirror != -got {
			t.Fatalf("%v, mirrored %v", got, mirror)
		}
		past[got > FarOut]++
	})
	if past[true] < 3 || past[false] < 3 {
		t.Errorf("past and not: %v", past)
	}
	odd := []float64{0, -1, 1, 1e308, math.NaN(), math.Inf(1), math.Inf(-1)}
	for _, x := range odd {
		for _, q1 := range odd {
			for _, q3 := range odd {
				for _, floor := range odd {
					if got := Beyond(x, q1, q3, floor); math.IsNaN(got) || got > Limit || got < -Limit {
						t.Errorf("Beyond(%v, %v, %v, %v) = %v", x, q1, q3, floor, got)
					}
				}
			}
		}
	}
}

// Where half of the peers have one count, MAD is 0 and says so; the fence then tells a
// count that a quarter of the peers come near from one that nobody does. Where all have
// one count it stands at what chance would reach.
func TestFenceWhereMADIsZero(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		clicks func(key int) int // of a key in a minute
		flat   bool
		past   uint32 // least count that is far out
	}{
		"everybody once":    {func(int) int { return 1 }, true, 6},                          // 1 + 3 * 1.349
		"a tenth six times": {func(key int) int { return 1 + key/9*5 }, true, 6},            // the upper quartile is 1 still
		"a third six times": {func(key int) int { return 1 + min(1, key%3/2)*5 }, true, 22}, // 6 + 3 * 5
		"one to ten times":  {func(key int) int { return 1 + key }, false, 24},              // 8 + 3 * 5
	} {
		table := newTable(t, Config{Entries: 4096, MinPeers: 20})
		for m := range 8 {
			for key := range 100 {
				for range tc.clicks(key % 10) {
					table.Observe(uint64(key), at(m))
				}
			}
		}
		least := uint32(0)
		for i := range uint32(100) {
			r := table.Observe(1_000_000, at(8))
			if r.Flat != tc.flat || !r.HasPeers {
				t.Fatalf("%s: %+v", name, r)
			}
			if r.Fence > FarOut {
				least = i + 1
				break
			}
		}
		if least != tc.past {
			t.Errorf("%s: the fence lets %d pass, want %d to be the first far out", name, least, tc.past)
		}
	}
}
