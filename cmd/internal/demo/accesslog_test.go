package demo

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/testdata"

	"pgregory.net/rapid"
)

func TestParseLine(t *testing.T) {
	t.Parallel()
	good := `192.0.2.7 - - [17/May/2015:10:05:03 +0200] "GET /blog/a.html?x=1 HTTP/1.1" 200 203 "http://a.example/" "Agent (x)"`
	want := logLine{
		at: time.Date(2015, 5, 17, 8, 5, 3, 0, time.UTC), ip: "192.0.2.7",
		path: "/blog/a.html?x=1", referer: "http://a.example/", agent: "Agent (x)",
	}
	if got, ok := parseLine(good); !ok || !got.at.Equal(want.at) || got.ip != want.ip || got.path != want.path || got.referer != want.referer || got.agent != want.agent {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, ok := parseLine(strings.NewReplacer("Agent (x)", "-", "http://a.example/", "-").Replace(good)); !ok || got.agent != "" || got.referer != "" {
		t.Errorf("dashes were read as %+v", got)
	}
	for _, change := range [][2]string{{`"Agent (x)"`, `"Agent (x`}, {"192.0.2.7", "host.example"}, {"May", "Mai"}, {"200 203", "200"}} {
		if got, ok := parseLine(strings.Replace(good, change[0], change[1], 1)); ok {
			t.Errorf("with %q for %q it was read as %+v", change[1], change[0], got)
		}
	}
}

func TestPathClass(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "top", "": "top", "/favicon.ico": "top", "/blog/": "blog", "/blog/tags/x?a=/b": "blog",
		"/?q=/blog/": "top", "/wp-admin/": "other", "/images": "top",
	} {
		if got := pathClass(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}

func FuzzParseLog(f *testing.F) {
	text, err := testdata.AccessLog()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text[:600])
	f.Add([]byte("x\r\n\r\ny"))
	f.Fuzz(func(t *testing.T, text []byte) {
		lines := parseLog(text)
		if want := len(bytes.FieldsFunc(text, func(r rune) bool { return r == '\n' })); len(lines) > want {
			t.Fatalf("%d lines became %d", want, len(lines))
		}
		if n := len(schedule(visits(lines), time.Minute)); n != len(lines) {
			t.Fatalf("%d lines, %d clicks", len(lines), n)
		}
	})
}

func TestWholeLog(t *testing.T) {
	t.Parallel()
	text, err := testdata.AccessLog()
	if err != nil {
		t.Fatal(err)
	}
	lines := parseLog(text)
	bad := slices.DeleteFunc(slices.Clone(lines), func(l logLine) bool { return l.raw == "" })
	if len(lines) != 10_000 || len(bad) != 1 || !strings.HasPrefix(bad[0].raw, "46.118.127.106 ") {
		t.Fatalf("%d lines, of which %d do not parse", len(lines), len(bad))
	}
	checkSchedule(t, lines, 10*time.Minute)
}

// checkSchedule demands what the schedule promises of visits and pauses.
func checkSchedule(t rapid.TB, lines []logLine, span time.Duration) {
	t.Helper()
	all := visits(lines)
	clicks := schedule(all, span)
	if len(clicks) != len(lines) {
		t.Fatalf("%d lines became %d clicks", len(lines), len(clicks))
	}
	for i := 1; i < len(clicks); i++ {
		if clicks[i].offset < clicks[i-1].offset {
			t.Fatalf("click %d is out of order", i)
		}
	}
	// Equal lines may stand for each other.
	sent := map[logLine][]time.Duration{}
	for _, c := range clicks {
		sent[c.logLine] = append(sent[c.logLine], c.offset)
	}
	for i, v := range all {
		for j := 1; j < len(v); j++ {
			gap := v[j].at.Sub(v[j-1].at)
			if gap < 0 || gap > visitEnds || v[j].ip != v[0].ip || v[j].agent != v[0].agent {
				t.Fatalf("visit %d holds clicks that do not belong together", i)
			}
			if !slices.ContainsFunc(sent[v[j]], func(d time.Duration) bool { return slices.Contains(sent[v[j-1]], d-gap) }) {
				t.Fatalf("visit %d lost its pause of %s", i, gap)
			}
		}
		if first := sent[v[0]]; first[0] < 0 || first[0] > span {
			t.Fatalf("visit %d begins at %s", i, first[0])
		}
	}
}

func TestScheduleKeepsPausesOfVisits(t *testing.T) {
	t.Parallel()
	multiple := 0
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		start := time.Date(2015, 5, 17, 10, 0, 0, 0, time.UTC)
		var lines []logLine
		for range 200 {
			start = start.Add(time.Duration(r.ExpFloat64() * float64(5*time.Minute)))
			back := time.Duration(r.IntN(60)) * time.Second // not in order of seconds
			lines = append(lines, logLine{at: start.Add(-back).Truncate(time.Second), ip: string(rune('a' + r.IntN(20))), agent: string(rune('a' + r.IntN(2)))})
		}
		checkSchedule(t, lines, time.Duration(1+r.IntN(600))*time.Second)
		multiple += len(lines) - len(visits(lines))
	})
	if multiple < 1000 {
		t.Fatalf("only %d pauses within visits were checked", multiple)
	}
}
