package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/demo"
	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// kills of one run; the schedule is seeded, so that a failure can be repeated.
const (
	kills     = 20
	crashSeed = 20261125
)

// TestKilledInMidFeed kills standalone with SIGKILL twenty times under load. Every
// acknowledged click must be stored once, whatever was in flight may be or not.
func TestKilledInMidFeed(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	setup, err := demo.Prepare(filepath.Join(data, "control.yaml"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rng := mathrand.New(mathrand.NewPCG(crashSeed, 0))
	load := newLoad(t, setup)
	for range kills {
		p := startStandalone(t, standaloneArgs(data)...)
		before := load.acked()
		stop := load.run(p.edge)
		// A life is killed at a random moment, but not before it did something.
		load.await(before + 20)
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		p.kill()
		stop()
	}
	p := startStandalone(t, standaloneArgs(data)...)
	if status := p.interrupt(); status != 0 || !strings.Contains(p.text(), "\nbalanced\n") {
		t.Errorf("the last drain ended with status %d:\n%s\n%s", status, p.text(), p.errs.String())
	}
	load.check(filepath.Join(data, "clickgate.db"))
}

// load sends batches and token clicks, and remembers what it was answered.
type load struct {
	t      *testing.T
	setup  *demo.Setup
	ids    *click.IDSource
	client *http.Client

	mu      sync.Mutex
	batch   map[click.ID]bool // event ids of batch items: acknowledged or not
	tokens  map[click.ID]bool // click ids of token clicks: acknowledged or not
	answers int
	more    *sync.Cond
}

func newLoad(t *testing.T, setup *demo.Setup) *load {
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{t: t, setup: setup, ids: ids, batch: map[click.ID]bool{}, tokens: map[click.ID]bool{}}
	l.more = sync.NewCond(&l.mu)
	l.client = &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return l
}

func (l *load) acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers
}

// await waits until n events were acknowledged in all.
func (l *load) await(n int) {
	l.t.Helper()
	wake := time.AfterFunc(60*time.Second, l.more.Broadcast)
	defer wake.Stop()
	deadline := time.Now().Add(60 * time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.answers < n {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d events acknowledged, want %d", l.answers, n)
		}
		l.more.Wait()
	}
}

// run starts senders; the returned function stops them and waits for them.
func (l *load) run(edge string) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			for ctx.Err() == nil {
				l.sendBatch(ctx, edge)
			}
		})
		senders.Go(func() {
			for ctx.Err() == nil {
				l.sendToken(ctx, edge)
			}
		})
	}
	return func() { cancel(); senders.Wait(); l.client.CloseIdleConnections() }
}

func (l *load) note(known map[click.ID]bool, ids []click.ID, acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		known[id] = known[id] || acked
	}
	if acked {
		l.answers += len(ids)
		l.more.Broadcast()
	}
}

func (l *load) sendBatch(ctx context.Context, edge string) {
	ids := make([]click.ID, 10)
	var body strings.Builder
	now := time.Now()
	for i := range ids {
		ids[i] = l.ids.New(now.UnixMicro())
		fmt.Fprintf(&body, `{"id":%q,"ip":"198.18.%d.%d","user_agent":"Mozilla/5.0 (X11) %d","campaign_id":"acme-log"}`+"\n",
			ids[i], ids[i][14], ids[i][15], ids[i][13])
	}
	l.note(l.batch, ids, false)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, edge+"/v1/clicks", strings.NewReader(body.String()))
	if err != nil {
		l.t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+l.setup.APIKey)
	res, err := l.client.Do(req)
	if err != nil {
		return // killed in mid-flight
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	var summary struct{ Accepted int }
	if err == nil && res.StatusCode == http.StatusOK && json.Unmarshal(answer, &summary) == nil && summary.Accepted == len(ids) {
		l.note(l.batch, ids, true)
	}
}

func (l *load) sendToken(ctx context.Context, edge string) {
	now := time.Now()
	id := l.ids.New(now.UnixMicro())
	text, err := l.setup.TokenKey.Seal(&token.Token{
		TenantID: demo.Tenant, ClickID: id, IssuedAt: now.UnixMicro(), ExpiresAt: now.Add(time.Hour).UnixMicro(),
		CampaignID: "acme-spring", LandingURL: "https://shop.example/", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
	}, rand.Reader)
	if err != nil {
		l.t.Error(err)
		return
	}
	l.note(l.tokens, []click.ID{id}, false)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, edge+"/c?t="+text, nil)
	if err != nil {
		l.t.Error(err)
		return
	}
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)")
	res, err := l.client.Do(req)
	if err != nil {
		return
	}
	res.Body.Close()
	// A redirect alone does not say that the click was recorded: the landing page
	// comes first. The gateway says so by not counting it as unrecorded, which
	// check compares in the ledger.
	if res.StatusCode == http.StatusFound {
		l.note(l.tokens, []click.ID{id}, true)
	}
}

// check compares what was acknowledged with what is stored.
func (l *load) check(path string) {
	l.t.Helper()
	store, err := sqlite.OpenReadOnly(l.t.Context(), path, sqlite.Config{})
	if err != nil {
		l.t.Fatal(err)
	}
	defer store.Close()
	batch, tokens := map[click.ID]int{}, map[click.ID]int{}
	rows, err := store.DB().QueryContext(l.t.Context(), `SELECT event_id, click_id FROM clicks`)
	if err != nil {
		l.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var event, opportunity []byte
		if err := rows.Scan(&event, &opportunity); err != nil {
			l.t.Fatal(err)
		}
		if opportunity == nil {
			batch[click.ID(event)]++
		} else {
			tokens[click.ID(opportunity)]++
		}
	}
	if err := rows.Err(); err != nil {
		l.t.Fatal(err)
	}
	acked := compare(l.t, "batch item", l.batch, batch) + compare(l.t, "token click", l.tokens, tokens)
	if acked < 50*kills {
		l.t.Errorf("only %d events were acknowledged over %d lives", acked, kills)
	}
	l.checkLedger(store)
}

// compare returns how many were acknowledged.
func compare(t *testing.T, what string, sent map[click.ID]bool, stored map[click.ID]int) (acked int) {
	t.Helper()
	lost, doubled, unknown := 0, 0, 0
	for id, ok := range sent {
		if ok {
			acked++
			if stored[id] == 0 {
				lost++
			}
		}
		if stored[id] > 1 {
			doubled++
		}
	}
	for id := range stored {
		if _, known := sent[id]; !known {
			unknown++
		}
	}
	t.Logf("%s: %d sent, %d acknowledged, %d stored", what, len(sent), acked, len(stored))
	if lost > 0 || doubled > 0 || unknown > 0 {
		t.Errorf("%s: %d acknowledged but lost, %d doubled, %d never sent", what, lost, doubled, unknown)
	}
	return acked
}

// checkLedger demands a balanced account over all lives, and that no redirect was
// left without a record.
func (l *load) checkLedger(store *sqlite.Store) {
	l.t.Helper()
	ledger, err := store.Ledger(l.t.Context(), aggregate.LedgerQuery{})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range aggregate.Proven(ledger.Marks) {
		for _, c := range m.Counts {
			if c.Unrecorded != 0 {
				l.t.Errorf("%d redirects of boot %d were not recorded", c.Unrecorded, m.Boot)
			}
		}
	}
	if len(ledger.Boots) < kills {
		l.t.Errorf("%d boots have rows, want one per life: %d", len(ledger.Boots), kills)
	}
}
