package scoring

import (
	"cmp"
	"math"
	"slices"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
	"clickgate/scoring/zscore"

	"github.com/cespare/xxhash/v2"
)

// survey is what a pass knows of the entities of an hour and the one before it, once it
// has seen all their clicks. Invalid ones by their lists, tests and those that nobody
// can judge are left out: who is known already must not hide others, nor make their
// publishers look strange. Its memory is bounded by the tables'; the keys that it
// forgets are those that came once, long ago.
type survey struct {
	rules   *rulebook
	policy  Policy // of the source: what is compared over all campaigns goes by it
	rates   *tempo // to know the floods
	pairs   *entity.Table[pairHour]
	seats   *entity.Table[addressHour]
	scopes  *entity.Table[scope]
	groups  *entity.Table[group]
	day     *day
	hour    int64 // that is judged, in hours since the epoch
	looked  bool
	settled bool

	agents, targets entity.Population // of the first click of each address
	firsts          float64           // how many those are
	twice           float64           // how many of them were pressed twice
	aged, fast      float64           // clicks with a token's age, and those that are too fast
	again           usual             // share of a fingerprint's clicks by visitors who came before
	peers           [kinds]peers
	allies          *coalition // of publishers; nil before all clicks are in
	pools           pools
	expected        map[uint32]expected
	displayed       displayed
}

// kinds of scopes: what is compared with its like. The source itself is the scope that
// every click is in.
const (
	ofPublisher = iota
	ofCampaign
	kinds
	ofSource = kinds
)

// rankedMost bounds the scopes of a kind that are compared with each other.
const rankedMost = 64

// alliesMost bounds the publishers whose visitors are compared with each other.
const alliesMost = 128

// leastPeers is how many scopes a kind must have to be peers, and leastPopulation how
// many addresses a population.
const (
	leastPeers      = 5
	leastPopulation = 50
)

// pairHour is an address and an agent together, in both hours.
type pairHour struct {
	clicks, flood uint32
	seat          uint64 // its address
	last          press
	replays       majority // of what it sent a third time and more
	first         bool     // its first click is its address's first, and still the last
	shared        bool     // behind a relay, VPN or Tor exit
	gaps          entity.Gaps
	targets       entity.Marks
	focus         [kinds]majority
	sites         sites

	asked, unseen uint32 // clicks of the hour whose display was asked for, and is missing
}

// addressHour is an address over all its agents, in both hours.
type addressHour struct {
	clicks uint32
	twice  uint32 // clicks pressed twice
	same   uint64 // pairs of its clicks that have one agent
	gaps   entity.Gaps
	agents entity.Marks
	focus  [kinds]majority
}

// majority is the one value that more than half of a series can be, and by how many
// more it leads at least (Boyer and Moore, 1981).
type majority struct {
	value uint64
	lead  uint32
}

func (m *majority) add(value uint64) { m.weigh(value, 1) }

// weigh adds a value so many times.
func (m *majority) weigh(value uint64, times uint32) {
	switch {
	case m.value == value:
		m.lead += times
	case m.lead >= times:
		m.lead -= times
	default:
		m.value, m.lead = value, times-m.lead
	}
}

// share is how much of so many values it has at least.
func (m *majority) share(of int) float64 { return (1 + float64(m.lead)/float64(of)) / 2 }

// twoHours are counts of the newest hour and of the one before it.
type twoHours struct {
	hour        int64
	now, before uint32
}

func (t *twoHours) add(hour int64) (first bool) {
	if hour > t.hour {
		if hour == t.hour+1 {
			t.before = t.now
		} else {
			t.before = 0
		}
		t.now, t.hour = 0, hour
		first = true
	}
	t.now++
	return first
}

// in is the counts as they stand in an hour.
func (t *twoHours) in(hour int64) (now, before float64) {
	switch t.hour {
	case hour:
		return float64(t.now), float64(t.before)
	case hour - 1:
		return 0, float64(t.now)
	}
	return 0, 0
}

