package admit

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// newTestGate returns a gate of a few permits on a clock that the test moves.
func newTestGate(limit, slots int, clock *time.Time) *Gate {
	cfg := DefaultConfig()
	cfg.StartLimit, cfg.MinLimit, cfg.Waiting = limit, 1, slots
	return NewGate(cfg, Dependencies{MaxLimit: 1 << 10, Now: func() time.Time { return *clock }, Signals: func() Signals { return Signals{} }})
}

// TestGateKeepsItsBooks plays random steps and holds the gate to what must be
// true between any two of them: permits are neither lost nor made up, never more
// than the limit are given out, nobody waits beside a free permit, and everybody
// is told one thing once.
func TestGateKeepsItsBooks(t *testing.T) {
	t.Parallel()
	var displaced, expired, served atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		clock := time.Unix(0, 0)
		limit, slots := rapid.IntRange(1, 5).Draw(t, "limit"), rapid.IntRange(0, 6).Draw(t, "slots")
		g := newTestGate(limit, slots, &clock)
		var held int
		var waiting []*waiter
		open := NumClasses
		g.trace = func(e event) {
			if e.decision == Admitted {
				held++
				if n := g.InFlight(); n > limit || e.rank.class() >= open {
					t.Fatalf("%d permits of %d given out, to %s of %d classes", n, limit, e.rank.class(), open)
				}
			}
		}
		settle := func() {
			waiting = slices.DeleteFunc(waiting, func(w *waiter) bool {
				if w.room {
					if len(w.decision) != 0 {
						t.Fatal("told a decision and kept in the room")
					}
					return false
				}
				if len(w.decision) != 1 {
					t.Fatalf("out of the room with %d decisions", len(w.decision))
				}
				switch <-w.decision {
				case Displaced:
					displaced.Add(1)
				case Admitted:
					served.Add(1)
				}
				return true
			})
		}
		arrive := func(t *rapid.T) {
			w := newWaiter()
			w.rank = rank(rapid.IntRange(0, int(numRanks)-1).Draw(t, "rank"))
			if g.arrive(w) == waits {
				waiting = append(waiting, w)
			}
		}
		steps := map[string]func(*rapid.T){
			"arrive": arrive, "arrive too": arrive, "arrive as well": arrive, // or the room is never full
			"fast": func(t *rapid.T) {
				if g.take(Class(rapid.IntRange(0, int(open)-1).Draw(t, "class"))) {
					held++
				}
			},
			"leave": func(*rapid.T) {
				if held > 0 {
					held--
					g.Leave()
				}
			},
			"expire": func(t *rapid.T) {
				if len(waiting) == 0 {
					return
				}
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
				if !g.expire(waiting[i]) {
					t.Fatal("has a place and cannot leave it")
				}
				if g.expire(waiting[i]) {
					t.Fatal("left its place twice")
				}
				waiting = slices.Delete(waiting, i, i+1)
				expired.Add(1)
			},
			"terms": func(t *rapid.T) {
				limit, open = rapid.IntRange(1, 5).Draw(t, "limit"), Class(rapid.IntRange(1, int(NumClasses)).Draw(t, "open"))
				g.setTerms(newTerms(limit, open))
			},
			"time": func(t *rapid.T) {
				clock = clock.Add(time.Duration(rapid.IntRange(0, 120).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				settle()
				if g.InFlight() != held {
					t.Fatalf("%d permits are out, the gate says %d", held, g.InFlight())
				}
				if n := g.room.counts.total(); n != len(waiting) || n != g.Waiting() || n > slots {
					t.Fatalf("%d wait in %d places; the room says %d, the word %d", len(waiting), slots, n, g.Waiting())
				}
				for r := range numRanks {
					d, _, _ := place(r, &g.room.counts, slots, open)
					if away := g.turnedAway(r); (away == Admitted) != (d == waits) || d != waits && away != d {
						t.Fatalf("rank %d: %s without the lock, %s with it", r, away, d)
					}
				}
				if len(waiting) > 0 && held < limit {
					t.Fatalf("%d wait beside %d free permits", len(waiting), limit-held)
				}
			},
		}
		t.Repeat(steps)
		for ; held > 0; held-- {
			g.Leave()
			settle()
		}
		if len(waiting) != 0 || g.InFlight() != 0 {
			t.Fatalf("%d still wait, %d permits are out", len(waiting), g.InFlight())
		}
	})
	if displaced.Load() < 10 || expired.Load() < 10 || served.Load() < 10 {
		t.Errorf("only %d displaced, %d expired, %d served after waiting", displaced.Load(), expired.Load(), served.Load())
	}
}

