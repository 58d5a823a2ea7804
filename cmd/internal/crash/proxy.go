package crash

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Wire is what a Proxy does with the bytes between two parties.
type Wire uint8

// Wires.
const (
	Open     Wire = iota // bytes pass
	Cut                  // connections end, new ones end at once
	Stall                // bytes wait, both ways, and pass later
	Mute                 // requests pass and answers do not; when it ends, so do the connections
	Slow                 // every piece of data waits for Proxy's delay
	Half                 // the server's side is gone and the client does not hear of it
	AtCommit             // of PostgreSQL: it is cut as a COMMIT passes, by turns before and behind it
)

var wireNames = [...]string{"open", "cut", "stall", "mute", "slow", "half-open", "cut at commit"}

// String returns the name that reports use.
func (w Wire) String() string {
	if int(w) >= len(wireNames) {
		return fmt.Sprintf("wire(%d)", uint8(w))
	}
	return wireNames[w]
}

// slowness is the delay of a Slow wire.
const slowness = 80 * time.Millisecond

// Proxy carries TCP connections to one address, and breaks them when told to. It is
// safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string

	mu      sync.Mutex
	changed *sync.Cond
	wire    Wire
	closed  bool
	links   map[*link]struct{}
	commits int // that were cut
	running sync.WaitGroup
}

// link is one connection with its other half.
type link struct {
	client, server net.Conn
	deaf           atomic.Bool // the client hears nothing more
}

// NewProxy listens on a free loopback port for connections to target, which need
// not be there yet.
func NewProxy(target string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy for %s: %w", target, err)
	}
	p := &Proxy{listener: ln, target: target, links: make(map[*link]struct{})}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

// Addr is where the proxy listens, host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Set changes what happens to the bytes of all connections from now on.
func (p *Proxy) Set(w Wire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := w == Cut || p.wire == Mute || p.wire == Half
	p.wire = w
	for l := range p.links {
		switch {
		case ends:
			l.close()
		case w == Half:
			_ = l.server.Close()
		}
	}
	p.changed.Broadcast()
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closed, p.wire = true, Cut
	for l := range p.links {
		l.close()
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	p.running.Wait()
	return err
}

func (l *link) close() {
	// With no linger the other end sees a reset, as of a machine that died.
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors, most likely
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	if !p.passes(func(w Wire) bool { return w != Stall }) {
		_ = client.Close()
		return
	}
	server, err := net.DialTimeout("tcp", p.target, 3*time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server}
	p.mu.Lock()
	if p.wire == Cut || p.closed {
		l.close()
	}
	p.links[l] = struct{}{}
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.carry(l, client, server, func(w Wire) bool { return w != Stall }) })
	both.Go(func() { p.carry(l, server, client, func(w Wire) bool { return w != Stall && w != Mute && w != Half }) })
	both.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.close()
}

// passes waits until the wire lets bytes through, and is false when it is cut.
func (p *Proxy) passes(through func(Wire) bool) bool {
	p.mu.Lock()
	for p.wire != Cut && !through(p.wire) {
		p.changed.Wait()
	}
	wire := p.wire
	p.mu.Unlock()
	if wire == Slow {
		time.Sleep(slowness)
	}
	return wire != Cut
}

// commit is how a driver of PostgreSQL says it.
var commit = []byte("commit\x00")

// commitTime is what a server has for a COMMIT whose answer nobody hears.
const commitTime = 50 * time.Millisecond

// cutCommit reports whether a COMMIT is the end of its connection; b, which holds it,
// gets to the server every other time.
func (p *Proxy) cutCommit(l *link, b []byte) bool {
	p.mu.Lock()
	cut, before := p.wire == AtCommit, p.commits%2 == 1
	if cut {
		p.commits++
	}
	p.mu.Unlock()
	if cut && !before {
		l.deaf.Store(true)
		_, _ = l.server.Write(b)
		time.Sleep(commitTime)
	}
	return cut
}

// Commits returns how many COMMITs were cut.
func (p *Proxy) Commits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commits
}

// carry copies one direction until either side ends. What ends one direction ends
// the other, except that a half-open client must not hear of it.
func (p *Proxy) carry(l *link, from, to net.Conn, through func(Wire) bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.passes(through) {
			break
		}
		if from == l.client && bytes.Contains(buf[:n], commit) && p.cutCommit(l, buf[:n]) || from == l.server && l.deaf.Load() {
			break
		}
		if n > 0 {
			if _, e := to.Write(buf[:n]); e != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	p.mu.Lock()
	for p.wire == Half && !p.closed {
		p.changed.Wait()
	}
	p.mu.Unlock()
	l.close()
}
