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
    sources:
      - {id: ads, api_keys: [{sha256: %x}]}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: r1, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}
`

// cluster is the shape of production in one process: three brokers, two gateways
// that ack on Kafka, one aggregator.
type cluster struct {
	t          *testing.T
	gateways   []*app.Gateway
	aggregator *app.Aggregator
}

func newCluster(t *testing.T, store config.Store) *cluster {
	t.Helper()
	kafka, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(kafka.Close)
	dir := t.TempDir()
	base := config.DefaultConfig()
	base.Store = store
	base.Kafka.Brokers, base.Kafka.CreateTopics, base.Kafka.Durability = kafka.ListenAddrs(), true, stream.Replicated
	base.Kafka.AckDeadline = 20 * time.Second // a slow test machine is no dead broker
	base.Control.File, base.Keys.MasterFile = filepath.Join(dir, "control.yaml"), filepath.Join(dir, "master.key")
	base.Gateway.Listen, base.Gateway.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
	base.Gateway.Timeouts.Durable = time.Minute // a slow test machine is no dead broker
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
	c := &cluster{t: t}
	for i := range 2 {
		cfg := base
		cfg.Spool.Dir = filepath.Join(dir, fmt.Sprint("spool", i))
		g, err := app.NewGateway(t.Context(), &cfg, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
		c.gateways = append(c.gateways, g)
	}
	if c.aggregator, err = app.NewAggregator(t.Context(), &base, options()); err != nil {
		t.Fatal(err)
	}
	c.aggregator.Start()
	return c
}

func options() app.Options {
	return app.Options{Logger: slog.New(slog.DiscardHandler), Registry: app.NewRegistry()}
}

func (c *cluster) post(gateway int, body string) {
	c.t.Helper()
	url := "http://" + c.gateways[gateway].Server.Addr().String() + "/v1/clicks"
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
	if res.StatusCode != http.StatusOK {
		c.t.Errorf("gateway %d answered %d", gateway, res.StatusCode)
	}
}

// stop drains the gateways, waits until want events are stored, and returns the
// account.
func (c *cluster) stop(want int64) *aggregate.Reconciliation {
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
	var account *aggregate.Reconciliation
	for ; ; time.Sleep(20 * time.Millisecond) {
		ledger, err := c.aggregator.Store.Ledger(ctx, aggregate.LedgerQuery{})
		if err != nil {
			c.t.Fatal(err)
		}
		totals, err := c.aggregator.Store.Totals(ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		if account = aggregate.Reconcile(&ledger, totals); finished(account, want) {
			break
		}
	}
	if err := c.aggregator.Stop(ctx); err != nil {
		c.t.Fatal(err)
	}
	return account
}

func finished(account *aggregate.Reconciliation, want int64) bool {
	var events int64
	for _, h := range account.Hours {
		events += h.Received
	}
	for _, b := range account.Boots {
		if !b.Final {
			return false
		}
	}
	return events == want && len(account.Boots) == 2
}

// Two gateways take overlapping batches at once; the store has each event once
// and each repeat as a redelivery, and both gateways' books balance.
func TestClusterPath(t *testing.T) {
	t.Parallel()
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, open(t))
			ids, err := click.NewIDSource(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			const batches, size = 10, 50
			var senders sync.WaitGroup
			for b := range batches {
				body := ""
				for i := range size {
					body += fmt.Sprintf(`{"id":%q,"ip":"198.18.%d.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) Firefox/151.0","campaign_id":"spring"}`+"\n",
						ids.New(time.Now().UnixMicro()), b, i+1)
				}
				for g := range 2 { // the same batch to both gateways
					senders.Go(func() { c.post(g, body) })
				}
				senders.Go(func() { c.post(b%2, "not json\n"+`{"id":"x"}`) })
			}
			senders.Wait()
			account := c.stop(batches * (2*size + 2))
			if account.Broken {
				t.Errorf("the books do not balance: %+v", account)
			}
			var got [click.NumStates]int64
			for _, h := range account.Hours {
				for s, n := range h.ByState {
					got[s] += n
				}
			}
			want := [click.NumStates]int64{click.Valid: batches * size, click.Redelivered: batches * size, click.Malformed: 2 * batches}
			if got != want {
				t.Errorf("states %v, want %v", got, want)
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
