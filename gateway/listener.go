package gateway

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"clickgate/gateway/edge"

	"github.com/pires/go-proxyproto"
)

var errProxyVersion = errors.New("PROXY protocol v1 is not spoken here; use v2")

// proxyListener reads the PROXY v2 header of trusted peers' connections. As the
// specification demands it never guesses: a trusted peer must send the header,
// and what an untrusted peer sends is read as HTTP, which a PROXY header is not.
func proxyListener(ln net.Listener, trust *edge.Trust, timeout time.Duration) net.Listener {
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: timeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if trusts(trust, addrOf(o.Upstream)) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
		ValidateHeader: func(h *proxyproto.Header) error {
			if h.Version != 2 {
				return errProxyVersion
			}
			return nil
		},
	}
}

// trusts reports whether peer is a trusted proxy: only of those it is not known,
// without a header, who stands behind them.
func trusts(trust *edge.Trust, peer netip.Addr) bool {
	_, known := trust.Client(peer, nil)
	return peer.IsValid() && !known
}

// addrOf returns the address of a network peer, invalid when it has none.
func addrOf(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
