package hints

import (
	"net/netip"
	"testing"
	"time"

	"clickgate/gateway/admit"

	"github.com/alicebob/miniredis/v2"
)

const t0 = int64(1_795_000_000) * second

// pair are the addresses of two gateways and what they exchange.
type pair struct {
	t     *testing.T
	hints [2]*Hints
	addrs [2]*admit.Addresses
	now   int64
}

func newPair(t *testing.T, addr, prefix string) *pair {
	p := &pair{t: t, now: t0}
	cfg := admit.DefaultConfig()
	cfg.AddressRate, cfg.PrefixRate = 100, 400
	for i := range p.hints {
		p.hints[i] = open(t, addr, prefix)
		p.addrs[i] = admit.NewAddresses(&cfg, seed)
	}
	return p
}

// sending is how many requests of an address come to each gateway in a second.
type sending struct {
	ip netip.Addr
	n  [2]int
}

// second sends for one second, evenly spread, and then lets both gateways tell. It
// returns how many requests were over, by sending and gateway.
func (p *pair) second(all ...sending) (over [][2]int) {
	over = make([][2]int, len(all))
	for s, sent := range all {
		for i, a := range p.addrs {
			for k := range sent.n[i] {
				if a.Over(sent.ip, p.now+int64(k)*second/int64(sent.n[i])) {
					over[s][i]++
				}
			}
		}
	}
	p.now += second
	for i, h := range p.hints {
		h.tell(p.t.Context(), p.addrs[i], p.now+second/10)
	}
	return over
}

// seconds adds up what is over of the first sending.
func (p *pair) seconds(n int, all ...sending) (over [2]int) {
	for range n {
		o := p.second(all...)[0]
		over[0], over[1] = over[0]+o[0], over[1]+o[1]
	}
	return over
}

var (
	bad  = netip.MustParseAddr("203.0.113.9")
	good = netip.MustParseAddr("2001:db8::1")
)

// What one gateway lets pass is over the rate of two together: half of it is too
// much, and each gateway demotes its part. Without Redis each is alone again.
func TestRatesOfTheFleet(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, addr, prefix string) {
		p := newPair(t, addr, prefix)
		flood, friend := sending{bad, [2]int{90, 90}}, sending{good, [2]int{40, 40}}
		// Until both have told of a second.
		if over := p.seconds(2, flood, friend); over != [2]int{} {
			t.Fatalf("%v requests are over at gateways that have not heard of each other", over)
		}
		over := p.seconds(10, flood, friend)
		// Of 90 in a second each allows 50; a burst of a second's comes on top once.
		for i, n := range over {
			if n < 300 || n > 400 {
				t.Errorf("%d of 900 requests are over at gateway %d, want some 350", n, i)
			}
		}
		if over := p.seconds(10, friend, flood); over != [2]int{} {
			t.Errorf("%v requests of somebody under the rate are over", over)
		}
	})
}

// An uneven flood is cut where it is: each gateway keeps the part that it sends.
func TestSharesFollowTheFlood(t *testing.T) {
	t.Parallel()
	p := newPair(t, miniredis.RunT(t).Addr(), "uneven")
	flood := sending{bad, [2]int{95, 19}}
	p.seconds(3, flood)
	if n := p.hints[0].fleet.over.Load(); n != 1 {
		t.Errorf("%d keys are over, want the address alone", n)
	}
	// 83 and 16 of them are allowed in a second, and that burst on top once.
	over := p.seconds(10, flood)
	if over[0] < 30 || over[0] > 120 || over[1] < 8 || over[1] > 30 {
		t.Errorf("%v requests are over, want some 40 and 15", over)
	}
}

// The last word of a fleet that is silent holds for five seconds.
func TestSilentFleet(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	p := newPair(t, m.Addr(), "silent")
	flood := sending{bad, [2]int{90, 90}}
	p.seconds(4, flood)
	m.Close()
	if over := p.seconds(1, flood); over[0] < 15 || over[1] < 15 {
		t.Errorf("%v requests over in the first second without Redis", over)
	}
	p.seconds(6, flood)
	if over := p.seconds(1, flood); over != [2]int{} {
		t.Errorf("%v requests are still over", over)
	}
	if n := p.hints[0].fleet.over.Load(); n != 0 {
		t.Errorf("%d keys are over in a fleet that is silent", n)
	}
}

// Sets that hold something else are no harm.
func TestForeignMembers(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	h := open(t, m.Addr(), "foreign")
	for member, score := range map[string]float64{"short": 1e6, "12345678": 1e300, "abcdefgh": -5, "ABCDEFGH": 7} {
		if _, err := m.ZAdd(h.secondKey(41), score, member); err != nil {
			t.Fatal(err)
		}
	}
	all, err := h.sums(t.Context(), nil, 42)
	if err != nil || len(all) != 1 || all[0].Requests != 7 {
		t.Errorf("%v, %v", all, err)
	}
	if ttl := kept; ttl < 3*time.Second {
		t.Errorf("a second is kept for %v, and told over three", ttl)
	}
}

// A clock that is set back while Redis is away does not make the fleet's last word hold
// until the clock has caught up.
func TestSilentFleetAndAClockSetBack(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	p := newPair(t, m.Addr(), "back")
	p.seconds(4, sending{bad, [2]int{90, 90}})
	if n := p.hints[0].fleet.over.Load(); n != 1 {
		t.Fatalf("%d keys are over, want one", n)
	}
	m.Close()
	p.hints[0].tell(t.Context(), p.addrs[0], p.now-3600*second)
	if n := p.hints[0].fleet.over.Load(); n != 0 {
		t.Errorf("%d keys are over by the word of a fleet from the future", n)
	}
}
