// Package sqlite keeps clicks in one SQLite file, for standalone mode: no server
// to run, the same behaviour as package timescale. It has what one machine needs
// (ingest and reports); roles and tenant views are PostgreSQL's.
//
// The file is in WAL mode with synchronous=FULL, so a committed batch survives
// power loss, and other processes read while this one writes. One connection
// writes, a few read; a read never waits for a write.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"time"

	"clickgate/aggregate"

	_ "modernc.org/sqlite" // the driver "sqlite", without cgo
)

// ErrReadOnly is returned by writing methods of a store from OpenReadOnly.
var ErrReadOnly = errors.New("store was opened for reading only")

// Store implements aggregate.Store. All methods are safe for concurrent use.
type Store struct {
	cfg     Config
	path    string
	readers *sql.DB
	writers *sql.DB // nil when read-only
	w       *writer // nil when read-only
}

var _ aggregate.Store = (*Store)(nil)

// Open opens the file at path for writing and creates it when it is missing;
// the directory must exist. Call Migrate before anything else.
func Open(ctx context.Context, path string, cfg Config) (*Store, error) {
	if err := create(path); err != nil {
		return nil, fmt.Errorf("store file %s: %w", path, err)
	}
	s := &Store{cfg: cfg.withDefaults(), path: path}
	s.writers = s.open("mode=rw&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=cache_size(-65536)&_pragma=temp_store(MEMORY)&_pragma=journal_size_limit(67108864)")
	s.writers.SetMaxOpenConns(1)
	if err := s.enterWAL(ctx); err != nil {
		_ = s.writers.Close()
		return nil, fmt.Errorf("store file %s: %w", path, err)
	}
	s.openReaders()
	s.w = newWriter(s.writers)
	return s, nil
}

// walTries bounds how often the change to WAL mode is tried: while another process
// makes the same change, SQLite may give up at once instead of waiting.
const walTries = 10

// enterWAL makes the pool's first connection, which puts the file into WAL mode.
func (s *Store) enterWAL(ctx context.Context) error {
	for try := 1; ; try++ {
		conn, err := s.writers.Conn(ctx)
		if err == nil {
			return conn.Close() // back to the pool
		}
		if !busy(err) || try == walTries || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Duration(try) * 10 * time.Millisecond)
	}
}

// OpenReadOnly opens an existing file for reports, while another process may
// write it.
func OpenReadOnly(ctx context.Context, path string, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg.withDefaults(), path: path}
	s.openReaders()
	if err := s.Ping(ctx); err != nil {
		_ = s.readers.Close()
		return nil, err
	}
	return s, nil
}

// create makes an empty file that other users cannot read; SQLite gives the WAL
// the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

func (s *Store) openReaders() {
	s.readers = s.open("mode=ro&_pragma=query_only(1)&_pragma=cache_size(-16384)&_pragma=temp_store(MEMORY)")
	s.readers.SetMaxOpenConns(s.cfg.Readers)
}

// open returns a pool; connecting happens at first use, and sql.Open fails only
// for an unknown driver.
func (s *Store) open(query string) *sql.DB {
	dsn := "file:" + (&url.URL{Path: s.path}).EscapedPath() + "?_pragma=busy_timeout(" +
		strconv.FormatInt(s.cfg.BusyTimeout.Milliseconds(), 10) + ")&" + query
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		panic(err)
	}
	return db
}

// Ping reads the schema.
func (s *Store) Ping(ctx context.Context) error {
	var n int64
	if err := s.readers.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		return fmt.Errorf("store file %s: %w", s.path, err)
	}
	return nil
}

// Close waits for the running transaction and closes the file.
func (s *Store) Close() error {
	if s.w == nil {
		return s.readers.Close()
	}
	return errors.Join(s.readers.Close(), s.w.close(), s.writers.Close())
}

// DB gives read access to the tables, for exports and tests.
func (s *Store) DB() *sql.DB { return s.readers }

func (s *Store) now() int64 { return s.cfg.Now().UnixMicro() }

// snapshot runs f in one deferred transaction: in WAL mode all its reads see the
// commit that was newest at the first of them.
func (s *Store) snapshot(ctx context.Context, report string, f func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	// Without the context's end, on which the driver may give up and have begun all the
	// same: the connection would be of no use any more.
	tx, err := s.readers.BeginTx(context.WithoutCancel(ctx), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("%s: cannot read %s: %w", report, s.path, err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	if err := f(tx); err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	return nil
}
