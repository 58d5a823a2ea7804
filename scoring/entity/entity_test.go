package entity

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func newTable(t testing.TB, c Config) *Table[uint64] {
	t.Helper()
	table, err := New[uint64](c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// A table within its room is a map, whatever the order of keys.
func TestTableIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		table, err := New[uint64](Config{Entries: 4096, Shards: 4, Grow: rapid.Bool().Draw(t, "grow"), Seed: rapid.Uint64().Draw(t, "seed")})
		if err != nil {
			t.Fatal(err)
		}
		want := map[uint64]uint64{}
		for _, key := range rapid.SliceOfN(rapid.Uint64Range(0, 300), 1, 500).Draw(t, "keys") {
			v, fresh, lock := table.Take(key)
			if _, known := want[key]; known == fresh {
				t.Fatalf("key %d is fresh: %t", key, fresh)
			}
			*v++
			lock.Unlock()
			want[key]++
		}
		for key, n := range want {
			if v := table.Find(key); v == nil || *v != n {
				t.Fatalf("key %d has %v, want %d", key, v, n)
			}
		}
		if table.Find(301) != nil {
			t.Fatal("a key that never came is found")
		}
		seen := 0
		table.Each(func(key uint64, v *uint64) {
			if seen++; *v != want[key] {
				t.Fatalf("key %d is walked with %d", key, *v)
			}
		})
		if seen != len(want) || table.Stats().Entries != len(want) {
			t.Fatalf("%d keys walked, %d in the table, want %d", seen, table.Stats().Entries, len(want))
		}
	})
}

// Ten million keys that come once take no more memory than was set, push nothing out
// that comes again and again, and two tables that see them in one order are equal.
func TestManyKeysStayBounded(t *testing.T) {
	t.Parallel()
	keys := uint64(10_000_000)
	if testing.Short() || raceEnabled {
		keys = 300_000
		t.Logf("the short form, of %d keys", keys)
	}
	var tables [2]*Table[uint64]
	for i := range tables {
		tables[i] = newTable(t, Config{Entries: 8192, Seed: 5})
	}
	before := tables[0].Stats().Bytes
	touch := func(key uint64) {
		for _, table := range tables {
			v, _, lock := table.Take(key)
			*v++
			lock.Unlock()
		}
	}
	for i := range keys {
		touch(1000 + i)
		if i%200 == 0 {
			touch(i / 200 % 10)
		}
	}
	st := tables[0].Stats()
	if st.Bytes != before || st.Entries > 8192 || st.Evictions < keys/2 {
		t.Errorf("%d bytes before, now %+v", before, st)
	}
	for key := range uint64(10) {
		if v := tables[0].Find(key); v == nil || *v < keys/4_000 {
			t.Errorf("key %d, which comes again and again, has %v", key, v)
		}
	}
	type pair struct{ key, value uint64 }
	var walks [2][]pair
	for i, table := range tables {
		table.Each(func(key uint64, v *uint64) { walks[i] = append(walks[i], pair{key, *v}) })
	}
	if !slices.Equal(walks[0], walks[1]) {
		t.Error("one order made two tables")
	}
}

