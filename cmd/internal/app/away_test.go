package app_test

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"
	"clickgate/gateway/token"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// awayRig is one gateway and a broker that comes and goes at one address.
type awayRig struct {
	*testing.T
	cfg  config.Config
	port int
}

func newAwayRig(t *testing.T) *awayRig {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &awayRig{T: t, cfg: config.DefaultConfig(), port: ln.Addr().(*net.TCPAddr).Port}
	ln.Close()
	dir := t.TempDir()
	c := &r.cfg
	c.Kafka = kafkaConfig([]string{net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))})
	c.Spool.Dir = filepath.Join(dir, "spool")
	c.Control.File, c.Keys.MasterFile = filepath.Join(dir, "control.yaml"), filepath.Join(dir, "master.key")
	c.Gateway.Listen, c.Gateway.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	c.Gateway.Timeouts.Durable = time.Minute
	if err := config.CreateMasterKeys(c.Keys.MasterFile, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Control.File, []byte(benchControl), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *awayRig) broker() *kfake.Cluster {
	r.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(r.port))
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(k.Close)
	return k
}

// stop drains and closes; the drain must succeed exactly when Kafka is there.
func (r *awayRig) stop(g *app.Gateway) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := g.Stop(ctx); err != nil {
		r.Fatal(err)
	}
	if err := g.Close(ctx); err != nil {
		r.Fatal(err)
	}
}

// click follows a click URL and returns the status.
func (r *awayRig) click(g *app.Gateway) int {
	r.Helper()
	snapshot, err := control.Load(r.cfg.Control.File)
	if err != nil {
		r.Fatal(err)
	}
	now := time.Now()
	text, err := snapshot.TokenKey(1).Seal(&token.Token{
		TenantID: "demo", ClickID: click.ID{0: 7, 15: 7}, IssuedAt: now.Add(-time.Minute).UnixMicro(), ExpiresAt: now.Add(time.Hour).UnixMicro(),
		AdvertiserID: "acme", CampaignID: "spring", LandingURL: "https://shop.example/", PriceMicros: 1, Currency: "EUR", Pricing: click.PricingCPC,
	}, rand.Reader)
	if err != nil {
		r.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://"+g.Server.Addr().String()+"/c?t="+text, http.NoBody)
	if err != nil {
		r.Fatal(err)
	}
	req.Header.Set("User-Agent", agent)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A gateway that has seen the topics once starts without Kafka: it takes clicks
// on its spool, is ready, and delivers when Kafka is back. One that has not, and
// one whose note is damaged, say so.
func TestGatewayStartsWithoutKafka(t *testing.T) {
	t.Parallel()
	r := newAwayRig(t)
	if _, err := app.NewGateway(t.Context(), &r.cfg, options()); err == nil || !strings.Contains(err.Error(), "no earlier start stands in") {
		t.Fatalf("a first start without Kafka: %v", err)
	}
	kafka := r.broker()
	first, err := app.NewGateway(t.Context(), &r.cfg, options())
	if err != nil {
		t.Fatal(err)
	}
	topics := first.Topics
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	r.stop(first)
	kafka.Close()

	g, err := app.NewGateway(t.Context(), &r.cfg, options())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	if g.Topics != topics {
		t.Errorf("topics %+v, want those of the first start %+v", g.Topics, topics)
	}
	if status := r.click(g); status != http.StatusFound || g.Server.Ready() != nil || g.Log.Lag() != 1 {
		t.Fatalf("a click without Kafka: status %d, ready %v, %d spooled", status, g.Server.Ready(), g.Log.Lag())
	}

	kafka = r.broker()
	seeder, err := app.NewGateway(t.Context(), r.elsewhere(), options()) // makes the topics again
	if err != nil {
		t.Fatal(err)
	}
	if err := seeder.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.wantDelivered()
	r.stop(g)
	kafka.Close()

	damaged := filepath.Join(r.cfg.Spool.Dir, "topics.cache")
	if err := os.WriteFile(damaged, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := app.NewGateway(t.Context(), &r.cfg, options()); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged note: %v", err)
	}
}

// elsewhere is the configuration of another gateway.
func (r *awayRig) elsewhere() *config.Config {
	cfg := r.cfg
	cfg.Spool.Dir += "2"
	return &cfg
}

// wantDelivered waits for the click in Kafka.
func (r *awayRig) wantDelivered() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	client, err := kgo.NewClient(append(r.cfg.Kafka.ClientOptions("test"), kgo.ConsumeTopics(stream.ClicksTopic))...)
	if err != nil {
		r.Fatal(err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			r.Fatal("the spooled click did not get to Kafka")
		}
		for _, rec := range fetches.Records() {
			var c click.Click
			if kind, err := stream.KindOf(rec); err != nil || kind != stream.KindClick {
				continue
			}
			if err := click.DecodeClick(rec.Value, &c); err != nil || c.CampaignID != "spring" {
				r.Fatalf("%+v, %v", c, err)
			}
			return
		}
	}
}