// TestEnterFromManySides runs the blocking way in with real goroutines: in the
// bubble a lost wake-up is a deadlock, which ends the test.
func TestEnterFromManySides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.StartLimit, cfg.MinLimit = 3, 1
		g := NewGate(cfg, Dependencies{MaxLimit: 1 << 10, Now: time.Now, Signals: func() Signals { return Signals{} }})
		var told [NumDecisions]atomic.Int64
		var inside, most atomic.Int64
		var running sync.WaitGroup
		const calls = 20_000
		for i := range calls {
			running.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(i)))
				time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
				d := g.Enter(Request{Class: Class(rng.IntN(int(NumClasses)))})
				told[d].Add(1)
				if d != Admitted {
					return
				}
				n := inside.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				time.Sleep(time.Duration(rng.Int64N(int64(4 * time.Millisecond))))
				inside.Add(-1)
				g.Leave()
			})
		}
		running.Wait()
		sum := int64(0)
		for d := range NumDecisions {
			sum += told[d].Load()
			t.Log(d, told[d].Load())
		}
		if sum != calls || told[waits].Load() != 0 || told[Closed].Load() != 0 {
			t.Errorf("%d of %d calls were told what became of them", sum, calls)
		}
		for _, d := range []Decision{Admitted, Full, Displaced, Expired} {
			if told[d].Load() < 20 {
				t.Errorf("%s only %d times", d, told[d].Load())
			}
		}
		if most.Load() != 3 || g.InFlight() != 0 || g.Waiting() != 0 {
			t.Errorf("%d inside at once under a limit of 3; at the end %d inside, %d waiting", most.Load(), g.InFlight(), g.Waiting())
		}
	})
}

// TestWaitsAreBounded holds the ceilings of the classes, and whose turn it is.
func TestWaitsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.StartLimit = 1
		g := NewGate(cfg, Dependencies{MaxLimit: 1, Now: time.Now, Signals: func() Signals { return Signals{} }})
		if g.Enter(Request{Class: Bulk}) != Admitted {
			t.Fatal("the first was refused")
		}
		type told struct {
			after time.Duration
			d     Decision
		}
		var mu sync.Mutex
		got := map[string]told{}
		enter := func(name string, at time.Duration, c Class) {
			go func() {
				time.Sleep(at)
				begun := time.Now()
				d := g.Enter(Request{Class: c})
				mu.Lock()
				got[name] = told{time.Since(begun), d}
				mu.Unlock()
				if d == Admitted {
					time.Sleep(time.Millisecond)
					g.Leave()
				}
			}()
		}
		const at = time.Millisecond
		enter("paid", 10*at, Paid)              // until 210
		enter("organic early", 20*at, Organic)  // until the room stands, at 110
		enter("organic late", 105*at, Organic)  // until 125
		enter("bulk standing", 150*at, Bulk)    // until 170
		enter("organic older", 201*at, Organic) // after the newer one
		enter("organic newer", 202*at, Organic)
		enter("second paid", 203*at, Paid)
		time.Sleep(205 * at)
		g.Leave() // paid, second paid, newer, older
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		for name, want := range map[string]told{
			"paid": {195 * at, Admitted}, "organic early": {90 * at, Expired}, "organic late": {20 * at, Expired},
			"bulk standing": {20 * at, Expired}, "second paid": {3 * at, Admitted},
			"organic newer": {5 * at, Admitted}, "organic older": {7 * at, Admitted},
		} {
			if got[name] != want {
				t.Errorf("%s: %s after %s, want %s after %s", name, got[name].d, got[name].after, want.d, want.after)
			}
		}
		if g.InFlight() != 0 || g.Waiting() != 0 {
			t.Error(g.InFlight(), g.Waiting())
		}
	})
}

