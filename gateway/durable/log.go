package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool"
	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Dependencies are what a Log works with. It owns none of them: whoever made
// them closes them, after Stop.
type Dependencies struct {
	Spool   *spool.Spool
	Backlog uint64      // records of earlier boots that the spool holds
	Client  *kgo.Client // with stream.Config.ProducerOptions
	Topics  stream.Topics
	Gateway string // "region/gateway id"
	Boot    uint64 // Unix microseconds, strictly rising per gateway
	// AckDeadline is how long Kafka may take before the spool gets a copy.
	AckDeadline time.Duration
	// KafkaAway says that Kafka did not answer at the start: events go to the spool
	// first until it has acked what they left there.
	KafkaAway  bool
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	// StoredThrough, when set, says that a spool segment may go only when the
	// store has passed all its records: standalone, where Kafka is transport
	// only. It returns the next offset per partition of a topic.
	StoredThrough func(ctx context.Context, topic string) (map[int32]int64, error)
	// Flushes is the hook of Client; without it all of Kafka's time counts as
	// flush in Signals. MaxBuffered and MaxBufferedBytes are Client's bounds, 0
	// when there are none.
	Flushes                       *Flushes
	MaxBuffered, MaxBufferedBytes int64
}

// Log makes events durable. It is safe for concurrent use between Start and Stop.
type Log struct {
	cfg     Config
	dep     Dependencies
	account *account
	forward *forwarder
	marks   *marker
	metrics *metrics

	spoolEntries sync.Pool     // of *spoolEntry
	shedCount    atomic.Uint64 // events of known tenants refused for load
	handover     handover      // KafkaFirst: entries on their way to the client
	waiting      deadlines     // KafkaFirst: entries not yet answered
	degraded     atomic.Bool   // KafkaFirst: events go to the spool first
	acks         atomic.Uint64 // records that Kafka acked
	load         load
	live         atomic.Int64 // KafkaFirst: records on their way to Kafka without the spool
	lastLive     atomic.Int64 // Unix nanoseconds of the last of them

	stopping atomic.Bool
	inside   sync.WaitGroup // events given to Record and not yet answered
	cancel   context.CancelFunc
	running  sync.WaitGroup
}

// New returns a log; nothing runs before Start.
func New(cfg Config, dep Dependencies) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, dep: dep, account: newAccount(), handover: newHandover()}
	l.spoolEntries.New = func() any { return newSpoolEntry(l) }
	l.forward = newForwarder(l)
	l.marks = newMarker(l)
	l.metrics = newMetrics(l, dep.Registerer)
	l.degraded.Store(dep.KafkaAway && cfg.First == KafkaFirst)
	return l, nil
}

// Start begins forwarding what the spool holds and writing marks.
func (l *Log) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for _, run := range []func(context.Context){l.forward.run, l.marks.run, l.watchDeadlines} {
		l.running.Go(func() { run(ctx) })
	}
	grouping, cancel := context.WithCancel(ctx)
	l.handover.cancel = cancel
	l.running.Go(func() { l.handOver(grouping); close(l.handover.over) })
}

// Record queues one event and returns at once; done learns what became of it.
// r.Value is copied before Record returns; r's strings must stay valid until
// done is told.
func (l *Log) Record(r *Record, done Waiter) error {
	l.inside.Add(1)
	if l.stopping.Load() {
		l.inside.Done()
		return ErrClosed
	}
	if r.Kind.Fed() && !l.takesFeed(r.Kind) {
		l.inside.Done()
		return ErrFeed
	}
	var err error
	if l.cfg.First == SpoolFirst || l.degraded.Load() {
		err = l.toSpool(r, done)
	} else {
		err = l.toKafka(r, done)
	}
	if err != nil {
		l.inside.Done()
	}
	return err
}

// feedShare is the part of a buffer, or of the spool, up to which it takes fed records.
const feedShare = 0.5

// takesFeed reports whether fed records may come in. They need a topic. Where events are
// acked by Kafka it alone takes them, because the spool is what clicks fall back on; and
// in any order half of the room is kept for clicks.
func (l *Log) takesFeed(kind stream.Kind) bool {
	if l.partitions(kind) == 0 || l.cfg.First == KafkaFirst && l.degraded.Load() {
		return false
	}
	s := l.Signals()
	return s.Buffered < feedShare && (l.cfg.First == KafkaFirst || s.Spool < feedShare)
}

// Shed counts an event refused for load after its tenant was known.
func (l *Log) Shed(tenantID, sourceID string) {
	l.shedCount.Add(1)
	l.account.shed(tenantID, sourceID, l.dep.Now().UnixMicro())
}

