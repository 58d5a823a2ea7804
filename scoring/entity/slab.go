package entity

import (
	"math/bits"
	"unsafe"
)

// sweep is how many keys an insertion passes over at most in search of an idle one: it
// bounds the worst case.
const sweep = 64

// firstRoom is how many keys a slab that grows begins with.
const firstRoom = 16

// Slab keeps a V for each of many keys in bounded memory: an open-addressing index over
// a slab of entries. When full, a new key takes the place of an idle one: second chance
// (Corbato, 1968), at most 64 steps. A key must come twice to earn that chance, so keys
// that come once wear themselves out first. It is one shard of a table, and not safe
// for concurrent use.
type Slab[V any] struct {
	index     []uint64 // low 32 bits: slab position + 1, 0 is free; high 32 bits: the entry's hash
	entries   []entry[V]
	limit     int
	hand      int
	evictions uint64
}

type entry[V any] struct {
	key   uint64
	hash  uint32
	used  bool // seen again since the hand last passed
	value V
}

// NewSlab returns a slab of at most limit keys, 1 to 2^28. One that grows reserves next
// to nothing at the start and doubles as keys come.
func NewSlab[V any](limit int, grow bool) Slab[V] {
	s := Slab[V]{limit: limit}
	if grow {
		s.reserve(min(firstRoom, limit))
	} else {
		s.reserve(limit)
	}
	return s
}

// Len is how many keys are kept.
func (s *Slab[V]) Len() int { return len(s.entries) }

// Cap is for how many keys there is room now.
func (s *Slab[V]) Cap() int { return cap(s.entries) }

// Bytes is the memory that is reserved, without the slab's own head.
func (s *Slab[V]) Bytes() int { return cap(s.entries)*int(unsafe.Sizeof(entry[V]{})) + len(s.index)*8 }

// Evictions is how many keys were dropped for new ones.
func (s *Slab[V]) Evictions() uint64 { return s.evictions }

// Take returns what is kept of a key, making room for it when it is new; then it is the
// zero V, and fresh. The value is the key's until the next Take. hash spreads the keys.
func (s *Slab[V]) Take(key uint64, hash uint32) (value *V, fresh bool) {
	at, pos := s.find(key, hash)
	if at >= 0 {
		s.entries[at].used = true
		return &s.entries[at].value, false
	}
	at = len(s.entries)
	if at == cap(s.entries) {
		if at < s.limit {
			s.reserve(min(2*at, s.limit))
		} else {
			at = s.evict()
		}
		pos = s.free(hash)
	}
	if at == len(s.entries) {
		s.entries = s.entries[:at+1]
	}
	s.index[pos] = uint64(hash)<<32 | uint64(at+1)
	e := &s.entries[at]
	*e = entry[V]{key: key, hash: hash}
	return &e.value, true
}

// find returns the place of a key, or -1 and the free position of the index.
func (s *Slab[V]) find(key uint64, hash uint32) (at int, pos uint32) {
	mask := uint32(len(s.index) - 1)
	for pos = hash & mask; s.index[pos] != 0; pos = (pos + 1) & mask {
		if slot := s.index[pos]; uint32(slot>>32) == hash {
			if at := int(uint32(slot)) - 1; s.entries[at].key == key {
				return at, pos
			}
		}
	}
	return -1, pos
}

// reserve makes room for so many entries.
func (s *Slab[V]) reserve(n int) {
	s.entries = append(make([]entry[V], 0, n), s.entries...)
	s.index = make([]uint64, 1<<bits.Len(uint(2*n-1)))
	for i := range s.entries {
		hash := s.entries[i].hash
		s.index[s.free(hash)] = uint64(hash)<<32 | uint64(i+1)
	}
}

// free is where a hash that is not in the index goes.
func (s *Slab[V]) free(hash uint32) uint32 {
	mask := uint32(len(s.index) - 1)
	pos := hash & mask
	for s.index[pos] != 0 {
		pos = (pos + 1) & mask
	}
	return pos
}

// evict frees the first entry from the hand on that was not used since the hand's last
// visit, or the last one the hand may look at, and returns its place.
func (s *Slab[V]) evict() int {
	at := s.hand
	for range min(sweep, len(s.entries)) {
		at = s.hand
		if s.hand++; s.hand == len(s.entries) {
			s.hand = 0
		}
		if !s.entries[at].used {
			break
		}
		s.entries[at].used = false
	}
	s.evictions++
	s.remove(s.entries[at].hash, uint64(at+1))
	return at
}

// remove takes a place out of the index and closes the gap, so that no probe ends early.
func (s *Slab[V]) remove(hash uint32, place uint64) {
	mask := uint32(len(s.index) - 1)
	gap := hash & mask
	for s.index[gap]&0xffffffff != place {
		gap = (gap + 1) & mask
	}
	for pos := (gap + 1) & mask; s.index[pos] != 0; pos = (pos + 1) & mask {
		home := uint32(s.index[pos]>>32) & mask
		if (pos-home)&mask >= (pos-gap)&mask {
			s.index[gap] = s.index[pos]
			gap = pos
		}
	}
	s.index[gap] = 0
}
