package scoring

import (
	"encoding/binary"
	"fmt"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
	"clickgate/scoring/zscore"

	"github.com/cespare/xxhash/v2"
)

const hourMicros = 3600 * 1_000_000

// entities remembers who clicked how often, and how. Pseudonyms are per tenant, and
// the other keys hold the tenant, so the entities of two tenants never meet.
type entities struct {
	seed uint64
	*tempo
	prefixes   *zscore.Table
	publishers *zscore.Table
	campaigns  *zscore.Table
	seats      *entity.Table[seat]  // of an address
	habits     *entity.Table[habit] // of a pair
}

// habit is how a pair clicks.
type habit struct {
	gaps    entity.Gaps
	targets entity.Recent
	clicks  twoHours
	last    press
}

// press is the last click of a visitor and whether it was pressed twice.
type press struct {
	opportunity uint64
	twice       bool
}

// note reports whether a click is the one before once more, and the first time that it
// is; a click without a token is so when it follows within doubleClick.
func (p *press) note(c *click.Click, since int64) (again, first bool) {
	opportunity := opportunityOf(c)
	if p.opportunity == opportunity && !(c.ClickID.IsZero() && since >= doubleClick) {
		first = !p.twice
		p.twice = true
		return true, first
	}
	*p = press{opportunity: opportunity}
	return false, false
}

// opportunityOf is a click's token or, without one, its target.
func opportunityOf(c *click.Click) uint64 {
	if c.ClickID.IsZero() {
		return targetHash(c)
	}
	high, low := halves(click.Key(c.ClickID))
	return zscore.Key(1, high, low)
}

// doubleClick is how soon the same visitor's next click without a token is the same one.
const doubleClick = 2_000_000

// seat is which agents an address shows, and how often each.
type seat struct {
	agents       entity.Recent
	clicks       twoHours
	same, sameOf uint64 // pairs of clicks of this hour, and of the hour before, with one agent
	twice        twoHours
}

// note counts a click of an agent that clicked here so often before in this hour.
func (s *seat) note(hour int64, before uint32) {
	was := s.clicks.hour
	if s.clicks.add(hour) {
		s.sameOf, s.same = s.same, 0
		if hour != was+1 {
			s.sameOf = 0
		}
	}
	s.same += uint64(before)
}

// even is how evenly it uses its agents, as SlotHourAgentsEven, of pairs of clicks of the
// same hour: those of this one and those of the hour before.
func (s *seat) even(agents float64) float64 {
	pairs := func(n uint32) float64 { return float64(n) * (float64(n) - 1) / 2 }
	return float64((pairs(s.clicks.now) + pairs(s.clicks.before)) / max(1, float64(float64(s.same+s.sameOf)*agents)))
}

// tempo is how often addresses, and addresses and agents together, click.
type tempo struct {
	addresses *zscore.Table
	pairs     *zscore.Table
}

