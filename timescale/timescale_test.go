package timescale

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/aggregate/storetest"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// server is a database server that the tests may use.
type server struct {
	name   string
	env    string // variable with its postgres:// URL
	serial string // why cases with several connections are left out
}

var (
	postgres = server{name: "PostgreSQL", env: "CLICKGATE_TEST_POSTGRES"}
	tsdb     = server{
		name: "TimescaleDB", env: "CLICKGATE_TEST_TIMESCALE",
		serial: "the TimescaleDB front has one backend: an open transaction blocks all other connections",
	}
)

// dsn returns the server's URL, or skips.
func (s *server) dsn(t testing.TB) string {
	t.Helper()
	dsn := os.Getenv(s.env)
	if dsn == "" {
		t.Skipf("%s is not set: \"make services\" installs a %s server and \"make test\" starts it; "+
			"or run tools/services/with go test ./timescale", s.env, s.name)
	}
	return dsn
}

var schemas atomic.Int64

// open returns a migrated store in a schema of its own, which goes with the test.
func (s *server) open(t testing.TB) *Store {
	t.Helper()
	cfg := Config{MaxConns: 6, Now: func() time.Time { return storetest.Base }}
	if s.serial != "" {
		cfg.MaxConns = 1
	}
	return s.openWith(t, cfg)
}

