package click

import (
	"fmt"
	"math"
	"math/bits"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// Wire types of the fields used here (protobuf encoding).
const (
	varint  = protowire.VarintType
	fixed64 = protowire.Fixed64Type
	lenType = protowire.BytesType
)

func appendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, lenType)
	return protowire.AppendString(b, s)
}

func appendBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, lenType)
	return protowire.AppendBytes(b, v)
}

func append16(b []byte, num protowire.Number, v *[16]byte) []byte {
	if *v == [16]byte{} {
		return b
	}
	b = protowire.AppendTag(b, num, lenType)
	b = append(b, 16)
	return append(b, v[:]...)
}

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, varint)
	return protowire.AppendVarint(b, v)
}

func appendFixed(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, fixed64)
	return protowire.AppendFixed64(b, v)
}

// AppendClick appends the protobuf form of c without its ingest id, which
// AppendIngest adds at the durable write. The bytes are those that a
// deterministic marshal of clickpb.Click gives. It allocates only to grow dst.
func AppendClick(b []byte, c *Click) []byte {
	b = appendString(b, 1, c.TenantID)
	b = append16(b, 2, (*[16]byte)(&c.EventID))
	b = appendUint(b, 3, uint64(c.IDTime))
	b = appendUint(b, 4, uint64(c.EventTime))
	b = appendUint(b, 5, uint64(c.ReceivedAt))
	b = appendString(b, 6, c.SourceID)
	b = appendUint(b, 7, uint64(c.Entry))
	b = append16(b, 8, (*[16]byte)(&c.ClickID))
	b = appendUint(b, 9, uint64(c.Flags))
	b = appendString(b, 10, c.AdvertiserID)
	b = appendString(b, 11, c.CampaignID)
	b = appendString(b, 12, c.AdGroupID)
	b = appendString(b, 13, c.CreativeID)
	b = appendString(b, 14, c.PublisherID)
	b = appendString(b, 15, c.PlacementID)
	b = appendString(b, 16, c.LandingHost)
	b = appendString(b, 17, c.RefererHost)
	b = appendString(b, 18, c.Country)
	b = appendUint(b, 20, uint64(c.PriceMicros))
	b = appendString(b, 21, c.Currency)
	b = appendUint(b, 22, uint64(c.Pricing))
	b = appendString(b, 23, c.RateCard)
	b = append16(b, 30, (*[16]byte)(&c.IPKey))
	b = append16(b, 31, (*[16]byte)(&c.AgentKey))
	b = appendUint(b, 32, uint64(c.KeyEpoch))
	b = appendString(b, 33, c.IPPrefix)
	b = appendUint(b, 34, uint64(c.ASN))
	b = appendString(b, 35, c.AgentFamily)
	b = appendBytes(b, 40, c.Evidence)
	return appendVerdict(b, 50, &c.Verdict)
}