// manner is how clicks of an hour come.
type manner struct {
	odd   uint32 // with strange headers
	told  uint32 // of visitors who can be told from others: address and agent are one
	again uint32 // of those who came before
}

// note counts a click. Behind an address of many people nobody knows who comes again.
func (m *manner) note(odd, single, again bool) {
	if odd {
		m.odd++
	}
	if single {
		m.told++
		if again {
			m.again++
		}
	}
}

// returning is the share of clicks, n in all, by visitors who came before, where those
// that nobody can tell count as usual.
func (m *manner) returning(n, usual float64) float64 {
	return float64(float64(m.again)+float64(max(0, n-float64(m.told))*usual)) / max(1, n)
}

// scope is a publisher, a campaign, or the whole source.
type scope struct {
	twoHours
	manner
	kind   uint8
	firsts uint32    // addresses whose first click was here
	twice  uint32    // clicks of both hours that were pressed twice
	loyal  [2]uint32 // clicks of both hours by visitors who come again and again, quickly and slowly, when all are in
	same   uint64    // pairs of clicks of the hour that have one fingerprint
	aged   uint32    // clicks of both hours with a token's age
	quick  [quicks]uint32

	displays displays // of the clicks of the hour
}

// quicks is how many times fast_seconds a click is quick. Each of them is looked at by
// itself, so that who clicks at once does not make those strange who look for a second.
const quicks = 4

// quickOf is the place of a token's age among them, or -1.
func quickOf(age, fastSeconds float64) int {
	if i := age / fastSeconds; i >= 0 && i < quicks {
		return int(i)
	}
	return -1
}

// soon notes a token's age in seconds, 0 where it is not known.
func (x *scope) soon(age, fastSeconds float64) {
	if !(age > 0) {
		return
	}
	x.aged++
	if i := quickOf(age, fastSeconds); i >= 0 {
		x.quick[i]++
	}
}

// group is a fingerprint in a scope.
type group struct {
	twoHours
	manner
	kind      uint8
	scope     uint64
	finger    uint64
	addresses entity.Distinct
	known     bool    // what follows was worked out
	seats     float64 // how many addresses
	z         float64
}

// ranked is a scope that is compared with others, when all clicks are in.
type ranked struct {
	key    uint64
	clicks float64
}

// peers is what is usual among the scopes of a kind.
type peers struct {
	ranked []ranked // those with enough clicks, the busiest first
	one    usual
	loyal  [2]usual
	quick  [quicks]float64 // upper quartile of the share of quick clicks
}

// usual is median and MAD of a value, when there are enough to tell.
type usual struct {
	median, mad float64
	known       bool
}

// expected are the cells that a number of clicks occupies, see entity.Population.
type expected struct{ agents, agentsDeviation, targets, targetsDeviation float64 }

// newSurvey makes one of an hour, in hours since the epoch, with tables as c says.
func newSurvey(rules *rulebook, c entity.Config, hour int64) (*survey, error) {
	s := &survey{rules: rules, policy: rules.source.Policy, hour: hour, expected: make(map[uint32]expected), pools: pools{}}
	var err error
	if s.day, err = newDay(&s.policy, c, hour); err != nil {
		return nil, err
	}
	if s.rates, err = newTempo(c); err != nil {
		return nil, err
	}
	if s.pairs, err = entity.New[pairHour](c); err != nil {
		return nil, err
	}
	if s.seats, err = entity.New[addressHour](c); err != nil {
		return nil, err
	}
	if s.groups, err = entity.New[group](c); err != nil {
		return nil, err
	}
	c.Entries = max(1, c.Entries/16)
	s.scopes, err = entity.New[scope](c)
	return s, err
}

// pace is 1 of a visitor who leaves long pauses between clicks, else 0.
func (p *pairHour) pace() int {
	if p.gaps.Typical() >= pause {
		return 1
	}
	return 0
}

