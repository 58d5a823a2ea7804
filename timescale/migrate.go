package timescale

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"clickgate/aggregate"

	"github.com/cespare/xxhash/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema to this version. Of several processes that migrate
// at once one works and the others wait for it, by a session lock; that needs a
// connection of its own, so not a pooler in transaction mode. A schema that a newer
// program migrated is refused and stays as it is.
func (s *Store) Migrate(ctx context.Context) error {
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if err := aggregate.CheckMigratable(have, migrations); err != nil {
		return s.named(err)
	}
	if err := s.installExtension(ctx); err != nil {
		return err
	}
	id, err := s.lockID(ctx)
	if err != nil {
		return err
	}
	if err := s.up(ctx, id); err != nil {
		return fmt.Errorf("cannot migrate the store: %w", err)
	}
	return s.days.ahead(ctx, s)
}

func (s *Store) up(ctx context.Context, lockID int64) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()), goose.WithTableName("schema_versions"))
	if err != nil {
		return errors.Join(err, db.Close())
	}
	_, err = p.Up(ctx)
	return errors.Join(err, db.Close())
}

// lockID keeps stores in different schemas of one database apart.
func (s *Store) lockID(ctx context.Context) (int64, error) {
	var schema *string
	if err := s.pool.QueryRow(ctx, "SELECT current_schema()").Scan(&schema); err != nil {
		return 0, fmt.Errorf("cannot read the current schema: %w", err)
	}
	if schema == nil {
		return 0, errors.New("store.dsn: no schema of search_path exists; create it or change search_path")
	}
	return int64(xxhash.Sum64String("clickgate schema " + *schema)), nil
}

const offeredSQL = `
SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NULL)`

// installExtension installs TimescaleDB where the server offers it: tables are
// made as hypertables or not for good, so this is the moment to tell.
func (s *Store) installExtension(ctx context.Context) error {
	if s.cfg.NoExtension {
		return nil
	}
	var offered bool
	if err := s.pool.QueryRow(ctx, offeredSQL).Scan(&offered); err != nil {
		return fmt.Errorf("cannot look for TimescaleDB: %w", err)
	}
	if !offered {
		return nil
	}
	var made bool
	if err := s.pool.QueryRow(ctx, "SELECT to_regclass('clicks') IS NOT NULL").Scan(&made); err != nil || made {
		return err
	}
	_, err := s.pool.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return fmt.Errorf("this server offers TimescaleDB and this role may not install it: "+
			"run CREATE EXTENSION timescaledb in the database as a superuser, or choose plain tables: %w", err)
	}
	return err
}
