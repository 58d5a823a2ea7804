package rawlog

import (
	"strings"
	"testing"

	"clickgate/gateway/edge"
)

const (
	case03Header = "#Version: 1.0\n#Fields: date time c-ip cs-method cs(Host) cs-uri-stem sc-status x-future-col cs(Referer) cs(User-Agent) cs-uri-query x-edge-request-id\n"
	case03Line1  = "2026-11-10\t12:00:00\t203.0.113.21\tGET\tclk.example\t/c\t302\tzz top\t-\tMozilla/5.0%2520(X11;%2520Linux%2520x86_64)%2520Orrery/7.1\tt=TOK-D1&sub=red%252Fblue&w=x%2526y\tEDGE-D1\n"
	case03Line2  = "2026-11-10\t12:00:01\t2001:db8::21\tGET\tclk.example\t/c\t302\t-\thttps://ref.example/a%2520b\tMozilla/5.0%20(X11;%20Linux%20x86_64)%20Orrery/7.1\tt=TOK-D2\tEDGE-D2\n"
	case03       = case03Header + case03Line1 + case03Line2
)

func TestCase03CloudFront(t *testing.T) {
	t.Parallel()
	without := strings.NewReplacer(" x-future-col", "", "\tzz top", "", "302\t-", "302").Replace(case03)
	tabs := strings.Replace(strings.Replace(case03, "#Fields: ", "#Fields:\t", 1), case03Header[15:], strings.ReplaceAll(case03Header[15:], " ", "\t"), 1)
	crlf := strings.ReplaceAll(case03, "\n", "\r\n")
	for name, text := range map[string]string{"as it is": case03, "without the new column": without, "header in tabs": tabs, "CRLF": crlf} {
		got, sum := scanAll(t, Format{Name: W3C}, text)
		if sum.Lines != 4 || sum.Requests != 2 || sum.Comments != 2 || sum.Malformed != 0 {
			t.Fatalf("%s: %+v", name, sum)
		}
		for i, want := range []struct{ ip, query, referer, id string }{
			{"203.0.113.21", "t=TOK-D1&sub=red%2Fblue&w=x%26y", "", "EDGE-D1"},
			{"2001:db8::21", "t=TOK-D2", "https://ref.example/a%20b", "EDGE-D2"},
		} {
			g := got[i]
			if g.IP.String() != want.ip || g.RawQuery != want.query || g.Referer != want.referer || g.RequestID != want.id {
				t.Errorf("%s, line %d: %+v", name, i+1, g.Record)
			}
			if g.UserAgent != "Mozilla/5.0 (X11; Linux x86_64) Orrery/7.1" {
				t.Errorf("%s, line %d: agent %q", name, i+1, g.UserAgent)
			}
			if g.Time != t0+int64(i)*1e6 || g.Host != "clk.example" || g.Path != "/c" || g.Method != "GET" || g.Status != 302 {
				t.Errorf("%s, line %d: %+v", name, i+1, g.Record)
			}
		}
		var q edge.Query
		if err := q.Parse([]byte(got[0].RawQuery), []string{"t", "sub", "w"}); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"TOK-D1", "red/blue", "x&y"} {
			if v, _ := q.Get(i); v != want {
				t.Errorf("%s: parameter %d is %q, want %q", name, i, v, want)
			}
		}
		if len(q.Pairs) != 3 {
			t.Errorf("%s: %d parameters", name, len(q.Pairs))
		}
	}
}

func TestW3CSecondFields(t *testing.T) {
	t.Parallel()
	text := case03 + "#Fields: cs-uri-stem c-ip x-edge-request-id time date cs-uri-query\n" +
		"/c\t203.0.113.22\tEDGE-D3\t12:00:02\t2026-11-10\tt=TOK-D3\n" +
		"#Fields: c-ip sc-status\n" + "203.0.113.22\t302\n" +
		"#Remark: none\n\n#Fields: time c-ip cs-uri-stem\n1794312003.250\t203.0.113.23\t/c?t=TOK-D4\n"
	got, sum := scanAll(t, Format{Name: W3C}, text)
	if sum.Requests != 4 || sum.Comments != 6 || sum.Malformed != 1 || sum.Blank != 1 || sum.Lines != 12 {
		t.Fatalf("%+v", sum)
	}
	if g := got[2]; g.RawQuery != "t=TOK-D3" || g.IP.String() != "203.0.113.22" || g.RequestID != "EDGE-D3" || g.Time != t0+2e6 || g.UserAgent != "" {
		t.Errorf("after the second header: %+v", g.Record)
	}
	if g := got[3]; code(g.Err) != CodeNoFields {
		t.Errorf("after a useless header: %v %v", g.Kind, g.Err)
	}
	if g := got[4]; g.RawQuery != "t=TOK-D4" || g.Path != "/c" || g.Time != t0+3_250_000 || g.Precision != PrecisionMilli {
		t.Errorf("after the last header: %+v", g.Record)
	}
}

