package admit

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

const t0 = int64(1_794_312_000_000_000) // 2026-11-10T12:00:00Z in microseconds

func idOf(n uint64) (id click.ID) {
	binary.LittleEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(id[8:], n)
	return id
}

// TestReuseIsExact holds the memory against a plain map: within a window and its
// size nothing is forgotten and nothing made up.
func TestReuseIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultConfig()
		r := NewReuse(&cfg, rapid.Uint64().Draw(t, "seed"))
		type key struct {
			tenant string
			id     click.ID
		}
		last := map[key]int64{}
		at := t0
		for range rapid.IntRange(1, 300).Draw(t, "n") {
			at += rapid.Int64Range(0, 20_000_000).Draw(t, "step")
			k := key{rapid.SampledFrom([]string{"acme", "globex"}).Draw(t, "tenant"), idOf(rapid.Uint64Range(0, 40).Draw(t, "id"))}
			if rapid.IntRange(0, 9).Draw(t, "forget") == 0 {
				r.Forget(k.tenant, k.id)
				delete(last, k)
				continue
			}
			seen := r.Seen(k.tenant, k.id, at)
			before, known := last[k]
			switch window := cfg.ReuseWindow.Microseconds(); {
			case known && at-before <= window && !seen:
				t.Fatalf("forgotten after %d us", at-before)
			case seen && (!known || at-before > 2*window+20_000_000*300):
				t.Fatal("made up")
			case seen && at-before > 3*window:
				t.Fatalf("remembered after %d us", at-before)
			}
			last[k] = at
		}
	})
}

// TestIDSet holds the set against a map, in a small space of keys so that they
// meet, move and leave gaps.
func TestIDSet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s idSet
		want := map[reuseKey]bool{}
		for range rapid.IntRange(1, 400).Draw(t, "n") {
			k := reuseKey{rapid.Uint64Range(1, 60).Draw(t, "key"), 0}
			switch rapid.IntRange(0, 20).Draw(t, "step") {
			default:
				if s.add(k) == want[k] {
					t.Fatalf("add(%d), known: %v", k[0], want[k])
				}
				want[k] = true
			case 0, 1, 2, 3, 4, 5, 6, 7:
				s.remove(k)
				delete(want, k)
			case 8:
				if rapid.IntRange(0, 9).Draw(t, "clear") == 0 {
					s.clear()
					clear(want)
				}
			}
			if s.n != len(want) || s.has(k) != want[k] {
				t.Fatalf("%d keys, want %d", s.n, len(want))
			}
		}
		for k := range want {
			if !s.has(k) {
				t.Fatalf("%d is lost", k[0])
			}
		}
	})
}

func TestReuseIsBounded(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.ReuseIDs = 1 << 14
	r := NewReuse(&cfg, 1)
	for n := range uint64(200_000) {
		if r.Seen("acme", idOf(n), t0) {
			t.Fatalf("id %d came once", n)
		}
	}
	held := 0
	for i := range r.shards {
		held += r.shards[i].young.n + r.shards[i].aged.n
	}
	if held > 2*cfg.ReuseIDs || held < cfg.ReuseIDs {
		t.Errorf("%d ids are held, bound %d", held, 2*cfg.ReuseIDs)
	}
	if !r.Seen("acme", idOf(199_999), t0) || r.Seen("acme", idOf(0), t0) {
		t.Error("the newest must be there, the oldest must not")
	}
}

