package console

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

var payloads = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'><svg/onload=alert(1)>`, `javascript:alert(1)`,
	`</table><script>alert(1)</script>`, `" autofocus onfocus="alert(1)`, "`${alert(1)}`", `{{.}}`, `&lt;script&gt;`, "a\u202Eb\x1b[31m", `</title><script>`,
}

// TestNothingFromOutsideBecomesMarkup puts payloads into every id and every
// parameter, and looks at what a browser would make of the pages.
func TestNothingFromOutsideBecomesMarkup(t *testing.T) {
	t.Parallel()
	for i, p := range payloads {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			id, c := event(t)
			c.TenantID, c.SourceID, c.AdvertiserID, c.CampaignID, c.PublisherID, c.PlacementID = p, p, p, p, p, p
			c.AdGroupID, c.CreativeID, c.LandingHost, c.RefererHost, c.Country, c.AgentFamily, c.RateCard, c.Currency = p, p, p, p, p, p, p, p
			c.Ingest.Gateway = p
			l := ledger(10, 9)
			l.Rows[0].TenantID, l.Rows[0].SourceID, l.Boots[0].Gateway = p, p, p
			f := &fake{
				counts: []aggregate.RecentCount{{Start: hour7, TenantID: p, SourceID: p, Currency: p, State: click.Valid, Count: 1, Micros: 1}},
				totals: []aggregate.Total{{TenantID: p, SourceID: p, State: click.Valid, Rows: 2, Minutes: 1}},
				rows:   []aggregate.BillingRow{{TenantID: p, AdvertiserID: p, CampaignID: p, Currency: p, Hour: hour7}},
				ledger: l,
				events: map[click.ID][]aggregate.TraceRow{id: {
					{What: "click", Click: c},
					{What: "dead letter", DeadLetter: &click.DeadLetter{TenantID: p, SourceID: p, Code: p, Field: p, Message: p}},
				}},
			}
			planted := attack(p, p)
			planted.Series[1].Dimension, planted.Series[1].Key, planted.Series[1].Kind, planted.Money = p, p, p, map[string]int64{p: 1}
			f.alerts = []aggregate.Incident{planted}
			f.told = []aggregate.PageRecord{{Action: aggregate.PageTrigger, Outcome: aggregate.PageRefused, Error: p}}
			f.minutes = []aggregate.MinuteCount{{TenantID: p, SourceID: p, CampaignID: p, PublisherID: p, Currency: p, Minute: planted.OpenedAt, Counts: [click.NumStates]int64{click.SIVT: 1}, Micros: 1}}
			s := newSite(t, f)
			q := url.QueryEscape(p)
			for path, shown := range map[string]bool{
				"/incidents": true, "/incidents/" + planted.ID: true, "/incidents/" + url.PathEscape(p): false,
				"/": true, "/live": true, "/reconcile": true, "/trace?id=" + id.String(): true,
				"/billing?tenant=" + q + "&advertiser=" + q + "&campaign=" + q: true,
				"/trace?id=" + q + "&tenant=" + q:                              false, "/" + url.PathEscape(p): false, "/billing?" + q + "=" + q: false,
			} {
				inspect(t, s, path, p, shown)
			}
		})
	}
}

func inspect(t *testing.T, s *site, path, payload string, shown bool) {
	t.Helper()
	body := s.do("GET", path).Body.String()
	doc := s.get(path, s.do("GET", path).Code)
	for n := range doc.Descendants() {
		switch {
		case n.Data == "script" && !strings.HasPrefix(attr(n, "src"), "/static/"), n.Data == "script" && n.FirstChild != nil:
			t.Errorf("%s: a script of another's", path)
		case n.Data == "img" && !strings.HasPrefix(attr(n, "src"), "/static/icon.svg?"):
			t.Errorf("%s: a picture of another's", path)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "autofocus" {
				t.Errorf("%s: attribute %s=%q", path, a.Key, a.Val)
			}
			if a.Key == "href" && !strings.HasPrefix(a.Val, "/") && a.Val != "#main" {
				t.Errorf("%s: link to %q", path, a.Val)
			}
		}
	}
	if strings.ContainsAny(body, "\u202E\x1b") && !strings.Contains(path, url.QueryEscape(payload)) {
		t.Errorf("%s: direction or control characters reach the page", path)
	}
	if want := strings.Join(strings.Fields(visible(payload)), " "); shown && !strings.Contains(textOf(doc), want) {
		t.Errorf("%s does not show %q as text; was anything tested?", path, want)
	}
}

