package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/token"

	"github.com/pires/go-proxyproto"
)

func TestBeacon(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	form := "Content-Type: application/x-www-form-urlencoded"
	for name, raw := range map[string]string{
		"query":            request("GET", "/b?t="+r.mint(nil)+"&crt=k", ""),
		"head":             request("HEAD", "/b?t="+r.mint(nil)+"&crt=k", ""),
		"form":             request("POST", "/b", "t="+r.mint(nil)+"&crt=k", form),
		"text":             request("POST", "/b", "t="+r.mint(nil)+"&crt=k", "Content-Type: text/plain;charset=UTF-8"),
		"no type":          request("POST", "/b", "t="+r.mint(nil)+"&crt=k"),
		"query and body":   request("POST", "/b?crt=k", "t="+r.mint(nil), form),
		"post with query":  request("POST", "/b?crt=k&t="+r.mint(nil), ""),
		"hash, no landing": request("GET", "/b?crt=k&t="+r.mint(func(tok *token.Token) { tok.LandingURL, tok.LandingSHA256[0] = "", 1 }), ""),
	} {
		a := r.send(peerAddr, raw)
		if a.status != 204 || a.body != "" || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Location") != "" {
			t.Errorf("%s: answer %+v", name, a)
		}
		c := r.one()
		if c.Entry != click.EntryBeacon || c.CreativeID != "k" || c.ClickID.IsZero() || c.Flags&click.FlagHead != 0 != (name == "head") {
			t.Errorf("%s: click %+v", name, c)
		}
	}
	if a := r.get("/b?s=pub-acme&cmp=cmp-1"); a.status != 204 {
		t.Errorf("untokened: %+v", a)
	}
	if c := r.one(); c.SourceID != "web" || c.Billable() || c.AdvertiserID != "adv-1" {
		t.Errorf("untokened: %+v", c)
	}
	if a := r.get("/b?t="+r.mint(nil), "Sec-Purpose: prefetch"); a.status != 503 {
		t.Errorf("prefetch: %+v", a)
	}
	r.one()
	body := "s=pub-acme&u=https://evil.example/"
	if a := r.send(peerAddr, request("POST", "/b?cmp=x", body, form)); a.status != 400 {
		t.Errorf("malformed: %+v", a)
	}
	if d := r.letter(); d.Code != "open_redirect" || r.raw(d) != body || d.Entry != click.EntryBeacon {
		t.Errorf("malformed: %+v", d)
	}
	for name, raw := range map[string]string{
		"token twice":  request("POST", "/b?t="+r.mint(nil), "t="+r.mint(nil), form),
		"JSON":         request("POST", "/b", `{"t":1}`, "Content-Type: application/json"),
		"too long":     request("POST", "/b", strings.Repeat("x", 8193), form),
		"nothing":      request("POST", "/b", ""),
		"short":        strings.Replace(request("POST", "/b", "t=abc", form), "Length: 5", "Length: 4", 1),
		"GET and body": request("GET", "/b", "t="+r.mint(nil), form),
	} {
		if a := r.send(peerAddr, raw); a.status < 400 || a.status > 499 {
			t.Errorf("%s: %+v", name, a)
		}
		if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
			t.Errorf("%s: recorded", name)
		}
	}
}

