package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A gateway that keeps up: latencies are its own, to the microsecond of the
// histogram's three digits, and nothing is behind.
func TestRunKeepsTheSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(5*time.Millisecond, found)}
		cfg := testConfig(t, p.dial)
		cfg.Process, cfg.Connections = Uniform, 4
		start := time.Now()
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		c := classNamed(t, r, "paid")
		if r.Void || r.Late.Behind != 0 || c.Offered != 200 || c.Acked != 200 || c.Answers["302"] != 200 {
			t.Errorf("%+v\n%+v", r.Late, *c)
		}
		if c.Latency.P50 != 5.003 || c.Latency.Max != 5.003 { // the end of the histogram's cell
			t.Errorf("latencies %+v, want 5 ms", c.Latency)
		}
		// The last of 200 arrivals at 100/s comes at 1.99 s.
		if d := time.Since(start); d != 1995*time.Millisecond || r.ElapsedS != 1.995 || math.Abs(c.Goodput-200/1.995) > 1e-9 {
			t.Errorf("took %s and says %v s, %v/s", d, r.ElapsedS, c.Goodput)
		}
		if len(p.requests) != 200 || p.most != 4 {
			t.Errorf("%d requests on %d connections", len(p.requests), p.most)
		}
		if len(r.Series) != 2 || r.Series[0].Classes[0].Sent != 100 || r.Series[0].AtS != 1 {
			t.Errorf("series %+v", r.Series)
		}
	})
}

// A gateway that is too slow for its connections: a closed loop would report 50 ms,
// but whoever came in the meantime has waited for seconds, and the run is void.
func TestSlowGatewayIsChargedAndTheRunIsVoid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(50*time.Millisecond, found)}
		cfg := testConfig(t, p.dial)
		cfg.Process, cfg.Connections, cfg.Drain = Uniform, 2, 500*time.Millisecond
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		c := &r.Total
		// 2 connections answer 40 a second; 100 a second come for 2 s, and 0.5 s more
		// is allowed.
		if c.Offered != 200 || c.Sent < 98 || c.Sent > 104 || r.Late.Unsent != 200-c.Sent {
			t.Errorf("%+v", *c)
		}
		if !r.Void || len(r.Reasons) != 1 || r.Late.Behind < 90 || r.Late.Share < 0.9 {
			t.Errorf("void %v, %v, %+v", r.Void, r.Reasons, r.Late)
		}
		// The 100th arrival came at 0.99 s and started at 2.45 s.
		if c.Latency.P50 < 700 || c.Latency.Max < 1400 || c.Latency.Max > 1600 || r.Late.Max < 1400 {
			t.Errorf("latencies %+v, late %+v", c.Latency, r.Late.Latency)
		}
		if text := textOf(t, r); !strings.Contains(text, "VOID") || !strings.Contains(text, fmt.Sprintf(" %d were never sent", 200-c.Sent)) {
			t.Error(text)
		}
	})
}

func textOf(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A stall of one second in a run that is otherwise quick is charged to everybody
// who came during it.
func TestStallIsNotOmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := &played{answer: func(*http.Request) (time.Duration, string) {
			if d := time.Since(start); d >= 5*time.Second && d < 6*time.Second {
				return 6*time.Second - d, found
			}
			return time.Millisecond, found
		}}
		cfg := testConfig(t, p.dial)
		cfg.Process, cfg.Connections, cfg.Profile = Uniform, 1, Constant(100, 10*time.Second)
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		// One request was stalled on the wire; but 100 of 1,000 came in that second.
		if l := r.Total.Latency; l.P50 > 2 || l.P90 < 1 || l.P99 < 850 || l.Max < 990 || l.Max > 1010 {
			t.Errorf("latencies %+v", l)
		}
		if r.Late.Behind < 100 || !r.Void {
			t.Errorf("%+v", r.Late)
		}
	})
}

