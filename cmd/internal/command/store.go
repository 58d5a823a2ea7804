package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/timescale"
)

// reader is a store opened for reports.
type reader interface {
	aggregate.Reports
	aggregate.Review
	aggregate.Incidents
	aggregate.VectorReader
	aggregate.DeadLetters
	aggregate.Feeds
	CheckSchema(context.Context) error
	Close() error
}

// withReports opens the store for reading, hands it to f and closes it.
func (s *session) withReports(f func(reader) error) error {
	cfg, err := s.load(config.ForStore)
	if err != nil {
		return err
	}
	r, err := openReports(s.ctx, &cfg.Store)
	if err != nil {
		return err
	}
	// Figures of another schema could be wrong without a sign of it.
	if err = r.CheckSchema(s.ctx); err == nil {
		err = f(r)
	}
	return errors.Join(err, r.Close())
}

func openReports(ctx context.Context, c *config.Store) (reader, error) {
	if c.DSN != "" {
		return timescale.Open(ctx, c.DSN, timescale.Config{MaxConns: c.MaxConns, NoExtension: c.NoExtension})
	}
	if _, err := os.Stat(c.SQLite); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store.sqlite: %w; start `clickgate standalone` first, or name the data folder with --data", err)
	}
	return sqlite.OpenReadOnly(ctx, c.SQLite, sqlite.Config{})
}

// withStore opens the store for writing, hands it to f and closes it.
func (s *session) withStore(f func(aggregate.Store) error) error {
	cfg, err := s.load(config.ForStore)
	if err != nil {
		return err
	}
	store, err := app.OpenStore(s.ctx, &cfg.Store)
	if err != nil {
		return err
	}
	if err = store.CheckSchema(s.ctx); err == nil {
		err = f(store)
	}
	return errors.Join(err, store.Close())
}
