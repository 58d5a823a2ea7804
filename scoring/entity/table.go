package entity

import (
	"fmt"
	"math/bits"
	"sync"
	"unsafe"
)

// sweep is how many keys an insertion passes over at most in search of an idle one: it
// bounds the worst case.
const sweep = 64

// firstRoom is how many keys a shard that grows begins with.
const firstRoom = 16

// Config sets the bounds of a Table.
type Config struct {
	// Entries is how many keys are kept at most, over all shards; at least one for each.
	Entries int
	// Grow reserves nothing at the start: a shard doubles as its keys come. It is for
	// tables that live for one pass; they allocate as they grow.
	Grow bool
	// Shards is a power of two; 0 is 64. Keys of different shards do not wait for each
	// other.
	Shards int
	// Seed scatters the keys. Keep it secret from those who choose keys, and keep it
	// for a replay.
	Seed uint64
}

// Stats are counters and sizes of a Table.
type Stats struct {
	Entries   int
	Bytes     int    // reserved memory
	Evictions uint64 // keys dropped for new ones
}

// Table keeps a V for each of many keys in bounded memory. When full, a new key takes
// the place of an idle one: second chance (Corbato, 1968), at most 64 steps. A key must
// come twice to earn that chance, so keys that come once wear themselves out first. The
// zero V is what a new key begins with. Safe for concurrent use through Take.
type Table[V any] struct {
	seed   uint64
	shift  uint
	shards []shard[V]
}

type entry[V any] struct {
	key   uint64
	hash  uint32
	used  bool // seen again since the hand last passed
	value V
}

// shard is an open-addressing index over a slab of entries.
type shard[V any] struct {
	mu        sync.Mutex
	index     []uint64 // low 32 bits: slab position + 1, 0 is free; high 32 bits: the entry's hash
	entries   []entry[V]
	limit     int
	hand      int
	evictions uint64
	_         [64]byte // neighbours do not share a cache line
}

// New reserves a table. The error names the setting that is out of range.
func New[V any](c Config) (*Table[V], error) {
	if c.Shards == 0 {
		c.Shards = 64
	}
	switch {
	case c.Shards < 1 || c.Shards > 1<<12 || c.Shards&(c.Shards-1) != 0:
		return nil, fmt.Errorf("entity: shards: %d is not a power of two from 1 to 4096", c.Shards)
	case c.Entries < c.Shards || c.Entries/c.Shards > 1<<28:
		return nil, fmt.Errorf("entity: entries: %d is not from 1 to 2^28 for each of %d shards", c.Entries, c.Shards)
	}
	t := &Table[V]{seed: c.Seed, shift: uint(64 - bits.TrailingZeros(uint(c.Shards))), shards: make([]shard[V], c.Shards)}
	each := (c.Entries + c.Shards - 1) / c.Shards
	for i := range t.shards {
		s := &t.shards[i]
		s.limit = each
		if c.Grow {
			s.reserve(min(firstRoom, each))
		} else {
			s.reserve(each)
		}
	}
	return t, nil
}

// Mix scatters a key: the finaliser of MurmurHash3, a bijection.
func Mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Take returns what is kept of a key, making room for it when it is new. The lock of its
// shard is held: use the value at once, and unlock. A goroutine may hold one value of a
// table at a time.
func (t *Table[V]) Take(key uint64) (value *V, fresh bool, lock *sync.Mutex) {
	h := Mix(key ^ t.seed)
	s := &t.shards[h>>t.shift]
	s.mu.Lock()
	value, fresh = s.take(key, uint32(h))
	return value, fresh, &s.mu
}

// Find returns what is kept of a key, or nil, and does not make it younger. It does not
// lock: it is for tables that one goroutine has for itself.
func (t *Table[V]) Find(key uint64) *V {
	h := Mix(key ^ t.seed)
	s := &t.shards[h>>t.shift]
	if at, _ := s.find(key, uint32(h)); at >= 0 {
		return &s.entries[at].value
	}
	return nil
}

// Each calls f for every key, in an order that the order of events decides. It does not
// lock.
func (t *Table[V]) Each(f func(key uint64, value *V)) {
	for i := range t.shards {
		entries := t.shards[i].entries
		for j := range entries {
			f(entries[j].key, &entries[j].value)
		}
	}
}

// Stats adds up the shards, one after the other.
func (t *Table[V]) Stats() (st Stats) {
	st.Bytes = len(t.shards) * int(unsafe.Sizeof(shard[V]{}))
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		st.Entries += len(s.entries)
		st.Bytes += cap(s.entries)*int(unsafe.Sizeof(entry[V]{})) + len(s.index)*8
		st.Evictions += s.evictions
		s.mu.Unlock()
	}
	return st
}

// find returns the place of a key, or -1 and the free position of the index.
func (s *shard[V]) find(key uint64, hash uint32) (at int, pos uint32) {
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

func (s *shard[V]) take(key uint64, hash uint32) (*V, bool) {
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

// reserve makes room for so many entries.
func (s *shard[V]) reserve(n int) {
	s.entries = append(make([]entry[V], 0, n), s.entries...)
	s.index = make([]uint64, 1<<bits.Len(uint(2*n-1)))
	for i := range s.entries {
		hash := s.entries[i].hash
		s.index[s.free(hash)] = uint64(hash)<<32 | uint64(i+1)
	}
}

// free is where a hash that is not in the index goes.
func (s *shard[V]) free(hash uint32) uint32 {
	mask := uint32(len(s.index) - 1)
	pos := hash & mask
	for s.index[pos] != 0 {
		pos = (pos + 1) & mask
	}
	return pos
}

// evict frees the first entry from the hand on that was not used since the hand's last
// visit, or the last one the hand may look at, and returns its place.
func (s *shard[V]) evict() int {
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
func (s *shard[V]) remove(hash uint32, place uint64) {
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
