package edge

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func trust(t testing.TB, entries ...string) *Trust {
	t.Helper()
	tr, err := NewTrust(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func headers(values ...string) (out [][]byte) {
	for _, v := range values {
		out = append(out, []byte(v))
	}
	return out
}

func TestClientCase08(t *testing.T) {
	t.Parallel()
	tr := trust(t, "192.0.2.0/24", "2001:db8:ffff::/48")
	long := strings.Repeat("198.51.100.250, ", 299) + "203.0.113.9"
	const lb = "192.0.2.10"
	for _, tc := range []struct {
		name, peer string
		xff        [][]byte
		want       string
		known      bool
	}{
		{"1", lb, headers("203.0.113.9"), "203.0.113.9", true},
		{"2", lb, headers("198.51.100.250, 203.0.113.9, 192.0.2.44"), "203.0.113.9", true},
		{"3 peer not trusted", "198.51.100.7", headers("203.0.113.9"), "198.51.100.7", true},
		{"4 port", lb, headers("203.0.113.9:51820"), "203.0.113.9", true},
		{"5 brackets and port", lb, headers("[2001:db8::7]:443"), "2001:db8::7", true},
		{"brackets", lb, headers("[2001:db8::7]"), "2001:db8::7", true},
		{"6 bare IPv6", lb, headers("2001:db8:85a3:8d3:1319:8a2e:370:7348"), "2001:db8:85a3:8d3:1319:8a2e:370:7348", true},
		{"7 two headers", lb, headers("198.51.100.250", "203.0.113.9"), "203.0.113.9", true},
		{"two headers, second trusted", lb, headers("198.51.100.250, 203.0.113.9", "192.0.2.44"), "203.0.113.9", true},
		{"8 IPv4-mapped", lb, headers("::ffff:203.0.113.9"), "203.0.113.9", true},
		{"IPv4-mapped proxy", "::ffff:192.0.2.10", headers("203.0.113.9, ::ffff:192.0.2.44"), "203.0.113.9", true},
		{"9 unknown", lb, headers("203.0.113.9, unknown, 192.0.2.44"), "192.0.2.44", false},
		{"unknown in another header", lb, headers("203.0.113.9", "unknown"), lb, false},
		{"10 commas", lb, headers(" , ,"), lb, false},
		{"empty header", lb, headers(""), lb, false},
		{"empty header between", lb, headers("203.0.113.9", "", "192.0.2.44"), "192.0.2.44", false},
		{"11 300 entries", lb, headers(long), "203.0.113.9", true},
		{"no header", lb, nil, lb, false},
		{"no header, peer not trusted", "198.51.100.7", nil, "198.51.100.7", true},
		{"all trusted", lb, headers("192.0.2.5, 192.0.2.6", "192.0.2.7"), "192.0.2.5", true},
		{"IPv6 proxies", "2001:db8:ffff::1", headers("203.0.113.9,2001:db8:ffff::2"), "203.0.113.9", true},
		{"tabs", lb, headers("203.0.113.9\t,\t192.0.2.44 "), "203.0.113.9", true},
		{"zone", lb, headers("fe80::1%eth0"), lb, false},
		{"zone in brackets", lb, headers("[fe80::1%25eth0]:1"), lb, false},
		{"zone of the peer", "fe80::1%eth0", nil, "fe80::1", true},
		{"unspecified", lb, headers("0.0.0.0"), lb, false},
		{"multicast", lb, headers("ff02::1"), lb, false},
		{"leading zero", lb, headers("203.0.113.09"), lb, false},
		{"port too large", lb, headers("203.0.113.9:99999"), lb, false},
		{"port missing", lb, headers("203.0.113.9:"), lb, false},
		{"open bracket", lb, headers("[2001:db8::7"), lb, false},
		{"text after bracket", lb, headers("[2001:db8::7]x"), lb, false},
		{"IPv4 in brackets", lb, headers("[203.0.113.9]"), lb, false},
		{"obfuscated", lb, headers("_hidden"), lb, false},
		{"two addresses with a space", lb, headers("203.0.113.9 192.0.2.44"), lb, false},
		{"very long entry", lb, headers(strings.Repeat("1", 8000)), lb, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, known := tr.Client(netip.MustParseAddr(tc.peer), tc.xff)
			if got.String() != tc.want || known != tc.known {
				t.Errorf("%v, %v; want %s, %v", got, known, tc.want, tc.known)
			}
		})
	}
}

func TestTrustNobody(t *testing.T) {
	t.Parallel()
	for name, tr := range map[string]*Trust{"nil": nil, "zero": {}, "empty": trust(t)} {
		if got, known := tr.Client(netip.MustParseAddr("192.0.2.10"), headers("203.0.113.9")); got.String() != "192.0.2.10" || !known {
			t.Errorf("%s: %v, %v", name, got, known)
		}
		if got, known := tr.Client(netip.Addr{}, headers("203.0.113.9")); got.IsValid() || known {
			t.Errorf("%s: %v, %v without a peer", name, got, known)
		}
	}
}

func TestNewTrust(t *testing.T) {
	t.Parallel()
	tr := trust(t, "192.0.2.10", "::ffff:198.51.100.0/120", "192.0.2.77/30")
	for addr, want := range map[string]bool{"192.0.2.10": true, "192.0.2.11": false, "198.51.100.9": true, "192.0.2.76": true, "192.0.2.80": false} {
		if tr.contains(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: want %v", addr, want)
		}
	}
	for _, entry := range []string{"0.0.0.0/0", "::/0", "", "lb.example", "192.0.2.0/33", "::ffff:0:0/95", "fe80::1%eth0/64"} {
		if _, err := NewTrust([]string{entry}); err == nil || !strings.Contains(err.Error(), "trusted proxy") {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

// 1,000 spoofed left ends are one client.
func TestSpoofedLeftEndIsOneClient(t *testing.T) {
	t.Parallel()
	tr := trust(t, "192.0.2.0/24")
	seen := map[netip.Addr]int{}
	for i := range 1000 {
		addr, _ := tr.Client(netip.MustParseAddr("192.0.2.10"), headers(fmt.Sprintf("198.51.%d.%d, 203.0.113.9, 192.0.2.44", i/250, i%250)))
		seen[addr]++
	}
	if len(seen) != 1 || seen[netip.MustParseAddr("203.0.113.9")] != 1000 {
		t.Errorf("%d clients", len(seen))
	}
}

// slowClient states the rule of Client in the plainest way.
func slowClient(t *Trust, peer netip.Addr, xff [][]byte) (netip.Addr, bool) {
	addr, known := peer.Unmap().WithZone(""), false
	if !t.contains(addr) {
		return addr, addr.IsValid()
	}
	var entries []string
	for _, h := range xff {
		entries = append(entries, strings.Split(string(h), ",")...)
	}
	for len(entries) > 0 {
		hop := slowHop(strings.Trim(entries[len(entries)-1], " \t"))
		entries = entries[:len(entries)-1]
		if !hop.IsValid() || hop.Zone() != "" || hop.IsUnspecified() || hop.IsMulticast() {
			return addr, false
		}
		if addr, known = hop.Unmap(), true; !t.contains(addr) {
			break
		}
	}
	return addr, known
}

// slowHop accepts what netip reads as an address, a bracketed one or either with a port.
func slowHop(s string) netip.Addr {
	if a, err := netip.ParseAddr(s); err == nil {
		return a
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s += ":1"
	}
	host, port, ok := cutPort(s)
	if ap, err := netip.ParseAddrPort(s); ok && err == nil && port != "0" && !(port[0] == '0') && host != "" {
		return ap.Addr()
	}
	return netip.Addr{}
}

func cutPort(s string) (host, port string, ok bool) {
	n := strings.LastIndexByte(s, ':')
	if n < 0 || n+1 == len(s) {
		return "", "", false
	}
	return s[:n], s[n+1:], true
}

func FuzzClient(f *testing.F) {
	tr := trust(f, "192.0.2.0/24", "2001:db8:ffff::/48")
	for _, seed := range []string{
		"198.51.100.250, 203.0.113.9, 192.0.2.44", "[2001:db8::7]:443", "::ffff:203.0.113.9", "203.0.113.9, unknown, 192.0.2.44", " , ,", "fe80::1%eth0", "203.0.113.9:51820", "192.0.2.1,192.0.2.2", "",
	} {
		f.Add([]byte(seed), []byte("192.0.2.44"))
		f.Add([]byte("203.0.113.9"), []byte(seed))
	}
	peer := netip.MustParseAddr("192.0.2.10")
	f.Fuzz(func(t *testing.T, first, second []byte) {
		xff := [][]byte{first, second}
		got, known := tr.Client(peer, xff)
		if want, wantKnown := slowClient(tr, peer, xff); got != want || known != wantKnown {
			t.Fatalf("%q: %v, %v; want %v, %v", xff, got, known, want, wantKnown)
		}
		if got.Zone() != "" || got.Is4In6() || !got.IsValid() || !known && !tr.contains(got) {
			t.Fatalf("%q: %v, %v", xff, got, known)
		}
	})
}

// Whatever a client writes on the left changes nothing.
func TestLeftEndIsNeverRead(t *testing.T) {
	t.Parallel()
	tr := trust(t, "192.0.2.0/24")
	peer := netip.MustParseAddr("192.0.2.10")
	tried := 0
	rapid.Check(t, func(r *rapid.T) {
		left := rapid.SliceOf(rapid.Byte()).Draw(r, "left")
		for _, xff := range [][][]byte{{append(left, ",203.0.113.9, 192.0.2.44"...)}, {left, []byte("203.0.113.9"), []byte("192.0.2.44")}} {
			if got, known := tr.Client(peer, xff); got.String() != "203.0.113.9" || !known {
				r.Fatalf("%q: %v, %v", xff, got, known)
			}
		}
		tried++
	})
	if tried < 50 {
		t.Errorf("only %d headers tried", tried)
	}
}

// The worst header that a server lets in is read once.
func TestHostileHeaderIsLinear(t *testing.T) {
	t.Parallel()
	tr := trust(t, "192.0.2.0/24")
	xff := headers("203.0.113.9" + strings.Repeat(",192.0.2.1", 100_000))
	start := time.Now()
	got, known := tr.Client(netip.MustParseAddr("192.0.2.10"), xff)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a header of 1 MB took %v", took)
	}
	if got.String() != "203.0.113.9" || !known {
		t.Error(got, known)
	}
}

func TestClientAllocs(t *testing.T) {
	tr := trust(t, "192.0.2.0/24")
	peer := netip.MustParseAddr("192.0.2.10")
	for _, xff := range [][][]byte{
		headers("198.51.100.250, 203.0.113.9:51820, 192.0.2.44"), headers("[2001:db8::7]:443", "::ffff:192.0.2.44"), headers(strings.Repeat("192.0.2.1, ", 299) + "192.0.2.2"), nil,
	} {
		wantNoAllocs(t, func() {
			if addr, _ := tr.Client(peer, xff); !addr.IsValid() {
				t.Fatal(addr)
			}
		})
	}
}

func BenchmarkClient(b *testing.B) {
	tr := trust(b, "192.0.2.0/24", "2001:db8:ffff::/48")
	peer := netip.MustParseAddr("192.0.2.10")
	for name, xff := range map[string][][]byte{
		"three entries": headers("198.51.100.250, 203.0.113.9, 192.0.2.44"), "300 trusted": headers(strings.Repeat("192.0.2.1, ", 299) + "192.0.2.2"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tr.Client(peer, xff)
			}
		})
	}
}
