package token

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/click/clickpb"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
)

var issued = time.Date(2026, 11, 10, 12, 0, 0, 0, time.UTC)

type ring map[uint32]*Key

func (r ring) TokenKey(id uint32) *Key { return r[id] }

func newKey(t testing.TB, id uint32, tenant string, retired time.Time) *Key {
	t.Helper()
	k, err := NewKey(id, tenant, bytes.Repeat([]byte{byte(id)}, 32), retired)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample() *Token {
	return &Token{
		TenantID: "demo", ClickID: click.ID{1, 2, 3}, IssuedAt: issued.UnixMicro(),
		ExpiresAt: issued.Add(Lifetime).UnixMicro(), AdvertiserID: "acme", CampaignID: "spring",
		AdGroupID: "g", CreativeID: "c", PublisherID: "news.example", PlacementID: "top",
		LandingURL: "https://shop.example/?a=b", PriceMicros: 250_000, Currency: "EUR",
		Pricing: click.PricingCPC, Test: true,
	}
}

func seal(t testing.TB, k *Key, tok *Token) string {
	t.Helper()
	text, err := k.Seal(tok, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSealOpen(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1, "demo", time.Time{})
	want := sample()
	text := seal(t, k, want)
	var got Token
	if _, err := Open(text, ring{1: k}, issued, &got, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Fatal(diff)
	}
	hashed := sample()
	hashed.LandingURL, hashed.LandingSHA256 = "", [32]byte{7}
	if _, err := Open(seal(t, k, hashed), ring{1: k}, issued, &got, nil); err != nil || got.LandingSHA256 != hashed.LandingSHA256 {
		t.Fatalf("hash of the landing came back as %x, %v", got.LandingSHA256, err)
	}
	if other := seal(t, k, want); other == text {
		t.Error("two tokens have the same nonce")
	}
}

// Tokens made one after the other in the same buffers open like others, and what
// stands before them stays.
func TestAppendSeal(t *testing.T) {
	t.Parallel()
	k, want := newKey(t, 1, "demo", time.Time{}), sample()
	var text, buf []byte
	for i := range 100 {
		want.PlacementID = strings.Repeat("p", i)
		var err error
		if text, buf, err = k.AppendSeal(append(text[:0], "/c?t="...), want, rand.Reader, buf); err != nil {
			t.Fatal(err)
		}
		sealed, ok := strings.CutPrefix(string(text), "/c?t=")
		var got Token
		if _, err := Open(sealed, ring{1: k}, issued, &got, nil); !ok || err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, &got); diff != "" {
			t.Fatal(diff)
		}
	}
	want.TenantID = "other"
	if out, _, err := k.AppendSeal([]byte("kept"), want, rand.Reader, buf); err == nil || string(out) != "kept" {
		t.Errorf("another tenant's token: %q, %v", out, err)
	}
}

func TestAppendSealAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	k, tok, random := newKey(t, 1, "demo", time.Time{}), sample(), mathrand.NewChaCha8([32]byte{1})
	var text, buf []byte
	if n := testing.AllocsPerRun(100, func() { text, buf, _ = k.AppendSeal(text[:0], tok, random, buf) }); n != 0 || len(text) == 0 {
		t.Errorf("%v allocations for a token of %d characters", n, len(text))
	}
}

