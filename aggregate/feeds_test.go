package aggregate_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestFedThrough: the feed is whole up to the oldest of the newest marks in all partitions
// of impressions, and a gateway that takes any and was not heard there holds it.
func TestFedThrough(t *testing.T) {
	t.Parallel()
	mark := func(gateway string, boot, number uint64, at int64, change ...func(*click.Mark)) click.Mark {
		m := click.Mark{Gateway: gateway, Boot: boot, Number: number, At: at, ClickPartitions: 1, DeadLetterPartitions: 1, ImpressionPartitions: 2}
		for _, f := range change {
			f(&m)
		}
		return m
	}
	in := func(topic string, number int32, m click.Mark) aggregate.StoredMark {
		return aggregate.StoredMark{Partition: aggregate.Partition{ClusterID: "c", TopicID: [16]byte{topic[0]}, Topic: topic, Number: number}, Mark: m}
	}
	fed := func(m click.Mark, n int32) aggregate.StoredMark { return in(stream.ImpressionsTopic, n, m) }
	clicks := func(m click.Mark) aggregate.StoredMark { return in(stream.ClicksTopic, 0, m) }
	none := func(m *click.Mark) { m.ImpressionPartitions = 0 }
	final := func(m *click.Mark) { m.Final = true }
	a1, a2, b1 := mark("a", 1, 5, 100), mark("a", 1, 7, 300), mark("b", 9, 2, 200)
	for name, tt := range map[string]struct {
		marks   []aggregate.StoredMark
		retired []aggregate.Retirement
		through int64
		taken   bool
	}{
		"nobody":                      {nil, nil, 0, false},
		"nobody takes any":            {[]aggregate.StoredMark{clicks(mark("a", 1, 5, 100, none))}, nil, 0, false},
		"one of two partitions":       {[]aggregate.StoredMark{fed(a1, 0), clicks(a2)}, nil, 0, true},
		"no partition":                {[]aggregate.StoredMark{clicks(a2)}, nil, 0, true},
		"both":                        {[]aggregate.StoredMark{fed(a1, 0), fed(a2, 1), clicks(a2)}, nil, 100, true},
		"two gateways":                {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), fed(b1, 0), fed(b1, 1)}, nil, 200, true},
		"another was not heard":       {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), clicks(b1)}, nil, 0, true},
		"another takes none":          {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), clicks(mark("b", 9, 2, 1, none))}, nil, 300, true},
		"another is retired":          {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), clicks(b1)}, []aggregate.Retirement{{Gateway: "b", At: 10}}, 300, true},
		"all said goodbye":            {[]aggregate.StoredMark{fed(mark("a", 1, 7, 300, final), 0), fed(mark("a", 1, 7, 300, final), 1)}, nil, math.MaxInt64, true},
		"a new boot was not heard":    {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), clicks(mark("a", 2, 1, 400))}, nil, 0, true},
		"a new boot, heard":           {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), fed(mark("a", 2, 1, 400), 0), fed(mark("a", 2, 1, 400), 1)}, nil, 400, true},
		"a new boot of before feeds":  {[]aggregate.StoredMark{fed(a2, 0), fed(a2, 1), clicks(mark("a", 2, 1, 400, none))}, nil, 0, false},
		"marks of clicks say nothing": {[]aggregate.StoredMark{fed(a1, 0), fed(a1, 1), clicks(a2)}, nil, 100, true},
	} {
		if through, taken := aggregate.FedThrough(tt.marks, tt.retired); through != tt.through || taken != tt.taken {
			t.Errorf("%s: through %d, taken %v; want %d, %v", name, through, taken, tt.through, tt.taken)
		}
	}
}

func fedTopic(n int32) aggregate.Partition {
	return aggregate.Partition{ClusterID: "c", TopicID: [16]byte{7}, Topic: stream.ImpressionsTopic, Number: n}
}