// scopeKeys are those of a click's publisher, campaign and source; 0 where it has none.
func scopeKeys(c *click.Click) (keys [kinds + 1]uint64) {
	for kind, id := range [...]string{c.PublisherID, c.CampaignID} {
		if id != "" {
			keys[kind] = zscore.Key(judgeSeed, uint64(kind), xxhash.Sum64String(id))
		}
	}
	keys[ofSource] = wholeSource()
	return keys
}

func wholeSource() uint64 { return zscore.Key(judgeSeed, ofSource) }

// fingerprintOf is agent and language of a click.
func fingerprintOf(c *click.Click, v *click.Vector) uint64 {
	return zscore.Key(agentHash(c), uint64(math.Float32bits(v[SlotFingerprint])))
}

func groupKey(scope, finger uint64) uint64 { return zscore.Key(scope, finger) }

// look takes note of a click. They come in order of event time. Of hours before the last
// two only who came is noted. Once the first is judged, nothing changes any more.
func (s *survey) look(c *click.Click, v *click.Vector) {
	if s.settled {
		return
	}
	s.looked = true
	addressKey, pairKey := keysOf(judgeSeed, c)
	early := c.EventTime/hourMicros < s.hour-1
	if !early {
		s.rates.observe(v, c, addressKnown(c), addressKey, pairKey)
	}
	ranges, policy := int(v[SlotRanges]), &s.rules.of(c.CampaignID).Policy
	if c.Flags&click.FlagTest != 0 || givtReasons(policy, c.Flags, v, ranges)|undecidableReasons(c.Flags, v) != 0 {
		return
	}
	keys := scopeKeys(c)
	s.day.note(c, addressKey, pairKey, ranges&rangeShared != 0, &keys)
	if early {
		return
	}
	flood := policy.flood(v)
	own, twice, before := s.pair(pairKey, addressKey, c, v, flood, &keys)
	if twice {
		s.pressedTwice(pairKey, addressKey, keys[ofPublisher])
	}
	if own {
		s.address(addressKey, pairKey, before, c, &keys)
		p := s.pairs.Find(pairKey)
		s.scope(addressKey, p != nil && s.single(p), before > 0, c, v, &keys)
		s.display(c, pairKey, keys[ofPublisher])
	}
}

// pair notes a click of address and agent, and reports whether it is one of its own, or
// the one before, pressed twice or sent twice, and that for the first time, and how many
// came before.
func (s *survey) pair(key, seat uint64, c *click.Click, v *click.Vector, flood bool, keys *[kinds + 1]uint64) (own, twice bool, before uint32) {
	p, _, lock := s.pairs.Take(key)
	defer lock.Unlock()
	p.seat, p.shared = seat, int(v[SlotRanges])&rangeShared != 0
	if flood {
		p.flood++
	}
	again, twice := p.last.note(c, p.gaps.Since(c.EventTime))
	if again {
		if !twice && !c.ClickID.IsZero() { // without a token nobody knows whether it is the same ad
			p.replays.add(p.last.opportunity)
		}
		return false, twice, p.clicks
	}
	p.clicks++
	p.first = false
	p.gaps.Observe(c.EventTime)
	p.targets.Add(entity.Cell(targetHash(c)))
	p.sites.add(keys[ofPublisher])
	for kind := range p.focus {
		p.focus[kind].add(keys[kind])
	}
	return true, false, p.clicks - 1
}

// pressedTwice notes that the last click of a pair was; people do so by habit.
func (s *survey) pressedTwice(pairKey, addressKey, publisher uint64) {
	if p := s.pairs.Find(pairKey); p != nil && p.first {
		s.twice++
	}
	if a := s.seats.Find(addressKey); a != nil {
		a.twice++
	}
	if x := s.scopes.Find(publisher); x != nil {
		x.twice++
	}
}

// pressed is how many clicks of an address were pressed twice, and how many would be of
// people. Where it has none and too few clicks to tell, it is so of its publisher's: who
// comes from several addresses at once shows there first.
func (s *survey) pressed(a *addressHour, publisher uint64) (seen, usual float64) {
	share := s.twice / max(1, s.firsts)
	seen, usual = float64(a.twice), float64(float64(a.clicks)*share)
	if x := s.scopes.Find(publisher); seen == 0 && usual <= noneIn20 && x != nil {
		return float64(x.twice), float64((float64(x.now) + float64(x.before)) * share)
	}
	return seen, usual
}

