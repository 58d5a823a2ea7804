package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/token"
)

// holdPermit sends a click that keeps its permit until the log is released.
func (r *rig) holdPermit(t *testing.T, raw string) net.Conn {
	t.Helper()
	r.log.set(func(l *fakeLog) { l.hold = true })
	c, err := r.ln.dial(peerAddr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, raw)
	waitFor(t, "a click holds a permit", func() bool { return r.srv.admission.gate.InFlight() == 1 })
	return c
}

// crowded is a gateway of one permit, where requests wait for long.
func crowded(waiting int) func(*Config) {
	return func(c *Config) {
		c.Limits.MaxInFlight, c.Admission.Waiting = 1, waiting
		c.Admission.PaidWait, c.Admission.LowWait, c.Admission.StandingAfter = 10*time.Second, 10*time.Second, 10*time.Second
	}
}

// TestClasses: what a token or a key says decides, before the body.
func TestClasses(t *testing.T) {
	t.Parallel()
	r := newRig(t, crowded(0))
	used := r.mint(nil)
	c := r.holdPermit(t, request("GET", "/b?t="+used, ""))
	defer c.Close()
	expired := r.mint(func(tok *token.Token) { tok.ExpiresAt = t0.Add(-time.Second).UnixMicro() })
	test := r.mint(func(tok *token.Token) { tok.Test = true })
	body := itemJSON(t0, 1, "")
	for name, tt := range map[string]struct {
		raw    string
		class  admit.Class
		status int
	}{
		"token":           {request("GET", "/b?t="+r.mint(nil), ""), admit.Paid, 503},
		"redirect":        {request("GET", "/c?t="+r.mint(nil), ""), admit.Paid, 302},
		"used token":      {request("GET", "/b?t="+used, ""), admit.Demoted, 503},
		"used redirect":   {request("GET", "/c?t="+used, ""), admit.Demoted, 302},
		"expired token":   {request("GET", "/b?t="+expired, ""), admit.Organic, 503},
		"test token":      {request("GET", "/b?t="+test, ""), admit.Organic, 503},
		"prefetch":        {request("GET", "/c?t="+r.mint(nil), "", "Purpose: prefetch"), admit.Organic, 503},
		"no token":        {request("GET", "/c?s=pub-acme&u=https://shop.example/", ""), admit.Organic, 503},
		"beacon body":     {request("POST", "/b", "t="+r.mint(nil)), admit.Organic, 503},
		"batch":           {request("POST", "/v1/clicks", body, "Authorization: Bearer "+acmeKey), admit.Organic, 503},
		"batch of tests":  {request("POST", "/v1/clicks", body, "Authorization: Bearer "+acmeTestKey), admit.Bulk, 503},
		"batch, backfill": {request("POST", "/v1/clicks", body, "Authorization: Bearer "+acmeOldKey), admit.Bulk, 503},
	} {
		before := r.metric("shed_total", tt.class.String(), "full")
		if a := r.send(peerAddr, tt.raw); a.status != tt.status {
			t.Errorf("%s: %+v", name, a)
		}
		if n := r.metric("shed_total", tt.class.String(), "full") - before; n != 1 {
			t.Errorf("%s: was not refused as %s: %v", name, tt.class, r.metric("shed_total"))
		}
	}
	// Above its rate, a prefix loses its rank.
	for range 3000 {
		r.srv.admission.addresses.Over(netip.MustParseAddr(peerAddr), t0.UnixMicro())
	}
	r.get("/b?t=" + r.mint(nil))
	if n := r.metric("shed_total", admit.Demoted.String()); n != 3 {
		t.Errorf("%v demoted, want 3", n)
	}
}

