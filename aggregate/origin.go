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
	eachField(value, func(num protowire.Number, b []byte, u uint64) {
		switch {
		case num == fieldTenant:
			o.TenantID = string(b)
		case num == fieldIngest:
			eachField(b, o.ingestField)
		case kind == stream.KindClick:
			o.clickField(num, b, u)
		default:
			o.letterField(num, b, u)
		}
	})
	return o
}

func (o *Origin) ingestField(num protowire.Number, b []byte, u uint64) {
	switch num {
	case 1:
		o.Ingest.Gateway = string(b)
	case 2:
		o.Ingest.Boot = u
	case 3:
		o.Ingest.Seq = u
	}
}

func (o *Origin) clickField(num protowire.Number, b []byte, u uint64) {
	switch num {
	case fieldClickID:
		copy(o.ID[:], b)
	case fieldClickIDTime:
		o.IDTime = int64(u)
	case fieldClickTime:
		o.ReceivedAt = int64(u)
	case fieldClickSource:
		o.SourceID = string(b)
	case fieldClickEntry:
		o.Entry = click.Entry(u)
	}
}

func (o *Origin) letterField(num protowire.Number, b []byte, u uint64) {
	switch num {
	case fieldLetterID:
		copy(o.ID[:], b)
	case fieldLetterTime:
		o.ReceivedAt = int64(u)
	case fieldLetterSource:
		o.SourceID = string(b)
	case fieldLetterEntry:
		o.Entry = click.Entry(u)
	}
}

// eachField calls f with the bytes or the number of each field, up to where the
// message is cut or no message any more.
func eachField(message []byte, f func(num protowire.Number, b []byte, u uint64)) {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		var b []byte
		var u uint64
		switch typ {
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			u, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			u, n = protowire.ConsumeFixed64(message)
		default:
			n = protowire.ConsumeFieldValue(num, typ, message)
		}
		if n < 0 {
			return
		}
		f(num, b, u)
		message = message[n:]
	}
}