func (s *survey) address(key, pairKey uint64, before uint32, c *click.Click, keys *[kinds + 1]uint64) {
	a, fresh, lock := s.seats.Take(key)
	defer lock.Unlock()
	a.clicks++
	a.same += uint64(before)
	a.gaps.Observe(c.EventTime)
	a.agents.Add(entity.Cell(agentHash(c)))
	for kind := range a.focus {
		a.focus[kind].add(keys[kind])
	}
	if !fresh {
		return
	}
	// Each address counts once, so that no address makes itself the population.
	s.firsts++
	if p := s.pairs.Find(pairKey); p != nil {
		p.first = true
	}
	s.agents.Add(entity.Cell(agentHash(c)))
	s.targets.Add(entity.Cell(targetHash(c)))
	for kind := range kinds {
		if keys[kind] != 0 {
			x, _, held := s.scopes.Take(keys[kind])
			x.firsts++
			held.Unlock()
		}
	}
}

// scope notes a click of its publisher, campaign and source, and of its fingerprint
// there.
func (s *survey) scope(addressKey uint64, single, again bool, c *click.Click, v *click.Vector, keys *[kinds + 1]uint64) {
	at := c.EventTime / hourMicros
	odd := int(v[SlotHeaders])&headersOdd != 0
	if age := v[SlotTokenAge]; age > 0 {
		s.aged++
		if float64(age) < s.rules.of(c.CampaignID).FastSeconds {
			s.fast++
		}
	}
	finger := fingerprintOf(c, v)
	for kind, key := range keys {
		if key == 0 {
			continue
		}
		same := s.group(key, finger, addressKey, kind, at, odd, single, again)
		x, _, lock := s.scopes.Take(key)
		x.kind = uint8(kind)
		if x.add(at) {
			x.manner, x.same = manner{}, 0
		}
		x.same += uint64(same)
		x.note(odd, single, again)
		x.soon(float64(v[SlotTokenAge]), s.policy.FastSeconds)
		lock.Unlock()
	}
}

// group notes a click of a fingerprint in a scope and returns how many of the hour came
// before it.
func (s *survey) group(scope, finger, addressKey uint64, kind int, at int64, odd, single, again bool) uint32 {
	g, _, lock := s.groups.Take(groupKey(scope, finger))
	defer lock.Unlock()
	g.kind, g.scope, g.finger = uint8(kind), scope, finger
	if g.add(at) {
		g.manner, g.addresses = manner{}, entity.Distinct{}
	}
	g.addresses.Add(entity.Mix(addressKey))
	g.note(odd, single, again)
	return g.now - 1
}

// settle compares the scopes when all clicks are in.
func (s *survey) settle() {
	s.settled, s.rates = true, nil
	s.day.settle()
	s.pairs.Each(func(_ uint64, p *pairHour) {
		if m := &p.focus[ofPublisher]; returns(float64(p.clicks), p.gaps.Typical()) && float64(m.lead) >= mostly*float64(p.clicks) && s.single(p) {
			if most := s.policy.EntityClicks; most > 0 && float64(p.clicks) > most {
				return // found by that, and must not make ordinary readers look like him
			}
			if x := s.scopes.Find(m.value); x != nil {
				x.loyal[p.pace()] += p.clicks
			}
		}
	})
	for kind := range s.peers {
		p := &s.peers[kind]
		p.ranked = s.rank(kind, rankedMost, func(x *scope) float64 { now, _ := x.in(s.hour); return now })
		s.compare(p)
	}
	s.ally()
	var again []float64
	s.groups.Each(func(_ uint64, g *group) {
		if now, _ := g.in(s.hour); g.kind == ofSource && now > 0 && float64(g.told) >= max(2, s.policy.GroupClicks) {
			again = append(again, float64(g.again)/float64(g.told))
		}
	})
	if len(again) >= leastPeers {
		s.again.median, s.again.mad, _ = zscore.MedianMAD(again)
		s.again.known = true
	}
	s.pool()
}

