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
// everybody who can run has had a turn, which takes no time where nobody can.
type handover struct {
	mu      sync.Mutex
	waiting []*kafkaEntry
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

// add lets e wait for its group; false says that there are none any more.
func (h *handover) add(e *kafkaEntry) bool {
	h.mu.Lock()
	if h.ended {
		h.mu.Unlock()
		return false
	}
	h.waiting = append(h.waiting, e)
	alone := len(h.waiting) == 1
	h.mu.Unlock()
	if alone {
		h.some <- struct{}{} // never blocks: what was sent before was received before the group was taken
	}
	return true
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
		now := l.dep.Now()
		for _, e := range group {
			l.produce(e, now)
		}
	}
}

// produce gives one entry to Kafka. What admission is told of it begins here: that
// others had their turn first is no queue of Kafka's.
func (l *Log) produce(e *kafkaEntry, now time.Time) {
	e.given = now
	l.dep.Client.TryProduce(context.Background(), e.rec, e.acked)
}
