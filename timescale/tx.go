package timescale

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	txTries   = 8
	firstWait = 2 * time.Millisecond
	closeWait = 5 * time.Second // for a rollback after the caller's context ended
)

// beginSQL starts every ingest transaction. Plans are made anew with the batch's
// own time bounds in sight, which is what keeps old chunks and partitions out;
// compiling such short statements never pays. The server ends a transaction whose
// process says nothing any more: its machine may have died or stand still, and the
// partition's next owner waits for the position that it holds. TCP alone would
// notice after hours.
const beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED;
SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off; SET LOCAL idle_in_transaction_session_timeout = %d`

// idleLimit is how long a transaction may stand still. Between its statements lies
// the work on one batch, far below a second.
const idleLimit = 30 * time.Second

// beginStanding is beginSQL with a limit.
func beginStanding(limit time.Duration) string { return fmt.Sprintf(beginSQL, limit.Milliseconds()) }

// InTx implements aggregate.Ingest. A commit whose answer is lost returns an
// error although the batch may be stored: applying it again tells.
func (s *Store) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	if err := s.days.ahead(ctx, s); err != nil {
		return err
	}
	for try, wait := 1, firstWait; ; try, wait = try+1, 2*wait {
		err := s.once(ctx, f)
		if err == nil || try == txTries {
			return err
		}
		var missing *missingDays
		switch {
		case errors.As(err, &missing):
			err = s.days.make(ctx, s, missing.days)
		case retryable(err):
			err = sleep(ctx, wait/2+rand.N(wait))
		}
		if err != nil {
			return err
		}
	}
}

func (s *Store) once(ctx context.Context, f func(aggregate.Tx) error) (err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("no connection to the store: %w", err)
	}
	defer conn.Release()
	ptx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: s.begin})
	if err != nil {
		return fmt.Errorf("cannot begin: %w", err)
	}
	done := false
	defer func() {
		if !done { // f failed or panicked, or the commit failed
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
			defer cancel()
			_ = ptx.Rollback(undo)
		}
	}()
	t := &tx{store: s, tx: ptx}
	if err := f(t); err != nil {
		return rejected(err)
	}
	if t.missing != nil { // f may have hidden the error
		return t.missing
	}
	if err := ptx.Commit(ctx); err != nil {
		return fmt.Errorf("cannot commit: %w", err)
	}
	done = true
	return nil
}

// retryable reports serialization failures and deadlocks.
func retryable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tx is one open ingest transaction.
type tx struct {
	store   *Store
	tx      pgx.Tx
	missing *missingDays
	staged  bool // stage_clicks exists
}

// ready stops the transaction when rows of these times have no partition yet.
func (t *tx) ready(times func(yield func(int64) bool)) error {
	if days := t.store.days.missing(t.store, times); len(days) > 0 {
		t.missing = &missingDays{days}
		return t.missing
	}
	return nil
}

// exec runs one statement and says in errors what it was for.
func (t *tx) exec(ctx context.Context, what, sql string, args ...any) (int64, error) {
	tag, err := t.tx.Exec(ctx, sql, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return tag.RowsAffected(), nil
}

// query runs one statement and calls scan for each row.
func (t *tx) query(ctx context.Context, what, sql string, scan func(pgx.Rows) error, args ...any) error {
	rows, err := t.tx.Query(ctx, sql, args...)
	if err == nil {
		err = each(rows, scan)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each calls f for each row and closes rows.
func each(rows pgx.Rows, f func(pgx.Rows) error) error {
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