// show stores impressions, and says in their partition that all are there up to at.
func (d *desk) show(gateway string, boot uint64, at int64, rows ...click.Impression) {
	d.Helper()
	d.number++
	m := click.Mark{Gateway: gateway, Boot: boot, Number: d.number, At: at, ClickPartitions: 1, DeadLetterPartitions: 1, ImpressionPartitions: 1}
	p := fedTopic(0)
	c, ok := d.next[p]
	if !ok {
		var err error
		c, err = d.store.Claim(d.Context(), p, "test")
		d.must(err)
	}
	b := &aggregate.Batch{Partition: p, Fence: c.Fence, First: c.Next, Next: c.Next + int64(len(rows)) + 1, Impressions: rows, Marks: []click.Mark{m}}
	_, err := aggregate.Apply(d.Context(), d.store, b)
	d.must(err)
	d.next[p] = aggregate.Claim{Fence: c.Fence, Next: b.Next}
}

// seen are n clicks of an hour by as many visitors, with their displays; early of them, over
// the whole hour, are clicked before they are displayed.
func seen(n, early int) (clicks []*click.Click, shown []click.Impression) {
	for i := range n {
		at := aggregate.TestTime - aggregate.TestTime%hour + int64(i)*hour/int64(n)
		c := aggregate.NewClick(uint64(i+1), at, func(c *click.Click) {
			binary.BigEndian.PutUint64(c.ClickID[8:], uint64(i+1))
			binary.BigEndian.PutUint64(c.IPKey[:], uint64(i+1))
			binary.BigEndian.PutUint64(c.AgentKey[:], uint64(i%7))
			c.Verdict.VectorVersion = scoring.VectorVersion
		})
		gap := 3 * second
		if i%(n/early) == 1 {
			gap = -20 * second
		}
		clicks = append(clicks, c)
		shown = append(shown, click.Impression{TenantID: c.TenantID, ClickID: c.ClickID, ShownAt: at - gap})
	}
	return clicks, shown
}

func countEarly(shown []click.Impression, clicks []*click.Click) (n int) {
	for i := range shown {
		if shown[i].ShownAt > clicks[i].EventTime {
			n++
		}
	}
	return n
}

// TestDisplaysAtClose: the second pass goes by displays where the feed is whole and has
// most of them, and where it has not nobody's click is touched.
func TestDisplaysAtClose(t *testing.T) {
	t.Parallel()
	const early = 6
	for name, tt := range map[string]struct {
		feed  func(d *desk, u aggregate.Unit, shown []click.Impression)
		keep  time.Duration
		state string
		found int
	}{
		"whole": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			d.show("eu/g1", 1, u.Hour+2*hour, shown...)
		}, 36 * time.Hour, "used", early},
		"in two copies": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			d.show("eu/g1", 1, u.Hour, shown...)
			d.show("eu/g1", 1, u.Hour+2*hour, shown...)
		}, 36 * time.Hour, "used", early},
		"behind": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			d.show("eu/g1", 1, u.Hour+hour, shown...) // not past the grace
		}, 36 * time.Hour, "behind", 0},
		"thin": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			d.show("eu/g1", 1, u.Hour+2*hour, shown[:len(shown)/3]...)
		}, 36 * time.Hour, "thin", 0},
		"of another tenant": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			for i := range shown {
				shown[i].TenantID = "other"
			}
			d.show("eu/g1", 1, u.Hour+2*hour, shown...)
		}, 36 * time.Hour, "none", 0},
		"forgotten in part": {func(d *desk, u aggregate.Unit, shown []click.Impression) {
			d.show("eu/g1", 1, u.Hour+2*hour, shown...)
		}, 25 * time.Hour, "old", 0},
		"nothing fed": {func(*desk, aggregate.Unit, []click.Impression) {}, 36 * time.Hour, "none", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			reg := prometheus.NewRegistry()
			d.closer = d.newCloser("one", aggregate.DefaultConfig().Close, func(dep *aggregate.CloserDependencies) {
				dep.ImpressionsKeep, dep.Registerer = tt.keep, reg
			})
			clicks, shown := seen(120, early)
			if n := countEarly(shown, clicks); n != early {
				t.Fatalf("%d clicks come before their display, want %d", n, early)
			}
			u := aggregate.UnitOf(clicks[0])
			d.put(clicks...)
			tt.feed(d, u, shown)
			d.clock = time.UnixMicro(u.Hour + 2*hour)
			d.mark("eu/g1", 1, u.Hour+2*hour)
			if n := d.round(); n != 1 {
				t.Fatalf("%d units closed, want 1", n)
			}
			found := 0
			for i, c := range d.stored(u) {
				if !c.Reasons.Has(click.ReasonBeforeDisplay) {
					continue
				}
				found++
				if c.State != click.SIVT || shown[i].ShownAt < c.EventTime {
					t.Errorf("click %d is %v for a display at %d, clicked at %d", i, c.State, shown[i].ShownAt, c.EventTime)
				}
			}
			if found != tt.found {
				t.Errorf("%d clicks before their display, want %d", found, tt.found)
			}
			if got := counted(d, reg, "clickgate_close_impressions_units_total"); !reflect.DeepEqual(got, map[string]float64{tt.state: 1}) {
				t.Errorf("feeds of units are %v, want one that is %s", got, tt.state)
			}
			d.balanced()
		})
	}
}

