package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/rawlog"
	"clickgate/gateway/token"
)

func TestRawLineIsStoredWhole(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	line := `2001:db8::77 - - [10/Nov/2026:13:00:00 +0100] "HEAD /c?cmp=cmp-1&adg=g&crt=k&pub=p&plc=slot+7&u=https%3A%2F%2Fany.example%2Fx&z=1 HTTP/1.1" 302 0 "https://ref.example/x" "Kite/1"`
	r.pushText("access-key", line, 1, 0, 0, HeaderOffset, "100")
	c := r.one()
	got := *c
	got.Evidence, got.IPKey, got.AgentKey, got.KeyEpoch = nil, click.Key{}, click.Key{}, 0
	want := click.Click{
		TenantID: "acme", SourceID: "access", EventID: rawlog.LineEventID("acme", "access", "b1", 100),
		IDTime: t0.UnixMicro(), EventTime: t0.UnixMicro(), ReceivedAt: t0.UnixMicro(), Entry: click.EntryLog,
		Flags: click.FlagHead | click.FlagTimeCoarse, AdvertiserID: "adv-1", CampaignID: "cmp-1", AdGroupID: "g", CreativeID: "k",
		PublisherID: "p", PlacementID: "slot 7", LandingHost: "any.example", RefererHost: "ref.example",
		PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "v2",
		IPPrefix: "2001:db8::/48", Verdict: click.Verdict{State: click.Valid},
	}
	if diff := diffClick(&got, &want); diff != "" {
		t.Error(diff)
	}
	wantEvidence := click.Evidence{
		IP: "2001:db8::77", UserAgent: "Kite/1", Referer: "https://ref.example/x",
		Query: "cmp=cmp-1&adg=g&crt=k&pub=p&plc=slot+7&u=https%3A%2F%2Fany.example%2Fx&z=1",
	}
	if e := r.evidence(c); e != wantEvidence {
		t.Errorf("evidence %+v", e)
	}
	if n := r.metric("log_lines_total", "access", "click"); n != 1 {
		t.Errorf("%v lines counted", n)
	}
	if n := r.metric("events_total", "log", "accepted"); n != 1 {
		t.Errorf("%v events counted", n)
	}
}

