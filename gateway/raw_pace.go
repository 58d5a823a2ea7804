package gateway

import (
	"io"
	"net/http"
	"time"
)

// pacedBody cuts off a sender that holds one of the few places of the batch
// listener and hardly sends: each paceBytes must arrive within stall. Only waiting
// counts, not the time in which nobody reads.
type pacedBody struct {
	body  io.Reader
	conn  *http.ResponseController
	stall time.Duration
	until time.Time // the end of the whole request's time

	left   int           // bytes of the piece that have not come
	waited time.Duration // for it
}

const paceBytes = 16 << 10

// Read implements io.Reader; who is too slow gets a timeout.
func (p *pacedBody) Read(b []byte) (int, error) {
	if p.left <= 0 {
		p.left, p.waited = paceBytes, 0
	}
	begun := time.Now()
	deadline := begun.Add(p.stall - p.waited)
	if deadline.After(p.until) {
		deadline = p.until
	}
	_ = p.conn.SetReadDeadline(deadline) // what has none, as in tests, is not slow
	n, err := p.body.Read(b)
	p.left -= n
	p.waited += time.Since(begun)
	if err == io.EOF { // what is read next on the connection is not the body
		_ = p.conn.SetReadDeadline(p.until)
	}
	return n, err
}