func TestTableTogether(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 1024, Shards: 8})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range uint64(20_000) {
				v, _, lock := table.Take(i % 50)
				*v++
				lock.Unlock()
			}
		})
	}
	wg.Wait()
	total := uint64(0)
	table.Each(func(_ uint64, v *uint64) { total += *v })
	if total != 160_000 {
		t.Errorf("%d of 160000 events counted", total)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{Entries: 10}, {Entries: 10, Shards: 3}, {Entries: 1 << 13, Shards: 1 << 13}, {Entries: -1, Shards: 1}} {
		if _, err := New[uint64](c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

// The estimate of a sketch is within four of its standard errors, for few and for many.
func TestDistinct(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 10, 60, 200, 1_000, 50_000, 1_000_000} {
		var d Distinct
		for range n {
			h := rng.Uint64()
			d.Add(h)
			d.Add(h)
		}
		if got := d.Count(); math.Abs(got-float64(n)) > 4*0.13*float64(n)+0.5 {
			t.Errorf("%d keys count as %v", n, got)
		}
	}
}

// Occupancy of cells has the mean and at most the deviation that Expect says, of a
// population in which few keys are common and many are rare.
func TestPopulation(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	var keys []uint64
	for i := range 400 {
		h := rng.Uint64()
		for range 1 + 2000/(1+i*i) {
			keys = append(keys, h)
		}
	}
	var p Population
	for _, k := range keys {
		p.Add(Cell(k))
	}
	for _, n := range []int{1, 12, 100, 1000} {
		mean, deviation := p.Expect(float64(n))
		sum, sum2 := 0.0, 0.0
		const tries = 400
		for range tries {
			var m Marks
			for range n {
				m.Add(Cell(keys[rng.IntN(len(keys))]))
			}
			x := float64(m.Occupied())
			sum += x
			sum2 += x * x
		}
		seen := sum / tries
		spread := math.Sqrt(max(0, sum2/tries-seen*seen))
		t.Logf("%d keys: %.1f cells of %.1f, deviation %.2f of %.2f", n, seen, mean, spread, deviation)
		if math.Abs(seen-mean) > 4*spread/math.Sqrt(tries)+0.05 || spread > deviation*1.15 {
			t.Errorf("%d keys occupy %.2f cells with deviation %.2f, want %.2f and at most %.2f", n, seen, spread, mean, deviation)
		}
	}
	var none Population
	if mean, deviation := none.Expect(12); mean != 0 || deviation != 0 {
		t.Errorf("a population of nobody expects %v", mean)
	}
}

func TestMarksCount(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{0, 1, 20, 200} {
		var m Marks
		for range n {
			m.Add(Cell(rng.Uint64()))
		}
		if got := m.Distinct(); math.Abs(got-float64(n)) > 0.2*float64(n)+0.5 {
			t.Errorf("%d keys count as %v", n, got)
		}
	}
}

// gaps is the spread of n gaps drawn by next, in seconds.
func gaps(n int, next func() float64) *Gaps {
	var g Gaps
	at := int64(1_790_000_000_000_000)
	for range n + 1 {
		g.Observe(at)
		at += int64(next() * 1e6)
	}
	return &g
}

func TestGaps(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	for name, tc := range map[string]struct {
		next     func() float64
		octaves  float64
		accuracy float64
	}{
		"a timer":             {func() float64 { return 300 }, 0, 0},
		"a timer within half": {func() float64 { return 200 * (0.5 + rng.Float64()) }, 0.44, 0.05},
		"a crowd":             {func() float64 { return 60 * rng.ExpFloat64() }, math.Pi / math.Sqrt(6) / math.Ln2, 0.25},
	} {
		g := gaps(250, tc.next)
		if got := g.Octaves(); math.Abs(got-tc.octaves) > tc.accuracy {
			t.Errorf("%s: %.3f octaves, want %.3f", name, got, tc.octaves)
		}
		if g.Count() != 250 {
			t.Errorf("%s: %v gaps", name, g.Count())
		}
	}
	g := gaps(20, func() float64 { return 300 })
	if got := g.Typical(); math.Abs(got-300) > 20 {
		t.Errorf("gaps of 300 s are %v s", got)
	}
	for range 5_000 {
		g.Observe(g.last + 7_000_000)
	}
	if g.Count() > mostGaps || g.Octaves() != 0 || math.Abs(g.Typical()-7) > 0.5 {
		t.Errorf("after 5000 gaps of 7 s: %v of %v s, %v octaves", g.Count(), g.Typical(), g.Octaves())
	}
	g.Observe(g.last + forgetting + 1)
	if g.Count() != 0 {
		t.Errorf("after a silence %v gaps count", g.Count())
	}
}

// What an even pace may be called at, so that a crowd is not: of clicks that come by
// chance alone, how many series of the least length are as even. It is the null
// distribution, by Monte Carlo; docs/scoring.md quotes it.
func TestEvenByChance(t *testing.T) {
	t.Parallel()
	const tries = 200_000
	rng := rand.New(rand.NewPCG(9, 10))
	for _, tc := range []struct {
		gaps int
		most float64
	}{{8, 0.0025}, {11, 0.0004}, {15, 0.00008}} {
		even := 0
		for range tries {
			if gaps(tc.gaps, func() float64 { return 300 * rng.ExpFloat64() }).Octaves() <= 0.5 {
				even++
			}
		}
		share := float64(even) / tries
		t.Logf("%d gaps by chance are within half an octave in %.6f of the series", tc.gaps, share)
		if share > tc.most {
			t.Errorf("%d gaps: %.6f, want at most %v", tc.gaps, share, tc.most)
		}
	}
}

func TestLog2(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Uint64Range(1, 1<<62).Draw(t, "x")
		if got := float64(log2(x)) / (1 << fraction); math.Abs(got-math.Log2(float64(x))) > 0.09 {
			t.Fatalf("log2(%d) = %v, want %v", x, got, math.Log2(float64(x)))
		}
	})
}

func TestNothingAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	table, err := New[struct {
		Gaps
		Distinct
		Marks
	}](Config{Entries: 1024, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	i := uint64(0)
	if n := testing.AllocsPerRun(5_000, func() {
		v, _, lock := table.Take(i)
		v.Gaps.Observe(int64(i) + 1)
		v.Distinct.Add(Mix(i))
		v.Marks.Add(Cell(Mix(i)))
		_ = v.Gaps.Octaves() + v.Distinct.Count() + v.Marks.Distinct()
		lock.Unlock()
		i++
	}); n != 0 {
		t.Errorf("an event allocates %v times", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, keys := range []uint64{1 << 10, 1 << 20} {
		b.Run(cmp.Or(map[uint64]string{1 << 20: "1M"}[keys], "1k"), func(b *testing.B) {
			table, err := New[[4]uint64](Config{Entries: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			i := uint64(0)
			for b.Loop() {
				v, _, lock := table.Take(Mix(i) % keys)
				v[0]++
				lock.Unlock()
				i++
			}
		})
	}
}
