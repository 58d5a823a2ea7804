package gateway

import (
	"errors"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
)

// A body is worked on in groups of events: as many as fill the disk's and Kafka's
// batches, and few enough that a body of any length needs the same memory.
const (
	groupEvents = 500
	groupBytes  = 4 << 20
)

// Why a body was not worked on to its end, though its bytes are sound.
var (
	errNotRecorded = errors.New("not every line could be recorded; send the body again, its ids make a repeat harmless")
	errStopping    = errors.New("the gateway is stopping; send the body again, its ids make a repeat harmless")
)

// rawWork is a body at work: the event that its lines become one after the other,
// and the group of those that the log has not settled.
type rawWork struct {
	*event
	s   *Server
	key *control.APIKey
	rawHeader
	until time.Time // the end of its time

	counts    RawCounts
	group     *outcome // nil between groups
	bytes     int      // of the group's records
	clicks    int      // of the group
	malformed int      // of the group
}

// taking returns the group that takes the next event.
func (w *rawWork) taking() *outcome {
	if w.group == nil {
		w.group = beginOutcome(w.s.outcomes, w.source.Tenant.ID, w.source.ID)
		w.bytes, w.clicks, w.malformed = 0, 0, 0
	}
	return w.group
}

// given notes the event that the log was just given, and settles a full group.
// Once the log refuses, the sender has to repeat the body: the rest would only be
// written twice.
func (w *rawWork) given(err error) error {
	if err != nil {
		w.group.failed.Store(true)
	}
	w.bytes += len(w.value)
	if w.clicks+w.malformed < groupEvents && w.bytes < groupBytes && !w.group.failed.Load() {
		return nil
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.yield()
}

// yieldPause is how long a body stands aside before it looks again.
const yieldPause = 10 * time.Millisecond

// yield lets the live requests pass: a body holds no permit, for it goes on for
// minutes, and so it goes on only while a bulk request would get one.
func (w *rawWork) yield() error {
	for {
		switch {
		case w.s.draining.Load():
			return errStopping
		case w.s.admission.gate.Calm(admit.Bulk):
			return nil
		case time.Now().After(w.until):
			return errNotRecorded
		}
		time.Sleep(yieldPause)
	}
}

// settle waits until the group is durable.
func (w *rawWork) settle() error {
	if w.group == nil {
		return nil
	}
	events := &w.s.metrics.events[click.EntryLog]
	res := w.group.wait(w.s.cfg.Timeouts.Durable, false)
	w.group = nil
	if res != recorded {
		events[endNotDurable].Add(float64(w.clicks + w.malformed))
		return errNotRecorded
	}
	events[endAccepted].Add(float64(w.clicks))
	events[endMalformed].Add(float64(w.malformed))
	return nil
}
