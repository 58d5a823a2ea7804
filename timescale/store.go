// Package timescale keeps clicks in PostgreSQL 15 or newer: in TimescaleDB
// hypertables where the extension is there, in declarative partitions where it
// is not. Behaviour is the same, and the same as package aggregate/sqlite.
//
// Exactly-once rests on one transaction per partition batch: a compare-and-swap
// of the position under a fence, then rows that a unique key deduplicates, then
// counts of the rows that were new.
package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Store implements aggregate.Store on a connection pool. All methods are safe
// for concurrent use, and several processes may share one database.
type Store struct {
	pool *pgxpool.Pool
	cfg  Config
	days days

	alwaysStage bool   // clicks never go straight into their table; for comparison
	begin       string // starts an ingest transaction
}

var _ aggregate.Store = (*Store)(nil)

// ErrAway is what the errors of Open and CheckSchema are where the server does not
// answer, or lets nobody in: it may do so later, without another configuration.
var ErrAway = errors.New("the store cannot be used now")

// away is an ErrAway in the words of its cause.
type away struct{ error }

func (a away) Unwrap() error        { return a.error }
func (a away) Is(target error) bool { return target == ErrAway }

// Open makes the pool and tries one connection, whose error is ErrAway. The tables
// live in the first schema of the connection's search_path. Call Migrate before
// anything else.
func Open(ctx context.Context, dsn string, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %w", err) // pgx leaves the password out
	}
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("store.dsn: %w", err)
	}
	s := &Store{pool: pool, cfg: cfg, begin: beginStanding(idleLimit)}
	if err := s.Ping(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Pool gives read access to the tables, for exports and tests.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Ping asks the server for an answer.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return away{fmt.Errorf("store.dsn: no answer from PostgreSQL: %w", err)}
	}
	return nil
}

// Close waits for connections in use and closes the pool.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// snapshot runs f in one read-only transaction whose statements all see the same
// commits.
func (s *Store) snapshot(ctx context.Context, report string, f func(pgx.Tx) error) error {
	opts := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	if err := pgx.BeginTxFunc(ctx, s.pool, opts, f); err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	return nil
}
