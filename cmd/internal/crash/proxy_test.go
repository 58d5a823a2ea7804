package crash

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return ln.Addr().String()
}

func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ask sends a byte and waits for it to come back.
func ask(c net.Conn, limit time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

const (
	patience = 10 * time.Second       // for what must come
	silence  = 150 * time.Millisecond // for what must not
)

func wantSilence(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v, want no answer and no end", err)
	}
}

func newProxy(t *testing.T) *Proxy {
	t.Helper()
	p, err := NewProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestProxyBreaksLines(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	c := dial(t, p)
	if err := ask(c, patience); err != nil {
		t.Fatal(err)
	}
	p.Set(Cut)
	if err := ask(c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut connection: %v", err)
	}
	if err := ask(dial(t, p), patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new connection over a cut wire: %v", err)
	}
	p.Set(Open)
	if err := ask(dial(t, p), patience); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
}

func TestProxyStalls(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	c := dial(t, p)
	if err := ask(c, patience); err != nil {
		t.Fatal(err)
	}
	p.Set(Stall)
	wantSilence(t, ask(c, silence))
	p.Set(Open)
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("what waited did not pass: %v", err)
	}
}

func TestProxyIsSlow(t *testing.T) {
	t.Parallel()
	p := newProxy(t)
	c := dial(t, p)
	p.Set(Slow)
	began := time.Now()
	if err := ask(c, patience); err != nil || time.Since(began) < 2*slowness {
		t.Errorf("%v after %s, want both ways to take %s", err, time.Since(began), slowness)
	}
}

// A client whose server is gone, or whose answers are lost, hears nothing until
// the wire is mended; then its connection ends.
func TestProxyKeepsSilence(t *testing.T) {
	t.Parallel()
	for _, wire := range []Wire{Mute, Half} {
		t.Run(wire.String(), func(t *testing.T) {
			t.Parallel()
			p := newProxy(t)
			c := dial(t, p)
			if err := ask(c, patience); err != nil {
				t.Fatal(err)
			}
			p.Set(wire)
			wantSilence(t, ask(c, silence))
			p.Set(Open)
			if err := ask(c, patience); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection lives on: %v", err)
			}
		})
	}
}