// One click with a token, one by its campaign, told in every format and by the
// batch interface, give the same rows.
func TestSameClicksGiveSameRows(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	live := newRig(t, nil)
	tok := r.mint(nil)
	const ref = "https://ref.example/a"
	queries := []string{"t=" + tok + "&pub=other&x=1", "cmp=cmp-1&plc=top&pub=p"}
	stamp := t0.Format(time.RFC3339)
	var combined, w3c, lines, push strings.Builder
	w3c.WriteString("#Version: 1.0\n#Fields: date time c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) cs(User-Agent) cs-uri-query\n")
	for i, q := range queries {
		fmt.Fprintf(&combined, "198.51.100.7 - - [10/Nov/2026:12:00:00 +0000] \"GET /c?%s HTTP/1.1\" 302 0 \"%s\" \"Kite/1 (x)\"\n", q, ref)
		fmt.Fprintf(&w3c, "2026-11-10\t12:00:00\t198.51.100.7\tGET\tclk.example\t/c\t302\t%s\tKite/1%%20(x)\t%s\n", ref, q)
		fmt.Fprintf(&lines, `{"ts":"%s","client":"198.51.100.7","verb":"GET","url":"/c?%s","code":302,"ref":"%s","ua":"Kite/1 (x)"}`+"\n", stamp, q, ref)
		fmt.Fprintf(&push, `{"RayID":"ray%d","EdgeStartTimestamp":"%s","ClientIP":"198.51.100.7","ClientRequestMethod":"GET","ClientRequestHost":"clk.example",`+
			`"ClientRequestURI":"/c?%s","EdgeResponseStatus":302,"ClientRequestReferer":"%s","ClientRequestUserAgent":"Kite/1 (x)"}`+"\n", i, stamp, q, ref)
	}
	item := `{"id":"%s","event_time":"` + stamp + `","ip":"198.51.100.7","user_agent":"Kite/1 (x)","referer":"` + ref + `",`
	live.parse(live.batch(acmeKey, fmt.Sprintf(item+`"token":"%s","publisher_id":"other","landing_url":"https://shop.example/p?x=1"}`+"\n", newID(t0, 1), tok)+
		fmt.Sprintf(item+`"campaign_id":"cmp-1","placement_id":"top","publisher_id":"p"}`, newID(t0, 2))))
	want, _ := live.take()
	if len(want) != 2 || want[0].ClickID.IsZero() || want[1].RateCard != "v2" || want[1].PriceMicros != 250_000 {
		t.Fatalf("the batch interface made %+v", want)
	}
	for _, tc := range []struct{ key, body string }{
		{"access-key", combined.String()}, {"w3c-key", w3c.String()}, {"json-key", lines.String()}, {"push-key", push.String()},
	} {
		for name, body := range map[string][]byte{"plain": []byte(tc.body), "gzip": zipped(tc.body[:50], tc.body[50:])} {
			p := r.push(tc.key, bytes.NewReader(body), HeaderBatch, "b")
			got, letters := r.take()
			if p.status != 200 || len(got) != 2 || len(letters) != 0 {
				t.Errorf("%s %s: %s, %d clicks", tc.key, name, p, len(got))
				continue
			}
			for i := range got {
				e, ids := r.evidence(got[i]), *got[i]
				if e.Query != queries[i] || ids.EventID[6]>>4 != 5 || ids.IDTime != t0.UnixMicro() {
					t.Errorf("%s: evidence %+v, id %s", tc.key, e, ids.EventID)
				}
				a, b := plainRow(got[i]), plainRow(want[i])
				if diff := diffClick(&a, &b); diff != "" {
					t.Errorf("%s %s, click %d: %s", tc.key, name, i, diff)
				}
				if we := live.evidence(want[i]); e.IP != we.IP || e.UserAgent != we.UserAgent || e.Referer != we.Referer {
					t.Errorf("%s: evidence %+v, want %+v", tc.key, e, we)
				}
			}
		}
	}
}

// plainRow is a click without what its path and its sender set.
func plainRow(c *click.Click) click.Click {
	p := *c
	p.EventID, p.IDTime, p.Entry, p.SourceID, p.Evidence, p.Ingest = click.ID{}, 0, 0, "", nil, click.IngestID{}
	p.Flags &^= click.FlagTimeCoarse // the batch's text could be finer
	return p
}

// Case 01.
func TestRawEscapes(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	text := clf(0, "/c?t="+r.mint(nil), `Slate/2.0 (Tab 10\"; Linux; C:\\a)`) +
		clf(1, "/c?t="+r.mint(nil), `Slate/2.0 (Tab 10\x22; Linux; C:\x5Ca)`) +
		clf(2, "/c?t="+r.mint(nil), `Gr\xC3\xBCn\x09Reader/1`) +
		strings.Replace(clf(3, "/c?t="+r.mint(nil), `odd\\`), `"-"`, `"https://ref.example/?a=\"b\""`, 1)
	r.pushText("access-key", text, 4, 0, 0)
	clicks, _ := r.take()
	want := []string{`Slate/2.0 (Tab 10"; Linux; C:\a)`, `Slate/2.0 (Tab 10"; Linux; C:\a)`, "Grün\tReader/1", `odd\`}
	for i, c := range clicks {
		if e := r.evidence(c); e.UserAgent != want[i] {
			t.Errorf("agent %d is %q", i, e.UserAgent)
		}
	}
	if clicks[0].AgentKey != clicks[1].AgentKey || clicks[0].AgentKey == clicks[2].AgentKey || r.evidence(clicks[3]).Referer != `https://ref.example/?a="b"` {
		t.Error("keys or referer are wrong")
	}
}

// Case 02.
func TestRawRequestsThatAreNone(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	odd := func(request string, status int) string {
		return fmt.Sprintf("203.0.113.11 - - [10/Nov/2026:12:00:00 +0000] \"%s\" %d 0 \"-\" \"-\"\n", request, status)
	}
	text := clf(0, "/c?t="+r.mint(nil), "a") + odd("", 400) + odd("-", 408) + odd(`\x16\x03\x01\x02\x00`, 400) +
		odd("GET /c?t="+r.mint(nil), 302) + clf(1, "/c?t="+r.mint(nil)+"&q={a:1}", "a")
	if p := r.pushText("access-key", text, 3, 0, 3); p.Lines != 6 {
		t.Errorf("lines %d", p.Lines)
	}
	if n := r.metric("log_lines_total", "access", "not_click"); n != 3 {
		t.Errorf("%v lines are counted as not a click", n)
	}
}

