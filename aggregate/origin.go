package aggregate

import (
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"google.golang.org/protobuf/encoding/protowire"
)

// Fields of click.proto's Click, DeadLetter and Ingest that originOf reads.
const (
	fieldTenant      = 1 // in both
	fieldIngest      = 60
	fieldClickID     = 2 // event_id
	fieldClickIDTime = 3
	fieldClickTime   = 5 // received_at
	fieldClickSource = 6
	fieldClickEntry  = 7

	fieldLetterSource = 2
	fieldLetterEntry  = 3
	fieldLetterTime   = 4
	fieldLetterID     = 9
)

// originOf reads what a broken click or dead letter tells of its origin. Unlike the
// decoders it passes over every field that it cannot use, because a record with one
// bad field still has a sequence in its gateway's account. It copies what it returns.
func originOf(kind stream.Kind, value []byte) (o Origin) {
	texts, numbers := o.letterText, o.letterNumber
	if kind == stream.KindClick {
		texts, numbers = o.clickText, o.clickNumber
	}
	eachField(value, func(num protowire.Number, b []byte) {
		switch num {
		case fieldTenant:
			o.TenantID = string(b)
		case fieldIngest:
			eachField(b, o.ingestText, o.ingestNumber)
		default:
			texts(num, b)
		}
	}, numbers)
	return o
}

func (o *Origin) ingestText(num protowire.Number, b []byte) {
	if num == 1 {
		o.Ingest.Gateway = string(b)
	}
}

func (o *Origin) ingestNumber(num protowire.Number, u uint64) {
	switch num {
	case 2:
		o.Ingest.Boot = u
	case 3:
		o.Ingest.Seq = u
	}
}

func (o *Origin) clickText(num protowire.Number, b []byte) {
	switch num {
	case fieldClickID:
		copy(o.ID[:], b)
	case fieldClickSource:
		o.SourceID = string(b)
	}
}

func (o *Origin) clickNumber(num protowire.Number, u uint64) {
	switch num {
	case fieldClickIDTime:
		o.IDTime = int64(u)
	case fieldClickTime:
		o.ReceivedAt = int64(u)
	case fieldClickEntry:
		o.Entry = click.Entry(u)
	}
}

func (o *Origin) letterText(num protowire.Number, b []byte) {
	switch num {
	case fieldLetterID:
		copy(o.ID[:], b)
	case fieldLetterSource:
		o.SourceID = string(b)
	}
}

func (o *Origin) letterNumber(num protowire.Number, u uint64) {
	switch num {
	case fieldLetterTime:
		o.ReceivedAt = int64(u)
	case fieldLetterEntry:
		o.Entry = click.Entry(u)
	}
}

// eachField calls text or number for each field of a message, up to where it is cut
// or no message any more.
func eachField(message []byte, text func(protowire.Number, []byte), number func(protowire.Number, uint64)) {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		switch typ {
		case protowire.BytesType:
			var b []byte
			if b, n = protowire.ConsumeBytes(message); n >= 0 {
				text(num, b)
			}
		case protowire.VarintType:
			var u uint64
			if u, n = protowire.ConsumeVarint(message); n >= 0 {
				number(num, u)
			}
		case protowire.Fixed64Type:
			var u uint64
			if u, n = protowire.ConsumeFixed64(message); n >= 0 {
				number(num, u)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, message)
		}
		if n < 0 {
			return
		}
		message = message[n:]
	}
}
