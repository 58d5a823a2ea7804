// Package seal protects personal data: it seals evidence and raw bytes at the
// gateway, and turns addresses and agents into keyed pseudonyms.
//
// A sealed blob is self-contained:
//
//	version 1 byte (1) | master key id 4 bytes big endian | wrapped data key 60 bytes | nonce 12 bytes | AES-256-GCM(plaintext) with tag
//
// The data key is drawn per tenant, UTC day and gateway boot, wrapped under the
// master key by AES-256-GCM (12-byte random nonce, 32-byte key, 16-byte tag),
// with the tenant as additional data. Nonces under a data key count up from one,
// so they never repeat. The additional data of the blob is tenant and record id,
// so that a blob cannot be moved to another row.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"clickgate/gateway/click"
)

const (
	version    = 1
	wrappedLen = 12 + 32 + 16
	headLen    = 1 + 4 + wrappedLen + 12
	tagLen     = 16

	// Overhead is how many bytes a blob is longer than its plaintext.
	Overhead = headLen + tagLen

	dayMicros = 24 * 3600 * 1e6
)

// Errors of Open.
var (
	ErrFormat    = errors.New("sealed blob is too short or of an unknown version")
	ErrMasterKey = errors.New("sealed blob names a master key that is not in the key file")
	ErrForged    = errors.New("sealed blob does not open: wrong tenant, wrong record, or damaged")
)

// Master is a master key. It wraps data keys and derives pseudonym keys.
type Master struct {
	id     uint32
	aead   cipher.AEAD
	secret [32]byte
}

// NewMaster prepares a 32-byte master key under a number that blobs name.
func NewMaster(id uint32, secret []byte) (*Master, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("master key %d has %d bytes; it needs 32", id, len(secret))
	}
	aead, err := newGCM(secret)
	if err != nil {
		return nil, err
	}
	m := &Master{id: id, aead: aead}
	copy(m.secret[:], secret)
	return m, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Sealer seals for one gateway boot. It is safe for concurrent use; steady state
// allocates nothing.
type Sealer struct {
	master  *Master
	entropy io.Reader

	mu   sync.Mutex
	keys map[string]*dataKey // by tenant: the current day's key

	scratch sync.Pool // of *[]byte
}

type dataKey struct {
	day     int64
	aead    cipher.AEAD
	wrapped [wrappedLen]byte
	nonce   uint64
}

// NewSealer returns a sealer that draws data keys from entropy.
func NewSealer(master *Master, entropy io.Reader) *Sealer {
	s := &Sealer{master: master, entropy: entropy, keys: make(map[string]*dataKey)}
	s.scratch.New = func() any { return new([]byte) }
	return s
}

// Seal appends the sealed form of plain, which belongs to record id of tenant
// and was received at t, Unix microseconds. plain must not overlap dst.
func (s *Sealer) Seal(dst []byte, tenant string, id click.ID, t int64, plain []byte) ([]byte, error) {
	key, nonce, err := s.next(tenant, t/dayMicros)
	if err != nil {
		return dst, err
	}
	dst = append(dst, version)
	dst = binary.BigEndian.AppendUint32(dst, s.master.id)
	dst = append(dst, key.wrapped[:]...)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint64(dst, nonce)
	ad := s.scratch.Get().(*[]byte)
	*ad = appendAD((*ad)[:0], tenant, id)
	dst = key.aead.Seal(dst, dst[at:at+12], plain, *ad)
	s.scratch.Put(ad)
	return dst, nil
}

func appendAD(dst []byte, tenant string, id click.ID) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	return append(dst, id[:]...)
}

// next returns the tenant's data key of the day and its next nonce.
func (s *Sealer) next(tenant string, day int64) (*dataKey, uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := s.keys[tenant]
	if key == nil || key.day < day {
		fresh, err := s.newDataKey(tenant, day)
		if err != nil {
			return nil, 0, err
		}
		key = fresh
		s.keys[strings.Clone(tenant)] = key
	}
	key.nonce++
	return key, key.nonce, nil
}

func (s *Sealer) newDataKey(tenant string, day int64) (*dataKey, error) {
	var secret [32]byte
	k := &dataKey{day: day}
	if _, err := io.ReadFull(s.entropy, secret[:]); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(s.entropy, k.wrapped[:12]); err != nil {
		return nil, err
	}
	s.master.aead.Seal(k.wrapped[:12], k.wrapped[:12], secret[:], []byte(tenant))
	aead, err := newGCM(secret[:])
	k.aead = aead
	return k, err
}

// Ring opens blobs under any of several master keys.
type Ring struct {
	masters map[uint32]*Master
}

// NewRing returns a ring of the given keys.
func NewRing(masters ...*Master) *Ring {
	r := &Ring{masters: make(map[uint32]*Master, len(masters))}
	for _, m := range masters {
		r.masters[m.id] = m
	}
	return r
}

// Open returns the plaintext of a blob that belongs to record id of tenant.
func (r *Ring) Open(tenant string, id click.ID, blob []byte) ([]byte, error) {
	if len(blob) < headLen+tagLen || blob[0] != version {
		return nil, ErrFormat
	}
	master := r.masters[binary.BigEndian.Uint32(blob[1:5])]
	if master == nil {
		return nil, ErrMasterKey
	}
	wrapped := blob[5 : 5+wrappedLen]
	secret, err := master.aead.Open(nil, wrapped[:12], wrapped[12:], []byte(tenant))
	if err != nil {
		return nil, ErrForged
	}
	aead, err := newGCM(secret)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, blob[headLen-12:headLen], blob[headLen:], appendAD(nil, tenant, id))
	if err != nil {
		return nil, ErrForged
	}
	return plain, nil
}
