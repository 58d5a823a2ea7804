package load

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"time"
)

// Dialer opens connections; a *net.Dialer's DialContext is one.
type Dialer func(ctx context.Context, network, address string) (net.Conn, error)

// stale is how long a connection may be idle before it is opened anew: well within
// a gateway's own patience (60 s), so that no click meets a connection that is
// just being closed.
const stale = 20 * time.Second

const maxHead = 64 << 10 // bytes of status line and headers

// client is one HTTP/1.1 connection that is kept open, with one request at a time.
// Unlike general clients it has no headers to offer, follows nothing and repeats
// nothing: what happened to a request is what the caller wants to know. It serves
// one goroutine and allocates nothing once its buffers have grown.
type client struct {
	dial    Dialer
	address string
	timeout time.Duration // of a request, connecting included

	conn net.Conn // nil while closed
	used time.Time
	in   []byte // what has come: [0, len)
	body []byte
}

// answer is what came back. body is good until the next call.
type answer struct {
	status int
	close  bool // the server ends the connection
	body   []byte
}

// Errors of a request, the kinds that reports tell apart.
var (
	errDial    = errors.New("no connection")
	errClosed  = errors.New("the connection ended before the answer")
	errTimeout = errors.New("no answer in time")
)

// ready opens the connection where there is none, or one that was idle for long.
func (c *client) ready(ctx context.Context, now time.Time) error {
	if c.conn != nil && now.Sub(c.used) < stale {
		return nil
	}
	c.shut()
	ctx, cancel := context.WithDeadline(ctx, now.Add(c.timeout))
	defer cancel()
	conn, err := c.dial(ctx, "tcp", c.address)
	if err != nil {
		return errDial
	}
	c.conn, c.used = conn, now
	return nil
}

// shut ends the connection.
func (c *client) shut() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is under way on it
		c.conn = nil
	}
}

// do sends a request and reads its answer. After an error, or where the server
// says so, the connection is closed.
func (c *client) do(request []byte, now time.Time) (answer, error) {
	c.used = now
	a, err := c.exchange(request, now.Add(c.timeout))
	if err != nil || a.close {
		c.shut()
	}
	return a, err
}

func (c *client) exchange(request []byte, deadline time.Time) (answer, error) {
	if err := c.conn.SetDeadline(deadline); err != nil {
		return answer{}, errClosed
	}
	// A server that refuses early answers and closes while the request is still
	// being written, so a failed write says nothing yet.
	_, writeErr := c.conn.Write(request)
	c.in = c.in[:0]
	h, n, err := c.readHead()
	if err != nil {
		return answer{}, err
	}
	if bytes.HasPrefix(request, []byte("HEAD ")) {
		h.length = 0 // whatever its headers say (RFC 9110 section 9.3.2)
	}
	rest, err := c.readBody(&h, n)
	if err != nil {
		return answer{}, err
	}
	if rest > 0 && !h.close {
		return answer{}, errProtocol // nobody asked for more
	}
	return answer{status: h.status, close: h.close || writeErr != nil, body: c.body}, nil
}

// readHead reads up to the end of a final answer's head.
func (c *client) readHead() (head, int, error) {
	start := 0
	for {
		h, n, err := parseHead(c.in[start:])
		switch {
		case err != nil:
			return head{}, 0, err
		case n > 0 && h.status >= 200:
			return h, start + n, nil
		case n > 0:
			start += n // an interim answer
			continue
		case len(c.in) >= maxHead:
			return head{}, 0, errProtocol
		}
		if err := c.fill(); err != nil {
			return head{}, 0, err
		}
	}
}

// readBody reads the body, which begins at n, into c.body. It returns how much more
// than that came.
func (c *client) readBody(h *head, n int) (rest int, err error) {
	c.body = c.body[:0]
	switch h.length {
	case lengthChunked:
		return c.readChunks(n)
	case lengthClose:
		return 0, c.readRest(n)
	}
	for len(c.in) < n+h.length {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	c.body = append(c.body, c.in[n:n+h.length]...)
	return len(c.in) - n - h.length, nil
}

func (c *client) readRest(n int) error {
	for len(c.in)-n <= maxLength {
		err := c.fill()
		if err == errClosed { //nolint:errorlint // fill returns these very values
			c.body = append(c.body, c.in[n:]...)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errProtocol
}

func (c *client) readChunks(n int) (rest int, err error) {
	for len(c.body) <= maxLength {
		size, line, err := chunk(c.in[n:])
		if err != nil {
			return 0, err
		}
		// A chunk and the CRLF behind it; the last one has no trailers here.
		if line == 0 || len(c.in) < n+line+size+2 {
			if err := c.fill(); err != nil {
				return 0, err
			}
			continue
		}
		n += line
		c.body = append(c.body, c.in[n:n+size]...)
		if n += size + 2; string(c.in[n-2:n]) != "\r\n" {
			return 0, errProtocol
		}
		if size == 0 {
			return len(c.in) - n, nil
		}
	}
	return 0, errProtocol
}

// fill reads what has come.
func (c *client) fill() error {
	c.in = slices.Grow(c.in, 4096)
	n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 || err == nil {
		return nil // an error comes again with the next read
	}
	return kindOf(err)
}

// kindOf tells a timeout from an end.
func kindOf(err error) error {
	if isTimeout(err) {
		return errTimeout
	}
	return errClosed
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