// Case 03, and the same in two pieces.
func TestRawCloudFront(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	tok1, tok2 := r.mint(nil), r.mint(nil)
	const names = "date time c-ip cs-method cs(Host) cs-uri-stem sc-status x-future-col cs(Referer) cs(User-Agent) cs-uri-query x-edge-request-id"
	head := "#Version: 1.0\n#Fields: " + names + "\n"
	line1 := "2026-11-10\t12:00:00\t203.0.113.21\tGET\tclk.example\t/c\t302\tzz top\t-\tMozilla/5.0%2520(X11;%2520Linux%2520x86_64)%2520Orrery/7.1\tt=" + tok1 + "&sub=red%252Fblue&w=x%2526y\tEDGE-D1\n"
	line2 := "2026-11-10\t12:00:01\t2001:db8::21\tGET\tclk.example\t/c\t302\t-\thttps://ref.example/a%2520b\tMozilla/5.0%20(X11;%20Linux%20x86_64)%20Orrery/7.1\tt=" + tok2 + "\tEDGE-D2\n"
	if p := r.pushText("w3c-key", head+line1+line2, 2, 0, 0); p.Comments != 2 {
		t.Errorf("comments %d", p.Comments)
	}
	whole, _ := r.take()
	for i, c := range whole {
		if e := r.evidence(c); e.UserAgent != browser || i == 0 && e.Query != "t="+tok1+"&sub=red%2Fblue&w=x%26y" || c.ClickID.IsZero() {
			t.Errorf("click %d: %+v", i, e)
		}
	}
	at := itoa(len(head) + len(line1))
	if p := r.pushText("w3c-key", line2, 1, 0, 0, HeaderOffset, at, HeaderFields, names); p.Comments != 0 || p.Lines != 1 {
		t.Errorf("the #Fields of the header are counted: %s", p)
	}
	if c := r.one(); c.EventID != whole[1].EventID {
		t.Error("the piece makes another event")
	}
	r.pushText("w3c-key", line2, 0, 1, 0, HeaderOffset, at)
	if d := r.letter(); d.Code != rawlog.CodeNoFields || r.raw(d) != strings.TrimSuffix(line2, "\n") {
		t.Errorf("letter %+v", d)
	}
	// Without a request id in the log, the place names the line.
	short := strings.ReplaceAll(head+line1+line2, "x-edge-request-id", "x-other")
	r.pushText("w3c-key", short, 2, 0, 0)
	placed, _ := r.take()
	piece := strings.ReplaceAll(line2, "EDGE-D2", "zz")
	r.pushText("w3c-key", piece, 1, 0, 0, HeaderOffset, itoa(len(short)-len(line2)), HeaderFields, strings.ReplaceAll(names, "x-edge-request-id", "x-other"))
	if c := r.one(); c.EventID != placed[1].EventID || c.EventID == whole[1].EventID {
		t.Error("the piece makes another event than the whole")
	}
}

// Case 04.
func TestRawLongLines(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	line := func(n, size int) string {
		referer := "https://ref.example/?q=" + strings.Repeat("é", size/2)
		return strings.Replace(clf(n, "/c?t="+r.mint(nil), "a"), `"-"`, `"`+referer+`"`, 1)
	}
	r.pushText("access-key", line(0, 10)+line(1, 70_000)+line(2, 10), 3, 0, 0)
	clicks, _ := r.take()
	if e := r.evidence(clicks[1]); clicks[1].Flags&click.FlagTruncated == 0 || len(e.Referer) > maxReferer || len(e.Referer) < maxReferer-2 || !strings.HasSuffix(e.Referer, "é") {
		t.Errorf("referer of %d bytes, flags %b", len(e.Referer), clicks[1].Flags)
	}
	for _, text := range []string{line(0, 10) + line(1, 2<<20) + line(2, 10), line(0, 10) + line(2, 10) + strings.TrimSuffix(line(1, 2<<20), "\n")} {
		if p := r.pushText("access-key", text, 2, 1, 0); p.Lines != 3 || p.Codes[rawlog.CodeLineTooLong] != 1 {
			t.Errorf("%s", p)
		}
		if _, letters := r.take(); len(letters) != 1 || len(r.raw(letters[0])) != maxRaw {
			t.Error("the beginning of the line is not kept")
		}
	}
}

