package app_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"clickgate/gateway"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/seal"
	"clickgate/gateway/spool"
	"clickgate/gateway/token"
	"clickgate/scoring"
	"clickgate/scoring/givt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"
)

const benchControl = `
tenants:
  - id: demo
    landing_hosts: [shop.example]
    token_keys:
      - {id: 1, key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}
    campaigns:
      - {id: spring, advertiser_id: acme}
`

const agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// memoryLog calls everything durable at once: what is measured is our own code.
type memoryLog struct{}

func (memoryLog) Record(_ *durable.Record, done durable.Waiter) error { done.Done(nil); return nil }
func (memoryLog) Shed(string, string)                                 {}
func (memoryLog) Unrecorded(string, string)                           {}
func (memoryLog) Ready() error                                        { return nil }

// spoolLog makes every record durable by an fsync on the disk of the test folder.
type spoolLog struct {
	memoryLog
	spool *spool.Spool
}

type spoolWaiter struct{ durable.Waiter }

func (w spoolWaiter) Done(_ uint64, err error) { w.Waiter.Done(err) }

func (l spoolLog) Record(r *durable.Record, done durable.Waiter) error {
	return l.spool.Append(r.Value, nil, spoolWaiter{done})
}

// edge is a gateway with everything on but Kafka: token, state, score, seal,
// encode.
type edge struct {
	handler fasthttp.RequestHandler
	key     *token.Key
	scorer  *scoring.Scorer
}

func newEdge(b *testing.B, log gateway.Log) *edge {
	b.Helper()
	snapshot, err := control.Parse([]byte(benchControl))
	if err != nil {
		b.Fatal(err)
	}
	master, err := seal.NewMaster(1, make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	lists, err := givt.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	scorer, err := scoring.New(scoring.DefaultConfig(), lists, 1, nil)
	if err != nil {
		b.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	server, err := gateway.New(gateway.DefaultConfig(), gateway.Dependencies{
		Control: control.NewSet(snapshot), Log: log, Scorer: scorer,
		Sealer: seal.NewSealer(master, rand.Reader), Pseudonyms: seal.NewPseudonymizer(master),
		Now: time.Now, Entropy: rand.Reader, Logger: slog.New(slog.DiscardHandler), Registerer: reg, Gatherer: reg,
	})
	if err != nil {
		b.Fatal(err)
	}
	return &edge{server.Handler(), snapshot.TokenKey(1), scorer}
}

// uris returns click URLs with tokens of their own.
func (e *edge) uris(b *testing.B, n int) []string {
	b.Helper()
	ids, err := click.NewIDSource(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	now := time.Now()
	out := make([]string, n)
	for i := range out {
		text, err := e.key.Seal(&token.Token{
			TenantID: "demo", ClickID: ids.New(now.UnixMicro()), IssuedAt: now.UnixMicro(), ExpiresAt: now.Add(time.Hour).UnixMicro(),
			AdvertiserID: "acme", CampaignID: "spring", PublisherID: "news.example", PlacementID: "top",
			LandingURL: "https://shop.example/spring?x=1", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
		}, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		out[i] = "/c?t=" + text + "&sub=red"
	}
	return out
}

// BenchmarkClick is a paid click through the whole of our own code: parse, open
// the token, state, score, seal, encode; without HTTP, network and disk.
func BenchmarkClick(b *testing.B) {
	e := newEdge(b, memoryLog{})
	uris := e.uris(b, 1024)
	var req fasthttp.Request
	req.Header.SetHost("clk.example")
	req.Header.SetUserAgent(agent)
	req.Header.Set("Referer", "https://news.example/a?b")
	req.Header.Set("Accept-Language", "de-DE,de;q=0.9")
	ctxs := make([]*fasthttp.RequestCtx, 256) // as many people
	for i := range ctxs {
		ctxs[i] = &fasthttp.RequestCtx{}
		ctxs[i].Init(&req, &net.TCPAddr{IP: net.IPv4(198, 18, byte(i), 7), Port: 4000}, nil)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		ctx := ctxs[i&255]
		ctx.Request.SetRequestURI(uris[i&1023])
		ctx.Response.Reset()
		e.handler(ctx)
		if ctx.Response.StatusCode() != http.StatusFound {
			b.Fatal(ctx.Response.String())
		}
		i++
	}
}

// BenchmarkRequest is a whole request through an in-memory listener, with the
// bare server beside it: what is above bare is ours.
func BenchmarkRequest(b *testing.B) {
	b.Run("bare fasthttp", func(b *testing.B) {
		requests(b, func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(http.StatusFound) }, []string{"/c?t=x"})
	})
	b.Run("click", func(b *testing.B) {
		e := newEdge(b, memoryLog{})
		requests(b, e.handler, e.uris(b, 1024))
	})
	b.Run("click, fsync", func(b *testing.B) {
		cfg := spool.DefaultConfig()
		cfg.Dir = b.TempDir()
		s, _, err := spool.Open(spool.OSFS{}, cfg, spool.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		e := newEdge(b, spoolLog{spool: s})
		b.SetParallelism(64)
		requests(b, e.handler, e.uris(b, 1024))
	})
}

func requests(b *testing.B, handler fasthttp.RequestHandler, uris []string) {
	ln := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true}
	go server.Serve(ln)
	defer server.Shutdown()
	texts := make([][]byte, len(uris))
	for i, uri := range uris {
		texts[i] = []byte(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: clk.example\r\nUser-Agent: %s\r\nReferer: https://news.example/a?b\r\nAccept-Language: de-DE,de;q=0.9\r\nAccept: text/html\r\n\r\n", uri, agent))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := ln.Dial()
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for i := 0; pb.Next(); i++ {
			if _, err := conn.Write(texts[i%len(texts)]); err != nil {
				b.Error(err)
				return
			}
			if status := readAnswer(r); status != "302" {
				b.Errorf("answered %s", status)
				return
			}
		}
	})
}

// readAnswer reads an answer without a body and returns its status.
func readAnswer(r *bufio.Reader) string {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err.Error()
	}
	status := "302"
	if !strings.HasPrefix(string(line[9:12]), status) {
		status = string(line)
	}
	for len(line) > 2 && err == nil {
		line, err = r.ReadSlice('\n')
	}
	return status
}
