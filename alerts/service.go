package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/aggregate"

	"github.com/prometheus/client_golang/prometheus"
)

// Service watches the store and rings. Of several on one store one acts.
type Service struct {
	cfg     Config
	dep     Dependencies
	metrics *metrics
	open    atomic.Pointer[[]aggregate.Incident]
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// Open returns the incidents that this process holds open, oldest first; none while
// another process acts. It is safe for concurrent use.
func (s *Service) Open() []aggregate.Incident {
	if open := s.open.Load(); open != nil {
		return *open
	}
	return nil
}

// Dependencies are what a service works with.
type Dependencies struct {
	Store      aggregate.Incidents
	Pager      Pager
	Owner      string // names this process in the lease
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for none
}

const (
	leaseTTL = 15 * time.Second
	tick     = time.Second
	// memoryWeeks is how far back hours are read when a service begins.
	memoryWeeks = weeks
	// farBehind bounds the minutes that are judged after a long absence: what is
	// older is history, and nobody is to be woken for it.
	farBehind = 3 * time.Hour
)

// New returns a service of a valid configuration; nothing runs before Start.
func New(cfg Config, dep Dependencies) *Service {
	return &Service{cfg: cfg, dep: dep, metrics: newMetrics(dep.Registerer)}
}

// Start asks for the lease, and acts while it has it, until Stop.
func (s *Service) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.done.Go(func() {
		for ctx.Err() == nil {
			err := s.term(ctx)
			s.metrics.leader.Set(0)
			s.open.Store(nil)
			if err != nil && ctx.Err() == nil && !errors.Is(err, aggregate.ErrLeased) {
				s.metrics.errors.Inc()
				s.dep.Logger.Warn("alerts begin again", "error", err)
			}
			sleep(ctx, tick)
		}
	})
}

// Stop gives the lease up; what is pending stays in the store.
func (s *Service) Stop() {
	if s.stop != nil {
		s.stop()
		s.done.Wait()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// term is the time from taking the lease to losing it.
func (s *Service) term(ctx context.Context) error {
	lease, err := s.dep.Store.LeaseAlerts(ctx, s.dep.Owner, s.dep.Now(), leaseTTL)
	if err != nil {
		return err
	}
	s.metrics.leader.Set(1)
	defer func() { // so that the next one need not wait
		giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.dep.Store.RenewAlerts(giving, lease.Fence, s.dep.Now().Add(-time.Second)) // it ends by itself
	}()
	w, err := s.begin(ctx, lease)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var both sync.WaitGroup
	for _, run := range []func(context.Context) error{
		func(ctx context.Context) error {
			if err := s.dep.Store.RenewAlerts(ctx, lease.Fence, s.dep.Now().Add(leaseTTL)); err != nil {
				return err
			}
			return w.advance(ctx)
		},
		func(ctx context.Context) error { return w.sender.round(ctx, lease.Fence) },
	} {
		both.Go(func() {
			for ctx.Err() == nil {
				if err := run(ctx); err != nil {
					cancel(err)
					return
				}
				sleep(ctx, tick)
			}
		})
	}
	both.Wait()
	return context.Cause(ctx)
}

// watch is the work of one term.
type watch struct {
	*Service
	fence   int64
	judged  int64 // the last judged minute
	engine  *Engine
	tracker *tracker
	sender  *sender
	cut     int64
}

// begin reads what the past says: open incidents, the hours of four weeks, and the
// minutes that the detectors look back on, which ring for nothing.
func (s *Service) begin(ctx context.Context, lease aggregate.AlertsLease) (*watch, error) {
	now := s.dep.Now()
	last := floorMinute(now.Add(-s.cfg.Settle).UnixMicro()) - minuteMicros
	judged := lease.Judged
	if judged == 0 || last-judged > farBehind.Microseconds() {
		judged = last
	}
	known, err := s.dep.Store.ListIncidents(ctx, aggregate.IncidentQuery{Since: judged - s.cfg.ReopenWithin.Microseconds()})
	if err != nil {
		return nil, err
	}
	w := &watch{
		Service: s, fence: lease.Fence, judged: judged, engine: NewEngine(s.cfg), tracker: newTracker(s.cfg, known),
		sender: &sender{store: s.dep.Store, pager: s.dep.Pager, now: s.dep.Now, logger: s.dep.Logger, metrics: s.metrics},
	}
	return w, w.remember(ctx)
}

func floorMinute(micros int64) int64 { return micros - micros%minuteMicros }

func (w *watch) remember(ctx context.Context) error {
	from := w.judged - int64(memoryWeeks*weekHours)*60*minuteMicros
	hours, err := w.dep.Store.HourCounts(ctx, from, w.judged)
	if err != nil {
		return err
	}
	w.engine.rememberHours(hours)
	first := w.judged - int64(2*w.cfg.WindowMinutes)*minuteMicros
	rows, err := w.dep.Store.MinuteCounts(ctx, first, w.judged+minuteMicros)
	if err != nil {
		return err
	}
	byMinute := split(rows)
	for minute := first; minute <= w.judged; minute += minuteMicros {
		if len(byMinute) > 0 { // an empty past is none: a new store has no baseline of zeros
			w.engine.Judge(minute, byMinute[minute])
		}
	}
	return nil
}

func split(rows []aggregate.MinuteCount) map[int64][]aggregate.MinuteCount {
	out := make(map[int64][]aggregate.MinuteCount)
	for i := range rows {
		out[rows[i].Minute] = append(out[rows[i].Minute], rows[i])
	}
	return out
}

// advance judges the minutes that are whole. A minute is whole some time after its
// end, once the store has something newer: an aggregator that lags is no dip.
func (w *watch) advance(ctx context.Context) error {
	for ctx.Err() == nil {
		minute := w.judged + minuteMicros
		end := time.UnixMicro(minute + minuteMicros)
		now := w.dep.Now()
		w.metrics.behind.Set(now.Sub(time.UnixMicro(minute)).Seconds())
		if now.Before(end.Add(w.cfg.Settle)) {
			return nil
		}
		rows, err := w.dep.Store.MinuteCounts(ctx, minute, now.UnixMicro()+minuteMicros)
		if err != nil {
			return err
		}
		byMinute := split(rows)
		newer := len(byMinute) > 1 || len(byMinute) == 1 && byMinute[minute] == nil
		if !newer && now.Before(end.Add(w.cfg.Settle+w.cfg.Patience)) {
			return nil
		}
		if err := w.judge(ctx, minute, byMinute[minute]); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (w *watch) judge(ctx context.Context, minute int64, rows []aggregate.MinuteCount) error {
	puts := w.tracker.take(w.engine.Judge(minute, rows))
	if err := w.dep.Store.PutIncidents(ctx, w.fence, minute, puts); err != nil {
		return fmt.Errorf("minute %s: %w", clock(minute), err)
	}
	w.judged = minute
	for i := range puts {
		if puts[i].OpenedAt == minute && puts[i].Reopened == 0 {
			w.metrics.opened.Inc()
			w.dep.Logger.Warn("an incident is open", "incident", puts[i].ID, "title", puts[i].Title, "severity", puts[i].Severity.String())
		}
	}
	open := make([]aggregate.Incident, len(w.tracker.open))
	for i := range open {
		open[i] = clone(w.tracker.open[i])
	}
	w.open.Store(&open)
	w.metrics.open.Set(float64(len(open)))
	w.metrics.series.Set(float64(len(w.engine.series)))
	w.metrics.cut.Add(float64(w.engine.cut - w.cut))
	w.cut = w.engine.cut
	return nil
}