// Case 10: the same queries have the same results as on /c.
func TestRawQueries(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	live := newRig(t, nil)
	for name, tc := range map[string]struct {
		query string
		code  string
	}{
		"odd but sound":    {"t=TOK&q=red;blue&pct=50%&bad=%zz&plus=a+b&sub=", ""},
		"semicolon":        {"t=TOK&pub=p7;t=TOK", ""},
		"repeated token":   {"t=TOK&t=TOK", "repeated_parameter"},
		"no keys":          {"1234&t=TOK&&=x&t2", ""},
		"token broken":     {"t=TOKx", codeToken},
		"other landing":    {"t=TOK&u=https://other.example/", codeLandingOther},
		"campaign is none": {"s=pub-acme&u=https://shop.example/&cmp=a%20b", "bad_id"},
	} {
		query := strings.ReplaceAll(tc.query, "TOK", r.mint(nil))
		p := r.push("access-key", strings.NewReader(clf(0, "/c?"+query, browser)), HeaderBatch, "b")
		clicks, letters := r.take()
		a := live.get("/c?" + query)
		if p.status != 200 || a.status != 302 && a.status != 400 || (a.status == 302) != (tc.code == "") {
			t.Errorf("%s: %s; live %d %s", name, p, a.status, a.body)
		}
		if tc.code != "" {
			if len(letters) != 1 || letters[0].Code != tc.code || r.raw(letters[0])+"\n" != clf(0, "/c?"+query, browser) || !strings.HasPrefix(a.body, tc.code) {
				t.Errorf("%s: letters %+v; live %s", name, letters, a.body)
			}
			live.take()
			continue
		}
		want := live.one()
		if len(clicks) != 1 || clicks[0].ClickID != want.ClickID || clicks[0].PublisherID != want.PublisherID || clicks[0].CampaignID != want.CampaignID ||
			clicks[0].PriceMicros != want.PriceMicros || clicks[0].LandingHost != want.LandingHost || r.evidence(clicks[0]).Query != live.evidence(want).Query {
			t.Errorf("%s: %+v; live %+v", name, clicks, want)
		}
	}
}

// Case 12.
func TestRawLogpushTimes(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	const second = 1_790_000_000_000_000
	for i, tc := range []struct {
		fields string
		time   int64 // 0: malformed
		flags  click.Flags
	}{
		{`"EdgeStartTimestamp":1790000000123000961`, second + 123_000, 0},
		{`"EdgeStartTimestamp":1790000000`, second, click.FlagTimeCoarse},
		{`"EdgeStartTimestamp":"2026-09-21T14:13:20Z"`, second, click.FlagTimeCoarse},
		{`"EdgeStartTimestamp":"2026-09-21T14:13:20.123Z"`, second + 123_000, 0},
		{`"EdgeStartTimestamp":"2026-09-21T14:13:20.123000961Z"`, second + 123_000, 0},
		{`"EdgeStartTimestamp":"1790000000"`, second, click.FlagTimeCoarse},
		{`"Datetime":"2026-09-21T14:13:20Z"`, second, click.FlagTimeCoarse | click.FlagTimeFallback},
		{`"x":1`, 0, 0},
		{`"EdgeStartTimestamp":0`, 0, 0},
	} {
		line := `{"RayID":"same","ClientIP":"203.0.113.5","ClientRequestMethod":"GET","ClientRequestHost":"clk.example","ClientRequestURI":"/c?cmp=cmp-1","EdgeResponseStatus":302,` + tc.fields + `}`
		p := r.push("push-key", strings.NewReader(line))
		clicks, letters := r.take()
		if tc.time == 0 {
			if p.Malformed != 1 || len(letters) != 1 {
				t.Errorf("%d: %s", i, p)
			}
			continue
		}
		if p.Clicks != 1 || len(clicks) != 1 || clicks[0].EventTime != tc.time || clicks[0].Flags != tc.flags || clicks[0].IDTime != second {
			t.Errorf("%d: %s %+v", i, p, clicks)
			continue
		}
		if first := rawlog.RequestEventID("acme", "push", &rawlog.Record{RequestID: "same", Time: second, Host: "clk.example", Path: "/c", RawQuery: "cmp=cmp-1"}); clicks[0].EventID != first {
			t.Errorf("%d: another event", i)
		}
	}
}

