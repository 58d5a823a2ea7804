package edge

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"
)

// Trust is the set of proxies whose X-Forwarded-For entries are believed. The
// zero value and nil trust nobody. It is immutable.
type Trust struct{ proxies bart.Lite }

// NewTrust builds a set from addresses and CIDR prefixes. The whole address
// space is refused: it would let every client write its own address.
func NewTrust(entries []string) (*Trust, error) {
	t := new(Trust)
	for _, entry := range entries {
		p, err := parsePrefix(entry)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy %q: %w; write an address or a prefix such as 192.0.2.0/24", entry, err)
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("trusted proxy %q: the whole address space cannot be trusted; name the proxies", entry)
		}
		t.proxies.Insert(p)
	}
	return t, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return netip.Prefix{}, err
		}
		addr = addr.Unmap()
		return addr.Prefix(addr.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("an IPv4-mapped prefix has at least 96 bits")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func (t *Trust) contains(addr netip.Addr) bool { return t != nil && t.proxies.Contains(addr) }

// Client returns the address of the client behind peer, unmapped and without a
// zone. xff holds the values of all X-Forwarded-For headers in their order; the
// entries are read from the right, and the first that is no trusted proxy is
// the client, because everything to the left of it is the client's own writing.
//
//   - A peer that is not trusted is the client; its headers are not read.
//   - An entry that is no address (empty, "unknown", an unspecified or multicast
//     address, one with a zone) ends the search: the answer is the proxy that
//     reported it, and known is false.
//   - If all entries are trusted proxies, the left-most is the client, known.
//   - A trusted peer without any entry is answered itself, and known is false.
//   - An invalid peer (a Unix socket) is answered as it is, and known is false.
//
// Entries may carry a port; IPv6 may stand in brackets. The work is linear in
// the bytes read. Nothing is allocated, save for one entry that is no address.
func (t *Trust) Client(peer netip.Addr, xff [][]byte) (addr netip.Addr, known bool) {
	addr = peer.Unmap().WithZone("")
	if !addr.IsValid() || !t.contains(addr) {
		return addr, addr.IsValid()
	}
	for i := len(xff) - 1; i >= 0; i-- {
		for rest, more := xff[i], true; more; {
			var entry []byte
			rest, entry, more = cutLast(rest)
			hop := parseHop(entry)
			if !hop.IsValid() {
				return addr, false
			}
			addr, known = hop, true
			if !t.contains(hop) {
				return addr, true
			}
		}
	}
	return addr, known
}

// cutLast splits off what follows the last comma.
func cutLast(list []byte) (rest, last []byte, more bool) {
	if n := bytes.LastIndexByte(list, ','); n >= 0 {
		return list[:n], list[n+1:], true
	}
	return nil, list, false
}

const maxHopBytes = len("[0000:0000:0000:0000:0000:ffff:255.255.255.255]:65535")

// parseHop reads one entry: an address, with or without brackets and port. The
// answer is the zero Addr if there is none.
func parseHop(entry []byte) netip.Addr {
	s := alias(bytes.Trim(entry, " \t"))
	if s == "" || len(s) > maxHopBytes || strings.IndexByte(s, '%') >= 0 {
		return netip.Addr{}
	}
	bracketed := s[0] == '['
	if bracketed {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && !validPort(s[end+1:]) {
			return netip.Addr{}
		}
		s = s[1:end]
	} else if n := strings.IndexByte(s, ':'); n >= 0 && strings.IndexByte(s[n+1:], ':') < 0 {
		if !validPort(s[n:]) { // one colon only: IPv4 with a port
			return netip.Addr{}
		}
		s = s[:n]
	}
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || bracketed && !addr.Is6() {
		return netip.Addr{}
	}
	return addr.Unmap()
}
