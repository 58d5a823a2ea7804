package demo

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

// fault is what the played edge does wrong with a request.
type fault int

const (
	healthy    fault = iota
	overload         // 503, nothing is recorded
	notDurable       // 503, half of a batch is recorded
	lostAnswer       // everything is recorded and the connection breaks
	lostCall         // the connection breaks before anything is recorded
)

// arrived is a click as the played edge got it.
type arrived struct {
	at                          time.Time // event time
	ip, agent, referer, opener  string
	tenant, campaign, placement string
}

// playedEdge judges requests as the gateway does and keeps what came.
type playedEdge struct {
	snapshot *control.Snapshot
	fault    func(n int, r *http.Request) fault
	strict   bool // event times must be fresh

	mu        sync.Mutex
	requests  int
	wrong     []string
	items     map[click.ID]int // of batches, how often each came
	log       []arrived        // each once
	clicks    []arrived        // of GET /c
	opened    map[click.ID]int // click ids of tokens
	malformed int
	received  map[string]int // by tenant/source, copies included
	accepted  map[string]int // by tenant/campaign, copies left out
}

func newPlayedEdge(t *testing.T) (*playedEdge, Config) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.yaml")
	setup, err := Prepare(path, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := control.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	e := &playedEdge{
		snapshot: snapshot, strict: true,
		fault: func(int, *http.Request) fault { return healthy },
		items: map[click.ID]int{}, opened: map[click.ID]int{}, received: map[string]int{}, accepted: map[string]int{},
	}
	cfg := DefaultConfig()
	cfg.EdgeURL, cfg.Transport = "http://edge.example", e
	cfg.APIKey, cfg.TokenKey, cfg.OtherKey = setup.APIKey, setup.TokenKey, setup.OtherKey
	return e, cfg
}

// RoundTrip plays network and edge.
func (e *playedEdge) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.requests++
	f := e.fault(e.requests, r)
	e.mu.Unlock()
	w := httptest.NewRecorder()
	switch f {
	case lostCall:
		return nil, errors.New("connection refused")
	case overload:
		refuse(w, "overload")
	default:
		e.serve(w, r, f == notDurable)
	}
	if f == lostAnswer {
		return nil, errors.New("connection reset")
	}
	return w.Result(), nil
}

func (e *playedEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.serve(w, r, false) }

func refuse(w http.ResponseWriter, code string) {
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(503)
	fmt.Fprintf(w, `{"code":%q,"message":"come again"}`, code)
}

func (e *playedEdge) serve(w http.ResponseWriter, r *http.Request, half bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "GET /c":
		e.click(w, r)
	case "POST /v1/clicks":
		e.batch(w, r, half)
	default:
		e.complain("unexpected request %s %s", r.Method, r.URL.Path)
		w.WriteHeader(404)
	}
}

func (e *playedEdge) complain(format string, args ...any) {
	if len(e.wrong) < 10 {
		e.wrong = append(e.wrong, fmt.Sprintf(format, args...))
	}
}

func (e *playedEdge) click(w http.ResponseWriter, r *http.Request) {
	var tok token.Token
	now := time.Now()
	if _, err := token.Open(r.URL.Query().Get("t"), e.snapshot, now, &tok, nil); err != nil {
		e.complain("token: %v", err)
		w.WriteHeader(400)
		return
	}
	ip, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For"))
	tenant := e.snapshot.Tenant(tok.TenantID)
	switch {
	case err != nil:
		e.complain("X-Forwarded-For: %v", err)
	case tok.ExpiredAt(now.UnixMicro()) || tok.IssuedAt > now.UnixMicro():
		e.complain("token issued at %d is not live at %d", tok.IssuedAt, now.UnixMicro())
	case tenant.Campaign(tok.CampaignID) == nil || tok.PublisherID == "" || tok.PlacementID == "":
		e.complain("campaign %q, publisher %q, placement %q", tok.CampaignID, tok.PublisherID, tok.PlacementID)
	case r.UserAgent() == "" || strings.HasPrefix(r.UserAgent(), "Go-http-client") || r.Referer() == "":
		e.complain("headers are missing")
	}
	if _, _, f := tenant.Landing.Check(tok.LandingURL); f != nil {
		e.complain("landing: %v", f)
	}
	e.clicks = append(e.clicks, arrived{
		at: now, ip: ip.String(), agent: r.UserAgent(), referer: r.Referer(), opener: tok.ClickID.String(),
		tenant: tok.TenantID, campaign: strings.Clone(tok.CampaignID), placement: strings.Clone(tok.PlacementID),
	})
	e.opened[tok.ClickID]++
	e.received[tenant.ID+"/"+control.EdgeSource]++
	e.accepted[tenant.ID+"/"+tok.CampaignID]++
	w.Header().Set("Location", tok.LandingURL)
	w.WriteHeader(302)
}

func (e *playedEdge) batch(w http.ResponseWriter, r *http.Request, half bool) {
	key := e.snapshot.APIKey(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if key == nil {
		e.complain("API key is unknown")
		w.WriteHeader(401)
		return
	}
	var items []item
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&items); err != nil || len(items) == 0 || len(items) > batchItems {
		e.complain("batch of %d items: %v", len(items), err)
	}
	if half {
		items = items[:len(items)/2]
	}
	accepted, malformed := 0, 0
	for i := range items {
		e.received[key.Source.Tenant.ID+"/"+key.Source.ID]++
		if e.take(&items[i], key.Source.Tenant) {
			accepted++
		} else {
			malformed++
		}
	}
	e.malformed += malformed
	if half {
		refuse(w, "not_durable")
		return
	}
	fmt.Fprintf(w, `{"accepted":%d,"malformed":%d,"items":[]}`, accepted, malformed)
}

// take reports whether an item is a click.
func (e *playedEdge) take(it *item, tenant *control.Tenant) bool {
	id, err := click.ParseSenderID(it.ID)
	if err != nil {
		e.complain("id: %v", err)
	}
	at, f := edge.ParseTime(it.EventTime)
	if f != nil || at-id.Time() >= 1000 || at < id.Time() {
		e.complain("event time %s does not fit its id: %v", it.EventTime, f)
	}
	if age := time.Now().UnixMicro() - at; e.strict && (age < 0 || age > 200_000) {
		e.complain("a click came %d us after it happened", age)
	}
	if _, err := netip.ParseAddr(it.IP); err != nil {
		return false
	}
	if c := tenant.Campaign(it.Campaign); c == nil {
		e.complain("campaign %q", it.Campaign)
	} else if _, ok := c.RateAt(at); !ok {
		e.complain("campaign %q has no rate", it.Campaign)
	}
	if e.items[id]++; e.items[id] == 1 {
		e.accepted[tenant.ID+"/"+it.Campaign]++
		e.log = append(e.log, arrived{
			at: time.UnixMicro(at).UTC(), ip: it.IP, agent: it.UserAgent, referer: it.Referer,
			tenant: tenant.ID, campaign: it.Campaign, placement: it.Placement,
		})
	}
	return true
}

// copies counts the items that came more than once.
func (e *playedEdge) copies() (n int) {
	for _, times := range e.items {
		n += times - 1
	}
	return n
}