// TestEveryAnswerCarriesTheHeaders looks at every route, and at every kind of
// error.
func TestEveryAnswerCarriesTheHeaders(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	broken := newSite(t, &fake{err: errors.New("secret place")})
	for _, c := range []struct {
		on             *site
		method, target string
		header         []string
		status         int
	}{
		{s, "GET", "/", nil, 200}, {s, "HEAD", "/", nil, 200}, {s, "GET", "/live", nil, 200}, {s, "GET", "/billing", nil, 200},
		{s, "GET", "/billing.csv", nil, 200}, {s, "GET", "/billing.json", nil, 200}, {s, "GET", "/reconcile", nil, 200}, {s, "GET", "/trace", nil, 200},
		{s, "GET", "/users", nil, 200}, {s, "GET", "/audit", nil, 200}, {s, "GET", "/password", nil, 200}, {s, "GET", "/login", nil, 303},
		{s, "GET", "/static/console.css", nil, 200}, {s, "GET", "/static/console.js", nil, 200}, {s, "GET", "/static/SOURCES.md", nil, 404},
		{s, "GET", "/billing?from=yesterday", nil, 400}, {s, "GET", "/billing?from=2026-11-25&to=2026-11-24", nil, 400}, {s, "GET", "/audit?before=x", nil, 400},
		{s, "GET", "/", []string{"Cookie", ""}, 303}, {s, "GET", "/live", []string{"Cookie", "", "HX-Request", "true"}, 403}, {s, "POST", "/logout", []string{"Cookie", ""}, 403}, {s, "GET", "/static/icon.svg", nil, 200},
		{s, "GET", "/nope", nil, 404}, {s, "GET", "/static/nope.css", nil, 404}, {s, "GET", "/static/..%2fconsole.go", nil, 404}, {s, "GET", "/static/", nil, 404},
		{s, "POST", "/nope", nil, 404}, {s, "POST", "/billing", nil, 405}, {s, "DELETE", "/", nil, 405}, {s, "PUT", "/live", nil, 405},
		{s, "GET", "//billing", nil, 307}, {s, "GET", "/billing?tenant=%ff", nil, 400}, {s, "GET", "/billing?tenant=a%00", nil, 400}, {s, "GET", "/billing?a=%zz", nil, 400},
		{s, "GET", "/trace?id=x%00", nil, 400}, {s, "GET", "/trace?%zz", nil, 400}, {s, "GET", "/billing?tenant=" + strings.Repeat("x", 2000), nil, 400},
		{s, "GET", "/", []string{"Host", "evil.example"}, 421}, {s, "GET", "/", []string{"Host", "localhost.evil.example:8082"}, 421}, {s, "GET", "/", []string{"Host", "192.0.2.1"}, 421},
		{s, "GET", "/", []string{"Host", ""}, 421}, {s, "GET", "/", []string{"Host", "localhost:9999"}, 200}, {s, "GET", "/", []string{"Host", "[::1]:8082"}, 200}, {s, "GET", "/", []string{"Host", "LOCALHOST"}, 200},
		{s, "POST", "/billing", []string{"Sec-Fetch-Site", "cross-site"}, 403}, {s, "POST", "/billing", []string{"Origin", "https://evil.example"}, 403},
		{broken, "GET", "/", nil, 503}, {broken, "GET", "/live", nil, 503}, {broken, "GET", "/billing", nil, 503}, {broken, "GET", "/billing.csv", nil, 503},
		{s, "GET", "/incidents", nil, 200}, {s, "GET", "/incidents/nope", nil, 404},
		{s, "GET", "/incidents/a%00", nil, 404}, {s, "GET", "/incidents/%ff", nil, 404}, {s, "GET", "/review/t1%00/01000000000000000000000000000000", nil, 404}, {s, "POST", "/users/a%00/disable", nil, 404}, {broken, "GET", "/incidents", nil, 503}, {broken, "GET", "/incidents/nope", nil, 503},
		{broken, "GET", "/reconcile", nil, 503}, {broken, "GET", "/trace?id=01936000-0000-7000-8000-000000000001", nil, 503},
	} {
		w := c.on.do(c.method, c.target, c.header...)
		name := fmt.Sprintf("%s %.40s %v", c.method, c.target, c.header)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.status)
		}
		for key, want := range map[string]string{
			"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := w.Header().Get(key); got != want {
				t.Errorf("%s: %s = %q", name, key, got)
			}
		}
		if c.status == 405 && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow = %q", name, w.Header().Get("Allow"))
		}
		if w.Header().Get("Content-Type") == "" && w.Code != 303 {
			t.Errorf("%s: no content type", name)
		}
		if c.status >= 400 && !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%s: no error page: %s", name, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret place") {
			t.Errorf("%s: the page says what the store said", name)
		}
	}
	if got := strings.Count(broken.log.String(), "secret place"); got != 8 {
		t.Errorf("%d of 8 errors were logged:\n%s", got, broken.log)
	}
	for _, part := range []string{
		"default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self' data:", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
	} {
		if !strings.Contains(contentPolicy, part) {
			t.Errorf("the policy lacks %s", part)
		}
	}
}

