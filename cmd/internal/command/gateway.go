package command

import (
	"context"
	"errors"
	"net"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
)

type gatewayCmd struct{}

// Run serves until the process is asked to stop, then drains.
func (c *gatewayCmd) Run(s *session) error {
	cfg, err := s.loadStrict(config.ForGateway)
	if err != nil {
		return err
	}
	log := s.logger(&cfg.Log)
	g, err := app.NewGateway(s.ctx, &cfg.Config, app.Options{Logger: log, Registry: app.NewRegistry()})
	if err != nil {
		return err
	}
	if err := g.Start(); err != nil {
		return errors.Join(err, g.Close(context.WithoutCancel(s.ctx)))
	}
	log.Info("gateway serves", "name", g.Name, "listen", g.Server.Addr().String(), "admin", g.Server.AdminAddr().String(), "batch", listening(g.Server.BatchAddr()))
	<-s.ctx.Done()
	log.Info("gateway drains")
	// The longest request, its answer, and the log's own time to empty.
	t := cfg.Gateway.Timeouts
	return s.within(t.Read+t.Write+cfg.Durable.StopTimeout, func(ctx context.Context) error {
		return errors.Join(g.Stop(ctx), g.Close(ctx))
	})
}

// listening shows the address of a listener that may be off.
func listening(a net.Addr) string {
	if a == nil {
		return "off"
	}
	return a.String()
}

// within runs an orderly stop: the command's own context has ended by then.
func (s *session) within(limit time.Duration, stop func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), limit)
	defer cancel()
	return stop(ctx)
}
