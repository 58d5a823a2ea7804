package scoring

import (
	"testing"

	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

// Publishers whose visitors come by chance have about as many in common as expected, and
// those who share a pool have the pool; order and how often somebody clicks change nothing.
func TestCoalitionCountsVisitors(t *testing.T) {
	t.Parallel()
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		list := make([]ranked, 12)
		for i := range list {
			list[i].key = uint64(i+1) << 40
		}
		pool := rapid.IntRange(20, 60).Draw(t, "pool")
		people := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 11), 1, 3), 300, 600).Draw(t, "people")
		visitors := make([]sites, 0, len(people)+pool)
		for _, visits := range people {
			var s sites
			for _, i := range visits {
				s.add(list[i].key)
				s.add(list[i].key)
			}
			visitors = append(visitors, s)
		}
		for range pool {
			var s sites
			s.add(list[3].key)
			s.add(list[8].key)
			visitors = append(visitors, s)
		}
		forth, back := newCoalition(list), newCoalition(list)
		for i := range visitors {
			forth.note(&visitors[i])
			back.note(&visitors[len(visitors)-1-i])
		}
		forth.settle()
		back.settle()
		machine := &visitors[len(visitors)-1]
		common, expected, mine := forth.strongest(machine, list[3].key)
		if c, e, m := back.strongest(machine, list[3].key); c != common || e != expected || m != mine {
			t.Fatalf("%v %v %v one way, %v %v %v the other", common, expected, mine, c, e, m)
		}
		if common < float64(pool) {
			t.Fatalf("%v visitors in common of a pool of %d", common, pool)
		}
		if common >= lift*expected && mine == 1 {
			found++
		}
	})
	if found < 5 {
		t.Errorf("a pool stood out in %d towns", found)
	}
}

// Who goes to more publishers than are remembered is no visitor of any.
func TestSitesAreBounded(t *testing.T) {
	t.Parallel()
	var s sites
	for i := range uint64(mostSites) {
		s.add((i + 1) << 40)
		s.add(1 << 40)
	}
	if s.many {
		t.Fatalf("%d publishers are too many", mostSites)
	}
	s.add(0)
	if s.add(100 << 40); !s.many {
		t.Error("one more is not too many")
	}
}

// While clicks pass, an address that is busy as a crowd is presumed one, and is not when
// nothing was pressed twice for hundreds of clicks. A list of agents that is gone
// through evenly is none from the first.
func TestGatewayPresumesCrowds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		press   bool
		agent   func(w *town, i int) string
		suspect [2]float64 // least and most share of busy clicks
	}{
		"people":                      {true, func(w *town, _ int) string { return w.agent() }, [2]float64{0, 0.02}},
		"a program with their agents": {false, func(w *town, _ int) string { return w.agent() }, [2]float64{0.7, 1}},
		"a program with a list":       {false, func(w *town, i int) string { return w.agents[i%40] }, [2]float64{0.9, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(17, 2000)
			for i := range 2400 {
				add := func(w *town, at int64, agent string) { w.add("crowd", at, "192.0.2.4", agent, "en", "pub7", "cam9") }
				if tc.press {
					add = func(w *town, at int64, agent string) { w.press("crowd", at, "192.0.2.4", agent, "en", "pub7", "cam9") }
				}
				add(w, w.within(30, 50), tc.agent(w, i))
			}
			w.sort()
			live := newScorer(t)
			busy, suspect := 0, 0
			for i := range w.clicks {
				c := &w.clicks[i]
				if live.Score(&c.Click, &c.sig); c.name != "crowd" {
					continue
				}
				if c.Verdict.Vector[SlotAddressZPeers] >= 30 {
					busy++
				}
				if c.Verdict.Reasons.Has(click.ReasonRateIP) {
					suspect++
				}
			}
			share := float64(suspect) / float64(max(1, busy))
			t.Logf("%d of %d busy clicks are suspect", suspect, busy)
			if busy < 1000 || share < tc.suspect[0] || share > tc.suspect[1] {
				t.Errorf("%d of %d busy clicks are suspect; want from %v to %v of them", suspect, busy, tc.suspect[0], tc.suspect[1])
			}
		})
	}
}

// A click that was left out may be on a publisher that is none of the visitor's: its
// share of the visitor's publishers would be above 1.
func TestAlliesOfOtherPublishers(t *testing.T) {
	t.Parallel()
	const a, b = 1 << 40, 2 << 40
	var publishers []ranked
	for i := range uint64(leastPeers) {
		publishers = append(publishers, ranked{(i + 1) << 40, 40})
	}
	x := newCoalition(publishers)
	visitor := func(keys ...uint64) *sites {
		s := new(sites)
		for _, key := range keys {
			s.add(key)
		}
		return s
	}
	for range 10 {
		x.note(visitor(a, b))
	}
	x.settle()
	if _, _, share := x.strongest(visitor(a), b); share != 0 {
		t.Errorf("a publisher that is none of his has the share %v", share)
	}
	if common, _, share := x.strongest(visitor(a, b), b); common != 10 || share <= 0 || share > 1 {
		t.Errorf("of his own: %v visitors in common, share %v", common, share)
	}
}
