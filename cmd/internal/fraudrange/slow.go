package fraudrange

import (
	"math"
	"math/rand/v2"
	"time"
)

// drip is a botnet in homes: few clicks each, far apart.
func (a *Attack) drip(r *rand.Rand, clicks int) {
	least := minutes(a.draw(r, "pause"))
	room := a.w.end() - a.w.quiet()
	each := max(1, min(a.count(r, "clicks_per_bot"), int(room*2/3/least)))
	a.slowly(r, max(1, clicks/each), each, least)
}

// slowly gives n household machines so many clicks each, with at least a pause between
// them, at times of their own.
func (a *Attack) slowly(r *rand.Rand, n, each int, least time.Duration) {
	a.Start, a.Lasts = a.w.quiet(), a.w.end()-a.w.quiet()
	a.bots = make([]bot, n)
	needs := time.Duration(each-1) * least * 3 / 2
	for i := range a.bots {
		a.bots[i].left = each
		a.bots[i].next = a.Start + between(r, 0, max(1, a.Lasts-needs))
	}
	a.infect(r, home)
	a.gap = func(r *rand.Rand, _ *bot) time.Duration { return least + time.Duration(r.Float64()*float64(least)) }
}

// farm is people who work through racks of equal phones, behind a carrier's addresses
// that ordinary people have too.
func (a *Attack) farm(r *rand.Rand, clicks int) {
	phones, each := a.count(r, "phones"), a.draw(r, "pause")
	shift := time.Duration(a.draw(r, "shift") * float64(time.Hour))
	perMinute := float64(phones) * 60 / each
	if most := int(perMinute * shift.Minutes()); clicks > most {
		clicks = most
	}
	a.spread(r, clicks, phones, perMinute)
	var ips []uint32
	for range a.count(r, "addresses") {
		ips = append(ips, r.Uint32N(uint32(a.w.pool)))
	}
	kinds := 1 + r.IntN(5)
	for i := range a.bots {
		b := &a.bots[i]
		b.ip = v4(blockMobile, ips[i%len(ips)])
		b.agent = a.w.agents.phone.items[(i%kinds*37+int(a.w.Seed%31))%len(a.w.agents.phone.items)]
		b.language = languages.pick(r)
	}
	a.gap = func(r *rand.Rand, _ *bot) time.Duration {
		return time.Duration(each * math.Exp(0.5*r.NormFloat64()-0.125) * float64(time.Second))
	}
}

// residential sends every click through another home.
func (a *Attack) residential(r *rand.Rand, clicks int) {
	a.spread(r, clicks, 1, a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(0))
	pool := make([]string, a.count(r, "agents"))
	for i := range pool {
		pool[i] = a.w.agents.desktop.pick(r)
	}
	a.change = func(r *rand.Rand, _ *bot, c *Click) {
		i := r.Uint64N(a.w.kinds[home].people)
		c.IP = a.w.visitor(r, home, i, c.At).ip
		c.Agent, c.Language = pool[r.IntN(len(pool))], languages.items[0]
	}
}

// collusion lets one pool of machines visit all publishers of a coalition.
func (a *Attack) collusion(r *rand.Rand, clicks int) {
	var coalition []*publisher
	for range a.count(r, "publishers") {
		coalition = append(coalition, a.w.publishers.items[20+r.IntN(80)])
	}
	each := len(coalition) * a.count(r, "visits")
	room := a.w.end() - a.w.quiet()
	least := min(10*time.Minute, room/time.Duration(3*each))
	a.slowly(r, max(1, clicks/each), each, least)
	a.publisher, a.campaign = coalition[0], nil
	a.change = func(r *rand.Rand, b *bot, c *Click) {
		a.w.place(c, coalition[(b.number+b.done)%len(coalition)], a.w.campaigns.pick(r), r)
	}
}

// poisoning raises each machine's rate bit by bit and then keeps it.
func (a *Attack) poisoning(r *rand.Rand, clicks int) {
	first, last := a.draw(r, "first_rate"), a.draw(r, "last_rate")
	grows := time.Duration(a.draw(r, "growth_hours") * float64(time.Hour))
	room := a.w.end() - a.w.quiet()
	grows = min(grows, room*7/10)
	rising := grows.Minutes() * (last - first) / math.Log(last/first) // clicks while it grows
	n := max(1, min(a.count(r, "machines"), int(float64(clicks)/rising)))
	staying := max(0, float64(clicks)/float64(n)-rising) / last
	a.Lasts = min(grows+minutes(staying), room*9/10)
	a.Start = a.w.quiet() + between(r, 0, room-a.Lasts)
	a.bots = make([]bot, n)
	for i := range a.bots {
		a.bots[i].next = a.Start + between(r, 0, time.Minute)
		a.bots[i].left = int(min(float64(clicks)/float64(n), rising+last*(a.Lasts-grows).Minutes()))
	}
	a.dress(r, a.hosted(0))
	a.gap = func(r *rand.Rand, b *bot) time.Duration {
		grown := min(1, max(0, float64(b.next-a.Start)/float64(grows)))
		return jitter(r, minutes(1/(first*math.Pow(last/first, grown))), 0.5)
	}
}

// skew is a sender's server that passes a flood on with times spread over the minutes
// around.
func (a *Attack) skew(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(0))
	behind, ahead := minutes(a.draw(r, "behind")), minutes(a.draw(r, "ahead"))
	if a.publisher == nil {
		a.publisher, a.campaign = a.w.publishers.items[20+r.IntN(80)], nil
	}
	a.change = func(r *rand.Rand, _ *bot, c *Click) {
		c.Batch = true
		c.Event = c.At + between(r, -behind, ahead)
		c.Shown = c.Event - lookedAt(r)
	}
}