// Unrecorded counts a redirect that left no durable record; it is never billed.
func (l *Log) Unrecorded(tenantID, sourceID string) {
	l.account.unrecorded(tenantID, sourceID, l.dep.Now().UnixMicro())
}

// ShedTotal returns how many events of known tenants were refused for load since
// the start.
func (l *Log) ShedTotal() uint64 { return l.shedCount.Load() }

// Ready reports why events would be refused now, nil when they would not.
func (l *Log) Ready() error {
	if l.stopping.Load() {
		return ErrClosed
	}
	if state := l.dep.Spool.Stats().State; state != spool.StateOK && (l.cfg.First == SpoolFirst || l.degraded.Load()) {
		return fmt.Errorf("spool is %s and it is what takes events now; free space or mend the disk of spool.dir", state)
	}
	return nil
}

// Lag returns how many spooled records are not yet in Kafka.
func (l *Log) Lag() uint64 { return l.forward.lag() }

// Stop refuses new events, waits for those inside, drains the spool to Kafka as
// far as the deadline of ctx allows, and writes the boot's final mark. It returns
// ErrUnsent when something was left in the spool for the next boot, and another
// error when events inside got no answer.
func (l *Log) Stop(ctx context.Context) error {
	l.stopping.Store(true)
	err := l.answerAll(ctx)
	if err == nil {
		if late := l.passOn(ctx); late != nil {
			err = fmt.Errorf("%w: %w", ErrUnsent, late)
		}
	}
	l.cancel()
	l.running.Wait()
	return err
}

func (l *Log) answerAll(ctx context.Context) error {
	answered := make(chan struct{})
	go func() { l.inside.Wait(); close(answered) }()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return errors.New("events were still being written when the gateway had to stop; their senders got no answer")
	}
}

func (l *Log) passOn(ctx context.Context) error {
	l.handover.end() // an event that was spooled for its deadline may not be with Kafka's client yet, and nothing may follow the final mark
	if err := l.forward.drained(ctx); err != nil {
		return fmt.Errorf("%d spooled events wait for the next start: %w", l.Lag(), err)
	}
	if err := l.marks.final(ctx); err != nil {
		return fmt.Errorf("the final mark: %w", err)
	}
	return nil
}

// spoolEntry is one event on its way through the spool. Entries are pooled, with
// their callbacks bound once, so that the path allocates nothing.
type spoolEntry struct {
	log    *Log
	rec    Record
	done   Waiter
	seq    uint64    // 0 until the durable write gives it
	since  time.Time // queued, then being written; zero if it is not timed
	waited time.Duration
	buf    []byte
	suffix spool.Suffix
}

func newSpoolEntry(l *Log) *spoolEntry {
	e := &spoolEntry{log: l}
	e.suffix = e.finish
	return e
}

func (l *Log) toSpool(r *Record, done Waiter) error {
	e := l.spoolEntries.Get().(*spoolEntry)
	e.rec, e.done, e.seq, e.since = *r, done, 0, time.Time{}
	suffix := e.suffix
	switch {
	case r.Kind.Fed():
		suffix = nil // the account knows nothing of it
	case l.load.sample():
		e.since = l.dep.Now()
	}
	e.buf = append(append(e.buf[:0], byte(r.Kind)), r.Value...)
	if err := l.dep.Spool.Append(e.buf, suffix, e); err != nil {
		e.release()
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return nil
}

// finish runs at the durable write, in file order: there the event gets its
// sequence, so that sequences stand in the file without gaps.
func (e *spoolEntry) finish(record []byte, _ uint64) []byte {
	l := e.log
	if !e.since.IsZero() {
		now := l.dep.Now()
		e.waited, e.since = now.Sub(e.since), now
	}
	e.seq = l.account.give(e.rec.TenantID, e.rec.SourceID, e.rec.EventTime, e.rec.ReceivedAt)
	return click.AppendIngest(record, &click.IngestID{Gateway: l.dep.Gateway, Boot: l.dep.Boot, Seq: e.seq})
}

// Done implements spool.Waiter.
func (e *spoolEntry) Done(_ uint64, err error) {
	if e.seq != 0 {
		e.log.account.settle(e.seq, err == nil)
	}
	if err == nil && e.seq != 0 {
		e.log.load.flushed.Add(1)
		if !e.since.IsZero() {
			e.log.load.time(e.waited, e.log.dep.Now().Sub(e.since))
		}
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	log, done := e.log, e.done
	e.release()
	done.Done(err)
	log.inside.Done()
}

func (e *spoolEntry) release() {
	e.rec, e.done = Record{}, nil
	e.log.spoolEntries.Put(e)
}
