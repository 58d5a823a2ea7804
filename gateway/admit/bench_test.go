package admit

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
)

func benchGate(limit int) *Gate {
	cfg := DefaultConfig()
	cfg.StartLimit, cfg.MinLimit = limit, 1
	return NewGate(cfg, Dependencies{MaxLimit: limit, Now: time.Now, Signals: func() Signals { return Signals{} }})
}

// fullGate is a gate whose permits and places are all taken by paid requests.
func fullGate() *Gate {
	g := benchGate(1)
	g.take(Paid)
	for range g.cfg.Waiting {
		g.arrive(newWaiter())
	}
	return g
}

// parts are what a request may meet, and their targets in DESIGN.md.
func parts() map[string]func(n uint64) {
	cfg := DefaultConfig()
	gate, full := benchGate(4096), fullGate()
	publisher := gate.Publishers().Find("acme", "pub-1")
	addresses := NewAddresses(&cfg, 1)
	reuse := NewReuse(&cfg, 1)
	for n := range uint64(1 << 22) { // both generations have their size
		reuse.Seen("acme", idOf(n), t0)
	}
	crowd := benchGate(4096)
	cfg.KeyRate = 1000
	quota := NewQuota(&cfg, 1)
	return map[string]func(n uint64){
		"enter+leave": func(uint64) {
			if gate.Enter(Request{Class: Paid, Publisher: publisher}) == Admitted {
				gate.Leave()
			}
		},
		"enter+leave, calling in": func(uint64) {
			outsider := crowd.pool.Get().(*waiter)
			crowd.outside.enter(outsider, time.Second)
			if crowd.Enter(Request{Class: Paid}) == Admitted {
				crowd.Leave()
			}
			<-outsider.decision // each Leave calls one at least, so nobody is left
			crowd.pool.Put(outsider)
		},
		"refusal": func(uint64) { full.Enter(Request{Class: Bulk}) },
		"address": func(n uint64) {
			h := idOf(n)
			addresses.Over(netip.AddrFrom4([4]byte{10, h[4] & 15, h[5], h[6]}), t0+int64(n%(1<<32))*20) // 50,000 a second
		},
		"reuse":     func(n uint64) { reuse.Seen("acme", idOf(n), t0) },
		"quota":     func(n uint64) { quota.Take("a key's name", t0+int64(n)) },
		"publisher": func(uint64) { gate.Publishers().Find("acme", "pub-1") },
	}
}

func TestNothingAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random, so allocations mean nothing under it")
	}
	for name, f := range parts() {
		n := uint64(1 << 40)
		if allocs := testing.AllocsPerRun(20_000, func() { n++; f(n) }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func BenchmarkParts(b *testing.B) {
	for name, f := range parts() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var n atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				at := n.Add(1 << 32)
				for pb.Next() {
					at++
					f(at)
				}
			})
		})
	}
}

// BenchmarkAgainstFailsafe runs what every click meets, a permit and the check of its
// address, and failsafe-go's adaptive limiter by turns in one run, and reports the
// medians of the rounds, and their shares of the limiter's. The goal is a quarter.
func BenchmarkAgainstFailsafe(b *testing.B) {
	p, n := parts(), uint64(0)
	limiter := adaptivelimiter.NewBuilder[any]().WithLimits(4096, 4096, 4096).Build()
	ways := []struct {
		name string
		do   func()
		laps []float64 // ns
	}{
		{name: "failsafe", do: func() {
			if permit, ok := limiter.TryAcquirePermit(); ok {
				permit.Record()
			}
		}},
		{name: "permit", do: func() { p["enter+leave"](0) }},
		{name: "address", do: func() { n++; p["address"](n) }},
	}
	b.ReportAllocs()
	for b.Loop() {
		for i := range ways {
			begun := time.Now()
			for range 1000 {
				ways[i].do()
			}
			ways[i].laps = append(ways[i].laps, float64(time.Since(begun).Nanoseconds())/1000)
		}
	}
	for _, w := range ways {
		ns := middleOf(w.laps)
		b.ReportMetric(ns, "ns/"+w.name)
		b.ReportMetric(ns/middleOf(ways[0].laps), w.name+"-to-failsafe")
	}
}

func middleOf(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
