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
	// Wait returns when another event may be sent, or with the context's error.
	Wait(ctx context.Context) error
	// Send returns nil once the event is taken, *pagerduty.Fault when it is not, and
	// the context's error when there was no call.
	Send(ctx context.Context, e *pagerduty.Event) error
}

// waits are the pauses after failures, one after the other; the last one stays.
// PagerDuty's advice is three tries 30 s apart, or a few minutes; a durable outbox can
// afford both.
var waits = [...]time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}

// sender brings the pages of the store to PagerDuty, one call after the other. What
// it knows of failures outlives the lease.
type sender struct {
	store   Store
	pager   Pager
	calls   int64 // at most, in any minute, of all processes together
	now     func() time.Time
	logger  *slog.Logger
	metrics *metrics

	plan     func([]aggregate.Page) plan // planPages, except in tests of tests
	failures int
	notUntil time.Time
}

// round sends until nothing is pending or PagerDuty cannot be told now. It returns
// errors of the store alone.
func (s *sender) round(ctx context.Context, fence int64) error {
	for ctx.Err() == nil {
		if more, err := s.step(ctx, fence); err != nil || !more {
			return err
		}
	}
	return nil
}

// step makes at most one call. It reports whether another one may follow at once.
func (s *sender) step(ctx context.Context, fence int64) (more bool, err error) {
	pending, err := s.store.PendingPages(ctx)
	if err != nil {
		return false, err
	}
	s.metrics.pending.Set(float64(len(pending)))
	if len(pending) == 0 || s.now().Before(s.notUntil) {
		return false, nil
	}
	if free, err := s.free(ctx); err != nil || !free {
		return false, err
	}
	if s.pager.Wait(ctx) != nil {
		return false, nil //nolint:nilerr // the term ends, which is no error
	}
	// What happened during the wait is in the plan that is made after it.
	if pending, err = s.store.PendingPages(ctx); err != nil {
		return false, err
	}
	p := s.plan(pending)
	if err := s.settle(ctx, fence, p.ends); err != nil {
		return false, err
	}
	s.metrics.pending.Set(float64(len(pending) - len(p.ends)))
	if p.next == nil {
		return false, nil
	}
	return s.send(ctx, fence, p.next)
}

// callWindow is the minute of the budget, with room for calls that take unequal
// times to arrive.
const callWindow = time.Minute + 5*time.Second

// free reports whether the store knows of fewer calls than are allowed. A client
// forgets its calls when its process dies, and knows nothing of those of another
// process.
func (s *sender) free(ctx context.Context) (bool, error) {
	now := s.now()
	n, err := s.store.PageCalls(ctx, now.Add(-callWindow).UnixMicro(), now.UnixMicro())
	return n < s.calls, err
}

func (s *sender) settle(ctx context.Context, fence int64, ends []aggregate.PageEnd) error {
	if len(ends) == 0 {
		return nil
	}
	if err := s.store.SettlePages(ctx, fence, s.now(), ends); err != nil {
		return err
	}
	for _, e := range ends {
		s.metrics.pages.WithLabelValues(outcomeName(e.Outcome)).Inc()
	}
	return nil
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

// callRoom is the part of a lease that a call may not use, so that a call has ended
// before anybody else may act: a trigger that arrives after another process's
// resolve would stay open.
const callRoom = 3 * time.Second

func (s *sender) send(ctx context.Context, fence int64, p *aggregate.Page) (more bool, err error) {
	var e pagerduty.Event
	if err := json.Unmarshal(p.Payload, &e); err != nil {
		return true, s.end(ctx, fence, p, aggregate.PageRefused, "the stored page cannot be read: "+err.Error())
	}
	e.DedupKey = DedupKey(p.IncidentID)
	// Noted before the call: after a crash, nobody knows whether it arrived.
	if err := s.store.AttemptPage(ctx, fence, p.Seq, s.now()); err != nil {
		return false, err
	}
	calling, cancel := context.WithTimeout(ctx, leaseTTL-callRoom)
	defer cancel()
	if err := s.store.RenewAlerts(calling, fence, s.now().Add(leaseTTL)); err != nil {
		return false, err
	}
	err = s.pager.Send(calling, &e)
	var fault *pagerduty.Fault
	switch {
	case err == nil:
		s.failures, s.notUntil = 0, time.Time{}
		return true, s.end(ctx, fence, p, aggregate.PageSent, "")
	case errors.As(err, &fault) && fault.Final:
		s.logger.Error("PagerDuty refuses a page for good; nobody was called", "incident", p.IncidentID, "error", err)
		return true, s.end(ctx, fence, p, aggregate.PageRefused, err.Error())
	case ctx.Err() != nil:
		return false, nil // the term ends; whether it arrived is for the next one to settle
	}
	s.failed(p, err, fault)
	return false, nil
}

// failed sets when to try again.
func (s *sender) failed(p *aggregate.Page, err error, fault *pagerduty.Fault) {
	pause := waits[min(s.failures, len(waits)-1)]
	if fault != nil {
		pause = max(pause, fault.RetryAfter)
	}
	s.failures++
	s.notUntil = s.now().Add(pause)
	s.metrics.failures.Inc()
	s.logger.Warn(fmt.Sprintf("a page is not through; trying again in %s", pause), "incident", p.IncidentID, "error", err)
}

// settleWithin bounds the note on a page that was sent while the process ends.
const settleWithin = 5 * time.Second

// end notes what became of a page, even while the process ends.
func (s *sender) end(ctx context.Context, fence int64, p *aggregate.Page, outcome aggregate.PageOutcome, why string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	return s.settle(ctx, fence, []aggregate.PageEnd{{Seq: p.Seq, Outcome: outcome, Error: why}})
}
