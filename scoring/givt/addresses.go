package givt

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// flags is what the lists say about an address: list kinds in the low half, owners of published ranges in the high.
type flags uint32

const (
	inDataCentre flags = 1 << iota
	inRelay
	inVPN
	inTor
	isAccepted
	isRobot
	ownerShift = 16
)

// ownerBits numbers the owners of published crawler ranges.
type ownerBits struct{ names []string }

func (o *ownerBits) bit(name string) (uint16, error) {
	i := slices.Index(o.names, name)
	if i < 0 {
		if i = len(o.names); i == 16 {
			return 0, fmt.Errorf("owner %q is the 17th, at most 16 are kept", name)
		}
		o.names = append(o.names, name)
	}
	return 1 << i, nil
}

type flagged struct {
	prefix netip.Prefix
	flags  flags
}

// newAddresses builds one table in which the longest prefix of an address carries the flags of all its prefixes, so
// that one look-up answers for every list.
func newAddresses(entries []flagged) *bart.Table[flags] {
	slices.SortStableFunc(entries, func(a, b flagged) int { return cmp.Compare(a.prefix.Bits(), b.prefix.Bits()) })
	t := &bart.Table[flags]{}
	for _, e := range entries {
		wider, _ := t.LookupPrefix(e.prefix)
		t.Insert(e.prefix, wider|e.flags)
	}
	return t
}
