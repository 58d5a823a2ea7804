package admit

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// Addresses finds client addresses, and prefixes around them, that send more than
// they may, in memory that does not grow with the number of clients: a sketch
// counts everybody, and only who is over its rate there is looked at exactly. It
// is safe for concurrent use.
type Addresses struct {
	seed         hashSeed
	sketch       *sketch // by itself in memory, so that its lines are the cache's
	exact        rateTable
	narrow, wide addressRate
	fleet        fleet
}

// addressRate is a bound per second; 0 is none.
type addressRate struct {
	most int
	rate rate
}

// NewAddresses returns a table that has seen nobody, of about 2 MiB; nil when cfg
// bounds nothing.
func NewAddresses(cfg *Config, seed uint64) *Addresses {
	if cfg.AddressRate == 0 && cfg.PrefixRate == 0 {
		return nil
	}
	bound := func(n int) addressRate { return addressRate{n, perSecond(n, n)} }
	return &Addresses{seed: newHashSeed(seed), sketch: new(sketch), narrow: bound(cfg.AddressRate), wide: bound(cfg.PrefixRate)}
}

// Over counts a request of ip, which must be unmapped, at a time in Unix
// microseconds and reports whether the address or its prefix is over its rate:
// IPv4 by /32 and /24, IPv6 by /64 and /48.
func (a *Addresses) Over(ip netip.Addr, at int64) bool {
	if a == nil || !ip.IsValid() {
		return false
	}
	one, around := a.seed.prefixes(ip)
	one, around = narrowKey(one), wideKey(around)
	a.sketch.line(around)[0].Load() // so that both misses are waited for at once
	over := a.count(one, &a.narrow, at)
	return a.count(around, &a.wide, at) || over
}

// count counts a key. The sketch may count too much, never too little; so nobody
// is called over by it alone.
func (a *Addresses) count(key uint64, r *addressRate, at int64) bool {
	if r.most == 0 {
		return false
	}
	sent := a.sketch.add(key, at)
	if sent*heavyPart > float64(r.most) {
		a.fleet.note(key)
	}
	own := r.rate
	if share := a.fleet.share(key); share < 1 {
		most := max(1, int(share*float64(r.most)))
		if own = perSecond(most, most); sent <= float64(most) {
			return false
		}
	} else if sent <= float64(r.most) {
		return false
	}
	_, ok, _ := a.exact.take(key, own, at*1000)
	return !ok
}

// sketch is a count-min sketch (Cormode and Muthukrishnan, 2005) over a window of
// a second that slides: the last second's count, less the part of it that has
// passed, plus this second's, as Cloudflare counts. A cell holds the number of its
// second, the count of the second before and its own, so that nothing has to be
// cleared and both counts are one memory access. A cell that nobody touched for
// 65,536 seconds to the second is read as if it were new; it counts too much once.
//
// The cells of a key are in one line of the processor's cache, as in a blocked Bloom
// filter (Putze, Sanders, Singler, 2007), and few: under a flood of addresses a count
// costs what its misses and atomic operations cost. Two keys of a line share all cells
// in one case of 16.
type sketch struct {
	lines [sketchLines][sketchRows * rowCells]atomic.Uint64
}

const (
	sketchLines = 1 << 14
	sketchRows  = 2
	rowCells    = 4
	cellBits    = 24
	cellMost    = 1<<cellBits - 1
)

const second = int64(time.Second / time.Microsecond)

// line is the key's, by its upper half.
func (s *sketch) line(key uint64) *[sketchRows * rowCells]atomic.Uint64 {
	return &s.lines[key>>32%sketchLines]
}

// cell is the key's in a row of its line, by lower bits but the lowest, which tells
// addresses from prefixes.
func (s *sketch) cell(key, row uint64) *atomic.Uint64 {
	return &s.line(key)[rowCells*row+key>>(1+2*row)%rowCells]
}

// add counts one event of the key and returns the estimate of its events in the
// last second.
func (s *sketch) add(key uint64, at int64) float64 {
	now, left := uint64(at/second)&0xffff, 1-float64(at%second)/float64(second)
	least := math.Inf(1)
	for row := range uint64(sketchRows) {
		cell := bump(s.cell(key, row), now)
		part := left
		if cell>>(2*cellBits) != now {
			part = 1 // the cell's second has only begun
		}
		least = min(least, float64(cell>>cellBits&cellMost)*part+float64(cell&cellMost))
	}
	return least
}

// bump adds one to a cell in second now, or in the cell's own when that is a
// little ahead: requests around a full second come in any order. It returns the new
// cell.
func bump(cell *atomic.Uint64, now uint64) uint64 {
	for {
		old, at := cell.Load(), now
		if second := old >> (2 * cellBits); (second-now)&0xffff <= fewSeconds {
			at = second
		}
		before, current := rolled(old, at)
		fresh := at<<(2*cellBits) | before<<cellBits | min(current+1, cellMost)
		if cell.CompareAndSwap(old, fresh) {
			return fresh
		}
	}
}

const fewSeconds = 4

// rolled returns the counts of the second before now and of now.
func rolled(cell, now uint64) (before, current uint64) {
	switch current = cell & cellMost; (now - cell>>(2*cellBits)) & 0xffff {
	case 0:
		return cell >> cellBits & cellMost, current
	case 1:
		return current, 0
	}
	return 0, 0
}
