package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/retrain"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"
	"clickgate/scoring"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// modelsCache is the file in the spool's folder that stands in for the models topic
	// while Kafka is away at a start.
	modelsCache = "models.cache"
	// modelsPeriod is how often a process looks whether other models are in force.
	modelsPeriod = 5 * time.Second
)

// followsModels reports a gateway that learns of models by the topic.
func followsModels(cfg *config.Config, opt Options) bool {
	return cfg.Scoring.Model == scoring.ManagedModel && !opt.OwnModels
}

// followModels follows the models topic from Start on. A gateway that cannot read it
// takes clicks all the same: they have no model score until the second pass.
func (g *Gateway) followModels(cfg *config.Config, scorer *scoring.Scorer, opt Options) error {
	g.Models = scorer.Models()
	if !followsModels(cfg, opt) {
		return nil
	}
	feed, err := control.NewKafkaFeed(stream.ModelsTopic, cfg.Kafka.ClientOptions("clickgate-models")...)
	if err != nil {
		return err
	}
	g.cleanup.add("models feed", func(context.Context) error { feed.Close(); return nil })
	g.models = retrain.NewFollower(retrain.FollowerConfig{
		Source: &retrain.TopicSource{Feed: feed}, Every: modelsPeriod, Set: []*scoring.Models{g.Models},
		Cache: filepath.Join(cfg.Spool.Dir, modelsCache), Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
	})
	g.cleanup.add("models follower", func(context.Context) error { g.models.Stop(); return nil })
	return nil
}

// newJudge returns a judge with the models of this moment.
func newJudge(ctx context.Context, cfg *config.Config, store aggregate.Models, opt Options, sources Sources) (*scoring.Judge, error) {
	model, err := openModel(cfg.Scoring.Model)
	if err != nil {
		return nil, err
	}
	judge, err := scoring.NewJudge(cfg.Scoring, model, sources.policies)
	if err != nil || cfg.Scoring.Model != scoring.ManagedModel {
		return judge, err
	}
	// An hour must not close without the model that is in force only because nobody has
	// looked yet.
	return judge, retrain.NewFollower(retrain.FollowerConfig{
		Source: retrain.NewStoreSource(store), Set: []*scoring.Models{judge.Models()}, Now: time.Now, Logger: opt.Logger,
	}).Poll(ctx)
}

// models is what an aggregator does about managed models: it follows the book, tells
// gateways, and trains.
type models struct {
	follower  *retrain.Follower
	publisher *retrain.Publisher // nil where no gateway is elsewhere
	trainer   *retrain.Trainer
}

// ManageModels lets the aggregator follow the book of models, bring what is in force to
// gateways, those of this process directly, and train at the configured times, from
// Start on. It does nothing unless models are managed.
func (a *Aggregator) ManageModels(ctx context.Context, cfg *config.Config, opt Options, own ...*scoring.Models) error {
	if a.judge != nil && opt.Registry != nil {
		a.judge.Models().Register(opt.Registry)
	}
	if cfg.Scoring.Model != scoring.ManagedModel {
		return nil
	}
	if a.judge != nil {
		own = append(own, a.judge.Models())
	}
	m := &models{
		follower: retrain.NewFollower(retrain.FollowerConfig{
			Source: retrain.NewStoreSource(a.Store), Every: modelsPeriod, Set: own, Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
		}),
		trainer: retrain.NewTrainer(cfg.Scoring.Retrain, retrain.TrainerDependencies{
			Store: a.Store, Owner: owner() + " " + rand.Text()[:8], Version: opt.Version, Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
		}),
	}
	if !opt.OwnModels {
		client, err := kgo.NewClient(append(cfg.Kafka.ClientOptions("clickgate-models"), kgo.RequiredAcks(kgo.AllISRAcks()))...)
		if err != nil {
			return fmt.Errorf("kafka: %w", err)
		}
		a.cleanup.add("models producer", func(context.Context) error { client.Close(); return nil })
		if err := stream.EnsureModels(ctx, kadm.NewClient(client), &cfg.Kafka); err != nil {
			return err
		}
		m.publisher = &retrain.Publisher{Source: retrain.NewStoreSource(a.Store), Client: client, Topic: stream.ModelsTopic, Logger: opt.Logger}
	}
	a.models = m
	return nil
}

func (m *models) start() {
	if m == nil {
		return
	}
	m.follower.Start()
	m.trainer.Start()
	if m.publisher != nil {
		m.publisher.Start()
	}
}

func (m *models) stop() {
	if m == nil {
		return
	}
	m.trainer.Stop()
	m.follower.Stop()
	if m.publisher != nil {
		m.publisher.Stop()
	}
}