// rank lists the scopes of a kind that have enough clicks, by a function that counts
// them, the busiest first.
func (s *survey) rank(kind, most int, clicks func(*scope) float64) (busy []ranked) {
	s.scopes.Each(func(key uint64, x *scope) {
		if n := clicks(x); int(x.kind) == kind && n >= max(2, s.policy.GroupClicks) {
			busy = append(busy, ranked{key, n})
		}
	})
	slices.SortFunc(busy, func(a, b ranked) int { return cmp.Or(cmp.Compare(b.clicks, a.clicks), cmp.Compare(a.key, b.key)) })
	return busy[:min(len(busy), most)]
}

// ally compares the visitors of the source's busiest publishers in both hours, where it
// has enough.
func (s *survey) ally() {
	s.allies = newCoalition(s.rank(ofPublisher, alliesMost, func(x *scope) float64 {
		now, before := x.in(s.hour)
		return now + before
	}))
	s.pairs.Each(func(_ uint64, p *pairHour) {
		if !p.sites.many && s.single(p) {
			s.allies.note(&p.sites)
		}
	})
	s.allies.settle()
}

// single reports whether a pair is one visitor, as far as can be told: behind addresses
// of many people an agent is many people too.
func (s *survey) single(p *pairHour) bool {
	if p.shared {
		return false
	}
	a := s.seats.Find(p.seat)
	return a != nil && a.agents.Distinct() < rotated
}

// compare finds what is usual among the busiest scopes.
func (s *survey) compare(p *peers) {
	var one []float64
	var loyal [2][]float64
	var quick [quicks][]float64
	for _, r := range p.ranked {
		x := s.scopes.Find(r.key)
		one = append(one, x.one())
		for pace := range loyal {
			loyal[pace] = append(loyal[pace], x.loyalty(pace))
		}
		for i := range quick {
			quick[i] = append(quick[i], elsewhere(float64(x.quick[i]), float64(x.aged)))
		}
	}
	p.one.median, p.one.mad, _ = zscore.MedianMAD(one)
	for pace := range loyal {
		p.loyal[pace].median, p.loyal[pace].mad, _ = zscore.MedianMAD(loyal[pace])
	}
	for i := range quick {
		p.quick[i] = upperQuartile(quick[i])
	}
}

// upperQuartile of values, which it sorts; 0 of none.
func upperQuartile(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[3*len(values)/4]
}

// one is the chance that two clicks of the hour have one fingerprint (Simpson, 1949).
func (x *scope) one() float64 {
	n := float64(x.now)
	return float64(2*float64(x.same)) / max(1, float64(n*(n-1)))
}

// loyalty is the share of the clicks of both hours by visitors who come again and again
// and to no other publisher.
func (x *scope) loyalty(pace int) float64 {
	return float64(x.loyal[pace]) / max(1, float64(x.now)+float64(x.before))
}

// against is the robust z-score, never below 0, of a scope's value among its peers'; 0
// where they are too few. The spread is at least the floor.
func (p *peers) against(own float64, among usual, floor float64) float64 {
	if len(p.ranked) < leastPeers {
		return 0
	}
	return max(0, zscore.Robust(own, among.median, among.mad, floor))
}