// TestPressureShutsClasses: who waits and is shut out is told at once.
func TestPressureShutsClasses(t *testing.T) {
	t.Parallel()
	clock := time.Unix(0, 0)
	g := newTestGate(1, 8, &clock)
	if !g.take(Paid) {
		t.Fatal("no permit")
	}
	var ws [NumClasses]*waiter
	for c := range NumClasses {
		ws[c] = newWaiter()
		ws[c].rank = rankOf(c, false)
		if g.arrive(ws[c]) != waits {
			t.Fatal(c)
		}
	}
	for _, step := range []struct {
		s    Signals
		open Class
	}{
		{Signals{Memory: .91}, NumClasses}, {Signals{Memory: .92}, Organic + 1}, {Signals{Spool: .91}, Organic + 1},
		{Signals{Files: .95}, Paid + 1}, {Signals{Buffered: .94}, Paid + 1}, {Signals{Memory: .925}, Organic + 1},
		{Signals{Memory: .89}, NumClasses}, {Signals{Spool: 1}, Paid + 1}, {Signals{}, NumClasses},
	} {
		g.tick(step.s)
		if got := g.Status().Open; got != step.open {
			t.Errorf("%+v: %d classes are let in, want %d", step.s, got, step.open)
		}
	}
	for c, w := range ws {
		switch told := len(w.decision) == 1; {
		case Class(c) == Paid && told:
			t.Error("a paid request was told", <-w.decision)
		case Class(c) != Paid && (!told || <-w.decision != Closed):
			t.Errorf("%s was not told that it is shut out", Class(c))
		}
	}
	g.setTerms(newTerms(1, Paid+1))
	w := newWaiter()
	w.rank = rankOf(Organic, false)
	if d := g.arrive(w); d != Closed {
		t.Errorf("an organic request was told %s", d)
	}
}

// TestExcessGoesFirst: inside a class who is above the usual rate makes room, and
// no class pays for another.
func TestExcessGoesFirst(t *testing.T) {
	t.Parallel()
	clock := time.Unix(0, 0)
	g := newTestGate(1, 2, &clock)
	p := g.Publishers().Find("acme", "pub-1")
	for range 3 { // three seconds at 20 a second
		for range 20 {
			p.count()
		}
		g.publishers.roll(false)
	}
	for i := range 40 {
		if excess := p.count(); excess != (i >= 30) {
			t.Fatalf("request %d of a second, usual are 20: excess %v", i, excess)
		}
	}
	g.publishers.roll(true)
	if p.roll(true); p.usual.Load() == 0 || p.count() {
		t.Error("a second of trouble changed what is usual")
	}
	g.take(Paid)
	queue := func(c Class, excess bool) (*waiter, Decision) {
		w := newWaiter()
		w.rank = rankOf(c, excess)
		return w, g.arrive(w)
	}
	above, _ := queue(Paid, true)
	organic, _ := queue(Organic, false)
	if _, d := queue(Organic, true); d != Full {
		t.Errorf("organic above its rate: %s", d)
	}
	if _, d := queue(Paid, false); d != waits || <-organic.decision != Displaced {
		t.Errorf("paid: %s", d)
	}
	if _, d := queue(Paid, false); d != waits || <-above.decision != Displaced {
		t.Errorf("second paid: %s", d)
	}
	if _, d := queue(Paid, true); d != Full {
		t.Errorf("paid above its rate: %s", d)
	}
}

func TestPublishersAreBounded(t *testing.T) {
	t.Parallel()
	p := newPublishers(1)
	for i := range 3 * publisherSlots {
		one := p.Find("acme", string(rune('a'+i%26))+time.Duration(i).String())
		one.count()
		one.refused()
	}
	if top := p.Top(1); len(top) != 1 || top[0].Publisher != "other" || top[0].Shed < publisherSlots {
		t.Errorf("%+v", top)
	}
	if p.Find("acme", "") != nil || p.Find("acme", "").count() {
		t.Error("no publisher is not nil")
	}
	p.roll(false)
	for range 3000 {
		p.roll(false)
	}
	n := 0
	for i := range p.slots {
		if p.slots[i].Load() != nil {
			n++
		}
	}
	if n != 0 {
		t.Errorf("%d publishers are remembered an hour after their last click", n)
	}
	if a, b := p.Find("acme", "x"), p.Find("acmex", ""); a == nil || b != nil || a == p.Find("acm", "ex") || a != p.Find("acme", "x") {
		t.Error("publishers are mixed up")
	}
}
