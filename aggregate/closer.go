package aggregate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Closer closes units: it seals them, runs the second pass and writes what is final.
// Any number of closers may work on one store; the lease of a unit keeps them apart.
type Closer struct {
	cfg     CloseConfig
	dep     CloserDependencies
	metrics *closerMetrics
	rests   rests // of hours with late clicks
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// CloserDependencies are what a closer works with.
type CloserDependencies struct {
	Store Closing
	Judge Judge
	// Fixed returns the judge of the next unit where what judges changes while the
	// closer runs, so that a unit's hashes are those of its pass; nil: Judge.
	Fixed func() Judge
	// Terms returns what closing must know of a source; it is safe for concurrent
	// use. A source that is not known any more has the default grace.
	Terms func(tenantID, sourceID string) SourceTerms
	// ImpressionsKeep is how long the store keeps impressions; 0: hours are judged
	// without them.
	ImpressionsKeep time.Duration
	Owner           string // names this process in leases
	Version         string // of clickgate
	Now             func() time.Time
	Logger          *slog.Logger
	Registerer      prometheus.Registerer // nil for none
}

// NewCloser returns a closer that does nothing before Start, RunOnce or CloseNow.
func NewCloser(cfg CloseConfig, dep CloserDependencies) (*Closer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Closer{cfg: cfg, dep: dep, metrics: newCloserMetrics(dep.Registerer)}, nil
}

// Start looks for units that may close, again and again, until Stop.
func (c *Closer) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	if c.cfg.Interval == 0 {
		return
	}
	c.done.Go(func() {
		for {
			if _, err := c.RunOnce(ctx); err != nil && ctx.Err() == nil {
				c.metrics.errors.Inc()
				c.dep.Logger.Error("hours could not be closed; trying again", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(c.cfg.Interval):
			}
		}
	})
}

// Stop ends the work of Start; a transaction under way is rolled back and its unit
// closed by the next run.
func (c *Closer) Stop() {
	if c.stop != nil {
		c.stop()
		c.done.Wait()
	}
}

// UnitPlan is an open unit with when it closes and what it waits for.
type UnitPlan struct {
	UnitInfo
	Due  int64  // at the earliest, Unix microseconds
	Hold string // empty: it may close now
}

// Plan returns the open units in the order in which they close. A unit that waits
// holds the later ones of its tenant, because whose click is the first of its
// identity depends on what is closed.
func (c *Closer) Plan(ctx context.Context) ([]UnitPlan, error) {
	units, err := c.dep.Store.OpenUnits(ctx)
	if err != nil {
		return nil, err
	}
	marks, err := c.dep.Store.StoredMarks(ctx)
	if err != nil {
		return nil, err
	}
	retired, err := c.dep.Store.RetiredGateways(ctx)
	if err != nil {
		return nil, err
	}
	return c.plan(units, NewWatermarks(marks, retired)), nil
}

func (c *Closer) plan(units []UnitInfo, w *Watermarks) []UnitPlan {
	closingOrder(units, c.dep.Terms)
	now := c.dep.Now().UnixMicro()
	plans := make([]UnitPlan, len(units))
	held := make(map[string]Unit) // by tenant: the first unit that waits
	for i := range units {
		u := &units[i]
		terms := c.dep.Terms(u.TenantID, u.SourceID)
		p := UnitPlan{UnitInfo: *u, Due: due(u, terms), Hold: w.Hold(u, terms, now)}
		if first, ok := held[u.TenantID]; ok && p.Hold == "" {
			p.Hold = waitsFor(first)
		} else if !ok && p.Hold != "" {
			held[u.TenantID] = u.Unit
		}
		plans[i] = p
	}
	return plans
}

// RunOnce closes every unit that may close, and works off late clicks, within bounds
// where that takes long. It returns
// how many units it closed. A unit that waits or fails holds its tenant's later ones
// until they are overdue; the others go on.
func (c *Closer) RunOnce(ctx context.Context) (closed int, err error) {
	plans, err := c.Plan(ctx)
	if err != nil {
		return 0, err
	}
	c.metrics.observe(plans, c.dep.Now())
	busy, failed := make(map[string]bool), make(map[string]Unit)
	for i := range plans {
		p := &plans[i]
		if first, ok := failed[p.TenantID]; ok && p.Hold == "" {
			p.Hold = waitsFor(first)
		}
		forced := c.forced(p)
		// Overdue units pass those that wait, or a source whose old hours never
		// stop coming would keep its tenant open for good.
		if busy[p.TenantID] || p.Hold != "" && forced == "" {
			continue
		}
		e := c.closeUnit(ctx, p.Unit, forced)
		if errors.Is(e, errUnscored) && c.isOverdue(p) {
			e = c.closeUnit(ctx, p.Unit, "48 hours are over: it holds clicks that are not scored")
		}
		switch {
		case e == nil:
			closed++
		case errors.Is(e, ErrUnitClosed): // by another closer since; the next may follow
		case errors.Is(e, ErrNotLeased):
			busy[p.TenantID] = true // another closer is at work on the tenant, in order
		default:
			failed[p.TenantID], err = p.Unit, errors.Join(err, e)
		}
	}
	return closed, errors.Join(err, c.settleSome(ctx))
}

func waitsFor(u Unit) string {
	return fmt.Sprintf("waits for source %s hour %s", u.SourceID, clock(u.Hour))
}

// forced says why a unit closes that waits for something, empty when it must wait.
func (c *Closer) forced(p *UnitPlan) string {
	if p.Hold == "" || !c.isOverdue(p) {
		return ""
	}
	return "48 hours are over: " + p.Hold
}

func (c *Closer) isOverdue(p *UnitPlan) bool { return c.dep.Now().UnixMicro() >= overdue(&p.UnitInfo) }

// CloseNow closes the open units of a tenant and source, empty for all, up to the
// hour of before, whatever they wait for, in their order. Clicks that come later are
// late and become adjustments. It returns what it closed.
func (c *Closer) CloseNow(ctx context.Context, tenantID, sourceID string, before int64, who, why string) ([]Unit, error) {
	plans, err := c.Plan(ctx)
	if err != nil {
		return nil, err
	}
	var closed []Unit
	for i := range plans {
		p := &plans[i]
		if tenantID != "" && p.TenantID != tenantID || sourceID != "" && p.SourceID != sourceID || before != 0 && p.Hour >= before {
			continue
		}
		err := c.closeUnit(ctx, p.Unit, closedBy(who, why, p))
		if errors.Is(err, ErrUnitClosed) {
			continue // by another closer since
		}
		if err != nil {
			return closed, err
		}
		closed = append(closed, p.Unit)
	}
	return closed, c.settleAll(ctx)
}

// closedBy says who closed a unit, why, and what was not waited for.
func closedBy(who, why string, p *UnitPlan) string {
	text := fmt.Sprintf("closed by %s: %s", who, why)
	if p.Hold != "" {
		text += " (it waited: " + p.Hold + ")"
	}
	return text
}

// closeUnit seals and closes one unit.
func (c *Closer) closeUnit(ctx context.Context, u Unit, forced string) error {
	began := time.Now()
	unit := ClosedUnit{Unit: u, Version: c.dep.Version, Forced: forced}
	judge := c.judge()
	unit.PolicyHash, unit.ModelHash = judge.Hashes(u.TenantID, u.SourceID)
	var shown shows
	fed, err := c.fed(ctx, u)
	if err != nil {
		return fmt.Errorf("closing %v: %w", u, err)
	}
	err = c.leased(ctx, u, func(fence int64) error {
		if err := c.dep.Store.Seal(ctx, u, fence); err != nil {
			return err
		}
		return c.inPass(ctx, u, fence, judge, forced != "", func(p *pass) error {
			p.fed = fed == feedUsed
			err := p.close(ctx, &unit)
			shown = p.shows
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("closing %v: %w", u, err)
	}
	c.metrics.closed(forced != "", time.Since(began))
	c.tellFeed(u, fed, shown)
	if forced != "" {
		c.dep.Logger.Warn("an hour was closed by force", "tenant", u.TenantID, "source", u.SourceID, "hour", clock(u.Hour), "why", forced)
	}
	return nil
}

// judge is that of the next unit.
func (c *Closer) judge() Judge {
	if c.dep.Fixed != nil {
		return c.dep.Fixed()
	}
	return c.dep.Judge
}

// leased runs f with the lease of u and gives it back.
func (c *Closer) leased(ctx context.Context, u Unit, f func(fence int64) error) error {
	fence, err := c.dep.Store.Lease(ctx, u, c.dep.Owner, c.cfg.Lease.Microseconds())
	if err != nil {
		return err
	}
	if err = f(fence); errors.Is(err, ErrNotLeased) {
		return err // it is another's now
	}
	// Given back even when ctx is over, or the next closer waits for nothing.
	giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, e := c.dep.Store.Lease(giving, u, c.dep.Owner, 0); e != nil && !errors.Is(e, ErrNotLeased) {
		c.dep.Logger.Warn("a lease could not be given back; it ends by itself", "error", e)
	}
	return err
}

// inPass runs f with a pass over u in one closing transaction.
func (c *Closer) inPass(ctx context.Context, u Unit, fence int64, judge Judge, forced bool, f func(*pass) error) error {
	return c.dep.Store.InClosing(ctx, u, fence, func(tx ClosingTx) error {
		p, err := newPass(tx, u, judge, c.cfg, c.dep.Now().UnixMicro())
		if err != nil {
			return err
		}
		p.forced = forced
		return f(p)
	})
}
