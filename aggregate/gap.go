package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
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
// stands still than when it stopped.
func (s *session) moved(ctx context.Context) error {
	for _, o := range s.standing() {
		p := &o.partition
		next, err := s.dep.Store.StoredThrough(ctx, p.ClusterID, p.TopicID)
		if err != nil {
			return err
		}
		if n := next[p.Number]; n != o.claim.Next {
			return fmt.Errorf("%w: %s, from offset %d to %d", errMoved, p, o.claim.Next, n)
		}
	}
	return nil
}

// Ready reports which partition stands still because records are missing before its
// position, nil for none.
func (a *Aggregator) Ready() error { return a.metrics.standing() }

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
