package rawlog

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"clickgate/testdata"

	"github.com/klauspost/compress/gzip"
)

const benchAgent = "Mozilla/5.0%20(Linux;%20Android%2014;%20Kite%203)%20AppleWebKit/537.36%20(KHTML,%20like%20Gecko)%20Chrome/127.0.0.0%20Mobile%20Safari/537.36"

// benchLogs are about 10,000 lines of every format.
func benchLogs(tb testing.TB) map[string]struct {
	format Format
	text   []byte
} {
	access, err := testdata.AccessLog()
	mustNot(tb, err)
	var w3c, push, lines bytes.Buffer
	w3c.WriteString(case03Header)
	plain := (&Record{}).decode(benchAgent, 1)
	for i := range 10_000 {
		fmt.Fprintf(&w3c, "2026-11-10\t12:%02d:%02d\t203.0.113.%d\tGET\tclk.example\t/c\t302\t-\thttps://ref.example/article/%d\t%s\tt=TOK-%032d&sub=a%%252Fb\tEDGE-%016d\n", i/60%60, i%60, i%250, i, benchAgent, i, i)
		push.WriteString(strings.Replace(logpushLine(fmt.Sprintf("%016d", i), fmt.Sprintf(`"EdgeStartTimestamp":%d,`, 1790000000123000961+i*1_000_000)), "Kite/3", plain, 1) + "\n")
		fmt.Fprintf(&lines, `{"reqId":"AK-%d","reqTimeSec":"%d.250","cliIP":"203.0.113.41","reqMethod":"GET","reqHost":"clk.example","reqPath":"c","queryStr":"t=TOK-%032d","statusCode":"302","UA":"%s","referer":"-"}`+"\n", i, 1790000000+i, i, benchAgent)
	}
	return map[string]struct {
		format Format
		text   []byte
	}{
		Combined: {Format{Name: Combined}, access},
		W3C:      {Format{Name: W3C}, w3c.Bytes()},
		Logpush:  {Format{Name: Logpush}, push.Bytes()},
		JSON: {Format{Name: JSON, Unit: UnitSeconds, Absent: []string{"-"}, Decode: map[string]int{"user_agent": 1},
			Keys: map[string]string{"request_id": "reqId", "time": "reqTimeSec", "ip": "cliIP", "method": "reqMethod", "host": "reqHost",
				"path": "reqPath", "query": "queryStr", "status": "statusCode", "user_agent": "UA", "referer": "referer"}}, lines.Bytes()},
	}
}

// split only decompresses, with the same library, and finds the lines: what no
// reader can do without.
func split(b *testing.B, packed []byte) (lines int) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	mustNot(b, err)
	l := NewLineReader(z, 0)
	for {
		if _, err := l.Next(); ended(err) {
			return lines
		}
		lines++
	}
}

// BenchmarkScan reads packed logs. Every round does the plain work too, on the
// same bytes; times-split is how much longer the whole takes. Both it and lines/s
// are of the best rounds, so that other work on the machine counts less.
func BenchmarkScan(b *testing.B) {
	for _, name := range []string{Combined, W3C, Logpush, JSON} {
		log := benchLogs(b)[name]
		packed := packed(b, string(log.text))
		b.Run(name, func(b *testing.B) {
			s, err := NewScanner(log.format, Limits{Ratio: Unbounded})
			mustNot(b, err)
			b.ReportAllocs()
			b.SetBytes(int64(len(log.text)))
			plain, whole := time.Hour, time.Hour
			var sum Summary
			clicks := 0
			visit := func(e *Entry) error {
				if e.Kind == Request {
					clicks++
				}
				return nil
			}
			for b.Loop() {
				b.StopTimer()
				begun := time.Now()
				split(b, packed)
				plain = min(plain, time.Since(begun))
				b.StartTimer()
				begun = time.Now()
				sum, err = s.Scan(bytes.NewReader(packed), visit)
				mustNot(b, err)
				whole = min(whole, time.Since(begun))
			}
			if clicks < 9_999*b.N {
				b.Fatalf("%d clicks of %d rounds", clicks, b.N)
			}
			b.ReportMetric(float64(sum.Lines)/whole.Seconds(), "lines/s")
			b.ReportMetric(float64(sum.Bytes)/1e6/whole.Seconds(), "best-MB/s")
			b.ReportMetric(whole.Seconds()/plain.Seconds(), "times-split")
		})
	}
}

// BenchmarkParse parses one line.
func BenchmarkParse(b *testing.B) {
	for _, name := range []string{Combined, W3C, Logpush, JSON} {
		log := benchLogs(b)[name]
		lines := bytes.Split(bytes.TrimSuffix(log.text, []byte{'\n'}), []byte{'\n'})
		b.Run(name, func(b *testing.B) {
			p, rec := parserOf(b, log.format), &Record{}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Parse(lines[i%len(lines)], rec)
			}
		})
	}
}

func BenchmarkEventID(b *testing.B) {
	rec := sampleRecord()
	b.ReportAllocs()
	for b.Loop() {
		RequestEventID("acme", "cdn", rec)
	}
}

func TestParsersAllocateNothing(t *testing.T) {
	for name, log := range benchLogs(t) {
		t.Run(name, func(t *testing.T) {
			lines := bytes.Split(bytes.TrimSuffix(log.text, []byte{'\n'}), []byte{'\n'})[:50]
			p, rec := parserOf(t, log.format), &Record{}
			for lines[0][0] == '#' { // a header may allocate
				p.Parse(lines[0], rec)
				lines = lines[1:]
			}
			rule := Rule{Hosts: []string{"clk.example"}}
			requests := 0
			wantNoAllocs(t, func() {
				requests = 0
				for _, line := range lines {
					if kind, _ := p.Parse(line, rec); kind == Request {
						requests++
						rule.Match(rec)
						EventID("acme", "cdn", "batch", rec)
					}
				}
			})
			if requests < 48 {
				t.Errorf("only %d requests of %d lines", requests, len(lines))
			}
		})
	}
}

// TestScansAllocateNothingPerLine: a scan costs the same few allocations for 100
// lines and for 10,000.
func TestScansAllocateNothingPerLine(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	for name, log := range benchLogs(t) {
		short := bytes.Join(bytes.SplitAfter(log.text, []byte{'\n'})[:100], nil)
		s, err := NewScanner(log.format, Limits{Ratio: Unbounded})
		mustNot(t, err)
		allocs := func(text []byte, minimum int64) float64 {
			packed := packed(t, string(text))
			return testing.AllocsPerRun(5, func() {
				sum, err := s.Scan(bytes.NewReader(packed), func(*Entry) error { return nil })
				if err != nil || sum.Lines < minimum {
					t.Fatalf("%v %+v", err, sum)
				}
			})
		}
		few, many := allocs(short, 100), allocs(log.text, 10_000)
		if many > few+8 { // the one malformed line of the access log has an error
			t.Errorf("%s: %v allocations for 100 lines, %v for 10,000", name, few, many)
		}
	}
}
