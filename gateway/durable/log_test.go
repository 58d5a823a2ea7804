package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rig is a log over a fault-injecting file system and a fake Kafka.
type rig struct {
	t       *testing.T
	kafka   *kfake.Cluster
	cfg     stream.Config
	topics  stream.Topics
	client  *kgo.Client
	spool   *spool.Spool
	log     *Log
	stopped bool
}

func newKafka(t *testing.T) (*kfake.Cluster, stream.Config) {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cfg := stream.DefaultConfig()
	cfg.Brokers, cfg.Durability, cfg.CreateTopics, cfg.Partitions = k.ListenAddrs(), stream.SingleNode, true, 3
	return k, cfg
}

func newRig(t *testing.T, fsys spool.FS, first First, boot uint64) *rig {
	t.Helper()
	k, cfg := newKafka(t)
	cfg.AckDeadline = time.Minute // a slow test machine is not a dead broker
	return startRig(t, k, cfg, fsys, first, boot)
}

func startRig(t *testing.T, k *kfake.Cluster, cfg stream.Config, fsys spool.FS, first First, boot uint64) *rig {
	t.Helper()
	return startSilentRig(t, k, cfg, fsys, first, boot, time.Minute)
}

func startSilentRig(t *testing.T, k *kfake.Cluster, cfg stream.Config, fsys spool.FS, first First, boot uint64, silence time.Duration) *rig {
	t.Helper()
	return startClockRig(t, k, cfg, fsys, first, boot, silence, time.Now)
}

