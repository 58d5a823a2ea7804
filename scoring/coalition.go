package scoring

import (
	"cmp"
	"math"
	"slices"
)

// mostSites is how many publishers of a visitor are remembered. Who goes to more is no
// visitor of theirs but goes everywhere, as a crowd does and a crawler.
const mostSites = 8

// sites are the publishers that a visitor clicked on, by a part of their keys. The zero
// value is empty.
type sites struct {
	ids  [mostSites]uint32
	many bool // more than that
}

// siteOf is the part of a publisher's key, never 0.
func siteOf(key uint64) uint32 { return uint32(key>>32) | 1 }

func (s *sites) add(key uint64) {
	if key == 0 || s.many {
		return
	}
	for i, id := range s.ids {
		switch id {
		case siteOf(key):
			return
		case 0:
			s.ids[i] = siteOf(key)
			return
		}
	}
	s.many = true
}

// coalition is which of the compared publishers have visitors in common, and more of
// them than chance makes (Metwally, Agrawal, El Abbadi: Detectives, WWW 2007). Memory is
// that of a square of alliesMost.
type coalition struct {
	index    map[uint32]int
	visitors []float64   // of each publisher, who went to another of them too
	together [][]float64 // of both
	usual    float64     // visitors in common, for each visitor of one times each of the other
}

// newCoalition compares publishers; fewer than leastPeers say nothing of what is usual.
func newCoalition(ranked []ranked) *coalition {
	if len(ranked) < leastPeers {
		ranked = nil
	}
	c := &coalition{index: make(map[uint32]int, len(ranked)), visitors: make([]float64, len(ranked)), together: make([][]float64, len(ranked))}
	for i, r := range ranked {
		c.index[siteOf(r.key)] = i
		c.together[i] = make([]float64, len(ranked))
	}
	return c
}

// note counts a visitor once, however often he clicked. Who came to one publisher only
// says nothing of two, and rented addresses and flash crowds bring any number of those.
func (c *coalition) note(s *sites) {
	var at [mostSites]int
	n := 0
	for _, id := range s.ids {
		if i, ok := c.index[id]; ok {
			at[n] = i
			n++
		}
	}
	if n < 2 {
		return
	}
	for k, i := range at[:n] {
		c.visitors[i]++
		for _, j := range at[:k] {
			c.together[i][j]++
			c.together[j][i]++
		}
	}
}

// settle finds what is usual: the upper quartile over all visitors that two publishers
// might have in common. Pairs of publishers count by those, so that many small ones do not
// move it. A pool lowers the share of its publishers' visitors in common with all others,
// and at night those are half of what there is; hence no median, which would follow.
func (c *coalition) settle() {
	type couple struct{ ratio, weight float64 }
	var all []couple
	total := 0.0
	for i := range c.visitors {
		for j := range i {
			if w := float64(c.visitors[i] * c.visitors[j]); w > 0 {
				all = append(all, couple{c.together[i][j] / w, w})
				total += w
			}
		}
	}
	slices.SortFunc(all, func(a, b couple) int { return cmp.Or(cmp.Compare(a.ratio, b.ratio), cmp.Compare(a.weight, b.weight)) })
	left := 0.75 * total
	for _, x := range all {
		if left -= x.weight; left <= 0 {
			c.usual = x.ratio
			return
		}
	}
}

// strongest is the pair of the visitor's publishers, one of them the click's, that have
// the most visitors in common beyond chance: how many, how many by chance, and how many of
// the visitor's publishers are so allied with the click's or are it. All are 0 of a click
// that was left out, on a publisher that is none of the visitor's.
func (c *coalition) strongest(s *sites, key uint64) (common, expected, allied float64) {
	i, ok := c.index[siteOf(key)]
	if !ok || s.many || !slices.Contains(s.ids[:], siteOf(key)) {
		return 0, 0, 0
	}
	best, all, mine := 0.0, 0.0, 1.0
	for _, id := range s.ids {
		if id == 0 {
			break
		}
		all++
		j, ok := c.index[id]
		if !ok || j == i {
			continue
		}
		// Of the others, so that those in common do not speak for themselves.
		n := c.together[i][j]
		chance := float64(c.usual * float64((c.visitors[i]-n)*(c.visitors[j]-n)))
		if n >= lift*chance {
			mine++
		}
		if z := beyondChance(n, chance); z > best {
			best, common, expected = z, n, chance
		}
	}
	return common, expected, mine / max(1, all)
}

// beyondChance is how far a count is above a Poisson expectation, in its deviations.
func beyondChance(n, expected float64) float64 {
	return float64(n-expected) / math.Sqrt(max(1, expected))
}
