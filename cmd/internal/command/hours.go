package command

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/report"
	"clickgate/gateway/control"
)

type hoursGroup struct {
	List  hoursListCmd  `cmd:"" help:"Hours of sources: open with what they wait for, or closed."`
	Close hoursCloseCmd `cmd:"" help:"Close hours now, whatever they wait for; what comes later is an adjustment."`
}

type hoursListCmd struct {
	Tenant string `help:"Only this tenant." placeholder:"ID"`
	Open   bool   `help:"Only hours that are not closed."`
	period
	output
}

func (c *hoursListCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withCloser(s.sourcesOrDefault, func(store aggregate.Store, closer *aggregate.Closer) error {
		plans, err := closer.Plan(s.ctx)
		if err != nil {
			return err
		}
		var closed []aggregate.ClosedUnit
		if !c.Open {
			if closed, err = store.ClosedUnits(s.ctx, aggregate.BillingQuery{TenantID: c.Tenant, From: from, To: to}); err != nil {
				return err
			}
		}
		kept := plans[:0]
		for _, p := range plans {
			if (c.Tenant == "" || p.TenantID == c.Tenant) && (from == 0 || p.Hour >= from) && (to == 0 || p.Hour < to) {
				kept = append(kept, p)
			}
		}
		return report.Hours(s.Stdout, kept, closed, c.format())
	})
}

type hoursCloseCmd struct {
	Tenant   string `help:"Only this tenant." placeholder:"ID"`
	Source   string `help:"Only this source." placeholder:"ID"`
	Before   string `help:"Only hours before this time: RFC 3339, YYYY-MM-DD (UTC), or back from now as -24h." placeholder:"TIME"`
	CloseNow bool   `required:"" help:"Say that you mean it."`
	Why      string `required:"" help:"The reason; it stands on the closed hour for good." placeholder:"TEXT"`
}

func (c *hoursCloseCmd) Run(s *session) error {
	before, err := parseTime("--before", c.Before, s.Now())
	if err != nil {
		return err
	}
	return s.withCloser(s.sources, func(_ aggregate.Store, closer *aggregate.Closer) error {
		closed, err := closer.CloseNow(s.ctx, c.Tenant, c.Source, before, s.who(), c.Why)
		for _, u := range closed {
			fmt.Fprintf(s.Stdout, "closed: %v\n", u)
		}
		if err == nil && len(closed) == 0 {
			return negative(fmt.Errorf("no open hour is of that tenant and source; see `clickgate hours list`"))
		}
		return err
	})
}

// withCloser opens the store and a closer that works on demand alone.
func (s *session) withCloser(known func(*config.Loaded) (app.Sources, error), f func(aggregate.Store, *aggregate.Closer) error) error {
	cfg, err := s.loadCloser()
	if err != nil {
		return err
	}
	sources, err := known(cfg)
	if err != nil {
		return err
	}
	return s.withStore(func(store aggregate.Store) error {
		// That an hour is closed by force is what was asked for, and no warning.
		log := slog.New(slog.NewTextHandler(s.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
		closer, err := app.NewCloser(s.ctx, &cfg.Config, store, app.Options{Logger: log, Version: s.Version}, sources)
		if err != nil {
			return err
		}
		return f(store, closer)
	})
}

// loadCloser loads what the processes that close hours by themselves go by: without
// brokers that is standalone, which has a model where nobody names one.
func (s *session) loadCloser() (*config.Loaded, error) {
	cfg, err := s.load(config.ForStore)
	if err != nil || len(cfg.Kafka.Brokers) > 0 {
		return cfg, err
	}
	src := s.source(s.dataDir())
	src.Defaults = []string{defaultModel}
	return s.loadFrom(src, config.ForStore)
}

// sources reads the sources' grace and policy from the control topic or the control
// file. Both decide over money: the order in which hours close, and so which of two
// sources has a click, and what is invalid. Where there is neither, the defaults hold.
func (s *session) sources(cfg *config.Loaded) (app.Sources, error) {
	if s.followsTopic(cfg) {
		_, snapshot, err := s.topicControl(cfg)
		if err != nil {
			return app.Sources{}, fmt.Errorf("the sources' grace and policy: %w", err)
		}
		return app.SourcesOf(control.NewSet(snapshot)), nil
	}
	if _, err := os.Stat(cfg.Control.File); cfg.Control.File == "" || errors.Is(err, fs.ErrNotExist) {
		return app.SourcesOf(nil), nil
	}
	snapshot, err := control.Load(cfg.Control.File)
	if err != nil {
		return app.Sources{}, err
	}
	return app.SourcesOf(control.NewSet(snapshot)), nil
}

// sourcesOrDefault is sources for a list, which is wanted most while Kafka is away.
func (s *session) sourcesOrDefault(cfg *config.Loaded) (app.Sources, error) {
	sources, err := s.sources(cfg)
	if err == nil || !s.followsTopic(cfg) {
		return sources, err
	}
	_, err = fmt.Fprintf(s.Stderr, "clickgate: %s; due times are shown with the default grace of %s\n", config.Redact(err.Error()), control.DefaultGrace)
	return app.SourcesOf(nil), err
}

type retireCmd struct {
	Gateway string `arg:"" help:"Id of the gateway, as \"report reconcile\" shows it."`
	Why     string `required:"" help:"What happened to it; kept for good." placeholder:"TEXT"`
}

// Run releases the hours that a gateway holds which will not come back.
func (c *retireCmd) Run(s *session) error {
	return s.withStore(func(store aggregate.Store) error {
		marks, err := store.StoredMarks(s.ctx)
		if err != nil {
			return err
		}
		known := false
		for i := range marks {
			known = known || marks[i].Mark.Gateway == c.Gateway
		}
		if !known {
			return negative(fmt.Errorf("gateway %q has never been heard of; see `clickgate report reconcile` for ids", c.Gateway))
		}
		r := aggregate.Retirement{Gateway: c.Gateway, At: s.Now().UnixMicro(), Who: s.who(), Why: c.Why}
		if err := store.RetireGateway(s.ctx, r); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.Stdout, "%s is retired from %s on; if it starts again, it counts again\n", c.Gateway, s.Now().UTC().Format(time.RFC3339))
		return err
	})
}