// Whatever a gateway does with requests, every one has an outcome of its kind.
func TestEveryOutcomeIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		outcomes := []struct {
			delay time.Duration
			raw   string
		}{
			{0, found},
			{0, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
			{0, "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"},
			{0, ""},                 // closed
			{2 * time.Second, ""},   // timeout
			{0, "nonsense\r\n\r\n"}, // not HTTP
		}
		p := &played{answer: func(*http.Request) (time.Duration, string) {
			o := outcomes[int(n.Add(1)-1)%len(outcomes)]
			return o.delay, o.raw
		}}
		cfg := testConfig(t, p.dial)
		cfg.Profile, cfg.Timeout = Constant(60, 10*time.Second), time.Second
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		c := classNamed(t, r, "paid")
		share := c.Sent / int64(len(outcomes))
		for name, got := range map[string]int64{
			"302": c.Answers["302"], "503": c.Answers["503"], "429": c.Answers["429"],
			"closed": c.Errors["closed"], "timeout": c.Errors["timeout"], "not HTTP": c.Errors["not HTTP"],
		} {
			if got < share || got > share+1 || share < 50 {
				t.Errorf("%s: %d, want %d", name, got, share)
			}
		}
		if c.Acked != c.Answers["302"] || c.Closes != c.Answers["503"] || c.Latency.N != c.Acked || c.Refusals.N != c.Answers["503"]+c.Answers["429"] {
			t.Errorf("%+v", *c)
		}
		time.Sleep(5 * time.Second) // the played gateway notices who has gone
	})
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig(t, func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") })
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if c := r.Total; c.Sent < 100 || c.Errors["no connection"] != c.Sent || c.Acked != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// Ctrl-C ends the run at once; what was not due by then was not offered.
func TestCutShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(time.Millisecond, found)}
		cfg := testConfig(t, p.dial)
		cfg.Process, cfg.Profile = Uniform, Constant(100, time.Hour)
		cfg.Slow = SlowConfig{Connections: 3, Every: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 3005*time.Millisecond)
		defer cancel()
		start := time.Now()
		r, err := Run(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if !r.Interrupted || r.Total.Offered != 301 || r.Total.Acked != 301 || r.Void || time.Since(start) > 4100*time.Millisecond {
			t.Errorf("after %s: %+v", time.Since(start), r.Total)
		}
	})
}

func TestClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(10*time.Millisecond, found)}
		cfg := testConfig(t, p.dial)
		cfg.Closed, cfg.Connections = true, 4
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if r.Mode != closedLoop || r.Total.Acked != 800 || r.Total.Goodput != 400 || r.Void {
			t.Errorf("%+v", r.Total)
		}
	})
}

// Every class asks for what it is said to ask for, and the log of acknowledged
// clicks holds exactly what was acknowledged.
func TestClassesAndTheLogOfAcks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var items, wrong counter
		p := &played{}
		p.answer = func(r *http.Request) (time.Duration, string) {
			switch r.Method + " " + r.URL.Path {
			case "GET /c":
				if (r.FormValue("t") == "") == (r.FormValue("u") == "") {
					wrong.n.Add(1)
				}
				return 0, found
			case "GET /b":
				return 0, "HTTP/1.1 204 No Content\r\n\r\n"
			}
			return 0, batchAnswer(r, &items, &wrong)
		}
		var log bytes.Buffer
		cfg := testConfig(t, p.dial)
		cfg.Mix, cfg.Profile, cfg.AckLog = Mix{Paid: 1, Organic: 1, Reused: 1, Batch: 1}, Constant(100, 10*time.Second), &log
		r, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		balanced(t, r)
		if wrong.n.Load() != 0 || items.n.Load() == 0 || r.Total.Sent < 800 {
			t.Errorf("%d wrong requests; %+v", wrong.n.Load(), r.Total)
		}
		got, ids := map[string]int64{}, map[string]map[string]bool{"paid": {}, "reused": {}, "batch": {}}
		for _, line := range ackLines(t, log.Bytes()) {
			got[line.Class]++
			ids[line.Class][line.ID] = true
		}
		batch, paid, reused := classNamed(t, r, "batch"), classNamed(t, r, "paid"), classNamed(t, r, "reused")
		if batch.Acked != items.n.Load() || batch.Acked >= batch.Sent*int64(cfg.Items) {
			t.Errorf("%d clicks of batches are acked, the gateway took %d", batch.Acked, items.n.Load())
		}
		for _, c := range []*ClassReport{batch, paid, reused} {
			if got[c.Class] != c.Acked || c.Acked == 0 {
				t.Errorf("%s: %d lines, %d acked", c.Class, got[c.Class], c.Acked)
			}
		}
		if len(ids["paid"]) != int(paid.Acked) || len(ids["batch"]) != int(batch.Acked) || len(ids["reused"]) != cfg.Tokens || got["organic"] != 0 {
			t.Errorf("%d, %d and %d different ids", len(ids["paid"]), len(ids["batch"]), len(ids["reused"]))
		}
	})
}

