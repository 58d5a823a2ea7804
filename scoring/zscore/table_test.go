package zscore

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"clickgate/scoring/entity"
	"pgregory.net/rapid"
)

func newTable(t testing.TB, c Config) *Table {
	t.Helper()
	table, err := NewTable(c)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// crowd lets keys 1 to n come once to three times a minute.
func crowd(table *Table, n, from, minutes int) {
	for m := from; m < from+minutes; m++ {
		for second := range 3 {
			for k := range n {
				if k%3 >= second {
					table.Observe(Key(1, uint64(k)), at(m)+int64(second)*20_000_000+int64(k))
				}
			}
		}
	}
}

func TestNewKeyStandsOutAmongPeers(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 10_000, Seed: 7})
	crowd(table, 300, 0, 10)
	if median, _, ok := table.Peers(); !ok || median != 2 {
		t.Fatalf("peers: median %v, %t; want 2", median, ok)
	}
	calm := table.Observe(Key(9, 1), at(10))
	var last Rates
	for i := range 400 {
		last = table.Observe(Key(9, 2), at(10)+int64(i)*1000)
	}
	if calm.HasSelf || !calm.HasPeers || calm.ZPeers != 0 || calm.Count1m != 1 {
		t.Errorf("one click of a new key: %+v", calm)
	}
	if last.HasSelf || !last.HasPeers || last.ZPeers < 100 || last.Count10s != 400 || last.Count1h != 400 {
		t.Errorf("400 clicks of a new key: %+v", last)
	}
}

func TestTooFewPeers(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 1000})
	crowd(table, 19, 0, 30)
	if _, _, ok := table.Peers(); ok {
		t.Error("19 keys made a baseline")
	}
	table = newTable(t, Config{Entries: 1000})
	crowd(table, 40, 0, 30)
	if _, _, ok := table.Peers(); !ok || table.Stats().PeerMinutes < 20 {
		t.Errorf("40 keys made no baseline: %+v", table.Stats())
	}
}

// A few senders with fast or mad clocks neither move nor blind the peers' baseline.
func TestPeersAgainstWrongClocks(t *testing.T) {
	t.Parallel()
	for _, ahead := range []int{5, 3 * 24 * 60} {
		table := newTable(t, Config{Entries: 10_000})
		crowd(table, 300, 0, 10)
		for m := 10; m < 20; m++ {
			for k := range 15 {
				table.Observe(Key(5, uint64(k)), at(m+ahead))
			}
			crowd(table, 300, m, 1)
		}
		median, _, ok := table.Peers()
		if !ok || median != 2 || table.Stats().PeerMinutes < 15 {
			t.Errorf("%d minutes ahead: median %v, %t, %+v", ahead, median, ok, table.Stats())
		}
	}
	// After a night without traffic the peers start anew.
	table := newTable(t, Config{Entries: 10_000})
	crowd(table, 300, 0, 10)
	crowd(table, 300, 600, 1)
	if _, _, ok := table.Peers(); ok {
		t.Error("the peers of last night are still in force")
	}
	crowd(table, 300, 601, 4)
	if median, _, ok := table.Peers(); !ok || median != 2 {
		t.Errorf("in the morning: median %v, %t", median, ok)
	}
}

func TestWindows(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 64})
	var r Rates
	for s := range 7200 { // one event a second for two hours
		r = table.Observe(1, at(0)+int64(s)*1_000_000)
	}
	if r.Count10s != 10 || r.Count1m != 60 || r.Count1h != 3600 || !r.HasSelf || r.ZSelf != 0 {
		t.Errorf("one a second: %+v", r)
	}
	r = table.Observe(1, at(0)+7199*1_000_000-30_000_000) // half a minute late
	if !r.Kept || r.Count10s != 11 || r.Count1h != 3601 {
		t.Errorf("late: %+v", r)
	}
	r = table.Observe(1, at(123))
	if r.Count10s != 1 || r.Count1m != 1 {
		t.Errorf("after a pause of three minutes: %+v", r)
	}
}

func TestEvictionKeepsTheBusy(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 1 << 10, Shards: 4})
	busy := uint64(42)
	for i := range 200_000 {
		table.Observe(Key(3, uint64(i)), at(0)+int64(i)*100)
		if i%50 == 0 {
			table.Observe(busy, at(0)+int64(i)*100)
		}
	}
	st := table.Stats()
	if st.Entries != 1<<10 || st.Capacity != 1<<10 || st.Evictions != 200_001-1<<10 || st.Observed != 204_000 {
		t.Errorf("stats: %+v", st)
	}
	if r := table.Observe(busy, at(0)+20_000_000); r.Count1h != 4001 {
		t.Errorf("the busy key lost its past to a flood: %+v", r)
	}
	for i := range 20_000 { // keys that come twice, and the busy one no more
		table.Observe(Key(4, uint64(i)), at(0)+20_000_000)
		table.Observe(Key(4, uint64(i)), at(0)+20_000_000)
	}
	if r := table.Observe(busy, at(0)+20_000_000); r.Count1h != 1 {
		t.Errorf("a key that was busy once is kept for ever: %+v", r)
	}
	if st.Bytes < 1<<10*300 || st.Bytes > 2<<20 {
		t.Errorf("%d bytes for 1,024 entries", st.Bytes)
	}
}