// What HTTP parsers on the way may read in two ways is refused, and the
// connection with it.
func TestFraming(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.mint(nil)
	item := itemJSON(t0, 1, "")
	auth := "Authorization: Bearer " + acmeKey + "\r\n"
	head := "Host: clk.example\r\n"
	post := func(more, body string) string {
		return "POST /v1/clicks HTTP/1.1\r\n" + head + auth + more + "\r\n" + body
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(item), item)
	cl := fmt.Sprintf("Content-Length: %d\r\n", len(item))
	get := "GET /c?t=" + tok
	for name, tt := range map[string]struct {
		raw    string
		status int
		code   string
	}{
		"lower-case method":       {"get /c?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 405, "method_not_allowed"},
		"other method":            {"DELETE /c?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 405, "method_not_allowed"},
		"POST /c":                 {"POST /c?t=" + tok + " HTTP/1.1\r\n" + head + "Content-Length: 0\r\n\r\n", 405, "method_not_allowed"},
		"GET batch":               {"GET /v1/clicks HTTP/1.1\r\n" + head + auth + "\r\n", 405, "method_not_allowed"},
		"CONNECT":                 {"CONNECT clk.example:443 HTTP/1.1\r\n" + head + "\r\n", 404, ""},
		"HTTP/2.0":                {get + " HTTP/2.0\r\n" + head + "\r\n", 505, "http_version"},
		"HTTP/9.9":                {get + " HTTP/9.9\r\n" + head + "\r\n", 505, "http_version"},
		"HTTP/0.9":                {get + "\r\n\r\n", 400, "bad_http"},
		"version in lower case":   {get + " http/1.1\r\n" + head + "\r\n", 400, "bad_http"},
		"no Host":                 {get + " HTTP/1.1\r\nX: y\r\n\r\n", 400, "bad_http"},
		"two Hosts":               {get + " HTTP/1.1\r\n" + head + head + "\r\n", 400, "bad_http"},
		"chunked":                 {post("Transfer-Encoding: chunked\r\n", chunked), 411, "transfer_encoding"},
		"chunked, GET":            {get + " HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "transfer_encoding"},
		"chunked, then length":    {post("Transfer-Encoding: chunked\r\n"+cl, chunked), 411, "transfer_encoding"},
		"length, then chunked":    {post(cl+"Transfer-Encoding: chunked\r\n", chunked), 411, "transfer_encoding"},
		"identity":                {post(cl+"Transfer-Encoding: identity\r\n", item), 411, "transfer_encoding"},
		"identity in other case":  {post(cl+"tRANSFER-encoding: identity\r\n", item), 411, "transfer_encoding"},
		"gzip coding":             {post(cl+"Transfer-Encoding: gzip, chunked\r\n", item), 400, "bad_http"},
		"two codings":             {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked), 400, "bad_http"},
		"coding in HTTP/1.0":      {"POST /v1/clicks HTTP/1.0\r\n" + auth + "Transfer-Encoding: chunked\r\n\r\n" + chunked, 400, "bad_http"},
		"space before colon":      {post(cl+"Transfer-Encoding : chunked\r\n", item), 400, "bad_http"},
		"two lengths":             {post(cl+cl, item), 400, "bad_http"},
		"two other lengths":       {post(cl+"Content-Length: 1\r\n", item), 400, "bad_http"},
		"length list":             {post(fmt.Sprintf("Content-Length: %d, %d\r\n", len(item), len(item)), item), 400, "bad_http"},
		"negative length":         {post("Content-Length: -1\r\n", item), 400, "bad_http"},
		"signed length":           {post(fmt.Sprintf("Content-Length: +%d\r\n", len(item)), item), 400, "bad_http"},
		"hex length":              {post("Content-Length: 0x10\r\n", item), 400, "bad_http"},
		"huge length":             {post("Content-Length: 99999999999999999999\r\n", item), 400, "bad_http"},
		"length over the limit":   {post("Content-Length: 1048577\r\n", strings.Repeat(" ", 1048577)), 413, "body_too_large"},
		"folded header":           {get + " HTTP/1.1\r\n" + head + "X-A: b\r\n c\r\n\r\n", 400, "header_folding"},
		"folded with tab":         {get + " HTTP/1.1\r\n" + head + "X-A: b\r\n\tc\r\n\r\n", 400, "header_folding"},
		"folded first header":     {get + " HTTP/1.1\r\n X: y\r\n" + head + "\r\n", 400, ""},
		"header without colon":    {get + " HTTP/1.1\r\n" + head + "nonsense\r\n\r\n", 400, "bad_http"},
		"NUL in header":           {get + " HTTP/1.1\r\n" + head + "X: a\x00b\r\n\r\n", 400, "bad_http"},
		"bare CR in header":       {get + " HTTP/1.1\r\n" + head + "X: a\rb\r\n\r\n", 400, "bad_http"},
		"empty header name":       {get + " HTTP/1.1\r\n" + head + ": b\r\n\r\n", 400, "bad_http"},
		"no method":               {" /c HTTP/1.1\r\n" + head + "\r\n", 400, "bad_http"},
		"space in target":         {"GET /c?t= x HTTP/1.1\r\n" + head + "\r\n", 400, "bad_http"},
		"garbage":                 {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_http"},
		"header over 8 KiB":       {get + " HTTP/1.1\r\n" + head + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", 431, "header_too_large"},
		"target over 8 KiB":       {get + strings.Repeat("x", 9000) + " HTTP/1.1\r\n" + head + "\r\n", 431, "header_too_large"},
		"many headers":            {get + " HTTP/1.1\r\n" + head + strings.Repeat("A: b\r\n", 100_000) + "\r\n", 431, "header_too_large"},
		"body on GET":             {get + " HTTP/1.1\r\n" + head + "Content-Length: 1\r\n\r\nx", 400, "unexpected_body"},
		"gzip body":               {post(cl+"Content-Encoding: gzip\r\n", item), 415, "content_encoding"},
		"identity content":        {post(cl+"Content-Encoding: identity\r\n", item), 415, "content_encoding"},
		"path":                    {"GET /x HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"path with slash":         {"GET /c/?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"two slashes":             {"GET //c?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"encoded path":            {"GET /%63?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"dots":                    {"GET /x/../c?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"other case":              {"GET /C?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"admin on the click side": {"GET /metrics HTTP/1.1\r\n" + head + "\r\n", 404, "not_found"},
		"PROXY v1 by an intruder": {"PROXY TCP4 203.0.113.1 192.0.2.1 1 2\r\n" + get + " HTTP/1.1\r\n" + head + "\r\n", 400, "bad_http"},
	} {
		a, err := r.trySend(peerAddr, tt.raw)
		if err != nil {
			t.Errorf("%s: no answer: %v", name, err)
			continue
		}
		if a.status != tt.status || !strings.Contains(a.body, tt.code) || !a.closed || a.header.Get("Location") != "" ||
			a.header.Get("Cache-Control") != "no-store" || a.header.Get("Server") != "" || a.status == 405 != (a.header.Get("Allow") != "") {
			t.Errorf("%s: %+v, want %d %s", name, a, tt.status, tt.code)
		}
		if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
			t.Errorf("%s: recorded", name)
		}
	}
	for name, raw := range map[string]string{
		"HTTP/1.0":       get + " HTTP/1.0\r\n\r\n",
		"absolute form":  "GET http://clk.example/c?t=" + tok + " HTTP/1.1\r\n" + head + "\r\n",
		"leading CRLF":   "\r\n" + get + " HTTP/1.1\r\n" + head + "\r\n",
		"coding in name": get + " HTTP/1.1\r\n" + head + "X-Transfer-Encoding: chunked\r\nTE: trailers\r\n\r\n",
	} {
		if a := r.send(peerAddr, raw); a.status != 302 {
			t.Errorf("%s: %+v", name, a)
		}
		r.one()
	}
}

func TestBodyThatDoesNotCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Timeouts.Read = 100 * time.Millisecond })
	// The server reads the first 8 KiB ahead of any handler, the handler the rest.
	for name, body := range map[string]string{"early": "{", "late": strings.Repeat(" ", 20_000)} {
		a := r.send(peerAddr, "POST /v1/clicks HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer "+acmeKey+"\r\nContent-Length: 100000\r\n\r\n"+body)
		if a.status != 408 || !a.closed || !strings.Contains(a.body, "timeout") {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
		t.Error("half a body was recorded")
	}
}

func TestPipelining(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	c, err := r.ln.dial(peerAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	big := strings.Repeat(itemJSON(t0, 1, "")+"\n", 300) // longer than what the server reads ahead
	var all strings.Builder
	for range 3 {
		all.WriteString(request("GET", "/c?t="+r.mint(nil), ""))
		all.WriteString(request("POST", "/b", "t="+r.mint(nil)))
		all.WriteString(request("POST", "/v1/clicks", big, "Authorization: Bearer "+acmeKey))
	}
	go io.WriteString(c, all.String())
	br := bufio.NewReader(c)
	for i := range 9 {
		if a, err := readReply(br, false); err != nil || a.status != [...]int{302, 204, 200}[i%3] {
			t.Fatalf("answer %d: %+v, %v", i, a, err)
		}
	}
	if clicks, letters := r.take(); len(clicks) != 3*302 || len(letters) != 0 {
		t.Errorf("%d clicks, %d letters", len(clicks), len(letters))
	}
}

func proxyHeader(t *testing.T, version byte, source string) string {
	t.Helper()
	h := proxyproto.HeaderProxyFromAddrs(version, &net.TCPAddr{IP: net.ParseIP(source), Port: 5000}, &net.TCPAddr{IP: net.ParseIP(source), Port: 80})
	b, err := h.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.ProxyProtocol = true; c.Timeouts.ProxyHeader = 100 * time.Millisecond })
	get := func(headers ...string) string { return request("GET", "/c?t="+r.mint(nil), "", headers...) }
	local, _ := (&proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC}).Format()
	for name, tt := range map[string]struct {
		peer, raw, ip string
		known         bool
	}{
		"IPv4":                {"192.0.2.10", proxyHeader(t, 2, "203.0.113.50") + get(), "203.0.113.50", true},
		"IPv6":                {"192.0.2.10", proxyHeader(t, 2, "2001:db8::50") + get(), "2001:db8::50", true},
		"XFF is the client's": {"192.0.2.10", proxyHeader(t, 2, "203.0.113.50") + get("X-Forwarded-For: 198.51.100.1"), "203.0.113.50", true},
		"second proxy":        {"192.0.2.10", proxyHeader(t, 2, "192.0.2.20") + get("X-Forwarded-For: 203.0.113.51"), "203.0.113.51", true},
		"health check":        {"192.0.2.10", string(local) + get(), "192.0.2.10", false},
		"direct":              {"203.0.113.9", get(), "203.0.113.9", true},
	} {
		if a := r.send(tt.peer, tt.raw); a.status != 302 {
			t.Errorf("%s: %+v", name, a)
			continue
		}
		c := r.one()
		if e := r.evidence(c); e.IP != tt.ip || c.Flags&click.FlagAddressUnknown == 0 != tt.known {
			t.Errorf("%s: ip %q, flags %b", name, e.IP, c.Flags)
		}
	}
	for name, tt := range map[string]struct{ peer, raw string }{
		"untrusted peer":     {"203.0.113.9", proxyHeader(t, 2, "203.0.113.50") + get()},
		"untrusted, v1":      {"203.0.113.9", proxyHeader(t, 1, "203.0.113.50") + get()},
		"trusted without it": {"192.0.2.10", get()},
		"trusted, v1":        {"192.0.2.10", proxyHeader(t, 1, "203.0.113.50") + get()},
		"broken":             {"192.0.2.10", proxyHeader(t, 2, "203.0.113.50")[:14] + "\xff\xff" + get()},
	} {
		if a, err := r.trySend(tt.peer, tt.raw); err == nil && (a.status < 400 || a.status > 499) {
			t.Errorf("%s: %+v", name, a)
		}
		if clicks, letters := r.take(); len(clicks)+len(letters) > 0 {
			t.Errorf("%s: recorded", name)
		}
	}
}

// An answer must not tell what the gateway thinks of a click.
func TestAnswersDoNotDependOnTheVerdict(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	target := "/c?t=" + r.mint(nil)
	requests := map[string]string{
		"c":     request("GET", target, ""),
		"b":     request("GET", "/b?s=pub-acme", ""),
		"batch": request("POST", "/v1/clicks", itemJSON(t0, 1, "")+"\n{}", "Authorization: Bearer "+acmeKey),
	}
	for name, raw := range requests {
		seen := map[string]click.State{}
		for state := range click.NumStates {
			r.scorer.set(func(c *click.Click, _ *click.Signals) {
				c.Verdict.State, c.Verdict.Score, c.Verdict.Reasons = state, float64(state)/10, c.Verdict.Reasons.Set(click.Reason(state)+1)
			})
			conn, err := r.ln.dial(peerAddr)
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, strings.Replace(raw, "\r\n", "\r\nConnection: close\r\n", 1))
			b, err := io.ReadAll(conn)
			if err != nil || len(b) == 0 {
				t.Fatalf("%s: %v", name, err)
			}
			seen[withoutDate(string(b))] = state
		}
		if len(seen) != 1 {
			t.Errorf("%s: %d different answers: %v", name, len(seen), seen)
		}
	}
	clicks, _ := r.take()
	states := map[click.State]bool{}
	for _, c := range clicks {
		states[c.Verdict.State] = true
	}
	if len(states) != int(click.NumStates) {
		t.Errorf("only %d verdicts were stored", len(states))
	}
}

func withoutDate(answer string) string {
	lines := strings.Split(answer, "\r\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "Date: ") {
			lines[i] = "Date:"
		}
	}
	return strings.Join(lines, "\r\n")
}

