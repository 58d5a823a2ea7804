package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
)

// Target is a gateway's click listener.
type Target struct {
	URL     string // as it was named
	Host    string // of the Host header
	Address string // host:port that is dialled: an address that was checked
}

// Resolver finds the addresses of a host name; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// NewTarget reads an address such as http://127.0.0.1:8080. Without remote it
// refuses every host that is not this machine. The name is looked up once, so that
// what was checked is what is dialled.
func NewTarget(ctx context.Context, text string, remote bool, resolver Resolver) (*Target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("target %q: is no address of a click listener; write http://host:port", text)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	addresses, err := resolver.LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil || len(addresses) == 0 {
		return nil, fmt.Errorf("target %q: the host name has no address: %w", text, err)
	}
	for _, a := range addresses {
		if !remote && !a.Unmap().IsLoopback() {
			return nil, fmt.Errorf("target %q: %s is another machine; load on it needs its owner's word, and --remote here", text, a)
		}
	}
	return &Target{URL: text, Host: u.Host, Address: net.JoinHostPort(addresses[0].Unmap().String(), port)}, nil
}
