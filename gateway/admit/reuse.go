package admit

import (
	"encoding/binary"
	"sync"
	"time"

	"clickgate/gateway/click"

	"golang.org/x/sys/cpu"
)

// Reuse remembers used click ids, so that a token that comes again is worth less
// than one that comes first. Ids are held exactly, in two generations: a click id
// is remembered for one to two windows, and shorter when more ids come than there
// is room for. It is a matter of order under load only; which click is billed is
// decided elsewhere. It is safe for concurrent use.
type Reuse struct {
	seed   hashSeed
	window int64 // microseconds
	most   int   // ids of a generation in one shard
	shards [reuseShards]reuseShard
}

const reuseShards = 256

type reuseShard struct {
	mu          sync.Mutex
	began       int64 // receipt time at which the generation began
	young, aged idSet
	_           cpu.CacheLinePad
}

// NewReuse returns an empty memory.
func NewReuse(cfg *Config, seed uint64) *Reuse {
	r := &Reuse{seed: newHashSeed(seed), window: int64(cfg.ReuseWindow / time.Microsecond), most: max(1, cfg.ReuseIDs/reuseShards)}
	return r
}

// Seen reports whether the tenant's click id was here before, and remembers it.
// at is the receipt time in Unix microseconds. Once the memory has its size it
// allocates nothing.
func (r *Reuse) Seen(tenant string, id click.ID, at int64) bool {
	key, shard := r.find(tenant, id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if at-shard.began > r.window || shard.young.n >= r.most {
		shard.turn(at, r.window)
	}
	return !shard.young.add(key) || shard.aged.has(key)
}

// Forget takes back a Seen that was the first: its request was refused, and the
// click that comes again is no replay.
func (r *Reuse) Forget(tenant string, id click.ID) {
	key, shard := r.find(tenant, id)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.young.remove(key)
	shard.aged.remove(key)
}

func (r *Reuse) find(tenant string, id click.ID) (reuseKey, *reuseShard) {
	key := reuseKey{
		binary.LittleEndian.Uint64(id[:8]) ^ r.seed.text(0, tenant),
		binary.LittleEndian.Uint64(id[8:]) ^ r.seed[1],
	}
	if key == (reuseKey{}) {
		key[1] = 1 // a free slot is zero
	}
	return key, &r.shards[r.seed.words(key[0], key[1])%reuseShards]
}

// turn begins a generation; the one before is what is remembered beside it. After
// a pause of two windows neither is worth keeping.
func (s *reuseShard) turn(at, window int64) {
	s.young, s.aged = s.aged, s.young
	s.young.clear()
	if at-s.began > 2*window {
		s.aged.clear()
	}
	s.began = at
}
