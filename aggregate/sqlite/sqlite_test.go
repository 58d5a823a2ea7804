package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

func open(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// migrated is the file of an empty store. A case that starts from a copy of it
// saves most of what opening costs.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "clickgate-sqlite-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "clicks.db")
	s, err := Open(context.Background(), path, Config{})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.Migrate(context.Background()), s.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// openCopy opens a copy of an empty store.
func openCopy(t testing.TB) *Store {
	t.Helper()
	file, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "clicks 100%?.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	t.Parallel()
	opts := storetest.Options{
		DB:      func(s aggregate.Store) *sql.DB { return s.(*Store).DB() },
		Exec:    func(s aggregate.Store, statement string) error { return execute(s.(*Store), statement) },
		Changes: changes, Refuse: refuse,
	}
	if raceEnabled {
		opts.Histories = 1 // SQLite is twenty times slower then, and one meets the same code as three
	}
	storetest.Run(t, func(t *testing.T) aggregate.Store { return openCopy(t) }, opts)
}

// execute runs a statement that writes.
func execute(s *Store, statement string) error {
	return s.write(context.Background(), func(t *tx) error {
		_, err := t.exec("statement of a test", statement)
		return err
	})
}

// refuse makes a store refuse rows by a trigger.
func refuse(store aggregate.Store, table, condition, _ string) (end func() error, err error) {
	var s *Store
	switch store := store.(type) {
	case *Store:
		s = store
	case *mutant:
		s = store.Store
	}
	name := fmt.Sprintf("refuse_%s_%x", table, crc32.ChecksumIEEE([]byte(condition)))
	return func() error { return execute(s, "DROP TRIGGER "+name) }, execute(s, fmt.Sprintf(
		"CREATE TRIGGER %s BEFORE INSERT ON %s WHEN %s BEGIN SELECT RAISE(ABORT, 'the test wants it so'); END", name, table, condition))
}

// changes are the ways to change rows that an append-only table refuses.
func changes(table string) []string {
	return []string{
		"UPDATE " + table + " SET tenant_id = 'other'", "DELETE FROM " + table,
		"INSERT OR REPLACE INTO " + table + " SELECT * FROM " + table,
	}
}

// TestReadOnly: a second opener sees what was committed while the first writes,
// also in the middle of a transaction, and cannot write.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clicks.db")
	if _, err := OpenReadOnly(t.Context(), path, Config{}); err == nil {
		t.Fatal("a file that is not there was opened")
	}
	writer := open(t, path)
	h := storetest.NewHistory(2, 5)
	h.Play(t, writer)
	reader, err := OpenReadOnly(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	storetest.Compare(t, h.IDs()[:20], writer, reader)

	err = writer.InTx(t.Context(), func(aggregate.Tx) error {
		storetest.Compare(t, nil, writer, reader)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := reader.Claim(t.Context(), aggregate.Partition{}, "x"); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Claim on a read-only store: %v", err)
	}
	if err := reader.Migrate(t.Context()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Migrate on a read-only store: %v", err)
	}
	if _, err := reader.DB().Exec("DELETE FROM clicks"); err == nil {
		t.Error("a reading connection wrote")
	}
}

// TestReopen: what was committed is there after closing, and the position goes on.
func TestReopen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "clicks.db")
	s, err := Open(t.Context(), path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := storetest.NewHistory(3, 5)
	h.Play(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), aggregate.Partition{}, "x"); err == nil {
		t.Error("a closed store gave a claim")
	}
	other := open(t, filepath.Join(dir, "other.db"))
	h.Play(t, other)
	storetest.Compare(t, h.IDs()[:20], other, open(t, path))
}

// TestMigrateAtOnce: several openers of one new file, as several processes.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clicks.db")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := Open(t.Context(), path, Config{})
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = s.Close() }()
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h := storetest.NewHistory(4, 4)
	h.Play(t, open(t, path))
}

// TestBusy: another process that holds the write lock makes a transaction wait,
// and fail when it holds it for too long; then all goes on.
func TestBusy(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "clicks.db")
	holder := open(t, path)
	s, err := Open(t.Context(), path, Config{BusyTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	tries := 0
	count := func(aggregate.Tx) error { tries++; return nil }
	err = holder.InTx(t.Context(), func(aggregate.Tx) error {
		if err := s.InTx(t.Context(), count); !busy(err) {
			t.Errorf("transaction under a foreign lock: %v, want SQLITE_BUSY", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.InTx(ctx, count); !errors.Is(err, context.Canceled) {
			t.Errorf("transaction under a cancelled context: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.InTx(t.Context(), count); err != nil || tries != 1 {
		t.Errorf("after the lock went: %v, f ran %d times, want once", err, tries)
	}
}

// TestErrorsNameTheFile: a user with a wrong path is told which.
func TestErrorsNameTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing", "clicks.db")
	for name, err := range map[string]error{
		"Open":         second(Open(t.Context(), path, Config{})),
		"OpenReadOnly": second(OpenReadOnly(t.Context(), path, Config{})),
	} {
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s says %v, want the path in it", name, err)
		}
	}
}

func second[V any](_ V, err error) error { return err }

// TestUpgrade starts from a file of schema version 1.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	p, err := s.provider(os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.w.exclusive(t.Context(), func() error { return second(p.UpTo(t.Context(), 1)) })
	if err != nil {
		t.Fatal(err)
	}
	storetest.Upgrade(t, s, func() error { return s.Migrate(t.Context()) })
}