func startClockRig(t *testing.T, k *kfake.Cluster, cfg stream.Config, fsys spool.FS, first First, boot uint64, silence time.Duration, now func() time.Time) *rig {
	t.Helper()
	r := &rig{t: t, kafka: k, cfg: cfg}
	flushes := &Flushes{}
	client, err := kgo.NewClient(append(append(cfg.ClientOptions("test"), cfg.ProducerOptions()...), kgo.WithHooks(flushes))...)
	if err != nil {
		t.Fatal(err)
	}
	r.client = client
	if r.topics, err = stream.EnsureTopics(t.Context(), kadm.NewClient(client), &cfg); err != nil {
		t.Fatal(err)
	}
	scfg := spool.DefaultConfig()
	scfg.Dir, scfg.SegmentBytes, scfg.MaxBytes = "spool", 2<<20, 1<<30
	s, recovery, err := spool.Open(fsys, scfg, spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.spool = s
	lcfg := DefaultConfig()
	lcfg.First, lcfg.MarkInterval, lcfg.Silence = first, 20*time.Millisecond, silence
	r.log, err = New(lcfg, Dependencies{
		Spool: s, Backlog: recovery.Records, Client: client, Topics: r.topics, Gateway: "eu/gw", Boot: boot,
		AckDeadline: cfg.AckDeadline, Now: now, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Flushes: flushes, MaxBuffered: int64(cfg.MaxBuffered), MaxBufferedBytes: int64(cfg.MaxBufferedSize),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.log.Start()
	t.Cleanup(r.kill)
	return r
}

// kill ends the log as a dying process would: nothing is drained.
func (r *rig) kill() {
	if r.stopped {
		return
	}
	r.stopped = true
	r.log.stopping.Store(true)
	r.log.cancel()
	r.client.Close()
	r.spool.Close()
	r.log.running.Wait()
}

func (r *rig) stop() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.log.Stop(ctx); err != nil {
		r.t.Fatalf("stop: %v", err)
	}
	r.stopped = true
	r.client.Close()
	if err := r.spool.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// acks collects answers.
type acks struct {
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  map[click.ID]bool
	failed map[click.ID]error
}

func newAcks() *acks { return &acks{acked: map[click.ID]bool{}, failed: map[click.ID]error{}} }

type ackWaiter struct {
	a    *acks
	id   click.ID
	once atomic.Bool
}

func (w *ackWaiter) Done(err error) {
	if !w.once.CompareAndSwap(false, true) {
		panic("Done was called twice")
	}
	w.a.mu.Lock()
	defer w.a.mu.Unlock()
	if err == nil {
		w.a.acked[w.id] = true
	} else {
		w.a.failed[w.id] = err
	}
	w.a.wg.Done()
}

func (r *rig) record(a *acks, n uint64, kind stream.Kind) {
	id := click.ID{byte(n), byte(n >> 8), byte(n >> 16), 7, byte(r.log.dep.Boot)}
	now := time.Now().UnixMicro()
	rec := &Record{Kind: kind, TenantID: "demo", SourceID: fmt.Sprint("s", n%3), ID: id, EventTime: now, ReceivedAt: now}
	if kind == stream.KindDeadLetter {
		rec.Value = click.AppendDeadLetter(nil, &click.DeadLetter{TenantID: "demo", SourceID: rec.SourceID, ReceivedAt: now, Code: "x", LetterID: id, Raw: []byte("raw")})
	} else {
		rec.Value = click.AppendClick(nil, &click.Click{TenantID: "demo", SourceID: rec.SourceID, EventID: id, IDTime: now, EventTime: now, ReceivedAt: now})
	}
	a.wg.Add(1)
	if err := r.log.Record(rec, &ackWaiter{a: a, id: id}); err != nil {
		a.mu.Lock()
		a.failed[id] = err
		a.mu.Unlock()
		a.wg.Done()
	}
}

func (r *rig) recordMany(a *acks, from, n uint64) {
	var wg sync.WaitGroup
	for worker := range uint64(8) {
		wg.Go(func() {
			for i := from + worker; i < from+n; i += 8 {
				kind := stream.KindClick
				if i%10 == 9 {
					kind = stream.KindDeadLetter
				}
				r.record(a, i, kind)
			}
		})
	}
	wg.Wait()
}

// delivered is what stands in the topics.
type delivered struct {
	copies map[click.ID]map[click.IngestID]int
	marks  map[string][]click.Mark // by topic-partition, in order
}

func (r *rig) read() *delivered {
	r.t.Helper()
	d := &delivered{copies: map[click.ID]map[click.IngestID]int{}, marks: map[string][]click.Mark{}}
	c, err := kgo.NewClient(append(r.cfg.ClientOptions("reader"),
		kgo.ConsumeTopics(stream.ClicksTopic, stream.DeadLettersTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(r.t.Context(), stream.ClicksTopic, stream.DeadLettersTopic)
	if err != nil {
		r.t.Fatal(err)
	}
	var left int64
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if ctx.Err() != nil {
			r.t.Fatalf("%d records did not come", left)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			left--
			d.add(r.t, rec)
		})
	}
	return d
}

func (d *delivered) add(t *testing.T, rec *kgo.Record) {
	kind, err := stream.KindOf(rec)
	if err != nil {
		t.Fatal(err)
	}
	tp := fmt.Sprint(rec.Topic, rec.Partition)
	switch kind {
	case stream.KindMark:
		m, err := click.DecodeMark(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		d.marks[tp] = append(d.marks[tp], *m)
	case stream.KindClick:
		var c click.Click
		if err := click.DecodeClick(rec.Value, &c); err != nil {
			t.Fatal(err)
		}
		d.copy(t, tp, c.EventID, c.Ingest)
	case stream.KindDeadLetter:
		l, err := click.DecodeDeadLetter(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		d.copy(t, tp, l.LetterID, l.Ingest)
	}
}

// copy also checks the promise of marks: a first copy behind a mark has a
// sequence that the mark does not vouch for.
func (d *delivered) copy(t *testing.T, tp string, id click.ID, in click.IngestID) {
	if d.copies[id] == nil {
		d.copies[id] = map[click.IngestID]int{}
	}
	if d.copies[id][in] == 0 {
		for _, m := range d.marks[tp] {
			if m.Boot == in.Boot && in.Seq <= m.ThroughSeq {
				t.Errorf("%s: sequence %d of boot %d comes first behind a mark through %d", tp, in.Seq, in.Boot, m.ThroughSeq)
			}
		}
	}
	d.copies[id][in]++
}

// checkFinal demands that every partition ends with the final mark of boot and
// that it counts exactly the acked events.
func (d *delivered) checkFinal(t *testing.T, boot uint64, acked int) {
	t.Helper()
	if len(d.marks) != 6 {
		t.Fatalf("marks in %d partitions, want all 6", len(d.marks))
	}
	for tp, marks := range d.marks {
		last := marks[len(marks)-1]
		var received uint64
		for _, c := range last.Counts {
			received += c.Received
		}
		if last.Boot != boot || !last.Final || received != uint64(acked) || last.ThroughSeq-last.Void != received {
			t.Errorf("%s: last mark boot %d final %v received %d through %d void %d; want boot %d final, %d received",
				tp, last.Boot, last.Final, received, last.ThroughSeq, last.Void, boot, acked)
		}
	}
}

func (d *delivered) checkOnce(t *testing.T, a *acks) {
	t.Helper()
	for id := range a.acked {
		if len(d.copies[id]) != 1 {
			t.Errorf("acked %s has %d ingest ids in the topics, want 1", id, len(d.copies[id]))
		}
	}
}

func TestSpoolFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	a := newAcks()
	r.recordMany(a, 0, 2000)
	a.wg.Wait()
	if len(a.acked) != 2000 {
		t.Fatalf("%d acked, want 2000; failures %v", len(a.acked), a.failed)
	}
	r.log.Shed("demo", "s0")
	r.log.Unrecorded("demo", "s0")
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, 2000)
	for _, marks := range d.marks {
		for _, c := range marks[len(marks)-1].Counts {
			if c.SourceID == "s0" && (c.Shed != 1 || c.Unrecorded != 1) {
				t.Errorf("shed %d, unrecorded %d; want 1 and 1", c.Shed, c.Unrecorded)
			}
		}
	}
}

func TestKafkaFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	a := newAcks()
	r.recordMany(a, 0, 2000)
	a.wg.Wait()
	if got := r.spool.Stats().Records; got != 0 {
		t.Errorf("%d records took the spool although Kafka answered", got)
	}
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, 2000)
}

// Kafka stops answering: acks go on from the spool. It comes back: everything is
// there, every event under one ingest id, and new events go to Kafka again.
func TestKafkaHangs(t *testing.T) {
	t.Parallel()
	t.Run("past its deadline", func(t *testing.T) {
		t.Parallel()
		testKafkaHangs(t, time.Second, time.Minute)
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		testKafkaHangs(t, time.Minute, time.Second)
	})
}

func testKafkaHangs(t *testing.T, deadline, silence time.Duration) {
	k, cfg := newKafka(t)
	cfg.AckDeadline = deadline
	r := startSilentRig(t, k, cfg, faultfs.New(), KafkaFirst, 1, silence)
	var hang atomic.Bool
	hang.Store(true)
	release := make(chan struct{})
	r.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		r.kafka.KeepControl()
		if hang.Load() {
			r.kafka.SleepControl(func() { <-release })
		}
		return nil, nil, false
	})
	a := newAcks()
	r.recordMany(a, 0, 500)
	a.wg.Wait()
	if len(a.acked) != 500 || !r.log.degraded.Load() {
		t.Fatalf("%d of 500 acked, degraded %v, failures %v", len(a.acked), r.log.degraded.Load(), a.failed)
	}
	if got := r.spool.Stats().Records; got < 500 {
		t.Fatalf("the spool took %d records, want all 500", got)
	}
	// The forwarder reads the spool a moment after the acks.
	for deadline := time.Now().Add(time.Minute); r.log.forward.age(time.Now()) <= 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the oldest of 500 waiting records is 0s old")
		}
	}
	hang.Store(false)
	close(release)
	// Back alone: sooner or later a whole round needs no spool.
	n := uint64(500)
	for deadline := time.Now().Add(time.Minute); ; n += 50 {
		spooled := r.spool.Stats().Records
		r.recordMany(a, n, 50)
		a.wg.Wait()
		if r.spool.Stats().Records == spooled {
			n += 50
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the log did not go back to Kafka")
		}
		// This loop could feed the spool faster than a busy machine drains it.
		if err := r.log.forward.drained(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	if age := r.log.forward.age(time.Now()); age != 0 {
		t.Errorf("nothing waits, and it is %v old", age)
	}
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, int(n))
}

