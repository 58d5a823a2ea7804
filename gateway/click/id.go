package click

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
)

// ID is a 128-bit identifier: UUIDv7 (RFC 9562), ULID or UUIDv5.
type ID [16]byte

// IsZero reports whether the id is absent.
func (id ID) IsZero() bool { return id == ID{} }

// String returns the canonical UUID form, also for ids that came as ULID.
func (id ID) String() string {
	var b [36]byte
	return string(id.appendTo(b[:0]))
}

// AppendText appends the canonical UUID form.
func (id ID) AppendText(dst []byte) []byte { return id.appendTo(dst) }

func (id ID) appendTo(dst []byte) []byte {
	for i, group := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, id[group[0]:group[1]])
	}
	return dst
}

// Time returns the Unix time in microseconds of a UUIDv7 or ULID, whose first 48
// bits are milliseconds.
func (id ID) Time() int64 {
	return int64(binary.BigEndian.Uint64(id[:8])>>16) * 1000
}

// ErrID says that a text is no sender id.
var ErrID = errors.New("id is neither a UUIDv7 (8-4-4-4-12 hex digits) nor a ULID (26 Crockford base32 digits)")

// ParseSenderID reads an id that a sender chose: UUIDv7 or ULID, because only
// those carry their own time, which the unique key needs.
func ParseSenderID(s string) (ID, error) {
	id, err := ParseID(s)
	if err != nil {
		return ID{}, err
	}
	if len(s) == 36 && (id[6]>>4 != 7 || id[8]>>6 != 2) {
		return ID{}, ErrID
	}
	return id, nil
}

// ParseID reads any UUID in canonical form, or a ULID.
func ParseID(s string) (ID, error) {
	switch len(s) {
	case 36:
		return parseUUID(s)
	case 26:
		return parseULID(s)
	}
	return ID{}, ErrID
}

func parseUUID(s string) (id ID, err error) {
	n := 0
	for i := 0; i < len(s); {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return ID{}, ErrID
			}
			i++
			continue
		}
		hi, lo := unhex(s[i]), unhex(s[i+1])
		if hi > 15 || lo > 15 {
			return ID{}, ErrID
		}
		id[n] = hi<<4 | lo
		n++
		i += 2
	}
	return id, nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// parseULID reads 26 base32 digits into 128 bits; the first digit holds only
// three bits (github.com/ulid/spec).
func parseULID(s string) (id ID, err error) {
	if s[0] > '7' {
		return ID{}, ErrID
	}
	var hi, lo uint64
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		d := strings.IndexByte(crockford, c)
		if d < 0 {
			return ID{}, ErrID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(d)
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, nil
}

// IDSource mints UUIDv7 ids. It is safe for concurrent use and allocates nothing.
type IDSource struct {
	mu  sync.Mutex
	rng *rand.ChaCha8
}

// NewIDSource seeds a source from entropy, 32 bytes of it.
func NewIDSource(entropy io.Reader) (*IDSource, error) {
	var seed [32]byte
	if _, err := io.ReadFull(entropy, seed[:]); err != nil {
		return nil, err
	}
	return &IDSource{rng: rand.NewChaCha8(seed)}, nil
}

// New mints the id of an event received at t, Unix microseconds.
func (s *IDSource) New(t int64) (id ID) {
	s.mu.Lock()
	a, b := s.rng.Uint64(), s.rng.Uint64()
	s.mu.Unlock()
	ms := uint64(t/1000) & (1<<48 - 1)
	binary.BigEndian.PutUint64(id[:8], ms<<16|7<<12|a&0xfff)
	binary.BigEndian.PutUint64(id[8:], 2<<62|b>>2)
	return id
}