// TestPagesKeepToThePolicy holds that what the pages load is what the policy lets
// them, and that tables can be read aloud.
func TestPagesKeepToThePolicy(t *testing.T) {
	t.Parallel()
	id, c := event(t)
	f := books()
	f.ledger, f.events = ledger(10, 9), map[click.ID][]aggregate.TraceRow{id: {{What: "click", Click: c}}}
	s := newSite(t, f)
	tables := 0
	for _, path := range []string{"/", "/billing", "/reconcile", "/trace?id=" + id.String(), "/trace", "/users", "/audit", "/password"} {
		doc := s.get(path, 200)
		if n := len(elements(doc, "h1")); n != 1 {
			t.Errorf("%s: %d top headings", path, n)
		}
		for _, link := range append(elements(doc, "link"), elements(doc, "script")...) {
			if src := attr(link, "href") + attr(link, "src"); s.do("GET", src).Code != 200 {
				t.Errorf("%s: %s is not served", path, src)
			}
		}
		if len(elements(doc, "style")) > 0 {
			t.Errorf("%s: inline style", path)
		}
		for _, tab := range elements(doc, "table") {
			tables++
			if len(elements(tab, "caption")) != 1 {
				t.Errorf("%s: a table without caption", path)
			}
			for _, th := range elements(tab, "th") {
				if attr(th, "scope") == "" {
					t.Errorf("%s: %s has no scope", path, textOf(th))
				}
			}
		}
		for _, in := range elements(doc, "input") {
			if in.Parent.Data != "label" && attr(in, "type") != "hidden" {
				t.Errorf("%s: an input without label", path)
			}
		}
		current := 0
		for _, a := range elements(doc, "a") {
			if attr(a, "aria-current") == "page" {
				current++
			}
		}
		if current != 1 {
			t.Errorf("%s: %d current pages", path, current)
		}
	}
	if tables < 8 {
		t.Errorf("only %d tables were seen", tables)
	}
}

func TestMetricsNamePagesNotPaths(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	for _, target := range []string{"/billing?tenant=a", "/billing?tenant=b", "/x/1", "/x/2", "/static/nope"} {
		s.do(http.MethodGet, target)
	}
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "clickgate_console_requests_total" {
			for _, m := range f.GetMetric() {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	want := map[string]float64{"POST /login 303": 1, "GET /billing 200": 2, "none 404": 2, "GET /static/{name} 404": 1}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
