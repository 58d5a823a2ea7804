package zscore

import (
	"math/bits"
	"unsafe"

	"clickgate/scoring/entity"
)

// Rates is what a Table knows about a key right after one of its events.
type Rates struct {
	Count10s float64 // events in the last 5 to 10 s, in steps of 5 s
	Count1m  float64 // in the last 55 to 60 s, in steps of 5 s
	Count1h  float64 // in the current minute and the 59 before it
	ZSelf    float64 // the key's busiest view of the minute against its own past; 0 without HasSelf
	ZPeers   float64 // the same against the minutes of all active keys; 0 without HasPeers
	Fence    float64 // how far the busiest view is past the peers' upper quartile, see Beyond; 0 without HasPeers
	Flat     bool    // half of the peers have one count, so their MAD is 0 and ZPeers rests on the floor alone
	Minutes  float64 // closed minutes of the key's own past, at most Window
	HasSelf  bool
	HasPeers bool
	Kept     bool // the event was counted; false for one too old, or too far ahead to be believed yet
}

// Stats are counters and sizes of a Table.
type Stats struct {
	Entries, Capacity int
	Bytes             int    // reserved memory
	Evictions         uint64 // keys dropped for new ones
	Observed          uint64
	Unkept            uint64 // events that were not counted
	PeerMinutes       uint64 // minutes that became the peers' baseline
}

// Table keeps the rates of many keys in bounded memory, spread over slabs: when one is full, a new key takes the place
// of one that has been idle. Safe for concurrent use; allocates nothing per event.
type Table struct {
	seed   uint64
	shift  uint
	shards []shard
	peers  peers
}

// NewTable reserves a table. The error names the setting that is out of range.
func NewTable(c Config) (*Table, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	t := &Table{seed: c.Seed, shift: uint(64 - bits.TrailingZeros(uint(c.Shards))), shards: make([]shard, c.Shards)}
	t.peers.min = uint32(c.MinPeers)
	each := (c.Entries + c.Shards - 1) / c.Shards
	for i := range t.shards {
		t.shards[i].keys = entity.NewSlab[state](each, c.Grow)
	}
	return t, nil
}

// Key makes a key of several parts, such as tenant, ip key and agent key.
func Key(seed uint64, parts ...uint64) uint64 {
	h := entity.Mix(seed)
	for _, p := range parts {
		h = entity.Mix(h ^ p + 0x9e3779b97f4a7c15)
	}
	return h
}

// Observe counts one event of a key at event time t, in microseconds since the epoch.
func (t *Table) Observe(key uint64, micros int64) Rates {
	h := entity.Mix(key ^ t.seed)
	s := &t.shards[h>>t.shift]
	minute := uint32(max(0, min(micros, maxTime)) / minuteMicros)
	near := t.peers.near(minute)

	s.mu.Lock()
	e, _ := s.keys.Take(key, uint32(h))
	p := e.series.Observe(micros)
	r := Rates{HasSelf: p.OK, ZSelf: p.Z, Kept: p.Kept, Minutes: float64(e.series.closed())}
	busiest := p.Count
	s.observed++
	if p.Kept {
		e.recent.add(uint32(micros / slotMicros))
		r.Count10s, r.Count1m = e.recent.sums(uint32(micros / slotMicros))
		r.Count1h = float64(e.series.hour())
		// A flood must not look new at every full minute, so what counts is the
		// larger of the minute so far and the sliding one.
		busiest = max(p.Count, uint32(r.Count1m))
		if b, ok := e.series.baseline(); ok {
			r.ZSelf = b.excess(busiest)
		}
		switch {
		case near && minute > e.skipped: // else it would take the place of another key of its shard
			s.peers.move(minute, p.Count)
		case !near && p.Count == 1:
			e.skipped = max(e.skipped, minute)
		}
	} else {
		s.unkept++
		r.Count10s, r.Count1m, r.Count1h = float64(p.Count), float64(p.Count), float64(p.Count)
	}
	s.mu.Unlock()

	if p.Kept && p.Count == 1 {
		t.arrive(minute)
	}
	if b := t.peers.baseline.Load(); b != nil {
		r.HasPeers, r.ZPeers = true, b.excess(busiest)
		r.Fence, r.Flat = b.beyond(busiest), b.mad4 == 0
	}
	return r
}

// Stats adds up the shards, one after the other.
func (t *Table) Stats() Stats {
	st := Stats{Bytes: len(t.shards) * int(unsafe.Sizeof(shard{})), PeerMinutes: t.peers.published.Load()}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		st.Entries += s.keys.Len()
		st.Capacity += s.keys.Cap()
		st.Bytes += s.keys.Bytes()
		st.Evictions += s.keys.Evictions()
		st.Observed += s.observed
		st.Unkept += s.unkept
		s.mu.Unlock()
	}
	return st
}
