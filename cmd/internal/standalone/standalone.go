package standalone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"clickgate/alerts"
	"clickgate/alerts/console"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway"
	"clickgate/gateway/durable"
)

// Options are what a standalone process is started with.
type Options struct {
	Config   *config.Config // of a folder that Prepare completed
	Dir      string         // data folder
	DataFlag string         // " --data DIR" where other commands need it to find the folder
	Demo     Demo
	Version  string
	Stdout   io.Writer
	Logger   *slog.Logger
	Registry app.Registry // nil for one of its own
}

// segmentBytesSpool is smaller than in a cluster, because here a segment stays
// until the store has all of it, and what stays is forwarded again at a start.
const segmentBytesSpool = 16 << 20

// stopTimeout bounds the drain after Ctrl-C.
const stopTimeout = 20 * time.Second

// ErrBroken says that what the gateways took is not what is stored.
var ErrBroken = errors.New("the books do not balance; see the reconciliation above")

// Run starts everything, prints where it listens and once a second how it goes,
// until ctx ends; then it drains and prints the reconciliation. It returns an
// error when something could not start, or ErrBroken.
func Run(ctx context.Context, opt Options) error {
	s := &process{opt: opt, cfg: opt.Config}
	err := s.start(ctx)
	if err == nil {
		err = s.announce()
	}
	if err == nil {
		s.watch(ctx)
		err = s.drain()
	}
	closing, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return errors.Join(err, s.close(closing))
}

// process is a running standalone.
type process struct {
	opt Options
	cfg *config.Config

	broker     *broker
	backlog    *backlog
	gateway    *app.Gateway
	aggregator *app.Aggregator
	console    *console.Server // nil without one
	consoleNew bool            // its first user was made at this start
	alerts     *alerts.Service
	pager      *standIn // nil with a real PagerDuty
	feed       *feed
	control    *controlFile // nil while no control file is watched
}

func (s *process) start(ctx context.Context) error {
	if len(s.cfg.Kafka.Brokers) == 0 {
		b, err := startBroker()
		if err != nil {
			return err
		}
		s.broker = b
		b.configure(&s.cfg.Kafka)
		s.cfg.Durable.First = durable.SpoolFirst
		s.cfg.Spool.SegmentBytes = min(s.cfg.Spool.SegmentBytes, segmentBytesSpool)
	}
	if err := app.Migrate(ctx, &s.cfg.Store); err != nil {
		return err
	}
	appOpt := app.Options{Logger: s.opt.Logger, Registry: s.opt.Registry, Version: s.opt.Version, OwnModels: true}
	if appOpt.Registry == nil {
		appOpt.Registry = app.NewRegistry()
	}
	var err error
	if s.aggregator, err = app.NewAggregator(ctx, s.cfg, appOpt); err != nil {
		return err
	}
	if s.backlog, err = newBacklog(&s.cfg.Kafka, s.aggregator.Store); err != nil {
		return err
	}
	if s.broker != nil {
		appOpt.StoredThrough = s.backlog.stored
	}
	if err := s.prepareControl(ctx); err != nil {
		return err
	}
	if s.gateway, err = app.NewGateway(ctx, s.cfg, appOpt); err != nil {
		return err
	}
	s.backlog.topics = s.gateway.Topics
	if err := s.gateway.Start(); err != nil {
		return err
	}
	s.watchControl()
	if err := s.aggregator.CloseHours(ctx, s.cfg, appOpt, app.SourcesOf(s.gateway.Control)); err != nil {
		return err
	}
	if err := s.aggregator.ManageModels(ctx, s.cfg, appOpt, s.gateway.Models); err != nil {
		return err
	}
	s.aggregator.Start()
	if err := s.startConsole(ctx, appOpt.Registry); err != nil {
		return err
	}
	if err := s.startAlerts(appOpt); err != nil { // its pages link to the console
		return err
	}
	s.feed, err = s.startDemo(ctx)
	return err
}

func (s *process) announce() error {
	w := s.opt.Stdout
	edge := "http://" + s.gateway.Server.Addr().String()
	fmt.Fprintf(w, "clickgate %s, standalone, data in %s\n", s.opt.Version, s.opt.Dir)
	fmt.Fprintf(w, "  edge     %s\n", edge)
	if addr := s.gateway.Server.BatchAddr(); addr != nil {
		fmt.Fprintf(w, "  logs     %s://%s/v1/raw  (bin/clickgate replay FILE)\n", batchScheme(&s.cfg.Gateway.Batch), addr)
	}
	fmt.Fprintf(w, "  metrics  http://%s/metrics  (health: /healthz, /readyz)\n", s.gateway.Server.AdminAddr())
	if s.console != nil {
		if err := s.announceConsole(w); err != nil {
			return err
		}
	}
	if s.pager != nil {
		fmt.Fprintf(w, "  pager    %s  (stands in for PagerDuty: pagerduty.routing_key is not set)\n", s.pager.url)
	}
	fmt.Fprintf(w, "  store    %s\n", s.storeName())
	fmt.Fprintf(w, "Send a click of your own:\n  %s\n", curlLine(edge, s.opt.DataFlag))
	fmt.Fprintf(w, "and see it:\n  bin/clickgate report billing%s\n\n", s.opt.DataFlag)
	return nil
}

func batchScheme(cfg *gateway.BatchConfig) string {
	if cfg.TLSCert != "" {
		return "https"
	}
	return "http"
}

func (s *process) storeName() string {
	if s.cfg.Store.DSN != "" {
		return "PostgreSQL (store.dsn)"
	}
	return s.cfg.Store.SQLite
}

// visitor is the address the click comes from where the edge believes loopback,
// as with the demo; elsewhere it is ignored, and the click comes from loopback.
const visitor = "198.18.0.1"

const browser = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

func curlLine(edge, dataFlag string) string {
	return fmt.Sprintf(`curl -si -H 'X-Forwarded-For: %s' -A '%s' "%s/c?t=$(bin/clickgate token mint%s)"`, visitor, browser, edge, dataFlag)
}

// drain stops in the order of a click's life and prints what became of all.
func (s *process) drain() error {
	fmt.Fprintln(s.opt.Stdout, "\ndraining")
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	s.feed.stop()
	err := s.gateway.Stop(ctx)
	if err == nil {
		err = s.awaitStored(ctx)
	}
	if err == nil && s.broker != nil {
		err = s.gateway.Log.ReleaseStored(ctx)
	}
	return errors.Join(err, s.printBooks(ctx))
}

// awaitStored waits until the store has everything that stands in the topics.
func (s *process) awaitStored(ctx context.Context) error {
	for {
		lag, _, err := s.backlog.records(ctx)
		if err != nil {
			return err
		}
		if lag == 0 {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d records were not stored in time; they are in the spool and are stored at the next start", lag)
		}
	}
}

// close releases in reverse order whatever start got to.
func (s *process) close(ctx context.Context) error {
	var errs []error
	s.control.close()
	if s.feed != nil {
		s.feed.stop()
	}
	if s.gateway != nil {
		errs = append(errs, s.gateway.Close(ctx))
	}
	if s.console != nil {
		errs = append(errs, s.console.Stop(ctx))
	}
	if s.alerts != nil {
		s.alerts.Stop()
	}
	if s.pager != nil {
		s.pager.close()
	}
	if s.aggregator != nil {
		errs = append(errs, s.aggregator.Stop(ctx))
	}
	if s.backlog != nil {
		s.backlog.close()
	}
	if s.broker != nil {
		s.broker.close()
	}
	return errors.Join(errs...)
}
