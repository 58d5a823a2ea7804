package rawlog

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strings"
	"testing"

	"clickgate/gateway/edge"
)

// code returns the code of err, "" for none.
func code(err *edge.Error) string {
	if err == nil {
		return ""
	}
	return err.Code
}

func mustNot(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parserOf(t testing.TB, f Format) Parser {
	t.Helper()
	p, err := f.Parser()
	mustNot(t, err)
	return p
}

// kept is an Entry that outlives its visit.
type kept struct {
	Entry
	line string
}

func keep(e *Entry) kept {
	k := kept{Entry: *e, line: string(e.Line)}
	k.text = nil
	for _, s := range []*string{&k.Method, &k.Scheme, &k.Host, &k.Path, &k.RawQuery, &k.Protocol, &k.UserAgent, &k.Referer, &k.RequestID, &k.Country, &k.Token} {
		*s = strings.Clone(*s)
	}
	k.Line = nil
	return k
}

// scanAll scans text and checks the books.
func scanAll(t testing.TB, f Format, text string) ([]kept, Summary) {
	t.Helper()
	var out []kept
	sum, err := Scan(strings.NewReader(text), f, Limits{}, func(e *Entry) error { out = append(out, keep(e)); return nil })
	mustNot(t, err)
	balanced(t, sum)
	if n := sum.Requests + sum.NotRequests + sum.Malformed; n != int64(len(out)) {
		t.Errorf("%d lines were visited, the summary says %d", len(out), n)
	}
	return out, sum
}

func balanced(t testing.TB, s Summary) {
	t.Helper()
	if s.Lines != s.Requests+s.NotRequests+s.Comments+s.Blank+s.Malformed {
		t.Errorf("the books do not balance: %+v", s)
	}
}

func packed(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	mustNot(t, err)
	mustNot(t, z.Close())
	return b.Bytes()
}

// dribble hands a stream out in pieces of changing small sizes.
type dribble struct {
	r io.Reader
	n int
}

func (d *dribble) Read(p []byte) (int, error) {
	d.n = d.n%7 + 1
	return d.r.Read(p[:min(d.n, len(p))])
}

// clickLine is an ordinary click of a combined log.
func clickLine(token, referer string) string {
	return fmt.Sprintf(`203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] "GET /c?t=%s HTTP/1.1" 302 0 "%s" "Orrery/7.1"`, token, referer)
}

func wantNoAllocs(t *testing.T, f func()) {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector allocates on its own")
	}
	f() // scratch memory grows at first use
	if n := testing.AllocsPerRun(200, f); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
