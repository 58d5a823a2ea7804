package givt

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
	"github.com/gaissmai/bart"
)

// Own are a tenant's own lists, compiled. Immutable, safe for concurrent use.
type Own struct {
	accepted, invalid *agents
	addresses         *bart.Table[flags]
	hash              uint64
}

// OwnOf compiles valid lists, once.
func OwnOf(lists *click.OwnLists) *Own {
	return lists.Compiled(func(l *click.OwnLists) any { return newOwn(l) }).(*Own)
}

func newOwn(l *click.OwnLists) *Own {
	o := &Own{accepted: texts(l.AcceptedAgents), invalid: texts(l.InvalidAgents)}
	var entries []flagged
	for _, list := range []struct {
		texts []string
		flag  flags
	}{{l.AcceptedAddresses, isAccepted}, {l.InvalidAddresses, isRobot}} {
		for _, text := range list.texts {
			if p, err := click.ParseOwnAddress(text); err == nil { // Validate has seen to it
				entries = append(entries, flagged{p, list.flag})
			}
		}
	}
	o.addresses = newAddresses(entries)
	d := xxhash.New()
	for _, list := range [][]string{l.AcceptedAgents, l.InvalidAgents, l.AcceptedAddresses, l.InvalidAddresses} {
		fmt.Fprintf(d, "%q\n", list)
	}
	o.hash = d.Sum64()
	return o
}

// texts compiles plain texts; nil for none.
func texts(list []string) *agents {
	patterns := make([]Pattern, 0, len(list))
	for _, text := range slices.Compact(slices.Sorted(slices.Values(list))) {
		patterns = append(patterns, Pattern{Text: text, plain: true})
	}
	a, err := newAgents(patterns, nil)
	if err != nil || len(patterns) == 0 {
		return nil // no text of a tenant makes an automaton too large
	}
	return a
}

// Hash joins the hash of the lists of all tenants with the tenant's own: xxHash64 over both, little endian.
func (o *Own) Hash(lists uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], lists)
	binary.LittleEndian.PutUint64(b[8:], o.hash)
	return xxhash.Sum64(b[:])
}

// Apply lets the tenant's lists win over what the others said. It allocates nothing.
func (o *Own) Apply(m *Match, agent string, ip netip.Addr) {
	if agent = trim(agent); m.Agent != NoAgent {
		class, said := None, o.accepted != nil && o.accepted.holds(agent)
		if !said && o.invalid != nil && o.invalid.holds(agent) {
			class, said = Listed, true
		}
		if said {
			m.Agent, m.Pattern, m.InApp, m.Verified, m.Spoofed = class, -1, false, false, false
		}
	}
	if !ip.IsValid() {
		return
	}
	f, _ := o.addresses.Lookup(ip.Unmap().WithZone(""))
	m.Accepted = m.Accepted && f&isRobot == 0 || f&isAccepted != 0
	m.Robot = m.Robot || f&isRobot != 0
}
