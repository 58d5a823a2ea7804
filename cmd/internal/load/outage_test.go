package load

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mortal is a broker that goes and comes again at one address, with its records.
type mortal struct {
	t       *testing.T
	port    int
	dir     string
	cluster *kfake.Cluster
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &mortal{t: t, port: ln.Addr().(*net.TCPAddr).Port, dir: t.TempDir()}
	ln.Close()
	b.start()
	t.Cleanup(func() { b.cluster.Close() })
	return b
}

func (b *mortal) start() {
	b.t.Helper()
	var err error
	if b.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(b.port), kfake.DataDir(b.dir), kfake.ClusterID("outage")); err != nil {
		b.t.Fatal(err)
	}
}

func (b *mortal) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(b.port)) }

// clicks reads the whole topic: how many writings of its own, by ingest id, each click
// has. A gateway that found the broker slow has sent some twice, by way of its spool;
// those copies bear one ingest id.
func (b *mortal) clicks(ctx context.Context) map[click.ID]map[click.IngestID]bool {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.address()), kgo.ConsumeTopics(stream.ClicksTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, stream.ClicksTopic)
	if err != nil {
		b.t.Fatal(err)
	}
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	found := map[click.ID]map[click.IngestID]bool{}
	for left > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.t.Fatalf("%d records before the end: %v", left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			left--
			if kind, err := stream.KindOf(r); err != nil || kind != stream.KindClick {
				return
			}
			var c click.Click
			if err := click.DecodeClick(r.Value, &c); err != nil {
				b.t.Error(err)
			}
			if found[c.ClickID] == nil {
				found[c.ClickID] = map[click.IngestID]bool{}
			}
			found[c.ClickID][c.Ingest] = true
		})
	}
	return found
}

// account holds what clients were told against what is in the topic. A redirect that
// the gateway counted as unrecorded is no ack, and clients cannot tell it from one.
type account struct{ acked, missing, doubled, unrecorded int }

func (a account) settles() bool { return a.missing == a.unrecorded && a.doubled == 0 }

func accountOf(t *testing.T, log []byte, found map[click.ID]map[click.IngestID]bool) (a account) {
	t.Helper()
	for _, line := range ackLines(t, log) {
		id, err := click.ParseID(line.ID)
		if err != nil {
			t.Fatal(err)
		}
		a.acked++
		switch n := len(found[id]); {
		case n == 0:
			a.missing++
		case n > 1:
			a.doubled++
		}
	}
	return a
}

// TestKafkaAway is R5: Kafka goes away under load and comes back. All that was
// acknowledged is in the topic once; latencies are printed. Without -overload.full it
// is away for a moment.
func TestKafkaAway(t *testing.T) {
	lasts, rate := []time.Duration{time.Second, 3 * time.Second, 2 * time.Second}, 100.0
	if *fullOverload {
		lasts, rate = []time.Duration{15 * time.Second, time.Minute, 15 * time.Second}, 2000
	}
	broker := newMortal(t)
	m := startMeasured(t, edgeSettings{First: durable.KafkaFirst, Brokers: []string{broker.address()}})
	var log bytes.Buffer
	var table strings.Builder
	for i, name := range []string{"before", "away", "back"} {
		var change sync.WaitGroup
		change.Go(func() {
			time.Sleep(lasts[i] / 20) // in the midst of it
			switch name {
			case "away":
				broker.cluster.Close()
			case "back":
				broker.start()
			}
		})
		r := m.run(Mix{Paid: 1}, 128, func(c *Config) {
			c.Profile, c.AckLog, c.Drain = Constant(rate, lasts[i]), &log, 30*time.Second
		})
		change.Wait()
		l := &r.Total.Latency
		fmt.Fprintf(&table, "| %s | %.0f s | %d | %d | %d | %s | %s | %s | %s | %.1f %% |\n", name, lasts[i].Seconds(), r.Total.Offered, r.Total.Acked,
			r.Total.Sent-r.Total.Acked, l.cell(l.P50), l.cell(l.P99), l.cell(l.P999), l.cell(l.Max), 100*r.Late.Share)
		if r.Total.Acked < r.Total.Offered/2 {
			t.Errorf("%s: %d of %d clicks were acknowledged", name, r.Total.Acked, r.Total.Offered)
		}
	}
	unrecorded, found := m.settle(broker)
	a := accountOf(t, log.Bytes(), found)
	a.unrecorded = unrecorded
	fmt.Printf("| Kafka | lasts | offered | answered | refused | p50, ms | p99 | p99.9 | max | sent late |\n|---|---|---|---|---|---|---|---|---|---|\n%s\n", table.String())
	fmt.Printf("of %d answers %d are not in the topic, %d of them by the gateway's own count; %d are there twice\n\n", a.acked, a.missing, a.unrecorded, a.doubled)
	if !a.settles() || a.acked < 100 {
		t.Errorf("the account does not settle: %+v", a)
	}
	seesMistakes(t, a, log.Bytes(), found)
}

