package fraudrange

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Attack is one attack of a family as it was drawn.
type Attack struct {
	Family     Family
	Start      time.Duration
	Lasts      time.Duration // planned; pauses may carry the last clicks a little further
	Ordered    int           // clicks
	Machines   int
	Parameters []Drawn

	w      *World
	bots   []bot
	gap    func(*rand.Rand, *bot) time.Duration // to a machine's next click
	change func(*rand.Rand, *bot, *Click)       // what is special about a click; nil: nothing
	// Whose ads: a publisher that clicks on its own pages, or a campaign that a
	// competitor clicks empty.
	publisher *publisher
	campaign  *campaign
}

// bot is a machine of an attack.
type bot struct {
	number   int
	next     time.Duration
	left     int // clicks
	done     int
	ip       netip.Addr
	agent    string
	language string
}

// Clicks yields the attack's clicks in order, until they or the run's hours end.
func (a *Attack) Clicks(yield func(Click) bool) {
	stream := a.stream()
	r, number := a.w.rand(stream, 1<<numberBits-1), newSerial(stream)
	bots := slices.Clone(a.bots)
	h := make(botHeap, 0, len(bots))
	for i := range bots {
		if bots[i].left > 0 {
			h = append(h, &bots[i])
		}
	}
	heap.Init(&h)
	for len(h) > 0 && h[0].next < a.w.end() {
		b := h[0]
		if !yield(a.click(r, b, &number)) {
			return
		}
		b.done, b.left = b.done+1, b.left-1
		if b.next += max(a.gap(r, b), time.Millisecond); b.left == 0 {
			heap.Pop(&h)
		} else {
			heap.Fix(&h, 0)
		}
	}
}

func (a *Attack) stream() uint64 { return streamAttacks + uint64(a.Family) }

func (a *Attack) click(r *rand.Rand, b *bot, number *serial) Click {
	c := Click{
		At: b.next, Event: b.next, Shown: b.next - lookedAt(r), Actor: a.stream()<<numberBits | uint64(b.number),
		IP: b.ip, Agent: b.agent, Language: b.language,
		Opportunity: number.next(), Label: Fraud, Family: a.Family,
	}
	p, on := a.publisher, a.campaign
	if p == nil {
		p = a.w.publisherAt(r, b.next)
	}
	if on == nil {
		on = a.w.campaigns.pick(r)
	}
	a.w.place(&c, p, on, r)
	if a.change != nil {
		a.change(r, b, &c)
	}
	return c
}

// botHeap orders machines by their next click, equal times by number.
type botHeap []*bot

func (h botHeap) Len() int { return len(h) }
func (h botHeap) Less(i, j int) bool {
	return h[i].next < h[j].next || h[i].next == h[j].next && h[i].number < h[j].number
}
func (h botHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *botHeap) Push(x any)   { *h = append(*h, x.(*bot)) }
func (h *botHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}

// quiet is how long there are people only: a gateway that has run for weeks knows
// its traffic before somebody attacks.
func (w *World) quiet() time.Duration { return min(w.end()/10, time.Hour) }

// drawAttacks gives each family an equal part of the invalid clicks, whichever of them
// are in this run, so that one family's attack is the same in all of them.
func (w *World) drawAttacks() {
	r := w.rand(streamAttacks, 0)
	invalid := w.draw(r, PeopleRanges, "invalid_share")
	budget := invalid / (1 - invalid) * w.expected / float64(NumFamilies-1)
	for _, f := range w.Families {
		w.Attacks = append(w.Attacks, w.Attack(f, max(20, int(budget))))
	}
}

// Attack draws one of a family, of about so many clicks: fewer where the family's own
// pace has no room for them in the world's hours.
func (w *World) Attack(f Family, clicks int) Attack {
	r := w.rand(streamAttacks+uint64(f), 1<<numberBits-2)
	a := Attack{w: w, Family: f}
	// Three of four fraudsters are paid by the click, and one is a competitor.
	if r.Float64() < 0.75 {
		a.publisher = w.publishers.items[20+r.IntN(80)]
	} else {
		a.campaign = w.campaigns.pick(r)
	}
	plans[f](&a, r, clicks)
	a.Machines = len(a.bots)
	for i := range a.bots {
		a.bots[i].number = i
		a.Ordered += a.bots[i].left
	}
	return a
}

// draw draws a parameter of the family and keeps it.
func (a *Attack) draw(r *rand.Rand, name string) float64 {
	g := find(AttackRanges[a.Family], name)
	v := g.draw(r)
	a.Parameters = append(a.Parameters, Drawn{name, v, g.Unit})
	return v
}

// count is draw for whole numbers.
func (a *Attack) count(r *rand.Rand, name string) int {
	return max(1, int(math.Round(a.draw(r, name))))
}

// spread orders the clicks from n machines at a rate per minute for all together: it
// sets the attack's time and the pace, and leaves to the caller who the machines are.
func (a *Attack) spread(r *rand.Rand, clicks, n int, perMinute float64) {
	room := a.w.end() - a.w.quiet()
	most := int(perMinute * room.Minutes() * 0.9)
	clicks = max(1, min(clicks, most))
	n = min(n, clicks)
	a.Lasts = minutes(float64(clicks) / perMinute)
	a.Start = a.w.quiet() + between(r, 0, max(1, room-a.Lasts-time.Second))
	pause := minutes(float64(n) / perMinute)
	a.bots = make([]bot, n)
	for i := range a.bots {
		a.bots[i].left = clicks/n + btoi(i < clicks%n)
		a.bots[i].next = a.Start + between(r, 0, pause+1)
	}
	a.gap = func(r *rand.Rand, _ *bot) time.Duration { return jitter(r, pause, 0.5) }
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// jitter draws around d, at most a part of it away.
func jitter(r *rand.Rand, d time.Duration, part float64) time.Duration {
	return time.Duration(float64(d) * (1 + part*(2*r.Float64()-1)))
}

// dress gives every machine an address and a browser.
func (a *Attack) dress(r *rand.Rand, address func(*rand.Rand) netip.Addr) {
	speaks := r.Float64() < 0.5
	for i := range a.bots {
		b := &a.bots[i]
		b.ip, b.agent = address(r), a.w.agents.desktop.pick(r)
		if speaks {
			b.language = languages.pick(r)
		}
	}
}

// infect makes every machine a household's that has malware: its address and its own
// browser, among the people's.
func (a *Attack) infect(r *rand.Rand, k kind) {
	for i := range a.bots {
		v := a.w.visitor(r, k, r.Uint64N(a.w.kinds[k].people), a.Start)
		a.bots[i].ip, a.bots[i].agent, a.bots[i].language = v.ip, v.agent, v.language
	}
}