// Ad servers mint with any protobuf library: what generated code writes opens.
func TestOpensWhatProtobufWrites(t *testing.T) {
	t.Parallel()
	k, want := newKey(t, 1, "demo", time.Time{}), sample()
	plain, err := proto.Marshal(&clickpb.Token{
		TenantId: want.TenantID, ClickId: want.ClickID[:], IssuedAt: want.IssuedAt, ExpiresAt: want.ExpiresAt,
		AdvertiserId: want.AdvertiserID, CampaignId: want.CampaignID, AdGroupId: want.AdGroupID,
		CreativeId: want.CreativeID, PublisherId: want.PublisherID, PlacementId: want.PlacementID,
		LandingUrl: want.LandingURL, PriceMicros: want.PriceMicros, Currency: want.Currency,
		Pricing: clickpb.Pricing(want.Pricing), Test: want.Test,
	})
	if err != nil {
		t.Fatal(err)
	}
	head := append([]byte{1, 0, 0, 0, 1}, bytes.Repeat([]byte{9}, 12)...)
	text := base64.RawURLEncoding.EncodeToString(k.aead.Seal(head[:17:17], head[5:17], plain, head[:17]))
	var got Token
	if _, err := Open(text, ring{1: k}, issued, &got, nil); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Fatal(diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	k, other := newKey(t, 1, "demo", time.Time{}), newKey(t, 2, "other", time.Time{})
	retired := newKey(t, 3, "demo", issued.Add(-RetiredFor))
	keys := ring{1: k, 2: other, 3: retired}
	good := seal(t, k, sample())
	flip := func(i int) string { // change one character to another of the alphabet
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		return good[:i] + string(c) + good[i+1:]
	}
	foreign := sample() // a tenant's key cannot speak for another tenant
	foreign.TenantID = "other"
	fake := *k
	fake.TenantID = "other"
	dear := sample()
	dear.PriceMicros = click.MaxPriceMicros + 1
	for name, tc := range map[string]struct {
		text string
		at   time.Time
		want error
	}{
		"good":                  {good, issued, nil},
		"price above the limit": {sealUnchecked(t, k, dear), issued, ErrContent},
		"empty":                 {"", issued, ErrFormat},
		"cut":                   {good[:20], issued, ErrFormat},
		"padded":                {good + "==", issued, ErrFormat},
		"standard alphabet":     {"+" + good[1:], issued, ErrFormat},
		"version":               {"B" + good[1:], issued, ErrFormat},
		"too long":              {strings.Repeat("A", 5000), issued, ErrFormat},
		"key id":                {flip(4), issued, ErrUnknownKey},
		"nonce":                 {flip(12), issued, ErrForged},
		"ciphertext":            {flip(60), issued, ErrForged},
		"tag":                   {flip(len(good) - 4), issued, ErrForged},
		"tenant of another key": {seal(t, &fake, foreign), issued, ErrContent},
		"retired in time":       {seal(t, retired, sample()), issued, nil},
		"retired too long":      {seal(t, retired, sample()), issued.Add(time.Second), ErrUnknownKey},
	} {
		var tok Token
		if _, err := Open(tc.text, keys, tc.at, &tok, nil); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1, "demo", time.Time{})
	for name, change := range map[string]func(*Token){
		"another tenant":         func(t *Token) { t.TenantID = "other" },
		"no click id":            func(t *Token) { t.ClickID = click.ID{} },
		"expires before issue":   func(t *Token) { t.ExpiresAt = t.IssuedAt - 1 },
		"lives too long":         func(t *Token) { t.ExpiresAt++ },
		"negative price":         func(t *Token) { t.PriceMicros = -1 },
		"price without currency": func(t *Token) { t.Currency = "" },
		"price above the limit":  func(t *Token) { t.PriceMicros = click.MaxPriceMicros + 1 },
		"pricing":                func(t *Token) { t.Pricing = 9 },
		"campaign too long":      func(t *Token) { t.CampaignID = strings.Repeat("c", 129) },
		"publisher with a space": func(t *Token) { t.PublisherID = "news example" },
		"invalid UTF-8":          func(t *Token) { t.AdvertiserID = "ac\xC3\x28me" },
		"placement with NUL":     func(t *Token) { t.PlacementID = "top\x00" },
		"currency":               func(t *Token) { t.Currency = "EUX" },
		"landing too long":       func(t *Token) { t.LandingURL = strings.Repeat("x", 4000) },
	} {
		tok := sample()
		change(tok)
		if _, err := k.Seal(tok, rand.Reader); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
	dearest := sample()
	dearest.PriceMicros = click.MaxPriceMicros
	if _, err := k.Seal(dearest, rand.Reader); err != nil {
		t.Errorf("the greatest price: %v", err)
	}
	if _, err := NewKey(1, "demo", make([]byte, 16), time.Time{}); err == nil {
		t.Error("a key of 16 bytes was taken")
	}
}

// An ad server with the key but with mistakes: what it seals opens and is refused.
func TestOpenRefusesBadIDs(t *testing.T) {
	t.Parallel()
	k := newKey(t, 1, "demo", time.Time{})
	for name, change := range map[string]func(*Token){
		"long":          func(t *Token) { t.CampaignID = strings.Repeat("c", 300) },
		"invalid UTF-8": func(t *Token) { t.PlacementID = "\xff" },
	} {
		tok := sample()
		change(tok)
		head := append([]byte{1, 0, 0, 0, 1}, bytes.Repeat([]byte{9}, 12)...)
		text := base64.RawURLEncoding.EncodeToString(k.aead.Seal(head[:17:17], head[5:17], appendToken(nil, tok), head[:17]))
		var got Token
		if _, err := Open(text, ring{1: k}, issued, &got, nil); !errors.Is(err, ErrContent) {
			t.Errorf("%s: got %v, want ErrContent", name, err)
		}
	}
}

// The vector of docs/token.md, for those who write a minting library.
func TestDocumentedVector(t *testing.T) {
	t.Parallel()
	secret, nonce := make([]byte, 32), make([]byte, 12)
	for i := range secret {
		secret[i] = byte(i)
	}
	for i := range nonce {
		nonce[i] = 0x40 + byte(i)
	}
	k, err := NewKey(7, "demo", secret, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	tok := &Token{
		TenantID: "demo", ClickID: click.ID{0x01, 0x98, 0xf2, 0xa4, 0x5c, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 0x2a},
		IssuedAt: 1767225600000000, ExpiresAt: 1767312000000000,
		AdvertiserID: "acme", CampaignID: "acme-spring", AdGroupID: "shoes", CreativeID: "banner-7",
		PublisherID: "news.example", PlacementID: "top", LandingURL: "https://shop.example/shoes?id=7",
		PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC, Test: true,
	}
	const want = "AQAAAAdAQUJDREVGR0hJSkvovcpGS1OVE8xc5ZLHZGNb-cZSXLc1Dwlvx85kJpcESpsoc2wAJhm_sPcha_Busr_5estSXqLPevFovWpA0C2z" +
		"jHyw2UbWScs5rwb3u0-2ZCAdJbgFD2zuGqZJWkkDUDrHqWWC_HQXs3I9usjfpIIi7cc8g9vzF1Kk1tqBG5crp4o0BlWnPguEti6K0L3fas8YrSIelsXv8nESdp7FUA60"
	if got, err := k.Seal(tok, bytes.NewReader(nonce)); err != nil || got != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	tok := sample()
	if tok.ExpiredAt(tok.ExpiresAt) || !tok.ExpiredAt(tok.ExpiresAt+1) {
		t.Error("the token must bill up to and with its last microsecond")
	}
}

// sealUnchecked seals what another program with the key could seal.
func sealUnchecked(t testing.TB, k *Key, tok *Token) string {
	t.Helper()
	b := make([]byte, headLen)
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], k.ID)
	return base64.RawURLEncoding.EncodeToString(k.aead.Seal(b, b[5:headLen], appendToken(nil, tok), b[:headLen]))
}

func FuzzOpen(f *testing.F) {
	k := newKey(f, 1, "demo", time.Time{})
	f.Add(seal(f, k, sample()))
	f.Add("AQAAAAE")
	f.Fuzz(func(t *testing.T, text string) {
		var tok Token
		if _, err := Open(text, ring{1: k}, issued, &tok, nil); err == nil && tok.TenantID != "demo" {
			t.Fatalf("opened for tenant %q", tok.TenantID)
		}
	})
}

// FuzzContent feeds the plaintext decoder what an ad server with the key, but
// with mistakes, could seal.
func FuzzContent(f *testing.F) {
	f.Add(appendToken(nil, sample()))
	f.Fuzz(func(t *testing.T, b []byte) {
		var tok Token
		if decodeToken(b, &tok) != nil {
			return
		}
		var again Token
		if err := decodeToken(appendToken(nil, &tok), &again); err != nil || tok != again {
			t.Fatalf("%+v came back as %+v, %v", tok, again, err)
		}
	})
}

func TestOpenAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	k := newKey(t, 1, "demo", time.Time{})
	text, keys := seal(t, k, sample()), Keyring(ring{1: k})
	buf, tok := make([]byte, 0, 1024), Token{}
	if n := testing.AllocsPerRun(100, func() {
		var err error
		if buf, err = Open(text, keys, issued, &tok, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("opening allocates %v times", n)
	}
}

func BenchmarkOpen(b *testing.B) {
	k := newKey(b, 1, "demo", time.Time{})
	text, keys := seal(b, k, sample()), Keyring(ring{1: k})
	buf, tok := make([]byte, 0, 1024), Token{}
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = Open(text, keys, issued, &tok, buf); err != nil {
			b.Fatal(err)
		}
	}
}