func TestRawLogpushForms(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	if p := r.push("push-key", bytes.NewReader(zipped(`{"content":"tests"}`))); p.status != 200 || p.Clicks+p.Malformed+p.NotClicks != 0 {
		t.Errorf("probe: %s", p)
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) != 0 {
		t.Error("the probe is stored")
	}
	one := func(ray string) string {
		return `{"RayID":"` + ray + `","EdgeStartTimestamp":1790000000,"ClientIP":"203.0.113.5","ClientRequestURI":"/c?cmp=cmp-1","ClientCountry":"de","EdgeResponseStatus":302}`
	}
	site := strings.Replace(one("c"), "/c?", "/index?", 1)
	sub := strings.Replace(one("d"), `{`, `{"ClientRequestSource":"edgeWorkerFetch",`, 1)
	sampled := strings.Replace(one("e"), `{`, `{"SampleRate":0.1,`, 1)
	all := []string{one("a"), one("b"), site, sub, sampled}
	var ids []click.ID
	for name, body := range map[string]string{
		"lines": strings.Join(all, "\n"), "array": "[" + strings.Join(all, ",\n") + "]", "wrapped": `{"events":[` + strings.Join(all, ",") + "]}",
	} {
		p := r.push("push-test-key", bytes.NewReader(zipped(body)))
		clicks, letters := r.take()
		if p.status != 200 || p.Clicks != 2 || p.NotClicks != 2 || p.Malformed != 1 || len(clicks) != 2 || len(letters) != 1 || letters[0].Code != codeSampled {
			t.Errorf("%s: %s", name, p)
			continue
		}
		if clicks[0].Country != "DE" || clicks[0].Flags&click.FlagTest == 0 {
			t.Errorf("%s: %+v", name, clicks[0])
		}
		if ids == nil {
			ids = []click.ID{clicks[0].EventID, clicks[1].EventID}
		}
		if !slices.Equal(ids, []click.ID{clicks[0].EventID, clicks[1].EventID}) || ids[0] == ids[1] {
			t.Errorf("%s: ids depend on the form", name)
		}
	}
	nameless := strings.Replace(one("x"), `"RayID":"x",`, "", 1)
	if p := r.push("push-key", strings.NewReader(nameless)); p.Codes["missing"] != 1 {
		t.Errorf("a line without any name: %s", p)
	}
	if p := r.push("push-key", strings.NewReader(nameless), HeaderBatch, "b"); p.Clicks != 1 {
		t.Errorf("a line in a named batch: %s", p)
	}
}

