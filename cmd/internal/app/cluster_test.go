package app_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kfake"
)

const clusterControl = `
tenants:
  - id: acme
    token_keys: [{id: 1, key: AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=}]
    sources:
      - {id: ads, api_keys: [{sha256: %x}]}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: r1, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}
`

// cluster is the shape of production in one process: two gateways that ack on
// Kafka, one aggregator.
type cluster struct {
	t          *testing.T
	base       config.Config
	dir        string
	gateways   []*app.Gateway
	aggregator *app.Aggregator
}

func newCluster(t *testing.T, store config.Store, kafka stream.Config) *cluster {
	t.Helper()
	c := &cluster{t: t, base: config.DefaultConfig(), dir: t.TempDir()}
	base := &c.base
	base.Store, base.Kafka = store, kafka
	base.Control.File, base.Keys.MasterFile = filepath.Join(c.dir, "control.yaml"), filepath.Join(c.dir, "master.key")
	base.Gateway.Listen, base.Gateway.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	// A slow test machine is no dead broker.
	base.Gateway.Timeouts.Durable, base.Durable.Silence = time.Minute, 20*time.Second
	if err := config.CreateMasterKeys(base.Keys.MasterFile, rand.Reader); err != nil {
		t.Fatal(err)
	}
	control := fmt.Sprintf(clusterControl, sha256.Sum256([]byte("key")))
	if err := os.WriteFile(base.Control.File, []byte(control), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := app.Migrate(t.Context(), &base.Store); err != nil {
		t.Fatal(err)
	}
	c.startGateways()
	var err error
	if c.aggregator, err = app.NewAggregator(t.Context(), base, options()); err != nil {
		t.Fatal(err)
	}
	c.aggregator.Start()
	return c
}

// startGateways starts both on the spools of those before them, if any.
func (c *cluster) startGateways() {
	c.t.Helper()
	c.gateways = nil
	for i := range 2 {
		cfg := c.base
		cfg.Spool.Dir = filepath.Join(c.dir, fmt.Sprint("spool", i))
		g, err := app.NewGateway(c.t.Context(), &cfg, options())
		if err != nil {
			c.t.Fatal(err)
		}
		if err := g.Start(); err != nil {
			c.t.Fatal(err)
		}
		c.gateways = append(c.gateways, g)
	}
}

// fakeKafka is a cluster of three brokers in memory.
func fakeKafka(t *testing.T) stream.Config {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	return kafkaConfig(kafka.ListenAddrs())
}

// kafkaConfig demands of brokers what so many can give.
func kafkaConfig(brokers []string) stream.Config {
	cfg := stream.DefaultConfig()
	cfg.Brokers, cfg.CreateTopics = brokers, true
	if len(brokers) < 3 {
		cfg.Durability = stream.SingleNode
	}
	cfg.AckDeadline = 20 * time.Second // a slow test machine is no dead broker
	return cfg
}

func options() app.Options {
	return app.Options{Logger: slog.New(slog.DiscardHandler), Registry: app.NewRegistry()}
}

func (c *cluster) post(gateway int, body string) {
	c.t.Helper()
	c.postTo(gateway, "clicks", body)
}

// postTo sends again what the gateway had no room for, as its senders do: a broker
// that has just made its topics can be slow enough for that, and a refused body
// was not taken in part.
func (c *cluster) postTo(gateway int, what, body string) {
	c.t.Helper()
	for range 300 {
		switch status := c.postOnce(gateway, what, body); status {
		case http.StatusOK:
			return
		case http.StatusServiceUnavailable:
			time.Sleep(100 * time.Millisecond)
		default:
			c.t.Errorf("gateway %d answered %d to %s", gateway, status, what)
			return
		}
	}
	c.t.Errorf("gateway %d had no room for %s in half a minute", gateway, what)
}

func (c *cluster) postOnce(gateway int, what, body string) (status int) {
	c.t.Helper()
	url := "http://" + c.gateways[gateway].Server.Addr().String() + "/v1/" + what
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer key")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// load is what senders have: batches of clicks, each to go to both gateways at
// once, and with each batch two lines that are no clicks.
type load []string

const loadBatches, loadSize = 10, 50

// loadEvents is how many events a load makes.
const loadEvents = loadBatches * (2*loadSize + 2)

// newLoad makes clicks of users in one network, so that loads of two networks do
// not double-click on each other.
func newLoad(t *testing.T, network int) load {
	t.Helper()
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	batches := make(load, loadBatches)
	for b := range batches {
		for i := range loadSize {
			batches[b] += fmt.Sprintf(`{"id":%q,"ip":"198.%d.%d.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/151.0","campaign_id":"spring"}`+"\n",
				ids.New(time.Now().UnixMicro()), network, b, i+1)
		}
	}
	return batches
}

func (c *cluster) send(batches load) {
	var senders sync.WaitGroup
	for b, body := range batches {
		for g := range 2 {
			senders.Go(func() { c.post(g, body) })
		}
		senders.Go(func() { c.post(b%2, "not json\n"+`{"id":"x"}`) })
	}
	senders.Wait()
}

// account waits until want events are stored and the given number of gateway
// boots has ended in order.
func (c *cluster) account(want int64, ended int) *aggregate.Reconciliation {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var account *aggregate.Reconciliation
	for ; ; time.Sleep(20 * time.Millisecond) {
		books, err := aggregate.Books(ctx, c.aggregator.Store, aggregate.LedgerQuery{})
		if err != nil {
			c.t.Fatalf("%v while waiting for %d events; the account is %+v", err, want, account)
		}
		if account = books; finished(account, want, ended) {
			return account
		}
	}
}

func finished(account *aggregate.Reconciliation, want int64, ended int) bool {
	var events int64
	for _, h := range account.Hours {
		events += h.Received
	}
	for _, b := range account.Boots {
		if b.Final {
			ended--
		}
	}
	return events == want && ended == 0
}

// stopGateways ends both in order: everything they took is in Kafka.
func (c *cluster) stopGateways() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for _, g := range c.gateways {
		if err := g.Stop(ctx); err != nil {
			c.t.Fatal(err)
		}
		if err := g.Close(ctx); err != nil {
			c.t.Fatal(err)
		}
	}
}

// result is what a run leaves in the store's reports.
type result struct {
	states  [click.NumStates]int64
	billing []aggregate.BillingRow
	totals  []aggregate.Total
}

// stop reads the reports of an account and ends the aggregator.
func (c *cluster) stop(account *aggregate.Reconciliation) (r result) {
	c.t.Helper()
	if account.Broken {
		c.t.Errorf("the books do not balance: %+v", account)
	}
	for _, h := range account.Hours {
		for s, n := range h.ByState {
			r.states[s] += n
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var err error
	if r.billing, err = c.aggregator.Store.Billing(ctx, aggregate.BillingQuery{}); err != nil {
		c.t.Fatal(err)
	}
	if r.totals, err = c.aggregator.Store.Totals(ctx); err != nil {
		c.t.Fatal(err)
	}
	if err := c.aggregator.Stop(ctx); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// run takes a load from start to end.
func (c *cluster) run(batches load) result {
	c.t.Helper()
	c.send(batches)
	c.stopGateways()
	return c.stop(c.account(loadEvents, 2))
}

// loadStates are what a load is to the store: each event once, each repeat a
// redelivery.
var loadStates = [click.NumStates]int64{
	click.Valid: loadBatches * loadSize, click.Redelivered: loadBatches * loadSize, click.Malformed: 2 * loadBatches,
}

// Two gateways take overlapping batches at once; the store has each event once
// and each repeat as a redelivery, and both gateways' books balance.
func TestClusterPath(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newCluster(t, open(t), fakeKafka(t)).run(newLoad(t, 18))
			if got.states != loadStates {
				t.Errorf("states %v, want %v", got.states, loadStates)
			}
		})
	}
}

// stores are those that are there.
func stores() map[string]func(*testing.T) config.Store {
	return map[string]func(*testing.T) config.Store{
		"SQLite": func(t *testing.T) config.Store {
			return config.Store{SQLite: filepath.Join(t.TempDir(), "clickgate.db")}
		},
		"PostgreSQL": postgres,
	}
}

// postgres returns a schema of the test's own.
func postgres(t *testing.T) config.Store {
	t.Helper()
	dsn := os.Getenv("CLICKGATE_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("CLICKGATE_TEST_POSTGRES is not set; `make test` starts a server")
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	schema := fmt.Sprintf("cluster_%d", time.Now().UnixNano())
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return config.Store{DSN: dsn + separator + "search_path=" + schema}
}
