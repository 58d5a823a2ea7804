package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// forwarder carries spooled records to Kafka, in file order, oldest first, and
// says how far everything has arrived.
type forwarder struct {
	log   *Log
	slots chan struct{} // bounds records in flight
	freed chan struct{} // one of them may be free

	mu       sync.Mutex
	inFlight []*shipment // in file order; the first is the oldest unacked
	read     uint64      // spool sequence read last
	failed   error       // a shipment failed: go back to the oldest unacked
	abort    func()      // wakes ship, which may be waiting for the next record
	changed  chan struct{}
	segments []segmentUse
	reading  uint64 // segment of the record read last
	oldest   int64  // receipt of the oldest unacked record read, Unix microseconds; 0 for none
}

// shipment is one spooled record on its way.
type shipment struct {
	seq      uint64
	at       spool.Position
	received int64 // Unix microseconds; 0 for a record that does not decode, and for fed ones
	acked    bool
}

// segmentUse remembers, per segment, the highest offset its records got in each
// partition, so that the segment can go when the store has passed them all.
type segmentUse struct {
	id      uint64
	offsets map[string]map[int32]int64 // by topic
}

func newForwarder(l *Log) *forwarder {
	return &forwarder{
		log:     l,
		slots:   make(chan struct{}, l.cfg.InFlight),
		read:    l.dep.Spool.Stats().DurableSeq - l.dep.Backlog,
		freed:   make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
	}
}

const pause = 200 * time.Millisecond

func (f *forwarder) run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { f.releaseLoop(ctx) })
	var from spool.Position
	for ctx.Err() == nil {
		err := f.ship(ctx, from)
		if ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
			break
		}
		f.log.metrics.produceErrors.Inc()
		f.log.dep.Logger.Error("forwarding the spool to Kafka failed; trying again from the oldest record it has not acked", "error", err)
		from = f.rewind(ctx)
	}
	wg.Wait()
}

// ship reads from a position and produces until something fails.
func (f *forwarder) ship(ctx context.Context, from spool.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.abort = cancel
	f.mu.Unlock()
	r := f.log.dep.Spool.Reader(from)
	defer r.Close()
	for {
		e, err := r.Next(ctx)
		if err != nil {
			return cmp.Or(f.failure(), err)
		}
		if err := f.yield(ctx); err != nil {
			return cmp.Or(f.failure(), err)
		}
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return cmp.Or(f.failure(), ctx.Err())
		}
		rec, received := f.log.record(e.Payload)
		s, err := f.begin(&e, received)
		if err != nil {
			<-f.slots
			return err
		}
		f.log.dep.Client.Produce(context.WithoutCancel(ctx), rec, func(r *kgo.Record, err error) {
			f.done(s, r, err)
		})
	}
}