func TestRawClientAndTime(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	expired := r.mint(func(tok *token.Token) {
		tok.IssuedAt, tok.ExpiresAt = t0.Add(-2*time.Hour).UnixMicro(), t0.Add(5*time.Second).UnixMicro()
	})
	r.pushText("fresh-key", clf(1, "/c?t="+expired, "-")+clf(9, "/c?t="+expired, "a"), 2, 0, 0)
	clicks, _ := r.take()
	if clicks[0].Flags&click.FlagTokenExpired != 0 || clicks[1].Flags&click.FlagTokenExpired == 0 {
		t.Error("expiry is not judged at the event time")
	}
	if clicks[0].AgentKey != (click.Key{}) || r.evidence(clicks[0]).UserAgent != "" || r.evidence(clicks[0]).IP != "203.0.113.11" {
		t.Error("agent - is no agent, and the client is the line's")
	}
	at := func(day string) string { return strings.Replace(clf(0, "/c?cmp=cmp-1", "a"), "10/Nov", day, 1) }
	for line, code := range map[string]string{
		at("06/Nov"): "late_time", at("11/Nov"): "future_time",
		strings.Replace(at("10/Nov"), "203.0.113.11", "clk.example", 1):                        rawlog.CodeBadAddress,
		strings.Replace(at("10/Nov"), "203.0.113.11", "0.0.0.0", 1):                            codeAddress,
		strings.Replace(at("10/Nov"), "203.0.113.11", "-", 1):                                  rawlog.CodeBadAddress,
		clf(0, "/c?t="+r.mintWith(2, func(tok *token.Token) { tok.TenantID = "globex" }), "a"): codeTokenTenant,
		"no line at all\n": rawlog.CodeBadLine,
	} {
		if p := r.pushText("fresh-key", line, 0, 1, 0); p.Codes[code] != 1 {
			t.Errorf("%q: codes %v, want %s", line, p.Codes, code)
		}
		if d := r.letter(); d.Code != code || r.raw(d)+"\n" != line || d.SourceID != "fresh" || d.Entry != click.EntryLog {
			t.Errorf("letter %+v", d)
		}
	}
	if p := r.pushText("access-key", at("07/Nov"), 1, 0, 0); p.Lines != 1 {
		t.Error("a backfill source takes old lines")
	}
}

// A shift moves times by whole days, makes other events, and the same ones when it
// is repeated.
func TestRawShift(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	line := strings.Replace(clf(0, "/c?cmp=cmp-1", "a"), "10/Nov", "01/Nov", 1)
	days := func(n int64) string { return itoa(int(n * Day)) }
	r.pushText("fresh-key", line, 0, 1, 0)
	r.take()
	var seen []click.ID
	for _, n := range []int64{9, 9, 8} {
		r.pushText("fresh-key", line, 1, 0, 0, HeaderShift, days(n))
		c := r.one()
		if want := t0.AddDate(0, 0, int(n-9)).UnixMicro(); c.EventTime != want || c.IDTime != want {
			t.Errorf("%d days: event time %d, id time %d", n, c.EventTime, c.IDTime)
		}
		seen = append(seen, c.EventID)
	}
	if seen[0] != seen[1] || seen[0] == seen[2] {
		t.Error("ids do not follow the shift")
	}
	for _, tc := range []struct{ key, shift, code string }{
		{"fresh-key", "1000000", codeBatchHeader}, {"fresh-key", "x", codeBatchHeader}, {"access-key", days(1), codeShift},
	} {
		if p := r.push(tc.key, strings.NewReader(line), HeaderBatch, "b", HeaderShift, tc.shift); p.status != 400 || p.Code != tc.code {
			t.Errorf("shift %s: %s", tc.shift, p)
		}
	}
}

