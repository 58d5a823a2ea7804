package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// Params are the costs of an argon2id hash (RFC 9106).
type Params struct {
	Memory  uint32 // KiB
	Passes  uint32
	Threads uint8
}

// DefaultParams is the second recommended option of RFC 9106, section 4.
func DefaultParams() Params { return Params{Memory: 64 << 10, Passes: 3, Threads: 4} }

const (
	saltBytes = 16
	keyBytes  = 32
	// What a stored hash may ask for, so that a row in the store cannot take the
	// machine's memory.
	maxMemory  = 1 << 20 // KiB
	maxPasses  = 64
	maxThreads = 64
	maxBytes   = 64 // of salt and key
)

// Lengths of a password. NIST SP 800-63B-4, section 3.1.1.2, asks for 15
// characters where a password is the only factor, and for no other rules.
const (
	MinPassword = 15   // characters
	MaxPassword = 1024 // bytes
)

// ErrPassword says that a text is no password to keep.
var ErrPassword = fmt.Errorf("the password is too short or no text; use %d to %d characters, for example five words", MinPassword, MaxPassword/4)

// ErrBusy says that too many passwords are being checked.
var ErrBusy = errors.New("too many people sign in at this moment; try again in some seconds")

// Bounds of hashing: each takes Params.Memory.
const (
	hashesAtOnce  = 2
	hashesWaiting = 32
)

// Hasher makes and checks password hashes, a few at once. It is safe for
// concurrent use.
type Hasher struct {
	params  Params
	entropy io.Reader
	decoy   string        // hash of no password, for unknown users
	places  chan struct{} // those who hash
	queue   chan struct{} // those who hash or wait
}

// NewHasher returns a hasher that makes hashes with params.
func NewHasher(params Params, entropy io.Reader) *Hasher {
	h := &Hasher{params: params, entropy: entropy, places: make(chan struct{}, hashesAtOnce), queue: make(chan struct{}, hashesAtOnce+hashesWaiting)}
	h.decoy = hash{params: params, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}.String()
	return h
}

// CheckPassword returns ErrPassword for a password that is not to be kept.
func CheckPassword(password string) error {
	if len(password) > MaxPassword || !utf8.ValidString(password) || utf8.RuneCountInString(normal(password)) < MinPassword {
		return ErrPassword
	}
	return nil
}

// Hash returns the hash of a password in PHC string format
// ($argon2id$v=19$m=65536,t=3,p=4$salt$key).
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	x := hash{params: h.params, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	if _, err := io.ReadFull(h.entropy, x.salt); err != nil {
		return "", fmt.Errorf("password: cannot draw a salt: %w", err)
	}
	err := h.within(ctx, func() { x.key = x.derive(password) })
	return x.String(), err
}

// Verify reports whether a password is the one of a stored hash. An empty hash is
// an unknown user's: that is never right, and takes as long.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (bool, error) {
	known := stored != ""
	if !known {
		stored = h.decoy
	}
	x, err := parseHash(stored)
	if err != nil {
		return false, err
	}
	if len(password) > MaxPassword {
		password = "" // as long as any other; hashing more costs more
		known = false
	}
	var key []byte
	if err := h.within(ctx, func() { key = x.derive(password) }); err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(key, x.key) == 1 && known, nil
}

// within runs f when there is a place.
func (h *Hasher) within(ctx context.Context, f func()) error {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return ErrBusy
	}
	select {
	case h.places <- struct{}{}:
		defer func() { <-h.places }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f()
	return nil
}

// normal makes one text of what looks the same, as NIST SP 800-63B asks.
func normal(password string) string { return norm.NFKC.String(password) }

// hash is a parsed hash.
type hash struct {
	params    Params
	salt, key []byte
}

func (x hash) derive(password string) []byte {
	return argon2.IDKey([]byte(normal(password)), x.salt, x.params.Passes, x.params.Memory, x.params.Threads, uint32(len(x.key)))
}

func (x hash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, x.params.Memory, x.params.Passes, x.params.Threads, b64(x.salt), b64(x.key))
}

// errHash keeps what was stored out of the log.
var errHash = errors.New("the stored password hash cannot be read; set a new password with `clickgate user passwd`")

func parseHash(text string) (x hash, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return x, errHash
	}
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return x, errHash
	}
	var n [3]uint64
	for i, c := range [...]struct {
		name string
		most uint64
	}{{"m=", maxMemory}, {"t=", maxPasses}, {"p=", maxThreads}} {
		digits, ok := strings.CutPrefix(costs[i], c.name)
		n[i], err = strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n[i] < 1 || n[i] > c.most || strconv.FormatUint(n[i], 10) != digits {
			return x, errHash
		}
	}
	x.params = Params{Memory: uint32(n[0]), Passes: uint32(n[1]), Threads: uint8(n[2])}
	if x.salt, err = part(parts[4], 8); err != nil {
		return x, err
	}
	x.key, err = part(parts[5], 16)
	return x, err
}

// part decodes salt or key. The encoding has one form for each.
func part(text string, least int) ([]byte, error) {
	b, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < least || len(b) > maxBytes || base64.RawStdEncoding.EncodeToString(b) != text {
		return nil, errHash
	}
	return b, nil
}

// NewPassword draws a password of 26 letters and digits: 130 bits.
func NewPassword(entropy io.Reader) (string, error) {
	drawn := make([]byte, 17)
	if _, err := io.ReadFull(entropy, drawn); err != nil {
		return "", fmt.Errorf("password: cannot draw one: %w", err)
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(drawn))[:26], nil
}
