package token

import (
	"unsafe"

	"clickgate/gateway/click"

	"google.golang.org/protobuf/encoding/protowire"
)

func appendToken(b []byte, t *Token) []byte {
	text := func(num protowire.Number, s string) {
		if s != "" {
			b = protowire.AppendTag(b, num, protowire.BytesType)
			b = protowire.AppendString(b, s)
		}
	}
	number := func(num protowire.Number, v uint64) {
		if v != 0 {
			b = protowire.AppendTag(b, num, protowire.VarintType)
			b = protowire.AppendVarint(b, v)
		}
	}
	text(1, t.TenantID)
	text(2, string(t.ClickID[:]))
	number(3, uint64(t.IssuedAt))
	number(4, uint64(t.ExpiresAt))
	text(5, t.AdvertiserID)
	text(6, t.CampaignID)
	text(7, t.AdGroupID)
	text(8, t.CreativeID)
	text(9, t.PublisherID)
	text(10, t.PlacementID)
	text(11, t.LandingURL)
	if t.LandingSHA256 != [32]byte{} {
		text(12, string(t.LandingSHA256[:]))
	}
	number(13, uint64(t.PriceMicros))
	text(14, t.Currency)
	number(15, uint64(t.Pricing))
	if t.Test {
		number(16, 1)
	}
	return b
}

// decodeToken reads the plaintext without allocating; strings alias b. Unknown
// fields, from a newer ad server, are passed over.
func decodeToken(b []byte, t *Token) error {
	*t = Token{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ErrContent
		}
		b = b[n:]
		var u uint64
		var v []byte
		switch typ {
		case protowire.VarintType:
			u, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 || !t.set(num, typ, u, v) {
			return ErrContent
		}
		b = b[n:]
	}
	return nil
}

// set stores one field and reports whether its type and length fit.
func (t *Token) set(num protowire.Number, typ protowire.Type, u uint64, v []byte) bool {
	switch num {
	case 3, 4, 13, 15, 16:
		return typ == protowire.VarintType && t.setNumber(num, u)
	case 2:
		return typ == protowire.BytesType && len(v) == 16 && copy(t.ClickID[:], v) == 16
	case 12:
		return typ == protowire.BytesType && len(v) == 32 && copy(t.LandingSHA256[:], v) == 32
	}
	if dst := t.stringField(num); dst != nil {
		*dst = unsafe.String(unsafe.SliceData(v), len(v))
		return typ == protowire.BytesType
	}
	return true
}

func (t *Token) setNumber(num protowire.Number, u uint64) bool {
	switch num {
	case 3:
		t.IssuedAt = int64(u)
	case 4:
		t.ExpiresAt = int64(u)
	case 13:
		t.PriceMicros = int64(u)
	case 15:
		if u > uint64(click.PricingFlat) {
			return false
		}
		t.Pricing = click.Pricing(u)
	case 16:
		t.Test = u != 0
	}
	return true
}

func (t *Token) stringField(num protowire.Number) *string {
	switch num {
	case 1:
		return &t.TenantID
	case 5:
		return &t.AdvertiserID
	case 6:
		return &t.CampaignID
	case 7:
		return &t.AdGroupID
	case 8:
		return &t.CreativeID
	case 9:
		return &t.PublisherID
	case 10:
		return &t.PlacementID
	case 11:
		return &t.LandingURL
	case 14:
		return &t.Currency
	}
	return nil
}

// bytesOf views s as bytes that nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
