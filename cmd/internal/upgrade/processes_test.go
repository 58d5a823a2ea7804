package upgrade_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/command"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is for a machine with a lot to do; nothing waits that long elsewhere.
const patience = 3 * time.Minute

// standalone is a running one, in this process.
type standalone struct {
	t      *testing.T
	edge   string
	cancel context.CancelFunc
	status chan int

	mu      sync.Mutex
	out     bytes.Buffer
	errs    bytes.Buffer
	serving chan struct{}
}

// startStandalone starts on a data folder as a user would, and closes no hours by
// itself, since those of the story are long over.
func startStandalone(t *testing.T, dir string) *standalone {
	t.Helper()
	s := &standalone{t: t, status: make(chan int, 1), serving: make(chan struct{})}
	args := []string{"standalone", "--data", dir}
	for _, set := range []string{
		"gateway.listen=127.0.0.1:0", "gateway.admin_listen=127.0.0.1:0", "gateway.batch.listen=127.0.0.1:0", "console.listen=127.0.0.1:0",
		"gateway.trusted_proxies=127.0.0.0/8", "gateway.timeouts.durable=1m", "aggregate.close.interval=0",
	} {
		args = append(args, "--set", set)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s.cancel = cancel
	t.Cleanup(cancel)
	go func() {
		s.status <- command.Run(ctx, args, command.Env{
			Stdin: strings.NewReader(""), Stdout: writer(s.print), Stderr: writer(s.complain), Now: time.Now, Entropy: rand.Reader, User: "ada", Version: "v0.0.0",
		})
	}()
	select {
	case <-s.serving:
	case status := <-s.status:
		t.Fatalf("standalone ended with status %d before it served:\n%s", status, s.text())
	case <-time.After(patience):
		t.Fatalf("standalone does not serve:\n%s", s.text())
	}
	return s
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func (s *standalone) print(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Write(b)
	if s.edge == "" {
		_, after, _ := strings.Cut(s.out.String(), "  edge ")
		if edge, _, whole := strings.Cut(after, "\n"); whole {
			s.edge = strings.TrimSpace(edge)
			close(s.serving)
		}
	}
	return len(b), nil
}

func (s *standalone) complain(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errs.Write(b)
}

func (s *standalone) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String() + s.errs.String()
}

// stop drains it and demands that the books balance.
func (s *standalone) stop() {
	s.t.Helper()
	s.cancel()
	select {
	case status := <-s.status:
		if status != command.ExitOK || !strings.Contains(s.text(), "\nbalanced\n") {
			s.t.Fatalf("standalone ended with status %d:\n%s", status, s.text())
		}
	case <-time.After(patience):
		s.t.Fatalf("standalone does not end:\n%s", s.text())
	}
}

// partitions of clicks.v1 in a generation.
const partitions = 4

// broker is a Kafka in memory.
type broker struct {
	*kfake.Cluster
	client *kgo.Client
	admin  *kadm.Client
	kafka  stream.Config
}

func newBroker(t *testing.T, partitions int) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	must(t, err)
	t.Cleanup(cluster.Close)
	b := &broker{Cluster: cluster, kafka: stream.DefaultConfig()}
	b.kafka.Brokers, b.kafka.CreateTopics, b.kafka.Partitions = cluster.ListenAddrs(), true, partitions
	b.kafka.Durability, b.kafka.AckDeadline = stream.SingleNode, 20*time.Second
	b.client, err = kgo.NewClient(append(b.kafka.ClientOptions("clickgate-upgrade"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	must(t, err)
	t.Cleanup(b.client.Close)
	b.admin = kadm.NewClient(b.client)
	return b
}

// sets are what commands need to find the broker.
func (b *broker) sets() []string {
	return []string{
		"--set", "kafka.brokers=" + strings.Join(b.kafka.Brokers, ","), "--set", "kafka.durability=single-node", "--set", "kafka.create_topics=true",
		"--set", "control.topic=true",
	}
}

// cluster is one gateway and one aggregator on a broker.
type cluster struct {
	*broker
	t          *testing.T
	cfg        config.Config
	gateway    *app.Gateway
	aggregator *app.Aggregator
}

// newCluster works in a data folder, whose store stands in unless a DSN is given.
// Nothing runs yet.
func newCluster(t *testing.T, b *broker, dir, dsn string) *cluster {
	t.Helper()
	loaded, err := config.Load(config.Source{Data: dir, Set: []string{
		"store.dsn=" + dsn, "gateway.listen=127.0.0.1:0", "gateway.admin_listen=127.0.0.1:0", "gateway.trusted_proxies=127.0.0.0/8",
		"gateway.timeouts.durable=1m", "aggregate.close.interval=0",
	}})
	must(t, err)
	c := &cluster{broker: b, t: t, cfg: loaded.Config}
	c.cfg.Kafka = b.kafka
	return c
}

func options() app.Options {
	return app.Options{Logger: slog.New(slog.DiscardHandler), Registry: app.NewRegistry(), Version: "v0.0.0"}
}

func (c *cluster) startGateway() {
	c.t.Helper()
	var err error
	c.gateway, err = app.NewGateway(c.t.Context(), &c.cfg, options())
	must(c.t, err)
	must(c.t, c.gateway.Start())
}

// stopGateway passes on what it has.
func (c *cluster) stopGateway() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(c.t, c.gateway.Stop(ctx))
	must(c.t, c.gateway.Close(ctx))
}

func (c *cluster) startAggregator() {
	c.t.Helper()
	must(c.t, app.Migrate(c.t.Context(), &c.cfg.Store))
	var err error
	c.aggregator, err = app.NewAggregator(c.t.Context(), &c.cfg, options())
	must(c.t, err)
	must(c.t, c.aggregator.CloseHoursByControl(c.t.Context(), &c.cfg, options()))
	c.aggregator.Start()
}

// stopAggregator waits until the store has all that stands in the topics.
func (c *cluster) stopAggregator() {
	c.t.Helper()
	topics, err := stream.EnsureTopics(c.t.Context(), c.admin, &c.kafka)
	must(c.t, err)
	await(c.t, "all records are stored", func() bool {
		ends, err := c.admin.ListEndOffsets(c.t.Context(), stream.ClicksTopic, stream.DeadLettersTopic)
		must(c.t, err)
		lag := int64(0)
		for topic, info := range map[string]stream.TopicInfo{stream.ClicksTopic: topics.Clicks, stream.DeadLettersTopic: topics.DeadLetters} {
			stored, err := c.aggregator.Store.StoredThrough(c.t.Context(), topics.ClusterID, info.ID)
			must(c.t, err)
			for number, end := range ends[topic] {
				lag += end.Offset - stored[number]
			}
		}
		return lag == 0
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(c.t, c.aggregator.Stop(ctx))
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// awaitEvents returns a function that waits until so many events are counted.
func awaitEvents(t *testing.T, db *database) func(int64) {
	return func(want int64) {
		t.Helper()
		got := int64(0)
		await(t, "events are stored", func() bool {
			var err error
			got, err = db.events(t.Context())
			return err == nil && got >= want
		})
		if got != want {
			t.Fatalf("%d events are stored, %d were sent", got, want)
		}
	}
}

// copyDir copies the files of a folder, but not its lock.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	must(t, os.RemoveAll(filepath.Join(to, "spool.lock")))
	return to
}
