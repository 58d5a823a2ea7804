package spool

import (
	"fmt"
	"slices"
)

// drain commits until nothing is pending.
func (w *writer) drain() {
	for {
		w.mu.Lock()
		q := w.queue
		w.queue = w.spare
		w.mu.Unlock()
		w.spare = q
		if len(q.items) == 0 {
			return
		}
		for from := 0; from < len(q.items); {
			from = w.commit(q, from)
		}
		q.reset()
	}
}

// commit writes and syncs one group starting with record from, reports its
// fate and returns the index behind it.
func (w *writer) commit(q *queue, from int) int {
	if w.active == nil {
		w.fail(q, from, len(q.items), w.refusal())
		return len(q.items)
	}
	to, bytes := w.group(q, from)
	if w.size > HeaderSize && w.size+bytes > w.cfg.SegmentBytes {
		if err := w.rotate(); err != nil {
			return from // the next round fails or, if the disk took a probe, goes on
		}
	}
	firstSeq := w.nextSeq
	records := w.encode(q, from, to)
	started := w.now()
	if err := w.write(); err != nil {
		err = diskError(w.cfg.Dir, "committing", err)
		w.abandon()
		w.mu.Lock()
		w.stats.failedGroups++
		w.stats.failedRecords += uint64(to - from)
		w.mu.Unlock()
		w.fail(q, from, to, err)
		w.reopen()
		return to
	}
	w.m.committed(w.now().Sub(started), to-from)
	w.publish(records, to-from, bytes)
	for i := from; i < to; i++ {
		q.items[i].done(firstSeq+uint64(i-from), nil)
	}
	return to
}

// group chooses how many records go into one write: [from, to), at most bytes long.
func (w *writer) group(q *queue, from int) (to int, bytes int64) {
	for to = from; to < len(q.items) && to-from < w.cfg.MaxBatchRecords; to++ {
		n := q.frameBound(to)
		if to > from && bytes+n > int64(w.cfg.MaxBatchBytes) {
			break
		}
		bytes += n
	}
	return to, bytes
}

// encode builds the frames of a group in w.out and gives out the sequences. A
// record whose suffix breaks its bound becomes a void frame, so that its
// sequence is accounted for; its waiter is told here.
func (w *writer) encode(q *queue, from, to int) (records uint64) {
	w.out = w.out[:0]
	for i := from; i < to; i++ {
		it, start := &q.items[i], len(w.out)
		typ := byte(typeData)
		w.out = append(w.out, make([]byte, FrameOverhead)...)
		w.out = append(w.out, q.payload(i)...)
		if it.suffix != nil && !w.finish(start+FrameOverhead, it.suffix) {
			typ = typeVoid
			w.out = w.out[:start+FrameOverhead]
			it.done(0, fmt.Errorf("%w: its suffix added more than %d bytes", ErrTooLarge, MaxSuffix))
		}
		sealFrame(w.out[start:], w.seed, w.nextSeq, typ, i-from)
		if typ == typeData {
			records++
		}
		w.nextSeq++
	}
	return records
}

// finish lets suffix extend the record that starts at start.
func (w *writer) finish(start int, suffix Suffix) bool {
	w.out = slices.Grow(w.out, MaxSuffix)
	end := len(w.out) + MaxSuffix
	record := suffix(w.out[start:len(w.out):end], w.nextSeq)
	if len(record) > end-start {
		return false
	}
	w.out = append(w.out[:start], record...)
	return true
}

func (w *writer) write() error {
	if _, err := w.active.Write(w.out); err != nil {
		return err
	}
	return w.active.Sync()
}

// publish makes a synced group visible to readers and frees its reservation.
func (w *writer) publish(records uint64, n int, bound int64) {
	written := int64(len(w.out))
	w.size += written
	w.prev = chain{segment: w.id, length: w.size, lastSeq: w.nextSeq - 1}
	w.mu.Lock()
	seg := &w.segs[len(w.segs)-1]
	seg.good, seg.size, seg.lastSeq = w.size, w.size, w.nextSeq-1
	seg.records += records
	w.bytes += written
	w.pendingRecords -= n
	w.pendingBytes -= bound
	w.stats.durableSeq = w.nextSeq - 1
	w.stats.records += records
	w.stats.groups++
	for r := range w.readers {
		notify(r.wake)
	}
	w.mu.Unlock()
}

// fail gives the records [from, to) back with err.
func (w *writer) fail(q *queue, from, to int, err error) {
	var bound int64
	for i := from; i < to; i++ {
		bound += q.frameBound(i)
	}
	w.mu.Lock()
	w.pendingRecords -= to - from
	w.pendingBytes -= bound
	w.mu.Unlock()
	for i := from; i < to; i++ {
		q.items[i].done(0, err)
	}
}

// done reports once.
func (it *item) done(seq uint64, err error) {
	if w := it.waiter; w != nil {
		it.waiter = nil
		w.Done(seq, err)
	}
}
