package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/timescale"

	"github.com/prometheus/client_golang/prometheus"
)

// OpenStore opens the configured store for writing.
func OpenStore(ctx context.Context, cfg *config.Store) (aggregate.Store, error) {
	if cfg.DSN != "" {
		return timescale.Open(ctx, cfg.DSN, timescale.Config{MaxConns: cfg.MaxConns, NoExtension: cfg.NoExtension})
	}
	return sqlite.Open(ctx, cfg.SQLite, sqlite.Config{})
}

// Migrate brings the configured store to this version's schema.
func Migrate(ctx context.Context, cfg *config.Store) error {
	store, err := OpenStore(ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(store.Migrate(ctx), store.Close())
}

// Aggregator is one aggregator: topics to store, and hours closed.
type Aggregator struct {
	Store aggregate.Store

	waiting  atomic.Pointer[error] // what a start still waits for
	consumer *aggregate.Aggregator
	feeds    *aggregate.Aggregator
	auditor  *aggregate.Auditor
	closer   *aggregate.Closer // nil: it closes no hours
	judge    *scoring.Judge    // the closer's
	models   *models           // nil: none are managed
	started  bool
	admin    *admin // nil without one
	cleanup  cleanups
}

// NewAggregator opens the store. It refuses a schema that is not this version's
// instead of changing it: `clickgate migrate` does that, before aggregators and
// gateways are upgraded.
func NewAggregator(ctx context.Context, cfg *config.Config, opt Options) (*Aggregator, error) {
	a := &Aggregator{}
	if err := a.openStore(ctx, cfg); err != nil {
		return nil, err
	}
	if err := a.build(cfg, opt); err != nil {
		return nil, errors.Join(err, a.Store.Close())
	}
	return a, nil
}

// openStore opens a store with this version's schema.
func (a *Aggregator) openStore(ctx context.Context, cfg *config.Config) error {
	store, err := OpenStore(ctx, &cfg.Store)
	if err != nil {
		return err
	}
	if err := store.CheckSchema(ctx); err != nil {
		return errors.Join(err, store.Close())
	}
	a.Store = store
	return nil
}

func (a *Aggregator) build(cfg *config.Config, opt Options) (err error) {
	if a.consumer, err = newAggregator(cfg, a.Store, opt); err == nil {
		a.feeds, err = aggregate.NewFeeds(cfg.Aggregate, aggregatorOf(cfg, a.Store, opt), a.Store)
	}
	if err == nil {
		a.auditor, err = newAuditor(cfg, a.Store, opt)
	}
	return err
}

func (a *Aggregator) waits(err error) { a.waiting.Store(&err) }

func newAuditor(cfg *config.Config, store aggregate.Reports, opt Options) (*aggregate.Auditor, error) {
	return aggregate.NewAuditor(cfg.Aggregate.Audit, aggregate.AuditDependencies{
		Store: store, Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
	})
}

func newAggregator(cfg *config.Config, store aggregate.Ingest, opt Options) (*aggregate.Aggregator, error) {
	return aggregate.New(cfg.Aggregate, aggregatorOf(cfg, store, opt))
}

func aggregatorOf(cfg *config.Config, store aggregate.Ingest, opt Options) aggregate.Dependencies {
	return aggregate.Dependencies{
		Store: store, Kafka: cfg.Kafka.ClientOptions("clickgate-aggregate"), Owner: owner(),
		Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
	}
}

// owner names this process in the store's claims.
func owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return fmt.Sprintf("%s pid %d", host, os.Getpid())
}

// Start begins consuming, and closing hours.
func (a *Aggregator) Start() {
	a.started = true
	a.consumer.Start()
	a.feeds.Start()
	a.auditor.Start()
	a.models.start()
	if a.closer != nil {
		a.closer.Start()
	}
}

// ServeAdmin serves health, readiness and metrics on an address of its own.
func (a *Aggregator) ServeAdmin(addr string, metrics prometheus.Gatherer) (net.Addr, error) {
	var err error
	if a.admin, err = startAdmin(addr, metrics, a.ready); err != nil {
		return nil, err
	}
	return a.admin.listener.Addr(), nil
}

// ready reports why clicks are not stored, or not all.
func (a *Aggregator) ready(ctx context.Context) error {
	if waiting := a.waiting.Load(); waiting != nil {
		return *waiting
	}
	return errors.Join(a.Store.Ping(ctx), a.consumer.Ready())
}

// Counts returns the events stored for the first time since the start, by
// provisional state.
func (a *Aggregator) Counts() [click.NumStates]int64 { return a.consumer.Counts() }

// Stop ends consuming, if it ever started, then closes the store, if it was opened.
func (a *Aggregator) Stop(ctx context.Context) error {
	var err error
	if a.auditor != nil {
		a.auditor.Stop()
	}
	a.models.stop()
	if a.closer != nil {
		a.closer.Stop()
	}
	if a.started {
		err = errors.Join(a.consumer.Stop(ctx), a.feeds.Stop(ctx))
	}
	err = errors.Join(err, a.admin.close(), a.cleanup.run(ctx))
	if a.Store != nil {
		err = errors.Join(err, a.Store.Close())
	}
	return err
}
