package sqlite

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) aggregate.Store { return open(b, filepath.Join(b.TempDir(), "clicks.db")) }, plainInsert)
}

// BenchmarkIngest is everything a batch does, beside plain inserts of one and of many rows.
func BenchmarkIngest(b *testing.B) {
	open := func(b *testing.B) aggregate.Store { return open(b, filepath.Join(b.TempDir(), "clicks.db")) }
	storetest.BenchIngest(b, storetest.Way{Name: "everything", Open: open}, storetest.Way{Name: "INSERT-each", Open: open, Write: plainInsert},
		storetest.Way{Name: "INSERT-many", Open: open, Write: insertMany})
}

// insertMany is plainInsert with many rows a statement.
func insertMany(b *testing.B, s aggregate.Store, rows []aggregate.ClickRow) {
	err := s.InTx(b.Context(), func(a aggregate.Tx) error {
		t := a.(*tx)
		for part := range slices.Chunk(rows, rowsAtOnce) {
			args := make([]any, 0, len(part)*clickCount)
			for i := range part {
				args = clickArgs(args, &part[i], t.now)
			}
			row := "(?" + strings.Repeat(", ?", clickCount-1) + ")"
			query := "INSERT INTO clicks (" + clickColumns + ") VALUES " + row + strings.Repeat(", "+row, len(part)-1)
			if _, err := t.exec("clicks", query, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
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
