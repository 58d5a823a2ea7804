// Package token seals and opens click tokens: what an ad server hands out with
// an ad, so that the click that comes back carries tenant, opportunity, ad
// hierarchy, landing and price without leaking or trusting any of them.
//
// Envelope (docs/token.md), base64url without padding of
//
//	version 1 byte (1) | key id 4 bytes big endian | nonce 12 bytes | AES-256-GCM(plaintext) with tag
//
// where the first 17 bytes are the additional data and the plaintext is the
// protobuf message Token of click.proto. Nonces are random, so by NIST SP
// 800-38D section 8.3 one key mints at most 2^32 tokens: rotate before that.
package token

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
)

const (
	version   = 1
	headLen   = 1 + 4 + 12
	tagLen    = 16
	maxSealed = 4096 // bytes of base64 accepted; an URL longer than this is no click URL
)

// Lifetime is how long a token bills after it was issued.
const Lifetime = 24 * time.Hour

// RetiredFor is how long a retired key still opens tokens, for late logs.
const RetiredFor = 30 * 24 * time.Hour

// Token is the plaintext of a click token. Strings of an opened token alias the
// buffer that was passed to Open.
type Token struct {
	TenantID      string
	ClickID       click.ID
	IssuedAt      int64 // Unix microseconds
	ExpiresAt     int64 // Unix microseconds
	AdvertiserID  string
	CampaignID    string
	AdGroupID     string
	CreativeID    string
	PublisherID   string
	PlacementID   string
	LandingURL    string
	LandingSHA256 [32]byte // instead of LandingURL
	PriceMicros   int64
	Currency      string
	Pricing       click.Pricing
	Test          bool
}

// ExpiredAt reports whether the token no longer bills a click at t, Unix
// microseconds.
func (t *Token) ExpiredAt(at int64) bool { return at > t.ExpiresAt }

// Reasons a token does not open. The answer to the client is the same for all.
var (
	ErrFormat     = errors.New("token is not base64url of a version 1 envelope")
	ErrUnknownKey = errors.New("token names a key id that no tenant has, or one retired for more than 30 days")
	ErrForged     = errors.New("token does not open under the key it names")
	ErrContent    = errors.New("token opens but its content is not a valid token")
)

// Key is one tenant's token key, ready for use by many goroutines.
type Key struct {
	ID       uint32
	TenantID string
	Retired  time.Time // zero while live; opens until Retired + RetiredFor
	aead     cipher.AEAD
}

