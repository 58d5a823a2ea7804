// Package app wires the stages of clickgate into processes: which parts a
// gateway and an aggregator are made of, in which order they start, and that they
// stop in the reverse one.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"clickgate/aggregate/retrain"
	"clickgate/cmd/internal/config"
	"clickgate/gateway"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/hints"
	"clickgate/gateway/seal"
	"clickgate/gateway/spool"
	"clickgate/gateway/stream"
	"clickgate/scoring"
	"clickgate/scoring/demomodel"
	"clickgate/scoring/givt"
	"clickgate/scoring/iforest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options are what a process brings in from outside its configuration.
type Options struct {
	Logger   *slog.Logger
	Registry Registry
	Version  string // of clickgate, on the hours that are closed
	// StoredThrough binds the release of the spool to the store; see
	// durable.Dependencies. Nil in a cluster, where Kafka is the log.
	StoredThrough func(ctx context.Context, topic string) (map[int32]int64, error)
	// OwnModels says that the process has the store, from which its gateway learns what
	// models are in force; a gateway of a cluster follows the models topic.
	OwnModels bool
	// Scorer, when set, wraps the scorer: measurements put work of known length there.
	Scorer func(gateway.Scorer) gateway.Scorer
}

// Registry is where a process registers its metrics, and what /metrics shows.
type Registry interface {
	prometheus.Registerer
	prometheus.Gatherer
}

// NewRegistry returns a registry with the Go runtime's and the process's metrics.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gateway is one edge gateway: admission to durable log.
type Gateway struct {
	Server  *gateway.Server
	Log     *durable.Log
	Topics  stream.Topics
	Control *control.Set
	Name    string          // "region/gateway id"
	Models  *scoring.Models // that score clicks

	models   *retrain.Follower // nil when another follows for it, or nothing is managed
	follower *control.Follower // nil with a plain control file
	lists    *givt.Follower
	cleanup  cleanups
}

// NewGateway opens what a gateway works with and checks Kafka's topics; while Kafka
// is away, a gateway that has seen them before goes on with its spool. Nothing
// serves before Start. After an error nothing stays open.
func NewGateway(ctx context.Context, cfg *config.Config, opt Options) (*Gateway, error) {
	g := &Gateway{}
	if err := g.open(ctx, cfg, opt); err != nil {
		return nil, errors.Join(err, g.cleanup.run(ctx))
	}
	return g, nil
}

func (g *Gateway) open(ctx context.Context, cfg *config.Config, opt Options) error {
	if !cfg.Control.Topic {
		snapshot, err := control.Load(cfg.Control.File)
		if err != nil {
			return err
		}
		g.Control = control.NewSet(snapshot)
	}
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		return err
	}
	scorer, err := newScorer(&cfg.Scoring, keys.Oldest.Seed("scoring"), opt.Registry)
	if err != nil {
		return err
	}
	if err := g.followLists(cfg.Scoring.Lists, scorer, opt); err != nil {
		return err
	}
	if err := g.openLog(ctx, cfg, opt); err != nil {
		return err
	}
	if err := g.followModels(cfg, scorer, opt); err != nil {
		return err
	}
	if cfg.Control.Topic {
		if err := g.followControl(ctx, cfg, keys.Ring, opt); err != nil {
			return err
		}
	}
	fleet, err := hints.New(cfg.Redis, hints.Dependencies{
		Seed: keys.Oldest.Seed("hints"), Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
	})
	if err != nil {
		return err
	}
	var judge gateway.Scorer = scorer
	if opt.Scorer != nil {
		judge = opt.Scorer(scorer)
	}
	feeds := g.Topics.Impressions.Partitions > 0 && g.Topics.Conversions.Partitions > 0
	if !feeds {
		opt.Logger.Warn("no feeds are taken: create the topics and start again, or set kafka.create_topics: true",
			"topics", []string{stream.ImpressionsTopic, stream.ConversionsTopic})
	}
	g.Server, err = gateway.New(cfg.Gateway, gateway.Dependencies{
		Control: g.Control, Log: g.Log, Scorer: judge,
		Sealer:     seal.NewSealer(keys.Newest, rand.Reader),
		Pseudonyms: seal.NewPseudonymizer(keys.Oldest),
		Now:        time.Now, Entropy: rand.Reader, Logger: opt.Logger,
		Registerer: opt.Registry, Gatherer: opt.Registry, Signals: g.Log.Signals, Hints: fleet, Feeds: feeds,
	})
	return err
}

// NewScorer returns a scorer with the lists and the model that the configuration names. The seed is a secret where
// senders could choose addresses by it.
func NewScorer(cfg *scoring.Config, seed uint64, reg prometheus.Registerer) (*scoring.Scorer, error) {
	scorer, err := newScorer(cfg, seed, reg)
	if err != nil {
		return nil, err
	}
	return scorer, readLists(cfg.Lists, scorer)
}

