package rawlog

import (
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"clickgate/gateway/click"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func sampleRecord() *Record {
	return &Record{Time: 1_790_000_000_123_000, RequestID: "EDGE-1", Host: "clk.example", Path: "/c", RawQuery: "t=TOK-1", Offset: 7}
}

// TestIDsNeverChange holds ids that were computed apart, with Python's hashlib.
func TestIDsNeverChange(t *testing.T) {
	t.Parallel()
	if got, want := RequestEventID("acme", "cdn", sampleRecord()).String(), "015f55cc-7d39-5c89-b5ff-90fa779c8381"; got != want {
		t.Errorf("request id %s, want %s", got, want)
	}
	if got, want := LineEventID("acme", "cdn", "batch", 7).String(), "fe57e987-e226-5bf0-9068-49eabe73fad1"; got != want {
		t.Errorf("line id %s, want %s", got, want)
	}
}

// TestUUID5AgainstLibrary compares with github.com/google/uuid, and with the
// example of RFC 9562, appendix A.4.
func TestUUID5AgainstLibrary(t *testing.T) {
	t.Parallel()
	dns := uuid.NameSpaceDNS
	if got := uuid5(append(dns[:], "www.example.com"...)).String(); got != "2ed6657d-e927-568b-95e1-2665a8aea6a2" {
		t.Error(got)
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SliceOf(rapid.Byte()).Draw(t, "name")
		if got := uuid5(append(namespace[:], name...)); got != click.ID(uuid.NewSHA1(namespace, name)) {
			t.Fatalf("%x: %v", name, got)
		}
	})
}

func TestEventIDDependsOnEveryPart(t *testing.T) {
	t.Parallel()
	base := RequestEventID("acme", "cdn", sampleRecord())
	for name, change := range map[string]func(tenant, source *string, r *Record){
		"tenant": func(tenant, _ *string, _ *Record) { *tenant = "acm" },
		"source": func(_, source *string, _ *Record) { *source = "cdn2" },
		"border": func(tenant, source *string, _ *Record) { *tenant, *source = "acmec", "dn" },
		"id":     func(_, _ *string, r *Record) { r.RequestID = "EDGE-2" },
		"second": func(_, _ *string, r *Record) { r.Time += 1e6 },
		"host":   func(_, _ *string, r *Record) { r.Host = "clk2.example" },
		"path":   func(_, _ *string, r *Record) { r.Path = "/d" },
		"query":  func(_, _ *string, r *Record) { r.RawQuery = "t=TOK-2" },
		"shift":  func(_, _ *string, r *Record) { r.Path, r.RawQuery = "/ct", "=TOK-1" },
	} {
		tenant, source, rec := "acme", "cdn", sampleRecord()
		change(&tenant, &source, rec)
		if RequestEventID(tenant, source, rec) == base {
			t.Errorf("%s changes nothing", name)
		}
	}
	same := sampleRecord()
	same.Time, same.Offset, same.Precision, same.UserAgent = 1_790_000_000_999_999, 99, PrecisionMicro, "other"
	if RequestEventID("acme", "cdn", same) != base {
		t.Error("what is no part of the id changes it")
	}
}

func TestEventIDChooses(t *testing.T) {
	t.Parallel()
	rec := sampleRecord()
	if EventID("acme", "cdn", "batch", rec) != RequestEventID("acme", "cdn", rec) {
		t.Error("the request id is not used")
	}
	rec.RequestID = ""
	byLine := EventID("acme", "cdn", "batch", rec)
	if byLine != LineEventID("acme", "cdn", "batch", 7) {
		t.Error("the place is not used")
	}
	for _, other := range []click.ID{LineEventID("acme", "cdn", "batch", 8), LineEventID("acme", "cdn", "batch2", 7), LineEventID("acme", "cdn2", "batch", 7), LineEventID("acm", "ecdn", "batch", 7)} {
		if other == byLine {
			t.Error("two places have one id")
		}
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("2026-11-10 12:00:00 /c t=1\n", 100)
	name := func(text string) string {
		got, err := Fingerprint(iotest.OneByteReader(strings.NewReader(text)))
		mustNot(t, err)
		if raw, err := hex.DecodeString(got); err != nil || len(raw) != 32 {
			t.Errorf("%q is no SHA-256", got)
		}
		return got
	}
	base := name(body)
	for what, text := range map[string]string{
		"header": "#Version: 1.0\n#Fields: a b\n" + body, "long comment": "#" + strings.Repeat("x", 100_000) + "\r\n" + body,
		"mark": "\xEF\xBB\xBF#x\n" + body, "growth": body + "more\n", "a # later": body[:1024] + "\n#x\n",
	} {
		if name(text) != base {
			t.Errorf("%s changes the name", what)
		}
	}
	for what, text := range map[string]string{"first byte": "3" + body[1:], "last byte": body[:1023] + "x" + body[1024:], "short": body[:1023], "comments only": "#x\n#y", "empty": ""} {
		if name(text) == base {
			t.Errorf("%s does not change the name", what)
		}
	}
	if packedName, err := Fingerprint(Decompress(strings.NewReader(string(packed(t, body))), Limits{})); err != nil || packedName != base {
		t.Error("packing changes the name", err)
	}
	for _, start := range []string{"", "#x", "abc"} {
		if _, err := Fingerprint(io.MultiReader(strings.NewReader(start), iotest.ErrReader(io.ErrClosedPipe))); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%q: %v", start, err)
		}
	}
}

