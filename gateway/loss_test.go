package gateway

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/durable"
	"clickgate/gateway/seal"
)

// waitFor polls a condition that another goroutine makes true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened:", what)
		}
	}
}

func (l *fakeLog) counts() (shed, unrecorded []string, held int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.shed), slices.Clone(l.unrecorded), len(l.held)
}

// Every way a record can fail, on every kind of click.
func TestWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	short := func(c *Config) { c.Timeouts.Durable = 10 * time.Millisecond }
	for mode, tt := range map[string]struct {
		set func(*fakeLog)
		end error // of held records
		// Whether a redirect counts as unrecorded once all is settled.
		lost bool
	}{
		"refused":        {func(l *fakeLog) { l.refuse = durable.ErrFull }, nil, true},
		"failed":         {func(l *fakeLog) { l.fail = durable.ErrFailed }, nil, true},
		"late, then bad": {func(l *fakeLog) { l.hold = true }, durable.ErrFailed, true},
		"late, then ok":  {func(l *fakeLog) { l.hold = true }, nil, false},
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, short)
			r.log.set(tt.set)
			token := r.mint(nil)
			if a := r.get("/c?t=" + token); a.status != 302 || a.header.Get("Location") == "" {
				t.Errorf("verified click: %+v", a)
			}
			want := []string(nil)
			if tt.lost {
				want = []string{"acme/edge"}
			}
			r.log.release(tt.end)
			_, unrecorded, _ := r.log.counts()
			if !slices.Equal(unrecorded, want) || r.metric("unrecorded_total") != float64(len(want)) {
				t.Errorf("unrecorded %v, metric %v; want %v", unrecorded, r.metric("unrecorded_total"), want)
			}
			for name, raw := range map[string]string{
				"untokened": request("GET", "/c?s=pub-acme&u=https://shop.example/", ""),
				"beacon":    request("GET", "/b?t="+token, ""),
				"malformed": request("GET", "/c?s=pub-acme&u=https://evil.example/", ""),
				"batch":     request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeKey),
			} {
				a := r.send(peerAddr, raw)
				if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Location") != "" || a.header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s: answer %+v", name, a)
				}
			}
			if a := r.get("/c?t="+token, "Purpose: prefetch"); a.status != 503 {
				t.Errorf("prefetch: %+v", a)
			}
			r.log.release(tt.end)
			if _, unrecorded, _ := r.log.counts(); !slices.Equal(unrecorded, want) {
				t.Errorf("unrecorded %v, want only redirects to count", unrecorded)
			}
		})
	}
}

func TestOverload(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.MaxInFlight, c.Admission.Waiting = 1, 0 })
	r.log.set(func(l *fakeLog) { l.hold = true })
	c, err := r.ln.dial(peerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request("GET", "/c?t="+r.mint(nil), ""))
	waitFor(t, "the first click holds the only permit", func() bool { _, _, held := r.log.counts(); return held == 1 })

	if a := r.get("/c?t=" + r.mint(nil)); a.status != 302 {
		t.Errorf("verified click: %+v", a)
	}
	for name, raw := range map[string]string{
		"prefetch":     request("GET", "/c?t="+r.mint(nil), "", "Purpose: prefetch"),
		"untokened":    request("GET", "/c?s=pub-acme&u=https://shop.example/", ""),
		"beacon":       request("GET", "/b?t="+r.mint(nil), ""),
		"beacon body":  request("POST", "/b", "t="+r.mint(nil)),
		"batch":        request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeKey),
		"no landing":   request("GET", "/c?s=pub-acme", ""),
		"open landing": request("GET", "/c?s=pub-acme&u=https://evil.example/", ""),
	} {
		if a := r.send(peerAddr, raw); a.status != 503 || a.header.Get("Retry-After") != "1" || a.closed || a.header.Get("Location") != "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	shed, unrecorded, _ := r.log.counts()
	slices.Sort(shed)
	if want := []string{"acme/api", "acme/edge", "acme/edge", "acme/web", "acme/web", "acme/web"}; !slices.Equal(shed, want) {
		t.Errorf("shed %v, want %v", shed, want)
	}
	if !slices.Equal(unrecorded, []string{"acme/edge"}) || r.metric("shed_total", "full") != 8 || r.metric("refused_total", "overload") != 1 {
		t.Errorf("unrecorded %v, shed %v, refused %v", unrecorded, r.metric("shed_total"), r.metric("refused_total", "overload"))
	}
	if n := r.log.release(nil); n != 1 {
		t.Errorf("%d records were let in, want 1", n)
	}
	if a, err := readReply(bufio.NewReader(c), false); err != nil || a.status != 302 {
		t.Errorf("the first click: %+v, %v", a, err)
	}
	r.log.set(func(l *fakeLog) { l.hold = false })
	if a := r.get("/b?t=" + r.mint(nil)); a.status != 204 {
		t.Errorf("after the load: %+v", a)
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.scorer.set(func(_ *click.Click, s *click.Signals) { panic("agent " + s.UserAgent) })
	for _, raw := range []string{
		request("GET", "/c?t="+r.mint(nil), ""),
		request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeKey, "Idempotency-Key: k"),
	} {
		if a := r.send(peerAddr, raw); a.status != 500 || !a.closed || a.header.Get("Location") != "" {
			t.Errorf("answer %+v", a)
		}
	}
	r.scorer.set(func(c *click.Click, _ *click.Signals) { c.Verdict.State = click.Valid })
	if a := r.get("/c?t=" + r.mint(nil)); a.status != 302 {
		t.Errorf("after the panic: %+v", a)
	}
	if a := r.batch(acmeKey, itemJSON(t0, 1, ""), "Idempotency-Key: k"); a.status != 200 {
		t.Errorf("the idempotency key stayed taken: %+v", a)
	}
	if r.metric("panics_total") != 2 || !strings.Contains(r.logged.String(), "panic") || strings.Contains(r.logged.String(), "Orrery") {
		t.Errorf("panics %v, log %q", r.metric("panics_total"), r.logged)
	}
}

