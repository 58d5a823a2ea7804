package fraudrange

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// kind is a kind of network that people are in.
type kind uint8

const (
	home kind = iota
	mobile
	office
	campus
	relay
	vpn
	numKinds
)

// group is the people of one kind.
type group struct {
	share  float64 // of clicks
	people uint64
	shape  shape
	mean   float64 // of shape
}

// People browse in the evening, with a smaller peak at noon; BuzzFeed's hourly data
// and StatCounter show the same. Offices work from nine to five.
var shapes = [numKinds]shape{
	home:   {0.10, []bump{{20.5, 2.6, 0.9}, {12.5, 3, 0.35}, {9, 1.5, 0.2}}, 1.1},
	mobile: {0.12, []bump{{8, 1.2, 0.5}, {12.5, 1.5, 0.6}, {18.5, 3, 0.8}}, 0.95},
	office: {0.01, []bump{{10.5, 1.6, 0.9}, {14.5, 1.8, 0.9}}, 0.08},
	campus: {0.05, []bump{{11, 2, 0.8}, {15, 2.5, 0.8}, {21, 2, 0.5}}, 0.5},
	relay:  {0.10, []bump{{20.5, 3, 0.9}, {12, 4, 0.5}}, 1},
	vpn:    {0.15, []bump{{21, 3.5, 0.8}, {13, 4, 0.4}}, 1},
}

// Visits: most people click once; who goes on does so after a log-normal pause.
const (
	goesOn      = 0.3
	gapMedian   = 30 * time.Second
	gapSpread   = 1.0 // standard deviation of the pause's logarithm
	gapShortest = 3 * time.Second
	gapLongest  = 20 * time.Minute

	doubleFirst = 60 * time.Millisecond
	doubleLast  = 900 * time.Millisecond
	doubles     = 0.2 // of the clicks of somebody who double-clicks

	// A small part of people makes half of the clicks (comScore and Starcom, Natural
	// Born Clickers, 2008: 6 % and 50 %).
	heavyPeople = 0.06
	heavyClicks = 0.5

	clicksPerDay = 1.3 // of somebody who clicks that day
)

func (w *World) drawPeople(r *rand.Rand) {
	rest := 1.0
	for _, k := range [...]struct {
		kind kind
		name string
	}{{mobile, "mobile_share"}, {office, "office_share"}, {campus, "campus_share"}, {relay, "relay_share"}, {vpn, "vpn_share"}} {
		w.kinds[k.kind].share = w.draw(r, PeopleRanges, k.name)
		rest -= w.kinds[k.kind].share
	}
	w.kinds[home].share = rest
	people := w.Rate * 86400 / clicksPerDay
	for k := range w.kinds {
		g := &w.kinds[k]
		g.people = max(20, uint64(g.share*people))
		g.shape, g.mean = shapes[k], shapes[k].weekMean()
	}
	w.drawNetworks(r)
	for minute := range w.Hours * 60 {
		w.expected += w.intensity(time.Duration(minute)*time.Minute) * 60
	}
}

func (w *World) drawNetworks(r *rand.Rand) {
	perAddress := w.draw(r, PeopleRanges, "users_per_address")
	w.mobileV6 = w.draw(r, PeopleRanges, "mobile_ipv6")
	w.pool = max(1, int(float64(w.kinds[mobile].people)*(1-w.mobileV6)/perAddress))
	w.homeV6 = w.draw(r, PeopleRanges, "home_ipv6")
	w.doubleClickers = w.draw(r, PeopleRanges, "double_clickers")
	w.prefetches = w.draw(r, PeopleRanges, "prefetch_share")
	w.robotShare = w.draw(r, PeopleRanges, "crawler_share")
}

// intensity is the clicks of people per second at t.
func (w *World) intensity(t time.Duration) (sum float64) {
	hour := w.weekHour(t)
	for k := range w.kinds {
		sum += w.kinds[k].at(hour)
	}
	return sum * w.Rate
}

func (g *group) at(hour float64) float64 { return g.share * g.shape.at(hour) / g.mean }

// kindAt draws who comes at t.
func (w *World) kindAt(r *rand.Rand, t time.Duration) kind {
	hour, x := w.weekHour(t), r.Float64()*w.intensity(t)/w.Rate
	for k := range w.kinds {
		if x -= w.kinds[k].at(hour); x < 0 {
			return kind(k)
		}
	}
	return home // rounding left a rest
}