// counted returns the values of a counter by its one label, without those that are 0.
func counted(d *desk, reg *prometheus.Registry, name string) map[string]float64 {
	d.Helper()
	families, err := reg.Gather()
	d.must(err)
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				got[m.GetLabel()[0].GetValue()] = v
			}
		}
	}
	return got
}

// TestFeedsConsumer: what comes twice is stored once, whoever consumes it, no click is
// counted, and topics that do not exist yet hold nothing up.
func TestFeedsConsumer(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	// An operator of before the feeds may create their topics at any time.
	_, err := r.admin.DeleteTopics(t.Context(), stream.ImpressionsTopic, stream.ConversionsTopic)
	r.must(err)
	reg := prometheus.NewRegistry()
	stop := r.consumeFeeds(reg)
	r.topics, err = stream.EnsureTopics(t.Context(), r.admin, &r.cfg)
	r.must(err)
	impression := func(n uint64) *kgo.Record {
		i := click.Impression{TenantID: "acme", ShownAt: aggregate.TestTime}
		binary.BigEndian.PutUint64(i.ClickID[8:], n)
		return stream.NewRecord(stream.KindImpression, "acme", stream.AppendKey(nil, "acme", i.ClickID), click.AppendImpression(nil, &i), 2)
	}
	conversion := func(id string) *kgo.Record {
		c := click.Conversion{TenantID: "acme", SourceID: "shop", ClickID: click.ID{1}, ConvertedAt: 1, ReceivedAt: 1, Kind: "sale", TransactionID: id}
		return stream.NewRecord(stream.KindConversion, "acme", stream.AppendKey(nil, "acme", c.Key()), click.AppendConversion(nil, &c), r.topics.Conversions.Partitions)
	}
	var records []*kgo.Record
	for n := range uint64(500) {
		records = append(records, impression(n+1))
		if n%5 == 0 {
			records = append(records, impression(n+1), conversion(fmt.Sprint(n%25)))
		}
	}
	r.produce(records...)
	rows := func(table string) (n int) {
		r.must(r.store.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		return n
	}
	r.eventually("all impressions and conversions", func() bool { return rows("impressions") == 500 && rows("conversions") == 5 })
	stop()
	r.produce(records[:100]...)
	r.produce(impression(501))
	reg = prometheus.NewRegistry()
	stop = r.consumeFeeds(reg)
	r.eventually("what came again", func() bool { return rows("impressions") == 501 })
	stop()
	if n := rows("conversions"); n != 5 {
		t.Errorf("%d conversions, want 5", n)
	}
	if n := rows("clicks") + rows("click_minutes") + rows("dead_letters"); n != 0 {
		t.Errorf("%d rows of clicks from the feeds", n)
	}
}

// consumeFeeds runs an aggregator of the feeds until stop.
func (r *rig) consumeFeeds(reg *prometheus.Registry) (stop func()) {
	cfg := aggregate.DefaultConfig()
	cfg.MaxWait, cfg.RetryPause, cfg.MaxRecords = 20*time.Millisecond, 20*time.Millisecond, 50
	a, err := aggregate.NewFeeds(cfg, aggregate.Dependencies{
		Store: r.store, Owner: "feeds", Now: func() time.Time { return time.UnixMicro(aggregate.TestTime) }, Registerer: reg,
		Logger: slog.New(slog.NewTextHandler(r.Output(), nil)),
		Kafka:  append(r.cfg.ClientOptions("feeds"), kgo.MetadataMinAge(50*time.Millisecond), kgo.MetadataMaxAge(100*time.Millisecond)),
	}, r.store)
	r.must(err)
	a.Start()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		r.must(a.Stop(ctx))
	}
}
