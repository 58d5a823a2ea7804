package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowClients is how many clients hold a connection each at once. It is what the
// test demands, and no more than a process may have files.
func slowClients(t *testing.T) int {
	n := 2000
	if raceEnabled {
		n = 500 // the detector makes sockets ten times slower
	}
	if most := (fileLimit() - 500) / 2; float64(n) > most {
		t.Skipf("this process may have too few files for %d connections with both their ends", n)
	}
	return n
}

// slowKinds are the beginnings of requests that go on byte by byte.
func slowKinds() []string {
	auth := "Authorization: Bearer " + acmeKey + "\r\n"
	return []string{
		"", // the first line itself
		"GET /b?s=pub-acme HTTP/1.1\r\n" + hostLine + "X-A: ",
		"POST /b HTTP/1.1\r\n" + hostLine + "Content-Type: text/plain\r\nContent-Length: 8000\r\n\r\n",
		"POST /v1/clicks HTTP/1.1\r\n" + hostLine + auth + "Content-Length: 60000\r\n\r\n",
		"POST /v1/clicks HTTP/1.1\r\n" + hostLine + auth + "Content-Length: 60000\r\n\r\n" + strings.Repeat(" ", 20_000),
	}
}

// drip sends begin at once and then a byte each so often until the server ends the
// connection.
func drip(c net.Conn, begin string, every time.Duration) error {
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	_, _ = io.WriteString(c, begin)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			_, _ = io.WriteString(c, "x") // an end is seen by who reads
		}
	}
}

// deaf sends requests and reads no answer until the server ends the connection.
func deaf(c *net.TCPConn) error {
	if err := c.SetReadBuffer(4096); err != nil {
		return err
	}
	many := []byte(strings.Repeat(request("GET", "/b?s=nobody", ""), 100))
	for {
		if _, err := c.Write(many); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			return nil
		}
	}
}

// Two thousand clients that send a byte now and then, or take no answer, hold up
// nobody, and all of them are shown out.
func TestSlowClients(t *testing.T) {
	r := newSocketRig(t, func(c *Config) {
		c.Timeouts.Read, c.Timeouts.Write = 2*time.Second, time.Second
	})
	deafClients := 10
	if raceEnabled {
		deafClients = 2
	}
	n, kinds := slowClients(t), slowKinds()
	conns := make([]*net.TCPConn, n)
	for i := range conns {
		c, err := r.dialSocket()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
		if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	var shown, stuck atomic.Int64
	for i, c := range conns {
		all.Go(func() {
			var err error
			if i < deafClients {
				err = deaf(c)
			} else {
				err = drip(c, kinds[i%len(kinds)], 250*time.Millisecond)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				stuck.Add(1)
				return
			}
			shown.Add(1)
		})
	}
	answered := r.honest(t, &all)
	if answered < 100 || shown.Load() != int64(n) || stuck.Load() != 0 {
		t.Errorf("%d clicks were answered beside them; of %d slow clients %d were shown out and %d not", answered, n, shown.Load(), stuck.Load())
	}
	waitFor(t, "no connection is left", func() bool { return r.srv.http.GetOpenConnectionsCount() == 0 })
	if clicks, _ := r.take(); len(clicks) != answered {
		t.Errorf("%d clicks are recorded, %d were answered", len(clicks), answered)
	}
	if timeouts := r.metric("requests_total", "408"); timeouts < float64(n)/2 {
		t.Errorf("only %v timeouts are counted", timeouts)
	}
	t.Logf("%d clicks answered beside %d slow clients", answered, n)
}

// honest clicks, each on a connection of its own, until others are done; every
// click must be answered. It returns how many.
func (r *rig) honest(t *testing.T, others *sync.WaitGroup) (answered int) {
	t.Helper()
	done := make(chan struct{})
	go func() { others.Wait(); close(done) }()
	for {
		a, err := r.exchange(request("GET", "/c?t="+r.mint(nil), "", "Connection: close"))
		if err != nil || a.status != 302 {
			t.Fatalf("honest click %d: %+v, %v", answered, a, err)
		}
		answered++
		select {
		case <-done:
			return answered
		default:
		}
	}
}

// The batch listener has few places: who holds one and hardly sends loses it.
func TestSlowRawBodies(t *testing.T) {
	t.Parallel()
	r := newRawSocketRig(t, func(c *Config) { c.Batch.MaxRequests, c.Batch.Stall = 4, 500*time.Millisecond })
	var all sync.WaitGroup
	for i := range 4 {
		c, err := net.Dial("tcp", r.srv.BatchAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		begin := rawPost("", "Content-Length: 100000\r\n", clf(i, "/c?cmp=cmp-1", "a"), 0, "").raw
		all.Go(func() {
			if err := drip(c, begin, 50*time.Millisecond); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("a slow body kept its place")
			}
		})
	}
	all.Wait()
	if n := r.metric("damaged_bodies_total", codeTimeout); n != 4 {
		t.Errorf("%v bodies are counted as too slow, want 4", n)
	}
	if clicks, _ := r.take(); len(clicks) != 4 {
		t.Errorf("%d lines arrived and are recorded, want 4", len(clicks))
	}
	good := hostileRaw()[0]
	if err := r.playRaw(&good); err != nil {
		t.Errorf("the next batch: %v", err)
	}
}

// A sender that is slow because we are is not cut off.
func TestPaceCountsWaitingOnly(t *testing.T) {
	t.Parallel()
	r := newRawSocketRig(t, func(c *Config) { c.Batch.Stall = 100 * time.Millisecond })
	r.log.set(func(l *fakeLog) { l.hold = true })
	body := strings.Repeat(clf(0, "/c?cmp=cmp-1", "a"), 2*groupEvents+1)
	h := rawPost("patient", sized(body), body, 200, fmt.Sprintf(`"clicks":%d`, 2*groupEvents+1))
	h.stays = true
	done := make(chan error, 1)
	go func() { done <- r.playRaw(&h) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(250 * time.Millisecond):
			r.log.release(nil)
		}
	}
}
