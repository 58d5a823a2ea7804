package fraudrange

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// Blocks of 240.0.0.0/4, which is reserved and belongs to nobody.
const (
	blockHomes   = 240 // and the five after it, an internet provider each
	blockMobile  = 246
	blockOffices = 247
	blockCampus  = 248
	blockHosting = 249 // rented machines that no list of data centres knows
	blockEvents  = 250
)

const providers = 6 // of home lines

func v4(block byte, host uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{block, byte(host >> 16), byte(host >> 8), byte(host)})
}

// v6 is an address in 3fff::/20: provider and 40 bits of network, then the device's
// half.
func v6(provider byte, network, device uint64) netip.Addr {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], network&(1<<40-1))
	a[0], a[1], a[2] = 0x3f, 0xff, provider&0x0f
	binary.BigEndian.PutUint64(a[8:], device)
	return netip.AddrFrom16(a)
}

// within draws an address of a published class.
func (n networks) within(r *rand.Rand, class string) netip.Addr {
	prefixes := n[class]
	return inside(r, prefixes[r.IntN(len(prefixes))])
}

func inside(r *rand.Rand, p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	host := binary.BigEndian.Uint32(a[:]) | r.Uint32()&(1<<(32-p.Bits())-1)
	binary.BigEndian.PutUint32(a[:], host)
	return netip.AddrFrom4(a)
}

// host is a rented machine of an attack: in a listed data centre or unlisted.
func (w *World) host(r *rand.Rand, listed float64) netip.Addr {
	if r.Float64() < listed {
		return w.networks.within(r, "datacentre")
	}
	return v4(blockHosting, r.Uint32N(1<<24))
}
