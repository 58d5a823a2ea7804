package aggregate

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// SchemaError says that a store has another schema than this program needs.
type SchemaError struct{ Have, Want int64 }

func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("the store has schema version %d, this program knows %d: a newer clickgate migrated it; run that version, "+
			"or restore the backup from before the upgrade. Nothing was changed", e.Have, e.Want)
	}
	return fmt.Sprintf("the store has schema version %d, this program needs %d: run `clickgate migrate`", e.Have, e.Want)
}

// CheckMigratable returns a SchemaError for a store that a newer program migrated:
// migrating it would find nothing to do, and say that all is well.
func CheckMigratable(have int64, files fs.FS) error {
	want, err := NewestMigration(files)
	if err == nil && have > want {
		return &SchemaError{Have: have, Want: want}
	}
	return err
}

// NewestMigration returns the highest version of a folder migrations of files
// named VERSION_name.sql.
func NewestMigration(files fs.FS) (int64, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil || len(names) == 0 {
		return 0, fmt.Errorf("no migrations in this program: %w", err)
	}
	newest := int64(0)
	for _, name := range names {
		number, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
		version, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("migration %s has no version: %w", name, err)
		}
		newest = max(newest, version)
	}
	return newest, nil
}
