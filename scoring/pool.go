package scoring

import (
	"cmp"
	"slices"

	"clickgate/gateway/click"
)

// fewMembers is the part of group_clicks from which a fingerprint is looked at as one of
// several.
const fewMembers = 3

// poolMost is the share of a source's other clicks up to which fingerprints may be a pool:
// most people's must be left to tell how many people there are.
const poolMost = 0.5

// pools are fingerprints of which a publisher or campaign has many times as many clicks in
// the hour as its other fingerprints let expect, by scope. Who rents addresses can afford
// twenty browsers. Each of them makes a small part of the clicks, and what many people have
// cannot be ten times its share elsewhere, because no share is above 1; but ten times the
// people who are there it can be.
type pools map[uint64]*pool

// pool is such fingerprints of one scope.
type pool struct {
	fingers map[uint64]bool
	sum     group // of all of them
	share   float64
}

// member is a fingerprint in a scope.
type member struct {
	scope, finger uint64
	group         *group
	clicks, in    float64 // of it in the scope, and of all
	elsewhere     float64 // its share of the source's clicks outside the scope
}

// pool looks for them in all scopes that have enough clicks.
func (s *survey) pool() {
	total := s.scopes.Find(wholeSource())
	if s.policy.GroupClicks == 0 || total == nil {
		return
	}
	everything, _ := total.in(s.hour)
	for members := s.members(everything); len(members) > 0; {
		m := &members[0]
		n := slices.IndexFunc(members, func(other member) bool { return other.scope != m.scope })
		if n < 0 {
			n = len(members)
		}
		if p := standOut(members[:n]); p != nil {
			s.pools[m.scope] = p
		}
		members = members[n:]
	}
}

// members are the fingerprints that may be one of several, by scope.
func (s *survey) members(everything float64) (all []member) {
	least := max(2, s.policy.GroupClicks/fewMembers)
	s.groups.Each(func(_ uint64, g *group) {
		n, _ := g.in(s.hour)
		if g.kind == ofSource || n < least {
			return
		}
		x, whole := s.scopes.Find(g.scope), s.groups.Find(groupKey(wholeSource(), g.finger))
		if x == nil || whole == nil {
			return
		}
		in, _ := x.in(s.hour)
		everywhere, _ := whole.in(s.hour)
		if in < s.policy.GroupClicks || everything-in < s.policy.GroupClicks {
			return
		}
		all = append(all, member{g.scope, g.finger, g, n, in, elsewhere(everywhere-n, everything-in)})
	})
	slices.SortFunc(all, func(a, b member) int { return cmp.Or(cmp.Compare(a.scope, b.scope), cmp.Compare(a.finger, b.finger)) })
	return all
}

// standOut picks those of a scope's fingerprints that stand out; nil where none does. How
// many people the scope has is seen by the other fingerprints; at first all are others.
// An audience of one language or kind of device that has more than a tenth of all people
// never stands out, because nothing begins it.
func standOut(members []member) *pool {
	p := &pool{fingers: map[uint64]bool{}}
	in := members[0].in
	rest := in
	for again := true; again; {
		again = false
		people := peopleOf(rest, p.share)
		for i := range members {
			m := &members[i]
			if p.fingers[m.finger] || m.clicks < float64(lift*float64(people*m.elsewhere)) {
				continue
			}
			p.fingers[m.finger], again = true, true
			rest -= m.clicks
			p.share += m.elsewhere
			p.sum.merge(m.group)
		}
		if p.share > poolMost {
			return nil
		}
	}
	if len(p.fingers) == 0 {
		return nil
	}
	p.sum.z = beyondChance(in-rest, float64(peopleOf(rest, p.share)*p.share))
	return p
}

// peopleOf is how many clicks a scope would have without a pool, from how many it has of
// other fingerprints and the pool's share elsewhere.
func peopleOf(rest, share float64) float64 { return float64(rest+1) / float64(1-share) }

// merge adds another fingerprint's clicks of the same hour.
func (g *group) merge(other *group) {
	g.hour = other.hour
	g.now += other.now
	g.before += other.before
	g.odd += other.odd
	g.told += other.told
	g.again += other.again
	g.known = true
	g.seats += other.addresses.Count()
}

// fillPool writes the slots of the pool that a click's fingerprint is one of, if its rule
// holds there, and returns facts about it.
func (s *survey) fillPool(v *click.Vector, finger uint64, keys *[kinds + 1]uint64) (facts int) {
	total, before, best := s.scopes.Find(keys[ofSource]), *v, 0.0
	for kind := range kinds {
		p := s.pools[keys[kind]]
		if p == nil || !p.fingers[finger] || p.sum.z <= best {
			continue
		}
		own := before
		does := factsPool | s.writeGroup(&own, kind, &p.sum, s.scopes.Find(keys[kind]), total, p.share)
		if h := (hour{p: &s.policy, v: &own, facts: does}); h.pooled() {
			*v, facts, best = own, does, p.sum.z
		}
	}
	return facts
}

// pooled: of several fingerprints together a publisher or campaign has ten times as many
// clicks as its other fingerprints let expect, from ever new addresses, and of their
// visitors a tenth as many come again as of others'. Then at most one click in ten is
// anybody's, by either count.
func (h *hour) pooled() bool {
	n, share, again, usual := h.at(SlotGroup), h.at(SlotGroupElsewhere), h.at(SlotGroupAgain), h.at(SlotAgain)
	expected := float64(peopleOf(h.at(SlotScope)-n, share) * share)
	return h.p.GroupClicks > 0 && n >= h.p.GroupClicks && h.at(SlotGroupAddresses) >= manySeats && share <= poolMost &&
		n >= float64(lift*expected) && float64(lift*again) <= usual && h.once() && over(h.at(SlotGroupZ), h.p.ZGroup/2) >= 1
}