func TestW3CConfiguredColumns(t *testing.T) {
	t.Parallel()
	realTime := Format{Name: W3C, Columns: []string{"timestamp", "c-ip", "time-to-first-byte", "sc-status", "sc-bytes", "cs-method", "cs-protocol", "cs-host", "cs-uri-stem", "cs-bytes",
		"x-edge-location", "x-edge-request-id", "x-host-header", "time-taken", "cs-protocol-version", "c-ip-version", "cs-user-agent", "cs-referer", "cs-cookie", "cs-uri-query", "c-country"}}
	got, sum := scanAll(t, realTime, "1790000000.250\t203.0.113.61\t0.001\t302\t300\tGET\thttps\td111.cdn.example\t/c?t=TOK-F1\t200\tFRA2\tEDGE-F1\tclk.example\t0.001\tHTTP/2.0\tIPv4\tKite%2520Browser/3\t-\t-\t-\tDE\n"+
		"1790000000.375\t203.0.113.62\t0.001\t302\t300\tGET\thttps\td111.cdn.example\t/c?t=TOK-F2\t200\tFRA2\tEDGE-F2\t-\t0.001\tHTTP/2.0\tIPv4\t-\t-\t-\tt=TOK-F2\tde\tappended column\n"+
		"1790000000.375\t203.0.113.62\t0.001\n")
	if sum.Requests != 2 || sum.Malformed != 1 || code(got[2].Err) != CodeBadLine {
		t.Fatalf("%+v", sum)
	}
	a, b := got[0], got[1]
	if a.Time != 1_790_000_000_250_000 || a.RawQuery != "t=TOK-F1" || a.Host != "clk.example" || a.UserAgent != "Kite Browser/3" || a.Scheme != "https" || a.Protocol != "HTTP/2.0" || a.Country != "DE" {
		t.Errorf("first: %+v", a.Record)
	}
	if b.Time != 1_790_000_000_375_000 || b.RawQuery != "t=TOK-F2" || b.Path != "/c" || b.Host != "d111.cdn.example" || b.UserAgent != "" || b.Country != "DE" {
		t.Errorf("second: %+v", b.Record)
	}

	short := Format{Name: W3C, Columns: []string{"ts", "c-ip", "token", "request_id"}}
	got, _ = scanAll(t, short, "1790000000.250\t203.0.113.61\tTOK-F1\tEDGE-F1\n")
	if g := got[0]; g.Kind != Request || g.Token != "TOK-F1" || g.RequestID != "EDGE-F1" || g.Time != 1_790_000_000_250_000 {
		t.Errorf("token column: %+v", g.Record)
	}
	if click, why := new(Rule).Match(&got[0].Record); !click {
		t.Error("a line with a token is no click:", why)
	}
}

func TestW3CSpacesAndDashes(t *testing.T) {
	t.Parallel()
	got, sum := scanAll(t, Format{Name: W3C}, "#Fields: date time c-ip cs-method cs-uri-stem cs-uri-query sc-status\n"+
		"2026-11-10 12:00:00 203.0.113.21 GET /c t=x 302\n"+
		"2026-11-10 12:00:00.125 203.0.113.21 GET - - 400\n"+
		"2026-11-10 12:00:00 203.0.113.21 GET /c t=x\n"+
		"2026-11-10 12:00:00 203.0.113.21 GET /c t=x 302 more\n"+
		"- - 203.0.113.21 GET /c t=x 302\n")
	if sum.Requests != 1 || sum.NotRequests != 1 || sum.Malformed != 3 {
		t.Fatalf("%+v", sum)
	}
	if g := got[1]; g.Time != t0+125_000 || g.Precision != PrecisionMilli || g.Status != 400 || g.Path != "" || g.RawQuery != "" {
		t.Errorf("line without request: %+v", g.Record)
	}
	for i, want := range []string{CodeBadLine, CodeBadLine, edge.CodeMissing} {
		if code(got[i+2].Err) != want {
			t.Errorf("line %d: %v, want %s", i+3, got[i+2].Err, want)
		}
	}
}

func TestDecodeLayersAreASetting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		decode                map[string]int
		path, query, ref, agt string
	}{
		{nil, "/c%2520", "q=%20", "%20", "a b"},
		{map[string]int{"query": 0, "referer": 0, "user_agent": 0}, "/c%2520", "q=%2520", "%2520", "a%2520b"},
		{map[string]int{"query": 2, "referer": 2, "user_agent": 2, "path": 2}, "/c ", "q= ", " ", "a b"},
		{map[string]int{"user_agent": 1, "path": 1}, "/c%20", "q=%20", "%20", "a%20b"},
		{map[string]int{"query": Auto}, "/c%2520", "q= ", "%20", "a b"},
	} {
		got, _ := scanAll(t, Format{Name: W3C, Columns: []string{"ts", "path", "query", "referer", "user_agent"}, Decode: tc.decode},
			"1790000000\t/c%2520\tq=%2520\t%2520\ta%2520b")
		if g := got[0]; g.Path != tc.path || g.RawQuery != tc.query || g.Referer != tc.ref || g.UserAgent != tc.agt {
			t.Errorf("%v: %q %q %q %q", tc.decode, g.Path, g.RawQuery, g.Referer, g.UserAgent)
		}
	}
	var rec Record
	for in, want := range map[string]string{"50%": "50%", "%zz%4": "%zz%4", "a+b": "a+b", "%41%": "A%", "%e9": "\xe9"} {
		if got := rec.decode(in, 1); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
