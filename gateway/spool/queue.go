package spool

// queue holds records on their way to the writer: their bytes back to back,
// and what to do with each. Two of them swap roles, so that nothing is
// allocated once both have grown.
type queue struct {
	buf   []byte
	items []item
}

type item struct {
	end    int // of its payload in buf
	suffix Suffix
	waiter Waiter
}

func (q *queue) add(payload []byte, suffix Suffix, w Waiter) {
	q.buf = append(q.buf, payload...)
	q.items = append(q.items, item{len(q.buf), suffix, w})
}

// payload returns the bytes of record i.
func (q *queue) payload(i int) []byte {
	start := 0
	if i > 0 {
		start = q.items[i-1].end
	}
	return q.buf[start:q.items[i].end]
}

// frameBound is the largest frame record i can become, as counted by Append.
func (q *queue) frameBound(i int) int64 {
	n := int64(FrameOverhead + len(q.payload(i)))
	if q.items[i].suffix != nil {
		n += MaxSuffix
	}
	return n
}

// reset empties q and lets go of the waiters.
func (q *queue) reset() {
	clear(q.items)
	q.buf, q.items = q.buf[:0], q.items[:0]
}
