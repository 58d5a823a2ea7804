package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
)

// gapChecks is the number of retry pauses between two looks at whether somebody moved
// the position of a partition that stands still.
const gapChecks = 5

// errMoved ends a session, so that the next starts from the new position.
var errMoved = errors.New("the position of a partition that stood still was moved")

// stop leaves a partition standing: going on behind the gap would hide what is lost.
// The others go on.
func (s *session) stop(o *owned, err error) {
	s.mu.Lock()
	known := s.stopped[o]
	s.stopped[o] = true
	s.mu.Unlock()
	if known {
		return
	}
	s.client.PauseFetchPartitions(map[string][]int32{o.partition.Topic: {o.partition.Number}})
	s.metrics.stop(o.partition, err)
	s.metrics.sessionErrors.WithLabelValues(cause(err)).Inc()
	s.dep.Logger.Error("a partition stands still: find out what deleted its records, then move its position by hand",
		"partition", o.partition.String(), "position", o.claim.Next, "error", err)
}

// resume is stop's opposite, for a partition that goes or comes; s.mu is held.
func (s *session) resume(o *owned) {
	if !s.stopped[o] {
		return
	}
	delete(s.stopped, o)
	s.metrics.resume(o.partition)
	s.client.ResumeFetchPartitions(map[string][]int32{o.partition.Topic: {o.partition.Number}})
}

func (s *session) standsStill(o *owned) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped[o]
}

// standing returns the partitions that stand still.
func (s *session) standing() (list []*owned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for o := range s.stopped {
		list = append(list, o)
	}
	return list
}

// moved returns errMoved when the store has another position for a partition that
// stands still than when it stopped. However often it is called, as after each poll
// of a busy neighbour, it asks the store once per topic in gapChecks retry pauses.
func (s *session) moved(ctx context.Context) error {
	standing := s.standing()
	if len(standing) == 0 || s.untilLook() > 0 {
		return nil
	}
	s.looked = time.Now()
	stored := make(map[[16]byte]map[int32]int64)
	for _, o := range standing {
		p := &o.partition
		if stored[p.TopicID] == nil {
			next, err := s.dep.Store.StoredThrough(ctx, p.ClusterID, p.TopicID)
			if err != nil {
				return err
			}
			stored[p.TopicID] = next
		}
		if n := stored[p.TopicID][p.Number]; n != o.claim.Next {
			return fmt.Errorf("%w: %s, from offset %d to %d", errMoved, p, o.claim.Next, n)
		}
	}
	return nil
}

// untilLook is how long the store is not to be asked about stopped partitions.
func (s *session) untilLook() time.Duration {
	if s.looked.IsZero() {
		return 0
	}
	return max(0, gapChecks*s.cfg.RetryPause-time.Since(s.looked))
}

// Ready reports why records are not consumed, or not all: Kafka does not answer, the
// last session ended with an error and none has got on since, or a partition stands
// still because records are missing before its position. It is nil when none is so.
func (a *Aggregator) Ready() error {
	a.metrics.mu.Lock()
	away, failed := a.metrics.away, a.metrics.failed
	a.metrics.mu.Unlock()
	switch {
	case away != nil:
		return away
	case failed != nil:
		return fmt.Errorf("consuming stopped: %w", failed)
	}
	return a.metrics.standing()
}

// joined is called whenever the group has dealt partitions out. With some of them all
// is well once they are claimed.
func (s *session) joined(_ context.Context, _ *kgo.Client, dealt map[string][]int32) {
	if len(dealt) == 0 {
		s.metrics.fail(nil)
	}
}

func (m *metrics) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failed = err
}

func (m *metrics) stop(p Partition, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped[p] = err
}

func (m *metrics) resume(p Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.stopped, p)
}

// goOn forgets what stood still in a session that is over.
func (m *metrics) goOn() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.stopped)
}

func (m *metrics) standing() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.stopped) == 0 {
		return nil
	}
	var list []Partition
	for p := range m.stopped {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	})
	return fmt.Errorf("%d partitions stand still, first %s: %w", len(list), list[0], m.stopped[list[0]])
}

func (m *metrics) newStoppedGauge(kind string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clickgate_" + kind + "_stopped_partitions",
		Help: "Partitions held that stand still because records are missing before their position.",
	}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return float64(len(m.stopped))
	})
}
