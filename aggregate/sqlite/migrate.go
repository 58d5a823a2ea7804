package sqlite

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"clickgate/aggregate"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateTries bounds how often Migrate starts again after another process got
// in between.
const migrateTries = 5

// Migrate brings the file to this version. Each migration is one immediate
// transaction, so of two processes that migrate at once one fails on what the
// other made, and finds at the next try that nothing is left to do. A file that a
// newer program migrated is refused and stays as it is.
func (s *Store) Migrate(ctx context.Context) error {
	if s.w == nil {
		return ErrReadOnly
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	if err := aggregate.CheckMigratable(have, migrations); err != nil {
		return fmt.Errorf("store file %s: %w", s.path, err)
	}
	return s.w.exclusive(ctx, func() error {
		for try := 1; ; try++ {
			err := s.up(ctx, files)
			if err == nil || ctx.Err() != nil {
				return err
			}
			if try == migrateTries {
				return fmt.Errorf("store file %s: cannot migrate: %w", s.path, err)
			}
		}
	})
}

func (s *Store) up(ctx context.Context, files fs.FS) error {
	p, err := s.provider(files)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (s *Store) provider(files fs.FS) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectSQLite3, s.writers, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()),
		goose.WithTableName("schema_versions"))
}
