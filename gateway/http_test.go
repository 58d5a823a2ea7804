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
