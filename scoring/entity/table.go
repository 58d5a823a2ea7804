package entity

import (
	"fmt"
	"math/bits"
	"sync"
	"unsafe"
)

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

// Table keeps a V for each of many keys in bounded memory, spread over slabs. The zero V
// is what a new key begins with. Safe for concurrent use through Take.
type Table[V any] struct {
	seed   uint64
	shift  uint
	shards []shard[V]
}

// shard is a slab with its lock.
type shard[V any] struct {
	mu sync.Mutex
	Slab[V]
	_ [64]byte // neighbours do not share a cache line
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
		t.shards[i].Slab = NewSlab[V](each, c.Grow)
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
	value, fresh = s.Slab.Take(key, uint32(h))
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
		st.Entries += s.Len()
		st.Bytes += s.Bytes()
		st.Evictions += s.Evictions()
		s.mu.Unlock()
	}
	return st
}
