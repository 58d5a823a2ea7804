package sqlite

import (
	"context"
	"fmt"

	"clickgate/aggregate"
)

// CheckSchema implements aggregate.Store.
func (s *Store) CheckSchema(ctx context.Context) error {
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return err
	}
	want, err := aggregate.NewestMigration(migrations)
	if err == nil && have != want {
		err = fmt.Errorf("store file %s: %w", s.path, &aggregate.SchemaError{Have: have, Want: want})
	}
	return err
}

// schemaVersion is 0 for a file that was never migrated.
func (s *Store) schemaVersion(ctx context.Context) (version int64, err error) {
	var made bool
	err = s.readers.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'schema_versions')`).Scan(&made)
	if err == nil && made {
		err = s.readers.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied`).Scan(&version)
	}
	if err != nil {
		err = fmt.Errorf("store file %s: cannot read its schema version: %w", s.path, err)
	}
	return version, err
}
