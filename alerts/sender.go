package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty"
)

// Pager takes events; *pagerduty.Client is one.
type Pager interface {
	Send(ctx context.Context, e *pagerduty.Event) error
}

// waits are the pauses after failures, one after the other; the last one stays.
var waits = [...]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// sender brings the pages of the store to PagerDuty: the newest state of each
// incident, in the order in which they were written, and never an end of what was
// never told.
type sender struct {
	store   aggregate.Incidents
	pager   Pager
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics

	failures int
	notUntil time.Time
}

// round sends what is pending. It returns an error of the store alone; what
// PagerDuty does not take stays pending, and the next rounds wait.
func (s *sender) round(ctx context.Context, fence int64) error {
	pages, err := s.store.PendingPages(ctx)
	if err != nil {
		return err
	}
	s.metrics.pending.Set(float64(len(pages)))
	keep, over := collapse(pages)
	if err := s.settle(ctx, fence, over); err != nil {
		return err
	}
	for i := range keep {
		if s.now().Before(s.notUntil) || ctx.Err() != nil {
			return nil
		}
		if err := s.send(ctx, fence, &keep[i]); err != nil {
			return err
		}
	}
	return nil
}

// collapse keeps the newest page of each incident and ends the others. The end of an
// incident that PagerDuty was never told of is nothing to tell. Where nobody knows
// whether it was told, the beginning is told (once more) before the end: an alert that
// is open already takes it in, and an end never comes alone.
func collapse(pages []aggregate.Page) (keep []aggregate.Page, over []aggregate.PageEnd) {
	byIncident := make(map[string]*history, len(pages))
	for i := range pages {
		p := &pages[i]
		h := byIncident[p.IncidentID]
		if h == nil {
			h = &history{}
			byIncident[p.IncidentID] = h
		}
		h.add(p)
	}
	for i := range pages {
		if p := &pages[i]; byIncident[p.IncidentID].wants(p) {
			keep = append(keep, *p)
		} else {
			over = append(over, aggregate.PageEnd{Seq: p.Seq, Outcome: aggregate.PageCollapsed})
		}
	}
	return keep, over
}

// history is what is pending of one incident, in order.
type history struct {
	last, lastTrigger int64 // sequences; 0 for none
	ends              bool  // the last page is an end
	told              bool  // PagerDuty took a trigger for certain, and no end since
	maybe             bool  // a trigger may have arrived
}

func (h *history) add(p *aggregate.Page) {
	h.last, h.ends = p.Seq, p.Action == aggregate.PageResolve
	h.told = h.told || p.Delivered == aggregate.PageTrigger
	h.maybe = h.maybe || p.Maybe
	if p.Action == aggregate.PageTrigger {
		h.lastTrigger = p.Seq
		h.maybe = h.maybe || p.Attempts > 0
	}
}

func (h *history) wants(p *aggregate.Page) bool {
	switch {
	case !h.ends || h.told:
		return p.Seq == h.last
	case h.maybe:
		return p.Seq == h.last || p.Seq == h.lastTrigger
	}
	return false
}

func (s *sender) settle(ctx context.Context, fence int64, ends []aggregate.PageEnd) error {
	if len(ends) == 0 {
		return nil
	}
	for _, e := range ends {
		s.metrics.pages.WithLabelValues(outcomeName(e.Outcome)).Inc()
	}
	return s.store.SettlePages(ctx, fence, s.now(), ends)
}

func outcomeName(o aggregate.PageOutcome) string {
	switch o {
	case aggregate.PageSent:
		return "sent"
	case aggregate.PageCollapsed:
		return "collapsed"
	}
	return "refused"
}

// DedupKey is the key under which PagerDuty knows an incident, for good.
func DedupKey(incidentID string) string { return "clickgate/" + incidentID }

func (s *sender) send(ctx context.Context, fence int64, p *aggregate.Page) error {
	var e pagerduty.Event
	if err := json.Unmarshal(p.Payload, &e); err != nil {
		return s.settle(ctx, fence, []aggregate.PageEnd{{Seq: p.Seq, Outcome: aggregate.PageRefused, Error: "the stored page cannot be read: " + err.Error()}})
	}
	e.DedupKey = DedupKey(p.IncidentID)
	// Noted before the call: after a crash, nobody knows whether it arrived.
	if err := s.store.AttemptPage(ctx, fence, p.Seq, s.now()); err != nil {
		return err
	}
	err := s.pager.Send(ctx, &e)
	var fault *pagerduty.Fault
	switch {
	case err == nil:
		s.failures, s.notUntil = 0, time.Time{}
		return s.settle(ctx, fence, []aggregate.PageEnd{{Seq: p.Seq, Outcome: aggregate.PageSent}})
	case errors.As(err, &fault) && fault.Final:
		s.logger.Error("PagerDuty refuses a page for good", "incident", p.IncidentID, "error", err)
		return s.settle(ctx, fence, []aggregate.PageEnd{{Seq: p.Seq, Outcome: aggregate.PageRefused, Error: err.Error()}})
	}
	pause := waits[min(s.failures, len(waits)-1)]
	if fault != nil {
		pause = max(pause, fault.RetryAfter)
	}
	s.failures++
	s.notUntil = s.now().Add(pause)
	s.metrics.failures.Inc()
	if ctx.Err() == nil {
		s.logger.Warn(fmt.Sprintf("a page is not through; trying again in %s", pause), "incident", p.IncidentID, "error", err)
	}
	return nil
}
