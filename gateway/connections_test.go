package gateway

import (
	"bufio"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/token"
)

// dialFrom opens a connection to the click listener from an address of this machine.
func (r *rig) dialFrom(t *testing.T, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", r.srv.Addr().String())
	if err != nil {
		t.Skipf("this system does not let a connection begin at %s: %v", from, err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends raw and reads one answer.
func ask(t *testing.T, c net.Conn, raw string) reply {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	a, err := readReply(bufio.NewReader(c), false)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// One client has so many connections and no more; others, and proxies, who bring
// many clients, are not counted with it.
func TestConnectionsOfOneClient(t *testing.T) {
	t.Parallel()
	r := newSocketRig(t, func(c *Config) {
		c.Limits.MaxConnectionsPerIP = 3
		c.TrustedProxies = []string{"127.9.0.0/16"}
	})
	get := request("GET", "/b?s=pub-acme", "")
	full := func() reply {
		c := r.dialFrom(t, "127.0.0.1")
		a, err := readReply(bufio.NewReader(c), false) // before anything is sent
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var held []net.Conn
	for range 3 {
		c := r.dialFrom(t, "127.0.0.1")
		if a := ask(t, c, get); a.status != 204 {
			t.Fatalf("%+v", a)
		}
		held = append(held, c)
	}
	if a := full(); a.status != 429 || !a.closed || a.header.Get("Retry-After") == "" {
		t.Errorf("the fourth: %+v", a)
	}
	for range 10 {
		if a := ask(t, r.dialFrom(t, "127.9.0.1"), get); a.status != 204 {
			t.Errorf("a proxy: %+v", a)
		}
	}
	if a := ask(t, r.dialFrom(t, "127.0.0.2"), get); a.status != 204 {
		t.Errorf("another client: %+v", a)
	}
	if n := r.metric("connections_refused_total"); n != 1 {
		t.Errorf("%v refused connections are counted, want 1", n)
	}
	held[0].Close()
	waitFor(t, "a place is free again", func() bool {
		r.srv.door.mu.Lock()
		defer r.srv.door.mu.Unlock()
		return r.srv.door.clients[netip.MustParsePrefix("127.0.0.1/32")] == 2
	})
	if a := ask(t, r.dialFrom(t, "127.0.0.1"), get); a.status != 204 {
		t.Errorf("in a free place: %+v", a)
	}
}

// An IPv6 subscriber has a /64 and is one client; what a server behind a PROXY
// header calls its peer is not counted.
func TestClientsByPrefix(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Limits.MaxConnectionsPerIP = 2 })
	open := func(peer string) (held bool) {
		c, err := r.ln.dial(peer)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, request("GET", "/b?s=pub-acme", "")); err != nil {
			return false
		}
		a, err := readReply(bufio.NewReader(c), false)
		return err == nil && a.status == 204
	}
	for i, want := range []bool{true, true, false, false} {
		peer := []string{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::3", "2001:db8:1:2:a:b:c:d"}[i]
		if open(peer) != want {
			t.Errorf("connection %d of the prefix, %s: want %v", i+1, peer, want)
		}
	}
	for _, peer := range []string{"2001:db8:1:3::1", "::ffff:203.0.113.1", "203.0.113.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", ""} {
		if !open(peer) {
			t.Errorf("%q was refused", peer)
		}
	}
	if open("203.0.113.1") {
		t.Error("the same address in another form is another client")
	}
}

// pressed is a socket rig whose spool is as full as it is told.
type pressed struct {
	*rig
	spool atomic.Uint64 // bits of a float64
}

func newPressed(t *testing.T, change func(*Config)) *pressed {
	t.Helper()
	p := &pressed{rig: newIdleRig(t, func(c *Config) {
		c.Listen, c.AdminListen, c.Admission.Pause = "127.0.0.1:0", "127.0.0.1:0", 10*time.Second
		c.TrustedProxies = []string{"127.9.0.0/16"}
		if change != nil {
			change(c)
		}
	})}
	p.srv.dep.Signals = func() admit.Signals { return admit.Signals{Spool: math.Float64frombits(p.spool.Load())} }
	p.start()
	return p
}

func (p *pressed) fill(t *testing.T, share float64, lowest admit.Class) {
	t.Helper()
	p.spool.Store(math.Float64bits(share))
	waitFor(t, "the gate follows", func() bool {
		g := p.srv.admission.gate
		return g.LetsIn(lowest) && (lowest == admit.Bulk || !g.LetsIn(lowest+1))
	})
}

// While its class is shut out, the next request of a connection stays unread, and
// is served once the gate opens. A connection of paid clicks is always read.
func TestReadsOfLowClassesPause(t *testing.T) {
	t.Parallel()
	p := newPressed(t, nil)
	same := p.mint(nil)
	low, paid := p.dialFrom(t, "127.0.0.1"), p.dialFrom(t, "127.0.0.1")
	for range 2 { // the second is a used token
		if a := ask(t, low, request("GET", "/c?t="+same, "")); a.status != 302 {
			t.Fatalf("%+v", a)
		}
		if a := ask(t, paid, request("GET", "/c?t="+p.mint(nil), "")); a.status != 302 {
			t.Fatalf("%+v", a)
		}
	}
	p.fill(t, .93, admit.Organic)
	if _, err := io.WriteString(low, request("GET", "/c?t="+same, "")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the read is put off", func() bool { return p.metric("reads_paused_total") == 1 })
	for range 20 {
		if a := ask(t, paid, request("GET", "/c?t="+p.mint(nil), "")); a.status != 302 {
			t.Fatalf("%+v", a)
		}
	}
	if clicks, _ := p.take(); len(clicks) != 24 {
		t.Errorf("%d clicks are recorded while one waits outside, want 24", len(clicks))
	}
	p.fill(t, 0, admit.Bulk)
	if a, err := readReply(bufio.NewReader(low), false); err != nil || a.status != 302 {
		t.Fatalf("behind the pause: %+v, %v", a, err)
	}
	p.one()
	if n, lost := p.metric("reads_paused_total"), p.metric("unrecorded_total"); n != 1 || lost != 0 {
		t.Errorf("%v pauses, %v clicks unrecorded", n, lost)
	}
}

// Under pressure what is worth little gives its connection up; a proxy keeps its
// own, and so does who was refused because the room was full.
func TestRefusedConnections(t *testing.T) {
	t.Parallel()
	p := newPressed(t, nil)
	used := p.mint(func(tok *token.Token) { tok.PublisherID = "pub-2" })
	if a := ask(t, p.dialFrom(t, "127.0.0.1"), request("GET", "/c?t="+used, "")); a.status != 302 {
		t.Fatalf("%+v", a)
	}
	bulk := request("POST", "/v1/clicks", itemJSON(t0, 1, ""), "Authorization: Bearer "+acmeTestKey)
	long := request("POST", "/v1/clicks", strings.Repeat(itemJSON(t0, 1, "")+"\n", 100), "Authorization: Bearer "+acmeTestKey)
	organic := request("GET", "/b?s=pub-acme", "")
	p.fill(t, .93, admit.Organic)
	for _, row := range []struct {
		name, from, raw string
		status          int
		closed          bool
	}{
		{"bulk", "127.0.0.1", bulk, 503, true},
		{"bulk of a proxy", "127.9.0.1", bulk, 503, false},
		{"long bulk of a proxy", "127.9.0.1", long, 503, true},
		{"used token", "127.0.0.1", request("GET", "/c?t="+used, ""), 302, true},
		{"used token in a beacon", "127.0.0.1", request("GET", "/b?t="+used, ""), 503, true},
		{"organic", "127.0.0.1", organic, 204, false},
		{"paid", "127.0.0.1", request("GET", "/c?t="+p.mint(nil), ""), 302, false},
	} {
		c := p.dialFrom(t, row.from)
		if a := ask(t, c, row.raw); a.status != row.status || a.closed != row.closed {
			t.Errorf("%s: %+v, want %d, closed %v", row.name, a, row.status, row.closed)
		}
	}
	p.fill(t, .96, admit.Paid)
	if a := ask(t, p.dialFrom(t, "127.0.0.1"), organic); a.status != 503 || a.closed {
		t.Errorf("organic with paid clicks alone let in: %+v", a)
	}
	if a := ask(t, p.dialFrom(t, "127.0.0.1"), request("GET", "/c?t="+p.mint(nil), "")); a.status != 302 || a.closed {
		t.Errorf("paid: %+v", a)
	}
}

// Who was refused because the room was full is left unread until the gate calls it in.
func TestRefusedSenderWaitsOutside(t *testing.T) {
	t.Parallel()
	p := newPressed(t, func(c *Config) {
		c.Limits.MaxInFlight, c.Admission.StartLimit, c.Admission.MinLimit, c.Admission.Waiting = 1, 1, 1, 0
	})
	p.log.set(func(l *fakeLog) { l.hold = true })
	first := p.dialFrom(t, "127.0.0.1")
	if _, err := io.WriteString(first, request("GET", "/b?s=pub-acme", "")); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the only permit is out", func() bool { _, _, held := p.log.counts(); return held == 1 })
	c := p.dialFrom(t, "127.0.0.1")
	if a := ask(t, c, request("GET", "/b?s=pub-acme", "")); a.status != 503 || a.closed {
		t.Fatalf("%+v", a)
	}
	p.log.set(func(l *fakeLog) { l.hold = false })
	p.log.release(nil)
	if a := ask(t, c, request("GET", "/b?s=pub-acme", "")); a.status != 204 {
		t.Errorf("behind the pause: %+v", a)
	}
	if n := p.metric("reads_paused_total"); n != 1 {
		t.Errorf("%v pauses, want 1", n)
	}
}
