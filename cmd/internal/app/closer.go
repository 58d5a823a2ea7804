package app

import (
	"context"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

// Terms returns what closing must know of a source.
type Terms func(tenantID, sourceID string) aggregate.SourceTerms

// TermsOf reads the terms from the control entries in force; a nil set, and a source
// that is not known any more, has the default grace.
func TermsOf(set *control.Set) Terms {
	return func(tenantID, sourceID string) aggregate.SourceTerms {
		terms := aggregate.SourceTerms{Grace: control.DefaultGrace.Microseconds()}
		if set == nil || set.Current() == nil {
			return terms
		}
		tenant := set.Current().Tenant(tenantID)
		if tenant == nil {
			return terms
		}
		for _, s := range append(tenant.Sources(), tenant.Edge) {
			if s.ID == sourceID {
				return aggregate.SourceTerms{Grace: s.Grace.Microseconds(), Backfill: s.Backfill}
			}
		}
		return terms
	}
}

// NewCloser returns a closer on store, which judges by the configured policy and
// model; it does nothing before it is started or asked.
func NewCloser(cfg *config.Config, store aggregate.Closing, opt Options, terms Terms) (*aggregate.Closer, error) {
	model, err := openModel(cfg.Scoring.Model)
	if err != nil {
		return nil, err
	}
	judge, err := scoring.NewJudge(cfg.Scoring, model)
	if err != nil {
		return nil, err
	}
	dep := aggregate.CloserDependencies{
		Store: store, Judge: judge, Terms: terms, Owner: owner(), Version: opt.Version, Now: time.Now, Logger: opt.Logger,
	}
	if opt.Registry != nil {
		dep.Registerer = opt.Registry
	}
	return aggregate.NewCloser(cfg.Aggregate.Close, dep)
}

// CloseHours lets the aggregator close hours too, from Start on, after the grace that
// terms give.
func (a *Aggregator) CloseHours(cfg *config.Config, opt Options, terms Terms) (err error) {
	a.closer, err = NewCloser(cfg, a.Store, opt, terms)
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
	return a.CloseHours(cfg, opt, TermsOf(set))
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
	a.cleanup.add("control feed", func(context.Context) error { feed.Close(); return nil })
	follower, err := control.NewFollower(ctx, control.FollowerConfig{
		Feed: feed, FirstRead: firstControlRead, Ring: keys.Ring, Now: time.Now, Logger: opt.Logger,
	})
	if err != nil {
		return nil, err
	}
	follower.Start()
	a.cleanup.add("control follower", func(context.Context) error { follower.Stop(); return nil })
	return follower.Set(), nil
}
