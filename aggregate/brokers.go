package aggregate

import (
	"context"
	"fmt"
	"time"
)

// brokerTimeout is how long all brokers together may take to answer before they count
// as away.
const brokerTimeout = 5 * time.Second

// watchBrokers asks, until ctx ends, whether any broker answers: the client itself
// waits for brokers in silence and without end.
func (s *session) watchBrokers(ctx context.Context) {
	for {
		asking, cancel := context.WithTimeout(ctx, brokerTimeout)
		err := s.client.Ping(asking)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.heard(err)
		select {
		case <-time.After(gapChecks * s.cfg.RetryPause):
		case <-ctx.Done():
			return
		}
	}
}

// heard notes whether Kafka answers, and says so when that changes.
func (s *session) heard(err error) {
	if err != nil {
		err = fmt.Errorf("kafka does not answer: %w", err)
	}
	switch before := s.metrics.hear(err); {
	case err != nil && before == nil:
		s.dep.Logger.Error("nothing is consumed until Kafka answers", "error", err)
	case err == nil && before != nil:
		s.dep.Logger.Info("Kafka answers again")
	}
}

// hear stores what the brokers said last and returns what they said before.
func (m *metrics) hear(err error) (before error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before, m.away = m.away, err
	return before
}
