package upgrade_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"clickgate/cmd/internal/command"
	"clickgate/gateway/click"
)

const (
	apiKey  = "upgrade-key"
	softKey = "upgrade-soft-key"
	zooKey  = "upgrade-zoo-key"
	month   = "2026-10"
)

// controlText has two tenants, a source that suspects early and one that does not.
const controlText = `tenants:
  - id: acme
    landing_hosts: [shop.example]
    token_keys:
      - {id: 1, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}
    sources:
      - {id: ads, backfill: true, api_keys: [{sha256: %[1]x}]}
      - id: soft
        backfill: true
        api_keys: [{sha256: %[2]x}]
        policy: {z_suspect: 1, z_invalid: 10000, z_address: 10000, z_inexcusable: 10000, min_clicks: 2, prior_median: 1}
      - {id: web, public_id: acme-web}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates: [{version: r1, from: 2026-01-01T00:00:00Z, price_micros: 100000, currency: EUR}]
      - id: yen
        advertiser_id: adv
        rates: [{version: r1, from: 2026-01-01T00:00:00Z, price_micros: 30000000, currency: JPY}]
      - {id: free, advertiser_id: adv}
      - {id: trial, advertiser_id: adv, test: true}
  - id: zoo
    landing_hosts: [zoo.example]
    sources:
      - {id: ads, backfill: true, api_keys: [{sha256: %[3]x}]}
    campaigns:
      - id: spring
        advertiser_id: adv
        rates: [{version: r1, from: 2026-01-01T00:00:00Z, price_micros: 700000, currency: USD}]
`

func controlFile() []byte {
	return fmt.Appendf(nil, controlText, sha256.Sum256([]byte(apiKey)), sha256.Sum256([]byte(softKey)), sha256.Sum256([]byte(zooKey)))
}

// Hours of the story: two are closed, the third stays open.
var (
	firstHour  = time.Date(2026, 10, 14, 9, 0, 0, 0, time.UTC)
	secondHour = firstHour.Add(time.Hour)
	openHour   = time.Date(2026, 11, 14, 10, 0, 0, 0, time.UTC)
)

const agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// story is what happens at a gateway and in its store, the same at every place where
// it is told. Times and ids are its own, so that two stores that heard it agree.
type story struct {
	edge   string
	office *office
	stored func(events int64) // returns when so many are

	sent int64
	n    uint32      // of ids
	one  [9]click.ID // one event of each kind, to be traced
}

// item is a click of a batch.
type item struct {
	ID        string `json:"id"`
	IP        string `json:"ip"`
	Agent     string `json:"user_agent,omitempty"`
	Campaign  string `json:"campaign_id,omitempty"`
	Publisher string `json:"publisher_id,omitempty"`
	Placement string `json:"placement_id,omitempty"`
	Country   string `json:"country,omitempty"`
	Referer   string `json:"referer,omitempty"`
	Landing   string `json:"landing_url,omitempty"`
	AdGroup   string `json:"ad_group_id,omitempty"`
	Creative  string `json:"creative_id,omitempty"`
	Token     string `json:"token,omitempty"`
	Extra     string `json:"no_such_field,omitempty"`
}

// click is one of a person of its own.
func (s *story) click(at time.Time, change ...func(*item)) item {
	s.n++
	var id click.ID
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16)
	id[6], id[8] = 0x70, 0x80
	binary.BigEndian.PutUint32(id[12:], s.n)
	i := item{
		ID: id.String(), IP: fmt.Sprintf("198.18.%d.%d", s.n/200, 1+s.n%200), Agent: agent, Campaign: "spring", Publisher: "news.example",
		Placement: "top", Country: "DE", Landing: "https://shop.example/shoes", AdGroup: "g1", Creative: "c1",
	}
	for _, f := range change {
		f(&i)
	}
	return i
}

func (s *story) post(t *testing.T, key string, items ...item) {
	t.Helper()
	body, err := json.Marshal(items)
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.edge+"/v1/clicks", strings.NewReader(string(body)))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	s.do(t, req, http.StatusOK)
	s.sent += int64(len(items))
}

