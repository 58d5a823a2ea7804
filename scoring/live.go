package scoring

import (
	"fmt"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
	"clickgate/scoring/givt"
	"clickgate/scoring/zscore"

	"github.com/cespare/xxhash/v2"
)

// live is what a gateway learns over days: what pace is usual for a publisher at an hour
// of the week, and what headers the browsers of a source send. It survives no restart,
// and each gateway has its own; what it says is stored with the click as the gateway saw
// it, the second pass keeps it, and no verdict rests on it.
type live struct {
	seed    uint64
	weeks   *entity.Table[zscore.Week] // of a publisher
	manners *entity.Table[manners]     // of a source, an entry and an engine
}

// newLive has room for a 64th of the addresses that c is for.
func newLive(c entity.Config) (*live, error) {
	if c.Shards == 0 {
		c.Shards = 16
	}
	c.Entries = max(c.Shards, c.Entries/64)
	l := &live{seed: c.Seed}
	var err error
	if l.weeks, err = entity.New[zscore.Week](c); err == nil {
		l.manners, err = entity.New[manners](c)
	}
	if err != nil {
		return nil, fmt.Errorf("scoring.max_keys: %w", err)
	}
	return l, nil
}

// observe notes the click and fills in what is unusual of it. The publisher's rates must
// be there.
func (l *live) observe(v *click.Vector, c *click.Click, sig *click.Signals, class givt.AgentClass, agent *spelled) {
	v[SlotPublisherWeek], v[SlotWeekHours] = 0, 0
	tenant := xxhash.Sum64String(c.TenantID)
	if c.PublisherID != "" {
		w, _, lock := l.weeks.Take(zscore.Key(l.seed, tenant, xxhash.Sum64String(c.PublisherID)))
		s := w.Observe(c.EventTime, float64(v[SlotPublisher1h]))
		lock.Unlock()
		v[SlotPublisherWeek], v[SlotWeekHours] = float32(s.Z), float32(s.Hours)
	}
	if class != givt.None || !visitsItself(c) {
		return
	}
	m, _, lock := l.manners.Take(zscore.Key(l.seed, tenant, xxhash.Sum64String(c.SourceID), uint64(c.Entry), uint64(agent.engine)))
	odd := m.note(sig.HeaderOrder, bare(sig.UserAgent, agent.engine, agent.version, &sig.Hints))
	lock.Unlock()
	v[SlotHeaders] = float32(int(v[SlotHeaders]) | odd)
}

const (
	// mannered is how many clicks of an engine make its headers known, and after so many
	// all counts are halved, so that new versions of browsers become usual.
	mannered  = 512
	forgotten = 1 << 16
	// rareOrder is the share of clicks below which an order of headers is unlike the
	// others, and rareBare that of clicks without client hints.
	rareOrder = 1.0 / 64
	rareBare  = 1.0 / 64
	orders    = 16
)

// manners are the headers that browsers of one engine send to one source: how many come
// without client hints, and their most common orders, by Space-Saving (Metwally, Agrawal,
// El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams, 2005).
// Behind something that reorders headers all clicks have its order, and none is unlike the
// others. The zero value is ready.
type manners struct {
	clicks, bare, ordered uint32
	orders                [orders]struct{ order, clicks, extra uint32 } // extra: those that may be another order's
}

// note says what of a click is unlike those before, and counts it. An order of 0 is not
// known.
func (m *manners) note(order uint32, bare bool) (odd int) {
	if bare && m.clicks >= mannered && float64(m.bare) < float64(rareBare*float64(m.clicks)) {
		odd |= headersBare
	}
	if m.clicks++; bare {
		m.bare++
	}
	if order != 0 {
		if known := m.count(order); m.ordered > mannered && float64(known) < float64(rareOrder*float64(m.ordered)) {
			odd |= headersOrder
		}
	}
	if m.clicks >= forgotten {
		m.halve()
	}
	return odd
}

// count notes an order and returns how many clicks before had it, at least.
func (m *manners) count(order uint32) (known uint32) {
	m.ordered++
	least := 0
	for i := range m.orders {
		o := &m.orders[i]
		if o.order == order {
			known = o.clicks - o.extra
			o.clicks++
			return known
		}
		if o.clicks < m.orders[least].clicks {
			least = i
		}
	}
	o := &m.orders[least]
	o.order, o.extra = order, o.clicks
	o.clicks++
	return 0
}

func (m *manners) halve() {
	m.clicks, m.bare, m.ordered = m.clicks/2, m.bare/2, m.ordered/2
	for i := range m.orders {
		m.orders[i].clicks, m.orders[i].extra = m.orders[i].clicks/2, m.orders[i].extra/2
	}
}
