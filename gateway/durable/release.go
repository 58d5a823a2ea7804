package durable

import (
	"context"
	"time"

	"clickgate/gateway/stream"
)

// releaseInterval is how often segments are given back to the disk.
const releaseInterval = time.Second

func (f *forwarder) releaseLoop(ctx context.Context) {
	tick := time.NewTicker(releaseInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := f.release(ctx); err != nil && ctx.Err() == nil {
			f.log.dep.Logger.Warn("spool segments could not be released yet", "error", err)
		}
	}
}

// release deletes the segments that nobody needs any more. Without
// StoredThrough, Kafka's ack is what counts; with it, the store's commit.
func (f *forwarder) release(ctx context.Context) error {
	limit := f.ackedBefore()
	if f.log.dep.StoredThrough != nil {
		var err error
		if limit, err = f.storedBefore(ctx, limit); err != nil {
			return err
		}
	}
	return f.log.dep.Spool.ReleaseBefore(limit)
}

// ackedBefore returns the first segment with a record that Kafka has not acked,
// or the one being read.
func (f *forwarder) ackedBefore() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.inFlight) > 0 {
		return f.inFlight[0].at.Segment
	}
	return f.reading
}

// storedBefore returns the first segment below limit with a record that the
// store has not committed, and forgets those before it.
func (f *forwarder) storedBefore(ctx context.Context, limit uint64) (uint64, error) {
	stored := make(map[string]map[int32]int64)
	for _, kind := range [...]stream.Kind{stream.KindClick, stream.KindDeadLetter, stream.KindImpression, stream.KindConversion} {
		if f.log.partitions(kind) == 0 {
			continue
		}
		var err error
		if stored[kind.Topic()], err = f.log.dep.StoredThrough(ctx, kind.Topic()); err != nil {
			return 0, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.segments) > 0 && f.segments[0].id < limit {
		u := &f.segments[0]
		for topic, offsets := range u.offsets {
			if !passed(offsets, stored[topic]) {
				return u.id, nil
			}
		}
		f.segments = f.segments[1:]
	}
	return limit, nil
}

// passed reports whether the stored positions are behind all offsets.
func passed(offsets, stored map[int32]int64) bool {
	for p, offset := range offsets {
		if stored[p] <= offset {
			return false
		}
	}
	return true
}

// ReleaseStored seals the segment being written and releases all that the store
// has: called at the end of a clean stop, so that the next start has no backlog.
func (l *Log) ReleaseStored(ctx context.Context) error {
	if err := l.dep.Spool.Rotate(); err != nil {
		return err
	}
	l.forward.mu.Lock()
	l.forward.reading++ // nothing will be read from the sealed segment again
	l.forward.mu.Unlock()
	return l.forward.release(ctx)
}
