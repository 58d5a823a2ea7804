package gateway

import (
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/gateway/control"
)

// rawBench is a body of lines and what works on it, without HTTP.
func rawBench(tb testing.TB, lines int) (scan func() RawCounts, size int) {
	r := newIdleRig(tb, func(c *Config) { c.Batch.Listen = "127.0.0.1:0" })
	log := &nullLog{}
	r.srv.dep.Log, r.srv.dep.Scorer = log, nullScorer{}
	r.srv.outcomes = newOutcomePool(log, r.srv.lost)
	body := strings.Repeat(clf(0, "/c?t="+r.mint(nil)+"&x=1", browser), lines)
	key := r.snap.APIKey("access-key")
	return func() RawCounts { return scanOnce(tb, r.srv, key, body) }, len(body)
}

func scanOnce(tb testing.TB, s *Server, key *control.APIKey, body string) RawCounts {
	w := &rawWork{event: s.takeEvent(click.EntryLog), s: s, key: key, rawHeader: rawHeader{batch: "b"}}
	defer s.putEvent(w.event)
	if _, err := w.scan(strings.NewReader(body)); err != nil {
		tb.Fatal(err)
	}
	if err := w.settle(); err != nil {
		tb.Fatal(err)
	}
	return w.counts
}

// BenchmarkRawLine measures a click's line with a token, from its bytes to its record.
func BenchmarkRawLine(b *testing.B) {
	const lines = 1000
	scan, size := rawBench(b, lines)
	b.SetBytes(int64(size / lines))
	b.ReportAllocs()
	for n := 0; n < b.N; n += lines {
		if c := scan(); c.Clicks != lines {
			b.Fatal(c)
		}
	}
}

// A line costs no memory of its own: what a body allocates does not depend on how
// many lines it has.
func TestRawLineAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates by itself")
	}
	const few, many = 100, 1100
	small, _ := rawBench(t, few)
	large, _ := rawBench(t, many)
	a := testing.AllocsPerRun(5, func() { small() })
	b := testing.AllocsPerRun(5, func() { large() })
	if perLine := (b - a) / (many - few); perLine > 0.05 {
		t.Errorf("a line allocates %.2f times", perLine)
	}
}
