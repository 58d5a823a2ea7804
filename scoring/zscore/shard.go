package zscore

import (
	"math/bits"
	"sync"
)

// sweep is how many keys an insertion passes over at most in search of an idle one: it bounds the worst case.
const sweep = 64

// entry is the state of one key: six cache lines, of which most events touch three.
type entry struct {
	recent recent
	key    uint64
	hash   uint32
	used   bool // seen again since the hand last passed
	series Series
}

// shard is an open-addressing index over a slab of entries.
type shard struct {
	mu        sync.Mutex
	index     []uint64 // low 32 bits: slab position + 1, 0 is free; high 32 bits: the entry's hash
	entries   []entry
	limit     int // of entries
	hand      int
	evictions uint64
	observed  uint64
	unkept    uint64
	peers     histograms
	_         [64]byte // neighbours do not share a cache line
}

// entry finds or makes the entry of a key.
func (s *shard) entry(key uint64, hash uint32) *entry {
	mask := uint32(len(s.index) - 1)
	pos := hash & mask
	for ; s.index[pos] != 0; pos = (pos + 1) & mask {
		if slot := s.index[pos]; uint32(slot>>32) == hash {
			if e := &s.entries[uint32(slot)-1]; e.key == key {
				e.used = true
				return e
			}
		}
	}
	at := len(s.entries)
	if at == cap(s.entries) {
		if at < s.limit {
			s.grow()
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
	*e = entry{key: key, hash: hash}
	return e
}

// reserve makes room for so many entries.
func (s *shard) reserve(n int) {
	s.entries = append(make([]entry, 0, n), s.entries...)
	s.index = make([]uint64, 1<<bits.Len(uint(2*n-1)))
	for i := range s.entries {
		hash := s.entries[i].hash
		s.index[s.free(hash)] = uint64(hash)<<32 | uint64(i+1)
	}
}

// grow doubles the room, within the limit.
func (s *shard) grow() { s.reserve(min(2*cap(s.entries), s.limit)) }

// free is where a hash that is not in the index goes.
func (s *shard) free(hash uint32) uint32 {
	mask := uint32(len(s.index) - 1)
	pos := hash & mask
	for s.index[pos] != 0 {
		pos = (pos + 1) & mask
	}
	return pos
}

// evict frees the first entry from the hand on that was not used since the hand's last visit, or the last one the hand
// may look at, and returns its place.
func (s *shard) evict() int {
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

// remove takes a slot out of the index and closes the gap, so that no probe ends early.
func (s *shard) remove(hash uint32, place uint64) {
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