// fill writes what the hour says of a click into its vector.
func (s *survey) fill(v *click.Vector, c *click.Click) {
	if !s.settled {
		s.settle()
	}
	if !s.looked || c.EventTime/hourMicros != s.hour {
		return // of the hour before: it only warms the rates
	}
	facts := factsKnown
	keys := scopeKeys(c)
	addressKey, pairKey := keysOf(judgeSeed, c)
	if s.firsts >= leastPopulation {
		facts |= factsPopulation
	}
	p := s.pairs.Find(pairKey)
	if p != nil {
		s.fillPair(v, p, &keys)
		if p.replays.value == opportunityOf(c) {
			v[SlotHourReplays] = float32(p.replays.lead)
		}
	}
	if a := s.seats.Find(addressKey); a != nil {
		s.fillAddress(v, a, &keys)
	}
	facts |= s.fillGroup(v, fingerprintOf(c, v), &keys)
	s.fillPublisher(v, keys[ofPublisher], p)
	facts |= s.day.fill(v, pairKey, &keys)
	if s.aged > 0 {
		v[SlotFastShare] = float32(s.fast / s.aged)
	}
	facts |= s.fillDisplay(v, c, keys[ofPublisher], p)
	v[SlotFacts] = float32(facts)
}

func (s *survey) fillPair(v *click.Vector, p *pairHour, keys *[kinds + 1]uint64) {
	n := float64(p.clicks)
	v[SlotHourPair], v[SlotHourFlood] = float32(n), float32(p.flood)
	fillGaps(v[SlotHourGaps:], &p.gaps)
	v[SlotHourFocus] = float32(s.focus(&p.focus, keys, n))
	if s.firsts >= leastPopulation {
		e := s.expect(p.clicks)
		v[SlotHourSweep] = float32(max(0, excess(float64(p.targets.Occupied()), e.targets, e.targetsDeviation)))
	}
}

func (s *survey) fillAddress(v *click.Vector, a *addressHour, keys *[kinds + 1]uint64) {
	n := float64(a.clicks)
	agents := a.agents.Distinct()
	v[SlotHourAddress], v[SlotHourAgents] = float32(n), float32(agents)
	v[SlotHourAgentsEven] = float32(float64(n*(n-1)) / max(1, float64(2*float64(float64(a.same)*agents))))
	fillGaps(v[SlotHourAddrGaps:], &a.gaps)
	seen, usual := s.pressed(a, keys[ofPublisher])
	v[SlotHourTwice], v[SlotTwice] = float32(seen), float32(usual)
	v[SlotHourAddrFocus] = float32(s.focus(&a.focus, keys, n))
	if s.firsts >= leastPopulation {
		e := s.expect(a.clicks)
		v[SlotHourAgentsZ] = float32(excess(float64(a.agents.Occupied()), e.agents, e.agentsDeviation))
	}
}

func fillGaps(v []float32, g *entity.Gaps) {
	v[0], v[1], v[2] = float32(g.Count()), float32(g.Octaves()), float32(g.Typical())
}

// excess is a number of cells against what was expected, in deviations of at least one.
func excess(seen, mean, deviation float64) float64 { return float64(seen-mean) / max(1, deviation) }

// expect is cached by the number of clicks: many entities have the same.
func (s *survey) expect(clicks uint32) expected {
	e, known := s.expected[clicks]
	if !known {
		e.agents, e.agentsDeviation = s.agents.Expect(float64(clicks))
		e.targets, e.targetsDeviation = s.targets.Expect(float64(clicks))
		s.expected[clicks] = e
	}
	return e
}

// focus is how unlike chance it is that n clicks meet one publisher, or one campaign,
// in 8 of 10: the z-score of a binomial count whose probability is the population's. It
// is 0 of a click elsewhere: who shares address and agent with a machine has another aim.
func (s *survey) focus(of *[kinds]majority, keys *[kinds + 1]uint64, n float64) (z float64) {
	if s.firsts < leastPopulation {
		return 0
	}
	for kind := range of {
		m := &of[kind]
		if m.value == 0 || m.value != keys[kind] || float64(m.lead) < mostly*n {
			continue
		}
		p := 1.0
		if x := s.scopes.Find(m.value); x != nil {
			p = float64(float64(x.firsts)+1) / float64(s.firsts+2) // Laplace
		}
		z = max(z, float64(float64(m.lead)-float64(n*p))/math.Sqrt(max(0.25, float64(n*p*(1-p)))))
	}
	return z
}

