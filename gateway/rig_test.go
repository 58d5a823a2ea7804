package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/seal"
	"clickgate/gateway/stream"
	"clickgate/gateway/token"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"
)

var t0 = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

const (
	acmeKey     = "acme-api-key"
	acmeTestKey = "acme-test-key"
	acmeOldKey  = "acme-backfill-key"
	globexKey   = "globex-api-key"
	browser     = "Mozilla/5.0 (X11; Linux x86_64) Orrery/7.1"
	peerAddr    = "203.0.113.9"
)

func sumHex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func secret(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func controlYAML() []byte {
	return fmt.Appendf(nil, `
tenants:
  - id: acme
    landing_hosts: [shop.example, bücher.example]
    token_keys:
      - {id: 1, key: "%s"}
      - {id: 3, key: "%s", retired: 2026-10-01T00:00:00Z}
      - {id: 4, key: "%s", retired: 2026-11-01T00:00:00Z}
    sources:
      - {id: web, public_id: pub-acme}
      - id: api
        api_keys:
          - {sha256: "%s"}
          - {sha256: "%s", test: true}
      - {id: old, backfill: true, api_keys: [{sha256: "%s"}]}
      - {id: access, backfill: true, api_keys: [{sha256: "%s"}], log: {format: combined}}
      - {id: fresh, api_keys: [{sha256: "%s"}], log: {format: combined, allow_shift: true}}
      - {id: cloudfront, backfill: true, api_keys: [{sha256: "%s"}], log: {format: w3c}}
      - id: lines
        backfill: true
        api_keys: [{sha256: "%s"}]
        log:
          format: json
          mapping: {time: ts, ip: client, method: verb, uri: url, status: code, referer: ref, user_agent: ua, host: host}
          clicks: {paths: [/c, /go/*], statuses: [302, 200-299]}
      - {id: push, backfill: true, api_keys: [{sha256: "%s"}, {sha256: "%s", test: true}], log: {format: logpush}}
    campaigns:
      - id: cmp-1
        advertiser_id: adv-1
        rates:
          - {version: v2, from: 2026-11-10T00:00:00Z, price_micros: 250000, currency: EUR}
          - {version: v1, from: 2026-01-01T00:00:00Z, price_micros: 200000, currency: EUR}
      - {id: cmp-test, advertiser_id: adv-1, test: true}
  - id: globex
    landing_hosts: [globex.example]
    token_keys: [{id: 2, key: "%s"}]
    sources: [{id: api, api_keys: [{sha256: "%s"}]}]
`, secret(1), secret(3), secret(4), sumHex(acmeKey), sumHex(acmeTestKey), sumHex(acmeOldKey),
		sumHex("access-key"), sumHex("fresh-key"), sumHex("w3c-key"), sumHex("json-key"), sumHex("push-key"), sumHex("push-test-key"),
		secret(2), sumHex(globexKey))
}

// fakeLog decodes what it is given, and does what it is told.
type fakeLog struct {
	mu         sync.Mutex
	clicks     []*click.Click
	letters    []*click.DeadLetter
	records    []durable.Record
	shed       []string
	unrecorded []string
	bad        []string // records that cannot be read

	refuse error // Record returns it
	fail   error // Done gets it
	hold   bool  // Done waits for release
	held   []durable.Waiter
	ready  error
}

func (l *fakeLog) Record(r *durable.Record, done durable.Waiter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refuse != nil {
		return l.refuse
	}
	copied := *r
	copied.Value = bytes.Clone(r.Value)
	l.records = append(l.records, copied)
	l.decode(&copied)
	if l.hold {
		l.held = append(l.held, done)
		return nil
	}
	go done.Done(l.fail)
	return nil
}

func (l *fakeLog) decode(r *durable.Record) {
	switch r.Kind {
	case stream.KindClick:
		c := &click.Click{}
		if err := click.DecodeClick(r.Value, c); err != nil {
			l.bad = append(l.bad, err.Error())
		}
		if c.EventID != r.ID || c.TenantID != r.TenantID || c.SourceID != r.SourceID || c.EventTime != r.EventTime {
			l.bad = append(l.bad, "record and value disagree")
		}
		l.clicks = append(l.clicks, c)
	case stream.KindDeadLetter:
		d, err := click.DecodeDeadLetter(r.Value)
		if err != nil {
			l.bad = append(l.bad, err.Error())
			return
		}
		l.letters = append(l.letters, d)
	case stream.KindImpression, stream.KindConversion: // read by the tests that send them
	default:
		l.bad = append(l.bad, "unknown kind")
	}
}

func (l *fakeLog) Shed(tenant, source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shed = append(l.shed, tenant+"/"+source)
}

func (l *fakeLog) Unrecorded(tenant, source string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unrecorded = append(l.unrecorded, tenant+"/"+source)
}

func (l *fakeLog) Ready() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ready
}

