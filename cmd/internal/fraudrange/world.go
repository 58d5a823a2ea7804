package fraudrange

import (
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"clickgate/scoring/synth"
)

// World is one drawing of everything. It does not change, and its clicks can be
// run through many times, also at once.
type World struct {
	Config
	Start   time.Time // at a full hour, UTC
	Drawn   []Drawn   // what was drawn for people and crowds
	Attacks []Attack

	opening    float64 // hour of the week at the start
	agents     *agents
	networks   networks
	campaigns  choice[*campaign]
	publishers choice[*publisher]
	kinds      [numKinds]group
	pool       int     // carriers' public addresses
	expected   float64 // clicks of people
	crowds     []crowd

	mobileV6, homeV6, doubleClickers, prefetches, robotShare float64 // as drawn
}

// campaign is shown in proportion to budget over price, as even pacing does: a
// budget is spent over the day and not run dry.
type campaign struct {
	id, advertiser string
	price          int64
}

type publisher struct {
	id         string
	referer    string
	placements []string
	born       time.Duration // 0: was always there
}

// New draws a world.
func New(cfg Config) (*World, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	nets, err := readNetworks(networksFile)
	if err != nil {
		return nil, err
	}
	w := &World{Config: cfg, agents: newAgents(), networks: nets}
	r := w.rand(streamWorld, 0)
	w.drawStart(r)
	w.drawMarket(r)
	w.drawPeople(r)
	w.drawCrowds(r)
	w.drawAttacks()
	return w, nil
}

// firstMonday is before all others: the calendar only decides which day of the week
// it is, and whether an hour is whole.
var firstMonday = time.Date(2026, time.November, 2, 0, 0, 0, 0, time.UTC)

// drawStart draws the day of the week. Less than a day ends at 20:00, so that a short
// run sees the evening and not the night.
func (w *World) drawStart(r *rand.Rand) {
	day, hour := r.IntN(7), 0
	if w.Hours < 24 {
		hour = max(0, 20-w.Hours)
	}
	w.opening = float64(day*24 + hour)
	w.Start = firstMonday.Add(time.Duration(day*24+hour) * time.Hour)
}

// end is when traffic stops.
func (w *World) end() time.Duration { return time.Duration(w.Hours) * time.Hour }

const (
	numCampaigns  = 60
	numPublishers = 150
	newPublishers = 8 // that begin during the run
)

// drawMarket draws prices, budgets and publishers' sizes.
func (w *World) drawMarket(r *rand.Rand) {
	median := w.draw(r, PeopleRanges, "price_usd")
	for i := range numCampaigns {
		price := min(max(median*math.Exp(0.7*r.NormFloat64()), 0.02), 20)
		c := &campaign{id: "campaign-" + strconv.Itoa(i), advertiser: "advertiser-" + strconv.Itoa(i/2), price: int64(price*1000) * 1000}
		budget := math.Exp(r.NormFloat64())
		w.campaigns.add(c, budget/price)
	}
	exponent := w.draw(r, PeopleRanges, "publisher_zipf")
	for i := range numPublishers {
		id := "publisher-" + strconv.Itoa(i)
		p := &publisher{id: id, referer: "https://" + id + ".example/"}
		for n := range 1 + r.IntN(5) {
			p.placements = append(p.placements, id+"/"+strconv.Itoa(n))
		}
		if i >= numPublishers-newPublishers {
			p.born = between(r, 0, w.end())
		}
		w.publishers.add(p, math.Pow(float64(i+1), -exponent))
	}
}

// publisherAt draws one that exists at t.
func (w *World) publisherAt(r *rand.Rand, t time.Duration) *publisher {
	for {
		if p := w.publishers.pick(r); p.born <= t {
			return p
		}
	}
}

// Clicks returns the world's clicks in order of At. Equal times are in the order
// people, crawlers, crowds, attacks.
func (w *World) Clicks() iter.Seq[Click] {
	streams := []iter.Seq[Click]{w.people, w.robots}
	for i := range w.crowds {
		streams = append(streams, func(yield func(Click) bool) { w.crowd(i, yield) })
	}
	for i := range w.Attacks {
		streams = append(streams, w.Attacks[i].Clicks)
	}
	return synth.Merge(streams, func(c *Click) time.Duration { return c.At })
}

// Streams, the high bits of actors and opportunities too.
const (
	streamWorld uint64 = iota + 1
	streamPeople
	streamVisits
	streamHouseholds
	streamCarriers
	streamRobots
	streamCrowds  // and those after it
	streamAttacks = streamCrowds + 64
)

// numberBits is how many members a stream can have.
const numberBits = 48

// rand returns the random numbers of one member of a stream; nothing else draws
// from them. Seeds that are neighbours are scattered first (the finalizer of
// SplitMix64), so that no bit of one shows in another's first numbers.
func (w *World) rand(stream, member uint64) *rand.Rand {
	return rand.New(rand.NewPCG(scatter(w.Seed), scatter(stream<<numberBits|member)))
}

func scatter(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// serial numbers the opportunities of a stream.
type serial uint64

func newSerial(stream uint64) serial { return serial(stream << numberBits) }

func (s *serial) next() uint64 {
	*s++
	return uint64(*s)
}