// Planted addresses, agents, tokens and keys must stay inside the seal.
func TestNothingPersonalLeaks(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const agent, ip, referer, wrongKey = "Canary-Agent/77", "198.51.100.77", "https://ref.example/canary-path", "canary-wrong-key"
	tok := r.mint(nil)
	hdr := []string{"Referer: " + referer, "Accept-Language: x-canary"}
	with := func(raw string) string { return strings.Replace(raw, browser, agent, 1) }
	item := `{"id":"` + newID(t0, 1) + `","ip":"` + ip + `","user_agent":"` + agent + `","referer":"` + referer + `"`
	answers := ""
	for _, raw := range []string{
		with(request("GET", "/c?t="+tok+"&x=canary-query", "", hdr...)),
		with(request("GET", "/c?t="+tok+"x", "", hdr...)),
		with(request("GET", "/c?s=pub-acme&u=https://canary-landing.example/", "", hdr...)),
		with(request("GET", "/c?s=canary-source", "", hdr...)),
		with(request("POST", "/b", "t="+tok+"&pub=canary-body", hdr...)),
		with(request("POST", "/v1/clicks", item+"}\n"+item+`,"canary-field":1}`+"\n"+item+`,"token":"canary-token"}`+"\n"+item+`,"country":"canary"}`+"\nx"+item, "Authorization: Bearer "+acmeKey)),
		with(request("POST", "/v1/clicks", item+"}", "Authorization: Bearer "+wrongKey)),
		with(request("POST", "/v1/clicks", "canary-garbage", "Authorization: Bearer "+acmeKey)),
		with("GET /c HTTP/7.0\r\nHost: a\r\nUser-Agent: " + agent + "\r\n\r\n"),
		with("GET /c HTTP/1.1\r\nHost: a\r\ncanary broken " + agent + "\r\n\r\n"),
	} {
		a := r.send(ip, raw)
		answers += a.body
	}
	r.scorer.set(func(_ *click.Click, s *click.Signals) { panic(s.IP.String() + s.UserAgent) })
	answers += r.send(ip, with(request("GET", "/c?t="+tok, "", hdr...))).body
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{"log": r.logged.String(), "metrics": fmt.Sprint(families), "answers": answers}
	for i, rec := range r.log.records {
		places[fmt.Sprint("record ", i)] = string(rec.Value)
	}
	if len(places) < 10 || places["log"] == "" || len(places["metrics"]) < 1000 || len(answers) < 100 {
		t.Fatal("too little happened")
	}
	for place, text := range places {
		for _, secret := range []string{"anary", ip, tok, acmeKey} {
			if strings.Contains(strings.ReplaceAll(text, "canary_", ""), secret) {
				t.Errorf("%s holds %q", place, secret)
			}
		}
	}
}