// openWith is open with a configuration of the test's own.
func (s *server) openWith(t testing.TB, cfg Config) *Store {
	t.Helper()
	store := openIn(t, s.schema(t), cfg)
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// schema makes a schema that goes with the test and returns the URL of a
// connection that lives in it.
func (s *server) schema(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(s.dsn(t))
	if err != nil {
		t.Fatalf("%s: %v", s.env, err)
	}
	schema := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	s.admin(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { s.admin(t, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func openIn(t testing.TB, dsn string, cfg Config) *Store {
	t.Helper()
	store, err := Open(t.Context(), dsn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// TestMigrateAtOnce: several processes migrate one empty schema at once.
func TestMigrateAtOnce(t *testing.T) {
	t.Parallel()
	dsn := postgres.schema(t)
	var stores [3]*Store
	var wg sync.WaitGroup
	for i := range stores {
		stores[i] = openIn(t, dsn, Config{MaxConns: 3, Now: func() time.Time { return storetest.Base }})
		wg.Go(func() {
			if err := stores[i].Migrate(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	storetest.NewHistory(4, 4).Play(t, stores[1])
}

// TestErrors: what a user gets wrong is named, and the password is not.
func TestErrors(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	for _, dsn := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/db?connect_timeout=2",
		"postgres://u:" + secret + "@127.0.0.1:notaport/db",
		"postgres://u:" + secret + "@127.0.0.1:1/db?sslmode=sometimes",
	} {
		_, err := Open(t.Context(), dsn, Config{})
		if err == nil || !strings.Contains(err.Error(), "store.dsn") || strings.Contains(err.Error(), secret) {
			t.Errorf("Open says %v; want store.dsn in it and no password", err)
		}
	}
}

// admin runs one statement on a connection of its own. It ignores the test's
// context, because a cleanup runs after that has ended.
func (s *server) admin(t testing.TB, statement string) {
	t.Helper()
	ctx := t.Context()
	if ctx.Err() != nil {
		var cancel func()
		ctx, cancel = cleanupContext()
		defer cancel()
	}
	conn, err := pgx.Connect(ctx, s.dsn(t))
	if err != nil {
		t.Fatalf("%s: %v", s.env, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func openSQLite(t testing.TB) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *server) options(histories int) storetest.Options {
	return storetest.Options{
		Serial: s.serial, Histories: histories, Signed32: true,
		DB: func(store aggregate.Store) *sql.DB { return stdlib.OpenDBFromPool(store.(*Store).Pool()) },
		Exec: func(store aggregate.Store, statement string) error {
			_, err := store.(*Store).Pool().Exec(context.Background(), statement)
			return err
		},
		Refuse: refuse,
		// Deadlock, serialization, lost connection, full disk, no memory, cancelled, shut
		// down, I/O error, missing column, read only.
		Passing: []string{"40P01", "40001", "08006", "53100", "53200", "57014", "57P01", "58030", "42703", "25006"},
		Changes: func(table string) []string {
			return []string{"UPDATE " + table + " SET tenant_id = 'other'", "DELETE FROM " + table, "TRUNCATE " + table}
		},
	}
}

// refuse makes a store refuse rows by a trigger that raises an SQLSTATE.
func refuse(s aggregate.Store, table, condition, sqlState string) (end func() error, err error) {
	pool, name := s.(*Store).Pool(), fmt.Sprintf("refuse_%s_%x", table, crc32.ChecksumIEEE([]byte(condition)))
	_, err = pool.Exec(context.Background(), fmt.Sprintf(`
CREATE FUNCTION %[1]s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF %[3]s THEN RAISE EXCEPTION 'the test wants it so' USING ERRCODE = '%[4]s'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER %[1]s BEFORE INSERT ON %[2]s FOR EACH ROW EXECUTE FUNCTION %[1]s()`, name, table, condition, sqlState))
	return func() error {
		ctx, cancel := cleanupContext()
		defer cancel()
		_, err := pool.Exec(ctx, "DROP FUNCTION "+name+" CASCADE")
		return err
	}, err
}

// Under the race detector SQLite and encoding are ten times slower, and one
// history meets the same code as two.
func underRace(n, otherwise int) int {
	if raceEnabled {
		return n
	}
	return otherwise
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	postgres.dsn(t)
	storetest.Run(t, postgres.lender(t), postgres.options(underRace(1, 2)))
}

// TestTimescale runs all that needs the extension, one after the other: its front
// has one backend.
func TestTimescale(t *testing.T) {
	t.Parallel()
	tsdb.dsn(t)
	t.Run("Suite", func(t *testing.T) { storetest.Run(t, tsdb.lender(t), tsdb.options(1)) })
	t.Run("EqualReports", func(t *testing.T) { equalReports(t, &tsdb) })
	t.Run("EqualClosing", func(t *testing.T) { equalClosing(t, &tsdb) })
	t.Run("QueueReadsItsHours", func(t *testing.T) { queueReadsItsHours(t, &tsdb) })
	t.Run("PlansLeaveDaysOut", func(t *testing.T) { plansLeaveDaysOut(t, &tsdb) })
	t.Run("OneUniqueConstraint", func(t *testing.T) { oneUniqueConstraint(t, &tsdb) })
	t.Run("UnitPagesFollowIndex", func(t *testing.T) { unitPagesFollowIndex(t, &tsdb) })
	t.Run("UnitOfCompressedChunk", unitOfCompressedChunk)
	t.Run("Upgrade", func(t *testing.T) { upgrade(t, &tsdb) })
	t.Run("Hypertables", hypertables)
	t.Run("LateIntoCompressedChunk", lateIntoCompressedChunk)
}

func TestEqualReports(t *testing.T) {
	t.Parallel()
	equalReports(t, &postgres)
}

// equalReports plays one history into SQLite and into a server.
func equalReports(t *testing.T, s *server) {
	s.dsn(t)
	h := storetest.NewHistory(11, underRace(12, 30))
	want, got := openSQLite(t), s.open(t)
	a, b := h.Play(t, want), h.Play(t, got)
	for i := range a {
		if !cmp.Equal(a[i], b[i]) {
			t.Errorf("batch %d gives %+v on SQLite and %+v on %s", i, a[i], b[i], s.name)
		}
	}
	storetest.Compare(t, h.Sample(underRace(20, 5)), want, got)
}

func TestEqualClosing(t *testing.T) {
	t.Parallel()
	equalClosing(t, &postgres)
}

// equalClosing closes one history in SQLite and in a server, with all that follows.
func equalClosing(t *testing.T, s *server) {
	s.dsn(t)
	h := storetest.NewHistory(12, underRace(12, 30))
	want, got := openSQLite(t), s.open(t)
	a, b := h.PlayClosing(t, want), h.PlayClosing(t, got)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("decisions come to other things (-SQLite +%s):\n%s", s.name, diff)
	}
	storetest.Compare(t, h.Sample(underRace(20, 5)), want, got)
}

func cleanupContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 30*time.Second)
}
