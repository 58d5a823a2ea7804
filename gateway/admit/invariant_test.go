package admit

import (
	"math/rand/v2"
	"testing"
	"time"

	"clickgate/gateway/click"
)

// checker follows the events of a gate and keeps its own book of who waits. It
// knows nothing of how the gate decides.
type checker struct {
	slots             int
	waiting           map[*waiter]Class
	byClass           [NumClasses]int
	decisions, yields int
	paidRefused       int
	faults            []string
}

func (c *checker) fault(text string) {
	if len(c.faults) < 5 {
		c.faults = append(c.faults, text)
	}
}

func (c *checker) see(e event) {
	class := e.rank.class()
	if e.decision == waits {
		c.waiting[e.waiter] = class
		c.byClass[class]++
		if len(c.waiting) > c.slots {
			c.fault("more wait than there are places")
		}
		return
	}
	c.decisions++
	if e.waiter != nil {
		if _, ok := c.waiting[e.waiter]; !ok {
			c.fault("somebody was told who does not wait")
		}
		delete(c.waiting, e.waiter)
		c.byClass[class]--
	}
	switch e.decision {
	case Displaced:
		c.yields++
		if class == Paid {
			c.fault("a paid request within its rate was displaced")
		}
		c.mustBeLast(class, "displaced")
	case Full:
		if class == Paid {
			c.paidRefused++
		}
		if len(c.waiting) < c.slots {
			c.fault("somebody was refused beside a free place")
		}
		c.mustBeLast(class, "refused")
	}
}

// mustBeLast holds that nobody of a lower class holds a place.
func (c *checker) mustBeLast(class Class, what string) {
	for lower := class + 1; lower < NumClasses; lower++ {
		if c.byClass[lower] > 0 {
			c.fault(class.String() + " was " + what + " while " + lower.String() + " holds a place")
		}
	}
}

// storm drives a gate at random until it has decided n times: bursts of arrivals
// of all classes, permits that come back, waits that end, limits that move.
func storm(n int, mistake func(rank, *occupancy, int, Class) (Decision, rank, bool)) *checker {
	clock := time.Unix(0, 0)
	g := newTestGate(4, 16, &clock)
	if mistake != nil {
		g.place = mistake
	}
	c := &checker{slots: 16, waiting: map[*waiter]Class{}}
	held := 0
	g.trace = func(e event) {
		c.see(e)
		if e.decision == Admitted {
			held++
		}
	}
	rng := rand.New(rand.NewPCG(11, 13))
	for steps := 0; c.decisions < n && len(c.faults) == 0; steps++ {
		clock = clock.Add(time.Duration(rng.IntN(400)) * time.Microsecond)
		switch k := rng.IntN(1000); {
		case k < 620:
			w := &waiter{decision: make(chan Decision, 1)} // its time is the storm's
			mix := [...]Class{Paid, Paid, Paid, Organic, Organic, Demoted, Bulk, Bulk}
			if steps/10_000%4 == 0 {
				mix = [...]Class{Paid, Paid, Paid, Paid, Paid, Paid, Paid, Bulk}
			}
			w.rank = rankOf(mix[rng.IntN(len(mix))], false)
			g.arrive(w)
		case k < 950:
			if held > 0 {
				held--
				g.Leave()
			}
		case k < 998:
			if w := g.room.lines[rankOf(Class(rng.IntN(int(NumClasses))), false)].oldest; w != nil {
				g.expire(w)
			}
		default:
			g.setTerms(newTerms(1+rng.IntN(6), NumClasses))
		}
	}
	return c
}

// TestNoPaidRefusalBesideLower is O1c.
func TestNoPaidRefusalBesideLower(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if raceEnabled {
		n = 100_000 // one goroutine: the detector has nothing to find, and costs ten times as much
	}
	c := storm(n, nil)
	for _, f := range c.faults {
		t.Error(f)
	}
	t.Logf("%d decisions, %d displaced, %d paid refused", c.decisions, c.yields, c.paidRefused)
	if c.decisions < n || c.yields < n/10 || c.paidRefused < n/100 {
		t.Errorf("only %d decisions, %d displaced, %d paid refused", c.decisions, c.yields, c.paidRefused)
	}
}

// TestCheckerFindsMistakes: each way to get it wrong is found.
func TestCheckerFindsMistakes(t *testing.T) {
	t.Parallel()
	for name, mistake := range map[string]func(rank, *occupancy, int, Class) (Decision, rank, bool){
		"first come, first served": func(_ rank, o *occupancy, slots int, _ Class) (Decision, rank, bool) {
			if o.total() < slots {
				return waits, 0, false
			}
			return Full, 0, false
		},
		"refuses on a full room before it looks at the class": func(r rank, o *occupancy, slots int, open Class) (Decision, rank, bool) {
			if o.total() >= slots {
				return Full, 0, false
			}
			return place(r, o, slots, open)
		},
		"displaces paid": func(r rank, o *occupancy, slots int, open Class) (Decision, rank, bool) {
			if o.total() >= slots && o[0] > 0 && r.class() > Paid {
				return waits, 0, true
			}
			return place(r, o, slots, open)
		},
		"displaces the wrong class": func(r rank, o *occupancy, slots int, open Class) (Decision, rank, bool) {
			d, victim, displace := place(r, o, slots, open)
			if displace && o[rankOf(Organic, false)] > 0 {
				victim = rankOf(Organic, false)
			}
			return d, victim, displace
		},
		"leaves a place free": func(r rank, o *occupancy, slots int, open Class) (Decision, rank, bool) {
			return place(r, o, slots-1, open)
		},
	} {
		if c := storm(1_000_000, mistake); len(c.faults) == 0 {
			t.Errorf("%s: not found in %d decisions", name, c.decisions)
		} else {
			t.Logf("%s: after %d decisions: %s", name, c.decisions, c.faults[0])
		}
	}
}

// TestReplayFlood: used paid tokens at ten times the capacity cost honest paid
// traffic at most one in a hundred; and without the memory of tokens they cost it
// most.
func TestReplayFlood(t *testing.T) {
	t.Parallel()
	play := func(reuse bool) *result {
		s := newSim(5, nil)
		cfg := DefaultConfig()
		memory := NewReuse(&cfg, 5)
		n := uint64(0)
		s.reuse = func(c *call) Class {
			var id click.ID
			n++
			id[0], id[8], id[9], id[10], id[11] = 1, byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
			if c.replay {
				id = click.ID{0: 2, 1: byte(s.rng.IntN(200))} // of 200 tokens
			}
			if c.class == Paid && reuse && memory.Seen("acme", id, s.now.Microseconds()) {
				return Demoted
			}
			return c.class
		}
		return playLoad(s, phase{length: length(6*time.Second, 30*time.Second), load: .8, shares: [NumClasses]float64{1}, flood: 10})
	}
	with, without := play(true), play(false)
	with.row(t, "replays 10x, paid .8x")
	without.row(t, "the same without memory")
	offered, shed := with.paid.offered+with.first.offered, with.paid.shed+with.first.shed
	t.Logf("%d of %d honest paid requests were refused, %d of them in the first second", shed, offered, with.first.shed)
	if offered < 5000 || 100*shed > offered {
		t.Errorf("%d of %d honest paid requests were refused, want at most 1 %%", shed, offered)
	}
	if without.paid.loss() < .5 {
		t.Errorf("without memory only %.4f were refused: the flood is none", without.paid.loss())
	}
}

func playLoad(s *sim, p phase) *result { return play(s, .7, p, 2*time.Second) }
