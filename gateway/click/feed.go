package click

import (
	"crypto/sha256"
	"encoding/binary"
)

// Impression says that the ad of an opportunity was displayed. It names nobody: what
// a click needs of it is its time alone.
type Impression struct {
	TenantID string
	ClickID  ID    // the opportunity, as in the token
	ShownAt  int64 // Unix microseconds
}

// AppendImpression appends the protobuf form of i.
func AppendImpression(b []byte, i *Impression) []byte {
	b = appendString(b, 70, i.TenantID)
	b = append16(b, 71, (*[16]byte)(&i.ClickID))
	return appendUint(b, 72, uint64(i.ShownAt))
}

// DecodeImpression reads an impression record value. The tenant aliases b. Unknown
// fields are passed over. It is safe on hostile input.
func DecodeImpression(b []byte) (i Impression, err error) {
	in := fields{rest: b}
	for in.next() {
		switch in.num {
		case 70:
			in.err = in.text(&i.TenantID)
		case 71:
			in.err = in.id((*[16]byte)(&i.ClickID))
		case 72:
			in.err = in.int64(&i.ShownAt)
		}
	}
	if in.err != nil {
		return i, &DecodeError{"impression", int(in.num), in.err.Error()}
	}
	if i.TenantID == "" || i.ClickID.IsZero() || i.ShownAt == 0 {
		return i, &DecodeError{"impression", 0, "tenant_id, click_id or shown_at is missing"}
	}
	return i, nil
}

// Conversion says what came of a click: an install, a sale.
type Conversion struct {
	TenantID      string
	SourceID      string // whose key sent it
	ClickID       ID
	ConvertedAt   int64  // Unix microseconds
	ReceivedAt    int64  // Unix microseconds, gateway clock
	Kind          string // the sender's word, such as install
	TransactionID string // the sender's, which names the conversion; empty for none
	ValueMicros   int64
	Currency      string // ISO 4217; empty without a value
}

// AppendConversion appends the protobuf form of c.
func AppendConversion(b []byte, c *Conversion) []byte {
	b = appendString(b, 70, c.TenantID)
	b = append16(b, 71, (*[16]byte)(&c.ClickID))
	b = appendUint(b, 72, uint64(c.ConvertedAt))
	b = appendString(b, 73, c.SourceID)
	b = appendUint(b, 74, uint64(c.ReceivedAt))
	b = appendString(b, 75, c.Kind)
	b = appendString(b, 76, c.TransactionID)
	b = appendUint(b, 77, uint64(c.ValueMicros))
	return appendString(b, 78, c.Currency)
}

// DecodeConversion reads a conversion record value. Its strings alias b. Unknown
// fields are passed over. It is safe on hostile input.
func DecodeConversion(b []byte) (c Conversion, err error) {
	in := fields{rest: b}
	for in.next() {
		in.err = c.setField(&in.field)
	}
	if in.err != nil {
		return c, &DecodeError{"conversion", int(in.num), in.err.Error()}
	}
	if c.TenantID == "" || c.ClickID.IsZero() || c.ConvertedAt == 0 {
		return c, &DecodeError{"conversion", 0, "tenant_id, click_id or converted_at is missing"}
	}
	return c, nil
}

func (c *Conversion) setField(f *field) error {
	switch f.num {
	case 70:
		return f.text(&c.TenantID)
	case 71:
		return f.id((*[16]byte)(&c.ClickID))
	case 72:
		return f.int64(&c.ConvertedAt)
	case 73:
		return f.text(&c.SourceID)
	case 74:
		return f.int64(&c.ReceivedAt)
	case 75:
		return f.text(&c.Kind)
	case 76:
		return f.text(&c.TransactionID)
	case 77:
		return f.int64(&c.ValueMicros)
	case 78:
		return f.text(&c.Currency)
	}
	return nil
}

// Key names the conversion within its tenant: two with one key are one conversion, sent
// twice. With a transaction id it is a function of that id alone. Without one nobody can
// tell a second sale from a repeated message, so click, time and kind together have to
// differ. It is half of a SHA-256, because senders choose what goes in.
func (c *Conversion) Key() (id ID) {
	var b []byte
	if c.TransactionID != "" {
		b = append(append(b, 't'), c.TransactionID...)
	} else {
		b = append(append(b, 'c'), c.ClickID[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(c.ConvertedAt))
		b = append(b, c.Kind...)
	}
	sum := sha256.Sum256(b)
	copy(id[:], sum[:])
	return id
}
