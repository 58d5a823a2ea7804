package rawlog

import (
	"errors"
	"strings"
	"testing"

	"clickgate/gateway/edge"

	"pgregory.net/rapid"
)

// TestDamagedStream: lines before the damage count, the line in it does not.
func TestDamagedStream(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(clickLine("TOK-1", "-")+"\n", 5000)
	whole := packed(t, text)
	n := 0
	sum, err := Scan(strings.NewReader(string(whole[:len(whole)-20])), Format{Name: Combined}, Limits{}, func(e *Entry) error {
		if e.Kind != Request || e.RawQuery != "t=TOK-1" {
			t.Errorf("%v %v", e.Kind, e.Err)
		}
		n++
		return nil
	})
	var broken *StreamError
	if !errors.As(err, &broken) || broken.Code != CodeGzipTruncated || broken.Good != sum.Bytes {
		t.Fatalf("%v %+v", err, sum)
	}
	line := int64(len(clickLine("TOK-1", "-")) + 1)
	if n == 0 || int64(n) != sum.Bytes/line || sum.Requests != int64(n) || sum.Broken != sum.Bytes%line {
		t.Errorf("%d lines of %d, %+v", n, line, sum)
	}
	balanced(t, sum)
}

func TestVisitorEndsTheScan(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	sum, err := Scan(strings.NewReader(case02), Format{Name: Combined}, Limits{}, func(e *Entry) error {
		if e.Kind == NotRequest {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || sum.Lines != 2 || sum.NotRequests != 1 {
		t.Errorf("%v %+v", err, sum)
	}
	if _, err := Scan(strings.NewReader(""), Format{Name: "x"}, Limits{}, nil); err == nil {
		t.Error("an unknown format scans")
	}
}

func TestScannerForgetsTheLastLog(t *testing.T) {
	t.Parallel()
	s, err := NewScanner(Format{Name: W3C}, Limits{})
	mustNot(t, err)
	ignore := func(*Entry) error { return nil }
	for _, tc := range []struct {
		text      string
		requests  int64
		malformed int64
	}{{case03, 2, 0}, {case03Line1, 0, 1}, {string(packed(t, case03)), 2, 0}, {"\x1f\x8b", 0, 0}, {case03, 2, 0}} {
		sum, _ := s.Scan(strings.NewReader(tc.text), ignore)
		if sum.Requests != tc.requests || sum.Malformed != tc.malformed {
			t.Errorf("%.20q: %+v", tc.text, sum)
		}
	}
}

// samples are lines of every kind and format.
var samples = []string{
	strings.TrimSuffix(case01, "\n"), strings.TrimSuffix(case02, "\n"), strings.TrimSuffix(case03, "\n"), case03Header[:13], case03Line2[:40],
	logpushLine("ray-1", `"EdgeStartTimestamp":1790000000123000961,`), logpushLine("ray-2", ``), `{"content":"tests"}`,
	"", " ", "#", "#Fields:", "{", "}", "[", "]", `{"events":[`, "]}", ",", `"`, "\\", "\x00", "\xFF", "garbage",
}

// TestEveryLineIsOneKind mixes lines of all formats and lets every format read
// the mixture.
func TestEveryLineIsOneKind(t *testing.T) {
	t.Parallel()
	seen := map[Kind]int{}
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(samples), 1, 20).Draw(rt, "lines"), rapid.SampledFrom([]string{"\n", "\r\n", ","}).Draw(rt, "end"))
		for _, f := range formats {
			reached := int64(0)
			sum, err := Scan(&dribble{r: strings.NewReader(text)}, f, Limits{LineBytes: 500}, func(e *Entry) error {
				if e.Offset < reached || e.Offset+e.Length > int64(len(text)) || !strings.HasPrefix(text[e.Offset:], string(e.Line)) {
					rt.Fatalf("%s: %d bytes at %d behind %d of %q", f.Name, e.Length, e.Offset, reached, text)
				}
				if (e.Err != nil) != (e.Kind == Malformed) {
					rt.Fatalf("%s: %v with %v", f.Name, e.Kind, e.Err)
				}
				reached = e.Offset + e.Length
				seen[e.Kind]++
				return nil
			})
			if fault := (*edge.Error)(nil); err != nil && !(errors.As(err, &fault) && fault.Code == edge.CodeBadEncoding) {
				rt.Fatalf("%s: %v", f.Name, err)
			}
			if sum.Lines != sum.Requests+sum.NotRequests+sum.Comments+sum.Blank+sum.Malformed {
				rt.Fatalf("%s: %+v", f.Name, sum)
			}
			if n := int64(strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1); err == nil && text != "" && f.Name != JSON && f.Name != Logpush && sum.Lines != n {
				rt.Fatalf("%s: %d lines of %d in %q", f.Name, sum.Lines, n, text)
			}
		}
	})
	if seen[Request] < 10 || seen[NotRequest] < 10 || seen[Malformed] < 10 {
		t.Errorf("too little happened: %v", seen)
	}
}

