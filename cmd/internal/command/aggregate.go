package command

import (
	"context"
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
	a, err := app.AwaitAggregator(s.ctx, &cfg.Config, app.Options{Logger: log, Registry: app.NewRegistry(), Version: s.Version})
	if err != nil {
		return s.unlessStopped(err)
	}
	a.Start()
	log.Info("aggregator consumes", "group", cfg.Aggregate.Group)
	<-s.ctx.Done()
	log.Info("aggregator stops")
	return s.within(stopAggregate, func(ctx context.Context) error { return a.Stop(ctx) })
}