// batchAnswer takes all clicks of a batch, but of every second batch not the first.
func batchAnswer(r *http.Request, taken, wrong *counter) string {
	var batch []map[string]string
	err := json.NewDecoder(r.Body).Decode(&batch)
	if err != nil || len(batch) != DefaultConfig().Items || r.Header.Get("Authorization") == "" {
		wrong.n.Add(1)
		return "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
	}
	good, list := len(batch), []string{}
	for i, it := range batch {
		status := "accepted"
		if i == 0 && it["id"][len(it["id"])-1]%2 == 0 {
			status = "malformed"
			good--
		}
		list = append(list, fmt.Sprintf(`{"index":%d,"id":%q,"status":%q}`, i, it["id"], status))
	}
	taken.n.Add(int64(good))
	body := fmt.Sprintf(`{"accepted":%d,"malformed":%d,"items":[%s]}`, good, len(batch)-good, strings.Join(list, ","))
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestSlowConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &played{answer: constantly(0, found)}
		// As a gateway does: it gives up on a request that does not come.
		patient := func(ctx context.Context, network, address string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			p.mu.Lock()
			p.open++
			p.most = max(p.most, p.open)
			p.mu.Unlock()
			go func() {
				_ = theirs.SetReadDeadline(time.Now().Add(5200 * time.Millisecond))
				for buf := make([]byte, 100); ; {
					if _, err := theirs.Read(buf); err != nil {
						break
					}
				}
				_, _ = theirs.Write([]byte("HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n"))
				_ = theirs.Close()
				p.mu.Lock()
				p.open--
				p.mu.Unlock()
			}()
			return ours, nil
		}
		s := &slow{cfg: SlowConfig{Connections: 7, Every: 500 * time.Millisecond}, dial: patient, now: time.Now,
			targets: []*Target{{Host: "a", Address: "a:1"}, {Host: "b", Address: "b:1"}}}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		start := time.Now()
		s.run(ctx)
		r := s.report
		if d := time.Since(start); d > 12500*time.Millisecond {
			t.Errorf("ended after %s", d)
		}
		// They begin 5/7 s apart, and each is ended after 5.2 s and begun again half a second
		// later: in 12 s the first two are ended twice, and the first begins a third time.
		if r.Opened != 15 || r.Ended != 9 || r.Open != 6 || r.Answers["408"] != 9 || r.LongestS != 5.2 || r.Bytes < 7*14 || r.Bytes > 7*24 {
			t.Errorf("%+v", r)
		}
		time.Sleep(10 * time.Second) // the other ends notice
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open != 0 || p.most != 7 {
			t.Errorf("%d connections are left of up to %d", p.open, p.most)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := testConfig(t, (&played{}).dial)
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"target":           func(c *Config) { c.Targets = nil },
		"Sender":           func(c *Config) { c.Sender = nil },
		"mix":              func(c *Config) { c.Mix = Mix{} },
		"max behind":       func(c *Config) { c.MaxBehind = 2 },
		"connections":      func(c *Config) { c.Connections = maxConnections + 1 },
		"items":            func(c *Config) { c.Items = 1001 },
		"tokens":           func(c *Config) { c.Tokens = 0 },
		"provokers":        func(c *Config) { c.Provokers = 0 },
		"slow connections": func(c *Config) { c.Slow.Connections = -1 },
		"slow interval":    func(c *Config) { c.Slow.Every = 0 },
		"timeout":          func(c *Config) { c.Timeout = 0 },
		"drain":            func(c *Config) { c.Drain = time.Hour },
		"late":             func(c *Config) { c.Late = 0 },
		"rate":             func(c *Config) { c.Profile = nil },
		"arrivals":         func(c *Config) { c.Profile = Constant(MaxRate, time.Hour) },
		"organic":          func(c *Config) { s := *c.Sender; s.PublicID, c.Sender, c.Mix = "", &s, Mix{Organic: 1} },
		"API key":          func(c *Config) { s := *c.Sender; s.APIKey, c.Sender, c.Mix = "", &s, Mix{Batch: 1} },
		"token key":        func(c *Config) { s := *c.Sender; s.Key, c.Sender = nil, &s },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
