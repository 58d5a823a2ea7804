package admit

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"sync/atomic"
)

// Publishers remembers how many requests a second publishers usually send, so
// that what is above comes last in its class when the class must give way. It
// holds a bounded number of them; publishers beyond that share one rate. It is
// safe for concurrent use.
type Publishers struct {
	seed  hashSeed
	slots [publisherSlots]atomic.Pointer[Publisher]
	other Publisher
}

const (
	publisherSlots  = 4096
	publisherProbes = 8
)

// Publisher is one publisher's rate.
type Publisher struct {
	hash         uint64
	tenant, name string

	now   atomic.Uint32 // requests in this second
	usual atomic.Uint64 // bits of a float64: requests a second without trouble
	shed  atomic.Uint64 // refused since it is known
}

func newPublishers(seed uint64) *Publishers {
	p := &Publishers{seed: newHashSeed(seed)}
	p.other.name = "other"
	return p
}

// Publishers returns the gate's table.
func (g *Gate) Publishers() *Publishers { return g.publishers }

// Find returns the publisher of a tenant, nil for an empty name. It allocates
// only for one that it does not know.
func (p *Publishers) Find(tenant, name string) *Publisher {
	if name == "" {
		return nil
	}
	h := p.seed.pair(tenant, name)
	for i := range uint64(publisherProbes) {
		slot := &p.slots[(h+i)%publisherSlots]
		found := slot.Load()
		if found == nil {
			fresh := &Publisher{hash: h, tenant: strings.Clone(tenant), name: strings.Clone(name)}
			if slot.CompareAndSwap(nil, fresh) {
				return fresh
			}
			found = slot.Load()
		}
		if found != nil && found.hash == h {
			return found
		}
	}
	return &p.other
}

// A publisher may send allowance times its usual rate, and leastRate in any case,
// before it is above it.
const (
	allowance = 1.5
	leastRate = 10
	// weight of the last second in the usual rate: a memory of about five minutes.
	weight = 1.0 / 300
)

// count counts a request and reports whether it is above the usual rate.
func (p *Publisher) count() (excess bool) {
	if p == nil {
		return false
	}
	return float64(p.now.Add(1)) > max(leastRate, allowance*math.Float64frombits(p.usual.Load()))
}

func (p *Publisher) refused() {
	if p != nil {
		p.shed.Add(1)
	}
}

// roll ends a second. In trouble nothing is learned, so that a flood does not
// become usual, and who is new stays new.
func (p *Publishers) roll(trouble bool) {
	for i := range p.slots {
		if one := p.slots[i].Load(); one != nil && one.roll(trouble) {
			p.slots[i].Store(nil)
		}
	}
	p.other.roll(trouble)
}

// roll reports whether nothing worth keeping is left.
func (p *Publisher) roll(trouble bool) (idle bool) {
	n := float64(p.now.Swap(0))
	if trouble {
		return false
	}
	usual := math.Float64frombits(p.usual.Load())
	if usual == 0 {
		usual = n // the first second without trouble
	} else {
		usual += (n - usual) * weight
	}
	p.usual.Store(math.Float64bits(usual))
	return usual < .01
}

// PublisherRate is what is known of one publisher.
type PublisherRate struct {
	Tenant    string  `json:"tenant"`
	Publisher string  `json:"publisher"`
	Usual     float64 `json:"usual_per_second"`
	Shed      uint64  `json:"shed"`
}

// Top returns the n publishers with the most refused requests, most first.
func (p *Publishers) Top(n int) []PublisherRate {
	all := []PublisherRate{}
	add := func(one *Publisher) {
		if one != nil && one.shed.Load() > 0 {
			all = append(all, PublisherRate{one.tenant, one.name, math.Float64frombits(one.usual.Load()), one.shed.Load()})
		}
	}
	for i := range p.slots {
		add(p.slots[i].Load())
	}
	add(&p.other)
	slices.SortFunc(all, func(a, b PublisherRate) int { return cmp.Compare(b.Shed, a.Shed) })
	return all[:min(n, len(all))]
}