// fillGroup writes the slots of the click's fingerprint on its publisher or on its
// campaign, whichever stands out more, and returns facts about them.
func (s *survey) fillGroup(v *click.Vector, finger uint64, keys *[kinds + 1]uint64) (facts int) {
	total := s.scopes.Find(keys[ofSource])
	all := s.groups.Find(groupKey(keys[ofSource], finger))
	if total == nil || all == nil {
		return 0
	}
	if facts = s.fillPool(v, finger, keys); facts != 0 {
		return facts
	}
	best := -1.0
	for kind := range kinds {
		x, g := s.scopes.Find(keys[kind]), s.groups.Find(groupKey(keys[kind], finger))
		if keys[kind] == 0 || x == nil || g == nil {
			continue
		}
		if z := s.groupZ(kind, g, x, keys[kind], finger, total, all); z > best {
			best = z
			facts = s.writeGroup(v, kind, g, x, total, s.elsewhere(g, x, total, all))
		}
	}
	if again := s.sourceZ(all); best < s.policy.ZGroup/3 && again > 0 || best < s.policy.ZGroup/2 && again >= s.policy.ZGroup {
		facts = s.writeGroup(v, ofSource, all, total, total, s.elsewhere(all, total, total, all))
	}
	return facts
}

// sourceZ is how much more often the visitors of a fingerprint come again, wherever,
// than those of the source's other fingerprints.
func (s *survey) sourceZ(all *group) float64 {
	if all.known {
		return all.z
	}
	all.known, all.seats = true, all.addresses.Count()
	if n, _ := all.in(s.hour); s.again.known && n > 0 && float64(all.told) >= s.policy.GroupClicks {
		all.z = max(0, zscore.Robust(float64(all.again)/max(1, float64(all.told)), s.again.median, s.again.mad, 0.05))
	}
	return all.z
}

// elsewhere is a fingerprint's share of the source's clicks outside a scope.
func (s *survey) elsewhere(g *group, x, total *scope, all *group) float64 {
	n, _ := g.in(s.hour)
	in, _ := x.in(s.hour)
	everything, _ := total.in(s.hour)
	everywhere, _ := all.in(s.hour)
	return elsewhere(everywhere-n, everything-in)
}

// writeGroup writes one group's slots.
func (s *survey) writeGroup(v *click.Vector, kind int, g *group, x, total *scope, outside float64) (facts int) {
	n, before := g.in(s.hour)
	in, inBefore := x.in(s.hour)
	v[SlotGroup], v[SlotGroupAddresses] = float32(n), float32(g.seats)
	v[SlotGroupShare] = float32(n / max(1, in))
	v[SlotGroupElsewhere] = float32(outside)
	v[SlotGroupBefore] = float32(before / max(1, inBefore))
	v[SlotGroupZ] = float32(g.z)
	v[SlotGroupOdd] = float32(float64(float64(g.odd)/max(1, n)) - float64((float64(x.odd)-float64(g.odd))/max(1, in-n)))
	v[SlotScope], v[SlotScopeBefore] = float32(in), float32(inBefore)
	usual := elsewhere(float64(total.again)-float64(g.again), float64(total.told)-float64(g.told))
	v[SlotGroupAgain], v[SlotAgain] = float32(g.returning(n, usual)), float32(usual)
	v[SlotScopeOne], v[SlotScopeOneZ] = float32(x.one()), 0
	switch kind {
	case ofSource:
		return factsSource
	case ofCampaign:
		facts |= factsCampaign
	}
	if len(s.peers[kind].ranked) >= leastPeers {
		facts |= factsPeers
	}
	v[SlotScopeOneZ] = float32(s.peers[kind].against(x.one(), s.peers[kind].one, 0.05))
	return facts
}

// elsewhere is a share with half a click added, so that none seen is not never.
func elsewhere(clicks, of float64) float64 { return float64(clicks+0.5) / float64(of+1) }

