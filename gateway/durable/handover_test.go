package durable

import (
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestHandoverGroups(t *testing.T) {
	t.Parallel()
	h := newHandover()
	var group []*kafkaEntry
	for round := range 3 {
		var added []*kafkaEntry
		for range 5 {
			e := new(kafkaEntry)
			if added = append(added, e); h.add(e, time.Unix(int64(round), 0)) != nil {
				t.Fatalf("round %d: an entry is turned away", round)
			}
		}
		if len(h.some) != 1 {
			t.Fatalf("round %d: told %d times that somebody waits, want once", round, len(h.some))
		}
		<-h.some
		if group = h.take(group, round == 2); !slices.Equal(group, added) {
			t.Errorf("round %d: a group of %d, want the %d in their order", round, len(group), len(added))
		}
	}
	if e := new(kafkaEntry); !slices.Equal(h.add(e, time.Time{}), []*kafkaEntry{e}) {
		t.Error("an entry waits for a group that nobody takes")
	}
}

// Whoever finds that the first of a group has waited long enough gives the group to Kafka,
// and the next one begins.
func TestHandoverTakesNoLonger(t *testing.T) {
	t.Parallel()
	h := newHandover()
	now := time.Unix(1, 0)
	for round := range 3 {
		var added []*kafkaEntry
		for n := range 5 {
			e := new(kafkaEntry)
			added = append(added, e)
			due := h.add(e, now)
			if n < 4 && due != nil {
				t.Fatalf("round %d: entry %d is given a group of %d", round, n, len(due))
			}
			if n == 4 && !slices.Equal(due, added) {
				t.Errorf("round %d: %d entries are due, want all %d in their order", round, len(due), len(added))
			}
			now = now.Add(groupTime / 4)
		}
	}
	if len(h.some) != 1 {
		t.Errorf("told %d times that somebody waits, want once", len(h.some))
	}
	if group := h.take(nil, false); len(group) != 0 {
		t.Errorf("%d entries are left", len(group))
	}
}

// Whoever comes, from many goroutines and when there are no more groups, comes to Kafka.
func TestHandoverLeavesNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	a := newAcks()
	const events = 2000
	r.recordMany(a, 0, events)
	a.wg.Wait()
	r.log.cancel()
	r.log.running.Wait() // no group from here on
	r.recordMany(a, events, events)
	a.wg.Wait()
	if len(a.failed) > 0 || len(a.acked) != 2*events {
		t.Fatalf("%d acked and %d failed, want %d and none", len(a.acked), len(a.failed), 2*events)
	}
	if n := r.spool.Stats().Records; n != 0 {
		t.Errorf("%d records went to the spool, want none: Kafka was there", n)
	}
	if n := len(r.read().copies); n != 2*events {
		t.Errorf("%d events are in Kafka, want %d", n, 2*events)
	}
}

// An event that was spooled for its deadline before it had its turn is answered, so a stop
// does not wait for it; its record still comes before the final mark.
func TestHandoverEndsBeforeTheFinalMark(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	a := newAcks()
	a.wg.Add(1)
	id := click.ID{1}
	value := click.AppendClick(nil, &click.Click{TenantID: "demo", SourceID: "s", EventID: id, EventTime: 1, ReceivedAt: 1})
	e := r.log.newKafkaEntry(&Record{Kind: stream.KindClick, TenantID: "demo", SourceID: "s", ID: id, EventTime: 1, ReceivedAt: 1, Value: value}, &ackWaiter{a: a, id: id}, time.Now())
	r.log.inside.Add(1)
	r.log.handover.mu.Lock()
	r.log.handover.waiting = append(r.log.handover.waiting, e) // and nobody says so
	r.log.handover.mu.Unlock()
	e.answer(nil)
	r.stop()
	kinds := r.kinds(e.rec.Partition)
	if want := []stream.Kind{stream.KindClick, stream.KindMark}; !slices.Equal(kinds, want) {
		t.Errorf("the partition holds %v, want %v", kinds, want)
	}
}

