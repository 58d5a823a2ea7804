package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ControlTopic holds the versioned control entries: compacted, one partition, so
// that all writes stand in one order.
const ControlTopic = "control.v1"

// ModelsTopic holds the files of the models in force, and which they are: compacted, one
// partition, like the control topic. Its truth is the store's.
const ModelsTopic = "models.v1"

// EnsureControl creates the control topic when the configuration says so, and
// refuses one that could lose an entry.
func EnsureControl(ctx context.Context, adm *kadm.Client, cfg *Config) error {
	return ensureCompacted(ctx, adm, cfg, ControlTopic)
}

// EnsureModels is EnsureControl for the models topic.
func EnsureModels(ctx context.Context, adm *kadm.Client, cfg *Config) error {
	return ensureCompacted(ctx, adm, cfg, ModelsTopic)
}

func ensureCompacted(ctx context.Context, adm *kadm.Client, cfg *Config, name string) error {
	if cfg.CreateTopics {
		settings := cfg.topicSettings()
		settings["cleanup.policy"] = kadm.StringPtr("compact")
		if err := createTopic(ctx, adm, name, 1, cfg.replicas(), settings); err != nil {
			return err
		}
	}
	if cfg.CreateTopics {
		return awaitCreated(ctx, func() error { return checkCompacted(ctx, adm, cfg, name) })
	}
	return checkCompacted(ctx, adm, cfg, name)
}

func checkCompacted(ctx context.Context, adm *kadm.Client, cfg *Config, name string) error {
	meta, err := adm.Metadata(kadm.WithAuthorizedOps(ctx), name) // past the client's cache
	if err != nil {
		return fmt.Errorf("kafka.brokers: cannot read topics from %v: %w", cfg.Brokers, unanswered(err))
	}
	found := meta.Topics[name]
	if found.Err != nil {
		return fmt.Errorf("topic %s: %w; create it, or set kafka.create_topics: true", name, found.Err)
	}
	if n := len(found.Partitions); n != 1 {
		return fmt.Errorf("topic %s: has %d partitions, so its entries have no order; create it with one", name, n)
	}
	if err := checkReplicas(name, found, cfg.Durability); err != nil {
		return err
	}
	return checkConfigs(ctx, adm, func(topic, key, value string) error {
		if key == "cleanup.policy" && value != "compact" {
			return fmt.Errorf("topic %s: cleanup.policy is %q, so entries vanish with time; set it to compact", topic, value)
		}
		if cfg.Durability == SingleNode {
			return nil
		}
		return checkSetting(topic, key, value)
	}, name)
}
