package click

import (
	"clickgate/gateway/click/clickpb"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// DeadLetter is an event of a known tenant that could not be read as a click.
// Its raw bytes are kept, sealed.
type DeadLetter struct {
	TenantID   string
	SourceID   string
	Entry      Entry
	ReceivedAt int64 // Unix microseconds
	Code       string
	Field      string
	Message    string
	Raw        []byte // sealed; see package seal
	LetterID   ID     // UUIDv7 minted at receipt
	Ingest     IngestID
}

// AppendDeadLetter appends the protobuf form of d without its ingest id.
func AppendDeadLetter(b []byte, d *DeadLetter) []byte {
	b = appendString(b, 1, d.TenantID)
	b = appendString(b, 2, d.SourceID)
	b = appendUint(b, 3, uint64(d.Entry))
	b = appendUint(b, 4, uint64(d.ReceivedAt))
	b = appendString(b, 5, d.Code)
	b = appendString(b, 6, d.Field)
	b = appendString(b, 7, d.Message)
	b = appendBytes(b, 8, d.Raw)
	return append16(b, 9, (*[16]byte)(&d.LetterID))
}

// DecodeDeadLetter reads a dead letter record value. It copies what it returns.
func DecodeDeadLetter(b []byte) (*DeadLetter, error) {
	var m clickpb.DeadLetter
	if err := proto.Unmarshal(b, &m); err != nil {
		return nil, &DecodeError{"dead letter", 0, err.Error()}
	}
	d := &DeadLetter{
		TenantID: m.TenantId, SourceID: m.SourceId, Entry: Entry(m.Entry),
		ReceivedAt: m.ReceivedAt, Code: m.Code, Field: m.Field, Message: m.Message,
		Raw: m.Raw, Ingest: ingestFromProto(m.Ingest),
	}
	if len(m.LetterId) != 16 || m.TenantId == "" {
		return nil, &DecodeError{"dead letter", 9, "tenant_id or letter_id is missing"}
	}
	copy(d.LetterID[:], m.LetterId)
	return d, nil
}

func ingestFromProto(m *clickpb.Ingest) IngestID {
	return IngestID{Gateway: m.GetGateway(), Boot: m.GetBoot(), Seq: m.GetSeq()}
}

// SourceCount counts a source's events of one receipt hour over a gateway boot.
type SourceCount struct {
	TenantID   string
	SourceID   string
	Hour       int64 // receipt hour, Unix microseconds
	Received   uint64
	Shed       uint64
	Unrecorded uint64
}

// SourceTime is the oldest event time a source has unsent at a gateway.
type SourceTime struct {
	TenantID     string
	SourceID     string
	OldestUnsent int64 // Unix microseconds
}

// MarkHours is how many receipt hours before the present one a mark still counts.
// Older ones leave the marks once nothing of them is open, so that a boot of weeks
// has marks as small as one of a day; a store keeps their last counts.
const MarkHours = 3

// Mark is what a gateway says of itself inside every partition: everything it
// made durable up to ThroughSeq stands before this mark. See click.proto.
type Mark struct {
	Gateway              string
	Boot                 uint64
	Number               uint64
	ThroughSeq           uint64
	Final                bool
	At                   int64
	Void                 uint64
	Counts               []SourceCount // over the boot, of the present receipt hour, MarkHours before it, and older open ones
	Oldest               []SourceTime
	ClickPartitions      int
	DeadLetterPartitions int
	ImpressionPartitions int // 0: the gateway takes no impressions
}

// OfFeed returns what m says in partitions of impressions: when it was made, for all
// that was answered before stands before it. The account is none of theirs.
func (m *Mark) OfFeed() *Mark {
	fed := *m
	fed.Counts, fed.Oldest = nil, nil
	return &fed
}

// Encode returns the protobuf form of m.
func (m *Mark) Encode() ([]byte, error) {
	p := clickpb.Mark{
		Gateway: m.Gateway, Boot: m.Boot, Number: m.Number, ThroughSeq: m.ThroughSeq,
		Final: m.Final, At: m.At, Void: m.Void,
		ClickPartitions: uint32(m.ClickPartitions), DeadLetterPartitions: uint32(m.DeadLetterPartitions),
		ImpressionPartitions: uint32(m.ImpressionPartitions),
	}
	for _, c := range m.Counts {
		p.Counts = append(p.Counts, &clickpb.SourceCount{
			TenantId: c.TenantID, SourceId: c.SourceID, Hour: c.Hour,
			Received: c.Received, Shed: c.Shed, Unrecorded: c.Unrecorded,
		})
	}
	for _, o := range m.Oldest {
		p.Oldest = append(p.Oldest, &clickpb.SourceTime{
			TenantId: o.TenantID, SourceId: o.SourceID, OldestUnsent: o.OldestUnsent,
		})
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(&p)
}

// DecodeMark reads a mark record value. It copies what it returns.
func DecodeMark(b []byte) (*Mark, error) {
	var p clickpb.Mark
	if err := proto.Unmarshal(b, &p); err != nil {
		return nil, &DecodeError{"mark", 0, err.Error()}
	}
	if p.Gateway == "" || p.Boot == 0 {
		return nil, &DecodeError{"mark", 1, "gateway or boot is missing"}
	}
	m := &Mark{
		Gateway: p.Gateway, Boot: p.Boot, Number: p.Number, ThroughSeq: p.ThroughSeq,
		Final: p.Final, At: p.At, Void: p.Void,
		ClickPartitions: int(p.ClickPartitions), DeadLetterPartitions: int(p.DeadLetterPartitions),
		ImpressionPartitions: int(p.ImpressionPartitions),
	}
	for _, c := range p.Counts {
		m.Counts = append(m.Counts, SourceCount{c.TenantId, c.SourceId, c.Hour, c.Received, c.Shed, c.Unrecorded})
	}
	for _, o := range p.Oldest {
		m.Oldest = append(m.Oldest, SourceTime{o.TenantId, o.SourceId, o.OldestUnsent})
	}
	return m, nil
}

// Evidence is the personal part of a click in clear. It exists in memory at the
// gateway and where an audited reader unseals it.
type Evidence struct {
	IP             string
	UserAgent      string
	Referer        string
	Query          string
	AcceptLanguage string
}

// AppendEvidence appends the protobuf form of e.
func AppendEvidence(b []byte, e *Evidence) []byte {
	b = appendString(b, 1, e.IP)
	b = appendString(b, 2, e.UserAgent)
	b = appendString(b, 3, e.Referer)
	b = appendString(b, 4, e.Query)
	return appendString(b, 5, e.AcceptLanguage)
}

// DecodeEvidence reads an unsealed evidence. Its fields alias b.
func DecodeEvidence(b []byte) (e Evidence, err error) {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return e, &DecodeError{"evidence", int(f.num), err.Error()}
		}
		if dst := e.field(f.num); dst != nil {
			if err := f.text(dst); err != nil {
				return e, &DecodeError{"evidence", int(f.num), err.Error()}
			}
		}
		b = rest
	}
	return e, nil
}

func (e *Evidence) field(num protowire.Number) *string {
	switch num {
	case 1:
		return &e.IP
	case 2:
		return &e.UserAgent
	case 3:
		return &e.Referer
	case 4:
		return &e.Query
	case 5:
		return &e.AcceptLanguage
	}
	return nil
}
