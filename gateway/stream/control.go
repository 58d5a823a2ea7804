package stream

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ControlTopic holds the versioned control entries: compacted, one partition, so
// that all writes stand in one order.
const ControlTopic = "control.v1"

// EnsureControl creates the control topic when the configuration says so, and
// refuses one that could lose an entry.
func EnsureControl(ctx context.Context, adm *kadm.Client, cfg *Config) error {
	if cfg.CreateTopics {
		settings := cfg.topicSettings()
		settings["cleanup.policy"] = kadm.StringPtr("compact")
		if err := createTopic(ctx, adm, ControlTopic, 1, cfg.replicas(), settings); err != nil {
			return err
		}
	}
	if cfg.CreateTopics {
		return awaitCreated(ctx, func() error { return checkControl(ctx, adm, cfg) })
	}
	return checkControl(ctx, adm, cfg)
}

func checkControl(ctx context.Context, adm *kadm.Client, cfg *Config) error {
	meta, err := adm.Metadata(kadm.WithAuthorizedOps(ctx), ControlTopic) // past the client's cache
	if err != nil {
		return fmt.Errorf("kafka.brokers: cannot read topics from %v: %w", cfg.Brokers, unanswered(err))
	}
	topic := meta.Topics[ControlTopic]
	if topic.Err != nil {
		return fmt.Errorf("topic %s: %w; create it, or set kafka.create_topics: true", ControlTopic, topic.Err)
	}
	if n := len(topic.Partitions); n != 1 {
		return fmt.Errorf("topic %s: has %d partitions, so its entries have no order; create it with one", ControlTopic, n)
	}
	if err := checkReplicas(ControlTopic, topic, cfg.Durability); err != nil {
		return err
	}
	return checkConfigs(ctx, adm, func(name, key, value string) error {
		if key == "cleanup.policy" && value != "compact" {
			return fmt.Errorf("topic %s: cleanup.policy is %q, so entries vanish with time; set it to compact", name, value)
		}
		if cfg.Durability == SingleNode {
			return nil
		}
		return checkSetting(name, key, value)
	}, ControlTopic)
}
