package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/cmd/internal/demo"
)

// played is a gateway played by a test: over pipes, so that it works in virtual
// time, with as many connections as are asked for.
type played struct {
	answer func(r *http.Request) (delay time.Duration, raw string)

	mu       sync.Mutex
	requests []string // method and path
	open     int
	most     int // connections at once
}

const found = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"

func constantly(delay time.Duration, raw string) func(*http.Request) (time.Duration, string) {
	return func(*http.Request) (time.Duration, string) { return delay, raw }
}

func (p *played) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	p.mu.Lock()
	p.open++
	p.most = max(p.most, p.open)
	p.mu.Unlock()
	go func() {
		p.serve(theirs)
		_ = theirs.Close()
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}()
	return ours, nil
}

func (p *played) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		p.mu.Lock()
		p.requests = append(p.requests, req.Method+" "+req.URL.Path)
		p.mu.Unlock()
		delay, raw := p.answer(req)
		time.Sleep(delay)
		if _, err := io.WriteString(conn, raw); err != nil || raw == "" {
			return
		}
	}
}

// clock is virtual inside a bubble; ids made from it are unique all the same.
func testConfig(t testing.TB, dial Dialer) Config {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Sender = testSender(t)
	cfg.Targets = []*Target{{URL: "http://edge.example", Host: "edge.example", Address: "edge.example:80"}}
	cfg.Profile = Constant(100, 2*time.Second)
	cfg.Dial, cfg.Now, cfg.Entropy = dial, time.Now, rand.Reader
	return cfg
}

func testControl(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "control.yaml")
	if _, err := demo.Prepare(path, rand.Reader); err != nil {
		t.Fatal(err)
	}
	return path
}

func testSender(t testing.TB) *Sender {
	t.Helper()
	path := testControl(t)
	s, err := NewSender(path, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ReadAPIKey("", path, time.Now()); err != nil {
		t.Fatal(err)
	}
	return s
}

// balanced checks the account of a report: everything offered is sent or unsent,
// and everything sent has one outcome.
func balanced(t testing.TB, r *Report) {
	t.Helper()
	var sent, offered, rows int64
	for i := range r.Classes {
		c := &r.Classes[i]
		if c.Offered != c.Sent+c.Unsent || c.Unsent < 0 || c.Sent != sum(c.Answers)+sum(c.Errors) {
			t.Errorf("%s does not add up: %+v", c.Class, *c)
		}
		if n := c.Latency.N + c.Refusals.N; n != sum(c.Answers) {
			t.Errorf("%s: %d latencies of %d answers", c.Class, n, sum(c.Answers))
		}
		sent, offered = sent+c.Sent, offered+c.Offered
	}
	if r.Total.Sent != sent || r.Total.Offered != offered {
		t.Errorf("total %+v, want %d offered and %d sent", r.Total, offered, sent)
	}
	for i := range r.Series {
		for _, c := range r.Series[i].Classes {
			rows += c.Sent
		}
	}
	if rows != sent {
		t.Errorf("the series has %d, the run %d", rows, sent)
	}
	var cases int64
	for _, c := range r.Malformed {
		cases += c.Sent
		if c.Sent != sum(c.Outcomes) {
			t.Errorf("malformed %+v", c)
		}
	}
	for i := range r.Classes {
		if r.Classes[i].Class == "malformed" && r.Classes[i].Sent != cases {
			t.Errorf("%d malformed sent, %d in the table", r.Classes[i].Sent, cases)
		}
	}
}

func classNamed(t testing.TB, r *Report, name string) *ClassReport {
	t.Helper()
	for i := range r.Classes {
		if r.Classes[i].Class == name {
			return &r.Classes[i]
		}
	}
	t.Fatalf("no class %s in %+v", name, r.Classes)
	return nil
}

// ackLines reads a log of acknowledged clicks.
func ackLines(t testing.TB, text []byte) (lines []Acked) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	for {
		var a Acked
		switch err := d.Decode(&a); {
		case errors.Is(err, io.EOF):
			return lines
		case err != nil:
			t.Fatalf("after %d lines: %v", len(lines), err)
		}
		lines = append(lines, a)
	}
}

// counter counts calls.
type counter struct{ n atomic.Int64 }

func mustRead(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