// TestDisplaced: who is worth more takes the place of who is worth less. Who
// loses it is told to come again, but with a token is redirected at once.
func TestDisplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t, crowded(1))
	used := r.mint(nil)
	first := r.holdPermit(t, request("GET", "/b?t="+used, ""))
	defer first.Close()
	answers := map[string]chan reply{}
	enter := func(name, raw string) {
		refused := r.metric("shed_total")
		answer := make(chan reply, 1)
		answers[name] = answer
		go func() {
			a, _ := r.trySend(peerAddr, raw)
			answer <- a
		}()
		waitFor(t, name+" waits", func() bool {
			return r.srv.admission.gate.Waiting() == 1 && (len(answers) == 1 || r.metric("shed_total") > refused)
		})
	}
	enter("bulk", request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeOldKey))
	enter("used token", request("GET", "/c?t="+used, ""))
	enter("organic", request("GET", "/c?s=pub-acme&u=https://shop.example/", ""))
	enter("paid", request("GET", "/c?t="+r.mint(nil), ""))
	if a := r.get("/c?s=pub-acme&u=https://shop.example/"); a.status != 503 {
		t.Errorf("organic beside paid: %+v", a)
	}
	for name, want := range map[string]int{"bulk": 503, "used token": 302, "organic": 503} {
		if a := <-answers[name]; a.status != want || want == 503 && a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if n := r.metric("shed_total", "displaced"); n != 3 {
		t.Errorf("%v displaced, want 3", n)
	}
	if _, unrecorded, _ := r.log.counts(); len(unrecorded) != 1 || unrecorded[0] != "acme/edge" {
		t.Errorf("unrecorded: %v", unrecorded)
	}
	r.log.set(func(l *fakeLog) { l.hold = false })
	r.log.release(nil)
	if a := <-answers["paid"]; a.status != 302 {
		t.Errorf("paid: %+v", a)
	}
	if a, err := readReply(bufio.NewReader(first), false); err != nil || a.status != 204 {
		t.Errorf("the first: %+v, %v", a, err)
	}
	clicks, _ := r.take()
	if len(clicks) != 2 {
		t.Errorf("%d clicks were recorded, want the first and the paid one", len(clicks))
	}
}

// TestSlowBodiesHoldNoPermit: bodies that trickle in, as many as there are permits,
// keep nobody out.
func TestSlowBodiesHoldNoPermit(t *testing.T) {
	t.Parallel()
	const permits = 4
	r := newRig(t, func(c *Config) {
		c.Limits.MaxInFlight, c.Timeouts.Read = permits, time.Minute
	})
	raw := request("POST", "/v1/clicks", benchItems(100), "Authorization: Bearer "+acmeKey)
	if len(raw) < 2*preloaded {
		t.Fatal("the server reads all of the body by itself")
	}
	var conns []net.Conn
	for i := range permits {
		c, err := r.ln.dial(peerAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
		go io.WriteString(c, raw[:len(raw)-10])
		waitFor(t, "the body is on its way", func() bool { return r.srv.admission.reading.Load() == int64(i+1) })
	}
	if n := r.srv.admission.gate.InFlight(); n != 0 {
		t.Errorf("slow bodies hold %d permits", n)
	}
	if a := r.get("/c?t=" + r.mint(nil)); a.status != 302 {
		t.Errorf("a click beside slow bodies: %+v", a)
	}
	if a := r.send(peerAddr, raw); a.status != 503 || r.metric("shed_total", "full") != 1 {
		t.Errorf("one body too many: %+v", a)
	}
	for i, c := range conns {
		go io.WriteString(c, raw[len(raw)-10:])
		if a, err := readReply(bufio.NewReader(c), false); err != nil || a.status != 200 {
			t.Errorf("body %d: %+v, %v", i, a, err)
		}
	}
	if n := r.srv.admission.reading.Load(); n != 0 {
		t.Errorf("%d bodies are on their way still", n)
	}
}

// TestTokenIsUsedOnceRecorded: a click that was not recorded is no replay when it
// comes again, whatever it was refused for.
func TestTokenIsUsedOnceRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t, crowded(0))
	seen := func(text string) bool { // as the next request with it finds
		snap, e := r.srv.dep.Control.Current(), newEvent()
		if !e.open(text, snap, t0) {
			t.Fatal("the token does not open")
		}
		seen := r.srv.admission.reuse.Seen("acme", e.token.ClickID, t0.UnixMicro())
		if !seen {
			r.srv.admission.reuse.Forget("acme", e.token.ClickID)
		}
		return seen
	}
	for _, target := range []string{"/b?t=", "/c?t="} {
		text := r.mint(nil)
		r.log.set(func(l *fakeLog) { l.refuse = errTestLog })
		if r.get(target + text); seen(text) {
			t.Errorf("%s: used by a click that the log refused", target)
		}
		r.log.set(func(l *fakeLog) { l.refuse = nil })
		if r.get(target + text); !seen(text) {
			t.Errorf("%s: not used by a recorded click", target)
		}
		text = r.mint(nil)
		for _, h := range []string{"Purpose: prefetch", "Sec-Purpose: prefetch;prerender"} {
			if r.get(target+text, h); seen(text) {
				t.Errorf("%s: used by a prefetch", target)
			}
		}
		if r.send(peerAddr, request("HEAD", target+text, "")); seen(text) {
			t.Errorf("%s: used by a HEAD", target)
		}
	}
	c := r.holdPermit(t, request("GET", "/b?t="+r.mint(nil), ""))
	defer c.Close()
	for _, target := range []string{"/b?t=", "/c?t="} {
		text := r.mint(nil)
		if r.get(target + text); seen(text) {
			t.Errorf("%s: used by a click that got no permit", target)
		}
	}
}

