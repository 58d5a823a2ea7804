package aggregate

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// owned is a partition that the group dealt to a session, with the store's claim.
type owned struct {
	partition Partition
	claim     Claim
}

// claim is called with the partitions that the group newly dealt to us, and
// answers with the store's positions.
func (s *session) claim(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	err := s.claimAll(ctx, offsets)
	if err != nil {
		s.mu.Lock()
		s.failed = err
		s.mu.Unlock()
	}
	return offsets, err
}

func (s *session) claimAll(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	meta, err := kadm.NewClient(s.client).Metadata(ctx, s.topics...)
	if err != nil {
		return err
	}
	for topic, partitions := range offsets {
		// A topic that is just going has no id, and no position belongs to it.
		if err := meta.Topics[topic].Err; err != nil {
			return fmt.Errorf("claiming topic %s: %w", topic, err)
		}
		for number := range partitions {
			p := Partition{meta.Cluster, meta.Topics[topic].ID, topic, number}
			c, err := s.dep.Store.Claim(ctx, p, s.dep.Owner)
			if err != nil {
				return fmt.Errorf("claiming %s: %w", p, err)
			}
			s.own(p, c)
			partitions[number] = kgo.NewOffset().At(c.Next).WithEpoch(-1)
		}
	}
	s.metrics.fail(nil)
	return nil
}

func (s *session) own(p Partition, c Claim) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claims[p.Topic] == nil {
		s.claims[p.Topic] = make(map[int32]*owned)
	}
	s.claims[p.Topic][p.Number] = &owned{p, c}
}

func (s *session) owned(topic string, number int32) *owned {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.claims[topic][number]
}

func (s *session) drop(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, partitions := range lost {
		for _, p := range partitions {
			if o := s.claims[topic][p]; o != nil {
				s.metrics.forget(o.partition)
				s.resume(o)
			}
			delete(s.claims[topic], p)
		}
	}
}

func (s *session) claimFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
