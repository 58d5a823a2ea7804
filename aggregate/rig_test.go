package aggregate_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// rig is a broker in memory, a store in a file, and a producer.
type rig struct {
	*testing.T
	cfg    stream.Config
	client *kgo.Client
	admin  *kadm.Client
	topics stream.Topics
	store  *sqlite.Store
}

func newRig(t *testing.T, partitions int) *rig {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	r := &rig{T: t, cfg: stream.DefaultConfig()}
	r.cfg.Brokers, r.cfg.Durability, r.cfg.CreateTopics, r.cfg.Partitions = k.ListenAddrs(), stream.SingleNode, true, partitions
	r.client, err = kgo.NewClient(append(r.cfg.ClientOptions("test"), r.cfg.ProducerOptions()...)...)
	r.must(err)
	t.Cleanup(r.client.Close)
	r.admin = kadm.NewClient(r.client)
	r.topics, err = stream.EnsureTopics(t.Context(), r.admin, &r.cfg)
	r.must(err)
	r.store, err = sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), sqlite.Config{})
	r.must(err)
	t.Cleanup(func() { _ = r.store.Close() })
	r.must(r.store.Migrate(t.Context()))
	return r
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// produce writes records in order and waits for them.
func (r *rig) produce(records ...*kgo.Record) {
	r.Helper()
	r.must(r.client.ProduceSync(r.Context(), records...).FirstErr())
}

// clicks are records of valid clicks from number first on, a second apart, all in
// partition 0 when there is but one.
func (r *rig) clicks(first, n int) (records []*kgo.Record) {
	for i := first; i < first+n; i++ {
		records = append(records, r.click(aggregate.NewClick(uint64(i), aggregate.TestTime+int64(i)*1_000_000)))
	}
	return records
}

func (r *rig) click(c *click.Click) *kgo.Record {
	key := stream.AppendKey(nil, c.TenantID, c.EventID)
	return stream.NewRecord(stream.KindClick, c.TenantID, key, aggregate.ClickValue(c), r.topics.Clicks.Partitions)
}

func (r *rig) letter(d *click.DeadLetter) *kgo.Record {
	key := stream.AppendKey(nil, d.TenantID, d.LetterID)
	return stream.NewRecord(stream.KindDeadLetter, d.TenantID, key, aggregate.LetterValue(d), r.topics.DeadLetters.Partitions)
}

// running is an aggregator at work.
type running struct {
	*aggregate.Aggregator
	rig  *rig
	reg  *prometheus.Registry
	once sync.Once
}

// start runs an aggregator on store, which stops with the test.
func (r *rig) start(store aggregate.Ingest, owner string, change ...func(*aggregate.Config)) *running {
	r.Helper()
	cfg := aggregate.DefaultConfig()
	cfg.MaxWait, cfg.RetryPause, cfg.MaxRecords = 20*time.Millisecond, 20*time.Millisecond, 200
	for _, f := range change {
		f(&cfg)
	}
	a := &running{rig: r, reg: prometheus.NewRegistry()}
	var err error
	a.Aggregator, err = aggregate.New(cfg, aggregate.Dependencies{
		Store: store, Owner: owner, Now: time.Now, Registerer: a.reg,
		Logger: slog.New(slog.NewTextHandler(r.Output(), nil)),
		Kafka: append(r.cfg.ClientOptions(owner), kgo.AutoCommitInterval(100*time.Millisecond),
			kgo.HeartbeatInterval(50*time.Millisecond), kgo.RebalanceTimeout(time.Second)),
	})
	r.must(err)
	a.Start()
	r.Cleanup(a.stop)
	return a
}

func (a *running) stop() {
	a.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			a.rig.Error(err)
		}
	})
}

// metric returns the value of a counter or gauge, or the sum of a histogram.
func (a *running) metric(name string, labels ...string) float64 {
	a.rig.Helper()
	families, err := a.reg.Gather()
	a.rig.must(err)
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if len(labels) > 0 && m.GetLabel()[0].GetValue() != labels[0] {
				continue
			}
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
		}
	}
	return 0
}

func (a *running) sessionErrors(cause string) float64 {
	a.rig.Helper()
	return a.metric("clickgate_aggregate_session_errors_total", cause)
}

// eventually polls until done, for as long as a slow machine may take.
func (r *rig) eventually(what string, done func() bool) {
	r.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			r.Fatalf("waited in vain: %s", what)
		case <-tick.C:
		}
	}
}

// next returns the store's position in a partition of the clicks topic.
func (r *rig) next(partition int32) int64 {
	r.Helper()
	next, err := r.store.StoredThrough(r.Context(), r.topics.ClusterID, r.topics.Clicks.ID)
	r.must(err)
	return next[partition]
}

// waitStored waits until the store has every record of both topics.
func (r *rig) waitStored() {
	r.Helper()
	ends, err := r.admin.ListEndOffsets(r.Context(), stream.ClicksTopic, stream.DeadLettersTopic)
	r.must(err)
	r.must(ends.Error())
	r.eventually("all records stored", func() bool {
		for topic, id := range map[string][16]byte{
			stream.ClicksTopic: r.topics.Clicks.ID, stream.DeadLettersTopic: r.topics.DeadLetters.ID,
		} {
			next, err := r.store.StoredThrough(r.Context(), r.topics.ClusterID, id)
			r.must(err)
			for p, end := range ends[topic] {
				if next[p] != end.Offset {
					return false
				}
			}
		}
		return true
	})
}

// waitLag waits until Kafka's own view of the group has no lag in n partitions.
func (r *rig) waitLag(n int) {
	r.Helper()
	group := aggregate.DefaultConfig().Group
	r.eventually("no lag in Kafka", func() bool {
		lags, err := r.admin.Lag(r.Context(), group)
		r.must(err)
		l := lags[group]
		seen := 0
		for _, p := range l.Lag.Sorted() {
			if p.Lag == 0 && p.Commit.At > 0 {
				seen++
			}
		}
		return l.Error() == nil && l.Lag.Total() == 0 && seen == n
	})
}

// wantStates demands what is stored, in rows and in minute counts alike.
func (r *rig) wantStates(want map[click.State]int64) {
	r.Helper()
	totals, err := r.store.Totals(r.Context())
	r.must(err)
	got := make(map[click.State]int64)
	for _, x := range totals {
		if x.Rows != x.Minutes {
			r.Errorf("%v: %d rows, %d in minute counts", x.State, x.Rows, x.Minutes)
		}
		got[x.State] += x.Rows
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("stored %v, want %v", got, want)
	}
}