// A table that grows answers as one that was reserved, also when both are full, and costs what its keys need.
func TestGrowingTableAnswersAlike(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 8} {
		c := Config{Entries: 600, Shards: shards, Seed: 3}
		reserved := newTable(t, c)
		c.Grow = true
		growing := newTable(t, c)
		small := growing.Stats().Bytes
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 60_000 {
			key, micros := Key(1, uint64(r.ExpFloat64()*300)), at(0)+int64(i)*30_000
			if a, b := reserved.Observe(key, micros), growing.Observe(key, micros); a != b {
				t.Fatalf("event %d: reserved %+v, growing %+v", i, a, b)
			}
		}
		a, b := reserved.Stats(), growing.Stats()
		if a != b || a.Evictions < 100 || a.Entries != a.Capacity || a.PeerMinutes < 10 {
			t.Errorf("%d shards: reserved %+v, growing %+v", shards, a, b)
		}
		if small*2 > b.Bytes {
			t.Errorf("%d shards: %d bytes at the start, %d when full", shards, small, b.Bytes)
		}
	}
}

// Same order, same seed, one goroutine: equal bits. Another order is another result, or the test proves nothing.
func TestReplayGivesEqualBits(t *testing.T) {
	t.Parallel()
	type event struct {
		key uint64
		at  int64
	}
	r := rand.New(rand.NewPCG(1, 2))
	var events []event
	for i := range 60_000 {
		late := int64(r.ExpFloat64() * 20e6)
		events = append(events, event{Key(1, uint64(r.ExpFloat64()*300)), at(0) + int64(i)*30_000 - late})
	}
	play := func(events []event) []uint64 {
		table := newTable(t, Config{Entries: 512, Seed: 3})
		var out []uint64
		for _, e := range events {
			r := table.Observe(e.key, e.at)
			out = append(out, math.Float64bits(r.ZSelf), math.Float64bits(r.ZPeers), math.Float64bits(r.Count10s),
				math.Float64bits(r.Count1m), math.Float64bits(r.Count1h))
		}
		if st := table.Stats(); st.Evictions == 0 || st.PeerMinutes < 10 {
			t.Fatalf("too little happened: %+v", st)
		}
		return out
	}
	first := play(events)
	if !slices.Equal(first, play(events)) {
		t.Error("a replay differs")
	}
	scores := 0
	for i := 0; i < len(first); i += 5 {
		if first[i] != 0 || first[i+1] != 0 {
			scores++
		}
	}
	if scores < 1000 {
		t.Errorf("only %d scores were not 0", scores)
	}
	for i := 0; i+1 < len(events); i += 2 {
		events[i], events[i+1] = events[i+1], events[i]
	}
	if slices.Equal(first, play(events)) {
		t.Error("the reverse order gives the same: the comparison sees nothing")
	}
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	table := newTable(t, Config{Entries: 2048, Shards: 64})
	const workers, each = 8, 20_000
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				rates := table.Observe(r.Uint64N(4000), at(0)+int64(i)*60_000)
				if math.IsNaN(rates.ZSelf) || rates.Count1h < 1 {
					t.Errorf("%+v", rates)
					return
				}
				if i%5000 == 0 {
					table.Stats()
				}
			}
		})
	}
	wg.Wait()
	if st := table.Stats(); st.Observed != workers*each || st.Entries != 2048 || st.PeerMinutes < 10 {
		t.Errorf("%+v", st)
	}
}

