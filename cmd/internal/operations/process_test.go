package operations

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/standalone"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// metrics are what the processes register, for the tests that look at it.
var metrics struct {
	once sync.Once
	list []metric // nil after a failure
}

// registered returns what every kind of process, with all its parts, registers:
// one list over all, in order of the names. The processes are started once.
func registered(t *testing.T) []metric {
	t.Helper()
	metrics.once.Do(func() { metrics.list = startAll(t) })
	if metrics.list == nil {
		t.Fatal("the processes did not start for the first test that needed them")
	}
	return slices.Clone(metrics.list)
}

// startAll starts every kind of process, one after the other, and returns what they
// register.
func startAll(t *testing.T) []metric {
	t.Helper()
	byName := map[string]metric{}
	for _, process := range []struct {
		name  string
		start func(*testing.T, *config.Config, *recorder)
	}{{"aggregate", startAggregate}, {"alerts", startAlerts}, {"gateway", startGateway}, {"standalone", startStandalone}} {
		r := newRecorder()
		process.start(t, processConfig(t), r)
		list, err := r.metrics()
		if err != nil {
			t.Fatalf("%s: %v", process.name, err)
		}
		if len(list) < 5 {
			t.Errorf("%s registers %d metrics only", process.name, len(list))
		}
		for _, m := range list {
			other, seen := byName[m.name]
			if seen && (other.kind != m.kind || other.help != m.help || !slices.Equal(other.labels, m.labels)) {
				t.Errorf("%s: %+v in one process, %+v in %s", m.name, other, m, process.name)
			}
			m.processes = append(other.processes, process.name)
			byName[m.name] = m
		}
	}
	return inOrder(byName)
}

// processConfig is a data folder of its own, with all listeners that a default
// leaves out.
func processConfig(t *testing.T) *config.Config {
	t.Helper()
	const free = "127.0.0.1:0"
	cfg, err := config.Load(config.Source{Data: t.TempDir(), Set: []string{
		"gateway.listen=" + free, "gateway.admin_listen=" + free, "gateway.batch.listen=" + free, "console.listen=" + free,
		"aggregate.admin_listen=" + free, "redis.addr=127.0.0.1:1", "scoring.model=managed",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := standalone.Prepare(&cfg.Config); err != nil {
		t.Fatal(err)
	}
	return &cfg.Config
}

func options(r *recorder) app.Options {
	return app.Options{Logger: slog.New(slog.DiscardHandler), Registry: r}
}

// startGateway opens a gateway that follows the control topic.
func startGateway(t *testing.T, cfg *config.Config, r *recorder) {
	brokers, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(brokers.Close)
	cfg.Kafka.Brokers, cfg.Kafka.CreateTopics, cfg.Control.Topic = brokers.ListenAddrs(), true, true
	publishControl(t, cfg)
	g, err := app.NewGateway(t.Context(), cfg, options(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// publishControl writes the control file into the control topic.
func publishControl(t *testing.T, cfg *config.Config) {
	t.Helper()
	client, err := kgo.NewClient(cfg.Kafka.ClientOptions("clickgate-test")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := stream.EnsureControl(t.Context(), kadm.NewClient(client), &cfg.Kafka); err != nil {
		t.Fatal(err)
	}
	file, err := (&control.FileStore{Path: cfg.Control.File, Now: time.Now}).Read()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := config.LoadMasterKeys(cfg.Keys.MasterFile)
	if err != nil {
		t.Fatal(err)
	}
	p := app.NewControlPublisher(cfg, keys, rand.Reader, time.Now)
	state, err := p.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	changes, err := control.Changes(state.File(), file.File)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(t.Context(), state, changes, control.Meta{Who: "test", Why: "test"}); err != nil {
		t.Fatal(err)
	}
}

// startAggregate opens an aggregator. It does not consume, so it needs no broker.
func startAggregate(t *testing.T, cfg *config.Config, r *recorder) {
	cfg.Kafka.Brokers = []string{"127.0.0.1:1"}
	if err := app.Migrate(t.Context(), &cfg.Store); err != nil {
		t.Fatal(err)
	}
	a, err := app.NewAggregator(t.Context(), cfg, options(r))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CloseHours(t.Context(), cfg, options(r), app.SourcesOf(nil)); err != nil {
		t.Fatal(err)
	}
	opt := options(r)
	opt.OwnModels = true // else it asks a broker for the models topic
	if err := a.ManageModels(t.Context(), cfg, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// startAlerts opens an alerts process. It does not watch, so it needs no PagerDuty.
func startAlerts(t *testing.T, cfg *config.Config, r *recorder) {
	cfg.PagerDuty.RoutingKey = strings.Repeat("k", 32)
	if err := app.Migrate(t.Context(), &cfg.Store); err != nil {
		t.Fatal(err)
	}
	a, err := app.NewAlerts(t.Context(), cfg, options(r))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
	})
}

// startStandalone runs a standalone until it says where it listens.
func startStandalone(t *testing.T, cfg *config.Config, r *recorder) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := &notice{word: "see it", cancel: cancel}
	err := standalone.Run(ctx, standalone.Options{
		Config: cfg, Dir: t.TempDir(), Version: "test", Stdout: said, Logger: slog.New(slog.DiscardHandler), Registry: r,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// notice calls cancel when a word has been written.
type notice struct {
	word   string
	cancel context.CancelFunc
	mu     sync.Mutex
	text   bytes.Buffer
}

var _ io.Writer = (*notice)(nil)

func (n *notice) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.Write(p)
	if strings.Contains(n.text.String(), n.word) {
		n.cancel()
	}
	return len(p), nil
}
