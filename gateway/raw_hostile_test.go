package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/rawlog"
)

// rawPost is a request to the batch listener.
func rawPost(name, headers, body string, status int, code string) hostile {
	return hostile{
		name: name, status: status, code: code,
		raw: "POST /v1/raw HTTP/1.1\r\n" + hostLine + "Authorization: Bearer access-key\r\n" + HeaderBatch + ": b\r\n" + headers + "\r\n" + body,
	}
}

func sized(body string) string { return fmt.Sprintf("Content-Length: %d\r\n", len(body)) }

func chunkedBody(body string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body) }

// hostileRaw is the batch listener's table. Its HTTP parser is net/http's, which
// answers in its own words what it cannot read.
func hostileRaw() []hostile {
	line := clf(0, "/c?cmp=cmp-1", "a")
	next := "POST /v1/raw HTTP/1.1\r\n" + hostLine + "Authorization: Bearer access-key\r\n" + HeaderBatch + ": b\r\n" + sized(line) + "\r\n" + line
	const chunked = "Transfer-Encoding: chunked\r\n"
	keep := func(h hostile, clicks int) hostile { h.stays, h.clicks = true, clicks; return h }
	recorded := func(h hostile, clicks int) hostile { h.clicks = clicks; return h }
	half := func(h hostile) hostile { h.half = true; return h }
	return []hostile{
		keep(rawPost("sound", sized(line), line, 200, ""), 1),
		keep(rawPost("sound and zipped", sized(string(zipped(line))), string(zipped(line)), 200, ""), 1),
		keep(rawPost("expected", "Expect: 100-continue\r\n"+sized(line), line, 200, ""), 1),
		recorded(rawPost("chunked", chunked, chunkedBody(line), 200, ""), 1),
		recorded(rawPost("chunk extension", chunked, fmt.Sprintf("%x;a=b\r\n%s\r\n0\r\n\r\n", len(line), line), 200, ""), 1),
		recorded(rawPost("trailer", chunked+"Trailer: X-A\r\n", fmt.Sprintf("%x\r\n%s\r\n0\r\nX-A: b\r\n\r\n", len(line), line), 200, ""), 1),
		recorded(rawPost("chunked, then a length that covers the next request", chunked+sized(chunkedBody(line)+next), chunkedBody(line)+next, 200, ""), 1),
		recorded(rawPost("a length that covers the next request, then chunked", sized(chunkedBody(line)+next)+chunked, chunkedBody(line)+next, 200, ""), 1),
		rawPost("two other lengths", sized(line)+"Content-Length: 0\r\n", line, 400, ""),
		rawPost("negative length", "Content-Length: -1\r\n", line, 400, ""),
		rawPost("signed length", "Content-Length: +5\r\n", line, 400, ""),
		rawPost("length of 2^64", "Content-Length: 18446744073709551616\r\n", line, 400, ""),
		rawPost("list of lengths", fmt.Sprintf("Content-Length: %d, %d\r\n", len(line), len(line)), line, 400, ""),
		rawPost("unknown coding", sized(line)+"Transfer-Encoding: xchunked\r\n", line, 501, ""),
		rawPost("gzip coding", "Transfer-Encoding: gzip, chunked\r\n", chunkedBody(line), 501, ""),
		rawPost("chunked twice", chunked+chunked, chunkedBody(line), 501, ""),
		rawPost("space before the coding's colon", sized(line)+"Transfer-Encoding : chunked\r\n", line, 400, ""),
		rawPost("broken chunk size", chunked, "zz\r\n"+line, 400, codeBodyEarly),
		rawPost("huge chunk size", chunked, "fffffffffffffffff\r\n"+line, 400, codeBodyEarly),
		rawPost("chunk without its end", chunked, "5\r\nabcdefgh\r\n0\r\n\r\n", 400, codeBodyEarly),
		half(rawPost("chunks without end", chunked, "5\r\nabcde\r\n", 400, codeBodyEarly)),
		half(rawPost("body that ends early", "Content-Length: 1000\r\n", line[:10], 400, codeBodyEarly)),
		rawPost("body over the limit that never comes", "Content-Length: 268435457\r\n", "", 413, codeTooLarge),
		rawPost("expected body over the limit", "Expect: 100-continue\r\nContent-Length: 268435457\r\n", "", 413, codeTooLarge),
		rawPost("gzip bomb", sized(bomb()), bomb(), 413, rawlog.CodeRatio),
		rawPost("gzip bomb in chunks", chunked, chunkedBody(bomb()), 413, rawlog.CodeRatio),
		rawPost("gzip cut short", sized(string(zipped(line)[:20])), string(zipped(line)[:20]), 400, ""),
		rawPost("header of 40 kB", "X: "+strings.Repeat("x", 40_000)+"\r\n", "", 431, ""),
		rawPost("10,000 headers", strings.Repeat("A: b\r\n", 10_000), "", 431, ""),
		rawPost("NUL in a header", "X: a\x00b\r\n", "", 400, ""),
		rawPost("header without colon", "nonsense\r\n", "", 400, ""),
		keep(rawPost("folded header, which RFC 9112 lets a server join", " folded\r\n"+sized(line), line, 200, ""), 1),
		{name: "no Host", raw: "POST /v1/raw HTTP/1.1\r\n\r\n", status: 400},
		{name: "two Hosts", raw: "POST /v1/raw HTTP/1.1\r\n" + hostLine + hostLine + "\r\n", status: 400},
		{name: "HTTP/1.2", raw: "POST /v1/raw HTTP/1.2\r\n" + hostLine + "\r\n", status: 505, code: codeVersion},
		{name: "HTTP/9.9", raw: "POST /v1/raw HTTP/9.9\r\n" + hostLine + "\r\n", status: 505},
		{name: "garbage", raw: "\x16\x03\x01\x02\x00\x01\r\n\r\n", status: 400},
		{name: "OPTIONS for all", raw: "OPTIONS * HTTP/1.1\r\n" + hostLine + "\r\n", status: 404, code: codePath, stays: true},
		{name: "other method", raw: "DELETE /v1/raw HTTP/1.1\r\n" + hostLine + "\r\n", status: 405, code: codeMethod, stays: true},
		{name: "other path", raw: "GET /c?t=x HTTP/1.1\r\n" + hostLine + "\r\n", status: 404, code: codePath, stays: true},
		{name: "encoded path", raw: "POST /v1/r%61w HTTP/1.1\r\n" + hostLine + "Content-Length: 0\r\n\r\n", status: 404, code: codePath, stays: true},
		{name: "broken percent in the path", raw: "POST /v1/%zz HTTP/1.1\r\n" + hostLine + "\r\n", status: 400},
		{name: "nothing", half: true},
	}
}

