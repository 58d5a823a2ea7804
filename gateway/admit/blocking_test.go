package admit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverloadIsBlocking plays one cell of the table, five times the capacity,
// through the calls that a server makes: a goroutine per request that blocks in
// Enter, the controller's own goroutine, timers, and workers behind a channel. It
// must show what the simulation shows.
func TestOverloadIsBlocking(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const seconds = 4
		var flushed, waited, wait, flush atomic.Int64
		gate := NewGate(DefaultConfig(), Dependencies{MaxLimit: 4096, Now: time.Now, Seed: 8, Signals: func() Signals {
			n := uint64(flushed.Load())
			return Signals{Flushed: n, Flushes: n, Flush: time.Duration(flush.Load()), Waits: uint64(waited.Load()), Wait: time.Duration(wait.Load())}
		}})
		go gate.Run(t.Context())
		workers := make(chan struct{}, simWorkers)
		work := func(service time.Duration) {
			begun := time.Now()
			workers <- struct{}{}
			wait.Add(int64(time.Since(begun)))
			waited.Add(1)
			time.Sleep(service)
			flush.Add(int64(service))
			flushed.Add(1)
			<-workers
		}
		var mu sync.Mutex
		var paid, low tally
		good := 0
		rng := rand.New(rand.NewPCG(8, 8))
		var running sync.WaitGroup
		begin := time.Now()
		for time.Since(begin) < (seconds+1)*time.Second {
			time.Sleep(time.Duration(rng.ExpFloat64() / (5 * simCapacity) * float64(time.Second)))
			class := Class(1 + rng.IntN(3))
			if rng.IntN(10) == 0 {
				class = Paid
			}
			service := time.Duration(float64(simService) / 3 * (rng.ExpFloat64() + rng.ExpFloat64() + rng.ExpFloat64()))
			arrived := time.Now()
			running.Go(func() {
				d := gate.Enter(Request{Class: class})
				if d == Admitted {
					work(service)
					gate.Leave()
				}
				if arrived.Sub(begin) < grace {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				count := &low
				if class == Paid {
					count = &paid
				}
				count.offered++
				if d != Admitted {
					count.shed++
					return
				}
				count.latency = append(count.latency, time.Since(arrived))
				good++
			})
		}
		running.Wait()
		goodput := float64(good) / (seconds * simCapacity)
		t.Logf("5x, paid 10 %%, blocking calls: goodput %.1f %%, paid shed %d of %d, low shed %.1f %%, p99 paid %.0f ms, low %.0f ms, limit %d",
			100*goodput, paid.shed, paid.offered, 100*low.loss(), ms(p99(paid.latency)), ms(p99(low.latency)), gate.Limit())
		if goodput < .95 || paid.shed > 0 || paid.offered < 3000 || low.shed < 10_000 {
			t.Errorf("goodput %.3f, %d of %d paid refused, %d others", goodput, paid.shed, paid.offered, low.shed)
		}
		if p99(paid.latency) > 69*time.Millisecond { // three times the simulation's unloaded p99
			t.Errorf("p99 of paid requests is %s", p99(paid.latency))
		}
		if gate.InFlight() != 0 || gate.Waiting() != 0 {
			t.Errorf("%d permits are out, %d wait", gate.InFlight(), gate.Waiting())
		}
	})
}
