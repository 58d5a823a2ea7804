package durable

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// handover gives entries to the Kafka client in groups. The client sends as soon as it
// is given a record, and the goroutine that sends is the next to run: on a busy
// processor that makes a request of nearly every record. So entries wait here until
// everybody who can run has had a turn, which takes no time where nobody can, but not
// longer than groupTime: where clicks are dear a turn takes long.
type handover struct {
	mu      sync.Mutex
	waiting []*kafkaEntry
	since   time.Time     // the first of them came
	ended   bool          // nobody takes who waits any more
	some    chan struct{} // somebody waits, who was alone when he came

	cancel context.CancelFunc // ends handOver
	over   chan struct{}      // closed when it has ended
}

func newHandover() handover {
	return handover{some: make(chan struct{}, 1), over: make(chan struct{})}
}

// end returns when all who waited are with the client. Nobody waits from then on.
func (h *handover) end() {
	h.cancel()
	<-h.over
}

// groupTime is how long the first of a group waits for others.
const groupTime = 2 * time.Millisecond

// add lets e, which came now, wait for its group. It returns the group when that has
// waited long enough, and e alone when nobody takes groups any more: the caller gives them
// to the client.
func (h *handover) add(e *kafkaEntry, now time.Time) (due []*kafkaEntry) {
	h.mu.Lock()
	h.waiting = append(h.waiting, e)
	first := len(h.waiting) == 1
	if first {
		h.since = now
	}
	if h.ended || now.Sub(h.since) >= groupTime {
		due, h.waiting = h.waiting, nil
	}
	h.mu.Unlock()
	if first && due == nil {
		select {
		case h.some <- struct{}{}:
		default: // it was told of a group that was due before it came
		}
	}
	return due
}

// take returns who waits, and uses the room of the group before again.
func (h *handover) take(before []*kafkaEntry, last bool) []*kafkaEntry {
	clear(before)
	h.mu.Lock()
	defer h.mu.Unlock()
	group := h.waiting
	h.waiting, h.ended = before[:0], last
	return group
}

// handOver gives groups to Kafka until ctx ends, and the last one then.
func (l *Log) handOver(ctx context.Context) {
	var group []*kafkaEntry
	for last := false; !last; {
		select {
		case <-l.handover.some:
			runtime.Gosched()
		case <-ctx.Done():
			last = true
		}
		group = l.handover.take(group, last)
		l.produce(group)
	}
}

// produce gives a group to Kafka's client. What admission is told of it begins here:
// that others had their turn first is no queue of Kafka's.
func (l *Log) produce(group []*kafkaEntry) {
	now := l.dep.Now()
	for _, e := range group {
		e.given = now
		l.dep.Client.TryProduce(context.Background(), e.rec, e.acked)
	}
}
