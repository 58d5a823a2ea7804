package retrain

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// monday is when trainings are due.
var monday = time.Date(2026, time.November, 9, 3, 0, 0, 0, time.UTC)

// fakeStore is a real book with clicks and incidents of the test's own.
type fakeStore struct {
	*sqlite.Store
	clicks    []aggregate.TrainingClick
	incidents []aggregate.Incident
	read      func() // while clicks are read; nil for nothing
}

func newStore(t testing.TB) *fakeStore {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "models.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &fakeStore{Store: s}
}

func (s *fakeStore) TrainingClicks(_ context.Context, q aggregate.TrainingQuery, f func(*aggregate.TrainingClick) error) error {
	if s.read != nil {
		s.read()
	}
	for i := range s.clicks {
		if c := &s.clicks[i]; c.EventTime >= q.From && c.EventTime < q.To {
			if err := f(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *fakeStore) ListIncidents(context.Context, aggregate.IncidentQuery) ([]aggregate.Incident, error) {
	return s.incidents, nil
}

func (s *fakeStore) book(t testing.TB) aggregate.ModelBook {
	t.Helper()
	b, err := s.ModelBook(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// traffic makes n clicks of a source in the week before end. Those of an attack have
// features of their own.
func traffic(seed uint64, source string, n int, end time.Time, attack bool) (out []aggregate.TrainingClick) {
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		c := aggregate.TrainingClick{SourceID: source, State: click.Valid, EventTime: end.Add(-time.Duration(1 + r.Int64N(int64(7*24*time.Hour)-1))).UnixMicro()}
		c.TenantID = "acme"
		binary.BigEndian.PutUint64(c.EventID[:], seed)
		binary.BigEndian.PutUint64(c.EventID[8:], uint64(i))
		c.IDTime = c.EventTime
		c.PublisherID, c.IPPrefix, c.AgentFamily = fmt.Sprint("pub", r.IntN(40)), fmt.Sprint("198.51.100.", r.IntN(200)), fmt.Sprint("agent", r.IntN(5))
		for j := range scoring.Features {
			c.Vector[j] = float32(r.ExpFloat64() * float64(j+1))
		}
		if attack {
			for j := range scoring.Features / 2 {
				c.Vector[j] = float32(30 + 20*r.Float64())
			}
		}
		out = append(out, c)
	}
	return out
}

func config() scoring.RetrainConfig {
	c := scoring.DefaultConfig().Retrain
	c.At = "Mon 03:00"
	return c
}

func (s *fakeStore) trainer(cfg scoring.RetrainConfig, now *time.Time, owner string) *Trainer {
	return NewTrainer(cfg, TrainerDependencies{Store: s, Owner: owner, Version: "test", Now: func() time.Time { return *now }, Logger: slog.New(slog.DiscardHandler)})
}

// candidate trains one, without a store.
func candidate(t testing.TB, seed uint64) *Candidate {
	t.Helper()
	s := NewSample(seed, 500)
	for _, c := range traffic(seed, "web", 500, monday, false) {
		s.Add(&c)
	}
	c, err := Train(s, nil, Settings{Seed: seed, Limits: Limits{1, 1, 100}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