func TestStopDrains(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.log.set(func(l *fakeLog) { l.hold = true })
	const inside = 20
	conns := make([]*bufio.Reader, inside)
	for i := range conns {
		c, err := r.ln.dial(peerAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, request("GET", "/b?t="+r.mint(nil), ""))
		conns[i] = bufio.NewReader(c)
	}
	waitFor(t, "all requests are inside", func() bool { _, _, held := r.log.counts(); return held == inside })
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		stopped <- r.srv.Stop(ctx)
	}()
	<-r.ln.done
	if err := r.srv.Ready(); err == nil {
		t.Error("ready while draining")
	}
	if n := r.log.release(nil); n != inside {
		t.Fatalf("released %d", n)
	}
	for _, br := range conns {
		if a, err := readReply(br, false); err != nil || a.status != 204 || !a.closed {
			t.Errorf("answer %+v, %v", a, err)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestStopThatRunsOutOfTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.log.set(func(l *fakeLog) { l.hold = true })
	c, err := r.ln.dial(peerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, request("GET", "/b?t="+r.mint(nil), ""))
	waitFor(t, "the request is inside", func() bool { _, _, held := r.log.counts(); return held == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.srv.Stop(ctx); err == nil || !strings.Contains(err.Error(), "1 requests") {
		t.Errorf("Stop said %v", err)
	}
	r.log.release(nil)
	waitFor(t, "the request ended", func() bool { return r.srv.admission.gate.InFlight() == 0 })
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fetch := func(path string) (int, string) {
		t.Helper()
		resp, err := http.Get("http://" + r.srv.AdminAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	r.get("/c?t=" + r.mint(nil))
	r.get("/nothing")
	for path, want := range map[string]string{
		"/healthz":                  "ok",
		"/readyz":                   "ok",
		"/metrics":                  `clickgate_gateway_requests_total{code="302",route="c"} 1`,
		"/debug/pprof/":             "goroutine",
		"/debug/pprof/heap?debug=1": "heap profile",
		"/debug/pprof/symbol":       "num_symbols",
	} {
		if code, body := fetch(path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200q", path, code, body)
		}
	}
	if code, _ := fetch("/debug/pprof/cmdline"); code == 200 {
		if _, body := fetch("/debug/pprof/cmdline"); strings.Contains(body, "test") {
			t.Error("the command line, which may hold secrets, is shown")
		}
	}
	r.log.set(func(l *fakeLog) { l.ready = errTestLog })
	if code, body := fetch("/readyz"); code != 503 || !strings.Contains(body, errTestLog.Error()) {
		t.Errorf("log not ready: %d %q", code, body)
	}
	r.log.set(func(l *fakeLog) { l.ready = nil })
	r.srv.Drain()
	if code, body := fetch("/readyz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("draining: %d %q", code, body)
	}
	if code, _ := fetch("/healthz"); code != 200 {
		t.Errorf("health while draining: %d", code)
	}
}

type noEntropy struct{}

func (noEntropy) Read([]byte) (int, error) { return 0, errTestLog }

// What cannot be sealed is never written in clear.
func TestNothingIsWrittenUnsealed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	master, err := seal.NewMaster(7, []byte(strings.Repeat("\x09", 32)))
	if err != nil {
		t.Fatal(err)
	}
	r.srv.dep.Sealer = seal.NewSealer(master, noEntropy{})
	for raw, want := range map[string]int{
		request("GET", "/c?t="+r.mint(nil), ""): 302,
		request("GET", "/c?s=pub-acme", ""):     503,
		request("GET", "/b?s=pub-acme", ""):     503,
		request("POST", "/v1/clicks", itemJSON(t0, 1, "")+"\n"+itemJSON(t0, 2, ""), "Authorization: Bearer "+acmeKey): 503,
		request("POST", "/v1/clicks", "x", "Authorization: Bearer "+acmeKey):                                          503,
	} {
		if a := r.send(peerAddr, raw); a.status != want {
			t.Errorf("%.40q: %+v", raw, a)
		}
	}
	_, unrecorded, _ := r.log.counts()
	if len(r.log.records) != 0 || !slices.Equal(unrecorded, []string{"acme/edge"}) {
		t.Errorf("%d records, unrecorded %v", len(r.log.records), unrecorded)
	}
}
