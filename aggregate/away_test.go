package aggregate_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// An aggregator that starts while Kafka is away is not ready, says so, and consumes
// once there is a broker.
func TestStartsWithoutKafka(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	ln.Close()
	cfg := aggregate.DefaultConfig()
	cfg.RetryPause = 20 * time.Millisecond
	a, err := aggregate.New(cfg, aggregate.Dependencies{
		Store: newRig(t, 1).store, Owner: "early", Now: time.Now, Registerer: prometheus.NewRegistry(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Kafka: []kgo.Opt{
			kgo.SeedBrokers(net.JoinHostPort("127.0.0.1", strconv.Itoa(port))), kgo.RetryTimeout(time.Second), kgo.MetadataMinAge(10 * time.Millisecond),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	wait := func(what string, done func() bool) {
		t.Helper()
		for began := time.Now(); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("waited in vain: %s; readiness says %v", what, a.Ready())
			}
		}
	}
	wait("it is not ready", func() bool { return a.Ready() != nil })
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.SeedTopics(1, "clicks.v1", "deadletters.v1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	wait("it is ready", func() bool { return a.Ready() == nil })
}

// An aggregator that starts while the store is away is not ready, says why, and stores
// everything once there is one.
func TestStartsWithoutStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.produce(r.clicks(0, 50)...)
	away := &awayStore{Ingest: r.store}
	away.gone.Store(true)
	a := r.start(away, "early")
	r.eventually("it is not ready", func() bool { return errors.Is(a.Ready(), errGone) })
	if n := r.next(0); n != 0 {
		t.Errorf("position %d of a store that is away", n)
	}
	away.gone.Store(false)
	r.waitStored()
	r.eventually("it is ready", func() bool { return a.Ready() == nil })
	r.wantStates(map[click.State]int64{click.Valid: 50})
}

var errGone = errors.New("away")

// awayStore claims nothing while it is gone.
type awayStore struct {
	aggregate.Ingest
	gone atomic.Bool
}

func (s *awayStore) Claim(ctx context.Context, p aggregate.Partition, owner string) (aggregate.Claim, error) {
	if s.gone.Load() {
		return aggregate.Claim{}, errGone
	}
	return s.Ingest.Claim(ctx, p, owner)
}
