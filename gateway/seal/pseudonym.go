package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
	"unsafe"

	"clickgate/gateway/click"
)

// Epoch is the pseudonym epoch of an event at t, Unix microseconds: keys rotate
// when a UTC quarter begins, which is an hour's border, so that an entity stays
// whole inside every billing hour and across midnight.
func Epoch(t int64) uint32 {
	u := time.UnixMicro(t).UTC()
	return uint32(u.Year()*4 + int(u.Month()-1)/3)
}

// Pseudonymizer makes keyed pseudonyms (HMAC-SHA256 cut to 128 bits) per tenant
// and epoch. It is safe for concurrent use; steady state allocates nothing.
type Pseudonymizer struct {
	master *Master
	mu     sync.RWMutex
	keys   map[pseudonymID]*sync.Pool // of hash.Hash keyed for that tenant and epoch
}

type pseudonymID struct {
	tenant string
	epoch  uint32
}

// NewPseudonymizer derives its keys from master.
func NewPseudonymizer(master *Master) *Pseudonymizer {
	return &Pseudonymizer{master: master, keys: make(map[pseudonymID]*sync.Pool)}
}

// Address returns the pseudonym of an address; IPv6 counts by its /64, because
// one household has the whole of it.
func (p *Pseudonymizer) Address(tenant string, epoch uint32, ip netip.Addr) click.Key {
	b := ip.Unmap().As16()
	if !ip.Unmap().Is4() {
		clear(b[8:])
	}
	pool := p.pool(tenant, epoch)
	m := pool.Get().(*mac)
	defer pool.Put(m)
	m.in[0] = 'i'
	copy(m.in[1:], b[:])
	return m.sum(m.in[:], nil)
}

// Agent returns the pseudonym of a user agent.
func (p *Pseudonymizer) Agent(tenant string, epoch uint32, agent string) click.Key {
	pool := p.pool(tenant, epoch)
	m := pool.Get().(*mac)
	defer pool.Put(m)
	m.in[0] = 'a'
	return m.sum(m.in[:1], bytesOf(agent))
}

// mac is a keyed hash with room for its input and result, so that summing does
// not allocate.
type mac struct {
	hash.Hash
	in  [17]byte
	out [sha256.Size]byte
}

func (m *mac) sum(head, rest []byte) (k click.Key) {
	m.Reset()
	m.Write(head)
	m.Write(rest)
	copy(k[:], m.Sum(m.out[:0]))
	return k
}

func (p *Pseudonymizer) pool(tenant string, epoch uint32) *sync.Pool {
	p.mu.RLock()
	pool := p.keys[pseudonymID{tenant, epoch}]
	p.mu.RUnlock()
	if pool != nil {
		return pool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id := pseudonymID{strings.Clone(tenant), epoch}
	if pool := p.keys[id]; pool != nil {
		return pool
	}
	secret := p.master.derive("pseudonym", tenant, epoch)
	pool = &sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }}
	p.keys[id] = pool
	return pool
}

// derive makes a 32-byte key from the master secret (HKDF, RFC 5869).
func (m *Master) derive(purpose, tenant string, epoch uint32) []byte {
	info := purpose + "\x00" + tenant + "\x00" + strconv.FormatUint(uint64(epoch), 10)
	key, err := hkdf.Key(sha256.New, m.secret[:], nil, info, 32)
	if err != nil {
		// The length is fixed and below HKDF's limit, so this cannot happen.
		panic("seal: " + err.Error())
	}
	return key
}

// Prefix returns the prefix that tables may hold: /24 for IPv4, /48 for IPv6.
func Prefix(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// bytesOf views s as bytes that nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// Seed derives a secret 64-bit seed for a purpose, so that processes with one
// master key agree on it and senders cannot know it.
func (m *Master) Seed(purpose string) uint64 {
	return binary.LittleEndian.Uint64(m.derive("seed", purpose, 0))
}
