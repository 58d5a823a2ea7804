package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
)

// AuditConfig is how the running process checks its books.
type AuditConfig struct {
	// Interval lies between two accounts at least; 0 makes none. An account reads every
	// stored row, so more time lies between them where it takes long: they never take
	// more than a twentieth of the time.
	Interval time.Duration `yaml:"interval"`
}

// Validate reports the first impossible value, by key and remedy.
func (c *AuditConfig) Validate() error {
	if c.Interval != 0 && (c.Interval < 10*time.Millisecond || c.Interval > 24*time.Hour) {
		return fmt.Errorf("aggregate.audit.interval: %s is out of range; use 10ms to 24h, or 0 to make no account in this process", c.Interval)
	}
	return nil
}

// auditShare is the part of the time that accounts take at most: one in so many.
const auditShare = 20

// AuditDependencies are what an Auditor works with; it owns none of them.
type AuditDependencies struct {
	Store      Reports
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Auditor makes the account of `report reconcile` again and again while the process
// runs, and shows it as metrics: what each gateway made durable by its own sequences
// against the rows of it. Equality is demanded at any time, because only what the
// gateways' marks vouch for is compared.
type Auditor struct {
	cfg     AuditConfig
	dep     AuditDependencies
	metrics *auditMetrics
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewAuditor returns an auditor; nothing runs before Start.
func NewAuditor(cfg AuditConfig, dep AuditDependencies) (*Auditor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Auditor{cfg: cfg, dep: dep, metrics: newAuditMetrics(dep.Registerer)}, nil
}

// Start begins making accounts, unless the interval is 0.
func (a *Auditor) Start() {
	if a.cfg.Interval == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.done.Go(func() { a.run(ctx) })
}

// Stop ends it; an account under way is given up.
func (a *Auditor) Stop() {
	if a.stop != nil {
		a.stop()
		a.done.Wait()
	}
}

func (a *Auditor) run(ctx context.Context) {
	pause := a.cfg.Interval
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		start := a.dep.Now()
		if _, err := a.RunOnce(ctx); err != nil && ctx.Err() == nil {
			a.dep.Logger.Error("the account of the books could not be made", "error", err)
		}
		pause = max(a.cfg.Interval, (auditShare-1)*a.dep.Now().Sub(start))
	}
}

// RunOnce makes one account and shows it.
func (a *Auditor) RunOnce(ctx context.Context) (*Reconciliation, error) {
	ledger, err := a.dep.Store.Ledger(ctx, LedgerQuery{})
	if err != nil {
		a.metrics.errors.Inc()
		return nil, err
	}
	r := Reconcile(&ledger)
	if a.metrics.show(r, gatewayAccounts(r, ledger.Rows), a.dep.Now()) {
		a.dep.Logger.Error("the books do not balance; see `clickgate report reconcile`", "differences", differences(r))
	}
	return r, nil
}

// gatewayAccount sums up the boots of a gateway.
type gatewayAccount struct {
	gateway                                              string
	boot                                                 uint64 // the newest
	durable, stored, lost, doubled, redelivered, unknown int64
}

// gatewayAccounts returns accounts of at most maxGateways gateways, those with the
// newest boots, and one of all others together.
func gatewayAccounts(r *Reconciliation, rows []RowCount) []gatewayAccount {
	byName := make(map[string]*gatewayAccount)
	of := func(gateway string) *gatewayAccount {
		g := byName[gateway]
		if g == nil {
			g = &gatewayAccount{gateway: gateway}
			byName[gateway] = g
		}
		return g
	}
	for _, b := range r.Boots {
		g := of(b.Gateway)
		g.boot = max(g.boot, b.Boot)
		g.durable += int64(b.ThroughSeq) - b.Void
		g.stored += b.Stored
		g.lost += max(0, b.Missing)
		g.doubled += max(0, -b.Missing)
		g.unknown += b.Unknown
	}
	for _, n := range rows {
		if n.State == click.Redelivered {
			of(n.Gateway).redelivered += n.Proven + n.Tail
		}
	}
	list := make([]gatewayAccount, 0, len(byName))
	for _, g := range byName {
		list = append(list, *g)
	}
	slices.SortFunc(list, func(a, b gatewayAccount) int {
		return cmp.Or(cmp.Compare(b.boot, a.boot), cmp.Compare(a.gateway, b.gateway))
	})
	if len(list) <= maxGateways {
		return list
	}
	others := gatewayAccount{gateway: otherGateways}
	for _, g := range list[maxGateways:] {
		others.durable += g.durable
		others.stored += g.stored
		others.lost += g.lost
		others.doubled += g.doubled
		others.redelivered += g.redelivered
		others.unknown += g.unknown
	}
	return append(list[:maxGateways], others)
}

// differences counts what does not add up.
func differences(r *Reconciliation) (n int) {
	for _, h := range r.Hours {
		if h.Difference != 0 {
			n++
		}
	}
	for _, b := range r.Boots {
		if b.Missing != 0 {
			n++
		}
	}
	return n + len(r.Totals) + len(r.Closed)
}
