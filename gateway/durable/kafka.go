package durable

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// kafkaEntry is one event on its way through Kafka. It is answered once, by
// Kafka's ack or by the spool's fsync, whichever comes first; its sequence is
// settled once nothing of it can change any more. A copy in both is one event,
// because both carry the same ingest id.
type kafkaEntry struct {
	log      *Log
	rec      *kgo.Record // in room
	room     stream.Record
	done     Waiter
	seq      uint64 // 0: a fed record, of which the account knows nothing
	due      time.Time
	given    time.Time // to Kafka's client
	answered atomic.Bool
	diverted atomic.Bool
	durable  atomic.Bool
	open     atomic.Int32 // outcomes still to come
}

func (l *Log) toKafka(r *Record, done Waiter) error {
	now := l.dep.Now()
	e := l.newKafkaEntry(r, done, now)
	l.waiting.add(e)
	if group := l.handover.add(e, now); group != nil {
		l.produce(group)
	}
	return nil
}

func (l *Log) newKafkaEntry(r *Record, done Waiter, now time.Time) *kafkaEntry {
	e := &kafkaEntry{log: l, done: done, due: now.Add(l.dep.AckDeadline)}
	e.open.Store(1)

	// Key and value in one piece of memory: what is made for each click costs a collection too.
	buf := stream.AppendKey(make([]byte, 0, len(r.TenantID)+17+len(r.Value)+maxIngest), r.TenantID, r.ID)
	key := len(buf)
	buf = append(buf, r.Value...)
	if !r.Kind.Fed() {
		l.live.Add(1)
		l.lastLive.Store(now.UnixNano())
		e.seq = l.account.give(r.TenantID, r.SourceID, r.EventTime, r.ReceivedAt)
		buf = click.AppendIngest(buf, &click.IngestID{Gateway: l.dep.Gateway, Boot: l.dep.Boot, Seq: e.seq})
	}
	e.rec = e.room.Set(r.Kind, r.TenantID, buf[:key:key], buf[key:], l.partitions(r.Kind))
	return e
}

// maxIngest is about as long as an ingest id gets; longer ones cost a copy.
const maxIngest = 96

func (l *Log) partitions(k stream.Kind) int { return l.dep.Topics.Of(k).Partitions }

// acked is Kafka's last word on the record.
func (e *kafkaEntry) acked(_ *kgo.Record, err error) {
	if e.seq != 0 {
		e.log.live.Add(-1)
	}
	if err == nil {
		e.log.acks.Add(1)
		if e.seq != 0 && e.log.load.sample() {
			e.log.timeAck(e.log.dep.Now().Sub(e.given))
		}
		e.durable.Store(true)
		e.answer(nil)
	} else {
		e.log.metrics.produceErrors.Inc()
		e.divert()
	}
	e.close()
}

// divert writes a copy to the spool, once, unless the last outcome is in; of a fed
// record it writes none, and its sender has to come again. It asks for
// one more outcome before it takes the copy on, so that Kafka's error, which comes
// meanwhile and leaves the copy to it, is not the last.
func (e *kafkaEntry) divert() {
	if !e.reopen() {
		return
	}
	if !e.diverted.CompareAndSwap(false, true) {
		e.close()
		return
	}
	if e.seq == 0 {
		e.answer(ErrFeed)
		e.close()
		return
	}
	kind, _ := stream.KindOf(e.rec)
	payload := append([]byte{byte(kind)}, e.rec.Value...)
	if err := e.log.dep.Spool.Append(payload, nil, e); err != nil {
		e.answer(fmt.Errorf("%w: %w", ErrFull, err))
		e.close()
	}
}

// Done implements spool.Waiter: the spool's last word on the copy.
func (e *kafkaEntry) Done(_ uint64, err error) {
	if err == nil {
		e.durable.Store(true)
		e.answer(nil)
	} else {
		e.answer(fmt.Errorf("%w: %w", ErrFailed, err))
	}
	e.close()
}

func (e *kafkaEntry) answer(err error) {
	if e.answered.CompareAndSwap(false, true) {
		if err == nil && e.seq != 0 {
			e.log.load.flushed.Add(1)
		}
		e.done.Done(err)
		e.log.inside.Done()
	}
}

// reopen waits for one more outcome. Behind the last one the sequence is settled, and
// its place in the account may be another's.
func (e *kafkaEntry) reopen() bool {
	for n := e.open.Load(); n > 0; n = e.open.Load() {
		if e.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
	return false
}

// close settles the sequence when the last outcome is in.
func (e *kafkaEntry) close() {
	if e.open.Add(-1) == 0 && e.seq != 0 {
		e.log.account.settle(e.seq, e.durable.Load())
	}
}

// deadlines holds entries in order of arrival, hence of deadline.
type deadlines struct {
	mu      sync.Mutex
	entries []*kafkaEntry
}

func (d *deadlines) add(e *kafkaEntry) {
	d.mu.Lock()
	d.entries = append(d.entries, e)
	d.mu.Unlock()
}

// overdue removes and returns entries that are past their deadline, and drops
// answered ones in front of them.
func (d *deadlines) overdue(now time.Time) (late []*kafkaEntry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for ; n < len(d.entries); n++ {
		e := d.entries[n]
		if e.answered.Load() {
			continue
		}
		if now.Before(e.due) {
			break
		}
		late = append(late, e)
	}
	d.entries = append(d.entries[:0], d.entries[n:]...)
	return late
}

// watchDeadlines diverts what Kafka does not answer in time, and sends events
// straight to the spool until Kafka answers again and has taken the backlog.
func (l *Log) watchDeadlines(ctx context.Context) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var since uint64 // acks when Kafka last failed to answer
	var heard uint64 // acks when Kafka last answered anything
	var quiet time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := l.dep.Now()
		if acks := l.acks.Load(); acks != heard || quiet.IsZero() {
			heard, quiet = acks, now
		}
		if now.Sub(quiet) > l.cfg.Silence {
			// As if it were later: what is older than Silence is due.
			now = now.Add(max(0, l.dep.AckDeadline-l.cfg.Silence))
		}
		late := 0 // events; what a feed sends says nothing of them
		for _, e := range l.waiting.overdue(now) {
			if e.divert(); e.seq != 0 {
				late++
			}
		}
		switch acks := l.acks.Load(); {
		case late > 0:
			since = acks
			l.degraded.Store(true)
		case l.degraded.Load() && acks > since && l.forward.lag() <= caughtUp:
			l.degraded.Store(false)
		}
	}
}

// caughtUp is the backlog under which new events go to Kafka first again. It is
// above zero because live traffic keeps a few records in the spool at any time.
const caughtUp = 1024