func TestRawRefusals(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Batch.MaxBody = 1 << 10 })
	line := clf(0, "/c?cmp=cmp-1", "a")
	for name, tc := range map[string]struct {
		key     string
		headers []string
		status  int
		code    string
	}{
		"no such key":    {"other", []string{HeaderBatch, "b"}, 401, codeUnauthorized},
		"two keys":       {"access-key", []string{HeaderBatch, "b", "Authorization", "Bearer access-key"}, 401, codeUnauthorized},
		"no log section": {acmeKey, []string{HeaderBatch, "b"}, 400, codeNoLog},
		"no batch":       {"access-key", nil, 400, codeBatchHeader},
		"two batches":    {"access-key", []string{HeaderBatch, "b", HeaderBatch, "c"}, 400, codeBatchHeader},
		"long batch":     {"access-key", []string{HeaderBatch, strings.Repeat("b", 129)}, 400, codeBatchHeader},
		"odd batch":      {"access-key", []string{HeaderBatch, "é"}, 400, codeBatchHeader},
		"offset":         {"access-key", []string{HeaderBatch, "b", HeaderOffset, "-1"}, 400, codeBatchHeader},
		"offset text":    {"access-key", []string{HeaderBatch, "b", HeaderOffset, "1e3"}, 400, codeBatchHeader},
		"utf-16":         {"json-key", []string{HeaderBatch, "b"}, 400, "bad_encoding"},
		"too long":       {"access-key", []string{HeaderBatch, "b"}, 413, codeTooLarge},
	} {
		body := line
		switch name {
		case "utf-16":
			body = "\xFF\xFE{\x00"
		case "too long":
			body = strings.Repeat(line, 100)
		}
		p := r.push(tc.key, strings.NewReader(body), tc.headers...)
		if p.status != tc.status || p.Code != tc.code || p.Message == "" {
			t.Errorf("%s: %s", name, p)
		}
		if clicks, _ := r.take(); len(clicks) > 0 {
			t.Errorf("%s: clicks were taken", name)
		}
		if name == "no log section" && !strings.Contains(p.Message, `"api"`) {
			t.Errorf("the source is not named: %s", p)
		}
	}
	if p := r.answer(httptest.NewRequest("GET", "/v1/raw", nil)); p.status != 405 || p.header.Get("Allow") != "POST" {
		t.Errorf("GET: %s", p)
	}
	if p := r.answer(httptest.NewRequest("POST", "/v1%2Fraw", nil)); p.status != 404 {
		t.Errorf("other path: %s", p)
	}
	// A body of unknown length is cut off at the limit; whole lines before it count.
	p := r.push("access-key", io.MultiReader(strings.NewReader(strings.Repeat(line, 100))), HeaderBatch, "b")
	if clicks, _ := r.take(); p.status != 413 || p.Clicks == 0 || int(p.Clicks) != len(clicks) || int(p.Clicks) != 1024/len(line) || *p.Offset != 1024 {
		t.Errorf("%s, %d clicks", p, len(clicks))
	}
}

func TestRawDamagedAndBombs(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Batch.MaxDecompressed, c.Batch.MaxRatio = 32<<20, 100 })
	var text strings.Builder
	for i := range 2000 {
		text.WriteString(clf(i%300, fmt.Sprintf("/c?cmp=cmp-1&n=%d", i*7919), "a"))
	}
	body := zipped(text.String())
	for name, cut := range map[string][]byte{"cut": body[:len(body)/2], "damaged": slices.Concat(body[:len(body)/2], []byte("\x00\xff\x00\xff"), body[len(body)/2+4:])} {
		p := r.push("access-key", bytes.NewReader(cut), HeaderBatch, "b", HeaderOffset, "1000")
		clicks, _ := r.take()
		if p.status != 400 || !strings.HasPrefix(p.Code, "gzip_") || p.Offset == nil || *p.Offset < 1000 || *p.Offset > 1000+int64(text.Len()) || p.Clicks < 100 || int(p.Clicks) != len(clicks) {
			t.Errorf("%s: %s, %d clicks", name, p, len(clicks))
		}
	}
	if n := r.metric("damaged_bodies_total"); n != 2 {
		t.Errorf("%v damaged bodies counted", n)
	}
	for name, tc := range map[string]struct{ body, code string }{
		"ratio": {strings.Repeat("#", 10<<20), rawlog.CodeRatio},
		"size":  {strings.Repeat(clf(0, "/x", "a"), 40_000), rawlog.CodeTooLarge},
	} {
		srv := r
		if name == "size" {
			srv = newRawRig(t, func(c *Config) { c.Batch.MaxDecompressed, c.Batch.MaxRatio = 2<<20, 1000 })
		}
		if p := srv.push("access-key", bytes.NewReader(zipped(tc.body)), HeaderBatch, "b"); p.status != 413 || p.Code != tc.code || *p.Offset > 10<<20 {
			t.Errorf("%s: %s", name, p)
		}
	}
}