// bomb is a gzip member that unpacks to a thousand times its size.
var bomb = sync.OnceValue(func() string { return string(zipped(strings.Repeat("a", 12<<20))) })

// newRawSocketRig is a rig whose listeners are all sockets.
func newRawSocketRig(tb testing.TB, change func(*Config)) *rig {
	tb.Helper()
	return newSocketRig(tb, func(c *Config) {
		c.Batch.Listen = "127.0.0.1:0"
		if change != nil {
			change(c)
		}
	})
}

func TestHostileRawRequests(t *testing.T) {
	t.Parallel()
	r := newRawSocketRig(t, nil)
	rows := hostileRaw()
	if len(rows) < 40 {
		t.Fatalf("only %d rows", len(rows))
	}
	for i := range rows {
		h := &rows[i]
		if err := r.playRaw(h); err != nil {
			t.Errorf("%s: %v", h.name, err)
		}
		if clicks, _ := r.take(); len(clicks) != h.clicks {
			t.Errorf("%s: %d clicks are recorded, want %d", h.name, len(clicks), h.clicks)
		}
		good := rows[0]
		if err := r.playRaw(&good); err != nil {
			t.Fatalf("the next batch after %q: %v", h.name, err)
		}
		r.one()
	}
	if n := r.metric("panics_total"); n != 0 || r.logged.String() != "" {
		t.Errorf("%v panics; log: %s", n, r.logged)
	}
}

func (r *rig) playRaw(h *hostile) error {
	conn, err := net.Dial("tcp", r.srv.BatchAddr().String())
	if err != nil {
		return err
	}
	c := conn.(*net.TCPConn)
	defer c.Close()
	// A test whose answer never comes fails instead of hanging.
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	_, _ = io.WriteString(c, h.raw) // whoever refuses early may do so while we still write
	if h.half {
		if err := c.CloseWrite(); err != nil {
			return err
		}
	}
	br := bufio.NewReader(c)
	if h.status == 0 {
		return wantEnd(br)
	}
	a, err := finalReply(br)
	switch {
	case err != nil:
		return fmt.Errorf("no answer: %w", err)
	case a.status != h.status || !strings.Contains(a.body, h.code) || a.closed == h.stays:
		return fmt.Errorf("answer %+v, want %d %s", a, h.status, h.code)
	case !h.stays:
		return wantEnd(br)
	}
	if _, err := io.WriteString(c, "GET /x HTTP/1.1\r\n"+hostLine+"\r\n"); err != nil {
		return err
	}
	if next, err := readReply(br, false); err != nil || next.status != 404 {
		return fmt.Errorf("the next request of the connection: %+v, %w", next, err)
	}
	return nil
}

func TestRawPanicsStayInside(t *testing.T) {
	t.Parallel()
	r := newRawSocketRig(t, nil)
	r.scorer.set(func(_ *click.Click, s *click.Signals) {
		if s.UserAgent == "bomb" {
			panic("injected")
		}
	})
	for range 3 {
		body := clf(0, "/c?cmp=cmp-1", "bomb")
		h := rawPost("panic", sized(body), body, 500, codeInternal)
		if err := r.playRaw(&h); err != nil {
			t.Error(err)
		}
		good := hostileRaw()[0]
		if err := r.playRaw(&good); err != nil {
			t.Fatalf("after a panic: %v", err)
		}
	}
	if n := r.metric("panics_total"); n != 3 {
		t.Errorf("%v panics are counted, want 3", n)
	}
}