// formats has one of each, with settings that reach much code.
var formats = []Format{
	{Name: Combined}, {Name: Common}, {Name: W3C}, {Name: Logpush},
	{Name: W3C, Columns: []string{"ts", "c-ip", "cs-uri-stem", "cs-user-agent", "c-country"}, Decode: map[string]int{"path": Auto}},
	{Name: JSON, Unit: UnitSeconds, SkipPrefix: true, Absent: []string{"-"}, Keys: map[string]string{"time": "EdgeStartTimestamp", "uri": "ClientRequestURI", "referer": "RequestHeaders.a"}},
}

// TestCase10SameQueryEverywhere: the live rule for queries gives the same results
// for a query that went through a log of any format.
func TestCase10SameQueryEverywhere(t *testing.T) {
	t.Parallel()
	known := []string{"t", "s", "u", "cmp", "adg", "crt", "pub", "plc", "adv"}
	result := func(raw string) (out string) {
		var q edge.Query
		err := q.Parse([]byte(raw), known)
		for _, p := range q.Pairs {
			out += p.Key + "=" + p.Value + "|"
		}
		return out + code(err)
	}
	percent := strings.NewReplacer("%", "%25", "\"", "%22", " ", "%20", "{", "%7B")
	for _, query := range []string{
		"t=TOK-N1&q=red;blue&pct=50%&bad=%zz&plus=a+b&sub=", "t=TOK-N2&pub=p7;t=TOK-N9", "t=TOK-N3&t=TOK-N4", "1234&t=TOK-N5&&=x&t2",
		"t=x&q={a:1}&r=\"b\"", "t=x&plc=%00", "t=x&plc=%C3%28", "t=TOK&%74=TOK", "t=x?y=z&u=https://shop.example/?a=b",
	} {
		want := result(query)
		for _, c := range []struct {
			f    Format
			line string
		}{
			{Format{Name: Combined}, `203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] "GET /c?` + apacheEscape(query) + ` HTTP/1.1" 302 0 "-" "-"`},
			{Format{Name: Combined}, `203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] "GET /c?` + nginxEscape(query) + ` HTTP/1.1" 302 0 "-" "-"`},
			{Format{Name: W3C, Columns: []string{"ts", "cs-uri-stem", "cs-uri-query"}}, "1790000000\t/c\t" + percent.Replace(query)},
			{Format{Name: W3C, Columns: []string{"ts", "cs-uri-stem"}}, "1790000000\t/c?" + percent.Replace(query)},
			{Format{Name: W3C, Columns: []string{"ts", "cs-uri-stem"}, Decode: map[string]int{"query": 0}}, "1790000000\t/c?" + query},
			{Format{Name: Logpush}, strings.Replace(logpushLine("r", `"EdgeStartTimestamp":1790000000,`), "t=TOK-P1", strings.ReplaceAll(query, `"`, `\"`), 1)},
		} {
			got, _ := scanAll(t, c.f, c.line)
			if g := result(got[0].RawQuery); got[0].Kind != Request || g != want {
				t.Errorf("%s: %s gives %q, want %q", c.f.Name, c.line, g, want)
			}
		}
	}
}
