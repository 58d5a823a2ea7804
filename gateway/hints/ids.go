package hints

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

const minute = int64(time.Minute / time.Microsecond)

// used is a click id that was used, by its keyed hash, and the minute its token was
// issued in: a token that comes again, at whatever time, is looked for in one set.
type used struct {
	hash   uint64
	minute int64 // Unix
}

// Batches are sent when they are full or a moment old.
const (
	batchSize = 256
	batchAge  = time.Millisecond
)

// ask asks Redis for ids in batches until ctx ends.
func (h *Hints) ask(ctx context.Context) {
	batch := make([]used, 0, batchSize)
	for {
		batch = h.gather(ctx, batch[:0])
		if ctx.Err() != nil {
			return
		}
		h.send(ctx, batch)
	}
}

// gather waits for a first id and takes what comes in the moment after it.
func (h *Hints) gather(ctx context.Context, batch []used) []used {
	select {
	case u := <-h.queue:
		batch = append(batch, u)
	case <-ctx.Done():
		return batch
	}
	old := time.NewTimer(batchAge)
	defer old.Stop()
	for len(batch) < batchSize {
		select {
		case u := <-h.queue:
			batch = append(batch, u)
		case <-old.C:
			return batch
		}
	}
	return batch
}

// send enters a batch. What was there before was used at another gateway, or here
// longer ago than this gateway remembers.
func (h *Hints) send(ctx context.Context, batch []used) {
	answers, err := h.do(ctx, h.cfg.Timeout, func(pipe redis.Pipeliner) {
		for _, u := range batch {
			key := h.setOf(u)
			pipe.SAdd(ctx, key, strconv.FormatInt(int64(u.hash), 10)) // as an integer it takes 8 bytes
			pipe.ExpireNX(ctx, key, h.cfg.Window)
		}
	})
	if err != nil {
		h.metrics.ids.unknown.Add(float64(len(batch)))
		return
	}
	for i := range batch {
		if answers[2*i].(*redis.IntCmd).Val() == 0 {
			h.metrics.ids.repeated.Inc()
		} else {
			h.metrics.ids.first.Inc()
		}
	}
}

func (h *Hints) setOf(u used) string {
	return h.cfg.Prefix + ":used:" + strconv.FormatInt(u.minute, 36) + ":" + strconv.FormatUint(u.hash%h.cfg.sets(), 36)
}
