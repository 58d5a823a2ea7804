package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicsCache is the file in the spool's folder that stands in for Kafka's answer
// about the topics while Kafka is away at a start.
const topicsCache = "topics.cache"

// firstTopicsRead is how long a start waits for Kafka when a cache could stand in.
const firstTopicsRead = 5 * time.Second

// openTopics asks Kafka for the topics. When nobody answers, what an earlier start
// learned will do, and away is true: clicks can wait in the spool. What Kafka does
// answer is never overruled.
func openTopics(ctx context.Context, admin *kadm.Client, cfg *config.Config, opt Options) (topics stream.Topics, away bool, err error) {
	path := filepath.Join(cfg.Spool.Dir, topicsCache)
	cached, cacheErr := readTopics(path)
	asking, cancel := ctx, context.CancelFunc(func() {})
	if cacheErr == nil {
		asking, cancel = context.WithTimeout(ctx, firstTopicsRead)
	}
	defer cancel()
	topics, err = stream.EnsureTopics(asking, admin, &cfg.Kafka)
	if err == nil && cfg.Control.Topic {
		err = stream.EnsureControl(asking, admin, &cfg.Kafka)
	}
	if err == nil && followsModels(cfg, opt) {
		err = stream.EnsureModels(asking, admin, &cfg.Kafka)
	}
	switch {
	case err == nil:
		if err := writeTopics(path, &topics); err != nil {
			opt.Logger.Warn("the topics could not be noted, so the next start needs Kafka", "error", err)
		}
		return topics, false, nil
	case !errors.Is(err, stream.ErrAway) || ctx.Err() != nil:
		return stream.Topics{}, false, err
	case cacheErr != nil:
		return stream.Topics{}, false, fmt.Errorf("%w (and no earlier start stands in: %w)", err, cacheErr)
	}
	opt.Logger.Error("Kafka does not answer; the gateway starts on its spool, with the topics of an earlier start", "error", err, "cache", path)
	return cached, true, nil
}

func readTopics(path string) (topics stream.Topics, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return topics, err
	}
	if err := json.Unmarshal(content, &topics); err != nil || topics.Clicks.Partitions < 1 || topics.DeadLetters.Partitions < 1 {
		return topics, fmt.Errorf("%s: is damaged", path)
	}
	return topics, nil
}

// writeTopics replaces the cache in one step. It need not survive a loss of power:
// the next start with Kafka writes it again.
func writeTopics(path string, topics *stream.Topics) error {
	content, err := json.Marshal(topics)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".tmp", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