func TestRawNotDurable(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Timeouts.Durable = 50 * time.Millisecond })
	text := clf(0, "/c?cmp=cmp-1", "a") + "broken\n"
	for name, set := range map[string]func(*fakeLog){
		"refused": func(l *fakeLog) { l.refuse = errTestLog },
		"failed":  func(l *fakeLog) { l.fail = errTestLog },
		"late":    func(l *fakeLog) { l.hold = true },
	} {
		r.log.set(func(l *fakeLog) { l.refuse, l.fail, l.hold = nil, nil, false })
		r.log.set(set)
		p := r.push("access-key", strings.NewReader(text), HeaderBatch, "b")
		if p.status != 503 || p.Code != codeNotDurable || p.header.Get("Retry-After") == "" {
			t.Errorf("%s: %s", name, p)
		}
		r.log.release(nil)
	}
	r.log.set(func(l *fakeLog) { l.refuse, l.fail, l.hold = nil, nil, false })
	r.take()
	// A long body ends at the first group that fails.
	r.log.set(func(l *fakeLog) { l.fail = errTestLog })
	r.push("access-key", strings.NewReader(strings.Repeat(clf(0, "/c?cmp=cmp-1", "a"), 5*groupEvents)), HeaderBatch, "b")
	if clicks, _ := r.take(); len(clicks) > groupEvents {
		t.Errorf("%d clicks were given to a log that fails", len(clicks))
	}
	r.log.set(func(l *fakeLog) { l.fail = nil })
	// A gateway that stops tells the sender to come again.
	r.srv.Drain()
	if p := r.push("access-key", strings.NewReader(strings.Repeat(clf(0, "/c?cmp=cmp-1", "a"), 2*groupEvents)), HeaderBatch, "b"); p.status != 503 || p.Code != codeStopping {
		t.Errorf("stopping: %s", p)
	}
}

func TestRawOverload(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, func(c *Config) { c.Batch.MaxRequests = 1 })
	pr, pw := io.Pipe()
	done := make(chan pushed)
	go func() { done <- r.push("access-key", pr, HeaderBatch, "b") }()
	if _, err := io.WriteString(pw, clf(0, "/c?cmp=cmp-1", "a")); err != nil { // the first is inside once it reads
		t.Fatal(err)
	}
	if p := r.push("access-key", strings.NewReader("x"), HeaderBatch, "b"); p.status != 503 || p.Code != codeOverload || len(r.log.shed) != 1 {
		t.Errorf("second: %s", p)
	}
	pw.Close()
	if p := <-done; p.status != 200 || p.Clicks != 1 {
		t.Errorf("first: %s", p)
	}
}

func TestRawPanicIsCaught(t *testing.T) {
	t.Parallel()
	r := newRawRig(t, nil)
	r.scorer.set(func(*click.Click, *click.Signals) { panic("203.0.113.11") })
	p := r.push("access-key", strings.NewReader(clf(0, "/c?cmp=cmp-1", "a")), HeaderBatch, "b")
	if p.status != 500 || strings.Contains(r.logged.String(), "203.0.113.11") || r.metric("panics_total") != 1 {
		t.Errorf("%s, %s", p, r.logged)
	}
}

// countLog takes events without keeping them.
type countLog struct {
	nullLog
}

// A body of 50 MiB needs no more memory than a small one.
func TestRawMemoryIsBounded(t *testing.T) {
	r := newRawRig(t, nil)
	log := &countLog{}
	r.srv.dep.Log = log
	r.srv.outcomes = newOutcomePool(log, r.srv.lost)
	size := 50 << 20
	if raceEnabled {
		size = 4 << 20 // the detector makes it fifteen times slower
	}
	chunk := strings.Repeat(clf(0, "/c?cmp=cmp-1", browser)+strings.Repeat(clf(0, "/index.html", browser), 9), 40)
	n := size/len(chunk) + 1
	var peak uint64
	read := &watchedReader{chunk: []byte(chunk), left: n, each: n / 20, watch: func() {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapAlloc)
	}}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := r.push("access-key", read, HeaderBatch, "b")
	if p.status != 200 || p.Clicks != int64(40*n) || p.NotClicks != 9*p.Clicks || read.looked < 10 {
		t.Fatalf("%s, looked %d times", p, read.looked)
	}
	t.Logf("%d lines; the heap grew from %d to %d bytes at most", p.Lines, before.HeapAlloc, peak)
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 12<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
}

type watchedReader struct {
	chunk          []byte
	at, left, each int
	looked         int
	watch          func()
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if w.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.chunk[w.at:])
	if w.at += n; w.at == len(w.chunk) {
		w.at = 0
		if w.left--; w.left%w.each == 0 {
			w.looked++
			w.watch()
		}
	}
	return n, nil
}
