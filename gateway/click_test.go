package gateway

import (
	"crypto/sha256"
	"net/url"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/seal"
	"clickgate/gateway/token"
)

func TestTokenClickIsStoredWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	query := "t=" + r.mint(nil) + "&crt=crt-9&pub=other&sub=red;blue"
	a := r.get("/c?"+query, "Referer: https://News.example:8443/a?b", "Accept-Language: de")
	if a.status != 302 || a.header.Get("Location") != "https://shop.example/p?x=1" || a.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("answer %+v", a)
	}
	c := r.one()
	master, _ := seal.NewMaster(7, []byte(strings.Repeat("\x09", 32)))
	pseudonyms := seal.NewPseudonymizer(master)
	ip := mustAddr(peerAddr)
	want := click.Click{
		TenantID: "acme", SourceID: "edge", EventID: c.EventID, IDTime: c.EventID.Time(),
		EventTime: t0.UnixMicro(), ReceivedAt: t0.UnixMicro(), Entry: click.EntryClick, ClickID: click.ID{0: 1, 15: 1},
		Flags: click.FlagSealedToken, AdvertiserID: "adv-1", CampaignID: "cmp-1", CreativeID: "crt-9",
		PublisherID: "pub-1", PlacementID: "plc-1", LandingHost: "shop.example", RefererHost: "news.example",
		PriceMicros: 120_000, Currency: "USD", Pricing: click.PricingCPC,
		IPKey: pseudonyms.Address("acme", seal.Epoch(t0.UnixMicro()), ip), AgentKey: pseudonyms.Agent("acme", seal.Epoch(t0.UnixMicro()), browser),
		KeyEpoch: seal.Epoch(t0.UnixMicro()), IPPrefix: "203.0.113.0/24", Verdict: click.Verdict{State: click.Valid},
	}
	e := r.evidence(c)
	got := *c
	got.Evidence = nil
	if diff := diffClick(&got, &want); diff != "" {
		t.Error(diff)
	}
	wantEvidence := click.Evidence{IP: peerAddr, UserAgent: browser, Referer: "https://News.example:8443/a?b", Query: query, AcceptLanguage: "de"}
	if e != wantEvidence {
		t.Errorf("evidence %+v", e)
	}
	if c.EventID[6]>>4 != 7 {
		t.Errorf("event id %s is no UUIDv7", c.EventID)
	}
}

func TestUntokenedClick(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	a := r.get("/c?s=pub-acme&u=https%3A%2F%2Fshop.example%2Fx&cmp=cmp-1&adg=g&crt=k&pub=p&plc=slot+7")
	if a.status != 302 || a.header.Get("Location") != "https://shop.example/x" {
		t.Fatalf("answer %+v", a)
	}
	c := r.one()
	if c.SourceID != "web" || c.CampaignID != "cmp-1" || c.AdvertiserID != "adv-1" || c.AdGroupID != "g" || c.PlacementID != "slot 7" || !c.ClickID.IsZero() {
		t.Errorf("click %+v", c)
	}
	// cmp-1 has a rate card, but anybody can write cmp=cmp-1 into a URL.
	if c.Pricing != click.PricingNone || c.PriceMicros != 0 || !c.Verdict.Reasons.Has(click.ReasonNoPrice) {
		t.Errorf("an unauthenticated click has a price: %+v", c)
	}
}

func TestPriceComesFromTokenElseRateCard(t *testing.T) {
	t.Parallel()
	noPrice := func(tok *token.Token) { tok.PriceMicros, tok.Currency, tok.Pricing = 0, "", click.PricingNone }
	for name, tt := range map[string]struct {
		change  func(*token.Token)
		query   string
		micros  int64
		card    string
		noPrice bool
	}{
		"token":                  {nil, "", 120_000, "", false},
		"free click":             {func(tok *token.Token) { tok.PriceMicros = 0 }, "", 0, "", false},
		"rate card":              {noPrice, "", 250_000, "v2", false},
		"campaign only from URL": {func(tok *token.Token) { noPrice(tok); tok.CampaignID = "" }, "&cmp=cmp-1", 0, "", true},
		"unknown campaign":       {func(tok *token.Token) { noPrice(tok); tok.CampaignID = "nobody" }, "", 0, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			if a := r.get("/c?t=" + r.mint(tt.change) + tt.query); a.status != 302 {
				t.Fatalf("answer %+v", a)
			}
			c := r.one()
			if c.PriceMicros != tt.micros || c.RateCard != tt.card || c.Verdict.Reasons.Has(click.ReasonNoPrice) != tt.noPrice || c.Billable() == tt.noPrice {
				t.Errorf("price %d %s %s card %q reasons %v", c.PriceMicros, c.Currency, c.Pricing, c.RateCard, c.Verdict.Reasons.Codes())
			}
		})
	}
}

