package gateway

import (
	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

// event is one click under construction, with the buffers its strings alias. It
// is pooled and belongs to one request, or one batch item after the other.
type event struct {
	click   click.Click
	signals click.Signals
	token   token.Token
	record  durable.Record

	source   *control.Source // never nil once the tenant is known
	verified bool            // an opened token names the opportunity
	permit   bool            // holds a permit of admission

	class     admit.Class
	publisher *admit.Publisher
	first     bool // used a token that nobody used before, and is not recorded

	opened  []byte // the token's plaintext
	address []byte // the client address and its prefix as text
	query   edge.Query
	joined  []byte // query and body of a beacon
	plain   []byte // evidence before sealing
	sealed  []byte
	value   []byte // the encoded record
}

func newEvent() *event {
	return &event{
		opened: make([]byte, 0, 1024), address: make([]byte, 0, 96),
		plain: make([]byte, 0, 2048), sealed: make([]byte, 0, 2304), value: make([]byte, 0, 4096),
	}
}

// maxPooled is how large a buffer may be to go back into the pool.
const maxPooled = 64 << 10

// begin readies e for an event of entry received at t, Unix microseconds.
func (e *event) begin(entry click.Entry, t int64) {
	e.click.Reset()
	e.click.Entry, e.click.ReceivedAt = entry, t
	e.signals = click.Signals{}
	e.source, e.verified = nil, false
	e.class, e.publisher = admit.Organic, nil
}

// belong makes e an event of source, under strings that outlive the request.
func (e *event) belong(source *control.Source) {
	e.source = source
	e.signals.Policies, e.signals.Lists = source.Policies, source.Tenant.Lists
	e.click.TenantID, e.click.SourceID = source.Tenant.ID, source.ID
}

// end forgets everything that aliases a request, and oversized buffers.
func (e *event) end() {
	e.click.Reset()
	e.signals, e.token, e.record, e.source = click.Signals{}, token.Token{}, durable.Record{}, nil
	e.publisher = nil
	for _, b := range []*[]byte{&e.opened, &e.joined, &e.plain, &e.sealed, &e.value} {
		if cap(*b) > maxPooled {
			*b = nil
		}
	}
}

// takeEvent readies an event of entry received now.
func (s *Server) takeEvent(entry click.Entry) *event {
	e := s.events.Get().(*event)
	e.begin(entry, s.dep.Now().UnixMicro())
	return e
}

// putEvent gives back what the event took, and the event to its pool.
func (s *Server) putEvent(e *event) {
	s.leave(e)
	e.end()
	s.events.Put(e)
}