// groupZ is the share of a fingerprint in a scope against its shares in the other scopes
// of the kind. Where there are too few it is held against the rest of the source, and
// where there is no rest against nothing.
func (s *survey) groupZ(kind int, g *group, x *scope, key, finger uint64, total *scope, all *group) float64 {
	if g.known {
		return g.z
	}
	g.known, g.seats = true, g.addresses.Count()
	n, _ := g.in(s.hour)
	in, _ := x.in(s.hour)
	everything, _ := total.in(s.hour)
	everywhere, _ := all.in(s.hour)
	if s.policy.GroupClicks == 0 || n < s.policy.GroupClicks || everything-in < s.policy.GroupClicks {
		return 0
	}
	median, mad, least := elsewhere(everywhere-n, everything-in), 0.0, 0.05
	if len(s.peers[kind].ranked) >= leastPeers {
		least = 0.01
		median, mad = s.shares(kind, key, finger)
	}
	usual := max(median, 1/in)
	floor := max(least, float64(0.25*median), math.Sqrt(float64(usual*(1-usual))/in))
	g.z = max(0, zscore.Robust(n/in, median, mad, floor))
	return g.z
}

// shares are median and MAD of a fingerprint's share in the other ranked scopes.
func (s *survey) shares(kind int, key, finger uint64) (median, mad float64) {
	values := make([]float64, 0, rankedMost)
	for i := range s.peers[kind].ranked {
		r := &s.peers[kind].ranked[i]
		if r.key == key {
			continue
		}
		n := 0.0
		if g := s.groups.Find(groupKey(r.key, finger)); g != nil {
			n, _ = g.in(s.hour)
		}
		values = append(values, n/r.clicks)
	}
	median, mad, _ = zscore.MedianMAD(values)
	return median, mad
}

// fillQuick writes how many of the publisher's clicks came as soon after their ads were
// made out as this one, and how many would of as many people as its slower clicks show:
// by the source's others, or by the upper quartile of its peers, whichever is more.
func (s *survey) fillQuick(v *click.Vector, x *scope) {
	age := float64(v[SlotTokenAge])
	total := s.scopes.Find(wholeSource())
	peers := &s.peers[ofPublisher]
	at := quickOf(age, s.policy.FastSeconds)
	if total == nil || len(peers.ranked) < leastPeers || !(age > 0) || at < 0 {
		return
	}
	slow, rest, usual := float64(x.aged)+1, 1.0, 0.0
	for i, n := range x.quick {
		share := max(peers.quick[i], elsewhere(float64(total.quick[i])-float64(n), float64(total.aged)-float64(x.aged)))
		slow, rest = slow-float64(n), rest-share
		if i == at {
			usual = share
		}
	}
	v[SlotQuick], v[SlotQuickExpected] = float32(x.quick[at]), float32(float64(slow*usual)/max(0.01, rest))
}

// fillPublisher writes how many of the publisher's clicks are those of the same few,
// against its peers', and how many of the pair's are the publisher's.
func (s *survey) fillPublisher(v *click.Vector, key uint64, p *pairHour) {
	x := s.scopes.Find(key)
	if key == 0 || x == nil {
		return
	}
	s.fillQuick(v, x)
	if p == nil {
		return
	}
	pace := p.pace()
	share := x.loyalty(pace)
	v[SlotLoyal] = float32(share)
	if now, _ := x.in(s.hour); now >= max(2, s.policy.GroupClicks) {
		peers := &s.peers[ofPublisher]
		if usual := peers.loyal[pace]; share >= lift*usual.median { // else more than one in ten would be anybody's
			v[SlotLoyalZ] = float32(peers.against(share, usual, 0.04))
		}
	}
	if s.single(p) {
		common, expected, mine := s.allies.strongest(&p.sites, key)
		v[SlotAllyVisitors], v[SlotAllyExpected], v[SlotAllied] = float32(common), float32(expected), float32(mine)
	}
	if p.focus[ofPublisher].value == key {
		v[SlotHourPairHere] = float32(float64(p.focus[ofPublisher].lead) / float64(p.clicks))
	}
}