// Case 08.
func TestClientAddress(t *testing.T) {
	t.Parallel()
	long := make([]string, 300)
	for i := range long {
		long[i] = "198.51.100.250"
	}
	long[299] = "203.0.113.9"
	for name, tt := range map[string]struct {
		peer  string
		xff   []string
		ip    string
		known bool
	}{
		"1":          {"192.0.2.10", []string{"203.0.113.9"}, "203.0.113.9", true},
		"2":          {"192.0.2.10", []string{"198.51.100.250, 203.0.113.9, 192.0.2.44"}, "203.0.113.9", true},
		"3":          {"198.51.100.7", []string{"203.0.113.9"}, "198.51.100.7", true},
		"4":          {"192.0.2.10", []string{"203.0.113.9:51820"}, "203.0.113.9", true},
		"5":          {"192.0.2.10", []string{"[2001:db8::7]:443"}, "2001:db8::7", true},
		"6":          {"192.0.2.10", []string{"2001:db8:85a3:8d3:1319:8a2e:370:7348"}, "2001:db8:85a3:8d3:1319:8a2e:370:7348", true},
		"7":          {"192.0.2.10", []string{"198.51.100.250", "203.0.113.9"}, "203.0.113.9", true},
		"8":          {"192.0.2.10", []string{"::ffff:203.0.113.9"}, "203.0.113.9", true},
		"9":          {"192.0.2.10", []string{"203.0.113.9, unknown, 192.0.2.44"}, "192.0.2.44", false},
		"10":         {"192.0.2.10", []string{" , ,"}, "192.0.2.10", false},
		"11":         {"192.0.2.10", []string{strings.Join(long, ", ")}, "203.0.113.9", true},
		"no network": {"", nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			headers := []string{}
			for _, x := range tt.xff {
				headers = append(headers, "X-Forwarded-For: "+x)
			}
			var scored string
			r.scorer.set(func(_ *click.Click, s *click.Signals) {
				if s.IP.IsValid() {
					scored = s.IP.String()
				}
			})
			if a := r.send(tt.peer, request("GET", "/c?t="+r.mint(nil), "", headers...)); a.status != 302 {
				t.Fatalf("answer %+v", a)
			}
			c := r.one()
			if e := r.evidence(c); e.IP != tt.ip || scored != tt.ip || c.Flags&click.FlagAddressUnknown == 0 != tt.known {
				t.Errorf("stored %q, scored %q, flags %b; want %q, known %v", e.IP, scored, c.Flags, tt.ip, tt.known)
			}
		})
	}
}

func TestRotatingTheLeftEntryChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	seen := map[click.Key]int{}
	for i := range 1000 {
		xff := "X-Forwarded-For: 198.51." + itoa(i/250) + "." + itoa(i%250) + ", 203.0.113.9, 192.0.2.44"
		if a := r.send("192.0.2.10", request("GET", "/c?t="+r.mint(nil), "", xff)); a.status != 302 {
			t.Fatalf("answer %+v", a)
		}
	}
	clicks, _ := r.take()
	for _, c := range clicks {
		seen[c.IPKey]++
	}
	if len(clicks) != 1000 || len(seen) != 1 {
		t.Errorf("%d clicks under %d addresses, want 1000 under 1", len(clicks), len(seen))
	}
}