// visitor is somebody and where they are now.
type visitor struct {
	actor    uint64
	ip       netip.Addr
	agent    string
	language string
	segment  Segment
	doubles  bool
}

// somebody draws which of a kind comes.
func (w *World) somebody(r *rand.Rand, k kind) uint64 {
	n := w.kinds[k].people
	heavy := max(1, uint64(heavyPeople*float64(n)))
	if r.Float64() < heavyClicks {
		return r.Uint64N(heavy)
	}
	return heavy + r.Uint64N(n-heavy)
}

// visitor returns number i of a kind at t; r decides what changes between visits.
func (w *World) visitor(r *rand.Rand, k kind, i uint64, t time.Duration) visitor {
	member := uint64(k)<<40 | i
	own := w.rand(streamPeople, member)
	v := visitor{
		actor: streamPeople<<numberBits | member, segment: Ordinary,
		language: languages.pick(own), doubles: own.Float64() < w.doubleClickers,
	}
	switch k {
	case home:
		v.agent = w.atHome(own)
		v.ip = w.homeAddress(r, own, i/2)
	case mobile:
		v.agent = w.agents.ofPhone(own)
		v.ip, v.segment = w.mobileAddress(own, i, t)
	case office:
		v.agent, v.ip = w.atOffice(own, i/officeStaff)
		v.segment = Office
	case campus:
		v.agent, v.segment = w.atHome(own), NAT
		v.ip = v4(blockCampus, uint32(i%campuses)<<16|uint32(own.IntN(campusAddresses)))
	case relay:
		// People of one city leave by the same few addresses, another one each time.
		city := w.rand(streamCarriers, 1<<32|own.Uint64N(cities))
		p := w.networks["relay"][city.IntN(len(w.networks["relay"]))]
		v.agent, v.segment = w.agents.safari.pick(own), Relay
		v.ip = inside(r, p)
	case vpn:
		v.agent, v.segment = w.atHome(own), VPN
		exit := w.rand(streamCarriers, 2<<32|r.Uint64N(vpnExits))
		v.ip = w.networks.within(exit, "vpn")
	}
	return v
}

const (
	officeStaff     = 60 // who click ads at all
	officeManaged   = 0.7
	campuses        = 4
	campusAddresses = 8
	cities          = 60
	vpnExits        = 120
	onPhoneAtHome   = 0.5
)

func (w *World) atHome(own *rand.Rand) string {
	if own.Float64() < onPhoneAtHome {
		return w.agents.ofPhone(own)
	}
	return w.agents.desktop.pick(own)
}

// homeAddress is a household's. Where it has both, a device mostly takes IPv6 (RFC 8305).
func (w *World) homeAddress(r, device *rand.Rand, household uint64) netip.Addr {
	of := w.rand(streamHouseholds, household)
	provider := byte(of.IntN(providers))
	host, network := of.Uint32N(1<<24), of.Uint64()
	if of.Float64() < w.homeV6 && r.Float64() < 0.8 {
		return v6(provider, network, device.Uint64())
	}
	return v4(blockHomes+provider, host)
}

// mobileAddress is a phone's: its own over IPv6, else one of the carrier's, which
// changes from hour to hour.
func (w *World) mobileAddress(own *rand.Rand, i uint64, t time.Duration) (netip.Addr, Segment) {
	if own.Float64() < w.mobileV6 {
		return v6(providers, scatter(i)^uint64(t/time.Hour), own.Uint64()), Ordinary
	}
	now := w.rand(streamCarriers, scatter(i^uint64(t/time.Hour)<<44)>>20)
	return v4(blockMobile, uint32(now.IntN(w.pool))), NAT
}

// atOffice gives most of an office the same browser, kept up to date by one person.
func (w *World) atOffice(own *rand.Rand, number uint64) (string, netip.Addr) {
	of := w.rand(streamHouseholds, 1<<40|number)
	ip, managed := v4(blockOffices, of.Uint32N(1<<24)), w.agents.desktop.pick(of)
	if own.Float64() < officeManaged {
		return managed, ip
	}
	return w.atHome(own), ip
}

