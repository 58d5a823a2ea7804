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
	newest, over := collapse(pages)
	if err := s.settle(ctx, fence, over); err != nil {
		return err
	}
	for i := range newest {
		if s.now().Before(s.notUntil) || ctx.Err() != nil {
			return nil
		}
		if err := s.send(ctx, fence, &newest[i]); err != nil {
			return err
		}
	}
	return nil
}

// collapse keeps the newest page of each incident and ends the others. The end of an
// incident that PagerDuty was never told of is nothing to tell.
func collapse(pages []aggregate.Page) (newest []aggregate.Page, over []aggregate.PageEnd) {
	last := make(map[string]int64, len(pages))
	for i := range pages {
		last[pages[i].IncidentID] = pages[i].Seq
	}
	for i := range pages {
		p := &pages[i]
		untold := p.Action == aggregate.PageResolve && p.Delivered != aggregate.PageTrigger && !p.Maybe && !attempted(pages[:i], p.IncidentID)
		if last[p.IncidentID] != p.Seq || untold {
			over = append(over, aggregate.PageEnd{Seq: p.Seq, Outcome: aggregate.PageCollapsed})
			continue
		}
		newest = append(newest, *p)
	}
	return newest, over
}

// attempted reports whether an earlier pending trigger of the incident may have
// arrived.
func attempted(pages []aggregate.Page, incident string) bool {
	for i := range pages {
		if pages[i].IncidentID == incident && pages[i].Action == aggregate.PageTrigger && pages[i].Attempts > 0 {
			return true
		}
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