// Case 09.
func TestOpenRedirectsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, u := range []string{
		"https://evil-shop.example/", "https://shop.example.evil.example/", "https://shop.example@evil.example/",
		"https://shop.example:80@evil.example/", "//evil.example/", "/\\evil.example", "https:\\\\evil.example",
		"https:/evil.example", "\thttps://evil.example", "java\nscript:alert(1)", "data:text/html,x",
		"https://shop.example%2eevil.example/", "https://shop.example:8443/", "https://b\u00fcch\u0435r.example/",
		"http://[::1]/", "", "https://shop.example/\r\nSet-Cookie: a=b",
	} {
		a := r.get("/c?s=pub-acme&u=" + url.QueryEscape(u))
		if a.status != 400 || a.header.Get("Location") != "" || a.header.Get("Set-Cookie") != "" {
			t.Errorf("%q: answer %+v", u, a)
			continue
		}
		d := r.letter()
		if d.Code == "" || d.Field != "u" || !strings.HasPrefix(a.body, d.Code+": ") || !strings.HasPrefix(r.raw(d), "/c?s=pub-acme&u=") {
			t.Errorf("%q: letter %+v, body %q", u, d, a.body)
		}
	}
	bytesOfAnother := sha256.Sum256([]byte("https://evil.example/"))
	for name, tok := range map[string]string{
		"other landing": r.mint(nil),
		"other hash": r.mint(func(tok *token.Token) {
			tok.LandingURL = ""
			tok.LandingSHA256 = sha256.Sum256([]byte("https://shop.example/"))
		}),
		"not listed": r.mint(func(tok *token.Token) { tok.LandingURL = "" }),
	} {
		if a := r.get("/c?t=" + tok + "&u=https://evil.example/"); a.status != 400 || a.header.Get("Location") != "" {
			t.Errorf("%s: answer %+v", name, a)
		}
		r.letter()
	}
	if a := r.get("/c?t=" + r.mint(func(tok *token.Token) { tok.LandingURL, tok.LandingSHA256 = "", bytesOfAnother }) + "&u=https%3A%2F%2Fevil.example%2F"); a.status != 302 {
		t.Errorf("a landing whose hash is sealed was refused: %+v", a)
	}
	r.one()
	for _, tok := range []string{"", "unsigned", strings.Repeat("A", 200), r.mint(nil)[:40], flip(r.mint(nil))} {
		a := r.get("/c?t=" + tok + "&u=https://shop.example/")
		if a.status != 400 || a.header.Get("Location") != "" {
			t.Errorf("token %.20q: answer %+v", tok, a)
		}
		if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
			t.Errorf("token %.20q: something was recorded for nobody", tok)
		}
	}
}

func flip(tok string) string {
	b := []byte(tok)
	b[60] ^= 1
	return string(b)
}

func TestLandingIsASCII(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for u, want := range map[string][2]string{
		"https://SHOP.example/":                     {"shop.example", "https://shop.example/"},
		"https://shop.example./":                    {"shop.example", ""},
		"https://shop.example/?next=//evil.example": {"shop.example", "https://shop.example/?next=//evil.example"},
		"https://b\u00fccher.example/":              {"xn--bcher-kva.example", "https://xn--bcher-kva.example/"},
		"https://B\u00dcCHER.example/":              {"xn--bcher-kva.example", "https://xn--bcher-kva.example/"},
		"https://bu\u0308cher.example/":             {"xn--bcher-kva.example", "https://xn--bcher-kva.example/"},
		"https://xn--bcher-kva.example/":            {"xn--bcher-kva.example", "https://xn--bcher-kva.example/"},
	} {
		targets := map[string]string{
			"listed": "/c?s=pub-acme&u=" + url.QueryEscape(u),
			"sealed": "/c?t=" + r.mint(func(tok *token.Token) { tok.LandingURL = u }),
		}
		for how, target := range targets {
			a := r.get(target)
			location := a.header.Get("Location")
			if a.status != 302 || want[1] != "" && location != want[1] {
				t.Errorf("%s %q: status %d, location %q", how, u, a.status, location)
				continue
			}
			for i := range len(location) {
				if location[i] >= 0x80 {
					t.Errorf("%s %q: location is not ASCII", how, u)
				}
			}
			if c := r.one(); c.LandingHost != want[0] {
				t.Errorf("%s %q: host %q", how, u, c.LandingHost)
			}
		}
	}
}

