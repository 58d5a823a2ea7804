package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/stream"
	"clickgate/timescale"
)

// longestPause is between two tries of a start whose services are away.
const longestPause = 30 * time.Second

// firstPause is between the first two tries of a gateway; an aggregator has
// aggregate.retry_pause.
const firstPause = time.Second

// errNoControl marks what a control topic that is away or empty says.
var errNoControl = errors.New("the control topic cannot be read")

// passes reports whether a start that failed with err may succeed later without a
// change of this process's configuration: a service that does not answer comes back,
// and tables and control entries are written by other commands.
func passes(err error) bool {
	var schema *aggregate.SchemaError
	if errors.As(err, &schema) {
		return schema.Have < schema.Want
	}
	return errors.Is(err, timescale.ErrAway) || errors.Is(err, stream.ErrAway) || errors.Is(err, errNoControl)
}

// await tries until it succeeds, ctx ends, or an error stands that no waiting mends.
// Each try that failed is said once, with the time of the next; waits, which may be
// nil, is told as well.
func await(ctx context.Context, first time.Duration, log *slog.Logger, waits func(error), try func() error) error {
	for pause := first; ; pause = min(2*pause, max(first, longestPause)) {
		err := try()
		if err == nil || !passes(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if waits != nil {
			waits(err)
		}
		log.Error("cannot start yet; it tries again", "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitAggregator is NewAggregator and CloseHoursByControl for a process of its own.
// Health, readiness and metrics are served at once where the configuration says so.
// While the store or a control topic does not answer, or `clickgate migrate` has not
// run yet, it is not ready, says why in the log and tries again with growing pauses
// until ctx ends. What no waiting mends is an error.
func AwaitAggregator(ctx context.Context, cfg *config.Config, opt Options) (*Aggregator, error) {
	a := &Aggregator{}
	a.waits(errors.New("the store is not open yet"))
	if addr := cfg.Aggregate.AdminListen; addr != "" {
		bound, err := a.ServeAdmin(addr, opt.Registry)
		if err != nil {
			return nil, err
		}
		opt.Logger.Info("aggregator's health and metrics", "listen", bound.String())
	}
	pause := cfg.Aggregate.RetryPause
	err := await(ctx, pause, opt.Logger, a.waits, func() error { return a.openStore(ctx, cfg) })
	if err == nil {
		err = a.build(cfg, opt)
	}
	if err == nil {
		err = await(ctx, pause, opt.Logger, a.waits, func() error { return a.CloseHoursByControl(ctx, cfg, opt) })
	}
	if err == nil {
		err = await(ctx, pause, opt.Logger, a.waits, func() error { return a.ManageModels(ctx, cfg, opt) })
	}
	if err != nil {
		return nil, errors.Join(err, a.Stop(context.WithoutCancel(ctx)))
	}
	a.waiting.Store(nil)
	return a, nil
}

// AwaitGateway is NewGateway for a process of its own: a first start, which has to ask
// Kafka for the topics, waits for Kafka with growing pauses until ctx ends, and says so
// in the log. Nothing listens meanwhile, so nothing is promised to anybody. options
// makes those of each try, with a registry of its own.
func AwaitGateway(ctx context.Context, cfg *config.Config, options func() Options) (g *Gateway, err error) {
	opt := options()
	err = await(ctx, firstPause, opt.Logger, nil, func() error {
		g, err = NewGateway(ctx, cfg, opt)
		if err != nil {
			opt = options()
		}
		return err
	})
	return g, err
}
