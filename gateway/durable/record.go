// Package durable is where an event becomes something clickgate answers for: it
// gives every event its sequence, writes it to Kafka or to the spool's fsync,
// keeps the gateway's own account of what it took, forwards the spool to Kafka,
// and puts marks into every partition that let anybody compare that account with
// the stored rows.
package durable

import (
	"errors"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"
)

// Record is one event to make durable.
type Record struct {
	Kind       stream.Kind // any but KindMark
	TenantID   string
	SourceID   string
	ID         click.ID // event id, letter id, or what names a fed record: click id, conversion key
	EventTime  int64    // Unix microseconds; receipt time for dead letters
	ReceivedAt int64    // Unix microseconds
	Value      []byte   // click's Append output of the kind, without ingest id
}

// Waiter is told once what became of a record.
type Waiter interface {
	// Done is called exactly once, from any goroutine, possibly before Record
	// returns. With nil the record survives the death of this process.
	Done(err error)
}

// Errors of Record and Done.
var (
	ErrFull   = errors.New("neither Kafka nor the spool takes more events; see clickgate_spool_bytes and free disk space")
	ErrClosed = errors.New("the gateway is stopping")
	// ErrUnsent: nothing is lost, and the next start goes on where this one ended.
	ErrUnsent = errors.New("not everything was passed on to Kafka")
	// ErrFeed: what a feed sends never takes room that clicks may need.
	ErrFeed   = errors.New("feeds are not taken now: Kafka does not answer, or what waits to be written has grown; send again later")
	ErrFailed = errors.New("the durable write failed; the event may or may not survive")
)
