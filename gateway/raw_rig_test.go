package gateway

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newRawRig is a rig with a batch listener whose requests need no socket.
func newRawRig(tb testing.TB, change func(*Config)) *rig {
	tb.Helper()
	r := newIdleRig(tb, func(c *Config) {
		c.Batch.Listen = "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
	tb.Cleanup(func() {
		if len(r.log.bad) > 0 {
			tb.Error("unreadable records:", r.log.bad)
		}
		if n := len(r.srv.raw.permits); n != 0 {
			tb.Errorf("%d permits were not returned", n)
		}
	})
	return r
}

// pushed is an answer of /v1/raw.
type pushed struct {
	status        int
	header        http.Header
	Code, Message string
	Offset        *int64
	RawCounts
}

func (p pushed) String() string {
	return fmt.Sprintf("%d %s %q %+v", p.status, p.Code, p.Message, p.RawCounts)
}

// push posts a log; headers are alternately names and values.
func (r *rig) push(key string, body io.Reader, headers ...string) pushed {
	r.tb.Helper()
	req := httptest.NewRequest("POST", "/v1/raw", body)
	req.RemoteAddr = peerAddr + ":4711"
	req.Header.Set("Authorization", "Bearer "+key)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return r.answer(req)
}

func (r *rig) answer(req *http.Request) pushed {
	r.tb.Helper()
	w := httptest.NewRecorder()
	r.srv.BatchHandler().ServeHTTP(w, req)
	p := pushed{status: w.Code, header: w.Header()}
	d := json.NewDecoder(w.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		r.tb.Fatalf("answer %d %q: %v", w.Code, w.Body, err)
	}
	if p.Clicks+p.Malformed+p.NotClicks+p.Comments+p.Blank != p.Lines {
		r.tb.Errorf("sums disagree: %s", p)
	}
	if p.header.Get("Cache-Control") != "no-store" || p.header.Get("Content-Type") != "application/json" {
		r.tb.Errorf("headers %v", p.header)
	}
	return p
}

// pushText posts a batch and demands 200 with these counts.
func (r *rig) pushText(key, text string, clicks, malformed, notClicks int64, headers ...string) pushed {
	r.tb.Helper()
	p := r.push(key, strings.NewReader(text), append([]string{HeaderBatch, "b1"}, headers...)...)
	if p.status != 200 || p.Clicks != clicks || p.Malformed != malformed || p.NotClicks != notClicks {
		r.tb.Errorf("got %s, want %d clicks, %d malformed, %d not clicks", p, clicks, malformed, notClicks)
	}
	return p
}

func zipped(parts ...string) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, p)
		_ = z.Close()
	}
	return b.Bytes()
}

// clf is a line of a combined log, second seconds after t0.
func clf(second int, target, agent string) string {
	return fmt.Sprintf("203.0.113.11 - - [10/Nov/2026:12:%02d:%02d +0000] \"GET %s HTTP/1.1\" 302 0 \"-\" \"%s\"\n", second/60, second%60, target, agent)
}
