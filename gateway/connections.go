package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/edge"

	"github.com/pires/go-proxyproto"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// door is a listener that knows its connections: it bounds those of one client,
// does not read what would be refused, and ends them in time at a stop.
type door struct {
	net.Listener
	trust *edge.Trust
	most  int // connections of one client address (IPv6: one /64); 0: no bound
	gate  *admit.Gate
	pause time.Duration // longest time in which a connection is not read

	refused, paused prometheus.Counter
	lingering       chan struct{} // one for each connection that waits for its client to go
	stopping        chan struct{} // closed by stop
	ends            atomic.Int64  // no read goes on behind it, Unix nanoseconds; 0: not stopping
	endsWrites      atomic.Int64  // the same of writes

	mu      sync.Mutex
	clients map[netip.Prefix]int
	conns   map[*conn]struct{}
}

// conn is a connection of a door. Fields without an atomic belong to the goroutine
// that serves it.
type conn struct {
	net.Conn
	door    *door
	client  netip.Prefix // invalid: of a proxy, or of nobody; not counted
	trusted bool         // of a proxy: others' requests come on it as well
	closed  atomic.Bool
	linger  atomic.Bool // an answer was given although the client may still be sending

	class  admit.Class // of the last request
	turned bool        // which was refused for load
	gated  bool        // it was no paid one, so the next one may wait outside
}

// maxLingering is how many connections may wait for their clients to go; more are
// just closed.
const maxLingering = 256

func (s *Server) newDoor(ln net.Listener) *door {
	return &door{
		Listener: ln, trust: s.trust, most: s.cfg.Limits.MaxConnectionsPerIP, gate: s.admission.gate, pause: min(s.cfg.Admission.Pause, s.cfg.Timeouts.Idle/2),
		refused: s.metrics.connectionsRefused, paused: s.metrics.readsPaused,
		lingering: make(chan struct{}, maxLingering), stopping: make(chan struct{}),
		clients: map[netip.Prefix]int{}, conns: map[*conn]struct{}{},
	}
}

// Accept implements net.Listener. It returns no connection of a client that has
// as many as it may.
func (d *door) Accept() (net.Conn, error) {
	for {
		inner, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner, door: d}
		peer := peerOf(inner)
		if c.trusted = trusts(d.trust, peer); !c.trusted && peer.IsValid() {
			c.client = clientPrefix(peer)
		}
		if d.enter(c) {
			return c, nil
		}
		d.refused.Inc()
		_, _ = io.WriteString(inner, answerTooMany) // it fits the empty buffer of a new socket
		_ = inner.Close()                           // there is nobody to tell
	}
}

const answerTooMany = "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: 1\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n"

// peerOf is the network peer; a PROXY header, which may not have come yet, is not
// waited for.
func peerOf(c net.Conn) netip.Addr {
	if p, ok := c.(*proxyproto.Conn); ok {
		return addrOf(p.Raw().RemoteAddr())
	}
	return addrOf(c.RemoteAddr())
}

// clientPrefix is what counts as one client: IPv4 by address, IPv6 by /64, which
// is what one subscriber has.
func clientPrefix(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.WithZone("").Prefix(bits) // bits fit
	return p
}

func (d *door) enter(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.client.IsValid() {
		if d.most > 0 && d.clients[c.client] >= d.most {
			return false
		}
		d.clients[c.client]++
	}
	d.conns[c] = struct{}{}
	return true
}

func (d *door) leave(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.conns, c)
	if !c.client.IsValid() {
		return
	}
	if d.clients[c.client]--; d.clients[c.client] == 0 {
		delete(d.clients, c.client)
	}
}

// stop lets no read go on past reads, and no write past writes.
func (d *door) stop(reads, writes time.Time) {
	d.endsWrites.Store(writes.UnixNano())
	if d.ends.Swap(reads.UnixNano()) == 0 {
		close(d.stopping)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		_ = c.Conn.SetReadDeadline(reads) // one that has ended needs none
		_ = c.Conn.SetWriteDeadline(writes)
	}
}

// Read implements net.Conn. It leaves a request that would most likely be refused
// where it is: there it costs nothing, and a full socket is the one refusal that
// also slows its sender. Who was refused is not read at all for a while. Whose class
// is shut out may have been waited for since before that; then the first bytes are
// here, and nobody looks at them. Connections of proxies are always read, because
// paid clicks come on them too.
func (c *conn) Read(b []byte) (int, error) {
	if !c.gated {
		return c.Conn.Read(b)
	}
	c.gated = false
	if c.turned {
		c.door.hold(c)
		return c.Conn.Read(b)
	}
	n, err := c.Conn.Read(b)
	if n > 0 && !c.door.gate.LetsIn(c.class) {
		c.door.hold(c)
	}
	return n, err
}

// hold waits until the gate calls the connection in, within bounds.
func (d *door) hold(c *conn) {
	d.paused.Inc()
	d.gate.WaitOutside(c.class, d.pause, d.stopping)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.set(c.Conn.SetReadDeadline, t, &c.door.ends)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.set(c.Conn.SetWriteDeadline, t, &c.door.endsWrites)
}

// set looks at the end behind setting t, so that of it and stop, whoever comes
// second sets the end.
func (c *conn) set(deadline func(time.Time) error, t time.Time, ends *atomic.Int64) error {
	err := deadline(t)
	if end := ends.Load(); err == nil && end != 0 && (t.IsZero() || t.UnixNano() > end) {
		return deadline(time.Unix(0, end))
	}
	return err
}

// Bounds of waiting for a client that may still be sending.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 1 << 20
)

// Close implements net.Conn. A socket that is closed with unread bytes resets the
// connection, and the reset may overtake the answer (RFC 9112 section 9.6): so
// whoever was answered early is let to finish, within bounds.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return c.Conn.Close()
	}
	defer c.door.leave(c)
	if c.linger.Load() {
		select {
		case c.door.lingering <- struct{}{}:
			c.drain()
			<-c.door.lingering
		default:
		}
	}
	return c.Conn.Close()
}

// CloseWrite ends this side of the connection, as net/http's server does before it
// waits for its client to go.
func (c *conn) CloseWrite() error {
	inner := c.Conn
	if p, ok := inner.(*proxyproto.Conn); ok {
		inner = p.Raw()
	}
	if half, ok := inner.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (c *conn) drain() {
	if c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // until the client goes, or has had its time
	}
}

// connOf returns the door's connection that a request came on, nil for servers of
// one's own.
func connOf(ctx *fasthttp.RequestCtx) *conn {
	c, _ := ctx.Conn().(*conn)
	return c
}

// closeEarly ends the connection behind an answer that was given before all of the
// request was read, or that ends the trust in what follows.
func closeEarly(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c := connOf(ctx); c != nil {
		c.linger.Store(true)
	}
}

// note remembers what the last request of the connection was worth.
func (c *conn) note(class admit.Class, turned bool) {
	if c != nil && !c.trusted {
		c.class, c.turned, c.gated = class, turned, class != admit.Paid
	}
}
