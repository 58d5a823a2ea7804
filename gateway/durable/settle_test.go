package durable

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka acks a record after the deadline's watch has taken it for late and before the
// watch has diverted it. The sequence is settled by then: settling it once more would
// settle another one, which has its place in the account's ring by now.
func TestLateAckSettlesOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	l := r.log
	give := func() uint64 { return l.account.give("demo", "s", 1, 1) }
	answered := make(toldLater, 1)
	e := &kafkaEntry{log: l, done: answered, due: time.Now()}
	e.rec = stream.NewRecord(stream.KindClick, "demo", nil, []byte("late"), 1)
	e.seq = give()
	e.open.Store(1)
	l.inside.Add(1)
	l.live.Add(1)
	l.waiting.add(e)
	late := l.waiting.overdue(time.Now().Add(time.Second))
	if len(late) != 1 {
		t.Fatalf("%d entries are overdue, want 1", len(late))
	}
	e.acked(e.rec, nil)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	ring := uint64(len(l.account.slots))
	for range ring {
		give()
	}
	late[0].divert()
	behind := make(written, 1) // what the spool was given before is written by then
	if err := r.spool.Append([]byte("cbehind"), nil, behind); err != nil {
		t.Fatal(err)
	}
	if err := <-behind; err != nil {
		t.Fatal(err)
	}
	if n := r.spool.Stats().Records; n != 1 {
		t.Errorf("%d records in the spool, want 1: Kafka has the event and it is answered", n)
	}
	l.account.mu.Lock()
	defer l.account.mu.Unlock()
	for seq := l.account.base; seq < e.seq+ring+1; seq++ {
		if s := l.account.slots[seq&l.account.mask()]; s.state != slotOpen {
			t.Errorf("sequence %d counts as settled, and nothing is known of it", seq)
		}
	}
}

// Whatever Kafka says while the watch diverts an event: it is answered once, it counts
// as durable once, and nothing is left open.
func TestVerdictsMeetDiversions(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	l := r.log
	const events = 500
	copies, now := 0, time.Now().UnixMicro()
	for n := range events {
		answered := make(toldLater, 2)
		e := &kafkaEntry{log: l, done: answered, due: time.Now()}
		e.rec = stream.NewRecord(stream.KindClick, "demo", nil, []byte("late"), 1)
		e.seq = l.account.give("demo", "s", now, now)
		e.open.Store(1)
		l.inside.Add(1)
		l.live.Add(1)
		var failed error
		if n%2 == 1 {
			failed = errors.New("no answer")
		}
		var ready atomic.Int32
		var both sync.WaitGroup
		for _, do := range [...]func(){e.divert, func() { e.acked(e.rec, failed) }} {
			both.Go(func() {
				for ready.Add(1); ready.Load() < 2; { // both at once
				}
				do()
			})
		}
		both.Wait()
		if err := <-answered; err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		if e.diverted.Load() {
			copies++
		}
	}
	r.stop() // waits for all answers and all copies
	st := l.account.state(now)
	if st.through != events || st.void != 0 || len(st.counts) != 1 || st.counts[0].Received != events || len(st.open) != 0 {
		t.Errorf("the account is through %d with %d void, counts %+v, open %v; want %d", st.through, st.void, st.counts, st.open, events)
	}
	if t.Logf("%d of %d were diverted", copies, events); copies < events/2 {
		t.Error("a copy is missing")
	}
}

// Kafka acks records of two segments in another order than they were sent. A segment
// waits for the store by each of its records, whichever was acked first.
func TestSegmentsWaitWhateverIsAckedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	f := newForwarder(r.log)
	f.abort = func() {}
	send := func(seq, segment uint64) *shipment {
		f.slots <- struct{}{}
		s, err := f.begin(&spool.Entry{Seq: seq, At: spool.Position{Segment: segment}}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one, two, three := send(1, 1), send(2, 2), send(3, 3)
	f.done(two, &kgo.Record{Topic: stream.ClicksTopic, Partition: 1, Offset: 4}, nil)
	f.done(one, &kgo.Record{Topic: stream.ClicksTopic, Partition: 0, Offset: 7}, nil)
	f.done(three, &kgo.Record{Topic: stream.DeadLettersTopic, Partition: 0, Offset: 9}, nil)
	stored := map[string]map[int32]int64{stream.ClicksTopic: {1: 5}, stream.DeadLettersTopic: {}}
	through := func(want uint64) {
		t.Helper()
		got, err := f.storedBefore(t.Context(), 4)
		if err != nil || got != want {
			t.Errorf("segments before %d may go, %v; want %d", got, err, want)
		}
	}
	r.log.dep.StoredThrough = storedIn(stored)
	through(1)
	stored[stream.ClicksTopic][0] = 8
	through(3)
	stored[stream.DeadLettersTopic][0] = 10
	through(4)
}

// written is a waiter of the spool's.
type written chan error

func (w written) Done(_ uint64, err error) { w <- err }

func storedIn(topics map[string]map[int32]int64) func(context.Context, string) (map[int32]int64, error) {
	return func(_ context.Context, topic string) (map[int32]int64, error) { return topics[topic], nil }
}