// TestReuseCountsOnce: of many goroutines with one id exactly one is the first.
func TestReuseCountsOnce(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	r := NewReuse(&cfg, 1)
	var first atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range uint64(2000) {
				if !r.Seen("acme", idOf(n), t0) {
					first.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if first.Load() != 2000 {
		t.Errorf("%d first uses of 2000 ids", first.Load())
	}
}

func TestSketchNeverCountsTooLittle(t *testing.T) {
	t.Parallel()
	s, seed := new(sketch), newHashSeed(3)
	rng := rand.New(rand.NewPCG(4, 4))
	exact := map[uint64]int{}
	tooMuch := 0
	const events = 50_000
	for n := range events {
		key := seed.words(uint64(rng.IntN(40_000)), 0)
		exact[key]++
		got := s.add(key, t0+int64(n)*second/events) // all within one second
		if got < float64(exact[key]) {
			t.Fatalf("%v for %d events", got, exact[key])
		}
		if got > float64(exact[key]+2) {
			tooMuch++
		}
	}
	if tooMuch > events/50 {
		t.Errorf("%d of %d estimates are more than 2 too high", tooMuch, events)
	}
}

// TestSketchSlides: the last second counts by the part of it that is in the window.
func TestSketchSlides(t *testing.T) {
	t.Parallel()
	s := new(sketch)
	for range 100 {
		s.add(7, t0)
	}
	for _, c := range []struct {
		after int64
		want  float64
	}{
		{0, 101}, {second, 102}, {3 * second / 2, 52.5}, {3*second/2 - 1, 53.500_101}, {second - 1, 105},
		{5 * second, 1}, {65_536*second + 5*second, 2}, {100_000 * second, 1},
	} {
		if got := s.add(7, t0+c.after); got < c.want-1e-6 || got > c.want+1e-6 {
			t.Errorf("after %d us: %v, want %v", c.after, got, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.AddressRate, cfg.PrefixRate = 10, 50
	ip := netip.MustParseAddr
	over := func(a *Addresses, n int, addr func(i int) netip.Addr) (over int) {
		for i := range n {
			if a.Over(addr(i), t0+int64(i)) {
				over++
			}
		}
		return over
	}
	host := func(format string) func(int) netip.Addr {
		base := ip(format)
		return func(i int) netip.Addr { // other addresses around it, in the last 16 bits
			b := base.AsSlice()
			b[len(b)-1] += byte(i)
			if len(b) == 16 {
				b[14] += byte(i >> 8)
			}
			a, _ := netip.AddrFromSlice(b)
			return a
		}
	}
	for name, c := range map[string]struct {
		n, want int
		addr    func(int) netip.Addr
	}{
		// The sketch lets 10 in, then the exact table its own burst of 10.
		"one address":             {200, 180, func(int) netip.Addr { return ip("203.0.113.9") }},
		"one address, slow":       {10, 0, func(int) netip.Addr { return ip("203.0.113.9") }},
		"an IPv4 /24":             {200, 100, host("203.0.113.0")},
		"IPv4 of many prefixes":   {200, 0, func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i), 1, 1}) }},
		"IPv6 of one /64":         {200, 180, host("2001:db8:1:2::")},
		"IPv6 of one /48":         {200, 100, func(i int) netip.Addr { b := ip("2001:db8:1::1").As16(); b[7] = byte(i); return netip.AddrFrom16(b) }},
		"IPv6 of many prefixes":   {200, 0, func(i int) netip.Addr { b := ip("2001:db8:1::1").As16(); b[5] = byte(i); return netip.AddrFrom16(b) }},
		"no address":              {200, 0, func(int) netip.Addr { return netip.Addr{} }},
		"IPv6 that looks like v4": {10, 0, func(int) netip.Addr { return ip("::cb00:7109") }},
	} {
		if got := over(NewAddresses(&cfg, 9), c.n, c.addr); got != c.want {
			t.Errorf("%s: %d of %d over, want %d", name, got, c.n, c.want)
		}
	}
	a := NewAddresses(&cfg, 9)
	over(a, 200, func(int) netip.Addr { return ip("203.0.113.9") })
	if a.Over(ip("198.51.100.1"), t0+300) {
		t.Error("one address pays for another")
	}
	if !a.Over(ip("203.0.113.9"), t0+400) || a.Over(ip("203.0.113.9"), t0+second+400) {
		t.Error("an address is over its rate as long as it is, and not longer")
	}
	cfg.AddressRate, cfg.PrefixRate = 0, 0
	if off := NewAddresses(&cfg, 9); off != nil || off.Over(ip("203.0.113.9"), t0) {
		t.Error("no bound is no table")
	}
}

// TestGCRA holds the algorithm against a bucket of tokens in exact arithmetic.
func TestGCRA(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := rate{period: rapid.Int64Range(1, 1000).Draw(t, "period"), burst: rapid.Int64Range(1, 20).Draw(t, "burst")}
		level, last, arrival, now := r.burst*r.period, int64(0), int64(0), int64(0) // the bucket, in nanoseconds
		for range 200 {
			now += rapid.Int64Range(0, 3*r.period).Draw(t, "step")
			level, last = min(r.burst*r.period, level+now-last), now
			next, ok, wait := r.take(arrival, now)
			if ok != (level >= r.period) {
				t.Fatalf("ok %v with %d of %d in the bucket", ok, level, r.period)
			}
			if ok {
				level -= r.period
			} else if wait != r.period-level {
				t.Fatalf("wait %d, want %d", wait, r.period-level)
			}
			arrival = next
			a := r.allowance(next, ok, wait, now)
			if a.OK != ok || a.Remaining != level/r.period || ok != (a.RetryAfter == 0) || a.Reset != ceilSeconds(r.burst*r.period-level) {
				t.Fatalf("%+v with %d in the bucket", a, level)
			}
		}
	})
}