// Kafka refuses for good, once after it did the work: no event is lost and none
// gets a second ingest id.
func TestKafkaAnswersErrors(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	var hits atomic.Int64
	for _, err := range []*kerr.Error{kerr.InvalidRecord, kerr.NotEnoughReplicasAfterAppend} {
		r.kafka.Fault(kfake.Fault{
			Keys: []kmsg.Key{kmsg.Produce}, Topic: stream.ClicksTopic, Err: err, Count: 3,
			When: func(kmsg.Request) bool { hits.Add(1); return true },
		})
	}
	a := newAcks()
	r.recordMany(a, 0, 1000)
	a.wg.Wait()
	if len(a.acked) != 1000 || hits.Load() == 0 {
		t.Fatalf("%d of 1000 acked under %d faults, failures %v", len(a.acked), hits.Load(), a.failed)
	}
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, 1000)
}

func TestFailedFsyncIsNeverAcked(t *testing.T) {
	t.Parallel()
	fsys := faultfs.New()
	r := newRig(t, fsys, SpoolFirst, 1)
	a := newAcks()
	r.recordMany(a, 0, 200)
	a.wg.Wait()
	fsys.Fail(faultfs.Sync, 0, 1, errors.New("input/output error"))
	r.record(a, 200, stream.KindClick)
	a.wg.Wait()
	if len(a.failed) != 1 {
		t.Fatalf("%d failures, want exactly the one under the failed fsync", len(a.failed))
	}
	for _, err := range a.failed {
		if !errors.Is(err, ErrFailed) {
			t.Errorf("got %v, want ErrFailed", err)
		}
	}
	if err := r.spool.Recover(); err != nil {
		t.Fatal(err)
	}
	r.recordMany(a, 300, 200)
	a.wg.Wait()
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, 400)
	for id := range a.failed {
		if len(d.copies[id]) != 0 {
			t.Errorf("the failed event reached Kafka")
		}
	}
}