// TestSpoofedForwardsAreOneBucket: whatever a client writes to the left of what
// the trusted proxy adds, its requests count for one address.
func TestSpoofedForwardsAreOneBucket(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const n = 1000
	for i := range n {
		a := r.send("192.0.2.10", request("GET", "/b?s=pub-acme", "",
			fmt.Sprintf("X-Forwarded-For: 198.51.%d.%d, 203.0.113.9, 192.0.2.44", i/256, i%256)))
		if a.status != 204 {
			t.Fatalf("%+v", a)
		}
	}
	over := r.srv.admission.addresses.Over
	if !over(netip.MustParseAddr("203.0.113.9"), t0.UnixMicro()) {
		t.Errorf("%d requests of one client are not over %d a second", n, r.srv.cfg.Admission.AddressRate)
	}
	for i := range n {
		if ip := netip.AddrFrom4([4]byte{198, 51, byte(i / 256), byte(i)}); over(ip, t0.UnixMicro()) && i < r.srv.cfg.Admission.AddressRate {
			t.Fatalf("%s pays for what was written in its name", ip)
		}
	}
	// Clients that nobody can tell apart are not one client.
	for range n {
		r.send("192.0.2.11", request("GET", "/b?s=pub-acme", "", "X-Forwarded-For: unknown"))
	}
	if over(netip.MustParseAddr("192.0.2.11"), t0.UnixMicro()) {
		t.Error("the proxy of unknown clients is over its rate")
	}
}

