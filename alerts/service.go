package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty"

	"github.com/prometheus/client_golang/prometheus"
)

// Service watches the store and rings. Of several on one store one acts.
type Service struct {
	cfg     Config
	dep     Dependencies
	metrics *metrics
	sender  *sender
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

// Store is what a service needs of a store: incidents, and the marks that tell how
// far the counts are.
type Store interface {
	aggregate.Incidents
	StoredMarks(ctx context.Context) ([]aggregate.StoredMark, error)
}

// Dependencies are what a service works with.
type Dependencies struct {
	Store      Store
	Pager      Pager
	Calls      int    // at most, in any minute, of all processes on the store together
	Owner      string // names this process in the lease
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for none
}

const (
	// leaseTTL is longer than a call to PagerDuty may take, see callRoom.
	leaseTTL = pagerduty.MaxTimeout + 5*time.Second
	tick     = time.Second
	// lookEvery is how often marks are read.
	lookEvery = 5 * time.Second
	// farBehind bounds the minutes that are judged after a long absence: what is
	// older is history, and nobody is to be woken for it. It also bounds how far
	// ahead of the clock judged minutes may be.
	farBehind = 3 * time.Hour
)

// New returns a service of a valid configuration; nothing runs before Start.
func New(cfg Config, dep Dependencies) *Service {
	s := &Service{cfg: cfg, dep: dep, metrics: newMetrics(dep.Registerer)}
	s.sender = &sender{
		store: dep.Store, pager: dep.Pager, calls: max(1, int64(dep.Calls)), now: dep.Now, logger: dep.Logger, metrics: s.metrics, plan: planPages,
	}
	return s
}

// Start asks for the lease, and acts while it has it, until Stop.
func (s *Service) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.done.Go(func() {
		pause := tick
		for ctx.Err() == nil {
			begun := s.dep.Now()
			err := s.term(ctx)
			s.metrics.leader.Set(0)
			s.metrics.pending.Set(0)
			s.metrics.open.Set(0)
			s.metrics.behind.Set(0)
			s.open.Store(nil)
			switch {
			case ctx.Err() != nil || errors.Is(err, aggregate.ErrLeased):
				pause = tick
			default:
				if s.dep.Now().Sub(begun) > leaseTTL { // it was well for a while
					pause = tick
				}
				s.metrics.errors.Inc()
				s.dep.Logger.Warn("alerts begin again", "error", err, "in", pause)
			}
			sleep(ctx, pause)
			pause = min(2*pause, leaseTTL)
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
	for what, run := range map[string]func(context.Context) error{
		"minutes are not judged": w.advance,
		"pages are not sent":     func(ctx context.Context) error { return s.sender.round(ctx, lease.Fence) },
	} {
		both.Go(func() { cancel(s.repeat(ctx, what, run)) })
	}
	both.Wait()
	return context.Cause(ctx)
}

// errUnsaved says that a minute was judged and not written: what is in memory is
// ahead of the store, and has to be read again.
var errUnsaved = errors.New("a judged minute could not be written")

// repeat calls run once a tick until the term is over, and returns why. A store that
// is away for a while does not end it.
func (s *Service) repeat(ctx context.Context, what string, run func(context.Context) error) error {
	told := ""
	for ctx.Err() == nil {
		err := run(ctx)
		switch {
		case errors.Is(err, aggregate.ErrNotLeader) || errors.Is(err, errUnsaved):
			return err
		case err == nil:
			told = ""
		case ctx.Err() == nil:
			s.metrics.errors.Inc()
			if told != err.Error() {
				told = err.Error()
				s.dep.Logger.Warn(what, "error", err)
			}
		}
		sleep(ctx, tick)
	}
	return ctx.Err()
}

// watch is the work of one term.
type watch struct {
	*Service
	fence    int64
	judged   int64 // the last judged minute
	engine   *Engine
	tracker  *tracker
	progress *progress
	renewed  time.Time // when the lease was renewed last
	looked   time.Time // when marks were read last
	cut      int64
}

// begin reads what the past says: open incidents, the hours of four weeks, and the
// minutes that the detectors look back on, which ring for nothing.
func (s *Service) begin(ctx context.Context, lease aggregate.AlertsLease) (*watch, error) {
	now := s.dep.Now()
	last := floorMinute(now.Add(-s.cfg.Settle).UnixMicro()) - minuteMicros
	judged := lease.Judged
	if far := farBehind.Microseconds(); judged == 0 || last-judged > far || judged-last > far {
		judged = last
	}
	known, err := s.dep.Store.ListIncidents(ctx, aggregate.IncidentQuery{Since: judged - s.cfg.ReopenWithin.Microseconds()})
	if err != nil {
		return nil, err
	}
	w := &watch{
		Service: s, fence: lease.Fence, judged: judged, engine: NewEngine(s.cfg), tracker: newTracker(s.cfg, known),
		progress: newProgress(s.cfg.Patience), renewed: now,
	}
	return w, w.keeping(ctx, w.remember)
}

// keeping renews the lease while f runs, which may take longer than the lease on a
// large store: two processes would take it from each other for ever.
func (w *watch) keeping(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var renewing sync.WaitGroup
	var lost error
	renewing.Go(func() {
		for ctx.Err() == nil {
			if err := w.renew(ctx); errors.Is(err, aggregate.ErrNotLeader) {
				lost = err
				cancel()
			}
			sleep(ctx, tick)
		}
	})
	err := f(ctx)
	cancel()
	renewing.Wait()
	return cmp.Or(lost, err)
}

func floorMinute(micros int64) int64 { return micros - micros%minuteMicros }

// renew keeps the lease, with time for two more tries before it runs out.
func (w *watch) renew(ctx context.Context) error {
	now := w.dep.Now()
	if passed := now.Sub(w.renewed); passed >= 0 && passed < leaseTTL/3 {
		return nil
	}
	err := w.dep.Store.RenewAlerts(ctx, w.fence, now.Add(leaseTTL))
	if err == nil {
		w.renewed = now
	}
	return err
}

// windows is how many windows of minutes are read at the beginning: enough for a
// detector to find what crept up and was told.
const windows = 3

func (w *watch) remember(ctx context.Context) error {
	first := w.judged - windows*int64(w.cfg.WindowMinutes)*minuteMicros
	hours, err := w.dep.Store.HourCounts(ctx, w.judged-forgetAfter, first-first%(60*minuteMicros))
	if err != nil {
		return err
	}
	w.engine.rememberHours(hours)
	rows, err := w.dep.Store.MinuteCounts(ctx, first, w.judged+minuteMicros)
	if err != nil {
		return err
	}
	byMinute := split(rows)
	begun := len(hours) > 0 // an empty past is none: a new store has no baseline of zeros
	for minute := first; minute <= w.judged; minute += minuteMicros {
		if begun = begun || len(byMinute[minute]) > 0; begun {
			w.engine.Judge(minute, byMinute[minute])
		}
	}
	w.engine.restore(w.tracker.open)
	w.publish()
	return nil
}

func split(rows []aggregate.MinuteCount) map[int64][]aggregate.MinuteCount {
	out := make(map[int64][]aggregate.MinuteCount)
	for i := range rows {
		out[rows[i].Minute] = append(out[rows[i].Minute], rows[i])
	}
	return out
}

// advance judges the minutes that are whole.
func (w *watch) advance(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.renew(ctx); err != nil {
			return err
		}
		minute := w.judged + minuteMicros
		w.metrics.behind.Set(w.dep.Now().Sub(time.UnixMicro(minute)).Seconds())
		whole, err := w.whole(ctx, minute)
		if err != nil || !whole {
			return err
		}
		rows, err := w.dep.Store.MinuteCounts(ctx, minute, minute+minuteMicros)
		if err != nil {
			return err
		}
		if err := w.judge(ctx, minute, rows); err != nil {
			return err
		}
	}
	return nil
}

// whole reports whether the store has all of a minute that was going to come within
// the time to settle. No wall clock has a part in it but those of the gateways.
func (w *watch) whole(ctx context.Context, minute int64) (bool, error) {
	settled := minute + minuteMicros + w.cfg.Settle.Microseconds()
	if w.progress.until >= settled {
		return true, nil
	}
	now := w.dep.Now()
	passed := now.Sub(w.looked)
	if passed >= 0 && passed < lookEvery {
		return false, nil
	}
	w.looked = now
	marks, err := w.dep.Store.StoredMarks(ctx)
	if err != nil {
		return false, err
	}
	w.progress.take(marks, max(0, min(passed, 2*lookEvery))) // while this process did not run, it did not wait
	return w.progress.until >= settled, nil
}

func (w *watch) judge(ctx context.Context, minute int64, rows []aggregate.MinuteCount) error {
	puts := w.tracker.take(w.engine.Judge(minute, rows))
	if err := w.dep.Store.PutIncidents(ctx, w.fence, minute, puts); err != nil {
		return fmt.Errorf("%w: minute %s: %w", errUnsaved, clock(minute), err)
	}
	w.judged = minute
	w.metrics.judged.Inc()
	for i := range puts {
		w.tell(&puts[i].Incident, minute)
	}
	w.publish()
	return nil
}

// tell logs beginnings and ends.
func (w *watch) tell(i *aggregate.Incident, minute int64) {
	switch {
	case !i.Open():
		w.dep.Logger.Info("an incident is over", "incident", i.ID, "title", i.Title)
	case i.OpenedAt == minute && i.Reopened == 0:
		w.metrics.opened.Inc()
		w.dep.Logger.Warn("an incident is open", "incident", i.ID, "title", i.Title, "severity", i.Severity.String())
	}
}

// publish shows what is open.
func (w *watch) publish() {
	open := make([]aggregate.Incident, len(w.tracker.open))
	for i := range open {
		open[i] = clone(w.tracker.open[i])
	}
	w.open.Store(&open)
	w.metrics.open.Set(float64(len(open)))
	w.metrics.series.Set(float64(len(w.engine.series)))
	w.metrics.cut.Add(float64(w.engine.cut - w.cut))
	w.cut = w.engine.cut
}
