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

// A COMMIT ends its connection, by turns behind and before it gets to the server, and
// its answer is never heard. What is no COMMIT passes.
func TestProxyCutsCommits(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 4)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var all []byte
				buf := make([]byte, 64)
				for {
					n, err := c.Read(buf)
					if all = append(all, buf[:n]...); err != nil {
						got <- string(all)
						return
					}
					_, _ = c.Write([]byte("done"))
				}
			}()
		}
	}()
	p, err := NewProxy(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Close(), ln.Close() })
	p.Set(AtCommit)
	for _, want := range []string{"begin\x00commit\x00", "begin\x00"} {
		c := dial(t, p)
		_ = c.SetDeadline(time.Now().Add(patience))
		answer := make([]byte, 4)
		_, err := c.Write([]byte("begin\x00"))
		if _, e := io.ReadFull(c, answer); err != nil || e != nil {
			t.Fatal(err, e)
		}
		if _, err := c.Write([]byte("commit\x00")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(answer); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a COMMIT was answered with %q, %v", answer[:n], err)
		}
		if text := <-got; text != want {
			t.Errorf("the server got %q, want %q", text, want)
		}
	}
	if n := p.Commits(); n != 2 {
		t.Errorf("%d commits cut, want 2", n)
	}
}
