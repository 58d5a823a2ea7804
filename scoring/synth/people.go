package synth

import (
	"container/heap"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"
)

// Visits: most people click once; who goes on does so after a log-normal pause,
// never so soon that it could be a double click.
const (
	goesOn      = 0.3
	gapMedian   = 30 * time.Second
	gapSpread   = 1.0 // standard deviation of the pause's logarithm
	gapShortest = 3 * time.Second
	gapLongest  = 20 * time.Minute
	doubleFirst = 60 * time.Millisecond
	doubleLast  = 900 * time.Millisecond
)

// Where people are.
const (
	onPhones  = 0.6
	onCarrier = 0.4  // of phones: behind a carrier's NAT, an address for many
	onIPv6    = 0.35 // of households
	household = 2    // people who share an address
)

// person draws who a person is; the same one every time.
func (w *world) person(i uint64) Click {
	r := w.rand(streamPeople, i+1)
	c := Click{Person: streamPeople<<numberBits | i, Language: pick(r, languages), Family: "people"}
	phone := r.Float64() < onPhones
	if phone {
		c.Agent = agent(r, mobiles)
	} else {
		c.Agent = agent(r, desktops)
	}
	if phone && r.Float64() < onCarrier {
		c.IP = netip.AddrFrom4([4]byte{203, 0, 113, byte(1 + r.IntN(254))})
	} else {
		c.IP = home(w.rand(streamHouseholds, i/household), r)
	}
	return c
}

// home draws a household's address from 198.18.0.0/15, or its IPv6 network of 64
// bits from 2001:db8::/32 and the device's half of the address.
func home(of, device *rand.Rand) netip.Addr {
	if of.Float64() >= onIPv6 {
		n := of.Uint32()
		return netip.AddrFrom4([4]byte{198, 18 + byte(n>>16)&1, byte(n >> 8), byte(n)})
	}
	a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint32(a[4:], of.Uint32())
	binary.BigEndian.PutUint64(a[8:], device.Uint64())
	return netip.AddrFrom16(a)
}

// people visit by the hour of the day.
func (w *world) people(yield func(Click) bool) {
	if w.Peak == 0 {
		return
	}
	arrivals, r := w.rand(streamPeople, 0), w.rand(streamVisits, 0)
	number, end := newSerial(streamPeople), w.end()
	peak := w.Peak * (1 - goesOn) / (1 + w.DoubleClicks) // visits per second
	var open visits
	for next := w.arrivalByDay(arrivals, 0, peak); ; {
		for ; next < end && (len(open) == 0 || next < open[0].click.At); next = w.arrivalByDay(arrivals, next, peak) {
			heap.Push(&open, w.visit(r, next, &number))
		}
		if len(open) == 0 || open[0].click.At >= end || !yield(open[0].click) {
			return
		}
		if w.goOn(r, open[0], &number) {
			heap.Fix(&open, 0)
		} else {
			heap.Pop(&open)
		}
	}
}

// visit is a person on a publisher's pages, and the next click there.
type visit struct {
	click     Click
	publisher *Publisher
}

func (w *world) visit(r *rand.Rand, at time.Duration, number *serial) *visit {
	v := &visit{click: w.person(r.Uint64N(uint64(w.People))), publisher: w.pickPublisher(r)}
	w.nextAd(r, v, at, number)
	return v
}

// nextAd makes the visit's next click one on another ad.
func (w *world) nextAd(r *rand.Rand, v *visit, at time.Duration, number *serial) {
	c := &v.click
	c.At, c.Label, c.Opportunity = at, Ordinary, number.next()
	c.Campaign = pick(r, w.Campaigns)
	c.Publisher, c.Placement = v.publisher.ID, pick(r, v.publisher.Placements)
}

// goOn makes the next click of a visit, false when it is over.
func (w *world) goOn(r *rand.Rand, v *visit, number *serial) bool {
	if v.click.Label == Ordinary && r.Float64() < w.DoubleClicks {
		v.click.Label = DoubleClick
		v.click.At += doubleFirst + time.Duration(r.Int64N(int64(doubleLast-doubleFirst)))
		return true
	}
	if r.Float64() >= goesOn {
		return false
	}
	gap := time.Duration(float64(gapMedian) * math.Exp(gapSpread*r.NormFloat64()))
	w.nextAd(r, v, v.click.At+min(max(gap, gapShortest), gapLongest), number)
	return true
}

// visits is a heap of open visits by their next click; opportunities decide
// between equal times, so that the order is always the same.
type visits []*visit

func (v visits) Len() int { return len(v) }
func (v visits) Less(i, j int) bool {
	a, b := &v[i].click, &v[j].click
	return a.At < b.At || a.At == b.At && a.Opportunity < b.Opportunity
}
func (v visits) Swap(i, j int) { v[i], v[j] = v[j], v[i] }
func (v *visits) Push(x any)   { *v = append(*v, x.(*visit)) }
func (v *visits) Pop() any {
	last := len(*v) - 1
	x := (*v)[last]
	(*v)[last] = nil
	*v = (*v)[:last]
	return x
}