func TestRule(t *testing.T) {
	t.Parallel()
	ok := Record{Method: "GET", Path: "/c", Status: 302, Host: "Clk.Example:443"}
	with := func(change func(*Record)) Record { r := ok; change(&r); return r }
	all := Rule{Paths: []string{"/go"}, Prefixes: []string{"/r/"}, Methods: []string{"POST"}, Statuses: []StatusRange{{204, 204}, {300, 310}}, Hosts: []string{"other.example", "clk.example."}}
	for name, tc := range map[string]struct {
		rule  Rule
		rec   Record
		click bool
		why   string
	}{
		"default":          {Rule{}, ok, true, ""},
		"HEAD":             {Rule{}, with(func(r *Record) { r.Method = "HEAD" }), true, WhyHead},
		"POST":             {Rule{}, with(func(r *Record) { r.Method = "POST" }), false, WhyMethod},
		"404":              {Rule{}, with(func(r *Record) { r.Status = 404 }), false, WhyStatus},
		"199":              {Rule{}, with(func(r *Record) { r.Status = 199 }), false, WhyStatus},
		"399":              {Rule{}, with(func(r *Record) { r.Status = 399 }), true, ""},
		"503 to prefetch":  {Rule{}, with(func(r *Record) { r.Status = 503 }), false, WhyStatus},
		"no status":        {Rule{}, with(func(r *Record) { r.Status = 0 }), true, ""},
		"no method":        {Rule{}, with(func(r *Record) { r.Method = "" }), true, ""},
		"longer path":      {Rule{}, with(func(r *Record) { r.Path = "/c/" }), false, WhyPath},
		"encoded path":     {Rule{}, with(func(r *Record) { r.Path = "/%63" }), false, WhyPath},
		"no path":          {Rule{}, with(func(r *Record) { r.Path = "" }), false, WhyPath},
		"token alone":      {Rule{}, Record{Token: "TOK-1"}, true, ""},
		"subrequest":       {Rule{}, with(func(r *Record) { r.Subrequest = true }), false, WhySubrequest},
		"path of the list": {all, with(func(r *Record) { r.Path, r.Method = "/go", "POST" }), true, ""},
		"prefix":           {all, with(func(r *Record) { r.Path, r.Method, r.Status = "/r/1", "POST", 204 }), true, ""},
		"default is gone":  {all, with(func(r *Record) { r.Method = "POST" }), false, WhyPath},
		"GET is gone":      {all, with(func(r *Record) { r.Path = "/go" }), false, WhyMethod},
		"status between":   {all, with(func(r *Record) { r.Path, r.Method, r.Status = "/go", "POST", 250 }), false, WhyStatus},
		"other host":       {all, with(func(r *Record) { r.Path, r.Method, r.Host = "/go", "POST", "clk.example.evil.example" }), false, WhyHost},
		"no host":          {all, with(func(r *Record) { r.Path, r.Method, r.Host = "/go", "POST", "" }), false, WhyHost},
		"IPv6 host":        {Rule{Hosts: []string{"[2001:db8::1]"}}, with(func(r *Record) { r.Host = "[2001:DB8::1]:443" }), true, ""},
	} {
		if click, why := tc.rule.Match(&tc.rec); click != tc.click || why != tc.why {
			t.Errorf("%s: %v %q, want %v %q", name, click, why, tc.click, tc.why)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	if got := (&Record{Method: "HEAD", TimeFallback: true}).Flags(); got != click.FlagHead|click.FlagTimeFallback|click.FlagTimeCoarse|click.FlagAddressUnknown {
		t.Errorf("%b", got)
	}
	if got := (&Record{Method: "GET", Precision: PrecisionMilli, IP: parseAddr("203.0.113.1")}).Flags(); got != 0 {
		t.Errorf("%b", got)
	}
}
