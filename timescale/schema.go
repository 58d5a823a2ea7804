package timescale

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
		err = s.named(&aggregate.SchemaError{Have: have, Want: want})
	}
	return err
}

// schemaVersion is 0 for a schema that was never migrated.
func (s *Store) schemaVersion(ctx context.Context) (version int64, err error) {
	var made bool
	err = s.pool.QueryRow(ctx, "SELECT to_regclass('schema_versions') IS NOT NULL").Scan(&made)
	if err == nil && made {
		err = s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied").Scan(&version)
	}
	if err != nil {
		return 0, away{fmt.Errorf("cannot read the store's schema version: %w", err)}
	}
	return version, nil
}

// named adds which database an error is about, without user and password.
func (s *Store) named(err error) error {
	c := s.pool.Config().ConnConfig
	return fmt.Errorf("store.dsn (database %s on %s): %w", c.Database, c.Host, err)
}
