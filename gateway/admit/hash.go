package admit

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// hashSeed keys the hashes of this package, so that nobody outside can choose
// keys that meet.
type hashSeed [2]uint64

func newHashSeed(seed uint64) hashSeed {
	return hashSeed{mix(seed^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9), mix(seed^0x94d049bb133111eb, 0xd6e8feb86659fd93)}
}

// mix is a folded multiplication, as in wyhash (Wang Yi).
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (s hashSeed) words(a, b uint64) uint64 {
	return mix(mix(a^s[0], b^s[1])^s[0], s[1]|1)
}

func (s hashSeed) text(h uint64, t string) uint64 {
	n := uint64(len(t))
	for ; len(t) >= 8; t = t[8:] {
		h = s.words(h, le64(t))
	}
	var tail [8]byte
	copy(tail[:], t)
	return s.words(h^n, binary.LittleEndian.Uint64(tail[:]))
}

func (s hashSeed) pair(a, b string) uint64 { return s.text(s.text(0, a), b) }

// prefixes hashes the two prefixes of an address that are counted: of IPv4 /32 and /24,
// of IPv6 /64 and /48.
func (s hashSeed) prefixes(ip netip.Addr) (narrow, wide uint64) {
	if ip.Is4() {
		b := ip.As4()
		a := uint64(binary.BigEndian.Uint32(b[:]))
		return s.words(a, 32), s.words(a>>8, 24)
	}
	b := ip.As16()
	a := binary.BigEndian.Uint64(b[:8])
	return s.words(a, 64), s.words(a>>16, 48)
}

func le64(t string) uint64 {
	_ = t[7]
	return uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
		uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
}
