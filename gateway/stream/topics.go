package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TopicInfo is what a gateway must know of a topic.
type TopicInfo struct {
	ID         [16]byte // Kafka's topic id: a topic deleted and made again has another
	Partitions int
}

// Topics is what EnsureTopics found.
type Topics struct {
	ClusterID   string
	Clicks      TopicInfo
	DeadLetters TopicInfo
	// Impressions and Conversions have no partitions where the topics do not exist: then
	// the gateway takes no feeds.
	Impressions TopicInfo
	Conversions TopicInfo
}

// Of returns what is known of the topic of a kind of records.
func (t *Topics) Of(k Kind) TopicInfo {
	switch k {
	case KindDeadLetter:
		return t.DeadLetters
	case KindImpression:
		return t.Impressions
	case KindConversion:
		return t.Conversions
	}
	return t.Clicks
}

// ErrAway says that no broker answered, so that nothing is known of the topics.
var ErrAway = errors.New("kafka does not answer")

// unanswered marks an error that is no broker's answer with ErrAway.
func unanswered(err error) error {
	if answer := (*kerr.Error)(nil); errors.As(err, &answer) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// A broker may be asked for a topic before it has heard of its creation.
const (
	hearsayTimeout = 10 * time.Second
	hearsayPause   = 50 * time.Millisecond
)

// EnsureTopics creates the topics when the configuration says so, and refuses
// topics that could lose an acknowledged click. It is called at every start. The
// error is ErrAway when Kafka did not answer.
func EnsureTopics(ctx context.Context, adm *kadm.Client, cfg *Config) (Topics, error) {
	if !cfg.CreateTopics {
		return readTopics(ctx, adm, cfg)
	}
	if err := create(ctx, adm, cfg); err != nil {
		return Topics{}, err
	}
	var found Topics
	err := awaitCreated(ctx, func() (err error) {
		found, err = readTopics(ctx, adm, cfg)
		return err
	})
	return found, err
}

// awaitCreated calls read until it no longer meets a topic that nobody has heard
// of, for a while.
func awaitCreated(ctx context.Context, read func() error) error {
	enough := time.After(hearsayTimeout)
	for {
		err := read()
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		select {
		case <-time.After(hearsayPause):
		case <-enough:
			return err
		case <-ctx.Done():
			return err
		}
	}
}

func readTopics(ctx context.Context, adm *kadm.Client, cfg *Config) (Topics, error) {
	// Asking for permissions as well goes past the client's cache, which would
	// repeat for seconds what was so before the creation.
	meta, err := adm.Metadata(kadm.WithAuthorizedOps(ctx), ClicksTopic, DeadLettersTopic, ImpressionsTopic, ConversionsTopic)
	if err != nil {
		return Topics{}, fmt.Errorf("kafka.brokers: cannot read topics from %v: %w", cfg.Brokers, unanswered(err))
	}
	found := Topics{ClusterID: meta.Cluster}
	var names []string
	for name, info := range map[string]*TopicInfo{
		ClicksTopic: &found.Clicks, DeadLettersTopic: &found.DeadLetters,
		ImpressionsTopic: &found.Impressions, ConversionsTopic: &found.Conversions,
	} {
		topic := meta.Topics[name]
		if fed := name == ImpressionsTopic || name == ConversionsTopic; fed && !cfg.CreateTopics && errors.Is(topic.Err, kerr.UnknownTopicOrPartition) {
			continue // a cluster of before the feeds, or one that takes none
		}
		names = append(names, name)
		if topic.Err != nil {
			return Topics{}, fmt.Errorf("topic %s: %w; create it, or set kafka.create_topics: true", name, topic.Err)
		}
		info.ID, info.Partitions = topic.ID, len(topic.Partitions)
		if err := checkReplicas(name, topic, cfg.Durability); err != nil {
			return Topics{}, err
		}
	}
	if cfg.Durability == SingleNode {
		return found, nil
	}
	return found, checkConfigs(ctx, adm, checkSetting, names...)
}

func create(ctx context.Context, adm *kadm.Client, cfg *Config) error {
	for name, partitions := range map[string]int{
		ClicksTopic: cfg.Partitions, DeadLettersTopic: min(cfg.Partitions, 4),
		ImpressionsTopic: cfg.Partitions, ConversionsTopic: min(cfg.Partitions, 4),
	} {
		if err := createTopic(ctx, adm, name, partitions, cfg.replicas(), cfg.topicSettings()); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) replicas() int16 {
	if c.Durability == SingleNode {
		return 1
	}
	return 3
}

// topicSettings are what all topics need to lose nothing that was acknowledged.
func (c *Config) topicSettings() map[string]*string {
	minISR := "2"
	if c.Durability == SingleNode {
		minISR = "1"
	}
	return map[string]*string{
		"min.insync.replicas":            &minISR,
		"unclean.leader.election.enable": kadm.StringPtr("false"),
		"message.timestamp.type":         kadm.StringPtr("CreateTime"),
	}
}

// createTopic leaves a topic that exists as it is.
func createTopic(ctx context.Context, adm *kadm.Client, name string, partitions int, replicas int16, settings map[string]*string) error {
	_, err := adm.CreateTopic(ctx, int32(partitions), replicas, settings, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("topic %s: cannot create it with %d replicas: %w", name, replicas, unanswered(err))
	}
	return nil
}

func checkReplicas(name string, topic kadm.TopicDetail, d Durability) error {
	if d == SingleNode {
		return nil
	}
	for _, p := range topic.Partitions {
		if len(p.Replicas) < 3 {
			return fmt.Errorf("topic %s: partition %d has %d replicas, so one lost broker loses acknowledged clicks; use at least 3, or accept the risk with kafka.durability: %s",
				name, p.Partition, len(p.Replicas), SingleNode)
		}
	}
	return nil
}

func checkConfigs(ctx context.Context, adm *kadm.Client, check func(topic, key, value string) error, topics ...string) error {
	configs, err := adm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		return fmt.Errorf("cannot read topic settings: %w", unanswered(err))
	}
	for _, topic := range configs {
		if topic.Err != nil {
			return fmt.Errorf("topic %s: cannot read its settings: %w", topic.Name, topic.Err)
		}
		for _, c := range topic.Configs {
			if err := check(topic.Name, c.Key, c.MaybeValue()); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkSetting(topic, key, value string) error {
	switch key {
	case "min.insync.replicas":
		if n, err := strconv.Atoi(value); err != nil || n < 2 {
			return fmt.Errorf("topic %s: min.insync.replicas is %q, so an ack may rest on one broker; set it to 2, or accept the risk with kafka.durability: %s", topic, value, SingleNode)
		}
	case "unclean.leader.election.enable":
		if value == "true" {
			return fmt.Errorf("topic %s: unclean.leader.election.enable is true, so a lagging broker may drop acknowledged clicks; set it to false, or accept the risk with kafka.durability: %s", topic, SingleNode)
		}
	}
	return nil
}