// newScorer is NewScorer with the embedded lists.
func newScorer(cfg *scoring.Config, seed uint64, reg prometheus.Registerer) (*scoring.Scorer, error) {
	embedded, err := givt.Embedded()
	if err != nil {
		return nil, err
	}
	scorer, err := scoring.New(*cfg, embedded, seed, reg)
	if err != nil {
		return nil, err
	}
	model, err := openModel(cfg.Model)
	if err != nil {
		return nil, err
	}
	return scorer, scorer.SwapModel(model)
}

// openModel opens the configured isolation forest; nil for none.
func openModel(name string) (*iforest.Model, error) {
	switch name {
	case "", scoring.ManagedModel: // whoever follows the managed ones puts them in force
		return nil, nil
	case EmbeddedModel:
		return demomodel.Open()
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("scoring.model: %w; name a file that `clickgate train` made, %q, or nothing", err, EmbeddedModel)
	}
	m, err := iforest.Open(b)
	if err == nil {
		err = m.Verify()
	}
	if err != nil {
		return nil, fmt.Errorf("scoring.model: %s: %w", name, err)
	}
	return m, nil
}

// EmbeddedModel is the value of scoring.model that stands for the model clickgate
// brings along.
const EmbeddedModel = "embedded"

// openLog opens spool and producer. The gateway's name is its region and the id
// that lives in its spool folder.
func (g *Gateway) openLog(ctx context.Context, cfg *config.Config, opt Options) error {
	fsys := spool.OSFS{}
	disk, recovery, err := spool.Open(fsys, cfg.Spool, spool.Options{Registerer: opt.Registry})
	if err != nil {
		return err
	}
	g.cleanup.add("spool", func(context.Context) error { return disk.Close() })
	if recovery.Damaged() {
		opt.Logger.Warn("the spool was damaged; see what recovery did", "recovery", recovery.String())
	}
	id, err := spool.Identity(fsys, cfg.Spool.Dir, rand.Reader)
	if err != nil {
		return err
	}
	boot, err := spool.NextBoot(fsys, cfg.Spool.Dir, time.Now().UnixMicro())
	if err != nil {
		return err
	}
	g.Name = cfg.Gateway.Region + "/" + id
	flushes := &durable.Flushes{}
	options := append(cfg.Kafka.ClientOptions("clickgate-gateway"), cfg.Kafka.ProducerOptions()...)
	client, err := kgo.NewClient(append(options, kgo.WithHooks(flushes))...)
	if err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	g.cleanup.add("kafka producer", func(context.Context) error { client.Close(); return nil })
	var away bool
	if g.Topics, away, err = openTopics(ctx, kadm.NewClient(client), cfg, opt); err != nil {
		return err
	}
	g.Log, err = durable.New(cfg.Durable, durable.Dependencies{
		Spool: disk, Backlog: recovery.Records, Client: client, Topics: g.Topics,
		Gateway: g.Name, Boot: boot, AckDeadline: cfg.Kafka.AckDeadline, KafkaAway: away, Now: time.Now,
		Logger: opt.Logger, Registerer: opt.Registry, StoredThrough: opt.StoredThrough,
		Flushes: flushes, MaxBuffered: int64(cfg.Kafka.MaxBuffered), MaxBufferedBytes: int64(cfg.Kafka.MaxBufferedSize),
	})
	return err
}

// Start begins forwarding and serving.
func (g *Gateway) Start() error {
	if g.follower != nil {
		g.follower.Start()
	}
	g.lists.Start()
	if g.models != nil {
		g.models.Start()
	}
	g.Log.Start()
	return g.Server.Start()
}

// Stop drains in the order of a click's life: no new requests, then every event
// inside durable and on its way, then the final mark; what is open is closed by
// Close. An error says what was left for the next start.
func (g *Gateway) Stop(ctx context.Context) error {
	return errors.Join(g.Server.Stop(ctx), g.Log.Stop(ctx))
}

// Close releases spool and producer.
func (g *Gateway) Close(ctx context.Context) error { return g.cleanup.run(ctx) }

// cleanups are run once, last one first.
type cleanups struct{ list []cleanup }

type cleanup struct {
	name string
	run  func(context.Context) error
}

func (c *cleanups) add(name string, run func(context.Context) error) {
	c.list = append(c.list, cleanup{name, run})
}

func (c *cleanups) run(ctx context.Context) error {
	var errs []error
	for i := len(c.list) - 1; i >= 0; i-- {
		if err := c.list[i].run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("closing %s: %w", c.list[i].name, err))
		}
	}
	c.list = nil
	return errors.Join(errs...)
}