func TestQuotaOfKeys(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Admission.KeyRate, c.Admission.KeyBurst = 1, 2 })
	send := func(key string) *reply {
		ctx := newContext("POST", "/v1/clicks", itemJSON(t0, 1, ""))
		ctx.Request.Header.Set("Authorization", "Bearer "+key)
		r.srv.handle(ctx)
		h := http.Header{}
		for _, name := range []string{"RateLimit", "RateLimit-Policy", "Retry-After"} {
			h.Set(name, string(ctx.Response.Header.Peek(name)))
		}
		return &reply{status: ctx.Response.StatusCode(), body: string(ctx.Response.Body()), header: h}
	}
	for i, want := range []struct {
		key, limit, retry string
		status            int
	}{
		{acmeKey, `"key";r=1;t=1`, "", 200}, {acmeKey, `"key";r=0;t=2`, "", 200}, {acmeKey, `"key";r=0;t=2`, "1", 429},
		{globexKey, `"key";r=1;t=1`, "", 200}, {"wrong", "", "", 401},
	} {
		a := send(want.key)
		if a.status != want.status || a.header.Get("RateLimit") != want.limit || a.header.Get("Retry-After") != want.retry {
			t.Errorf("%d: %+v, want %+v", i, a, want)
		}
		if want.status == 429 && (!strings.Contains(a.body, codeQuota) || a.header.Get("RateLimit-Policy") != `"key";q=2;w=2`) {
			t.Errorf("%d: %+v", i, a)
		}
	}
	r.clock.Add(time.Second.Microseconds())
	if a := send(acmeKey); a.status != 200 {
		t.Errorf("a second later: %+v", a)
	}
	for i := range 3 {
		p := r.push("access-key", strings.NewReader(clf(0, "/c?cmp=cmp-1", "a")), HeaderBatch, "b")
		if (p.status == 429) != (i == 2) {
			t.Errorf("body %d: %s", i, p)
		}
	}
	if n := r.metric("shed_total", "quota"); n != 2 || len(r.log.shed) != 2 {
		t.Errorf("%v refused for quota; shed %v", n, r.log.shed)
	}
}

// TestPressureOfTheLog: a spool that runs full is kept for paid clicks.
func TestPressureOfTheLog(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	r.srv.dep.Signals = func() admit.Signals { return admit.Signals{Spool: .96} }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { r.srv.admission.gate.Run(ctx); close(done) }()
	waitFor(t, "only paid clicks are let in", func() bool { return !r.srv.admission.gate.LetsIn(admit.Organic) })
	for uri, want := range map[string]int{"/b?s=pub-acme": 503, "/b?t=" + r.mint(nil): 204} {
		c := newContext("GET", uri, "")
		if r.srv.handle(c); c.Response.StatusCode() != want {
			t.Errorf("%s: %d, want %d", uri, c.Response.StatusCode(), want)
		}
	}
	if p := r.push("access-key", strings.NewReader("x"), HeaderBatch, "b"); p.status != 503 || p.Code != codeOverload {
		t.Errorf("a log: %s", p)
	}
	if r.metric("shed_total", "pressure", "organic") != 1 || r.metric("shed_total", "pressure", "bulk") != 1 {
		t.Errorf("refused for pressure: %v", r.metric("shed_total", "pressure"))
	}
	cancel()
	<-done
}

// TestBulkYields: a long log stands aside while live requests want all there is.
func TestBulkYields(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Limits.MaxInFlight = 1 })
	if d := r.srv.admission.gate.Enter(admit.Request{Class: admit.Organic}); d != admit.Admitted {
		t.Fatal(d)
	}
	done := make(chan pushed)
	go func() {
		done <- r.push("access-key", strings.NewReader(strings.Repeat(clf(0, "/c?cmp=cmp-1", "a"), 3*groupEvents)), HeaderBatch, "b")
	}()
	got := func() int {
		r.log.mu.Lock()
		defer r.log.mu.Unlock()
		return len(r.log.clicks)
	}
	waitFor(t, "the first group is recorded", func() bool { return got() == groupEvents })
	time.Sleep(5 * yieldPause)
	if n := got(); n != groupEvents {
		t.Errorf("%d lines went on beside a live request", n)
	}
	r.srv.admission.gate.Leave()
	if p := <-done; p.status != 200 || p.Clicks != 3*groupEvents {
		t.Errorf("%s", p)
	}
}

func TestAdmissionPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, crowded(0))
	c := r.holdPermit(t, request("GET", "/b?t="+r.mint(nil), ""))
	defer c.Close()
	r.get("/b?t=" + r.mint(nil))
	resp, err := http.Get("http://" + r.srv.AdminAddr().String() + "/admission")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	for _, want := range []string{`"limit": 1`, `"in_flight": 1`, `"lowest_class": "bulk"`, `"full": 1`, `"publisher": "pub-1"`, `"shed": 1`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s in %s", want, b)
		}
	}
}
