package durable

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cutKafka makes every produce fail while down is set.
func cutKafka(k *kfake.Cluster) (down *atomic.Bool) {
	down = new(atomic.Bool)
	down.Store(true)
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if down.Load() {
			return nil, errors.New("connection cut"), true
		}
		return nil, nil, false
	})
	return down
}

// backlog leaves n acknowledged clicks in the spool of fsys, as a gateway does that
// is killed while Kafka is away.
func backlog(t *testing.T, k *kfake.Cluster, cfg stream.Config, fsys *faultfs.FS, n uint64) *acks {
	t.Helper()
	down := cutKafka(k)
	r := startRig(t, k, cfg, fsys, SpoolFirst, 1)
	a := newAcks()
	for from := uint64(0); from < n; from += 2000 { // as many as may wait for the disk
		r.recordMany(a, from, min(2000, n-from))
		a.wg.Wait()
	}
	if len(a.acked) != int(n) {
		t.Fatalf("%d of %d acked: %v", len(a.acked), n, a.failed)
	}
	r.kill()
	down.Store(false)
	return a
}

// overtaken counts how many spooled records Kafka acked while each of the live
// clicks waited for its ack: the most of one, and all.
func (r *rig) overtaken(from, n uint64) (most, all uint64) {
	for i := from; i < from+n; i++ {
		before := r.log.acks.Load()
		r.recordAndWait(i)
		passed := r.log.acks.Load() - before
		most, all = max(most, passed), all+passed
	}
	return most, all
}

// A backlog is replayed behind live traffic: a live click stands behind a few
// records of it and not behind all that the producer would take, and yet the
// backlog moves. Told in records, so that the machine's speed does not matter.
func TestReplayGivesWay(t *testing.T) {
	t.Parallel()
	most, left := playReplay(t, false)
	t.Logf("a live click waited for %d records of a backlog of %d at most", most, left)
	if most > 4*leastReplay || left < replayBacklog/2 {
		t.Errorf("a live click waited for %d records; the backlog was %d then", most, left)
	}
	// The same without the share: else the bound above could not fail.
	if most, left := playReplay(t, true); most <= 4*leastReplay {
		t.Errorf("without a share a live click waited for %d records only, of a backlog of %d", most, left)
	}
}

const replayBacklog = 12_000

// playReplay starts a log with a backlog at a slow broker and sends clicks one after
// the other. It returns the most records that one of them waited for, and the
// backlog behind the last.
func playReplay(t *testing.T, shareless bool) (most, left uint64) {
	t.Helper()
	k, cfg := newKafka(t)
	cfg.AckDeadline = time.Minute
	fsys := faultfs.New()
	backlog(t, k, cfg, fsys, replayBacklog)
	throttle(k, 20_000)
	r := startRig(t, k, cfg, fsys.Kill(), KafkaFirst, 2)
	if shareless {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for ctx.Err() == nil {
				r.log.lastLive.Store(0) // as if nobody clicked
				time.Sleep(time.Millisecond)
			}
		}()
	}
	most, all := r.overtaken(1<<20, 40)
	if left = r.log.Lag(); all < leastReplay {
		t.Errorf("the replay stood still: it acked %d records meanwhile", all)
	}
	r.stop()
	return most, left
}

// Kafka away and the disk full: events are refused as such, readiness says why, and
// with space, still without Kafka, the log takes events again by itself. What was
// acknowledged before, between and after arrives.
func TestDiskFullAndKafkaAway(t *testing.T) {
	t.Parallel()
	for _, first := range []First{KafkaFirst, SpoolFirst} {
		t.Run(string(first), func(t *testing.T) {
			t.Parallel()
			testDiskFull(t, first)
		})
	}
}

func testDiskFull(t *testing.T, first First) {
	k, cfg := newKafka(t)
	cfg.AckDeadline = 200 * time.Millisecond
	fsys := faultfs.New()
	r := startSilentRig(t, k, cfg, fsys, first, 1, 100*time.Millisecond)
	down := cutKafka(k)
	a := newAcks()
	r.recordMany(a, 0, 200)
	a.wg.Wait()
	fsys.SetSize(fsys.Used() + 8<<10)
	n := uint64(1000)
	for deadline := time.Now().Add(time.Minute); len(a.failed) < 100; n += 50 {
		r.recordMany(a, n, 50)
		a.wg.Wait()
		if time.Now().After(deadline) {
			t.Fatalf("a full disk takes events: %d acked, %d failed", len(a.acked), len(a.failed))
		}
	}
	for id, err := range a.failed {
		if !errors.Is(err, ErrFull) && !errors.Is(err, ErrFailed) || errors.Is(err, ErrFailed) && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := r.log.Ready(); err == nil {
		t.Error("the log is ready although it takes nothing")
	}
	fsys.SetSize(-1)
	acked := len(a.acked)
	for deadline := time.Now().Add(time.Minute); len(a.acked) < acked+100; n += 50 {
		r.recordMany(a, n, 50)
		a.wg.Wait()
		if time.Now().After(deadline) {
			t.Fatalf("space is back and nothing is taken; ready: %v", r.log.Ready())
		}
	}
	if err := r.log.Ready(); err != nil {
		t.Errorf("space is back: %v", err)
	}
	down.Store(false)
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	d.checkFinal(t, 1, len(a.acked))
	for id := range a.failed {
		if len(d.copies[id]) > 0 && first == SpoolFirst {
			t.Errorf("%s was refused and is in Kafka", id)
		}
	}
}

// The default deadlines by the log's own clock: two seconds after Kafka fell silent
// everything is answered from the spool, and not before a deadline has passed.
func TestSwitchesWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]time.Duration{"silent": DefaultConfig().Silence, "past its deadline": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k, cfg := newKafka(t)
			begun := time.Now()
			var passed atomic.Int64
			now := func() time.Time { return begun.Add(time.Duration(passed.Load())) }
			r := startClockRig(t, k, cfg, faultfs.New(), KafkaFirst, 1, silence, now)
			down := cutKafka(k)
			a := newAcks()
			r.recordMany(a, 0, 300)
			time.Sleep(200 * time.Millisecond) // ten looks at the clock
			if n := r.spool.Stats().Records; n != 0 {
				t.Errorf("%d events took the spool before their time", n)
			}
			passed.Store(int64(2 * time.Second))
			a.wg.Wait()
			if len(a.acked) != 300 || !r.log.degraded.Load() {
				t.Errorf("%d of 300 acked, degraded %v, failures %v", len(a.acked), r.log.degraded.Load(), a.failed)
			}
			down.Store(false)
			r.stop()
			d := r.read()
			d.checkOnce(t, a)
			d.checkFinal(t, 1, 300)
		})
	}
}

