package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/gateway/durable"

	"github.com/valyala/fasthttp"
)

// nullLog makes everything durable at once and keeps nothing.
type nullLog struct{ records, bytes int }

func (l *nullLog) Record(r *durable.Record, done durable.Waiter) error {
	l.records++
	l.bytes += len(r.Value)
	done.Done(nil)
	return nil
}
func (*nullLog) Shed(string, string)       {}
func (*nullLog) Unrecorded(string, string) {}
func (*nullLog) Ready() error              { return nil }

type nullScorer struct{}

func (nullScorer) Score(c *click.Click, _ *click.Signals) { c.Verdict.State = click.Valid }

// direct is a server whose handler is called without any HTTP around it.
func direct(tb testing.TB) (*rig, *nullLog) {
	tb.Helper()
	r := newIdleRig(tb, nil)
	log := &nullLog{}
	r.srv.dep.Log, r.srv.dep.Scorer = log, nullScorer{}
	r.srv.outcomes = newOutcomePool(log, r.srv.lost)
	return r, log
}

func newContext(method, uri, body string) *fasthttp.RequestCtx {
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.Header.SetHost("clk.example")
	req.Header.SetUserAgent(browser)
	req.Header.Set("Referer", "https://news.example/a?b")
	req.Header.Set("Accept-Language", "de-DE,de;q=0.9")
	req.SetRequestURI(uri)
	if body != "" {
		req.SetBodyString(body)
		req.Header.SetContentLength(len(body))
	}
	ctx := &fasthttp.RequestCtx{}
	ctx.Init(&req, &net.TCPAddr{IP: net.ParseIP(peerAddr).To4(), Port: 4000}, quiet{})
	return ctx
}

func serve(r *rig, ctx *fasthttp.RequestCtx, uri string) int {
	ctx.Request.SetRequestURI(uri) // parsed anew, as in every request
	ctx.Response.Reset()
	r.srv.handle(ctx)
	return ctx.Response.StatusCode()
}

func TestAcceptPathAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector empties pools at random, so allocations mean nothing under it")
	}
	r, log := direct(t)
	for name, tt := range map[string]struct {
		uri    string
		status int
	}{
		"c by token":  {"/c?t=" + r.mint(nil) + "&crt=k&sub=red;blue", 302},
		"b by token":  {"/b?t=" + r.mint(nil), 204},
		"c by source": {"/c?s=pub-acme&u=https%3A%2F%2Fshop.example%2Fx&cmp=cmp-1", 302},
	} {
		ctx := newContext("GET", tt.uri, "")
		before := log.records
		allocs := testing.AllocsPerRun(1000, func() {
			if got := serve(r, ctx, tt.uri); got != tt.status {
				t.Fatal(name, got)
			}
		})
		if allocs != 0 || log.records-before < 1000 {
			t.Errorf("%s: %v allocations a click, %d records", name, allocs, log.records-before)
		}
	}
}

func BenchmarkClickDirect(b *testing.B) {
	r, log := direct(b)
	uri := "/c?t=" + r.mint(nil) + "&crt=k&sub=red;blue"
	ctx := newContext("GET", uri, "")
	b.ReportAllocs()
	for b.Loop() {
		if serve(r, ctx, uri) != 302 {
			b.Fatal(ctx.Response.String())
		}
	}
	b.ReportMetric(float64(log.bytes)/float64(log.records), "B/record")
}

func benchItems(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `{"id":"%s","ip":"203.0.113.%d","user_agent":"%s","referer":"https://news.example/a","campaign_id":"cmp-1","publisher_id":"pub-%d","placement_id":"slot 7"}`+"\n", newID(t0, i), i%250, browser, i)
	}
	return s.String()
}

func BenchmarkBatch100Direct(b *testing.B) {
	r, log := direct(b)
	body := benchItems(100)
	ctx := newContext("POST", "/v1/clicks", body)
	ctx.Request.Header.Set("Authorization", "Bearer "+acmeKey)
	b.ReportAllocs()
	for b.Loop() {
		if serve(r, ctx, "/v1/clicks") != 200 {
			b.Fatal(ctx.Response.String())
		}
	}
	if log.records < 100 {
		b.Fatal("nothing happened")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(log.records), "ns/click")
}

// overPipe measures a whole request through the HTTP server and an in-memory connection.
func overPipe(b *testing.B, raw func(*rig) string, status string) {
	r, _ := direct(b)
	go r.srv.http.Serve(r.ln)
	defer r.ln.Close()
	c, err := r.ln.dial(peerAddr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request, br := raw(r), bufio.NewReader(c)
	var resp fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		if err := resp.Read(br); err != nil || !strings.HasPrefix(status, itoa(resp.StatusCode())) {
			b.Fatal(resp.String(), err)
		}
	}
}

func BenchmarkClickHTTP(b *testing.B) {
	overPipe(b, func(r *rig) string { return request("GET", "/c?t="+r.mint(nil), "") }, "302")
}

func BenchmarkBatch100HTTP(b *testing.B) {
	overPipe(b, func(*rig) string {
		return request("POST", "/v1/clicks", benchItems(100), "Authorization: Bearer "+acmeKey)
	}, "200")
}
