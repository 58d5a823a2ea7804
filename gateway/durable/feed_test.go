package durable

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/spool/faultfs"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// feed gives the log an impression or a conversion.
func (r *rig) feed(a *acks, n uint64, kind stream.Kind) {
	id := click.ID{byte(n), byte(n >> 8), 9}
	rec := &Record{Kind: kind, TenantID: "demo", SourceID: "s0", ID: id, EventTime: 1, ReceivedAt: 1}
	if kind == stream.KindImpression {
		rec.Value = click.AppendImpression(nil, &click.Impression{TenantID: "demo", ClickID: id, ShownAt: 1})
	} else {
		c := click.Conversion{TenantID: "demo", SourceID: "s0", ClickID: id, ConvertedAt: 1, ReceivedAt: 1, Kind: "sale"}
		rec.Value, rec.ID = click.AppendConversion(nil, &c), c.Key()
	}
	a.wg.Add(1)
	if err := r.log.Record(rec, &ackWaiter{a: a, id: rec.ID}); err != nil {
		a.mu.Lock()
		a.failed[rec.ID] = err
		a.mu.Unlock()
		a.wg.Done()
	}
}

// fed reads the topics of the feeds: how often each id stands there, behind how many marks
// at most, and the marks by partition.
func (r *rig) fed(topics ...string) (ids map[click.ID]int, marks map[string][]click.Mark) {
	r.t.Helper()
	ids, marks = map[click.ID]int{}, map[string][]click.Mark{}
	c, err := kgo.NewClient(append(r.cfg.ClientOptions("reader"), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(r.t.Context(), topics...)
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
			tp := fmt.Sprint(rec.Topic, rec.Partition)
			switch kind, _ := stream.KindOf(rec); kind {
			case stream.KindMark:
				m, err := click.DecodeMark(rec.Value)
				if err != nil {
					r.t.Fatal(err)
				}
				marks[tp] = append(marks[tp], *m)
			case stream.KindImpression:
				i, err := click.DecodeImpression(rec.Value)
				if err != nil {
					r.t.Fatal(err)
				}
				if n := len(marks[tp]); n > 0 && marks[tp][n-1].Final {
					r.t.Errorf("%s: an impression behind the final mark", tp)
				}
				ids[i.ClickID]++
			case stream.KindConversion:
				v, err := click.DecodeConversion(rec.Value)
				if err != nil {
					r.t.Fatal(err)
				}
				ids[v.Key()]++
			}
		})
	}
	return ids, marks
}

// TestFeeds: in either order what a feed sends comes to its topic before it is answered,
// in front of the marks that say so, and the account has nothing of it.
func TestFeeds(t *testing.T) {
	t.Parallel()
	for _, first := range []First{SpoolFirst, KafkaFirst} {
		t.Run(string(first), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, faultfs.New(), first, 1)
			a, events := newAcks(), newAcks()
			for n := range uint64(300) {
				r.feed(a, n, stream.KindImpression)
				if n%10 == 0 {
					r.feed(a, n, stream.KindConversion)
					r.record(events, n, stream.KindClick)
				}
			}
			a.wg.Wait()
			events.wg.Wait()
			if len(a.acked) != 330 || len(events.acked) != 30 {
				t.Fatalf("%d and %d acked, want 330 and 30; failures %v", len(a.acked), len(events.acked), a.failed)
			}
			r.stop()
			ids, marks := r.fed(stream.ImpressionsTopic, stream.ConversionsTopic)
			for id := range a.acked {
				if ids[id] == 0 {
					t.Errorf("%s was acked and is in no topic", id)
				}
			}
			if len(ids) != 330 || len(marks) != 3 {
				t.Errorf("%d ids, marks in %d partitions; want 330 in the 3 of impressions", len(ids), len(marks))
			}
			for tp, list := range marks {
				last := list[len(list)-1]
				if !last.Final || last.ImpressionPartitions != 3 || len(last.Counts)+len(last.Oldest) != 0 || last.At == 0 {
					t.Errorf("%s: last mark %+v", tp, last)
				}
			}
			r.read().checkFinal(t, 1, 30) // of the events alone
		})
	}
}

// TestFeedsGiveWay: while Kafka does not answer, the spool is for clicks.
func TestFeedsGiveWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), KafkaFirst, 1)
	before := r.spool.Stats().DurableSeq
	r.log.degraded.Store(true)
	a := newAcks()
	r.feed(a, 1, stream.KindImpression)
	a.wg.Wait()
	for _, err := range a.failed {
		if !errors.Is(err, ErrFeed) {
			t.Errorf("refused with %v", err)
		}
	}
	if len(a.failed) != 1 || r.spool.Stats().DurableSeq != before {
		t.Errorf("refused %v; the spool went from %d to %d", a.failed, before, r.spool.Stats().DurableSeq)
	}
	r.record(a, 2, stream.KindClick)
	a.wg.Wait()
	if len(a.acked) != 1 {
		t.Errorf("a click beside it failed: %v", a.failed)
	}
}

// TestFeedsFailWithKafka: a record that Kafka does not take leaves no copy in the spool, and
// says nothing of Kafka to the clicks.
func TestFeedsFailWithKafka(t *testing.T) {
	t.Parallel()
	k, cfg := newKafka(t)
	cfg.AckDeadline = 50 * time.Millisecond
	r := startRig(t, k, cfg, faultfs.New(), KafkaFirst, 1)
	k.Close()
	a := newAcks()
	r.feed(a, 1, stream.KindImpression)
	a.wg.Wait()
	if len(a.failed) != 1 || r.spool.Stats().DurableSeq != 0 || r.log.degraded.Load() {
		t.Errorf("failed %v; %d records in the spool; degraded %v", a.failed, r.spool.Stats().DurableSeq, r.log.degraded.Load())
	}
	r.record(a, 2, stream.KindClick)
	a.wg.Wait()
	if len(a.acked) != 1 || r.spool.Stats().DurableSeq != 1 || !r.log.degraded.Load() {
		t.Errorf("a click has to go to the spool: acked %d, %d records there, failures %v", len(a.acked), r.spool.Stats().DurableSeq, a.failed)
	}
}

// TestFeedTopicGone: what the spool holds of a feed whose topic is gone is kept among the
// dead letters and holds nothing up.
func TestFeedTopicGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, faultfs.New(), SpoolFirst, 1)
	payload := append([]byte{byte(stream.KindImpression)}, click.AppendImpression(nil, &click.Impression{TenantID: "demo", ClickID: click.ID{1}, ShownAt: 1})...)
	r.log.dep.Topics.Impressions = stream.TopicInfo{}
	rec, _ := r.log.record(payload)
	if rec.Topic != stream.DeadLettersTopic || string(rec.Value) != string(payload[1:]) || int(rec.Partition) >= r.topics.DeadLetters.Partitions {
		t.Errorf("record %+v", rec)
	}
	a := newAcks()
	r.feed(a, 1, stream.KindImpression)
	if len(a.failed) != 1 {
		t.Error("a feed without a topic was taken")
	}
}
