package fraudrange

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// crowd is many people at once who are no attack: a link goes round, or a stadium
// full of phones is behind one address.
type crowd struct {
	start, ramp, fall time.Duration // fall is the time to 1/e; 0: ends after ramp
	peak              float64       // visits per second
	campaigns         []*campaign
	publisher         *publisher
	stadium           netip.Addr // invalid: a flash crowd
	people            uint64
}

// drawCrowds draws a flash crowd and a stadium for every day begun.
func (w *World) drawCrowds(r *rand.Rand) {
	share := w.draw(r, PeopleRanges, "flash_share")
	days := (w.Hours + 23) / 24
	for range days {
		w.crowds = append(w.crowds, w.flash(r, share*w.expected/float64(days)), w.stadium(r))
	}
}

// flash is a crowd of so many clicks.
func (w *World) flash(r *rand.Rand, clicks float64) crowd {
	c := crowd{
		ramp: minutes(w.draw(r, PeopleRanges, "flash_ramp")), fall: minutes(w.draw(r, PeopleRanges, "flash_fall")),
		publisher: w.publishers.items[r.IntN(40)], campaigns: []*campaign{w.campaigns.pick(r), w.campaigns.pick(r)},
		people: uint64(4 * clicks),
	}
	c.ramp, c.fall = min(c.ramp, w.end()/8), min(c.fall, w.end()/8)
	c.start = between(r, w.end()/20, w.end()-3*c.fall-c.ramp)
	c.peak = clicks * (1 - goesOn) / (c.ramp.Seconds()/2 + c.fall.Seconds())
	c.people = max(50, c.people)
	return c
}

// stadium is a crowd in which every fifth person clicks.
func (w *World) stadium(r *rand.Rand) crowd {
	people := w.draw(r, PeopleRanges, "stadium_people")
	lasts := min(minutes(w.draw(r, PeopleRanges, "stadium_minutes")), w.end()/4)
	// A world of low rate sees a smaller part of everybody's clicks.
	clicks := min(people/5, w.expected/50)
	return crowd{
		start: between(r, w.end()/20, w.end()-lasts), ramp: lasts, peak: clicks * (1 - goesOn) / lasts.Seconds(),
		publisher: w.publishers.items[r.IntN(20)], campaigns: []*campaign{w.campaigns.pick(r), w.campaigns.pick(r), w.campaigns.pick(r)},
		stadium: v4(blockEvents, r.Uint32N(1<<24)), people: uint64(people),
	}
}

func minutes(m float64) time.Duration { return time.Duration(m * float64(time.Minute)) }

// at is the crowd's visits per second at t, as a part of its peak.
func (c *crowd) at(t time.Duration) float64 {
	since := t - c.start
	switch {
	case since < 0:
		return 0
	case c.fall == 0:
		return 1
	case since < c.ramp:
		return float64(since) / float64(c.ramp)
	}
	return math.Exp(-float64(since-c.ramp) / float64(c.fall))
}

// over is when nobody comes any more.
func (c *crowd) over() time.Duration { return c.start + c.ramp + 6*c.fall }

func (w *World) crowd(i int, yield func(Click) bool) {
	c, stream := &w.crowds[i], streamCrowds+uint64(i)
	arrivals, r, number := w.rand(stream, 1<<numberBits-1), w.rand(stream, 1<<numberBits-2), newSerial(stream)
	next := func(t time.Duration) time.Duration {
		for t = max(t, c.start); t < c.over(); {
			if t = arrival(arrivals, t, c.peak); arrivals.Float64() < c.at(t) {
				return t
			}
		}
		return math.MaxInt64
	}
	w.visits(next, r, &number, func(v *visit, t time.Duration) {
		v.who = w.inCrowd(r, c, stream, t)
		v.publisher, v.campaign = c.publisher, c.campaigns[r.IntN(len(c.campaigns))]
	}, yield)
}

// inCrowd draws who comes: phones with one address in a stadium, else people from
// everywhere.
func (w *World) inCrowd(r *rand.Rand, c *crowd, stream uint64, t time.Duration) visitor {
	n := r.Uint64N(c.people)
	if !c.stadium.IsValid() {
		k := []kind{mobile, mobile, mobile, home, home, office}[r.IntN(6)]
		v := w.visitor(r, k, n%w.kinds[k].people, t)
		v.segment = Flash
		return v
	}
	own := w.rand(stream, n)
	return visitor{
		actor: stream<<numberBits | n, ip: c.stadium, segment: NAT,
		agent: w.agents.ofPhone(own), language: languages.pick(own), doubles: own.Float64() < w.doubleClickers,
	}
}

// robots follow links at all hours and say what they are. Those of the search engines
// come from their published ranges.
func (w *World) robots(yield func(Click) bool) {
	rate := w.robotShare * w.expected / w.end().Seconds()
	r, number := w.rand(streamRobots, 1<<numberBits-1), newSerial(streamRobots)
	for t := arrival(r, 0, rate); t < w.end(); t = arrival(r, t, rate) {
		n := r.Uint64N(robotMachines)
		own := w.rand(streamRobots, n)
		c := Click{
			At: t, Event: t, Shown: t - between(r, time.Second, 6*time.Hour), Actor: streamRobots<<numberBits | n,
			Opportunity: number.next(), Label: Crawler, Head: r.Float64() < robotHeads,
		}
		switch own.IntN(5) {
		case 0, 1:
			c.Agent, c.IP = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", w.networks.within(own, "googlebot")
		case 2:
			c.Agent, c.IP = "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", w.networks.within(own, "bingbot")
		default:
			c.Agent, c.IP = w.agents.crawlers[own.IntN(len(w.agents.crawlers))], w.host(own, 0.5)
		}
		w.place(&c, w.publisherAt(r, t), w.campaigns.pick(r), r)
		if !yield(c) {
			return
		}
	}
}

const (
	robotMachines = 40
	robotHeads    = 0.05 // of robots' requests
)

// place puts a click on an ad.
func (w *World) place(c *Click, p *publisher, on *campaign, r *rand.Rand) {
	c.Referer, c.Publisher, c.Placement = p.referer, p.id, p.placements[r.IntN(len(p.placements))]
	c.Advertiser, c.Campaign, c.PriceMicros = on.advertiser, on.id, on.price
}
