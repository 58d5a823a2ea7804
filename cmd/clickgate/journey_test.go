package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"

	"crypto/rand"
)

const journeyControl = `
tenants:
  - id: acme
    landing_hosts: [shop.example]
    token_keys:
      - {id: 1, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}
    sources:
      - {id: ads, api_keys: [{sha256: %[1]x}]}
      - {id: edge, public_id: acme-web}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: r1, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}
  - id: beta
    landing_hosts: [shop.example]
    sources:
      - {id: ads, api_keys: [{sha256: %[2]x}]}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates:
          - {version: r1, from: 2026-01-01T00:00:00Z, price_micros: 700000, currency: USD}
`

const person = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// Planted personal data: none of it may be found in clear in anything on disk.
const (
	plantedAddress = "198.18.77.213"
	plantedAgent   = person + " Canary/8f1c"
	plantedReferer = "https://news.example/canary-4d2e?user=jane"
)

// journey is a standalone with two tenants, seen from outside only.
type journey struct {
	*process
	data string
	ids  *click.IDSource
}

func newJourney(t *testing.T) *journey {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	control := fmt.Sprintf(journeyControl, sha256.Sum256([]byte("acme-key")), sha256.Sum256([]byte("beta-key")))
	if err := os.WriteFile(filepath.Join(data, "control.yaml"), []byte(control), 0o600); err != nil {
		t.Fatal(err)
	}
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := startStandalone(t, standaloneArgs(data, "--set", "gateway.trusted_proxies=127.0.0.0/8")...)
	return &journey{p, data, ids}
}

// post sends a batch and returns status and answer.
func (j *journey) post(key, idempotency, body string) (int, batchAnswer) {
	j.t.Helper()
	req, err := http.NewRequestWithContext(j.t.Context(), http.MethodPost, j.edge+"/v1/clicks", strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		j.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		j.t.Fatal(err)
	}
	var a batchAnswer
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, &a); err != nil {
			j.t.Fatalf("answer %q: %v", text, err)
		}
	}
	return res.StatusCode, a
}

type batchAnswer struct {
	Accepted, Malformed int
	Items               []struct{ Index int }
}

// item is a batch item; a person of its own per n.
func item(id click.ID, n int) string {
	return fmt.Sprintf(`{"id":%q,"ip":"198.18.%d.%d","user_agent":%q,"campaign_id":"spring"}`, id, n/250, 1+n%250, person)
}

// counts reads `report billing` as a machine does.
func (j *journey) counts(tenant string) map[string]int {
	j.t.Helper()
	status, stdout, stderr := program(j.t, "report", "billing", "--data", j.data, "--tenant", tenant, "--format", "csv")
	if status != 0 {
		j.t.Fatalf("report billing: status %d\n%s", status, stderr)
	}
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || len(rows) == 0 {
		j.t.Fatalf("%v\n%s", err, stdout)
	}
	sum := map[string]int{}
	for _, row := range rows[1:] {
		if row[0] != tenant { // totals
			continue
		}
		for i, name := range rows[0] {
			if n, err := strconv.Atoi(row[i]); err == nil {
				sum[name] += n
			}
		}
	}
	return sum
}

// awaitCounts polls until the wanted counts stand in the report.
func (j *journey) awaitCounts(tenant string, want map[string]int) {
	j.t.Helper()
	var got map[string]int
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		got = j.counts(tenant)
		if holds(got, want) {
			return
		}
	}
	j.t.Fatalf("%s: report says %v, want %v", tenant, got, want)
}

func holds(got, want map[string]int) bool {
	for name, n := range want {
		if got[name] != n {
			return false
		}
	}
	return true
}

