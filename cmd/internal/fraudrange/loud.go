package fraudrange

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"
)

// plans draw an attack of a family with so many clicks.
var plans = [NumFamilies]func(a *Attack, r *rand.Rand, clicks int){
	Flood: (*Attack).flood, Replay: (*Attack).replay, Rotation: (*Attack).rotation, Spoof: (*Attack).spoof,
	DeclaredBot: (*Attack).declaredBot, MaskedBot: (*Attack).maskedBot, Injection: (*Attack).injection,
	Drip: (*Attack).drip, Farm: (*Attack).farm, Residential: (*Attack).residential, Collusion: (*Attack).collusion,
	Poisoning: (*Attack).poisoning, Skew: (*Attack).skew,
}

// hosted draws rented machines.
func (a *Attack) hosted(listed float64) func(*rand.Rand) netip.Addr {
	return func(r *rand.Rand) netip.Addr { return a.w.host(r, listed) }
}

func (a *Attack) flood(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(a.draw(r, "listed")))
}

// replay sends each token for the first time too: whoever replays has seen the ad.
func (a *Attack) replay(r *rand.Rand, clicks int) {
	tokens := uint64(a.count(r, "tokens"))
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.infect(r, home)
	a.change = func(r *rand.Rand, _ *bot, c *Click) {
		n := r.Uint64N(tokens)
		c.Opportunity = a.stream()<<numberBits | n
		c.Shown = a.Start - time.Minute // once, for all copies
		a.sameAd(n, c)
	}
}

// sameAd puts every copy of a token on the ad that the token is for.
func (a *Attack) sameAd(n uint64, c *Click) {
	own := a.w.rand(a.stream(), n)
	p, on := a.publisher, a.campaign
	if p == nil {
		p = a.w.publisherAt(own, a.Start)
	}
	if on == nil {
		on = a.w.campaigns.pick(own)
	}
	a.w.place(c, p, on, own)
}

func (a *Attack) rotation(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(0))
	from := &a.w.agents.desktop
	mobileToo := r.Float64() < 0.5
	pool := make([]string, a.count(r, "agents"))
	for i := range pool {
		if pool[i] = from.pick(r); mobileToo && i%2 == 1 {
			pool[i] = a.w.agents.ofPhone(r)
		}
	}
	a.change = func(r *rand.Rand, _ *bot, c *Click) { c.Agent = pool[r.IntN(len(pool))] }
}

// spoof writes another address into each request; the one the gateway sees is real.
func (a *Attack) spoof(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(0))
	a.change = func(r *rand.Rand, _ *bot, c *Click) { c.Forwarded = anyAddress(r).String() }
}

func anyAddress(r *rand.Rand) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], r.Uint32())
	b[0] = 1 + b[0]%223 // neither "this network" nor multicast
	return netip.AddrFrom4(b)
}

func (a *Attack) declaredBot(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(0.5))
	agent := a.w.agents.crawlers[r.IntN(len(a.w.agents.crawlers))]
	for i := range a.bots {
		a.bots[i].agent, a.bots[i].language = agent, ""
	}
	a.change = func(r *rand.Rand, _ *bot, c *Click) { c.Head = r.Float64() < robotHeads }
}

// maskedBot follows the links of page after page at an even pace, and asks for no
// language.
func (a *Attack) maskedBot(r *rand.Rand, clicks int) {
	a.spread(r, clicks, a.count(r, "machines"), a.draw(r, "clicks_per_minute"))
	a.dress(r, a.hosted(a.draw(r, "listed")))
	agent := a.w.agents.desktop.pick(r)
	pace := a.gap
	for i := range a.bots {
		a.bots[i].agent, a.bots[i].language = agent, ""
	}
	a.gap = func(r *rand.Rand, b *bot) time.Duration { return (pace(r, b) + 9*pause(a)) / 10 }
	a.change = func(r *rand.Rand, b *bot, c *Click) {
		on := a.w.campaigns.items[(b.number*7+b.done)%len(a.w.campaigns.items)]
		p := a.w.publisherAt(r, c.At)
		a.w.place(c, p, on, r)
	}
}

// pause is the mean time between a machine's clicks.
func pause(a *Attack) time.Duration {
	return a.Lasts * time.Duration(len(a.bots)) / time.Duration(max(1, a.sum()))
}

func (a *Attack) sum() (n int) {
	for i := range a.bots {
		n += a.bots[i].left
	}
	return n
}

// injection comes from phones with an app that clicks at once when it shows an ad, or
// when it sees another app being installed.
func (a *Attack) injection(r *rand.Rand, clicks int) {
	each := a.count(r, "clicks_per_device")
	n := max(1, clicks/each)
	window := a.w.end() - a.w.quiet()
	a.spread(r, clicks, n, float64(clicks)/(0.8*window.Minutes()))
	a.infect(r, mobile)
	for i := range a.bots {
		if !strings.Contains(a.bots[i].agent, "; wv)") {
			a.bots[i].agent = a.w.agents.webview.pick(r)
		}
	}
	if a.publisher == nil { // the app itself is paid
		a.publisher, a.campaign = a.w.publishers.items[20+r.IntN(80)], nil
	}
	most := a.draw(r, "shown_before")
	a.change = func(r *rand.Rand, _ *bot, c *Click) {
		c.Shown = c.At - time.Duration((0.05+r.Float64()*most)*float64(time.Second))
	}
}
