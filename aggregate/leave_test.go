package aggregate_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"clickgate/aggregate"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestStopDuringAJoin: an aggregator whose group waits for somebody who is dead
// stops all the same.
func TestStopDuringAJoin(t *testing.T) {
	t.Parallel()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "clicks.v1", "deadletters.v1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	waits := make(chan struct{})
	k.ControlKey(int16(kmsg.SyncGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(waits)
		return nil, nil, true // no answer, ever
	})
	cfg := aggregate.DefaultConfig()
	cfg.SessionTimeout = time.Minute
	a, err := aggregate.New(cfg, aggregate.Dependencies{
		Store: newRig(t, 1).store, Owner: "waiting", Now: time.Now, Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.DiscardHandler), Kafka: []kgo.Opt{kgo.SeedBrokers(k.ListenAddrs()...)},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	select {
	case <-waits:
	case <-time.After(time.Minute):
		t.Fatal("the aggregator did not join")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a join may wait for twice as long
	defer cancel()
	if err := a.Stop(ctx); err != nil {
		t.Error(err)
	}
}