// Case 10.
func TestQueries(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	n1 := "t=" + r.mint(nil) + "&q=red;blue&pct=50%&bad=%zz&plus=a+b&sub="
	if a := r.get("/c?" + n1); a.status != 302 {
		t.Fatalf("N1: %+v", a)
	}
	if e := r.evidence(r.one()); e.Query != n1 {
		t.Errorf("N1: evidence %q", e.Query)
	}
	open := func(tok *token.Token) { tok.PublisherID = "" }
	n2, n9 := r.mint(open), r.mint(func(tok *token.Token) { tok.CampaignID = "cmp-9" })
	if a := r.get("/c?t=" + n2 + "&pub=p7;t=N9"); a.status != 302 {
		t.Fatalf("N2: %+v", a)
	}
	if c := r.one(); c.PublisherID != "p7;t=N9" || c.CampaignID != "cmp-1" {
		t.Errorf("N2: %+v", c)
	}
	if a := r.get("/c?t=" + n2 + "&pub=p7;t=" + n9); a.status != 302 { // too long for an id: left out, never split
		t.Fatalf("N2: %+v", a)
	}
	if c := r.one(); c.PublisherID != "" || c.CampaignID != "cmp-1" {
		t.Errorf("N2: %+v", c)
	}
	if a := r.get("/c?t=" + r.mint(nil) + "&t=" + r.mint(nil)); a.status != 400 || !strings.HasPrefix(a.body, "repeated_parameter") || a.header.Get("Location") != "" {
		t.Errorf("N3: %+v", a)
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
		t.Error("N3: one of two tokens was used")
	}
	if a := r.get("/c?1234&t=" + r.mint(nil) + "&&=x&t2"); a.status != 302 {
		t.Errorf("N5: %+v", a)
	}
	r.one()
	if a := r.get("/c?pub=a&pub=b&t=" + r.mint(nil)); a.status != 400 || !strings.HasPrefix(a.body, "repeated_parameter: pub") {
		t.Errorf("repeated pub: %+v", a)
	}
	if d := r.letter(); d.TenantID != "acme" || d.Field != "pub" {
		t.Errorf("repeated pub: %+v", d)
	}
}

func TestRefusedAndMalformedClicks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, tt := range []struct {
		query, code string
		letter      bool
	}{
		{"", "missing_token", false},
		{"x=1", "missing_token", false},
		{"s=nobody&u=https://shop.example/", "unknown_source", false},
		{"s=pub-acme&s=pub-acme", "repeated_parameter", false},
		{"s=pub-acme&t=%C3%28", "bad_utf8", false},
		{"t=" + r.mintWith(3, nil), "bad_token", false}, // retired for more than 30 days
		{"s=pub-acme", "landing_missing", true},
		{"s=pub-acme&u=https://shop.example/&cmp=a%20b", "bad_id", true},
		{"s=pub-acme&u=https://shop.example/&cmp=cmp-1&adv=adv-2", "advertiser_mismatch", true},
		{"s=pub-acme&u=https://shop.example/&plc=" + strings.Repeat("x", 200), "too_long", true},
		{"s=pub-acme&u=https://shop.example/&pub=%00", "nul_byte", true},
		{"s=pub-acme&" + strings.Repeat("a&", 200), "too_many", true},
		{"t=" + r.mint(func(tok *token.Token) { tok.LandingURL = "javascript:alert(1)" }), "open_redirect", true},
	} {
		a := r.get("/c?" + tt.query)
		if a.status != 400 || !strings.HasPrefix(a.body, tt.code+": ") || a.header.Get("Location") != "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%.60q: answer %+v, want %s", tt.query, a, tt.code)
		}
		if !tt.letter {
			if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
				t.Errorf("%.60q: recorded", tt.query)
			}
			continue
		}
		if d := r.letter(); d.Code != tt.code || d.TenantID != "acme" || r.raw(d) != "/c?"+tt.query {
			t.Errorf("%.60q: letter %+v", tt.query, d)
		}
	}
	if refused, malformed := r.metric("refused_total"), r.metric("malformed_total"); refused != 6 || malformed != 7 {
		t.Errorf("counted %v refused and %v malformed, want 6 and 7", refused, malformed)
	}
	if a := r.get("/c?t=" + r.mintWith(4, nil)); a.status != 302 { // retired 9 days ago: still opens
		t.Errorf("recently retired key: %+v", a)
	}
	r.one()
}

