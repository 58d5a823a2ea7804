package app

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
	"clickgate/gateway/seal"
	"clickgate/gateway/stream"
)

// controlCache is the file in the spool's folder that stands in for the control
// topic while Kafka is away: on the volume that the gateway has anyway.
const controlCache = "control.cache"

// firstControlRead is how long a start waits for the control topic.
const firstControlRead = 15 * time.Second

// followControl reads the control topic, and follows it from Start on.
func (g *Gateway) followControl(ctx context.Context, cfg *config.Config, ring *seal.Ring, opt Options) error {
	feed, err := control.NewKafkaFeed(stream.ControlTopic, cfg.Kafka.ClientOptions("clickgate-control")...)
	if err != nil {
		return err
	}
	g.cleanup.add("control feed", func(context.Context) error { feed.Close(); return nil })
	g.follower, err = control.NewFollower(ctx, control.FollowerConfig{
		Feed: feed, Cache: filepath.Join(cfg.Spool.Dir, controlCache), FirstRead: firstControlRead, Ring: ring,
		Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry,
	})
	if err != nil {
		return err
	}
	g.cleanup.add("control follower", func(context.Context) error { g.follower.Stop(); return nil })
	g.Control = g.follower.Set()
	return nil
}

// NewControlPublisher returns what writes control entries into Kafka, sealed under
// the newest master key.
func NewControlPublisher(cfg *config.Config, keys *config.MasterKeys, entropy io.Reader, now func() time.Time) *control.Publisher {
	return &control.Publisher{
		Topic: stream.ControlTopic, Options: cfg.Kafka.ClientOptions("clickgate-control"),
		Sealer: control.Sealer{Master: keys.Newest, Entropy: entropy}, Ring: keys.Ring, Now: now,
	}
}
