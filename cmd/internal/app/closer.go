package app

import (
	"context"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

// Sources says what closing must know of sources, from the control entries in force.
// A nil set knows none.
type Sources struct{ set *control.Set }

// SourcesOf reads from a set, which may be nil.
func SourcesOf(set *control.Set) Sources { return Sources{set} }

// find returns a source, nil for one that is not known (any more).
func (s Sources) find(tenantID, sourceID string) *control.Source {
	if s.set == nil || s.set.Current() == nil {
		return nil
	}
	tenant := s.set.Current().Tenant(tenantID)
	if tenant == nil {
		return nil
	}
	if tenant.Edge.ID == sourceID {
		return tenant.Edge
	}
	for _, source := range tenant.Sources() {
		if source.ID == sourceID {
			return source
		}
	}
	return nil
}

// terms of an unknown source are the default grace.
func (s Sources) terms(tenantID, sourceID string) aggregate.SourceTerms {
	if source := s.find(tenantID, sourceID); source != nil {
		return aggregate.SourceTerms{Grace: source.Grace.Microseconds(), Backfill: source.Backfill}
	}
	return aggregate.SourceTerms{Grace: control.DefaultGrace.Microseconds()}
}

// policies of a source's clicks, nil where there are none but the process's.
func (s Sources) policies(tenantID, sourceID string) *click.Policies {
	if source := s.find(tenantID, sourceID); source != nil {
		return source.Policies
	}
	return nil
}

// NewCloser returns a closer on store, which judges by the configured policy and
// model, and by what tenants, sources and campaigns set otherwise; it does nothing before it is started or asked.
func NewCloser(ctx context.Context, cfg *config.Config, store aggregate.Store, opt Options, sources Sources) (*aggregate.Closer, error) {
	judge, err := newJudge(ctx, cfg, store, opt, sources)
	if err != nil {
		return nil, err
	}
	return newCloser(cfg, store, opt, sources, judge)
}

func newCloser(cfg *config.Config, store aggregate.Closing, opt Options, sources Sources, judge *scoring.Judge) (*aggregate.Closer, error) {
	dep := aggregate.CloserDependencies{
		Store: store, Judge: judge, Fixed: func() aggregate.Judge { return judge.Fixed() }, Terms: sources.terms, Owner: owner(), Version: opt.Version, Now: time.Now, Logger: opt.Logger,
		ImpressionsKeep: cfg.Aggregate.Feeds.ImpressionsKeep,
	}
	if opt.Registry != nil {
		dep.Registerer = opt.Registry
	}
	return aggregate.NewCloser(cfg.Aggregate.Close, dep)
}

// CloseHours lets the aggregator close hours too, from Start on.
func (a *Aggregator) CloseHours(ctx context.Context, cfg *config.Config, opt Options, sources Sources) (err error) {
	if a.judge, err = newJudge(ctx, cfg, a.Store, opt, sources); err != nil {
		return err
	}
	a.closer, err = newCloser(cfg, a.Store, opt, sources, a.judge)
	return err
}

// CloseHoursByControl is CloseHours with the control entries of the topic or file that
// the configuration names.
func (a *Aggregator) CloseHoursByControl(ctx context.Context, cfg *config.Config, opt Options) error {
	if cfg.Aggregate.Close.Interval == 0 {
		return nil
	}
	set, err := a.openControl(ctx, cfg, opt)
	if err != nil {
		return err
	}
	return a.CloseHours(ctx, cfg, opt, SourcesOf(set))
}

func (a *Aggregator) openControl(ctx context.Context, cfg *config.Config, opt Options) (*control.Set, error) {
	switch {
	case cfg.Control.Topic:
		return a.followControl(ctx, cfg, opt)
	case cfg.Control.File != "":
		snapshot, err := control.Load(cfg.Control.File)
		if err != nil {
			return nil, err
		}
		return control.NewSet(snapshot), nil
	}
	opt.Logger.Warn("sources close after the default grace: neither control.topic nor control.file is set", "grace", control.DefaultGrace)
	return nil, nil
}

// followControl follows the control topic, without a cache: an aggregator needs
// Kafka anyway.
func (a *Aggregator) followControl(ctx context.Context, cfg *config.Config, opt Options) (*control.Set, error) {
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		return nil, fmt.Errorf("hours close after the grace that the control topic gives their source, and its entries are sealed: %w", err)
	}
	feed, err := control.NewKafkaFeed(stream.ControlTopic, cfg.Kafka.ClientOptions("clickgate-control")...)
	if err != nil {
		return nil, err
	}
	follower, err := control.NewFollower(ctx, control.FollowerConfig{
		Feed: feed, FirstRead: firstControlRead, Ring: keys.Ring, Now: time.Now, Logger: opt.Logger,
	})
	if err != nil {
		feed.Close()
		return nil, fmt.Errorf("%w: %w", errNoControl, err)
	}
	a.cleanup.add("control feed", func(context.Context) error { feed.Close(); return nil })
	follower.Start()
	a.cleanup.add("control follower", func(context.Context) error { follower.Stop(); return nil })
	return follower.Set(), nil
}