// yield waits while as many records are in flight as may be beside live traffic.
func (f *forwarder) yield(ctx context.Context) error {
	for len(f.slots) >= f.log.replayShare() {
		select {
		case <-f.freed:
		case <-time.After(yieldPause): // live traffic may have ended
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

const yieldPause = 5 * time.Millisecond

func (f *forwarder) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// begin notes a record before it is produced; it fails when an earlier one did.
func (f *forwarder) begin(e *spool.Entry, received int64) (*shipment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed != nil {
		return nil, f.failed
	}
	s := &shipment{seq: e.Seq, at: e.At, received: received}
	f.oldest = cmp.Or(f.oldest, received)
	f.inFlight = append(f.inFlight, s)
	f.read, f.reading = e.Seq, e.At.Segment
	return s, nil
}

func (f *forwarder) done(s *shipment, r *kgo.Record, err error) {
	<-f.slots
	select {
	case f.freed <- struct{}{}:
	default:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.notify()
	if err != nil {
		f.failed = fmt.Errorf("topic %s, partition %d: %w", r.Topic, r.Partition, err)
		f.abort()
		return
	}
	s.acked = true
	f.log.acks.Add(1)
	f.use(s.at.Segment, r)
	n := 0
	for n < len(f.inFlight) && f.inFlight[n].acked {
		f.inFlight[n] = nil
		n++
	}
	f.inFlight = f.inFlight[n:]
	if f.oldest = 0; len(f.inFlight) > 0 {
		f.oldest = f.inFlight[0].received
	}
}

// use notes where a record went. Records of different partitions are acked in any
// order, so its segment may come to the list behind later ones.
func (f *forwarder) use(segment uint64, r *kgo.Record) {
	i, known := slices.BinarySearchFunc(f.segments, segment, func(u segmentUse, id uint64) int { return cmp.Compare(u.id, id) })
	if !known {
		f.segments = slices.Insert(f.segments, i, segmentUse{segment, map[string]map[int32]int64{}})
	}
	offsets := f.segments[i].offsets[r.Topic]
	if offsets == nil {
		offsets = make(map[int32]int64)
		f.segments[i].offsets[r.Topic] = offsets
	}
	offsets[r.Partition] = max(offsets[r.Partition], r.Offset)
}

func (f *forwarder) notify() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// rewind waits until nothing is in flight any more and returns the position of
// the oldest record that Kafka did not ack. What behind it was acked is sent
// again: copies with one ingest id are one event.
func (f *forwarder) rewind(ctx context.Context) spool.Position {
	for range cap(f.slots) {
		select {
		case f.slots <- struct{}{}:
		case <-ctx.Done():
			return spool.Position{}
		}
	}
	for range cap(f.slots) {
		<-f.slots
	}
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = nil
	from := spool.Position{Segment: f.reading}
	if len(f.inFlight) > 0 {
		from = f.inFlight[0].at
		f.read = f.inFlight[0].seq - 1
	}
	// What was read behind it counts as unread, or its segments would go before the
	// next ship has taken the first of its records in.
	f.inFlight, f.reading = nil, from.Segment
	return from
}

// sent returns the spool sequence up to which Kafka has acked everything.
func (f *forwarder) sent() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.inFlight) > 0 {
		return f.inFlight[0].seq - 1
	}
	return f.read
}

// lag returns how many durable spooled records Kafka has not acked.
func (f *forwarder) lag() uint64 {
	durable, sent := f.log.dep.Spool.Stats().DurableSeq, f.sent()
	return durable - min(sent, durable)
}

// age returns how long ago the oldest record was received that Kafka has not acked.
// It lasts over a rewind, which forgets what is in flight and not what waits.
func (f *forwarder) age(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.oldest == 0 {
		return 0
	}
	return max(0, now.Sub(time.UnixMicro(f.oldest)))
}

// drained waits until all that is durable now has been acked.
func (f *forwarder) drained(ctx context.Context) error {
	target := f.log.dep.Spool.Stats().DurableSeq
	for f.sent() < target {
		select {
		case <-f.changed:
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// record turns a spooled payload into a Kafka record, and says when the event was
// received. A payload that does not decode (it passed its CRC, so another version
// wrote it) goes out as it is: the aggregator keeps it, byte for byte, as poison.
func (l *Log) record(payload []byte) (r *kgo.Record, received int64) {
	kind, value := stream.Kind(payload[0]), append([]byte(nil), payload[1:]...)
	e, err := identify(kind, value)
	if err != nil {
		l.metrics.undecodable.Inc()
		l.dep.Logger.Error("a spooled record does not decode; it is forwarded as it is", "error", err)
		return stream.NewRecord(kind, e.tenant, nil, value, 1), 0
	}
	key := stream.AppendKey(make([]byte, 0, len(e.tenant)+17), e.tenant, e.id)
	if l.partitions(kind) == 0 {
		// The topic of a feed is gone. What waits behind must not wait for it; among the
		// dead letters it is kept byte for byte, as poison.
		r := stream.NewRecord(kind, e.tenant, key, value, l.partitions(stream.KindDeadLetter))
		r.Topic = stream.DeadLettersTopic
		return r, e.received
	}
	return stream.NewRecord(kind, e.tenant, key, value, l.partitions(kind)), e.received
}

// spooled is what the forwarder reads of an event.
type spooled struct {
	tenant   string
	id       click.ID
	received int64
}

func identify(kind stream.Kind, value []byte) (spooled, error) {
	switch kind {
	case stream.KindDeadLetter:
		d, err := click.DecodeDeadLetter(value)
		if err != nil {
			return spooled{}, err
		}
		return spooled{d.TenantID, d.LetterID, d.ReceivedAt}, nil
	case stream.KindImpression:
		i, err := click.DecodeImpression(value)
		return spooled{i.TenantID, i.ClickID, 0}, err
	case stream.KindConversion:
		c, err := click.DecodeConversion(value)
		return spooled{c.TenantID, c.Key(), 0}, err
	}
	var c click.Click
	err := click.DecodeClick(value, &c)
	return spooled{c.TenantID, c.EventID, c.ReceivedAt}, err
}
