package hints

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
)

func clickHash(i int) uint64 { return uint64(i)*0x9e3779b97f4a7c15 + 1 }

func idOf(n int) (id click.ID) {
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// What two gateways use is repeated at the second, within a tenant and a minute of
// issue; nothing else is.
func TestUsedElsewhere(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, addr, prefix string) {
		a, b := open(t, addr, prefix), open(t, addr, prefix)
		run(t, a)
		run(t, b)
		const n = 1000
		for i := range n {
			a.Used("acme", idOf(i), int64(i)*second)
		}
		waitFor(t, "a is told", func() bool { return a.counted().all() == n })
		for i := range n {
			b.Used("acme", idOf(i+n/2), int64(i+n/2)*second)
			b.Used("globex", idOf(i), int64(i)*second)
		}
		waitFor(t, "b is told", func() bool { return b.counted().all() == 2*n })
		if got, want := a.counted(), (counts{first: n}); got != want {
			t.Errorf("the first gateway: %+v, want %+v", got, want)
		}
		if got, want := b.counted(), (counts{first: 2*n - n/2, repeated: n / 2}); got != want {
			t.Errorf("the second gateway: %+v, want %+v", got, want)
		}
	})
}

// A fleet that clicks as expected keeps its ids in sets of integers that take a few
// bytes each, and none of them for ever.
func TestSetsStaySmall(t *testing.T) {
	t.Parallel()
	addr := realRedis(t)
	cfg := DefaultConfig()
	cfg.Addr, cfg.Prefix, cfg.ClicksPerMinute, cfg.Timeout = addr, "small-"+t.Name(), 30_000, time.Second
	h := openWith(t, cfg)
	batch := make([]used, 0, batchSize)
	for i := range cfg.ClicksPerMinute {
		batch = append(batch, used{clickHash(i), 7})
		if len(batch) == batchSize || i == cfg.ClicksPerMinute-1 {
			h.send(t.Context(), batch)
			batch = batch[:0]
		}
	}
	if c := h.counted(); c.first != float64(cfg.ClicksPerMinute) {
		t.Fatalf("%+v", c)
	}
	r := plain(t, addr)
	keys, err := r.Keys(t.Context(), cfg.Prefix+":*").Result()
	if err != nil || len(keys) < 100 {
		t.Fatalf("%d sets: %v", len(keys), err)
	}
	bytes := int64(0)
	for _, k := range keys {
		encoding, err := r.ObjectEncoding(t.Context(), k).Result()
		if err != nil || encoding != "intset" {
			t.Errorf("%s is a %s: %v", k, encoding, err)
		}
		if ttl := r.TTL(t.Context(), k).Val(); ttl <= 0 || ttl > cfg.Window {
			t.Errorf("%s lives for %v", k, ttl)
		}
		bytes += r.MemoryUsage(t.Context(), k).Val()
	}
	per := float64(bytes) / float64(cfg.ClicksPerMinute)
	t.Logf("%.1f bytes of Redis a click", per)
	if per > 12 {
		t.Errorf("%.1f bytes of Redis a click, want at most 12", per)
	}
	if err := r.Del(t.Context(), keys...).Err(); err != nil {
		t.Error(err)
	}
}

// Nothing of a click id or a tenant stands in Redis.
func TestNothingToRead(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, addr, prefix string) {
		h := open(t, addr, prefix)
		h.Used("acme-tenant", idOf(77), second)
		h.send(t.Context(), []used{<-h.queue})
		r := plain(t, addr)
		keys, err := r.Keys(t.Context(), prefix+":*").Result()
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
		members := r.SMembers(t.Context(), keys[0]).Val()
		id := idOf(77)
		if all := keys[0] + strings.Join(members, " "); len(members) != 1 || strings.Contains(all, "acme") || strings.Contains(all, id.String()) || members[0] == "77" {
			t.Errorf("Redis holds %q: %q", keys[0], members)
		}
	})
}

// Nobody waits: what finds no room is counted and forgotten.
func TestUsedNeverWaits(t *testing.T) {
	t.Parallel()
	h := open(t, "127.0.0.1:1", "none")
	for i := range queued + 100 {
		h.Used("acme", idOf(i), 0)
	}
	if c := h.counted(); c.omitted != 100 || c.all() != 100 {
		t.Errorf("%+v", c)
	}
	var none *Hints
	none.Used("acme", idOf(1), 0)
	none.Run(t.Context(), nil)
	if none.Seed(5) != 5 || h.Seed(5) != seed {
		t.Error("a gateway alone keeps its own seed; those of a fleet share one")
	}
}

func TestUsedAllocatesNothing(t *testing.T) {
	h := open(t, "127.0.0.1:1", "none")
	if n := testing.AllocsPerRun(1000, func() { h.Used("acme", idOf(3), 0) }); n != 0 || len(h.queue) < 1000 {
		t.Errorf("%v allocations, %d ids queued", n, len(h.queue))
	}
}