func TestQuota(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	if NewQuota(&cfg, 1) != nil {
		t.Error("there is a quota by default")
	}
	cfg.KeyRate, cfg.KeyBurst = 2, 4
	q := NewQuota(&cfg, 1)
	want := []Allowance{
		{true, 3, 1, 0}, {true, 2, 1, 0}, {true, 1, 2, 0}, {true, 0, 2, 0}, {false, 0, 2, 1}, {false, 0, 2, 1},
	}
	for i, w := range want {
		if got := q.Take("key", t0); got != w {
			t.Errorf("request %d: %+v, want %+v", i, got, w)
		}
	}
	if got := q.Take("other", t0); !got.OK {
		t.Error("one key pays for another")
	}
	if got := q.Take("key", t0+second/2); !got.OK || got.Remaining != 0 {
		t.Errorf("half a second later: %+v", got)
	}
	if burst, window := q.Policy(); burst != 4 || window != 2 {
		t.Error(burst, window)
	}
}

// TestRateTableForgetsTheQuiet: a full set gives up the key that is quiet for longest.
func TestRateTableForgetsTheQuiet(t *testing.T) {
	t.Parallel()
	var table rateTable
	r := rate{period: int64(time.Second), burst: 1}
	for way := range uint64(tableWays) {
		table.take(5+way*tableSets, r, int64(way))
	}
	if _, ok, _ := table.take(5+9*tableSets, r, 10); !ok {
		t.Error("a new key is refused")
	}
	for way := range uint64(tableWays) {
		if _, ok, _ := table.take(5+way*tableSets, r, 20); ok {
			if way != 0 {
				t.Errorf("key %d was forgotten", way)
			}
			break
		}
	}
}

func TestHashes(t *testing.T) {
	t.Parallel()
	a, b := newHashSeed(1), newHashSeed(2)
	if a.text(0, "x") == b.text(0, "x") || a.pair("a", "bc") == a.pair("ab", "c") || a.text(0, "\x00") == a.text(0, "") || a.text(0, "12345678") == a.text(0, "12345678\x00") {
		t.Error("hashes meet")
	}
	// Every 16 bits of an address's hash must spread: the sketch takes its line from some
	// and its cells from others.
	var cells [4][256]int
	for i := range 1 << 16 {
		h, _ := a.prefixes(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		for row := range cells {
			cells[row][h>>(16*row)&255]++
		}
	}
	for row := range cells {
		for _, n := range cells[row] {
			if n < 256-100 || n > 256+100 { // six standard deviations
				t.Fatalf("row %d: a cell has %d of 65536 addresses, want about 256", row, n)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	for key, change := range map[string]func(*Config){
		"start_limit":    func(c *Config) { c.StartLimit = 0 },
		"min_limit":      func(c *Config) { c.MinLimit = c.StartLimit + 1 },
		"waiting":        func(c *Config) { c.Waiting = -1 },
		"paid_wait":      func(c *Config) { c.PaidWait = 0 },
		"low_wait":       func(c *Config) { c.LowWait = time.Minute },
		"standing_after": func(c *Config) { c.StandingAfter = 0 },
		"target_wait":    func(c *Config) { c.TargetWait = 0 },
		"tolerance":      func(c *Config) { c.Tolerance = .9 },
		"max_normal":     func(c *Config) { c.MaxNormal = 0 },
		"max_flush":      func(c *Config) { c.MaxFlush = 0 },
		"low_off":        func(c *Config) { c.LowOff = 0 },
		"paid_only":      func(c *Config) { c.PaidOnly = c.LowOff - .01 },
		"address_rate":   func(c *Config) { c.AddressRate = -1 },
		"prefix_rate":    func(c *Config) { c.PrefixRate = 1 << 21 },
		"key_rate":       func(c *Config) { c.KeyRate = -1 },
		"key_burst":      func(c *Config) { c.KeyBurst = 0 },
		"reuse_window":   func(c *Config) { c.ReuseWindow = 0 },
		"reuse_ids":      func(c *Config) { c.ReuseIDs = 0 },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), "gateway.admission."+key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
