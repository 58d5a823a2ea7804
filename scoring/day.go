package scoring

import (
	"cmp"
	"math"
	"slices"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
)

// dayHours is how far back a pass looks for who came before: the hour that it judges and
// those before it.
const dayHours = 24

// pauseMinutes is pause in minutes, in which a visitor keeps when he came.
const pauseMinutes = pause / 60

// The returning visitors of a day are counted in tiers: those of two visits and more, and
// those of three and more. Where many people go, chance brings so many back twice that bots
// do not stand out; but not three times.
const (
	tiers      = 2
	firstTier  = 2
	mostVisits = 9 // from which visits are not told apart
)

// faithfully is the share of the visits that makes a visitor a publisher's or campaign's
// own. People are true to what they read and not to what is advertised there, so of a
// publisher's more is asked.
var faithfully = [kinds]float64{ofPublisher: 0.9, ofCampaign: 0.75}

// crowdComesBack is the share of the visitors up to which a tier says nothing: of a crowd
// that follows a link some look again, and a few of these once more.
var crowdComesBack = [tiers]float64{0.125, 0.01}

// visitor is an address and an agent together in an hour, as far as they are one visitor.
// A visit begins with a click after a pause.
type visitor struct {
	key         uint64
	focus       [kinds]uint32 // publisher and campaign of 8 in 10 of the clicks; 0 is none
	visits      uint8
	first, last uint8 // minute of the first click and of the last
}

// register is the visitors of an hour while its clicks come in. Its memory is bounded by
// the tables'.
type register struct {
	guests *entity.Table[guest]
	seats  *entity.Table[entity.Marks] // agents of an address
}

// guest is a visitor while his hour's clicks come in.
type guest struct {
	seat   uint64
	last   int64
	clicks uint32
	visits uint8
	first  uint8
	shared bool
	focus  [kinds]majority
}

func newRegister(c entity.Config) (r register, err error) {
	if r.guests, err = entity.New[guest](c); err == nil {
		r.seats, err = entity.New[entity.Marks](c)
	}
	return r, err
}

// note notes a click. They come in order of event time.
func (r *register) note(c *click.Click, seat, pair uint64, shared bool, keys *[kinds + 1]uint64) {
	marks, _, lock := r.seats.Take(seat)
	marks.Add(entity.Cell(agentHash(c)))
	lock.Unlock()
	g, fresh, lock := r.guests.Take(pair)
	defer lock.Unlock()
	if fresh {
		g.seat, g.shared, g.first = seat, shared, minuteOf(c.EventTime)
	}
	if g.visits < math.MaxUint8 && (fresh || c.EventTime-g.last >= pause*1_000_000) {
		g.visits++
	}
	g.last = c.EventTime
	g.clicks++
	for kind := range g.focus {
		g.focus[kind].add(keys[kind])
	}
}

func minuteOf(at int64) uint8 { return uint8(at % hourMicros / 60_000_000) }

// visitors are those of the hour, by key, without those whom nobody can tell from others:
// behind addresses of many people an agent is many people too.
func (r *register) visitors() []visitor {
	var all []visitor
	r.guests.Each(func(key uint64, g *guest) {
		if a := r.seats.Find(g.seat); g.shared || a == nil || a.Distinct() >= rotated {
			return
		}
		v := visitor{key: key, visits: g.visits, first: g.first, last: minuteOf(g.last)}
		for kind := range g.focus {
			if m := &g.focus[kind]; m.value != 0 && float64(m.lead) >= mostly*float64(g.clicks) {
				v.focus[kind] = siteOf(m.value)
			}
		}
		all = append(all, v)
	})
	slices.SortFunc(all, func(a, b visitor) int { return cmp.Compare(a.key, b.key) })
	return slices.Clip(all)
}

