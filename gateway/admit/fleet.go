package admit

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync/atomic"

	"clickgate/gateway/click"
)

// Load is what one address or prefix, by its keyed hash, sent in a second.
type Load struct {
	Key      uint64
	Requests uint64
}

// heavySlots bounds the keys that are looked at for the fleet.
const heavySlots = 4096

// heavyPart is which part of its rate a key must send here to be worth telling: of
// this many gateways together it would be over.
const heavyPart = 16

// fleet is what Addresses and the other gateways know of each other.
type fleet struct {
	// heavy holds the last key of each slot: of two that meet, the one that sends
	// more stands there more often, which will do for a hint.
	heavy  [heavySlots]atomic.Uint64
	shares atomic.Pointer[map[uint64]float64]
}

func (f *fleet) note(key uint64) {
	if slot := &f.heavy[key%heavySlots]; slot.Load() != key {
		slot.Store(key)
	}
}

// share is the part of its rate that a key may use here: 1 for whoever the fleet has
// nothing on.
func (f *fleet) share(key uint64) float64 {
	if shares := f.shares.Load(); shares != nil {
		if s, ok := (*shares)[key]; ok {
			return s
		}
	}
	return 1
}

// Heavy returns the addresses and prefixes that sent a notable part of their rate in
// the second before the one that now, Unix microseconds, is in; most first, at most
// limit of them. Who was quiet since the last call is left out. A nil a has none.
func (a *Addresses) Heavy(now int64, limit int) []Load {
	if a == nil {
		return nil
	}
	var loads []Load
	for i := range a.fleet.heavy {
		if key := a.fleet.heavy[i].Swap(0); key != 0 {
			if n := a.sketch.before(key, now); n > 0 {
				loads = append(loads, Load{key, n})
			}
		}
	}
	slices.SortFunc(loads, func(a, b Load) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Key, b.Key))
	})
	return loads[:min(limit, len(loads))]
}

// Share puts in force what the fleet sent in a second, of which own was sent here: a
// key over its rate may use here only the part of it that it used. Without any load
// everybody has their whole rate here again.
func (a *Addresses) Share(own, all []Load) (over int) {
	if a == nil {
		return 0
	}
	sent := make(map[uint64]uint64, len(own))
	for _, l := range own {
		sent[l.Key] = l.Requests
	}
	shares := make(map[uint64]float64)
	for _, l := range all {
		if most := a.bound(l.Key).most; most > 0 && l.Requests > uint64(most) {
			shares[l.Key] = min(1, float64(sent[l.Key])/float64(l.Requests))
		}
	}
	a.fleet.shares.Store(&shares)
	return len(shares)
}

// Hashes of addresses and of prefixes differ in their last bit.
func narrowKey(h uint64) uint64 { return h &^ 1 }
func wideKey(h uint64) uint64   { return h | 1 }

func (a *Addresses) bound(key uint64) *addressRate {
	if key == wideKey(key) {
		return &a.wide
	}
	return &a.narrow
}

// before returns the events of a key in the last whole second before now.
func (s *sketch) before(key uint64, now int64) uint64 {
	second := uint64(now/second) & 0xffff
	least := uint64(cellMost)
	for row := range uint64(sketchRows) {
		before, _ := rolled(s.cell(key, row).Load(), second)
		least = min(least, before)
	}
	return least
}

// ClickHash names a tenant's click id to other gateways that have the same seed.
func ClickHash(seed uint64, tenant string, id click.ID) uint64 {
	s := newHashSeed(seed)
	return s.words(binary.LittleEndian.Uint64(id[:8])^s.text(0, tenant), binary.LittleEndian.Uint64(id[8:]))
}