// NewKey prepares a 32-byte key.
func NewKey(id uint32, tenantID string, secret []byte, retired time.Time) (*Key, error) {
	if len(secret) != 32 {
		return nil, fmt.Errorf("token key %d of tenant %q has %d bytes; AES-256 needs 32", id, tenantID, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &Key{ID: id, TenantID: tenantID, Retired: retired, aead: aead}, nil
}

// Keyring finds a key by its id. It is called on the hot path and must not
// allocate; nil means unknown.
type Keyring interface {
	TokenKey(id uint32) *Key
}

// Seal returns the token text. Nonces come from entropy.
func (k *Key) Seal(t *Token, entropy io.Reader) (string, error) {
	text, _, err := k.AppendSeal(nil, t, entropy, make([]byte, 0, headLen+512))
	return string(text), err
}

// AppendSeal appends the token text to dst, using buf (whose capacity is reused)
// for the envelope; it returns both. Whoever mints without end allocates nothing
// once the two have grown.
func (k *Key) AppendSeal(dst []byte, t *Token, entropy io.Reader, buf []byte) (text, grown []byte, err error) {
	if t.TenantID != k.TenantID {
		return dst, buf, fmt.Errorf("token of tenant %q cannot be sealed with a key of tenant %q", t.TenantID, k.TenantID)
	}
	if err := check(t); err != nil {
		return dst, buf, err
	}
	var head [headLen]byte
	head[0] = version
	binary.BigEndian.PutUint32(head[1:], k.ID)
	buf = append(buf[:0], head[:]...)
	if _, err := io.ReadFull(entropy, buf[5:headLen]); err != nil {
		return dst, buf, err
	}
	buf = appendToken(buf, t)
	buf = k.aead.Seal(buf[:headLen], buf[5:headLen], buf[headLen:], buf[:headLen]) // in place
	if n := base64.RawURLEncoding.EncodedLen(len(buf)); n > maxSealed {
		return dst, buf, fmt.Errorf("token of %d characters is longer than %d; use the landing URL's hash instead of the URL", n, maxSealed)
	}
	return base64.RawURLEncoding.AppendEncode(dst, buf), buf, nil
}

// Open opens text into t, using buf (whose capacity is reused) for the
// plaintext; it returns the grown buffer, which t's strings alias. now decides
// whether a retired key still opens. It allocates nothing when buf is large
// enough.
func Open(text string, ring Keyring, now time.Time, t *Token, buf []byte) ([]byte, error) {
	n := base64.RawURLEncoding.DecodedLen(len(text))
	if len(text) > maxSealed || n < headLen+tagLen {
		return buf, ErrFormat
	}
	if cap(buf) < n {
		buf = make([]byte, 0, n+256)
	}
	buf = buf[:n]
	if _, err := base64.RawURLEncoding.Strict().Decode(buf, bytesOf(text)); err != nil || buf[0] != version {
		return buf, ErrFormat
	}
	key := ring.TokenKey(binary.BigEndian.Uint32(buf[1:5]))
	if key == nil || (!key.Retired.IsZero() && now.Sub(key.Retired) > RetiredFor) {
		return buf, ErrUnknownKey
	}
	plain, err := key.aead.Open(buf[headLen:headLen], buf[5:headLen], buf[headLen:], buf[:headLen])
	if err != nil {
		return buf, ErrForged
	}
	if err := decodeToken(plain, t); err != nil || t.TenantID != key.TenantID {
		return buf, ErrContent
	}
	return buf, check(t)
}

func check(t *Token) error {
	switch {
	case t.TenantID == "" || t.ClickID.IsZero():
		return fmt.Errorf("%w: tenant_id or click_id is missing", ErrContent)
	case t.ExpiresAt < t.IssuedAt || t.IssuedAt <= 0 || t.ExpiresAt-t.IssuedAt > Lifetime.Microseconds():
		return fmt.Errorf("%w: it must expire within 24 h of its issue", ErrContent)
	case t.PriceMicros < 0 || (t.PriceMicros > 0 && len(t.Currency) != 3):
		return fmt.Errorf("%w: price without currency, or negative", ErrContent)
	case t.PriceMicros > click.MaxPriceMicros:
		return fmt.Errorf("%w: price of %d micros is above %d, one million units", ErrContent, t.PriceMicros, int64(click.MaxPriceMicros))
	case t.Pricing > click.PricingFlat:
		return fmt.Errorf("%w: unknown pricing model", ErrContent)
	}
	return checkTexts(t)
}

// checkTexts holds the sealed ids to the rules of all other ways in: what a
// database would refuse must not come in behind a valid seal.
func checkTexts(t *Token) error {
	for _, id := range [...]struct{ name, value string }{
		{"advertiser_id", t.AdvertiserID}, {"campaign_id", t.CampaignID}, {"ad_group_id", t.AdGroupID},
		{"creative_id", t.CreativeID}, {"publisher_id", t.PublisherID},
	} {
		if id.value == "" {
			continue
		}
		if err := edge.CheckID(id.name, id.value); err != nil {
			return fmt.Errorf("%w: %w", ErrContent, err)
		}
	}
	if err := edge.CheckText("placement_id", t.PlacementID, edge.MaxIDBytes); err != nil {
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	if t.Currency != "" {
		if err := edge.CheckCurrency("currency", t.Currency); err != nil {
			return fmt.Errorf("%w: %w", ErrContent, err)
		}
	}
	return nil
}