func (l *fakeLog) set(f func(*fakeLog)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// release tells all held waiters.
func (l *fakeLog) release(err error) int {
	l.mu.Lock()
	held := l.held
	l.held = nil
	l.mu.Unlock()
	for _, w := range held {
		w.Done(err)
	}
	return len(held)
}

// fakeScorer judges by the agent alone, or does what it is told.
type fakeScorer struct {
	do atomic.Pointer[func(*click.Click, *click.Signals)]
}

func (f *fakeScorer) Score(c *click.Click, s *click.Signals) {
	if do := f.do.Load(); do != nil {
		(*do)(c, s)
		return
	}
	c.Verdict.State = click.Valid
}

func (f *fakeScorer) set(do func(*click.Click, *click.Signals)) { f.do.Store(&do) }

// peerListener hands out in-memory connections with any peer address.
type peerListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPeerListener() *peerListener {
	return &peerListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *peerListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *peerListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *peerListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080} }

func (l *peerListener) dial(peer string) (net.Conn, error) {
	pipe := fasthttputil.NewPipeConns()
	var addr net.Addr = &net.TCPAddr{IP: net.ParseIP(peer), Port: 40000}
	if peer == "" {
		addr = &net.UnixAddr{Name: "peer", Net: "unix"}
	}
	// A test whose answer never comes fails instead of hanging.
	client := pipe.Conn2()
	if err := client.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return nil, err
	}
	select {
	case l.conns <- peerConn{pipe.Conn1(), addr}:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

type peerConn struct {
	net.Conn
	addr net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.addr }

// rig is a running server with everything around it faked.
type rig struct {
	tb     testing.TB
	srv    *Server
	ln     *peerListener
	log    *fakeLog
	scorer *fakeScorer
	ring   *seal.Ring
	snap   *control.Snapshot
	reg    *prometheus.Registry
	logged *lockedBuffer
	clock  atomic.Int64
	rng    *rand.ChaCha8
	serial int
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(tb testing.TB, change func(*Config)) *rig {
	tb.Helper()
	r := newIdleRig(tb, change)
	r.startInMemory()
	return r
}

// startInMemory starts the server on connections that no network carries.
func (r *rig) startInMemory() {
	r.tb.Helper()
	r.srv.listen = func(_, addr string) (net.Listener, error) {
		if addr == r.srv.cfg.AdminListen {
			return net.Listen("tcp", "127.0.0.1:0")
		}
		return r.ln, nil
	}
	r.start()
}

// start starts the server and ends it with the test, with nothing left inside.
func (r *rig) start() {
	tb := r.tb
	tb.Helper()
	if err := r.srv.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		r.log.release(nil)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.srv.Stop(ctx); err != nil {
			tb.Error(err)
		}
		if len(r.log.bad) > 0 {
			tb.Error("unreadable records:", r.log.bad)
		}
		if n := r.srv.admission.gate.InFlight(); n != 0 {
			tb.Errorf("%d permits were not returned", n)
		}
	})
}