// A failed shipment leads back to the oldest record that Kafka has not acked. Until
// it has been read again its segment must stay, whatever was read behind it.
func TestSegmentsStayOverARewind(t *testing.T) {
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
	rec := &kgo.Record{Topic: stream.ClicksTopic}
	one, two, three := send(1, 1), send(2, 2), send(3, 3)
	f.done(one, rec, nil)
	f.done(three, rec, nil)
	if got := f.ackedBefore(); got != 2 {
		t.Errorf("segments before %d may go, want 2", got)
	}
	f.done(two, rec, errors.New("no answer"))
	if from := f.rewind(t.Context()); from.Segment != 2 || f.sent() != 1 {
		t.Errorf("goes on in segment %d behind record %d", from.Segment, f.sent())
	}
	if got := f.ackedBefore(); got != 2 {
		t.Errorf("after the rewind segments before %d may go, want 2", got)
	}
}

// Segments go as Kafka acks their records and never before, whatever fails on the
// way: releases are asked for all the time, produce requests fail by turns.
func TestSegmentsGoAfterTheAck(t *testing.T) {
	t.Parallel()
	k, cfg := newKafka(t)
	r := startRig(t, k, cfg, faultfs.New(), SpoolFirst, 1)
	var tries, failed atomic.Int64
	var whole atomic.Bool // the faults are over
	k.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if tries.Add(1)%4 != 0 || whole.Load() {
			return nil, nil, false
		}
		failed.Add(1)
		return refused(req.(*kmsg.ProduceRequest)), nil, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			_ = r.log.forward.release(ctx)
		}
	}()
	a := newAcks()
	n := uint64(0)
	for ; n < 600 || n < 6000 && failed.Load() < 3; n++ {
		if r.recordBig(a, n, 16<<10); n%50 == 0 {
			a.wg.Wait()
		}
	}
	a.wg.Wait()
	if len(a.acked) != int(n) {
		t.Fatalf("%d of %d acked: %v", len(a.acked), n, a.failed)
	}
	if err := r.log.forward.drained(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole.Store(true)
	r.stop()
	d := r.read()
	d.checkOnce(t, a)
	st := r.spool.Stats()
	t.Logf("%d produce requests, %d of them failed, %d segments left", tries.Load(), failed.Load(), len(r.spool.Segments()))
	if failed.Load() < 3 || st.ActiveSegment < 4 || len(r.spool.Segments()) == int(st.ActiveSegment) {
		t.Errorf("too little happened: %d failures, %d segments begun, %d left", failed.Load(), st.ActiveSegment, len(r.spool.Segments()))
	}
}

// refused answers a produce request with an error that the client does not retry.
func refused(req *kmsg.ProduceRequest) kmsg.Response {
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range req.Topics {
		out := kmsg.NewProduceResponseTopic()
		out.Topic, out.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			one := kmsg.NewProduceResponseTopicPartition()
			one.Partition, one.ErrorCode = p.Partition, 87 // INVALID_RECORD
			out.Partitions = append(out.Partitions, one)
		}
		res.Topics = append(res.Topics, out)
	}
	return res
}

// recordBig records a click with so many bytes of evidence.
func (r *rig) recordBig(a *acks, n uint64, size int) {
	id := click.ID{byte(n), byte(n >> 8), byte(n >> 16), 7, 9}
	now := time.Now().UnixMicro()
	rec := &Record{Kind: stream.KindClick, TenantID: "demo", SourceID: "s", ID: id, EventTime: now, ReceivedAt: now}
	rec.Value = click.AppendClick(nil, &click.Click{TenantID: "demo", SourceID: "s", EventID: id, IDTime: now, EventTime: now, ReceivedAt: now, Evidence: make([]byte, size)})
	a.wg.Add(1)
	if err := r.log.Record(rec, &ackWaiter{a: a, id: id}); err != nil {
		r.t.Error(err)
		a.wg.Done()
	}
}

// Live traffic of a moment ago holds a replay back, and none does that a clock which was
// set back since puts into the future: the replay would crawl until the clock caught up.
func TestReplayShareAndTheClock(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	const now = int64(1_795_000_000)
	l := &Log{cfg: cfg, dep: Dependencies{Now: func() time.Time { return time.Unix(now, 0) }}}
	for _, c := range []struct {
		last int64 // seconds from now; 0: nobody clicked yet
		want int
	}{
		{0, cfg.InFlight}, {-1, leastReplay}, {-3, cfg.InFlight}, {3600, cfg.InFlight},
	} {
		l.lastLive.Store(0)
		if c.last != 0 {
			l.lastLive.Store((now + c.last) * int64(time.Second))
		}
		if got := l.replayShare(); got != c.want {
			t.Errorf("the last live record %d s from now: %d records in flight, want %d", c.last, got, c.want)
		}
	}
}