func TestFlags(t *testing.T) {
	t.Parallel()
	past := func(tok *token.Token) {
		tok.IssuedAt, tok.ExpiresAt = t0.Add(-20*time.Hour).UnixMicro(), t0.Add(-time.Microsecond).UnixMicro()
	}
	for name, tt := range map[string]struct {
		method  string
		change  func(*token.Token)
		headers []string
		status  int
		flags   click.Flags
	}{
		"plain":         {"GET", nil, nil, 302, 0},
		"test token":    {"GET", func(tok *token.Token) { tok.Test = true }, nil, 302, click.FlagTest},
		"test campaign": {"GET", func(tok *token.Token) { tok.CampaignID = "cmp-test" }, nil, 302, click.FlagTest},
		"expired":       {"GET", past, nil, 302, click.FlagTokenExpired},
		"just not expired": {"GET", func(tok *token.Token) { tok.ExpiresAt = t0.UnixMicro() },
			nil, 302, 0},
		"head":           {"HEAD", nil, nil, 302, click.FlagHead},
		"prefetch":       {"GET", nil, []string{"Sec-Purpose: prefetch;anonymous-client-ip"}, 503, click.FlagPrefetch},
		"prerender":      {"GET", nil, []string{"Sec-Purpose: prefetch;prerender"}, 503, click.FlagPrefetch},
		"old prefetch":   {"GET", nil, []string{"Purpose: Prefetch"}, 503, click.FlagPrefetch},
		"mozilla":        {"GET", nil, []string{"X-Moz: prefetch"}, 503, click.FlagPrefetch},
		"preview":        {"GET", nil, []string{"X-Purpose: preview"}, 503, click.FlagPrefetch},
		"other purpose":  {"GET", nil, []string{"Purpose: navigate"}, 302, 0},
		"prefetched old": {"GET", past, []string{"Purpose: prefetch"}, 503, click.FlagPrefetch | click.FlagTokenExpired},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			a := r.send(peerAddr, request(tt.method, "/c?t="+r.mint(tt.change), "", tt.headers...))
			if a.status != tt.status || a.header.Get("Cache-Control") != "no-store" || a.body != "" ||
				(a.header.Get("Location") != "") != (tt.status == 302) {
				t.Errorf("answer %+v", a)
			}
			if c := r.one(); c.Flags != tt.flags|click.FlagSealedToken {
				t.Errorf("flags %b, want %b", c.Flags, tt.flags|click.FlagSealedToken)
			}
		})
	}
}

func TestBrokenHeadersNeverLoseAClick(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, tt := range []struct{ agent, want string }{
		{"Kite/1 \xC3\x28", "Kite/1 \uFFFD("},
		{strings.Repeat("é", 2000), strings.Repeat("é", 1024)},
		{"x" + strings.Repeat("é", 2000), "x" + strings.Repeat("é", 1023)},
	} {
		raw := "GET /c?t=" + r.mint(nil) + " HTTP/1.1\r\nHost: a\r\nUser-Agent: " + tt.agent + "\r\nReferer: https://ref.example/" + strings.Repeat("r", 2100) + "\r\n\r\n"
		if a := r.send(peerAddr, raw); a.status != 302 {
			t.Fatalf("answer %+v", a)
		}
		c := r.one()
		e := r.evidence(c)
		if e.UserAgent != tt.want || len(e.Referer) != 2048 || c.RefererHost != "ref.example" || c.Flags&click.FlagTruncated == 0 {
			t.Errorf("agent %.20q, referer %d bytes, flags %b", e.UserAgent, len(e.Referer), c.Flags)
		}
	}
}

func TestAdvertiserOfAClick(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for name, tt := range map[string]struct {
		change func(*token.Token)
		query  string
		want   string
	}{
		"the token's stands":           {func(tok *token.Token) { tok.AdvertiserID = "adv-9" }, "&adv=adv-1", "adv-9"},
		"the campaign's beats the URL": {func(tok *token.Token) { tok.AdvertiserID = "" }, "&adv=adv-9", "adv-1"},
		"the campaign's by itself":     {func(tok *token.Token) { tok.AdvertiserID = "" }, "", "adv-1"},
		"the URL's where nobody knows": {func(tok *token.Token) { tok.AdvertiserID, tok.CampaignID = "", "" }, "&adv=adv-9", "adv-9"},
	} {
		if a := r.get("/c?t=" + r.mint(tt.change) + tt.query); a.status != 302 {
			t.Errorf("%s: %+v", name, a)
		}
		if c := r.one(); c.AdvertiserID != tt.want {
			t.Errorf("%s: advertiser %q, want %q", name, c.AdvertiserID, tt.want)
		}
	}
}
