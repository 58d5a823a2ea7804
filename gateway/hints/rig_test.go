package hints

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"
)

const seed = 42

var prefixes atomic.Int64

// open returns hints with a prefix of their own for tests that do not give one.
func open(t testing.TB, addr, prefix string) *Hints {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Addr, cfg.Prefix, cfg.Timeout = addr, prefix, time.Second
	return openWith(t, cfg)
}

func openWith(t testing.TB, cfg Config) *Hints {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	h, err := New(cfg, Dependencies{Seed: seed, Now: time.Now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.client.Close() })
	return h
}

// servers runs a test against a Redis in memory and, where there is one, a real one.
func servers(t *testing.T, test func(t *testing.T, addr, prefix string)) {
	t.Helper()
	prefix := func() string { return fmt.Sprintf("test-%d-%d", os.Getpid(), prefixes.Add(1)) }
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		test(t, miniredis.RunT(t).Addr(), prefix())
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		test(t, realRedis(t), prefix())
	})
}

func realRedis(t *testing.T) string {
	t.Helper()
	addr := os.Getenv("CLICKGATE_TEST_REDIS")
	if addr == "" {
		t.Skip("CLICKGATE_TEST_REDIS is not set; `make test` starts a server")
	}
	return addr
}

func plain(t *testing.T, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// counts are the answers so far.
type counts struct{ first, repeated, unknown, omitted float64 }

func (h *Hints) counted() counts {
	m := &h.metrics.ids
	return counts{testutil.ToFloat64(m.first), testutil.ToFloat64(m.repeated), testutil.ToFloat64(m.unknown), testutil.ToFloat64(m.omitted)}
}

func (c counts) all() float64 { return c.first + c.repeated + c.unknown + c.omitted }

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: ", what)
		}
	}
}

// run runs h until the test ends.
func run(t *testing.T, h *Hints) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { h.Run(ctx, nil) })
	t.Cleanup(func() { cancel(); done.Wait() })
}

// sick is a server that takes connections and treats them badly.
type sick struct {
	net.Listener
	mu    sync.Mutex
	treat func(net.Conn)
	conns []net.Conn
}

func newSick(t *testing.T, treat func(net.Conn)) *sick {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sick{Listener: ln, treat: treat}
	t.Cleanup(func() { _ = ln.Close(); s.be(nil) })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.take(c)
		}
	}()
	return s
}

func (s *sick) take(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	treat := s.treat
	go func() {
		defer c.Close()
		if treat != nil {
			treat(c)
		}
	}()
}

// be treats connections so from now on; those that are open end.
func (s *sick) be(treat func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.treat = treat
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// silent never answers.
func silent(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// forward passes a connection on, each answer after a delay.
func forward(addr string, delay time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		up, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(up, c); _ = up.Close() }()
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			time.Sleep(delay)
			if _, e := c.Write(buf[:n]); err != nil || e != nil {
				return
			}
		}
	}
}
