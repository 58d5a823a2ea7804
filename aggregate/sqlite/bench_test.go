package sqlite

import (
	"path/filepath"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) aggregate.Store { return open(b, filepath.Join(b.TempDir(), "clicks.db")) }, plainInsert)
}

// plainInsert is the same table and the same driver, without position, lookups,
// evidence and counts.
func plainInsert(b *testing.B, s aggregate.Store, rows []aggregate.ClickRow) {
	err := s.InTx(b.Context(), func(a aggregate.Tx) error {
		t := a.(*tx)
		args := make([]any, 0, clickCount)
		for i := range rows {
			args = clickArgs(args[:0], &rows[i], t.now)
			if _, err := t.exec("clicks", insertClickSQL, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkClosing(b *testing.B) {
	open := func(b *testing.B) aggregate.Store { return open(b, filepath.Join(b.TempDir(), "clicks.db")) }
	storetest.BenchClosing(b, open, func(b *testing.B, s aggregate.Store) {
		if err := execute(s.(*Store), "DROP INDEX clicks_unit"); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkUnitPages(b *testing.B) {
	storetest.BenchPages(b, func(b *testing.B) aggregate.Store { return open(b, filepath.Join(b.TempDir(), "clicks.db")) })
}
