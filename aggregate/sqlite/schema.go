package sqlite

import (
	"context"
	"fmt"

	"clickgate/aggregate"
)

// CheckSchema implements aggregate.Store.
func (s *Store) CheckSchema(ctx context.Context) error {
	var have int64
	err := s.readers.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied`).Scan(&have)
	if err != nil && ctx.Err() != nil {
		return err
	}
	want, wantErr := aggregate.NewestMigration(migrations)
	if wantErr != nil || have == want {
		return wantErr
	}
	if err != nil { // most likely no such table: nothing was ever migrated
		have = 0
	}
	return fmt.Errorf("store file %s: %w", s.path, &aggregate.SchemaError{Have: have, Want: want})
}
