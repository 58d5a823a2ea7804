package click

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
)

// Bounds of a tenant's own lists.
const (
	maxOwnEntries = 1000 // of each kind
	minOwnAgent   = 3    // bytes; a shorter text would stand in half of all agents
	maxOwnAgent   = 256
	maxOwnText    = 8 << 10 // bytes of all texts of one kind, which bounds the table that finds them
	minOwnBits4   = 8
	minOwnBits6   = 16
)

// OwnLists are a tenant's own lists, which win over all others; accepted wins over invalid. It stands here because
// tenants are the gateway's and lists are scoring's, and neither imports the other. Immutable once it is in force.
type OwnLists struct {
	// Texts found anywhere in an agent, ASCII letters in any case.
	AcceptedAgents []string `yaml:"accepted_agents" json:"accepted_agents,omitempty"`
	InvalidAgents  []string `yaml:"invalid_agents" json:"invalid_agents,omitempty"`
	// Prefixes or addresses.
	AcceptedAddresses []string `yaml:"accepted_addresses" json:"accepted_addresses,omitempty"`
	InvalidAddresses  []string `yaml:"invalid_addresses" json:"invalid_addresses,omitempty"`

	once     sync.Once
	compiled any
}

// Compiled returns what compile makes of the lists, made once. All callers must mean the same by it.
func (o *OwnLists) Compiled(compile func(*OwnLists) any) any {
	o.once.Do(func() { o.compiled = compile(o) })
	return o.compiled
}

// Validate reports the first impossible entry, by key.
func (o *OwnLists) Validate() error {
	if len(o.AcceptedAgents)+len(o.InvalidAgents)+len(o.AcceptedAddresses)+len(o.InvalidAddresses) == 0 {
		return errors.New("is empty; leave it out, or name agents or addresses")
	}
	for _, l := range []struct {
		key     string
		entries []string
		check   func(string) error
	}{
		{"accepted_agents", o.AcceptedAgents, checkOwnAgent}, {"invalid_agents", o.InvalidAgents, checkOwnAgent},
		{"accepted_addresses", o.AcceptedAddresses, checkOwnAddress}, {"invalid_addresses", o.InvalidAddresses, checkOwnAddress},
	} {
		if len(l.entries) > maxOwnEntries {
			return fmt.Errorf("%s: %d entries, at most %d; use a folder of lists for more", l.key, len(l.entries), maxOwnEntries)
		}
		bytes := 0
		for i, e := range l.entries {
			if err := l.check(e); err != nil {
				return fmt.Errorf("%s[%d]: %w", l.key, i, err)
			}
			bytes += len(e)
		}
		if bytes > maxOwnText && strings.HasSuffix(l.key, "_agents") {
			return fmt.Errorf("%s: hold %d bytes, at most %d; use a folder of lists for more", l.key, bytes, maxOwnText)
		}
	}
	return nil
}

func checkOwnAgent(text string) error {
	if len(text) < minOwnAgent || len(text) > maxOwnAgent || strings.TrimSpace(text) != text {
		return fmt.Errorf("%q: is no text of %d to %d bytes without spaces around it", text, minOwnAgent, maxOwnAgent)
	}
	return nil
}

func checkOwnAddress(text string) error {
	p, err := ParseOwnAddress(text)
	if err != nil {
		return err
	}
	if p.Addr().Is4() && p.Bits() < minOwnBits4 || p.Addr().Is6() && p.Bits() < minOwnBits6 {
		return fmt.Errorf("%q: is wider than /%d (IPv4) or /%d (IPv6), which takes in half the world", text, minOwnBits4, minOwnBits6)
	}
	return nil
}

// ParseOwnAddress reads a prefix or an address.
func ParseOwnAddress(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() || p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q: is no address, and no prefix whose bits past its length are 0", text)
	}
	return p, nil
}