// kinds reads what a partition of clicks holds, in order.
func (r *rig) kinds(partition int32) (kinds []stream.Kind) {
	r.t.Helper()
	c, err := kgo.NewClient(append(r.cfg.ClientOptions("reader"), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		stream.ClicksTopic: {partition: kgo.NewOffset().AtStart()},
	}))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(r.t.Context(), stream.ClicksTopic)
	if err != nil {
		r.t.Fatal(err)
	}
	end, _ := ends.Lookup(stream.ClicksTopic, partition)
	for int64(len(kinds)) < end.Offset {
		fetches := c.PollFetches(r.t.Context())
		if err := fetches.Err(); err != nil {
			r.t.Fatal(err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			kind, err := stream.KindOf(rec)
			if err != nil {
				r.t.Fatal(err)
			}
			kinds = append(kinds, kind)
		})
	}
	return kinds
}

// requests counts produce requests.
type requests struct{ n atomic.Int64 }

func (r *requests) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, _ kgo.BrokerE2E) {
	if key == produceKey {
		r.n.Add(1)
	}
}

// newBenchLog starts a log that hands over to a broker in this process.
func newBenchLog(b *testing.B) (*Log, *requests) {
	b.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(k.Close)
	cfg, sent := stream.DefaultConfig(), &requests{}
	cfg.Brokers, cfg.Durability, cfg.CreateTopics, cfg.AckDeadline = k.ListenAddrs(), stream.SingleNode, true, time.Minute
	client, err := kgo.NewClient(append(append(cfg.ClientOptions("bench"), cfg.ProducerOptions()...), kgo.WithHooks(sent))...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	topics, err := stream.EnsureTopics(b.Context(), kadm.NewClient(client), &cfg)
	if err != nil {
		b.Fatal(err)
	}
	scfg := spool.DefaultConfig()
	scfg.Dir = "spool"
	s, _, err := spool.Open(faultfs.New(), scfg, spool.Options{})
	if err != nil {
		b.Fatal(err)
	}
	lcfg := DefaultConfig()
	lcfg.First, lcfg.Silence = KafkaFirst, time.Minute
	l, err := New(lcfg, Dependencies{
		Spool: s, Client: client, Topics: topics, Gateway: "eu/gw", Boot: 1, AckDeadline: cfg.AckDeadline,
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	l.Start()
	b.Cleanup(func() {
		l.stopping.Store(true)
		l.cancel()
		_ = s.Close()
		l.running.Wait()
	})
	return l, sent
}

// BenchmarkToKafka is a click from Record to Kafka's answer, 64 at once, with the broker
// in the same process, and how many of them one produce request carries; beside it the
// same without groups.
func BenchmarkToKafka(b *testing.B) {
	b.Run("in groups", func(b *testing.B) { toKafka(b, false) })
	b.Run("one by one", func(b *testing.B) { toKafka(b, true) })
}

func toKafka(b *testing.B, alone bool) {
	l, sent := newBenchLog(b)
	l.handover.mu.Lock()
	l.handover.ended = alone
	l.handover.mu.Unlock()
	value := click.AppendClick(nil, &click.Click{TenantID: "demo", SourceID: "edge", EventTime: 1, ReceivedAt: 1, Evidence: make([]byte, 500)})
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Uint64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			done := make(toldLater, 1)
			for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
				at := time.Now().UnixMicro()
				id := click.ID{byte(n), byte(n >> 8), byte(n >> 16)}
				rec := Record{Kind: stream.KindClick, TenantID: "demo", SourceID: "edge", ID: id, EventTime: at, ReceivedAt: at, Value: value}
				if err := l.Record(&rec, done); err != nil {
					b.Error(err)
					return
				}
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/float64(max(1, sent.n.Load())), "clicks/request")
}
