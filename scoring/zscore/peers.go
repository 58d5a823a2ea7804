package zscore

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	exact       = 64 // counts below have a bin of their own
	bins        = exact + (32-6)*8
	peerMinutes = 16 // minutes a shard keeps histograms of
	peerWindow  = 3  // minutes that make the baseline
)

// bin numbers counts: one by one up to 63, then eight bins an octave.
func bin(count uint32) int {
	if count < exact {
		return int(count)
	}
	e := bits.Len32(count) - 1
	return exact + (e-6)*8 + int(count>>(e-3))&7
}

// binValue is the middle of a bin.
func binValue(b int) uint64 {
	if b < exact {
		return uint64(b)
	}
	e, sub := (b-exact)/8+6, uint64(b-exact)%8
	width := uint64(1) << (e - 3)
	return (8+sub)*width + width/2
}

// histogram counts keys by their events in a minute.
type histogram struct {
	minute uint32
	keys   uint32
	counts [bins]uint32
}

// histograms are those of one shard, under its lock.
type histograms [peerMinutes]histogram

// move takes a key from the bin of count-1 to that of count.
func (hs *histograms) move(minute, count uint32) {
	h := &hs[minute%peerMinutes]
	if h.minute != minute {
		if h.minute > minute {
			return // an old minute whose place is taken
		}
		*h = histogram{minute: minute}
	}
	to := bin(count)
	if count > 1 {
		from := bin(count - 1)
		if from == to || h.counts[from] == 0 {
			return
		}
		h.counts[from]--
	} else {
		h.keys++
	}
	h.counts[to]++
}

// peers is the baseline of all active keys.
//
// Its clock is the newest minute in which at least min keys were active, so no single sender can move it ahead and
// leave the others without a baseline: what a few clocks that run fast can do is make it older by minutes. A minute
// more than MaxStep ahead, as after a silence, is believed when min keys in a row agree and none comes for the time
// before.
type peers struct {
	min       uint32
	clock     atomic.Uint32 // minute; 0 is none yet
	claims    atomic.Uint32 // arrivals too far ahead, in a row
	baseline  atomic.Pointer[usual]
	published atomic.Uint64

	mu      sync.Mutex
	claimed uint32
	pace    pace
	counts  [peerMinutes]struct{ minute, keys uint32 } // minutes after the clock
}

// near reports whether the histograms take a minute: one that a baseline may still be made of, so that they never
// need the place of one for another. One within MaxStep also ends all claims to a farther time.
func (p *peers) near(minute uint32) bool {
	c := p.clock.Load()
	if c == 0 || minute > c+MaxStep || minute+MaxStep < c {
		return false
	}
	if p.claims.Load() != 0 {
		p.claims.Store(0)
	}
	return minute+peerWindow > c
}

// arrive notes that a key has become active in a minute. No shard lock may be held.
func (t *Table) arrive(minute uint32) {
	p := &t.peers
	if c := p.clock.Load(); c != 0 && minute <= c {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.clock.Load()
	switch {
	case c != 0 && minute <= c:
	case c == 0 || minute > c+MaxStep:
		if n := p.claims.Load(); n == 0 || minute > p.claimed+MaxStep || minute+MaxStep < p.claimed {
			p.claimed = minute
			p.claims.Store(0)
		}
		p.claimed = max(p.claimed, minute)
		if p.claims.Add(1) >= p.min {
			p.claims.Store(0)
			p.baseline.Store(nil) // the peers of another hour are no peers
			p.pace = pace{}
			p.clock.Store(p.claimed)
		}
	default:
		n := &p.counts[minute%peerMinutes]
		if n.minute != minute {
			n.minute, n.keys = minute, 0
		}
		if n.keys++; n.keys >= p.min {
			p.clock.Store(minute)
			t.publish(minute)
		}
	}
}

// publish makes the minutes before the given one the baseline, if enough keys were active in them.
func (t *Table) publish(minute uint32) {
	var sum histogram
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for back := uint32(1); back <= peerWindow; back++ {
			if h := &s.peers[(minute-back)%peerMinutes]; h.minute == minute-back {
				sum.keys += h.keys
				for b, n := range h.counts {
					sum.counts[b] += n
				}
			}
		}
		s.mu.Unlock()
	}
	if sum.keys >= t.peers.min {
		b := t.peers.pace.bound(sum.usual(), minute)
		t.peers.baseline.Store(&b)
		t.peers.published.Add(1)
	}
}