func TestEntryFillsCacheLines(t *testing.T) {
	t.Parallel()
	const keys, index = 1 << 10, 2 << 10
	s := entity.NewSlab[state](keys, false)
	if n := s.Bytes() - index*8; n != keys*384 {
		t.Errorf("%d entries have %d bytes, not 6 cache lines each", keys, n)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{{}, {Entries: 10}, {Entries: 100, Shards: 3}, {Entries: 100, Shards: -1},
		{Entries: 100, MinPeers: 1}, {Entries: 1 << 40, Shards: 1}} {
		if _, err := NewTable(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestHistogramAgainstExact(t *testing.T) {
	t.Parallel()
	for c := range uint32(1 << 20) {
		v, b := binValue(bin(c)), bin(c)
		if diff := math.Abs(float64(v) - float64(c)); b < 0 || b >= bins || diff > float64(c)/16 {
			t.Fatalf("count %d: bin %d stands for %d", c, b, v)
		}
	}
	if b := bin(math.MaxUint32); b != bins-1 {
		t.Errorf("the largest count is in bin %d of %d", b, bins)
	}
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.Uint32Range(1, 63), 3, 99).Draw(t, "counts")
		if len(counts)%2 == 0 {
			counts = counts[1:]
		}
		var hs histograms
		var exact []float64
		for _, n := range counts {
			exact = append(exact, float64(n))
			for c := range n {
				hs.move(5, c+1)
			}
		}
		if len(exact) < MinBaseline {
			return
		}
		median, mad, _ := MedianMAD(exact)
		b := hs[5].usual()
		if float64(b.median2)/2 != median || float64(b.mad4)/4 != mad || int(hs[5].keys) != len(counts) {
			t.Fatalf("%+v, exact %v %v", b, median, mad)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add(uint64(1), start, uint64(2), int64(-1))
	f.Add(uint64(0), int64(math.MaxInt64), uint64(0), int64(math.MinInt64))
	f.Fuzz(func(t *testing.T, k1 uint64, t1 int64, k2 uint64, t2 int64) {
		table := newTable(t, Config{Entries: 2, Shards: 1, MinPeers: 3})
		for i := range int64(50) {
			for _, r := range []Rates{table.Observe(k1+uint64(i%5), t1+i*30_000_000), table.Observe(k2, t2), table.Observe(k1, t2-i)} {
				if math.IsNaN(r.ZSelf+r.ZPeers) || r.ZSelf < 0 || r.ZPeers < 0 || r.Count10s < 0 ||
					r.Count10s > r.Count1m || !r.HasSelf && r.ZSelf != 0 || !r.HasPeers && r.ZPeers != 0 {
					t.Fatalf("%+v", r)
				}
			}
		}
	})
}

func BenchmarkObserve(b *testing.B) {
	for name, keys := range map[string]uint64{"1k": 1000, "1M": 1_000_000, "2M-evicting": 2_000_000} {
		b.Run(name, func(b *testing.B) {
			table := newTable(b, Config{Entries: 1_000_000})
			r := rand.New(rand.NewPCG(1, 1))
			now := at(0)
			for range 2 * keys { // fill, at 20,000 events a second
				now += 50
				table.Observe(r.Uint64N(keys), now)
			}
			b.ReportAllocs()
			for b.Loop() {
				now += 50
				table.Observe(r.Uint64N(keys), now)
			}
		})
	}
}

// The dearest ordinary case: every minute of a key closes with a count that differs from its neighbours'.
func BenchmarkObserveClosingMinutes(b *testing.B) {
	table := newTable(b, Config{Entries: 2000})
	r := rand.New(rand.NewPCG(1, 1))
	event := func(i int) { table.Observe(uint64(i%1000), at(i/3000)) }
	n := 0
	for ; n < 300_000; n++ {
		event(n)
	}
	b.ReportAllocs()
	for b.Loop() {
		n += 1 + r.IntN(2)
		event(n)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	table := newTable(t, Config{Entries: 1000})
	i := uint64(0)
	if n := testing.AllocsPerRun(20_000, func() {
		i++
		table.Observe(i%3000, at(0)+int64(i)*1000)
	}); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// How many shards a table has, and its seed, do not show in what it says, from its first
// event on: a minute in which peers are found is counted for none or for all of a key's
// events.
func TestShardsDoNotShow(t *testing.T) {
	t.Parallel()
	peers := 0
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		var tables [3]*Table
		for i, c := range [...]Config{{Entries: 4096, Seed: 7}, {Entries: 1 << 14, Seed: 1, Shards: 1, Grow: true}, {Entries: 4096, Seed: 3, Shards: 4}} {
			var err error
			if tables[i], err = NewTable(c); err != nil {
				t.Fatal(err)
			}
		}
		micros := at(0)
		for i := range 1000 {
			micros += rng.Int64N(800_000)
			key, when := rng.Uint64N(100), micros
			if rng.IntN(40) == 0 {
				when += rng.Int64N(24*minuteMicros) - 12*minuteMicros
			}
			first := tables[0].Observe(key, when)
			for _, table := range tables[1:] {
				if r := table.Observe(key, when); r != first {
					t.Fatalf("event %d: %+v with other shards than %+v", i, r, first)
				}
			}
			if first.HasPeers {
				peers++
			}
		}
	})
	if peers < 10_000 {
		t.Errorf("only %d events had peers", peers)
	}
}
