package synth

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// crawlers follow links at all hours. Their addresses are in nobody's published
// ranges.
func (w *world) crawlers(yield func(Click) bool) {
	rate := w.Crawlers * w.Peak * meanShape()
	if rate == 0 {
		return
	}
	const machines = 32
	w.steady(streamCrawlers, span{0, w.end(), rate}, func(r *rand.Rand) Click {
		n := r.Uint64N(machines)
		return Click{
			Person: streamCrawlers<<numberBits | n, IP: netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + n)}),
			Agent: pick(w.rand(streamCrawlers, n+1), robots), Label: Crawler, Family: "crawlers",
		}
	}, yield)
}

// Flood is an attack of few addresses with one agent each that click as fast as
// they are told, every click on an ad of its own.
type Flood struct {
	Start, Lasts time.Duration
	Addresses    int     // 1 to 254
	Rate         float64 // clicks per second, all addresses together
	Campaign     string  // empty: all of them
}

func (f Flood) validate() error {
	if f.Addresses < 1 || f.Addresses > 254 {
		return fmt.Errorf("Flood.Addresses %d is out of range; use 1 to 254", f.Addresses)
	}
	return span{f.Start, f.Lasts, f.Rate}.validate("Flood")
}

func (f Flood) clicks(w *world, stream uint64, yield func(Click) bool) {
	w.steady(stream, span{f.Start, f.Lasts, f.Rate}, func(r *rand.Rand) Click {
		n := r.Uint64N(uint64(f.Addresses))
		return Click{
			Person: stream<<numberBits | n, IP: netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + n)}),
			Agent: agent(w.rand(stream, n+1), desktops), Language: languages[0].ID,
			Campaign: f.Campaign, Label: Attack, Family: "flood",
		}
	}, yield)
}

// Crowd is no attack: many people with their own phones click within minutes from
// behind one address, as after a goal in a stadium. Scoring must let it pass.
type Crowd struct {
	Start, Lasts time.Duration
	People       int
	Rate         float64 // clicks per second, all people together
	Campaign     string  // empty: all of them
}

func (f Crowd) validate() error {
	if f.People < 1 {
		return fmt.Errorf("Crowd.People %d is below 1", f.People)
	}
	return span{f.Start, f.Lasts, f.Rate}.validate("Crowd")
}

func (f Crowd) clicks(w *world, stream uint64, yield func(Click) bool) {
	w.steady(stream, span{f.Start, f.Lasts, f.Rate}, func(r *rand.Rand) Click {
		n := r.Uint64N(uint64(f.People))
		own := w.rand(stream, n+1)
		return Click{
			Person: stream<<numberBits | n, IP: netip.AddrFrom4([4]byte{203, 0, 113, 200}),
			Agent: agent(own, mobiles), Language: pick(own, languages),
			Campaign: f.Campaign, Label: Ordinary, Family: "crowd",
		}
	}, yield)
}

// span is when and how much.
type span struct {
	start, lasts time.Duration
	rate         float64 // clicks per second
}

func (s span) validate(what string) error {
	if s.start < 0 || s.lasts <= 0 || !(s.rate > 0) || math.IsInf(s.rate, 0) {
		return fmt.Errorf("%s of %v clicks per second from %s for %s is impossible; Start is at least 0, Lasts and Rate are above 0",
			what, s.rate, s.start, s.lasts)
	}
	return nil
}

// steady yields clicks of who draws at a constant rate, each on an ad of its own.
func (w *world) steady(stream uint64, s span, who func(*rand.Rand) Click, yield func(Click) bool) {
	r, number := w.rand(stream, 0), newSerial(stream)
	end := w.end()
	if s.lasts < end-s.start {
		end = s.start + s.lasts
	}
	if s.start >= end {
		return
	}
	for t := arrival(r, s.start, end, s.rate); t < end; t = arrival(r, t, end, s.rate) {
		c := who(r)
		c.At, c.Opportunity = t, number.next()
		if c.Campaign == "" {
			c.Campaign = pick(r, w.Campaigns)
		}
		p := w.pickPublisher(r)
		c.Publisher, c.Placement = p.ID, pick(r, p.Placements)
		if !yield(c) {
			return
		}
	}
}