// seesMistakes takes one acknowledged click out of what was found and writes another one
// twice: the account must say so.
func seesMistakes(t *testing.T, before account, log []byte, found map[click.ID]map[click.IngestID]bool) {
	t.Helper()
	lines := ackLines(t, log)
	lost, err := click.ParseID(lines[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := click.ParseID(lines[len(lines)-1].ID)
	if err != nil {
		t.Fatal(err)
	}
	delete(found, lost)
	found[twice] = map[click.IngestID]bool{{Seq: 1}: true, {Seq: 2}: true}
	if a := accountOf(t, log, found); a.missing != before.missing+1 || a.doubled != before.doubled+1 {
		t.Errorf("a lost click and a doubled one are not seen: %+v", a)
	}
}

// settle waits for the spool to be sent, ends the gateway and reads the topic. It returns
// how many clicks the gateway says it redirected without recording them.
func (m *measured) settle(broker *mortal) (unrecorded int, found map[click.ID]map[click.IngestID]bool) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	seen := m.counters()
	for seen.spooled > 0 && wait(ctx, 100*time.Millisecond) {
		seen = m.counters()
	}
	m.stop()
	return int(seen.unrecorded), broker.clicks(ctx)
}

// TestSlowNeighbours prints what 2,000 connections that send a byte now and then cost
// honest clicks, by turns with none; the median of the ratios counts.
func TestSlowNeighbours(t *testing.T) {
	pairs, lasts, rate, slow := 1, 500*time.Millisecond, 100.0, SlowConfig{Connections: 50, Every: 50 * time.Millisecond}
	if *fullOverload {
		pairs, lasts, rate, slow = 5, 10*time.Second, 2000, SlowConfig{Connections: 2000, Every: 500 * time.Millisecond}
	}
	m := startMeasured(t, edgeSettings{First: durable.KafkaFirst})
	m.capacity(lasts/5, 64) // warm
	var ratios []float64
	for i := range pairs {
		alone, _ := m.beside(SlowConfig{}, rate, lasts)
		among, slowly := m.beside(slow, rate, lasts)
		if slowly == nil || slowly.Opened < int64(slow.Connections) || among.Total.Acked < 10 || alone.Total.Acked < 10 {
			t.Fatalf("nothing was measured: %+v, %d and %d answers", slowly, among.Total.Acked, alone.Total.Acked)
		}
		a, b := alone.Total.Latency.P99, among.Total.Latency.P99
		fmt.Printf("pair %d: p99 %.2f ms alone (%.1f %% sent late), %.2f ms beside %d slow connections (%.1f %%): %.2f\n",
			i+1, a, 100*alone.Late.Share, b, slow.Connections, 100*among.Late.Share, b/a)
		ratios = append(ratios, b/a)
	}
	verdict := "met"
	if middle(ratios) > 2 {
		verdict = "missed"
	}
	fmt.Printf("p99 beside %d slow connections: %.2f times that without, goal 2: %s\n\n", slow.Connections, middle(ratios), verdict)
}

// beside sends clicks of all ordinary kinds at a constant rate, beside slow connections,
// of which all have begun before, and those that began first been ended and come again.
func (m *measured) beside(slow SlowConfig, rate float64, lasts time.Duration) (honest *Report, slowly *SlowReport) {
	m.t.Helper()
	var opened sync.WaitGroup
	if slow.Connections > 0 {
		early := (beginWithin + 2) * slow.Every
		opened.Go(func() {
			r := m.run(Mix{Paid: 1}, 1, func(c *Config) { c.Profile, c.Slow = Constant(10, early+lasts), slow })
			slowly = r.Slow
		})
		time.Sleep(early)
	}
	honest = m.run(Mix{Paid: 1, Organic: 9}, 64, func(c *Config) { c.Profile = Constant(rate, lasts) })
	opened.Wait()
	return honest, slowly
}