// day is who came in the hour that is judged and the 23 before it, and how many of a
// publisher's or campaign's visitors come back to it and go nowhere else. People who click
// an ad, go away, come back and click again, always there, are few, and bots that mean to
// look like many readers (Clickbot.A) are nothing else.
type day struct {
	tables entity.Config
	policy *Policy
	hour   int64               // that is judged, in hours since the epoch
	hours  [dayHours][]visitor // the oldest first
	known  [dayHours]bool
	open   register
	at     int64 // hour of open

	visitors float64
	visits   [tiers][mostVisits + 1]float64 // of each tier's visitors, wherever they go, how many came so often
	scopes   [kinds]map[uint32]*dayScope
	usual    [kinds][tiers]float64 // share of a scope's visitors who return so
	compared [kinds]bool           // there are enough to know what is usual
	returned map[uint64]returned   // who came back, among those of the hour that is judged
}

// dayScope is a publisher or campaign: how many visitors came there first, and how many
// return to it and go nowhere else.
type dayScope struct {
	visitors float64
	loyal    [tiers]float64
}

// returned is a visitor's day.
type returned struct {
	visits int
	focus  [kinds]majority // of the hours', each by its visits
}

// of reports whether a visitor came often enough for a tier.
func (r *returned) of(tier int) bool { return r.visits >= firstTier+tier }

// newDay begins one that ends with an hour, with tables as c says.
func newDay(p *Policy, c entity.Config, hour int64) (d *day, err error) {
	d = &day{tables: c, policy: p, hour: hour, returned: map[uint64]returned{}}
	for kind := range d.scopes {
		d.scopes[kind] = map[uint32]*dayScope{}
	}
	d.open, err = newRegister(c)
	return d, err
}

// place is where an hour stands among those of the day, or -1.
func (d *day) place(hour int64) int {
	if i := hour - d.hour + dayHours - 1; i >= 0 && i < dayHours {
		return int(i)
	}
	return -1
}

// note notes a click of the day; those of hours that are remembered change nothing.
func (d *day) note(c *click.Click, seat, pair uint64, shared bool, keys *[kinds + 1]uint64) {
	at := c.EventTime / hourMicros
	i := d.place(at)
	if i < 0 || d.known[i] {
		return
	}
	if at != d.at {
		d.turn()
		d.at = at
	}
	d.open.note(c, seat, pair, shared, keys)
}

// turn ends the hour that is open and begins another.
func (d *day) turn() {
	if i := d.place(d.at); i >= 0 && !d.known[i] {
		d.hours[i] = d.open.visitors()
		d.open, _ = newRegister(d.tables) // tables that were good for the first
	}
}

// settle counts when all clicks are in.
func (d *day) settle() {
	d.turn()
	var next [dayHours]int
	for {
		key, some := uint64(math.MaxUint64), false
		for i, hour := range d.hours {
			if next[i] < len(hour) && hour[next[i]].key <= key {
				key, some = hour[next[i]].key, true
			}
		}
		if !some {
			break
		}
		d.count(key, &next)
	}
	for kind := range d.scopes {
		d.compare(kind)
	}
	d.open = register{}
}

// count counts the visitor of a key, who is the next of his hours.
func (d *day) count(key uint64, next *[dayHours]int) {
	var r returned
	var first [kinds]uint32
	last, here := 0, false
	for i, hour := range d.hours {
		if here = next[i] < len(hour) && hour[next[i]].key == key; !here {
			continue
		}
		v := &hour[next[i]]
		next[i]++
		visits := int(v.visits)
		if r.visits == 0 {
			first = v.focus
		} else if i*60+int(v.first)-last < pauseMinutes {
			visits-- // it goes on from the hour before
		}
		last = i*60 + int(v.last)
		r.visits += visits
		for kind := range r.focus {
			r.focus[kind].weigh(uint64(v.focus[kind]), uint32(visits))
		}
	}
	d.enter(&r, &first)
	if here && r.visits >= firstTier { // in the last of the hours, which is the one that is judged
		d.returned[key] = r
	}
}

