package command

import (
	"context"
	"errors"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
)

// stopAggregate is the time for the batch in hand; what is not committed then is
// read again by the next owner of the partition.
const stopAggregate = 30 * time.Second

type aggregateCmd struct{}

// Run consumes until the process is asked to stop.
func (c *aggregateCmd) Run(s *session) error {
	cfg, err := s.loadStrict(config.ForAggregate)
	if err != nil {
		return err
	}
	log := s.logger(&cfg.Log)
	registry := app.NewRegistry()
	opt := app.Options{Logger: log, Registry: registry, Version: s.Version}
	a, err := app.NewAggregator(s.ctx, &cfg.Config, opt)
	if err != nil {
		return err
	}
	if err := a.CloseHoursByControl(s.ctx, &cfg.Config, opt); err != nil {
		return errors.Join(err, a.Stop(context.WithoutCancel(s.ctx)))
	}
	if err := a.ManageModels(s.ctx, &cfg.Config, opt); err != nil {
		return errors.Join(err, a.Stop(context.WithoutCancel(s.ctx)))
	}
	if addr := cfg.Aggregate.AdminListen; addr != "" {
		bound, err := a.ServeAdmin(addr, registry)
		if err != nil {
			return errors.Join(err, a.Stop(context.WithoutCancel(s.ctx)))
		}
		log.Info("aggregator's health and metrics", "listen", bound.String())
	}
	a.Start()
	log.Info("aggregator consumes", "group", cfg.Aggregate.Group)
	<-s.ctx.Done()
	log.Info("aggregator stops")
	return s.within(stopAggregate, func(ctx context.Context) error { return a.Stop(ctx) })
}