// usual is what is usual among keys: a baseline and the quartiles of the same counts.
type usual struct {
	baseline
	q1, q3 uint64
}

// beyond is how far a count is past the quartiles, see Beyond; below them it is 0, as a
// minute that is not over cannot be too quiet.
func (u *usual) beyond(count uint32) float64 {
	return max(0, Beyond(float64(count), float64(u.q1), float64(u.q3), CountFloor(float64(u.median2)/2, 1)))
}

// usual is median, MAD and quartiles of the bins' middles, of the least rank that has
// the share below or at it (nearest rank, so the lower of two when the number is even).
func (h *histogram) usual() usual {
	total := uint64(0)
	for _, n := range h.counts {
		total += uint64(n)
	}
	half := (total + 1) / 2
	m := h.rank(half)
	u := usual{q1: binValue(h.rank((total + 3) / 4)), q3: binValue(h.rank((3*total + 3) / 4))}
	u.baseline = baseline{median2: 2 * binValue(m), mad4: 4 * h.deviation(m, half)}
	return u
}

// rank is the bin of the key of a rank, from 1.
func (h *histogram) rank(rank uint64) (b int) {
	for seen := uint64(h.counts[0]); seen < rank; seen += uint64(h.counts[b]) {
		b++
	}
	return b
}

// deviation walks outwards from bin m until half the keys are within the distance, and
// returns it.
func (h *histogram) deviation(m int, half uint64) (d uint64) {
	median := binValue(m)
	lo, hi, seen := m, m+1, uint64(0)
	for seen < half {
		if hi == bins || lo >= 0 && median-binValue(lo) <= binValue(hi)-median {
			d = median - binValue(lo)
			seen += uint64(h.counts[lo])
			lo--
		} else {
			d = binValue(hi) - median
			seen += uint64(h.counts[hi])
			hi++
		}
	}
	return d
}

// Peers returns the baseline in force; ok is false while there is none.
func (t *Table) Peers() (median, mad float64, ok bool) {
	b := t.peers.baseline.Load()
	if b == nil {
		return 0, 0, false
	}
	return float64(b.median2) / 2, float64(b.mad4) / 4, true
}

// pace bounds how fast the peers' baseline rises, so that whoever brings many entities
// of his own cannot make a flood usual within minutes. A baseline follows downwards at
// once; upwards it follows a level that rises by at most one event a minute each
// leveling minutes, or by a 64th a minute where that is more: doubling takes three
// quarters of an hour. What is within headroom of the level is believed as it is, so
// that ordinary scatter is not bounded at all.
type pace struct {
	minute uint32 // newest baseline; 0 is none yet
	level  [4]uint64
}

// paceUnits is what one event is in each value of a usual.
var paceUnits = [4]uint64{2, 4, 1, 1}

const (
	leveling = 8
	fine     = 16 // of a level's unit
	headroom = 2  // events a minute
)

// bound is what is believed of peers. Levels are in 16ths of a value's units. What is
// ordered stays so: a lower value's level is never above a higher one's.
func (p *pace) bound(u usual, minute uint32) usual {
	believed := u
	for i, value := range [4]*uint64{&believed.median2, &believed.mad4, &believed.q1, &believed.q3} {
		level, unit := &p.level[i], paceUnits[i]
		if p.minute == 0 {
			*level = *value * fine
			continue
		}
		for range min(minute-p.minute, Window) {
			*level += max(*level/64, unit*fine/leveling)
		}
		*level = min(*level, *value*fine)
		*value = min(*value, *level/fine+unit*headroom)
	}
	p.minute = minute
	return believed
}