// The process dies with a backlog in the spool, on a file system that keeps only
// what was synced; the next boot forwards it under the old ingest ids, and vouches
// for nothing before that.
func TestCrashWithBacklog(t *testing.T) {
	t.Parallel()
	k, cfg := newKafka(t)
	fsys := faultfs.New()
	r := startRig(t, k, cfg, fsys, SpoolFirst, 1)
	var down atomic.Bool
	down.Store(true)
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if down.Load() {
			return nil, errors.New("connection cut"), true
		}
		return nil, nil, false
	})
	a := newAcks()
	r.recordMany(a, 0, 1000)
	a.wg.Wait()
	if len(a.acked) != 1000 {
		t.Fatalf("%d of 1000 acked: %v", len(a.acked), a.failed)
	}
	after := fsys.Crash(rand.New(rand.NewPCG(1, 2)))
	r.kill()
	down.Store(false)

	r = startRig(t, k, cfg, after, SpoolFirst, 2)
	b := newAcks()
	r.recordMany(b, 0, 500)
	b.wg.Wait()
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkOnce(t, b)
	d.checkFinal(t, 2, 500)
	if len(d.copies) != 1500 {
		t.Errorf("%d events in the topics, want 1500", len(d.copies))
	}
}

func TestStoppedLogRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	r.stop()
	a := newAcks()
	r.record(a, 1, stream.KindClick)
	for _, err := range a.failed {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
	if len(a.failed) != 1 || !errors.Is(r.log.Ready(), ErrClosed) {
		t.Errorf("failures %v, ready %v", a.failed, r.log.Ready())
	}
}

// Segments go when the store has passed them, and not before.
func TestReleaseWaitsForTheStore(t *testing.T) {
	t.Parallel()
	var stored atomic.Bool
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	r.log.dep.StoredThrough = func(context.Context, string) (map[int32]int64, error) {
		if !stored.Load() {
			return map[int32]int64{}, nil
		}
		return map[int32]int64{0: 1 << 40, 1: 1 << 40, 2: 1 << 40}, nil
	}
	a := newAcks()
	r.recordMany(a, 0, 500)
	a.wg.Wait()
	if err := r.log.forward.drained(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.log.ReleaseStored(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.spool.Stats().Bytes; n < 50_000 {
		t.Fatalf("the spool shrank to %d bytes before the store had its records", n)
	}
	stored.Store(true)
	if err := r.log.ReleaseStored(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.spool.Stats().Bytes; n > 50_000 {
		t.Errorf("the spool still holds %d bytes although the store has everything", n)
	}
}
