package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/hints"
	"clickgate/gateway/token"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

func newHints(tb testing.TB, addr string, timeout time.Duration) *hints.Hints {
	tb.Helper()
	cfg := hints.DefaultConfig()
	cfg.Addr, cfg.Timeout = addr, timeout
	h, err := hints.New(cfg, hints.Dependencies{
		Seed: 1, Now: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

// hanging is a server that takes connections and never answers.
func hanging(tb testing.TB) string {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	return ln.Addr().String()
}

// A Redis that hangs, or is not there, is nothing that a click can see: each is taken
// and recorded, and takes no longer; how long is printed.
func TestClicksWithoutRedis(t *testing.T) {
	t.Parallel()
	const warmUp, clicks = 1000, 3000
	var healthy time.Duration
	for _, c := range []struct{ name, addr string }{
		{"healthy", miniredis.RunT(t).Addr()}, {"hangs", hanging(t)}, {"refuses", "127.0.0.1:1"},
	} {
		r, log := direct(t)
		h := newHints(t, c.addr, 5*time.Millisecond)
		r.srv.dep.Hints = h
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); h.Run(ctx, r.srv.admission.addresses) }()
		took := make([]time.Duration, warmUp+clicks)
		request := newContext("GET", "/c", "")
		for i := range took {
			uri := "/c?t=" + r.mint(func(tok *token.Token) { tok.ClickID = click.ID{0: 1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)} })
			began := time.Now()
			if status := serve(r, request, uri); status != fasthttp.StatusFound {
				t.Fatalf("%s: click %d was answered %d", c.name, i, status)
			}
			took[i] = time.Since(began)
		}
		cancel()
		<-ended
		if log.records != len(took) {
			t.Errorf("%s: %d of %d clicks are recorded", c.name, log.records, len(took))
		}
		took = took[warmUp:]
		slices.Sort(took)
		p99 := took[clicks*99/100]
		if c.name == "healthy" {
			healthy = p99
		}
		t.Logf("%s: p99 %v, %.2f of that with a healthy Redis", c.name, p99, float64(p99)/float64(healthy))
	}
}

// What a visitor uses here is repeated at another gateway.
func TestTokenUsedElsewhere(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	a, b := newIdleRig(t, nil), newIdleRig(t, nil)
	a.srv.dep.Hints, b.srv.dep.Hints = newHints(t, m.Addr(), time.Second), newHints(t, m.Addr(), time.Second)
	a.startInMemory()
	b.startInMemory()
	one := a.mint(nil)
	if got := a.send(peerAddr, request("GET", "/c?t="+one, "")).status; got != 302 {
		t.Fatal(got)
	}
	waitFor(t, "Redis knows the id", func() bool { return len(m.Keys()) == 1 })
	for _, uri := range []string{"/c?t=" + one, "/b?t=" + one, "/c?s=pub-acme&u=https%3A%2F%2Fshop.example%2Fx&cmp=cmp-1"} {
		if got := b.send(peerAddr, request("GET", uri, "")).status; got != 302 && got != 204 {
			t.Fatal(uri, got)
		}
	}
	two := b.mint(func(tok *token.Token) { tok.ClickID = click.ID{0: 9} })
	b.send(peerAddr, request("GET", "/c?t="+two, ""))
	waitFor(t, "Redis knows both", func() bool {
		n := 0
		for _, k := range m.Keys() {
			s, _ := m.Members(k)
			n += len(s)
		}
		return n == 2
	})
}
