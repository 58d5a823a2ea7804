package aggregate

import (
	"testing"
	"testing/fstest"
)

func TestNewestMigration(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"migrations/00002_b.sql": {}, "migrations/00010_c.sql": {}, "migrations/00001_a.sql": {}}
	if got, err := NewestMigration(files); err != nil || got != 10 {
		t.Errorf("got %d, %v", got, err)
	}
	for name, files := range map[string]fstest.MapFS{"none": {}, "no number": {"migrations/first.sql": {}}} {
		if _, err := NewestMigration(files); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
