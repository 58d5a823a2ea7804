package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"
)

// CheckSchema implements aggregate.Store.
func (s *Store) CheckSchema(ctx context.Context) error {
	want, err := aggregate.NewestMigration(migrations)
	if err != nil {
		return err
	}
	var made bool
	if err := s.pool.QueryRow(ctx, "SELECT to_regclass('schema_versions') IS NOT NULL").Scan(&made); err != nil {
		return away{fmt.Errorf("cannot read the store's schema version: %w", err)}
	}
	var have int64
	if made {
		err := s.pool.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied").Scan(&have)
		if err != nil {
			return away{fmt.Errorf("cannot read the store's schema version: %w", err)}
		}
	}
	if have == want {
		return nil
	}
	return &aggregate.SchemaError{Have: have, Want: want}
}
