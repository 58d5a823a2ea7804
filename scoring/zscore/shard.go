package zscore

import (
	"sync"

	"clickgate/scoring/entity"
)

// state is what is kept of one key; with the slab's head it fills six cache lines, of
// which most events touch three.
type state struct {
	recent  recent
	skipped uint32 // newest minute whose first event no histogram took; up to it none takes any
	series  Series
}

// shard is a slab of keys with its lock, and its part of the peers' histograms.
type shard struct {
	mu       sync.Mutex
	keys     entity.Slab[state]
	observed uint64
	unkept   uint64
	peers    histograms
	_        [64]byte // neighbours do not share a cache line
}