func newTempo(c entity.Config) (*tempo, error) {
	t := new(tempo)
	for _, table := range []**zscore.Table{&t.addresses, &t.pairs} {
		var err error
		if *table, err = rateTable(c, 1); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// rateTable has room for a part of so many keys, and for one in each shard.
func rateTable(c entity.Config, part int) (*zscore.Table, error) {
	t, err := zscore.NewTable(zscore.Config{Entries: max(1, c.Shards, c.Entries/part), Grow: c.Grow, Shards: c.Shards, Seed: c.Seed})
	if err != nil {
		return nil, fmt.Errorf("scoring.max_keys: %w", err)
	}
	return t, nil
}

// observe counts the click and fills in its rates. Those of an address that is not known
// stay as they are.
func (t *tempo) observe(v *click.Vector, c *click.Click, known bool, addressKey, pairKey uint64) {
	var address, pair zscore.Rates
	if known {
		address = t.addresses.Observe(addressKey, c.EventTime)
		pair = t.pairs.Observe(pairKey, c.EventTime)
	}
	fillRates(v, &address, &pair)
}

// newEntities makes room for so many addresses and pairs; there are fewer prefixes,
// and far fewer publishers and campaigns.
func newEntities(c entity.Config) (*entities, error) {
	e := &entities{seed: c.Seed}
	var err error
	if e.tempo, err = newTempo(c); err != nil {
		return nil, err
	}
	for _, t := range []struct {
		table **zscore.Table
		part  int
	}{{&e.prefixes, 4}, {&e.publishers, 16}, {&e.campaigns, 16}} {
		if *t.table, err = rateTable(c, t.part); err != nil {
			return nil, err
		}
	}
	if e.seats, err = entity.New[seat](c); err == nil {
		e.habits, err = entity.New[habit](c)
	}
	if err != nil {
		return nil, fmt.Errorf("scoring.max_keys: %w", err)
	}
	return e, nil
}

// observe counts the click for its entities and fills in what they are known for.
// Those of an address that is not known stay as they are.
func (e *entities) observe(v *click.Vector, c *click.Click, known bool) {
	var prefix zscore.Rates
	v[SlotAddressAgents], v[SlotPairTargets], v[SlotPairGaps], v[SlotPairOctaves] = 0, 0, 0, 0
	v[SlotAddressEven], v[SlotAddressTwice] = 0, 0
	tenant := xxhash.Sum64String(c.TenantID)
	addressKey, pairKey := keysOf(e.seed, c)
	e.tempo.observe(v, c, known, addressKey, pairKey)
	if known {
		if c.IPPrefix != "" {
			prefix = e.prefixes.Observe(zscore.Key(e.seed, tenant, xxhash.Sum64String(c.IPPrefix)), c.EventTime)
		}
		e.remember(v, c, addressKey, pairKey)
	}
	v[SlotPrefix1m], v[SlotPrefix1h], v[SlotPrefixZPeers] = float32(prefix.Count1m), float32(prefix.Count1h), float32(prefix.ZPeers)
	fillScope(v[SlotPublisher1m:], e.publishers, e.seed, tenant, c.PublisherID, c.EventTime)
	fillScope(v[SlotCampaign1m:], e.campaigns, e.seed, tenant, c.CampaignID, c.EventTime)
}

// keysOf are those of a click's address, and of address and agent together.
func keysOf(seed uint64, c *click.Click) (address, pair uint64) {
	ipHigh, ipLow := halves(c.IPKey)
	agentHigh, agentLow := halves(c.AgentKey)
	return zscore.Key(seed, ipHigh, ipLow), zscore.Key(seed, ipHigh, ipLow, agentHigh, agentLow)
}

// remember notes agent, target and time of the click. Hashes that fill sketches have no
// seed, so that the seed of a gateway does not show in its evidence.
func (e *entities) remember(v *click.Vector, c *click.Click, addressKey, pairKey uint64) {
	hour := max(0, c.EventTime) / hourMicros
	h, _, lock := e.habits.Take(pairKey)
	_, twice := h.last.note(c, h.gaps.Since(c.EventTime))
	h.gaps.Observe(c.EventTime)
	h.targets.Add(uint32(hour), targetHash(c))
	h.clicks.add(max(hour, h.clicks.hour)) // what is late counts with the newest hour
	before := h.clicks.now - 1
	v[SlotPairTargets] = float32(h.targets.Count())
	v[SlotPairGaps], v[SlotPairOctaves] = float32(h.gaps.Count()), float32(h.gaps.Octaves())
	lock.Unlock()

	a, _, lock := e.seats.Take(addressKey)
	a.agents.Add(uint32(hour), agentHash(c))
	a.note(max(hour, a.clicks.hour), before)
	if hour = max(hour, a.twice.hour); twice {
		a.twice.add(hour)
	}
	pressed, pressedBefore := a.twice.in(hour)
	v[SlotAddressTwice] = float32(pressed + pressedBefore)
	agents := a.agents.Count()
	v[SlotAddressAgents], v[SlotAddressEven] = float32(agents), float32(a.even(agents))
	lock.Unlock()
}

func fillScope(v []float32, t *zscore.Table, seed, tenant uint64, id string, at int64) {
	var r zscore.Rates
	if id != "" {
		r = t.Observe(zscore.Key(seed, tenant, xxhash.Sum64String(id)), at)
	}
	v[0], v[1], v[2] = float32(r.Count1m), float32(r.Count1h), float32(r.ZSelf)
}

func agentHash(c *click.Click) uint64 {
	high, low := halves(c.AgentKey)
	return zscore.Key(0, high, low)
}

func targetHash(c *click.Click) uint64 {
	return zscore.Key(0, xxhash.Sum64String(c.PublisherID), xxhash.Sum64String(c.CampaignID), xxhash.Sum64String(c.PlacementID))
}

func addressKnown(c *click.Click) bool { return c.Flags&click.FlagAddressUnknown == 0 }

func halves(k click.Key) (high, low uint64) {
	return binary.LittleEndian.Uint64(k[:8]), binary.LittleEndian.Uint64(k[8:])
}
