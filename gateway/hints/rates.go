package hints

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync/atomic"
	"time"

	"clickgate/gateway/admit"

	"github.com/redis/go-redis/v9"
)

const (
	second = int64(time.Second / time.Microsecond)
	// told is how many keys a gateway tells of a second at most, and heard how many
	// of the fleet's it looks at.
	told, heard = 1000, 2000
	// ratesTimeout may be longer than that of ids: one call a second.
	ratesTimeout = 100 * time.Millisecond
	// kept is how long a second stays in Redis, and stale how long the last word of
	// the fleet holds.
	kept, stale = 10 * time.Second, 5 * time.Second
)

// fleet is the exchange of loads. Its goroutine alone uses it, but for over.
type fleet struct {
	sent map[int64][]admit.Load // by second: what was told of it
	at   int64                  // when the fleet was last heard, Unix microseconds
	over atomic.Int64           // keys over their rate in the fleet
}

// exchange tells and hears loads a little after every full second, until ctx ends.
func (h *Hints) exchange(ctx context.Context, addresses *admit.Addresses) {
	for {
		now := h.dep.Now()
		next := now.Truncate(time.Second).Add(time.Second + 100*time.Millisecond)
		select {
		case <-ctx.Done():
			return
		case <-time.After(next.Sub(now)):
		}
		h.tell(ctx, addresses, h.dep.Now().UnixMicro())
	}
}

// tell adds what this gateway saw in the last second to the fleet's sum, and puts in
// force what the fleet saw in the second before, of which everybody has told by now.
func (h *Hints) tell(ctx context.Context, addresses *admit.Addresses, now int64) {
	last := now/second - 1
	loads := addresses.Heavy(now, told)
	if h.fleet.sent == nil {
		h.fleet.sent = map[int64][]admit.Load{}
	}
	h.fleet.sent[last] = loads
	for s := range h.fleet.sent {
		if s < last-1 {
			delete(h.fleet.sent, s)
		}
	}
	all, err := h.sums(ctx, loads, last)
	switch {
	case err == nil:
		h.fleet.at = now
		h.fleet.over.Store(int64(addresses.Share(h.fleet.sent[last-1], all)))
	case now-h.fleet.at > stale.Microseconds() || now < h.fleet.at: // or the clock was set back
		addresses.Share(nil, nil)
		h.fleet.over.Store(0)
	}
}

// sums adds loads to the fleet's sums of a second and returns those of the one before.
func (h *Hints) sums(ctx context.Context, loads []admit.Load, at int64) ([]admit.Load, error) {
	var asked *redis.ZSliceCmd
	if _, err := h.do(ctx, ratesTimeout, func(pipe redis.Pipeliner) {
		key := h.secondKey(at)
		for _, l := range loads {
			pipe.ZIncrBy(ctx, key, float64(l.Requests), string(binary.BigEndian.AppendUint64(nil, l.Key)))
		}
		if len(loads) > 0 {
			pipe.Expire(ctx, key, kept)
		}
		asked = pipe.ZRevRangeWithScores(ctx, h.secondKey(at-1), 0, heard-1)
	}); err != nil {
		return nil, err
	}
	var all []admit.Load
	for _, z := range asked.Val() {
		// Anything else in the set is not from a gateway.
		if member, ok := z.Member.(string); ok && len(member) == 8 && z.Score >= 0 && z.Score < 1<<53 {
			all = append(all, admit.Load{Key: binary.BigEndian.Uint64([]byte(member)), Requests: uint64(z.Score)})
		}
	}
	return all, nil
}

func (h *Hints) secondKey(s int64) string { return h.cfg.Prefix + ":rates:" + strconv.FormatInt(s, 36) }
