package admit

import (
	"net/netip"
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

// BenchmarkAgainstFailsafe runs the gate and failsafe-go's adaptive limiter in
// turns in one run, and reports the gate's share of the limiter's time.
func BenchmarkAgainstFailsafe(b *testing.B) {
	gate := benchGate(4096)
	limiter := adaptivelimiter.NewBuilder[any]().WithLimits(4096, 4096, 4096).Build()
	var ours, theirs time.Duration
	lap := func(f func()) time.Duration {
		begun := time.Now()
		for range 1000 {
			f()
		}
		return time.Since(begun)
	}
	b.ReportAllocs()
	for b.Loop() {
		ours += lap(func() {
			if gate.Enter(Request{Class: Paid}) == Admitted {
				gate.Leave()
			}
		})
		theirs += lap(func() {
			if permit, ok := limiter.TryAcquirePermit(); ok {
				permit.Record()
			}
		})
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N)/1000, "ns/gate")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N)/1000, "ns/failsafe")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
