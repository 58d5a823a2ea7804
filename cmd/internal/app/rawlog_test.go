package app_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/token"
)

const logControl = `
tenants:
  - id: acme
    token_keys: [{id: 1, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}]
    sources:
      - {id: nginx, api_keys: [{sha256: %x}], log: {format: combined}}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: r1, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}
`

const logAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// newLogCluster is a cluster whose gateways take logs.
func newLogCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, base: config.DefaultConfig(), dir: t.TempDir()}
	base := &c.base
	base.Store, base.Kafka = config.Store{SQLite: filepath.Join(c.dir, "clickgate.db")}, fakeKafka(t)
	base.Control.File, base.Keys.MasterFile = filepath.Join(c.dir, "control.yaml"), filepath.Join(c.dir, "master.key")
	base.Gateway.Listen, base.Gateway.AdminListen, base.Gateway.Batch.Listen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	base.Gateway.TrustedProxies = []string{"127.0.0.0/8"}
	base.Gateway.Timeouts.Durable = time.Minute
	if err := config.CreateMasterKeys(base.Keys.MasterFile, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(base.Control.File, fmt.Appendf(nil, logControl, sha256.Sum256([]byte("key"))), 0o600); err != nil {
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

// clickLive follows a click URL and wants to be sent on.
func (c *cluster) clickLive(target string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.gateways[0].Server.Addr().String()+target, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("User-Agent", logAgent)
	req.Header.Set("X-Forwarded-For", "198.51.100.7")
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		c.t.Fatalf("/c answered %d", resp.StatusCode)
	}
}

// push sends a log to a gateway and returns its counts.
func (c *cluster) push(g int, batch, text string) (counts gateway.RawCounts) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, "http://"+c.gateways[g].Server.BatchAddr().String()+"/v1/raw", strings.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer key")
	req.Header.Set(gateway.HeaderBatch, batch)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&counts); err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("/v1/raw answered %d: %v", resp.StatusCode, err)
	}
	return counts
}

// A click by /c that stands in the log of the load balancer too has one click_id
// and bills once; the log sent again to another gateway changes nothing.
func TestClickAndItsLogLineBillOnce(t *testing.T) {
	t.Parallel()
	c := newLogCluster(t)
	snapshot, err := control.Load(c.base.Control.File)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text, err := snapshot.TokenKey(1).Seal(&token.Token{
		TenantID: "acme", ClickID: click.ID{0: 7, 15: 7}, IssuedAt: now.Add(-time.Minute).UnixMicro(), ExpiresAt: now.Add(time.Hour).UnixMicro(),
		AdvertiserID: "adv", CampaignID: "spring", PublisherID: "news", PlacementID: "top", LandingURL: "https://shop.example/",
		PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
	}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.clickLive("/c?t=" + text)
	line := func(ip, target string) string {
		return fmt.Sprintf("%s - - [%s] \"GET %s HTTP/1.1\" 302 0 \"-\" \"%s\"\n", ip, now.Format("02/Jan/2006:15:04:05 -0700"), target, logAgent)
	}
	log := line("198.51.100.7", "/c?t="+text) + line("198.51.100.99", "/c?cmp=spring&pub=news") + line("198.51.100.7", "/style.css") + "cut off\n"
	for g := range 2 {
		if n := c.push(g, "lb-1", log); n.Lines != 4 || n.Clicks != 2 || n.NotClicks != 1 || n.Malformed != 1 {
			t.Errorf("counts %+v", n)
		}
	}
	c.stopGateways()
	got := c.stop(c.account(1+2*3, 2))
	want := [click.NumStates]int64{click.Valid: 2, click.Duplicate: 1, click.Redelivered: 2, click.Malformed: 2}
	if got.states != want {
		t.Errorf("states %v, want %v", got.states, want)
	}
	var amount int64
	for _, row := range got.billing {
		amount += row.CostMicros
	}
	if amount != 350_000 {
		t.Errorf("billed %d micros, want 250000 by the token and 100000 by the rate card: %+v", amount, got.billing)
	}
}