// enter counts a visitor where he came first and where he comes back to.
func (d *day) enter(r *returned, first *[kinds]uint32) {
	d.visitors++
	for kind, site := range first {
		if site != 0 {
			d.scope(kind, site).visitors++
		}
	}
	for tier := range tiers {
		if !r.of(tier) {
			continue
		}
		d.visits[tier][min(r.visits, mostVisits)]++
		for kind := range r.focus {
			if f := &r.focus[kind]; f.value != 0 && f.share(r.visits) >= faithfully[kind] {
				d.scope(kind, uint32(f.value)).loyal[tier]++
			}
		}
	}
}

func (d *day) scope(kind int, site uint32) *dayScope {
	x := d.scopes[kind][site]
	if x == nil {
		x = new(dayScope)
		d.scopes[kind][site] = x
	}
	return x
}

// compare finds what is usual among the busiest scopes of a kind: the upper quartile, so
// that the most faithful quarter of them is no finding.
func (d *day) compare(kind int) {
	var busy []*dayScope
	for _, x := range d.scopes[kind] {
		if x.visitors >= max(2, d.policy.GroupClicks) {
			busy = append(busy, x)
		}
	}
	slices.SortFunc(busy, func(a, b *dayScope) int {
		return cmp.Or(cmp.Compare(b.visitors, a.visitors), slices.Compare(a.loyal[:], b.loyal[:]))
	})
	busy = busy[:min(len(busy), rankedMost)]
	if d.compared[kind] = len(busy) >= leastPeers; !d.compared[kind] {
		return
	}
	for tier := range tiers {
		shares := make([]float64, len(busy))
		for i, x := range busy {
			shares[i] = elsewhere(x.loyal[tier], x.visitors)
		}
		d.usual[kind][tier] = upperQuartile(shares)
	}
}

// expect is how many visitors of a scope would return so: the more of what is usual among
// its peers, and of what chance makes when everybody goes where the day's visitors go.
func (d *day) expect(kind, tier int, x *dayScope) float64 {
	chance, p := 0.0, x.visitors/max(1, d.visitors)
	for n, visitors := range d.visits[tier] {
		chance += float64(visitors * atLeast(n, int(math.Ceil(faithfully[kind]*float64(n))), p))
	}
	return max(chance, float64(d.usual[kind][tier]*x.visitors))
}

// atLeast is the chance that of n visits m and more meet what each meets with chance p
// (binomial).
func atLeast(n, m int, p float64) (sum float64) {
	ways := 1.0
	for k := n; k >= m; k-- {
		sum += float64(ways * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k)))
		ways *= float64(k) / float64(n-k+1)
	}
	return sum
}

// fill writes what the day says of a click's visitor and of the publisher or campaign
// that he returns to, whichever stands out more, and returns a fact about them.
func (d *day) fill(v *click.Vector, pair uint64, keys *[kinds + 1]uint64) (facts int) {
	r, known := d.returned[pair]
	if !known {
		return 0
	}
	v[SlotDayVisits] = float32(r.visits)
	best := math.Inf(-1)
	for kind := range kinds {
		f := &r.focus[kind]
		if keys[kind] == 0 || f.value != uint64(siteOf(keys[kind])) || !d.compared[kind] {
			continue
		}
		x := d.scope(kind, uint32(f.value))
		for tier := range tiers {
			if x.visitors == 0 || !r.of(tier) || x.loyal[tier] < float64(crowdComesBack[tier]*x.visitors) {
				continue // where nobody came first, nothing is usual
			}
			expected := d.expect(kind, tier, x)
			z := beyondChance(x.loyal[tier], expected)
			if ratio := x.loyal[tier] / expected; ratio < lift {
				z = ratio - lift // behind all that stand out
			}
			if z <= best {
				continue
			}
			best, facts = z, kind*factsDayCampaign
			v[SlotDayHere] = float32(f.share(r.visits))
			v[SlotDayLoyal], v[SlotDayExpected] = float32(x.loyal[tier]), float32(expected)
		}
	}
	return facts
}