func appendVerdict(b []byte, num protowire.Number, v *Verdict) []byte {
	size := verdictSize(v)
	if size == 0 {
		return b
	}
	b = protowire.AppendTag(b, num, lenType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendUint(b, 1, uint64(v.State))
	if n := bits.OnesCount64(uint64(v.Reasons)); n > 0 {
		b = protowire.AppendTag(b, 2, lenType)
		b = protowire.AppendVarint(b, uint64(n))
		for set := uint64(v.Reasons); set != 0; set &= set - 1 {
			b = append(b, byte(bits.TrailingZeros64(set)))
		}
	}
	b = appendFixed(b, 3, math.Float64bits(v.Score))
	b = appendUint(b, 4, uint64(v.VectorVersion))
	if v.VectorVersion != 0 {
		b = protowire.AppendTag(b, 5, lenType)
		b = protowire.AppendVarint(b, uint64(4*v.Vector.packed()))
		b = v.Vector.Append(b)
	}
	b = appendFixed(b, 6, v.ListsHash)
	b = appendFixed(b, 7, v.PolicyHash)
	b = appendFixed(b, 8, v.ModelHash)
	return appendUint(b, 9, uint64(v.ModelSlot))
}

// verdictSize is the length appendVerdict writes behind the length prefix; all
// tags below 16 take one byte.
func verdictSize(v *Verdict) int {
	n := uintSize(uint64(v.State)) + uintSize(uint64(v.VectorVersion)) + uintSize(uint64(v.ModelSlot))
	if v.Reasons != 0 {
		n += 2 + bits.OnesCount64(uint64(v.Reasons))
	}
	if v.VectorVersion != 0 {
		n += 1 + protowire.SizeBytes(4*v.Vector.packed())
	}
	for _, f := range [...]uint64{math.Float64bits(v.Score), v.ListsHash, v.PolicyHash, v.ModelHash} {
		if f != 0 {
			n += 9
		}
	}
	return n
}

func uintSize(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(v)
}

// AppendIngest appends the ingest field that ends every click and dead letter.
func AppendIngest(b []byte, id *IngestID) []byte {
	size := 2 + 8 + 8
	if id.Gateway != "" {
		size += 1 + protowire.SizeBytes(len(id.Gateway))
	}
	b = protowire.AppendTag(b, ingestField, lenType)
	b = protowire.AppendVarint(b, uint64(size))
	b = appendString(b, 1, id.Gateway)
	b = protowire.AppendTag(b, 2, fixed64)
	b = protowire.AppendFixed64(b, id.Boot)
	b = protowire.AppendTag(b, 3, fixed64)
	return protowire.AppendFixed64(b, id.Seq)
}

const ingestField = 60

// field is one decoded protobuf field.
type field struct {
	num protowire.Number
	typ protowire.Type
	u   uint64
	b   []byte
}

// nextField reads the first field of b and returns the rest.
func nextField(b []byte) (f field, rest []byte, err error) {
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	b = b[n:]
	f.num, f.typ = num, typ
	switch typ {
	case varint:
		f.u, n = protowire.ConsumeVarint(b)
	case fixed64:
		f.u, n = protowire.ConsumeFixed64(b)
	case lenType:
		f.b, n = protowire.ConsumeBytes(b)
	default:
		n = protowire.ConsumeFieldValue(num, typ, b)
	}
	if n < 0 {
		return f, nil, protowire.ParseError(n)
	}
	return f, b[n:], nil
}

// fields goes through the fields of a message. It ends at the first error, that of
// the reading or one that its user sets.
type fields struct {
	field
	rest []byte
	err  error
}

func (in *fields) next() bool {
	if in.err != nil || len(in.rest) == 0 {
		return false
	}
	in.field, in.rest, in.err = nextField(in.rest)
	return in.err == nil
}

// message returns the fields of the message inside f.
func (f *field) message() fields { return fields{rest: f.b, err: f.want(lenType)} }

// DecodeError says which field of which message could not be read.
type DecodeError struct {
	Message string
	Field   int
	Reason  string
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("cannot decode %s: field %d: %s", e.Message, e.Field, e.Reason)
}

// DecodeClick reads a click record value into c. Strings and Evidence alias b.
// Unknown fields, written by a newer gateway, are passed over. It is safe on
// hostile input and allocates nothing on success.
func DecodeClick(b []byte, c *Click) error {
	c.Reset()
	in := fields{rest: b}
	for in.next() {
		in.err = c.setField(&in.field)
	}
	if in.err != nil {
		return &DecodeError{"click", int(in.num), in.err.Error()}
	}
	if c.TenantID == "" || c.EventID.IsZero() || c.IDTime == 0 || c.EventTime == 0 {
		return &DecodeError{"click", 0, "tenant_id, event_id, id_time or event_time is missing"}
	}
	return nil
}

// setField stores one field; clicks have few enough fields for one switch.
func (c *Click) setField(f *field) error {
	if s := c.stringField(f.num); s != nil {
		return f.text(s)
	}
	switch f.num {
	case 2:
		return f.id((*[16]byte)(&c.EventID))
	case 3:
		return f.int64(&c.IDTime)
	case 4:
		return f.int64(&c.EventTime)
	case 5:
		return f.int64(&c.ReceivedAt)
	case 7:
		return setSmall(f, &c.Entry)
	case 8:
		return f.id((*[16]byte)(&c.ClickID))
	case 9:
		return setUint32(f, (*uint32)(&c.Flags))
	case 20:
		return f.int64(&c.PriceMicros)
	case 22:
		return setSmall(f, &c.Pricing)
	case 30:
		return f.id((*[16]byte)(&c.IPKey))
	case 31:
		return f.id((*[16]byte)(&c.AgentKey))
	case 32:
		return setUint32(f, &c.KeyEpoch)
	case 34:
		return setUint32(f, &c.ASN)
	case 40:
		return f.bytes(&c.Evidence)
	case 50:
		return decodeVerdict(f, &c.Verdict)
	case ingestField:
		return decodeIngest(f, &c.Ingest)
	}
	return nil
}

func (c *Click) stringField(num protowire.Number) *string {
	switch num {
	case 1:
		return &c.TenantID
	case 6:
		return &c.SourceID
	case 10:
		return &c.AdvertiserID
	case 11:
		return &c.CampaignID
	case 12:
		return &c.AdGroupID
	case 13:
		return &c.CreativeID
	case 14:
		return &c.PublisherID
	case 15:
		return &c.PlacementID
	case 16:
		return &c.LandingHost
	case 17:
		return &c.RefererHost
	case 18:
		return &c.Country
	case 21:
		return &c.Currency
	case 23:
		return &c.RateCard
	case 33:
		return &c.IPPrefix
	case 35:
		return &c.AgentFamily
	}
	return nil
}

// decodeVerdict reads the message inside f.
func decodeVerdict(f *field, v *Verdict) error {
	in := f.message()
	for in.next() {
		in.err = v.setField(&in.field)
	}
	return in.err
}

func (v *Verdict) setField(f *field) error {
	switch f.num {
	case 1:
		return setSmall(f, &v.State)
	case 2:
		return v.decodeReasons(f)
	case 3:
		return f.fixed(func(u uint64) { v.Score = math.Float64frombits(u) })
	case 4:
		return setUint32(f, &v.VectorVersion)
	case 5:
		return v.decodeVector(f)
	case 6:
		return f.fixed(func(u uint64) { v.ListsHash = u })
	case 7:
		return f.fixed(func(u uint64) { v.PolicyHash = u })
	case 8:
		return f.fixed(func(u uint64) { v.ModelHash = u })
	case 9:
		return setSmall(f, &v.ModelSlot)
	}
	return nil
}

func (v *Verdict) decodeReasons(f *field) error {
	if err := f.want(lenType); err != nil {
		return err
	}
	for b := f.b; len(b) > 0; {
		r, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if r >= 64 {
			return fmt.Errorf("reason %d is above 63", r)
		}
		v.Reasons |= 1 << r
		b = b[n:]
	}
	return nil
}

func (v *Verdict) decodeVector(f *field) error {
	if err := f.want(lenType); err != nil {
		return err
	}
	return v.Vector.Unpack(f.b)
}

// decodeIngest reads the message inside f.
func decodeIngest(f *field, id *IngestID) error {
	in := f.message()
	for in.next() {
		switch in.num {
		case 1:
			in.err = in.text(&id.Gateway)
		case 2:
			in.err = in.fixed(func(u uint64) { id.Boot = u })
		case 3:
			in.err = in.fixed(func(u uint64) { id.Seq = u })
		}
	}
	return in.err
}

func (f *field) want(t protowire.Type) error {
	if f.typ != t {
		return fmt.Errorf("wire type %d, want %d", f.typ, t)
	}
	return nil
}

func (f *field) text(dst *string) error {
	if err := f.want(lenType); err != nil {
		return err
	}
	*dst = alias(f.b)
	return nil
}

func (f *field) bytes(dst *[]byte) error {
	if err := f.want(lenType); err != nil {
		return err
	}
	*dst = f.b
	return nil
}

func (f *field) id(dst *[16]byte) error {
	if err := f.want(lenType); err != nil {
		return err
	}
	if len(f.b) != 16 {
		return fmt.Errorf("%d bytes, want 16", len(f.b))
	}
	copy(dst[:], f.b)
	return nil
}

func (f *field) int64(dst *int64) error {
	if err := f.want(varint); err != nil {
		return err
	}
	*dst = int64(f.u)
	return nil
}

func (f *field) fixed(set func(uint64)) error {
	if err := f.want(fixed64); err != nil {
		return err
	}
	set(f.u)
	return nil
}

func setUint32(f *field, dst *uint32) error {
	if err := f.want(varint); err != nil {
		return err
	}
	if f.u > math.MaxUint32 {
		return fmt.Errorf("%d does not fit 32 bits", f.u)
	}
	*dst = uint32(f.u)
	return nil
}

func setSmall[T ~uint8](f *field, dst *T) error {
	if err := f.want(varint); err != nil {
		return err
	}
	if f.u > math.MaxUint8 {
		return fmt.Errorf("%d does not fit 8 bits", f.u)
	}
	*dst = T(f.u)
	return nil
}

// alias reads b as a string without copying; b must not change while the string
// lives.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