// TestClickOfOnesOwn follows the README: a token, a click, the bill.
func TestClickOfOnesOwn(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	status, minted, stderr := program(t, "token", "mint", "--data", j.data,
		"--campaign", "spring", "--landing", "https://shop.example/a", "--price", "0.25", "--currency", "EUR")
	if status != 0 {
		t.Fatalf("mint: status %d\n%s", status, stderr)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, j.edge+"/c?t="+strings.TrimSpace(minted), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", plantedAgent)
	req.Header.Set("Referer", plantedReferer)
	req.Header.Set("X-Forwarded-For", plantedAddress)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusFound || res.Header.Get("Location") != "https://shop.example/a" {
		t.Fatalf("answered %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	j.awaitCounts("acme", map[string]int{"received": 1, "valid": 1, "cost_micros": 250_000})
	if status := j.interrupt(); status != 0 {
		t.Errorf("Ctrl-C ended with status %d:\n%s\n%s", status, j.text(), j.errs.String())
	}
	j.searchDisk(plantedAddress, "Canary/8f1c", "canary-4d2e", strings.TrimSpace(minted), "jane")
}

// searchDisk demands that no planted text stands in clear in any file, nor in
// what the process printed.
func (j *journey) searchDisk(planted ...string) {
	j.t.Helper()
	searched := int64(0)
	err := filepath.WalkDir(j.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		searched += int64(len(content))
		for _, text := range planted {
			if bytes.Contains(content, []byte(text)) {
				j.t.Errorf("%s holds %q in clear", filepath.Base(path), text)
			}
		}
		return nil
	})
	if err != nil || searched < 10_000 {
		j.t.Fatalf("searched %d bytes: %v", searched, err)
	}
	for _, text := range planted {
		if strings.Contains(j.text()+j.errs.String(), text) {
			j.t.Errorf("the output holds %q", text)
		}
	}
}

// TestRepeatsThroughTheWholePath sends one batch's ids again in every way a sender
// may: under a new key, in one batch, with another time, under the same key.
func TestRepeatsThroughTheWholePath(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	now := time.Now().UnixMicro()
	var id [4]click.ID
	for i := range id {
		id[i] = j.ids.New(now)
	}
	a, b, c, d := item(id[0], 0), item(id[1], 1), item(id[2], 2), item(id[3], 3)
	first := a + "\n" + b + "\n" + c
	expect := func(what string, status int, got batchAnswer, wantStatus, accepted int) {
		t.Helper()
		if status != wantStatus || got.Accepted != accepted || len(got.Items) != got.Accepted+got.Malformed {
			t.Errorf("%s: status %d, %+v; want %d with %d accepted", what, status, got, wantStatus, accepted)
		}
	}
	status, got := j.post("acme-key", "K1", first)
	expect("batch 1", status, got, 200, 3)
	later := fmt.Sprintf(`,"event_time":%d}`, id[0].Time()/1000+1)
	status, got = j.post("acme-key", "K2", b+"\n"+d+"\n"+b+"\n"+strings.TrimSuffix(a, "}")+later)
	expect("batch 2", status, got, 200, 4)
	status, got = j.post("acme-key", "K1", first)
	expect("batch 3, the same again", status, got, 200, 3)
	status, _ = j.post("acme-key", "K1", d)
	if status != 422 {
		t.Errorf("batch 4, an old key with another body: status %d, want 422", status)
	}
	status, got = j.post("acme-key", "", strings.Repeat(b+"\n", 200))
	expect("batch 5", status, got, 200, 200)
	j.awaitCounts("acme", map[string]int{"valid": 4, "redelivered": 203, "malformed": 0, "duplicate": 0, "cost_micros": 400_000})

	status, stdout, stderr := program(t, "trace", id[1].String(), "--data", j.data)
	if status != 0 || strings.Count(stdout, "redelivery") < 100 || strings.Contains(stdout, "198.18.0.2") {
		t.Errorf("trace: status %d, %d bytes\n%s", status, len(stdout), stderr)
	}
	if status := j.interrupt(); status != 0 {
		t.Errorf("Ctrl-C ended with status %d:\n%s\n%s", status, j.text(), j.errs.String())
	}
}

// TestTenantsNeverMeet gives two tenants equal ids of everything.
func TestTenantsNeverMeet(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	body := ""
	now := time.Now().UnixMicro()
	for i := range 20 {
		body += item(j.ids.New(now), i) + "\n"
	}
	for _, key := range []string{"acme-key", "beta-key"} {
		if status, got := j.post(key, "same", body); status != 200 || got.Accepted != 20 {
			t.Fatalf("%s: status %d, %+v", key, status, got)
		}
	}
	j.awaitCounts("acme", map[string]int{"received": 20, "valid": 20, "redelivered": 0, "cost_micros": 20 * 100_000})
	j.awaitCounts("beta", map[string]int{"received": 20, "valid": 20, "redelivered": 0, "cost_micros": 20 * 700_000})
}

// TestMalformedThroughTheWholePath sends text that databases choke on beside good
// clicks: the bad ones are dead letters, the good ones are stored, nothing waits.
func TestMalformedThroughTheWholePath(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	now := time.Now().UnixMicro()
	with := func(n int, agent string) string {
		return fmt.Sprintf(`{"id":%q,"ip":"198.18.9.%d","campaign_id":"spring","user_agent":"%s"}`, j.ids.New(now), n, agent)
	}
	body := strings.Join([]string{
		with(1, `Kite/1 \u0000x`),
		with(2, `Kite/1 \ud83c`),
		with(3, `Kite/1 \ud83c\udf4b`),
		with(4, "Kite/1 \xC3\x28"),
		with(5, `Kite/1 \\u0000`),
		strings.Replace(with(6, `Kite/1`), `"ip"`, `"i\u0000p"`, 1),
	}, "\n")
	status, got := j.post("acme-key", "", body)
	if status != 200 || got.Accepted != 2 || got.Malformed != 4 {
		t.Fatalf("status %d, %+v; want 2 accepted and 4 malformed", status, got)
	}
	j.awaitCounts("acme", map[string]int{"malformed": 4, "received": 6})
	if status := j.interrupt(); status != 0 || !strings.Contains(j.text(), "\nbalanced\n") {
		t.Errorf("Ctrl-C ended with status %d:\n%s\n%s", status, j.text(), j.errs.String())
	}
}
