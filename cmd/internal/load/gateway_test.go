package load

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// edge is a real gateway that acks on a broker in memory.
type edge struct {
	config   config.Config
	registry *prometheus.Registry
	gateway  *app.Gateway
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	e := &edge{config: config.DefaultConfig(), registry: app.NewRegistry()}
	c := &e.config
	c.Kafka.Brokers, c.Kafka.CreateTopics, c.Kafka.Durability = kafka.ListenAddrs(), true, stream.SingleNode
	c.Kafka.AckDeadline = 20 * time.Second // a slow test machine is no dead broker
	c.Control.File = testControl(t)
	dir := t.TempDir()
	c.Keys.MasterFile, c.Spool.Dir = filepath.Join(dir, "master.key"), filepath.Join(dir, "spool")
	if err := config.CreateMasterKeys(c.Keys.MasterFile, rand.Reader); err != nil {
		t.Fatal(err)
	}
	c.Gateway.Listen, c.Gateway.AdminListen, c.Gateway.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", ""
	c.Gateway.TrustedProxies = []string{"127.0.0.0/8"}
	c.Gateway.Timeouts.Durable, c.Gateway.Timeouts.Read = time.Minute, time.Second
	g, err := app.NewGateway(t.Context(), c, app.Options{Logger: slog.New(slog.DiscardHandler), Registry: e.registry})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close(t) })
	e.gateway = g
	return e
}

func (e *edge) close(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.gateway.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := e.gateway.Close(ctx); err != nil {
		t.Error(err)
	}
}

// recorded reads clicks from the broker until it has so many, and counts them by
// event id and by click id. A click that the gateway wrote twice, because the broker
// was slow to answer, has one ingest id and counts once.
func (e *edge) recorded(t *testing.T, want int64) (events, clicks map[click.ID]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(e.config.Kafka.ClientOptions("clickload-test"),
		kgo.ConsumeTopics(stream.ClicksTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	events, clicks = map[click.ID]int{}, map[click.ID]int{}
	for seen := map[click.IngestID]bool{}; int64(len(seen)) < want; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d clicks: %v", len(seen), want, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if kind, err := stream.KindOf(r); err != nil || kind != stream.KindClick {
				return
			}
			var c click.Click
			if err := click.DecodeClick(r.Value, &c); err != nil {
				t.Error(err)
			}
			if seen[c.Ingest] {
				return
			}
			seen[c.Ingest] = true
			events[c.EventID]++
			clicks[c.ClickID]++
		})
	}
	return events, clicks
}

// A real gateway takes what the generator calls clicks, refuses what it calls
// malformed, and keeps what it has acknowledged: all of it, and nothing else.
func TestOnARealGateway(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	target, err := NewTarget(t.Context(), "http://"+e.gateway.Server.Addr().String(), false, net.DefaultResolver)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t, (&net.Dialer{}).DialContext)
	if cfg.Sender, err = NewSender(e.config.Control.File, "", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := cfg.Sender.ReadAPIKey("", e.config.Control.File, time.Now()); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.Targets, cfg.AckLog = []*Target{target}, &log
	cfg.Mix = Mix{Paid: 40, Organic: 40, Reused: 40, Batch: 10, Malformed: 70}
	cfg.Profile, cfg.Connections, cfg.Items = Constant(200, 2*time.Second), 8, 10
	cfg.Slow = SlowConfig{Connections: 4, Every: 100 * time.Millisecond}
	// The machine may be slow: then it takes longer, and all comes to its end.
	cfg.Timeout, cfg.Drain, cfg.Provokers, cfg.MaxBehind = 2*time.Minute, 4*time.Minute, 1000, 1
	r, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, r)
	checkAnswers(t, r)
	checkCases(t, r)
	checkMalformedPage(t, r.Malformed)
	if s := r.Slow; s == nil || s.Opened < 4 || s.Bytes < 20 || s.Refused > 0 || s.Opened != s.Ended+s.Open {
		t.Errorf("slow connections %+v", s)
	}
	events, clicks := e.recorded(t, r.Total.Acked)
	if int64(len(events)) != r.Total.Acked {
		t.Errorf("%d events are recorded, %d clicks were acknowledged", len(events), r.Total.Acked)
	}
	checkAcked(t, ackLines(t, log.Bytes()), events, clicks)
}

func checkAnswers(t *testing.T, r *Report) {
	t.Helper()
	for name, want := range map[string][]string{"paid": {"302"}, "organic": {"204", "302"}, "reused": {"302"}, "batch": {"200"}} {
		c := classNamed(t, r, name)
		n := int64(0)
		for _, status := range want {
			n += c.Answers[status]
		}
		if n != c.Offered || c.Unsent != 0 || n < 5 || len(c.Answers) != len(want) {
			t.Errorf("%s: %+v", name, *c)
		}
	}
}

// checkCases demands that every case was tried and refused. The gateway hangs up
// on none without an answer.
func checkCases(t *testing.T, r *Report) {
	t.Helper()
	tried := 0
	for _, c := range r.Malformed {
		if c.accepted() > 0 || c.Outcomes["timeout"] > 0 || c.Outcomes["not HTTP"] > 0 {
			t.Errorf("%s: %v", c.Name, c.Outcomes)
		}
		if c.Sent > 0 {
			tried++
		}
	}
	if tried < 40 || len(r.accepted()) > 0 {
		t.Errorf("%d cases were tried; %v were accepted", tried, r.accepted())
	}
}

func checkAcked(t *testing.T, lines []Acked, events, clicks map[click.ID]int) {
	t.Helper()
	byClick := map[click.ID]int{}
	for _, line := range lines {
		id, err := click.ParseID(line.ID)
		if err != nil {
			t.Fatal(err)
		}
		if line.Class == Batch.String() {
			if events[id] != 1 {
				t.Errorf("event %s is acknowledged and stands %d times", id, events[id])
			}
			continue
		}
		byClick[id]++
	}
	for id, n := range byClick {
		if clicks[id] != n {
			t.Errorf("click %s is acknowledged %d times and stands %d times", id, n, clicks[id])
		}
	}
	if len(byClick) < 50 {
		t.Errorf("only %d click ids were acknowledged", len(byClick))
	}
}
