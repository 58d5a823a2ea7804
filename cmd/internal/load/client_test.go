package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answering returns a dialer to servers that answer every request with the next
// text and then end the connection.
func answering(texts ...string) Dialer {
	return func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			r := bufio.NewReader(theirs)
			for _, text := range texts {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				for _, part := range strings.SplitAfter(text, "|") { // in several segments
					if _, err := io.WriteString(theirs, strings.TrimSuffix(part, "|")); err != nil {
						return
					}
				}
			}
		}()
		return ours, nil
	}
}

func TestClientReadsAnswers(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, tt := range map[string]struct {
		raw   string
		want  int
		body  string
		close bool
		err   error
	}{
		"204":                  {raw: "HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", want: 204},
		"302 in pieces":        {raw: "HTTP/1|.1 302 Found\r|\nContent-Length: 0\r\nLocation: x\r\n\r|\n", want: 302},
		"status alone":         {raw: "HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", want: 503},
		"length":               {raw: ok + "content-length:  5 \r\n\r\nhel|lo", want: 200, body: "hello"},
		"interim":              {raw: "HTTP/1.1 100 Continue\r\n\r\n|HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", want: 200, body: "x"},
		"close":                {raw: "HTTP/1.1 431 Big\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", want: 431, close: true},
		"HTTP/1.0":             {raw: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", want: 200, body: "x", close: true},
		"HTTP/1.0 kept":        {raw: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", want: 200, body: "x"},
		"until close":          {raw: ok + "\r\nhello", want: 200, body: "hello", close: true},
		"chunked":              {raw: ok + "Transfer-Encoding: chunked\r\n\r\n5|;x=y\r\nhel|lo\r\n1\r\n!\r|\n0\r\n\r\n", want: 200, body: "hello!"},
		"chunk without end":    {raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX", err: errProtocol},
		"chunk of no number":   {raw: ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", err: errProtocol},
		"chunk size endless":   {raw: ok + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 300), err: errProtocol},
		"ends in the chunks":   {raw: ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", err: errClosed},
		"ends in the head":     {raw: "HTTP/1.1 200 OK\r\nX", err: errClosed},
		"ends in the body":     {raw: ok + "Content-Length: 5\r\n\r\nhel", err: errClosed},
		"nothing":              {raw: "", err: errClosed},
		"more than asked for":  {raw: ok + "Content-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n", err: errProtocol},
		"body on 204":          {raw: "HTTP/1.1 204 No\r\nContent-Length: 1\r\n\r\nx", err: errProtocol},
		"two lengths":          {raw: ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", err: errProtocol},
		"length and chunks":    {raw: ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx", err: errProtocol},
		"unknown coding":       {raw: ok + "Transfer-Encoding: gzip\r\n\r\nx", err: errProtocol},
		"negative length":      {raw: ok + "Content-Length: -1\r\n\r\n", err: errProtocol},
		"header without colon": {raw: ok + "nonsense\r\n\r\n", err: errProtocol},
		"HTTP/2":               {raw: "HTTP/2.0 200 OK\r\n\r\n", err: errProtocol},
		"status 600":           {raw: "HTTP/1.1 600 X\r\n\r\n", err: errProtocol},
		"status 099":           {raw: "HTTP/1.1 099 X\r\n\r\n", err: errProtocol},
		"garbage":              {raw: "\x15\x03\x01\r\n\r\n", err: errProtocol},
		"head without end":     {raw: ok + strings.Repeat("A: b\r\n", 20_000), err: errProtocol},
	} {
		c := &client{dial: answering(tt.raw), timeout: time.Minute}
		if err := c.ready(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		a, err := c.do([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), time.Now())
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", name, err, tt.err)
			continue
		}
		if err == nil && (a.status != tt.want || string(a.body) != tt.body || a.close != tt.close) {
			t.Errorf("%s: %d %q, close %v", name, a.status, a.body, a.close)
		}
		if closed := c.conn == nil; closed != (tt.close || tt.err != nil) {
			t.Errorf("%s: the connection is closed: %v", name, closed)
		}
		c.shut()
	}
}

func TestClientGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		defer theirs.Close()
		c := &client{timeout: 3 * time.Second, dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }}
		if err := c.ready(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := c.do([]byte("GET / HTTP/1.1\r\n\r\n"), start); !errors.Is(err, errTimeout) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if c.conn != nil {
			t.Error("the connection is kept, and the late answer would be another request's")
		}
	})
}

// A connection that was idle for long is opened anew, because the server is about
// to close it.
func TestClientReplacesStaleConnections(t *testing.T) {
	t.Parallel()
	dials := 0
	dial := answering("HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n")
	c := &client{timeout: time.Minute, dial: func(ctx context.Context, n, a string) (net.Conn, error) { dials++; return dial(ctx, n, a) }}
	defer c.shut()
	now := time.Now()
	for i, want := range []int{1, 1, 2} {
		at := now.Add(time.Duration(i*i) * stale / 3)
		if err := c.ready(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if a, err := c.do([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), at); err != nil || a.status != 204 || dials != want {
			t.Errorf("request %d: %+v, %v, %d connections, want %d", i, a, err, dials, want)
		}
	}
}

// FuzzParseHead holds the parser against that of net/http: where both read an
// answer they read the same.
func FuzzParseHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx",
		"HTTP/1.1 100 Continue\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseHead(b)
		if n > len(b) || n > 0 && err != nil || n > 0 && (h.status < 100 || h.status > maxStatus || h.length < lengthClose || h.length > maxLength) {
			t.Fatalf("%+v, %d of %d bytes, %v", h, n, len(b), err)
		}
		if n == 0 {
			return
		}
		if short, m, err := parseHead(b[:n-1]); m != 0 || err != nil {
			t.Fatalf("without its last byte the head is %+v, %d, %v", short, m, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
		if err != nil {
			return
		}
		defer res.Body.Close()
		if res.StatusCode != h.status || h.length >= 0 && h.status >= 200 && res.ContentLength != int64(h.length) {
			t.Fatalf("read as %+v, by net/http as %d with %d bytes", h, res.StatusCode, res.ContentLength)
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add([]byte("5;x=y\r\nhello\r\n"))
	f.Add([]byte("0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if size, n, err := chunk(b); size < 0 || size > maxLength || n < 0 || n > len(b) || err != nil && n != 0 {
			t.Fatalf("%d, %d of %d, %v", size, n, len(b), err)
		}
	})
}