func (s *story) do(t *testing.T, req *http.Request, want int) {
	t.Helper()
	res, err := http.DefaultTransport.RoundTrip(req)
	must(t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != want {
		t.Fatalf("%s %s: answered %d: %s", req.Method, req.URL.Path, res.StatusCode, answer)
	}
}

// hour is a mixture of everything.
func (s *story) hour(t *testing.T, at time.Time) {
	t.Helper()
	campaign := func(name string) func(*item) { return func(i *item) { i.Campaign = name } }
	of := func(name string) func(*item) { return func(i *item) { i.Agent = name } }
	good := s.click(at, func(i *item) { i.Referer = "https://news.example/a" })
	batch := []item{good, s.click(at, of("")), s.click(at, of("curl/8.5.0")), s.click(at, campaign("trial")), s.click(at, campaign("free"))}
	for n := range 12 {
		batch = append(batch, s.click(at.Add(time.Duration(n)*time.Minute), campaign([]string{"spring", "yen"}[n%2])))
	}
	double := s.click(at.Add(20 * time.Minute))
	again := s.click(at.Add(20*time.Minute+time.Second), func(i *item) { i.IP = double.IP })
	token := s.token(t, at)
	paid, repeat := s.click(at.Add(21*time.Minute), token), s.click(at.Add(25*time.Minute), token)
	bad, odd := s.click(at, func(i *item) { i.IP = "198.18.0.1:443" }), s.click(at, func(i *item) { i.Extra = "x" })
	s.post(t, apiKey, append(batch, double, again, paid, repeat, bad, odd)...)
	s.post(t, apiKey, good)
	s.flood(t, softKey, at.Add(40*time.Minute), 8)
	if at != secondHour {
		s.flood(t, apiKey, at.Add(30*time.Minute), 36)
	}
	if s.one[0].IsZero() {
		for i, it := range []item{good, batch[1], batch[2], batch[3], batch[4], again, repeat, batch[6]} {
			s.one[i], _ = click.ParseID(it.ID)
		}
	}
}

// token is one sealed click opportunity with a price of its own.
func (s *story) token(t *testing.T, at time.Time) func(*item) {
	t.Helper()
	mint := office{s.office.flags, at}
	text := mint.must(t, "token", "mint", "--tenant", "acme", "--campaign", "spring", "--price", "0.25", "--currency", "EUR", "--landing", "https://shop.example/",
		"--click-id", click.ID{0: 9, 6: 0x70, 8: 0x80, 14: byte(at.Month()), 15: byte(at.Hour())}.String())
	return func(i *item) { i.Token, i.Campaign, i.Landing = strings.TrimSpace(text), "", "" }
}

// flood is one address that clicks on and on.
func (s *story) flood(t *testing.T, key string, at time.Time, n int) {
	t.Helper()
	first := s.click(at)
	items := []item{first}
	for i := 1; i < n; i++ {
		items = append(items, s.click(at.Add(time.Duration(i)*100*time.Millisecond), func(it *item) {
			it.IP, it.Placement = first.IP, fmt.Sprint("place ", i)
		}))
	}
	s.post(t, key, items...)
	if s.one[8].IsZero() {
		s.one[8], _ = click.ParseID(items[n-1].ID)
	}
}

// tell lets everything happen that leaves something in a store.
func (s *story) tell(t *testing.T) {
	t.Helper()
	s.hour(t, firstHour)
	s.hour(t, secondHour)
	s.hour(t, openHour)
	s.post(t, zooKey, s.click(openHour))
	s.visit(t)
	s.stored(s.sent)

	s.close(t, secondHour, command.ExitOK)
	late := s.click(firstHour.Add(50 * time.Minute))
	s.post(t, apiKey, late)
	s.stored(s.sent)
	s.close(t, secondHour.Add(time.Hour), command.ExitOK)
	decide := func(what string, id fmt.Stringer) {
		s.office.must(t, "review", "decide", what, id.String(), "--tenant", "acme", "--why", "looked at "+what)
	}
	decide("release", s.one[8])
	decide("confirm", s.one[7])
	decide("note", s.one[0])
	s.office.must(t, "invoice", "issue", "--tenant", "acme", "--month", month)
	s.post(t, apiKey, s.click(secondHour.Add(50*time.Minute)))
	s.stored(s.sent)
	s.close(t, secondHour.Add(time.Hour), command.ExitNegative) // no open hour: the late click alone
	decide("confirm", s.one[0])
	s.users(t)
}

// visit comes by the other two entries, which have no time but their own.
func (s *story) visit(t *testing.T) {
	t.Helper()
	minted := s.office.must(t, "token", "mint", "--tenant", "acme", "--campaign", "spring", "--price", "0.5", "--currency", "EUR",
		"--landing", "https://shop.example/")
	for _, c := range []struct {
		path, ip string
		status   int
	}{
		{"/c?t=" + strings.TrimSpace(minted), "198.18.90.1", http.StatusFound},
		{"/b?s=acme-web&cmp=spring&plc=" + url.QueryEscape("side bar"), "198.18.90.2", http.StatusNoContent},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.edge+c.path, nil)
		must(t, err)
		req.Header.Set("User-Agent", agent)
		req.Header.Set("X-Forwarded-For", c.ip)
		s.do(t, req, c.status)
		s.sent++
	}
}

func (s *story) close(t *testing.T, before time.Time, want int) {
	t.Helper()
	stdout, stderr, status := s.office.run(t, "", "hours", "close", "--tenant", "acme", "--before", before.Format(time.RFC3339), "--close-now", "--why", "month end")
	if status != want {
		t.Fatalf("hours close: status %d\n%s%s", status, stdout, stderr)
	}
}

func (s *story) users(t *testing.T) {
	t.Helper()
	for name, rest := range map[string][]string{
		"grace": {"--role", "admin", "--tenant", "*"}, "alan": {"--role", "analyst", "--tenant", "acme"},
	} {
		if _, stderr, status := s.office.run(t, password+"\n", append([]string{"user", "add", name}, rest...)...); status != command.ExitOK {
			t.Fatalf("user add: status %d: %s", status, stderr)
		}
	}
	s.office.must(t, "user", "disable", "alan")
}

// password of the users of the story, who are nobody.
const password = "correct horse battery staple"
