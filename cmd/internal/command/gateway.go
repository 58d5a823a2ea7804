package command

import (
	"context"
	"errors"
	"net"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/durable"
)

type gatewayCmd struct{}

// Run serves until the process is asked to stop, then drains.
func (c *gatewayCmd) Run(s *session) error {
	cfg, err := s.loadStrict(config.ForGateway)
	if err != nil {
		return err
	}
	log := s.logger(&cfg.Log)
	g, err := app.AwaitGateway(s.ctx, &cfg.Config, func() app.Options { return app.Options{Logger: log, Registry: app.NewRegistry()} })
	if err != nil {
		return s.unlessStopped(err)
	}
	if err := g.Start(); err != nil {
		return errors.Join(err, g.Close(context.WithoutCancel(s.ctx)))
	}
	log.Info("gateway serves", "name", g.Name, "listen", g.Server.Addr().String(), "admin", g.Server.AdminAddr().String(), "batch", listening(g.Server.BatchAddr()))
	<-s.ctx.Done()
	t := cfg.Gateway.Timeouts
	log.Info("gateway drains", "lead", t.Lead, "drain", t.Drain)
	g.Server.Drain()
	time.Sleep(t.Lead)
	return s.within(t.Drain, func(ctx context.Context) error {
		served := g.Server.Stop(ctx)
		passing, cancel := context.WithTimeout(ctx, cfg.Durable.StopTimeout)
		defer cancel()
		err := g.Log.Stop(passing)
		if errors.Is(err, durable.ErrUnsent) {
			log.Warn("the next start goes on with what is left in the spool", "left", err)
			err = nil
		}
		return errors.Join(served, err, g.Close(ctx))
	})
}

// listening shows the address of a listener that may be off.
func listening(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}

// unlessStopped is the error of a start, nil where the start waited for others and the
// process was asked to stop meanwhile.
func (s *session) unlessStopped(err error) error {
	if s.ctx.Err() != nil && errors.Is(err, s.ctx.Err()) {
		return nil
	}
	return err
}

// within runs an orderly stop: the command's own context has ended by then.
func (s *session) within(limit time.Duration, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), limit)
	defer cancel()
	return stop(ctx)
}
