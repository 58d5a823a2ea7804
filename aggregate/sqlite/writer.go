package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"clickgate/aggregate"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// writer is the one connection that writes, with its prepared statements.
type writer struct {
	db   *sql.DB
	turn chan struct{} // holds one token: whose turn it is
	gone chan struct{} // closed with the store
	conn *sql.Conn
	stmt map[string]*sql.Stmt
}

var errClosed = errors.New("store is closed")

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db, turn: make(chan struct{}, 1), gone: make(chan struct{}), stmt: make(map[string]*sql.Stmt)}
	w.turn <- struct{}{}
	return w
}

// take waits for the turn; give ends it.
func (w *writer) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.turn:
		return nil
	case <-w.gone:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *writer) give() { w.turn <- struct{}{} }

// exclusive runs f without the writing connection, while nobody writes.
func (w *writer) exclusive(ctx context.Context, f func() error) error {
	if err := w.take(ctx); err != nil {
		return err
	}
	defer w.give()
	if err := w.drop(); err != nil {
		return err
	}
	return f()
}

// discard ends the connection, and what is open on it, so that nobody gets it again.
func (w *writer) discard() error {
	err := w.conn.Raw(func(any) error { return sqldriver.ErrBadConn })
	if errors.Is(err, sqldriver.ErrBadConn) {
		err = nil
	}
	return errors.Join(err, w.drop())
}

// drop returns the connection to the pool, and with it the statements.
func (w *writer) drop() error {
	if w.conn == nil {
		return nil
	}
	for _, s := range w.stmt {
		_ = s.Close()
	}
	clear(w.stmt)
	err := w.conn.Close()
	w.conn = nil
	return err
}

func (w *writer) close() error {
	select {
	case <-w.turn: // never given back
	case <-w.gone:
		return nil
	}
	close(w.gone)
	return w.drop()
}

// prepare returns the statement of query on the writing connection.
func (w *writer) prepare(query string) (*sql.Stmt, error) {
	if s := w.stmt[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(context.Background(), query)
	if err == nil {
		w.stmt[query] = s
	}
	return s, err
}

const (
	txTries   = 8
	firstWait = 2 * time.Millisecond
)

// InTx implements aggregate.Ingest. Transactions queue up for the one writing
// connection; SQLITE_BUSY comes from other processes only.
func (s *Store) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	if s.w == nil {
		return ErrReadOnly
	}
	if err := s.w.take(ctx); err != nil {
		return err
	}
	defer s.w.give()
	for try, wait := 1, firstWait; ; try, wait = try+1, 2*wait {
		err := s.once(ctx, f)
		if !busy(err) || try == txTries {
			return err
		}
		if err := sleep(ctx, wait/2+rand.N(wait)); err != nil {
			return err
		}
	}
}

// once runs f in one transaction. Its statements run without the context: each is
// short, the context is looked at between them, and a driver call with a context costs a
// goroutine. BEGIN does too, because the driver may give up and have begun all the same.
func (s *Store) once(ctx context.Context, f func(aggregate.Tx) error) (err error) {
	if s.w.conn == nil {
		if s.w.conn, err = s.w.db.Conn(ctx); err != nil {
			return fmt.Errorf("store file %s: %w", s.path, err)
		}
	}
	if _, err := s.w.conn.ExecContext(context.Background(), "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("store file %s: cannot begin: %w", s.path, err)
	}
	done := false
	defer func() {
		if done {
			return
		}
		// f failed or panicked, or the commit failed.
		if _, undone := s.w.conn.ExecContext(context.Background(), "ROLLBACK"); undone != nil {
			err = errors.Join(err, s.w.discard())
		}
	}()
	if err := f(&tx{store: s, w: s.w, now: s.now()}); err != nil {
		return rejected(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := s.w.conn.ExecContext(context.Background(), "COMMIT"); err != nil {
		return fmt.Errorf("store file %s: cannot commit: %w", s.path, err)
	}
	done = true
	return nil
}

func busy(err error) bool {
	var e *driver.Error
	return errors.As(err, &e) && e.Code()&0xff == lib.SQLITE_BUSY
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

// tx is one open transaction on the writing connection.
type tx struct {
	store *Store
	w     *writer
	now   int64
}

// exec runs a prepared statement and returns the number of rows it touched.
func (t *tx) exec(what, query string, args ...any) (int64, error) {
	res, err := t.result(what, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// result is exec with all that the driver says.
func (t *tx) result(what, query string, args ...any) (sql.Result, error) {
	stmt, err := t.w.prepare(query) //nolint:sqlclosecheck // cached; closed with the writer
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	res, err := stmt.ExecContext(context.Background(), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return res, nil
}

// query runs a prepared statement and calls f for each row.
func (t *tx) query(what, query string, f func(*sql.Rows) error, args ...any) error {
	stmt, err := t.w.prepare(query) //nolint:sqlclosecheck // cached; closed with the writer
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	rows, err := stmt.QueryContext(context.Background(), args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := each(rows, f); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// each calls f for each row and closes rows.
func each(rows *sql.Rows, f func(*sql.Rows) error) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
