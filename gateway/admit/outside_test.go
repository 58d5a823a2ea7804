package admit

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// await starts a sender that waits outside and writes its name to order when it
// comes in.
func await(g *Gate, c Class, limit time.Duration, stop chan struct{}, order chan<- string, name string) {
	go func() {
		g.WaitOutside(c, limit, stop)
		order <- name
	}()
	synctest.Wait()
}

// come returns who has come in by now, sorted: the order of goroutines that were
// woken in one moment says nothing.
func come(order chan string) (names []string) {
	synctest.Wait()
	for len(order) > 0 {
		names = append(names, <-order)
	}
	slices.Sort(names)
	return names
}

func TestPermitsCallIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.StartLimit = 2
		g := NewGate(cfg, Dependencies{MaxLimit: 2, Now: time.Now, Signals: func() Signals { return Signals{} }, Seed: 1})
		order := make(chan string, 16)
		await(g, Bulk, time.Hour, nil, order, "bulk")
		for _, name := range []string{"1st", "2nd", "3rd"} {
			await(g, Organic, time.Hour, nil, order, name)
		}
		for _, step := range []struct {
			what string
			do   func()
			want []string
		}{
			{"nothing", func() {}, nil},
			{"a permit comes back", func() { g.take(Paid); g.Leave() }, []string{"1st"}},
			{"another one", func() { g.take(Paid); g.Leave() }, []string{"2nd"}},
			{"one comes back beside one that waits", func() {
				g.take(Paid)
				g.take(Paid)
				go func() { g.Enter(Request{Class: Paid}) }()
				synctest.Wait()
				g.Leave()
			}, nil},
			{"one comes back above the limit", func() { g.setTerms(newTerms(1, NumClasses)); g.Leave() }, nil},
			{"one comes back while bulk is shut out", func() { g.setTerms(newTerms(2, Bulk)); g.Leave() }, []string{"3rd"}},
			{"a calm interval, bulk still shut out", func() { g.callCalm(true, newTerms(2, Bulk)) }, nil},
			{"an interval with refusals", func() { g.callCalm(false, newTerms(2, NumClasses)) }, nil},
			{"a calm interval", func() { g.callCalm(true, newTerms(2, NumClasses)) }, []string{"bulk"}},
		} {
			step.do()
			if got := come(order); !slices.Equal(got, step.want) {
				t.Errorf("%s: %v came in, want %v", step.what, got, step.want)
			}
		}
		if g.Outside() != 0 {
			t.Errorf("%d are outside", g.Outside())
		}
	})
}

// TestOutsideEnds: who is not called comes in between half of the limit and all of
// it, or at a stop, and leaves nothing behind.
func TestOutsideEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := benchGate(1)
		const limit = 8 * time.Second
		var times []time.Duration
		var mu sync.Mutex
		var all sync.WaitGroup
		begun := time.Now()
		for range 200 {
			all.Go(func() {
				g.WaitOutside(Organic, limit, nil)
				mu.Lock()
				defer mu.Unlock()
				times = append(times, time.Since(begun))
			})
		}
		all.Wait()
		slices.Sort(times)
		if first, last := times[0], times[len(times)-1]; first < limit/2 || first > limit*6/10 || last > limit || last < limit*9/10 {
			t.Errorf("they came in after %s to %s, want 4 to 8 s", first, last)
		}
		stop, order := make(chan struct{}), make(chan string, 1)
		await(g, Bulk, time.Hour, stop, order, "stopped")
		close(stop)
		if got := come(order); len(got) != 1 || g.Outside() != 0 {
			t.Errorf("after a stop %v came in, %d are outside", got, g.Outside())
		}
	})
}

// TestOutsideRaces: however calls, limits and stops meet, everybody comes in, and a
// waiter that is used again holds no call that was meant for the one before.
func TestOutsideRaces(t *testing.T) {
	t.Parallel()
	g := benchGate(4)
	var called atomic.Int64
	g.outside.told = func(*waiter) { called.Add(1) }
	var senders, permits sync.WaitGroup
	stop, over := make(chan struct{}), make(chan struct{})
	for i := range 4 {
		permits.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if g.Enter(Request{Class: Class(i)}) == Admitted {
					g.Leave()
				}
				time.Sleep(10 * time.Microsecond)
			}
		})
	}
	for i := range 8 {
		senders.Go(func() {
			for n := range 300 {
				end := stop
				if n%3 == 0 {
					end = make(chan struct{})
					close(end)
				}
				g.WaitOutside(Organic+Class(i%3), time.Duration(1+n%40)*10*time.Microsecond, end)
			}
		})
	}
	senders.Wait()
	close(over)
	permits.Wait()
	if g.Outside() != 0 || g.outside.room.counts.total() != 0 {
		t.Errorf("%d are outside, %d by rank", g.Outside(), g.outside.room.counts.total())
	}
	if called.Load() == 0 {
		t.Error("nobody was called")
	}
	for range 64 {
		if w := g.pool.Get().(*waiter); len(w.decision) != 0 || w.room {
			t.Fatal("a waiter was given back with a call or a place")
		}
	}
}
