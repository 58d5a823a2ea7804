package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"clickgate/gateway/click"
)

// newSocketRig is a rig whose click listener is a real socket.
func newSocketRig(tb testing.TB, change func(*Config)) *rig {
	tb.Helper()
	r := newIdleRig(tb, func(c *Config) {
		c.Listen, c.AdminListen = "127.0.0.1:0", "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
	r.start()
	return r
}

// hostile is one request of a client that is broken or means harm.
type hostile struct {
	name string
	raw  string
	// status and code of the answer; status 0: the connection ends without one.
	status int
	code   string
	stays  bool // the connection lives on after the answer
	half   bool // the client ends its side behind raw
	rude   bool // nobody waits until so much is sent: the connection may be reset
	clicks int  // that are recorded
}

const hostLine = "Host: clk.example\r\n"

// hostileRequests are refused or read in one way only (RFC 9112 sections 2.2, 3, 5,
// 6, 7 and 11.2). Each stands before a click that a parser of another opinion would
// take for the next request: recording it fails the test.
func hostileRequests(token func() string) []hostile {
	var all []hostile
	for _, rows := range [][]hostile{
		hostileLines(token()), hostileHeads(token()), hostileLengths(token()), hostileCodings(token()), hostileSizes(token()),
		hostileParts(token()), hostileQueries(token), strangeButSound(token),
	} {
		all = append(all, rows...)
	}
	return all
}

func hostileLines(tok string) []hostile {
	line := func(name, first string, status int, code string) hostile {
		return hostile{name: name, raw: first + "\r\n" + hostLine + "\r\n", status: status, code: code}
	}
	get := "GET /c?t=" + tok
	return []hostile{
		line("lower-case method", "get /c?t="+tok+" HTTP/1.1", 405, codeMethod),
		line("other method", "DELETE /c?t="+tok+" HTTP/1.1", 405, codeMethod),
		line("TRACE", "TRACE /c?t="+tok+" HTTP/1.1", 405, codeMethod),
		line("OPTIONS for all", "OPTIONS * HTTP/1.1", 404, codePath),
		line("POST to /c", "POST /c?t="+tok+" HTTP/1.1", 405, codeMethod),
		line("GET of a batch", "GET /v1/clicks HTTP/1.1", 405, codeMethod),
		line("CONNECT in authority form", "CONNECT clk.example:443 HTTP/1.1", 404, codePath),
		line("GET in authority form", "GET clk.example:443 HTTP/1.1", 400, codeHTTP),
		line("absolute form without path", "GET http://clk.example HTTP/1.1", 404, codePath),
		line("path in the query of an absolute form", "GET http://clk.example?x=/c HTTP/1.1", 404, codePath),
		line("HTTP/0.9", get, 400, codeHTTP),
		line("HTTP/2.0", get+" HTTP/2.0", 505, codeVersion),
		line("HTTP/9.9", get+" HTTP/9.9", 505, codeVersion),
		line("HTTP/1.2", get+" HTTP/1.2", 505, codeVersion),
		line("version in lower case", get+" http/1.1", 400, codeHTTP),
		line("version without number", get+" HTTP/", 400, codeHTTP),
		line("version with a third number", get+" HTTP/1.1.1", 400, codeHTTP),
		line("no method", " /c?t="+tok+" HTTP/1.1", 400, codeHTTP),
		line("no target", "GET  HTTP/1.1", 400, codeHTTP),
		line("space in the target", "GET /c?t= "+tok+" HTTP/1.1", 400, codeHTTP),
		line("NUL in the target", "GET /c?t=\x00"+tok+" HTTP/1.1", 400, codeHTTP),
		line("path", "GET /x HTTP/1.1", 404, codePath),
		line("path with a slash behind", "GET /c/?t="+tok+" HTTP/1.1", 404, codePath),
		line("two slashes", "GET //c?t="+tok+" HTTP/1.1", 404, codePath),
		line("encoded path", "GET /%63?t="+tok+" HTTP/1.1", 404, codePath),
		line("broken percent in the path", "GET /%zz/c?t="+tok+" HTTP/1.1", 404, codePath),
		line("dots", "GET /x/../c?t="+tok+" HTTP/1.1", 404, codePath),
		line("path in other letters", "GET /C?t="+tok+" HTTP/1.1", 404, codePath),
		line("fragment", "GET /c#x?t="+tok+" HTTP/1.1", 404, codePath),
		line("page of the admin listener", "GET /metrics HTTP/1.1", 404, codePath),
		{name: "TLS on a plain port", raw: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", status: 400, code: codeHTTP},
		{name: "HTTP/2 preface", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", status: 400, code: codeHTTP},
		{name: "PROXY v1 of a stranger", raw: "PROXY TCP4 203.0.113.1 192.0.2.1 1 2\r\n" + get + " HTTP/1.1\r\n" + hostLine + "\r\n", status: 400, code: codeHTTP},
	}
}

func hostileHeads(tok string) []hostile {
	head := func(name, headers string, status int, code string) hostile {
		return hostile{name: name, raw: "GET /c?t=" + tok + " HTTP/1.1\r\n" + headers + "\r\n", status: status, code: code}
	}
	return []hostile{
		head("no Host", "X: y\r\n", 400, codeHTTP),
		head("two Hosts", hostLine+hostLine, 400, codeHTTP),
		head("two other Hosts", hostLine+"Host: evil.example\r\n", 400, codeHTTP),
		head("folded header", hostLine+"X-A: b\r\n c\r\n", 400, codeFolding),
		head("header folded by a tab", hostLine+"X-A: b\r\n\tc\r\n", 400, codeFolding),
		head("first header folded", " X: y\r\n"+hostLine, 400, ""),
		head("coding behind a fold", hostLine+"X-A: b\r\n Transfer-Encoding: chunked\r\n", 400, codeFolding),
		head("header ends with LF alone", hostLine+"X-A: b\nX-B: c\r\n", 400, codeLineEnd),
		head("coding behind LF alone", hostLine+"X-A: b\nTransfer-Encoding: chunked\r\n", 411, codeTransferEncoding),
		head("header without colon", hostLine+"nonsense\r\n", 400, codeHTTP),
		head("empty header name", hostLine+": b\r\n", 400, codeHTTP),
		head("space before the colon", hostLine+"X : y\r\n", 400, codeHTTP),
		head("NUL in a header's name", hostLine+"X\x00: a\r\n", 400, codeHTTP),
		head("NUL in a header", hostLine+"X: a\x00b\r\n", 400, codeHTTP),
		head("bare CR in a header", hostLine+"X: a\rb\r\n", 400, codeHTTP),
		head("body on GET", hostLine+"Content-Length: 1\r\n\r\nx", 400, codeBody),
		head("body on GET that never comes", hostLine+"Content-Length: 1\r\n", 400, codeBody),
		head("HTTP/2 upgrade with a body", hostLine+"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 4\r\n", 400, codeBody),
		{name: "all lines end with LF alone", raw: "GET /c?t=" + tok + " HTTP/1.1\nHost: clk.example\n\n", status: 408, code: codeTimeout}, // no end is seen
	}
}

// smuggled is a click that stands where one parser sees a body and another the next
// request.
func smuggled(tok string) string {
	return "GET /c?t=" + tok + " HTTP/1.1\r\n" + hostLine + "\r\n"
}

func hostilePost(name, headers, body string, status int, code string) hostile {
	return hostile{
		name: name, status: status, code: code,
		raw: "POST /v1/clicks HTTP/1.1\r\n" + hostLine + "Authorization: Bearer " + acmeKey + "\r\n" + headers + "\r\n" + body,
	}
}

func hostileLengths(tok string) []hostile {
	body := smuggled(tok)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	return []hostile{
		hostilePost("two equal lengths", length+length, body, 400, codeHTTP),
		hostilePost("two other lengths", length+"Content-Length: 0\r\n", body, 400, codeHTTP),
		hostilePost("two other lengths, turned", "Content-Length: 0\r\n"+length, body, 400, codeHTTP),
		hostilePost("list of lengths", fmt.Sprintf("Content-Length: %d, %d\r\n", len(body), len(body)), body, 400, codeHTTP),
		hostilePost("negative length", "Content-Length: -1\r\n", body, 400, codeHTTP),
		hostilePost("length of minus zero", "Content-Length: -0\r\n", body, 400, codeHTTP),
		hostilePost("signed length", fmt.Sprintf("Content-Length: +%d\r\n", len(body)), body, 400, codeHTTP),
		hostilePost("length in hex", "Content-Length: 0x10\r\n", body, 400, codeHTTP),
		hostilePost("length with a point", "Content-Length: 10.0\r\n", body, 400, codeHTTP),
		hostilePost("length with a space inside", "Content-Length: 1 0\r\n", body, 400, codeHTTP),
		hostilePost("empty length", "Content-Length:\r\n", body, 400, codeHTTP),
		hostilePost("length of 2^63", "Content-Length: 9223372036854775808\r\n", body, 400, codeHTTP),
		hostilePost("length of 2^64", "Content-Length: 18446744073709551616\r\n", body, 400, codeHTTP),
		hostilePost("space before the length's colon", "Content-Length : 5\r\n", body, 400, codeHTTP),
	}
}

func hostileCodings(tok string) []hostile {
	body := smuggled(tok)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	const coding = "Transfer-Encoding: chunked\r\n"
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	return []hostile{
		hostilePost("chunked", coding, chunked, 411, codeTransferEncoding),
		hostilePost("length, then chunked", length+coding, "0\r\n\r\n"+body, 411, codeTransferEncoding),
		hostilePost("chunked, then length", coding+length, "0\r\n\r\n"+body, 411, codeTransferEncoding),
		hostilePost("chunked, then a length of 0", coding+"Content-Length: 0\r\n", chunked, 411, codeTransferEncoding),
		hostilePost("identity coding", length+"Transfer-Encoding: identity\r\n", body, 411, codeTransferEncoding),
		hostilePost("coding in other letters", length+"tRANSFER-encoding: identity\r\n", body, 411, codeTransferEncoding),
		hostilePost("unknown coding", length+"Transfer-Encoding: xchunked\r\n", body, 400, codeHTTP),
		hostilePost("gzip coding", "Transfer-Encoding: gzip, chunked\r\n", chunked, 400, codeHTTP),
		hostilePost("chunked twice", coding+coding, chunked, 400, codeHTTP),
		hostilePost("space before the coding's colon", length+"Transfer-Encoding : chunked\r\n", body, 400, codeHTTP),
		hostilePost("vertical tab before chunked", length+"Transfer-Encoding: \x0bchunked\r\n", body, 400, codeHTTP),
		hostilePost("chunk extension", coding, fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(body), body), 411, codeTransferEncoding),
		hostilePost("trailer", coding, fmt.Sprintf("%x\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n", len(body), body), 411, codeTransferEncoding),
		hostilePost("broken chunk size", coding, "zz\r\n"+body, 411, codeTransferEncoding),
		hostilePost("huge chunk size", coding, "ffffffffffffffff\r\n"+body, 411, codeTransferEncoding),
		hostilePost("coding of a body that never comes", coding, "", 411, codeTransferEncoding),
		{
			name: "chunked on GET", status: 411, code: codeTransferEncoding,
			raw: "GET /c?t=" + tok + " HTTP/1.1\r\n" + hostLine + coding + "\r\n0\r\n\r\n",
		},
		{
			name: "chunked in HTTP/1.0", status: 400, code: codeHTTP,
			raw: "POST /v1/clicks HTTP/1.0\r\nAuthorization: Bearer " + acmeKey + "\r\n" + coding + "\r\n" + chunked,
		},
		hostilePost("gzip body", length+"Content-Encoding: gzip\r\n", body, 415, codeContentEncoding),
		hostilePost("gzip body that never comes", length+"Content-Encoding: gzip\r\n", "", 415, codeContentEncoding),
		hostilePost("identity content", length+"Content-Encoding: identity\r\n", body, 415, codeContentEncoding),
	}
}

func hostileSizes(tok string) []hostile {
	head := "GET /c?t=" + tok + " HTTP/1.1\r\n" + hostLine
	return []hostile{
		{name: "header of 9 kB", raw: head + "X: " + strings.Repeat("x", 9000) + "\r\n\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "header of 500 kB", raw: head + "X: " + strings.Repeat("x", 500_000) + "\r\n\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "header of 8 MB", raw: head + "X: " + strings.Repeat("x", 8<<20) + "\r\n\r\n", status: 431, code: codeHeaderTooLarge, rude: true},
		{name: "target of 9 kB", raw: "GET /c?t=" + tok + strings.Repeat("x", 9000) + " HTTP/1.1\r\n" + hostLine + "\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "target of 500 kB", raw: "GET /" + strings.Repeat("c", 500_000) + " HTTP/1.1\r\n" + hostLine + "\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "100,000 headers", raw: head + strings.Repeat("A: b\r\n", 100_000) + "\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "method of 9 kB", raw: strings.Repeat("G", 9000) + " /c HTTP/1.1\r\n" + hostLine + "\r\n", status: 431, code: codeHeaderTooLarge},
		{name: "empty lines without end", raw: strings.Repeat("\r\n", 10_000), rude: true},
		hostilePost("body over the limit", "Content-Length: 1048577\r\n", strings.Repeat(" ", 1048577), 413, codeTooLarge),
		hostilePost("body over the limit that never comes", "Content-Length: 1048577\r\n", "", 413, codeTooLarge),
		hostilePost("body of 2^62 bytes that never comes", "Content-Length: 4611686018427387904\r\n", "", 413, codeTooLarge),
		{
			name: "body over the limit that never comes, HTTP/1.0", status: 413, code: codeTooLarge,
			raw: "POST /b HTTP/1.0\r\nContent-Length: 8193\r\n\r\n",
		},
		{
			name: "body at another path that never comes", status: 404, code: codePath,
			raw: "POST /x HTTP/1.1\r\n" + hostLine + "Content-Length: 10\r\n\r\n",
		},
		hostilePost("expected body over the limit", "Expect: 100-continue\r\nContent-Length: 1048577\r\n", "", 413, codeTooLarge),
		hostilePost("expected gzip body", "Expect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n", "", 415, codeContentEncoding),
		{
			name: "expected body on GET", status: 400, code: codeBody,
			raw: head + "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n",
		},
	}
}

func hostileParts(tok string) []hostile {
	early := hostilePost("body that ends early", "Content-Length: 100\r\n", "{", 400, codeHTTP)
	late := hostilePost("body that ends late in its course", "Content-Length: 100000\r\n", strings.Repeat(" ", 20_000), 400, codeBodyEarly)
	early.half, late.half = true, true
	return []hostile{
		early, late,
		{name: "nothing", half: true},
		{name: "half a method", raw: "GE", half: true, status: 400, code: codeHTTP},
		{name: "half a request line", raw: "GET /c?t=" + tok, half: true, status: 400, code: codeHTTP},
		{name: "half a head", raw: "GET /c?t=" + tok + " HTTP/1.1\r\n" + hostLine + "X-A: b\r\n", half: true, status: 400, code: codeHTTP},
		{name: "half a head that never ends", raw: "GET /c?t=" + tok + " HTTP/1.1\r\n" + hostLine + "X-A: b\r\n", status: 408, code: codeTimeout},
		hostilePost("body that never comes", "Content-Length: 100\r\n", "", 408, codeTimeout),
		hostilePost("body that never comes whole", "Content-Length: 100000\r\n", strings.Repeat(" ", 20_000), 408, codeTimeout),
		hostilePost("expected body that never comes", "Expect: 100-continue\r\nContent-Length: 100\r\n", "", 408, codeTimeout),
	}
}

func hostileQueries(token func() string) []hostile {
	query := func(name, q, code string) hostile {
		return hostile{name: name, raw: "GET /c?" + q + " HTTP/1.1\r\n" + hostLine + "\r\n", status: 400, code: code, stays: true}
	}
	landing := "t=" + token() + "&u=https%3A%2F%2Fshop.example%2F"
	return []hostile{
		query("broken percent in the landing", landing+"%zz", ""),
		query("cut percent in the landing", landing+"%", ""),
		query("broken percent in the token", "t="+token()+"%zz", ""),
		query("overlong UTF-8 in the landing", landing+"%c0%af", ""),
		query("CRLF in the landing", landing+"%0d%0aSet-Cookie:+a=b", ""),
		query("token twice", "t="+token()+"&t="+token(), ""),
		query("129 parameters", "t="+token()+strings.Repeat("&a=b", 128), ""),
		query("nothing", "", codeOrigin),
	}
}

// strangeButSound are requests that are odd and mean one thing only.
func strangeButSound(token func() string) []hostile {
	ok := func(name, first, headers string) hostile {
		return hostile{name: name, raw: first + "\r\n" + headers + "\r\n", status: 302, stays: true, clicks: 1}
	}
	get := func() string { return "GET /c?t=" + token() }
	old := ok("HTTP/1.0", get()+" HTTP/1.0", "")
	old.stays = false
	closing := ok("Connection: close", get()+" HTTP/1.1", hostLine+"Connection: close\r\n")
	closing.stays = false
	item := itemJSON(t0, 1, "")
	expected := hostilePost("expected body that comes", fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n", len(item)), item, 200, "")
	expected.stays, expected.clicks = true, 1
	underscore := hostilePost("length with an underscore", "Content_Length: 5\r\n", "", 400, codeEmpty)
	underscore.stays = true
	return []hostile{
		old, closing, expected, underscore,
		ok("request line ends with LF alone", get()+" HTTP/1.1\n"+hostLine+"X: y", "\r\n"),
		ok("absolute form", "GET http://clk.example/c?t="+token()+" HTTP/1.1", hostLine),
		ok("absolute form of another host", "GET http://evil.example/c?t="+token()+" HTTP/1.1", hostLine),
		ok("empty line in front", "\r\n"+get()+" HTTP/1.1", hostLine),
		ok("coding in another header's name", get()+" HTTP/1.1", hostLine+"X-Transfer-Encoding: chunked\r\nTE: trailers\r\n"),
		ok("upgrade to HTTP/2", get()+" HTTP/1.1", hostLine+"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
		ok("upgrade to a web socket", get()+" HTTP/1.1", hostLine+"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAA\r\n"),
		ok("length of 0 on GET", get()+" HTTP/1.1", hostLine+"Content-Length: 0\r\n"),
		ok("broken percent in a parameter that nobody reads", get()+"&zz=%zz HTTP/1.1", hostLine),
	}
}

func TestHostileRequests(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, func(c *Config) { c.Timeouts.Read = 300 * time.Millisecond })
	rows := hostileRequests(func() string { return r.mint(nil) })
	if len(rows) < 100 {
		t.Fatalf("only %d rows", len(rows))
	}
	for i := range rows {
		h := &rows[i]
		if err := r.play(h); err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
		if clicks, _ := r.take(); len(clicks) != h.clicks {
			t.Errorf("%s: %d clicks are recorded, want %d", h.name, len(clicks), h.clicks)
		}
		if a, err := r.exchange(request("GET", "/c?t="+r.mint(nil), "", "Connection: close")); err != nil || a.status != 302 {
			t.Fatalf("the next click after %q: %+v, %v", h.name, a, err)
		}
		r.one()
	}
	if n := r.metric("panics_total"); n != 0 || r.logged.String() != "" {
		t.Errorf("%v panics; log: %s", n, r.logged)
	}
}

// play sends one row and says what was not as it should be.
func (r *rig) play(h *hostile) error {
	c, err := r.dialSocket()
	if err != nil {
		return err
	}
	defer c.Close()
	// Who refuses early may do so while we still write.
	_, _ = io.WriteString(c, h.raw)
	if h.half {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	br := bufio.NewReader(c)
	if h.status == 0 {
		if err := wantEnd(br); !h.rude || !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
		return nil
	}
	a, err := finalReply(br)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if err := h.check(&a); err != nil {
		return err
	}
	switch {
	case h.rude:
		return nil
	case !h.stays:
		return wantEnd(br)
	}
	if _, err := io.WriteString(c, request("GET", "/b?s=nobody", "")); err != nil {
		return err
	}
	if next, err := readReply(br, false); err != nil || next.status != 400 || !strings.Contains(next.body, codeSource) {
		return fmt.Errorf("the next request of the connection: %+v, %w", next, err)
	}
	return nil
}

func (h *hostile) check(a *reply) error {
	switch {
	case a.status != h.status || !strings.Contains(a.body, h.code):
		return fmt.Errorf("answer %+v, want %d %s", *a, h.status, h.code)
	case a.closed == h.stays:
		return fmt.Errorf("answer %+v says closed %v", *a, a.closed)
	case a.status != 302 && a.header.Get("Location") != "", a.header.Get("Cache-Control") != "no-store", a.header.Get("Server") != "":
		return fmt.Errorf("headers %v", a.header)
	case a.status == 405 != (a.header.Get("Allow") != ""):
		return fmt.Errorf("status %d with Allow: %q", a.status, a.header.Get("Allow"))
	}
	return nil
}

// finalReply reads the first answer that is not an interim one.
func finalReply(br *bufio.Reader) (a reply, err error) {
	for a, err = readReply(br, false); err == nil && a.status < 200; {
		a, err = readReply(br, false)
	}
	return a, err
}

// wantEnd demands an orderly end without another byte.
func wantEnd(br *bufio.Reader) error {
	rest, err := io.ReadAll(br)
	if err != nil || len(rest) > 0 {
		return fmt.Errorf("the connection does not just end: %q, %w", rest[:min(len(rest), 80)], cmpErr(err))
	}
	return nil
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("more than one answer")
	}
	return err
}

func (r *rig) dialSocket() (*net.TCPConn, error) {
	c, err := net.Dial("tcp", r.srv.Addr().String())
	if err != nil {
		return nil, err
	}
	// A test whose answer never comes fails instead of hanging.
	return c.(*net.TCPConn), c.SetDeadline(time.Now().Add(30 * time.Second))
}

// exchange sends raw on a connection of its own.
func (r *rig) exchange(raw string) (reply, error) {
	c, err := r.dialSocket()
	if err != nil {
		return reply{}, err
	}
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		return reply{}, err
	}
	return readReply(bufio.NewReader(c), false)
}

// A panic ends its request and nothing else: not the process, and not the other
// requests of that moment.
func TestPanicsStayInside(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, nil)
	r.scorer.set(func(c *click.Click, s *click.Signals) {
		if strings.Contains(s.UserAgent, "bomb") || c.CreativeID == "bomb" {
			panic("injected")
		}
	})
	bomb := strings.Replace(itemJSON(t0, 1, ""), "{", `{"creative_id":"bomb",`, 1)
	for name, raw := range map[string]string{
		"click":  strings.Replace(request("GET", "/c?t="+r.mint(nil), ""), "User-Agent: ", "User-Agent: bomb ", 1),
		"beacon": strings.Replace(request("POST", "/b", "s=pub-acme"), "User-Agent: ", "User-Agent: bomb ", 1),
		"batch":  request("POST", "/v1/clicks", bomb, "Authorization: Bearer "+acmeKey),
		"second in a pipeline": request("GET", "/b?s=pub-acme", "") +
			strings.Replace(request("GET", "/b?s=pub-acme", ""), "User-Agent: ", "User-Agent: bomb ", 1),
	} {
		c, err := r.dialSocket()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(c)
		a, err := readReply(br, false)
		if name == "second in a pipeline" && err == nil && a.status == http.StatusNoContent {
			a, err = readReply(br, false)
		}
		if err != nil || a.status != 500 || !a.closed || !strings.Contains(a.body, codeInternal) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
		if err := wantEnd(br); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		if a, err := r.exchange(request("GET", "/c?t="+r.mint(nil), "")); err != nil || a.status != 302 {
			t.Fatalf("after a panic in a %s: %+v, %v", name, a, err)
		}
	}
	if n := r.metric("panics_total"); n != 4 {
		t.Errorf("%v panics are counted, want 4", n)
	}
}
