package rawlog

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"clickgate/gateway/edge"

	"pgregory.net/rapid"
)

const case01 = `203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] "GET /c?t=TOK-A1 HTTP/1.1" 302 0 "-" "Slate/2.0 (Tab 10\"; Linux; C:\\a)"
203.0.113.11 - - [10/Nov/2026:12:00:01 +0000] "GET /c?t=TOK-A2 HTTP/1.1" 302 0 "-" "Slate/2.0 (Tab 10\x22; Linux; C:\x5Ca)"
203.0.113.12 - - [10/Nov/2026:12:00:02 +0000] "GET /c?t=TOK-A3 HTTP/1.1" 302 0 "-" "Gr\xC3\xBCn\x09Reader/1"
203.0.113.13 - - [10/Nov/2026:12:00:03 +0000] "GET /c?t=TOK-A4 HTTP/1.1" 302 0 "https://ref.example/?a=\"b\"" "odd\\"
203.0.113.14 - - [10/Nov/2026:12:00:04 +0000] "GET /c?t=TOK-A5 HTTP/1.1" 302 0 "-" "nul\x00\q\x4"
`

// t0 is 2026-11-10T12:00:00Z in microseconds.
const t0 = 1_794_312_000_000_000

func TestCase01Escapes(t *testing.T) {
	t.Parallel()
	got, sum := scanAll(t, Format{Name: Combined}, case01)
	if sum.Requests != 5 || sum.Lines != 5 {
		t.Fatalf("%+v", sum)
	}
	slate := `Slate/2.0 (Tab 10"; Linux; C:\a)`
	for i, want := range []struct{ ip, agent, referer string }{
		{"203.0.113.11", slate, ""}, {"203.0.113.11", slate, ""}, {"203.0.113.12", "Grün\tReader/1", ""},
		{"203.0.113.13", `odd\`, `https://ref.example/?a="b"`}, {"203.0.113.14", "nul\x00\\q\\x4", ""},
	} {
		g := got[i]
		if g.UserAgent != want.agent || g.Referer != want.referer || g.IP != netip.MustParseAddr(want.ip) {
			t.Errorf("line %d: %q, %q, %v; want %+v", i+1, g.UserAgent, g.Referer, g.IP, want)
		}
		if g.RawQuery != fmt.Sprintf("t=TOK-A%d", i+1) || g.Path != "/c" || g.Method != "GET" || g.Protocol != "HTTP/1.1" || g.Status != 302 {
			t.Errorf("line %d: %+v", i+1, g.Record)
		}
		if g.Time != t0+int64(i)*1e6 || g.Precision != PrecisionSecond {
			t.Errorf("line %d: time %d, precision %d", i+1, g.Time, g.Precision)
		}
		if click, why := new(Rule).Match(&g.Record); !click || why != "" || g.Check() != nil {
			t.Errorf("line %d is no click: %s", i+1, why)
		}
	}
}

const case02 = `203.0.113.15 - - [10/Nov/2026:12:00:00 +0000] "GET /c?t=TOK-B1 HTTP/1.1" 302 0 "-" "Orrery/7.1"
203.0.113.16 - - [10/Nov/2026:12:00:01 +0000] "" 400 0 "-" "-"
203.0.113.17 - - [10/Nov/2026:12:00:02 +0000] "-" 408 0 "-" "-"
203.0.113.18 - - [10/Nov/2026:12:00:03 +0000] "\x16\x03\x01\x02\x00" 400 150 "-" "-"
203.0.113.19 - - [10/Nov/2026:12:00:04 +0000] "GET /c?t=TOK-B2" 302 0 "-" "-"
203.0.113.20 - - [10/Nov/2026:12:00:05 +0000] "GET /c?t=TOK-B3&q={a:1} HTTP/1.1" 302 0 "-" "Orrery/7.1"
`

func TestCase02NoRequest(t *testing.T) {
	t.Parallel()
	got, sum := scanAll(t, Format{Name: Combined}, case02)
	if sum.Lines != 6 || sum.Requests != 3 || sum.NotRequests != 3 || sum.Malformed != 0 {
		t.Fatalf("%+v", sum)
	}
	for i, want := range []struct {
		kind     Kind
		status   int
		query    string
		protocol string
	}{
		{Request, 302, "t=TOK-B1", "HTTP/1.1"}, {NotRequest, 400, "", ""}, {NotRequest, 408, "", ""},
		{NotRequest, 400, "", ""}, {Request, 302, "t=TOK-B2", "HTTP/0.9"}, {Request, 302, "t=TOK-B3&q={a:1}", "HTTP/1.1"},
	} {
		g := got[i]
		if g.Kind != want.kind || g.Status != want.status || g.RawQuery != want.query || g.Protocol != want.protocol {
			t.Errorf("line %d: %v %+v", i+1, g.Kind, g.Record)
		}
		if g.IP != netip.AddrFrom4([4]byte{203, 0, 113, byte(15 + i)}) || g.Time != t0+int64(i)*1e6 {
			t.Errorf("line %d: ip %v, time %d", i+1, g.IP, g.Time)
		}
	}
}

func TestCombinedLines(t *testing.T) {
	t.Parallel()
	line := func(before, request, after string) string {
		return before + ` [10/Nov/2026:12:00:00 +0000] "` + request + `" ` + after
	}
	good := `302 0 "-" "a"`
	for _, tc := range []struct {
		name, line, format string
		kind               Kind
		code               string
	}{
		{"common", line("203.0.113.1 - -", "GET /c HTTP/1.1", "302 -"), Common, Request, ""},
		{"common with more", line("203.0.113.1 - -", "GET /c HTTP/1.1", `302 5 "-" "a`), Common, Request, ""},
		{"common as combined", line("203.0.113.1 - -", "GET /c HTTP/1.1", "302 5"), Combined, Malformed, CodeBadLine},
		{"cut in the agent", line("203.0.113.1 - -", "GET /c HTTP/1.1", `302 5 "-" "Moz`), Combined, Malformed, CodeBadLine},
		{"cut behind a backslash", line("203.0.113.1 - -", "GET /c HTTP/1.1", `302 5 "-" "Moz\`), Combined, Malformed, CodeBadLine},
		{"cut in the status", line("203.0.113.1 - -", "GET /c HTTP/1.1", "30"), Combined, Malformed, CodeBadLine},
		{"bare quotes", line("203.0.113.1 - -", "GET /c HTTP/1.1", `302 5 "-" "a "b" c"`), Combined, Malformed, CodeBadLine},
		{"columns of our own behind", line("203.0.113.1 - -", "GET /c HTTP/1.1", good+` "198.51.100.1" 0.003`), Combined, Request, ""},
		{"user with spaces", line("203.0.113.1 - Ann de Vries", "GET /c HTTP/1.1", good), Combined, Request, ""},
		{"user who forges", line(`203.0.113.1 - x [09/Nov/2026:00:00:00 +0000] \"GET /b HTTP/1.1\" 200 0`, "GET /c HTTP/1.1", good), Combined, Request, ""},
		{"status of four digits", line("203.0.113.1 - -", "GET /c HTTP/1.1", `3020 0 "-" "a"`), Combined, Malformed, CodeBadStatus},
		{"no status", line("203.0.113.1 - -", "GET /c HTTP/1.1", `- - "-" "a"`), Combined, Request, ""},
		{"no such day", strings.Replace(line("203.0.113.1 - -", "GET /c HTTP/1.1", good), "10/Nov", "31/Nov", 1), Combined, Malformed, edge.CodeNoSuchDate},
		{"no such month", strings.Replace(line("203.0.113.1 - -", "GET /c HTTP/1.1", good), "Nov", "Nob", 1), Combined, Malformed, edge.CodeNoSuchDate},
		{"letters in the time", strings.Replace(line("203.0.113.1 - -", "GET /c HTTP/1.1", good), "12:00", "1x:00", 1), Combined, Malformed, edge.CodeBadTime},
		{"leap second", strings.Replace(line("203.0.113.1 - -", "GET /c HTTP/1.1", good), "00 +", "60 +", 1), Combined, Malformed, edge.CodeLeapSecond},
		{"1970", strings.Replace(line("203.0.113.1 - -", "GET /c HTTP/1.1", good), "2026", "1970", 1), Combined, Malformed, edge.CodeOutOfRange},
		{"prose", "the quick brown fox", Combined, Malformed, CodeBadLine},
		{"one word", "fox", Combined, Malformed, CodeBadLine},
		{"comment", "# made by hand", Combined, Comment, ""},
		{"white space", " \t ", Combined, Blank, ""},
		{"empty", "", Combined, Blank, ""},
		{"asterisk", line("203.0.113.1 - -", "OPTIONS * HTTP/1.0", good), Combined, Request, ""},
		{"connect", line("203.0.113.1 - -", "CONNECT mail.example:25 HTTP/1.1", good), Combined, Request, ""},
		{"space in the target", line("203.0.113.1 - -", "GET /c?q=a b HTTP/1.1", good), Combined, Request, ""},
		{"two spaces", line("203.0.113.1 - -", "GET  /c HTTP/1.1", good), Combined, NotRequest, ""},
		{"lower-case method", line("203.0.113.1 - -", "get /c HTTP/1.1", good), Combined, NotRequest, ""},
		{"other protocol", line("203.0.113.1 - -", "GET /c RTSP/1.0", good), Combined, NotRequest, ""},
		{"post without version", line("203.0.113.1 - -", "POST /c", good), Combined, NotRequest, ""},
		{"relative target", line("203.0.113.1 - -", "GET c HTTP/1.1", good), Combined, NotRequest, ""},
		{"RDP probe", line("203.0.113.1 - -", `\x03\x00\x00/*\xE0\x00\x00\x00\x00\x00Cookie: mstshash=hello`, good), Combined, NotRequest, ""},
		{"WebLogic probe", line("203.0.113.1 - -", "t3 12.1.2", good), Combined, NotRequest, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var rec Record
			kind, err := parserOf(t, Format{Name: tc.format}).Parse([]byte(tc.line), &rec)
			if kind != tc.kind || code(err) != tc.code {
				t.Errorf("%v, %v; want %v, %q", kind, err, tc.kind, tc.code)
			}
			if kind == Request && rec.Time != t0 {
				t.Errorf("time %d, want %d", rec.Time, t0)
			}
		})
	}
}

func TestCombinedTargetsAndZones(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]Record{
		"http://clk.example:80/c?t=1": {Scheme: "http", Host: "clk.example:80", Path: "/c", RawQuery: "t=1"},
		"https://clk.example?t=1":     {Scheme: "https", Host: "clk.example", RawQuery: "t=1"},
		"/c?t=1#x?y":                  {Path: "/c", RawQuery: "t=1"},
		"/c#?t=1":                     {Path: "/c"},
		"/c?u=http://x.example/?a":    {Path: "/c", RawQuery: "u=http://x.example/?a"},
		"/c?":                         {Path: "/c"},
		"/%63?t=1":                    {Path: "/%63", RawQuery: "t=1"},
	} {
		var rec Record
		if !rec.setRequest("GET " + target + " HTTP/1.1") {
			t.Errorf("%s is no request", target)
		}
		if rec.Scheme != want.Scheme || rec.Host != want.Host || rec.Path != want.Path || rec.RawQuery != want.RawQuery {
			t.Errorf("%s: %+v", target, rec)
		}
	}
	p := parserOf(t, Format{Name: Combined})
	for zone, want := range map[string]int64{"12:00:00 +0000": t0, "17:30:00 +0530": t0, "04:00:00 -0800": t0} {
		var rec Record
		if _, err := p.Parse([]byte(strings.Replace(clickLine("x", "-"), "12:00:00 +0000", zone, 1)), &rec); err != nil || rec.Time != want {
			t.Errorf("%s: %d, %v", zone, rec.Time, err)
		}
	}
}

// TestCombinedAddresses: a column without address makes no line malformed, but a
// click without address is.
func TestCombinedAddresses(t *testing.T) {
	t.Parallel()
	p := parserOf(t, Format{Name: Combined})
	for in, want := range map[string]string{
		"203.0.113.11": "203.0.113.11", "2001:db8::1": "2001:db8::1", "::ffff:203.0.113.9": "203.0.113.9",
		"unix:": "", "-": "", "host.example": "", "fe80::1%eth0": "", "203.0.113.011": "",
	} {
		var rec Record
		kind, err := p.Parse([]byte(strings.Replace(clickLine("x", "-"), "203.0.113.11", in, 1)), &rec)
		if kind != Request || err != nil {
			t.Fatalf("%s: %v, %v", in, kind, err)
		}
		if got := rec.IP; got.IsValid() != (want != "") || got.IsValid() && got.String() != want {
			t.Errorf("%s: %v, want %s", in, got, want)
		}
		if wantCode := map[bool]string{false: CodeBadAddress}[want != ""]; code(rec.Check()) != wantCode {
			t.Errorf("%s: %v", in, rec.Check())
		}
	}
}

// The escapes of the two servers, written from their documentation.
func apacheEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case strings.IndexByte("\b\n\r\t\v", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte("bnrtv"[strings.IndexByte("\b\n\r\t\v", c)])
		case c < ' ' || c >= 0x7F:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func nginxEscape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c == '"' || c == '\\' || c < ' ' || c > 126 {
			fmt.Fprintf(&b, `\x%02X`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestEscapesComeBackWhole(t *testing.T) {
	t.Parallel()
	p := parserOf(t, Format{Name: Combined})
	escaped := 0
	rapid.Check(t, func(t *rapid.T) {
		agent, referer := string(rapid.SliceOf(rapid.Byte()).Draw(t, "agent")), string(rapid.SliceOf(rapid.Byte()).Draw(t, "referer"))
		if agent == "-" || referer == "-" {
			t.Skip("a dash stands for nothing")
		}
		for _, escape := range []func(string) string{apacheEscape, nginxEscape} {
			var rec Record
			line := `203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] "GET /c HTTP/1.1" 302 0 "` + escape(referer) + `" "` + escape(agent) + `"`
			escaped += strings.Count(line, `\`)
			if kind, err := p.Parse([]byte(line), &rec); kind != Request || rec.UserAgent != agent || rec.Referer != referer {
				t.Fatalf("%s: %v, %v, %q, %q", line, kind, err, rec.UserAgent, rec.Referer)
			}
		}
	})
	if escaped < 100 {
		t.Errorf("only %d backslashes were read", escaped)
	}
}
