package standalone

import (
	"context"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker is the in-memory Kafka of standalone mode. It is transport only: it
// starts empty at each boot, with new topic ids, and the spool is the log.
type broker struct {
	cluster *kfake.Cluster
}

// segmentBytes makes the in-memory broker free what was deleted: it frees whole
// segments only, and its default of 100 MiB would keep hundreds of thousands of
// stored clicks in memory.
const segmentBytes = 4 << 20

// partitions of clicks.v1: enough to exercise what a cluster does, few enough for
// one SQLite writer to fill its batches.
const partitions = 4

func startBroker() (*broker, error) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{
		"log.segment.bytes": fmt.Sprint(segmentBytes),
	}))
	if err != nil {
		return nil, fmt.Errorf("starting the in-memory broker: %w", err)
	}
	return &broker{cluster}, nil
}

// configure points the Kafka part of a configuration at the broker.
func (b *broker) configure(cfg *stream.Config) {
	cfg.Brokers = b.cluster.ListenAddrs()
	cfg.Durability, cfg.CreateTopics, cfg.Partitions = stream.SingleNode, true, partitions
}

func (b *broker) close() { b.cluster.Close() }

// backlog compares the ends of the topics with what the store has.
type backlog struct {
	client *kgo.Client
	admin  *kadm.Client
	store  aggregate.Ingest
	topics stream.Topics
}

func newBacklog(cfg *stream.Config, store aggregate.Ingest) (*backlog, error) {
	client, err := kgo.NewClient(cfg.ClientOptions("clickgate-standalone")...)
	if err != nil {
		return nil, err
	}
	return &backlog{client: client, admin: kadm.NewClient(client), store: store}, nil
}

func (b *backlog) close() { b.client.Close() }

// kinds are those whose topics the store consumes.
var kinds = [...]stream.Kind{stream.KindClick, stream.KindDeadLetter, stream.KindImpression, stream.KindConversion}

// stored returns the store's next offset per partition of a topic.
func (b *backlog) stored(ctx context.Context, topic string) (map[int32]int64, error) {
	for _, kind := range kinds {
		if kind.Topic() == topic {
			return b.store.StoredThrough(ctx, b.topics.ClusterID, b.topics.Of(kind).ID)
		}
	}
	return nil, fmt.Errorf("topic %s is none of ours", topic)
}

// records returns how many records the store has not committed, and the offsets
// below which nothing is needed any more.
func (b *backlog) records(ctx context.Context) (lag int64, done kadm.Offsets, err error) {
	var topics []string
	for _, kind := range kinds {
		if b.topics.Of(kind).Partitions > 0 {
			topics = append(topics, kind.Topic())
		}
	}
	ends, err := b.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return 0, nil, err
	}
	done = make(kadm.Offsets)
	for topic, byPartition := range ends {
		stored, err := b.stored(ctx, topic)
		if err != nil {
			return 0, nil, err
		}
		for number, end := range byPartition {
			lag += end.Offset - stored[number]
			done.AddOffset(topic, number, stored[number], -1)
		}
	}
	return lag, done, nil
}

// trim lets the broker forget what the store has.
func (b *backlog) trim(ctx context.Context, done kadm.Offsets) error {
	_, err := b.admin.DeleteRecords(ctx, done)
	return err
}