// people visit by the hour of the week: events at the highest rate are kept with the
// probability of the hour (thinning, Lewis and Shedler 1979).
func (w *World) people(yield func(Click) bool) {
	peak := 0.0
	for k := range w.kinds {
		g := &w.kinds[k]
		peak += w.Rate * g.share * g.shape.weekPeak() / g.mean
	}
	arrivals, r := w.rand(streamPeople, 1<<numberBits-1), w.rand(streamVisits, 0)
	next := func(t time.Duration) time.Duration {
		for {
			t = arrival(arrivals, t, peak*(1-goesOn))
			if t >= w.end() || arrivals.Float64()*peak < w.intensity(t) {
				return t
			}
		}
	}
	number := newSerial(streamPeople)
	w.visits(next, r, &number, func(v *visit, t time.Duration) {
		k := w.kindAt(r, t)
		v.who = w.visitor(r, k, w.somebody(r, k), t)
		v.publisher = w.publisherAt(r, t)
	}, yield)
}

// visit is somebody on a publisher's pages, and the next click there.
type visit struct {
	click     Click
	who       visitor
	publisher *publisher
	campaign  *campaign // nil: any
}

// visits runs visits that begin at the instants of next until the end; begin says who
// comes. All draw from r.
func (w *World) visits(next func(time.Duration) time.Duration, r *rand.Rand, number *serial, begin func(*visit, time.Duration), yield func(Click) bool) {
	var open openVisits
	for t := next(0); ; {
		for ; t < w.end() && (len(open) == 0 || t < open[0].click.At); t = next(t) {
			v := new(visit)
			begin(v, t)
			w.showAd(r, v, t, number)
			heap.Push(&open, v)
		}
		if len(open) == 0 || open[0].click.At >= w.end() || !yield(open[0].click) {
			return
		}
		if w.goOn(r, open[0], number) {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
}

// showAd makes the visit's next click one on another ad.
func (w *World) showAd(r *rand.Rand, v *visit, at time.Duration, number *serial) {
	c, pub := v.campaign, v.publisher
	if c == nil {
		c = w.campaigns.pick(r)
	}
	v.click = Click{
		At: at, Event: at, Shown: at - lookedAt(r), Actor: v.who.actor, IP: v.who.ip, Agent: v.who.agent, Language: v.who.language,
		Referer: pub.referer, Advertiser: c.advertiser, Campaign: c.id, PriceMicros: c.price,
		Publisher: pub.id, Placement: pub.placements[r.IntN(len(pub.placements))],
		Opportunity: number.next(), Label: Person, Segment: v.who.segment,
	}
	if r.Float64() < w.prefetches {
		v.click.Label, v.click.Prefetch, v.click.Segment = Prefetch, true, NoSegment
	}
}

// lookedAt is how long somebody sees an ad before the click: median 8 s.
func lookedAt(r *rand.Rand) time.Duration {
	return min(max(time.Duration(8*math.Exp(0.9*r.NormFloat64())*float64(time.Second)), 600*time.Millisecond), time.Hour)
}

// goOn makes the next click of a visit, false when it is over.
func (w *World) goOn(r *rand.Rand, v *visit, number *serial) bool {
	c := &v.click
	switch {
	case c.Label == Prefetch:
		c.Label, c.Prefetch, c.Segment = Person, false, v.who.segment
		c.At += between(r, 300*time.Millisecond, 3*time.Second)
		c.Event = c.At
		return true
	case c.Label == Person && v.who.doubles && r.Float64() < doubles:
		c.Label, c.Segment = DoubleClick, NoSegment
		c.At += between(r, doubleFirst, doubleLast)
		c.Event = c.At
		return true
	case r.Float64() >= goesOn:
		return false
	}
	gap := time.Duration(float64(gapMedian) * math.Exp(gapSpread*r.NormFloat64()))
	w.showAd(r, v, c.At+min(max(gap, gapShortest), gapLongest), number)
	return true
}

// openVisits is a heap of visits by their next click; opportunities decide between
// equal times, so that the order is always the same.
type openVisits []*visit

func (v openVisits) Len() int { return len(v) }
func (v openVisits) Less(i, j int) bool {
	a, b := &v[i].click, &v[j].click
	return a.At < b.At || a.At == b.At && a.Opportunity < b.Opportunity
}
func (v openVisits) Swap(i, j int) { v[i], v[j] = v[j], v[i] }
func (v *openVisits) Push(x any)   { *v = append(*v, x.(*visit)) }
func (v *openVisits) Pop() any {
	last := len(*v) - 1
	x := (*v)[last]
	(*v)[last] = nil
	*v = (*v)[:last]
	return x
}
