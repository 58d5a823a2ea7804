package console

import (
	"context"
	"net/http"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

// traceView is the page of one event.
type traceView struct {
	AllTenants bool   // the visitor sees all of them
	ID, Tenant string // as asked for
	Event      string // the id in its one form; empty without one
	Copies     []copyOf
	Problem    string
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request, who *visit) error {
	q, err := parameters(r)
	if err != nil {
		return err
	}
	v := &traceView{AllTenants: who.AllTenants()}
	if v.ID, err = parameter(q, "id"); err != nil {
		return err
	}
	if v.Tenant, err = parameter(q, "tenant"); err != nil {
		return err
	}
	v.ID = strings.TrimSpace(v.ID) // ids are pasted, and hold no space
	status := http.StatusOK
	if v.ID != "" {
		if status, err = s.findEvent(r, who, v); err != nil {
			return err
		}
	}
	return s.show(w, who, status, "trace", &page{Title: "Trace", Path: "/trace", Body: v})
}

// findEvent fills the view and returns the status of the answer.
func (s *Server) findEvent(r *http.Request, who *visit, v *traceView) (int, error) {
	id, wrong := eventID(v.ID)
	if wrong != "" {
		v.Problem = wrong
		return http.StatusBadRequest, nil
	}
	v.Event = id.String()
	var rows []aggregate.TraceRow
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		rows, err = who.desk.trace(ctx, v.Tenant, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i := range rows {
		v.Copies = append(v.Copies, s.newCopy(&rows[i]))
	}
	if len(rows) == 0 {
		v.Problem = "No event or dead letter has this id. It may be on its way still, or belong to another tenant or store."
		return http.StatusNotFound, nil
	}
	return http.StatusOK, nil
}

// eventID reads an id, or says what is wrong with it.
func eventID(text string) (id click.ID, wrong string) {
	id, err := click.ParseID(text)
	if err != nil {
		return id, "This is no event id: " + err.Error() + "."
	}
	return id, ""
}

// copyOf is one stored copy of an event and the stages it passed. Sealed bytes,
// pseudonyms and address prefixes are left out: whoever needs them uses
// `clickgate trace`, which keeps account of it.
type copyOf struct {
	What, Tenant string
	State        string // verdict of a click; empty for other copies
	Stages       []stage
	Reasons      []click.ReasonInfo
	Features     []feature
	NoFeatures   string // why the vector cannot be shown
}

type stage struct {
	Name   string
	Fields []field
}

// field is a name and what to show; fields without a value are left out.
type field struct{ Name, Value string }

// feature is one slot of the vector.
type feature struct {
	scoring.SlotInfo
	Value string
}

func (s *stage) put(name, value string) {
	if value != "" {
		s.Fields = append(s.Fields, field{name, value})
	}
}

func (s *Server) newCopy(row *aggregate.TraceRow) copyOf {
	c := copyOf{What: row.What}
	topic := stream.ClicksTopic
	var edge stage
	var received int64
	switch {
	case row.Click != nil:
		k := row.Click
		c.Tenant, c.State, received = k.TenantID, k.Verdict.State.String(), k.ReceivedAt
		edge = edgeStage(k.SourceID, k.Entry, received, k.Ingest)
		c.Features, c.NoFeatures = features(&k.Verdict)
		k.Verdict.Reasons.Each(func(r click.Reason) { c.Reasons = append(c.Reasons, r.Info()) })
	case row.Redelivery != nil:
		d := row.Redelivery
		c.Tenant, received = d.TenantID, d.ReceivedAt
		edge = edgeStage(d.SourceID, d.Entry, received, d.Ingest)
	case row.DeadLetter != nil:
		d := row.DeadLetter
		c.Tenant, received, topic = d.TenantID, d.ReceivedAt, stream.DeadLettersTopic
		edge = edgeStage(d.SourceID, d.Entry, received, d.Ingest)
	}
	c.Stages = []stage{edge, streamStage(topic, row), storeStage(row.IngestedAt, received)}
	if k := row.Click; k != nil {
		c.Stages = append(c.Stages, eventStage(k), placeStage(k), s.priceStage(k), verdictStage(&k.Verdict))
	}
	if d := row.DeadLetter; d != nil {
		rejected := stage{Name: "Malformed"}
		rejected.put("Code", d.Code)
		rejected.put("Field", d.Field)
		rejected.put("Message", d.Message)
		c.Stages = append(c.Stages, rejected)
	}
	return c
}
