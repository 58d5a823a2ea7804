package app_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/demomodel"
	"clickgate/scoring/givt"

	"github.com/valyala/fasthttp"
)

// part is a piece of our own code per click. run does it once for the i-th visitor.
type part struct {
	name string
	run  func(i int)
	ns   []float64 // per click, by turn
}

// least is the turn in which nothing else had the processor: what a machine's other
// programs take is not the code's.
func (p *part) least() float64 { return slices.Min(p.ns) }

// turn is how many clicks of a part are timed at once.
const turn = 128

// BenchmarkClickParts measures what a paid click costs and what its parts do, in turns
// in the same run, and prints one table in which the parts add up to the whole. What
// cannot be run by itself is the difference of two that can.
func BenchmarkClickParts(b *testing.B) {
	model, err := demomodel.Open()
	if err != nil {
		b.Fatal(err)
	}
	lists, err := givt.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	e := newEdge(b, memoryLog{})
	if err := e.scorer.SwapModel(model); err != nil {
		b.Fatal(err)
	}
	bare := newEdge(b, memoryLog{}).scorer // without a model
	with := newEdge(b, memoryLog{}).scorer
	if err := with.SwapModel(model); err != nil {
		b.Fatal(err)
	}
	var vector click.Vector
	whole, lone := &part{name: "whole click", run: whole(b, e)}, &part{name: "scoring", run: scored(with, &vector)}
	bareScore := &part{name: "scoring without the forest", run: scored(bare, nil)}
	known := lists.Agent(agent) // scoring remembers what it read off an agent
	match := &part{name: "lists", run: func(i int) { sink += float64(lists.MatchOf(known, visitorAddress(i)).Agent) }}
	forest := &part{name: "forest", run: func(int) { sink += model.Score(vector[:scoring.Features]) }}
	all := []*part{whole, lone, bareScore, match, forest}
	for _, p := range all {
		if n := testing.AllocsPerRun(turn, func() { p.run(7) }); n != 0 {
			b.Errorf("%s: %v allocations a click, want 0", p.name, n)
		}
	}
	for b.Loop() {
		for _, p := range all {
			start := time.Now()
			for i := range turn {
				p.run(i)
			}
			p.ns = append(p.ns, float64(time.Since(start).Nanoseconds())/turn)
		}
	}
	report(b, whole.least(), lone.least(), bareScore.least(), match.least(), forest.least())
}

var sink float64

// report prints the table: the rows between the rules add up to the row below them.
func report(b *testing.B, whole, score, bare, lists, forest float64) {
	rows := []struct {
		name string
		ns   float64
	}{
		{"lists: address", lists},
		{"agent as remembered, features, z-scores, verdict (scoring without the forest, less lists)", bare - lists},
		{"forest", forest},
		{"rest: fields, token, permit, pseudonyms, seal, encode, answer (whole less scoring)", whole - score},
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	sum := 0.0
	for _, r := range rows {
		sum += r.ns
		fmt.Fprintf(w, "%s\t%.0f ns\n", r.name, r.ns)
	}
	// The one number that is measured on its own, and must come out about the same.
	fmt.Fprintf(w, "sum of the parts\t%.0f ns\nwhole click, measured\t%.0f ns\nscoring, measured as one\t%.0f ns\n", sum, whole, score)
	_ = w.Flush()
	b.ReportMetric(0, "ns/op") // a turn of all of them says nothing
	b.ReportMetric(whole, "ns/click")
	b.ReportMetric(sum, "ns/click-parts")
	b.ReportMetric(sum/whole, "parts-to-whole")
	b.Logf("a click, 0 allocations each:\n%s", text.String())
}

// whole is a click through the handler, of one of 256 visitors.
func whole(b *testing.B, e *edge) func(int) {
	uris := e.uris(b, 1024)
	var req fasthttp.Request
	req.Header.SetHost("clk.example")
	req.Header.SetUserAgent(agent)
	req.Header.Set("Referer", "https://news.example/a?b")
	req.Header.Set("Accept-Language", "de-DE,de;q=0.9")
	ctxs := make([]*fasthttp.RequestCtx, 256)
	for i := range ctxs {
		ctxs[i] = &fasthttp.RequestCtx{}
		ctxs[i].Init(&req, &net.TCPAddr{IP: net.IPv4(198, 18, byte(i), 7), Port: 4000}, nil)
	}
	n := 0
	return func(i int) {
		ctx := ctxs[i&255]
		ctx.Request.SetRequestURI(uris[n&1023])
		ctx.Response.Reset()
		e.handler(ctx)
		if ctx.Response.StatusCode() != fasthttp.StatusFound {
			b.Fatal(ctx.Response.String())
		}
		n++
	}
}

// scored is the scoring of the same visitors' clicks; keep takes the last vector.
func scored(s *scoring.Scorer, keep *click.Vector) func(int) {
	c := click.Click{
		TenantID: "demo", SourceID: "edge", PublisherID: "news.example", PlacementID: "top", CampaignID: "spring",
		Entry: click.EntryClick, Flags: click.FlagSealedToken, ClickID: click.ID{1},
	}
	sig := click.Signals{UserAgent: agent, Referer: "https://news.example/a?b", AcceptLanguage: "de-DE,de;q=0.9"}
	prefixes := make([]string, 256)
	for i := range prefixes {
		prefixes[i] = fmt.Sprintf("198.18.%d.0/24", i)
	}
	return func(i int) {
		c.EventTime = time.Now().UnixMicro()
		sig.IssuedAt = c.EventTime - 5_000_000
		sig.IP, c.IPPrefix = visitorAddress(i), prefixes[i&255]
		c.IPKey[0], c.AgentKey[0] = byte(i), 1
		binary.BigEndian.PutUint64(c.ClickID[8:], binary.BigEndian.Uint64(c.ClickID[8:])+1)
		c.Verdict = click.Verdict{}
		s.Score(&c, &sig)
		if keep != nil {
			*keep = c.Verdict.Vector
		}
	}
}

func visitorAddress(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, byte(i), 7}) }