func newIdleRig(tb testing.TB, change func(*Config)) *rig {
	tb.Helper()
	snap, err := control.Parse(controlYAML())
	if err != nil {
		tb.Fatal(err)
	}
	master, err := seal.NewMaster(7, bytes.Repeat([]byte{9}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	entropy := rand.NewChaCha8([32]byte{1})
	r := &rig{
		tb: tb, ln: newPeerListener(), log: &fakeLog{}, scorer: &fakeScorer{}, ring: seal.NewRing(master),
		snap: snap, reg: prometheus.NewRegistry(), logged: &lockedBuffer{}, rng: rand.NewChaCha8([32]byte{2}),
	}
	r.clock.Store(t0.UnixMicro())
	cfg := DefaultConfig()
	cfg.TrustedProxies = []string{"192.0.2.0/24"}
	if change != nil {
		change(&cfg)
	}
	r.srv, err = New(cfg, Dependencies{
		Control: control.NewSet(snap), Log: r.log, Scorer: r.scorer,
		Sealer: seal.NewSealer(master, entropy), Pseudonyms: seal.NewPseudonymizer(master),
		Now: func() time.Time { return time.UnixMicro(r.clock.Load()) }, Entropy: entropy,
		Logger: slog.New(slog.NewTextHandler(r.logged, nil)), Registerer: r.reg, Gatherer: r.reg, Feeds: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// mint seals a token of acme with its own click id; change may alter it.
func (r *rig) mint(change func(*token.Token)) string {
	r.tb.Helper()
	return r.mintWith(1, change)
}

func (r *rig) mintWith(keyID uint32, change func(*token.Token)) string {
	r.tb.Helper()
	r.serial++
	t := token.Token{
		TenantID: "acme", ClickID: click.ID{0: 1, 14: byte(r.serial >> 8), 15: byte(r.serial)},
		IssuedAt: t0.Add(-time.Minute).UnixMicro(), ExpiresAt: t0.Add(23 * time.Hour).UnixMicro(),
		AdvertiserID: "adv-1", CampaignID: "cmp-1", PublisherID: "pub-1", PlacementID: "plc-1",
		LandingURL: "https://shop.example/p?x=1", PriceMicros: 120_000, Currency: "USD", Pricing: click.PricingCPC,
	}
	if change != nil {
		change(&t)
	}
	key := r.snap.TokenKey(keyID)
	if key == nil {
		r.tb.Fatalf("no token key %d", keyID)
	}
	text, err := key.Seal(&t, r.rng)
	if err != nil {
		r.tb.Fatal(err)
	}
	return text
}

// reply is one HTTP answer.
type reply struct {
	status int
	header http.Header
	body   string
	closed bool
}

func (r *rig) send(peer, raw string) reply {
	r.tb.Helper()
	a, err := r.trySend(peer, raw)
	if err != nil {
		r.tb.Fatalf("no answer to %q: %v", raw[:min(len(raw), 80)], err)
	}
	return a
}

func (r *rig) trySend(peer, raw string) (reply, error) {
	c, err := r.ln.dial(peer)
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		return reply{}, err
	}
	return readReply(bufio.NewReader(c), strings.HasPrefix(raw, "HEAD "))
}

func readReply(br *bufio.Reader, head bool) (reply, error) {
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	return reply{resp.StatusCode, resp.Header, string(body), resp.Close}, nil
}

// get sends a GET with an ordinary agent and further header lines.
func (r *rig) get(target string, headers ...string) reply {
	r.tb.Helper()
	return r.send(peerAddr, request("GET", target, "", headers...))
}

func request(method, target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: clk.example\r\nUser-Agent: %s\r\n", method, target, browser)
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	b.WriteString("\r\n" + body)
	return b.String()
}

func (r *rig) batch(key, body string, headers ...string) reply {
	r.tb.Helper()
	return r.send(peerAddr, request("POST", "/v1/clicks", body, slices.Concat([]string{"Authorization: Bearer " + key}, headers)...))
}

// take returns what the log got since the last call.
func (r *rig) take() (clicks []*click.Click, letters []*click.DeadLetter) {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	clicks, letters = r.log.clicks, r.log.letters
	r.log.clicks, r.log.letters = nil, nil
	return clicks, letters
}

// one returns the only click since the last take.
func (r *rig) one() *click.Click {
	r.tb.Helper()
	clicks, letters := r.take()
	if len(clicks) != 1 || len(letters) != 0 {
		r.tb.Fatalf("got %d clicks and %d dead letters, want one click", len(clicks), len(letters))
	}
	return clicks[0]
}

// letter returns the only dead letter since the last take.
func (r *rig) letter() *click.DeadLetter {
	r.tb.Helper()
	clicks, letters := r.take()
	if len(clicks) != 0 || len(letters) != 1 {
		r.tb.Fatalf("got %d clicks and %d dead letters, want one dead letter", len(clicks), len(letters))
	}
	return letters[0]
}

func (r *rig) evidence(c *click.Click) click.Evidence {
	r.tb.Helper()
	plain, err := r.ring.Open(c.TenantID, c.EventID, c.Evidence)
	if err != nil {
		r.tb.Fatal(err)
	}
	e, err := click.DecodeEvidence(plain)
	if err != nil {
		r.tb.Fatal(err)
	}
	return e
}

func (r *rig) raw(d *click.DeadLetter) string {
	r.tb.Helper()
	plain, err := r.ring.Open(d.TenantID, d.LetterID, d.Raw)
	if err != nil {
		r.tb.Fatal(err)
	}
	return string(plain)
}

// metric sums a counter over the given label values.
func (r *rig) metric(name string, labels ...string) float64 {
	r.tb.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		r.tb.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != "clickgate_gateway_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := []string{}
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if subset(labels, have) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func subset(want, have []string) bool {
	for _, w := range want {
		if !slices.Contains(have, w) {
			return false
		}
	}
	return true
}

// newID mints a sender's id at t; n makes it unique.
func newID(t time.Time, n int) string {
	ids, err := click.NewIDSource(bytes.NewReader(bytes.Repeat([]byte{byte(n), byte(n >> 8)}, 16)))
	if err != nil {
		panic(err)
	}
	return ids.New(t.UnixMicro()).String()
}

var errTestLog = errors.New("the test's log fails")
