package timescale

import (
	"testing"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"
)

func BenchmarkPostgres(b *testing.B) { bench(b, &postgres) }

// BenchmarkIngest is everything a batch does, beside one plain COPY.
func BenchmarkIngest(b *testing.B) {
	postgres.dsn(b)
	open := func(b *testing.B) aggregate.Store { return postgres.open(b) }
	staged := func(b *testing.B) aggregate.Store {
		s := postgres.open(b)
		s.alwaysStage = true
		return s
	}
	storetest.BenchIngest(b, storetest.Way{Name: "everything", Open: open}, storetest.Way{Name: "everything-staged", Open: staged},
		storetest.Way{Name: "COPY", Open: open, Write: plainCopy})
}

func BenchmarkTimescale(b *testing.B) { bench(b, &tsdb) }

func bench(b *testing.B, s *server) {
	s.dsn(b)
	storetest.Bench(b, func(b *testing.B) aggregate.Store { return s.open(b) }, plainCopy)
}

// plainCopy is one COPY into the same table with its indexes, without position,
// staging, lookups, evidence and counts.
func plainCopy(b *testing.B, s aggregate.Store, rows []aggregate.ClickRow) {
	err := s.InTx(b.Context(), func(a aggregate.Tx) error {
		t := a.(*tx)
		if err := t.ready(idTimes(rows)); err != nil {
			return err
		}
		return t.copyIn(b.Context(), "clicks", copyClicksSQL, len(rows), func(c *copyBuf, i int) {
			c.row(clickCount)
			encodeClick(c, &rows[i])
		})
	})
	if err != nil {
		b.Fatal(err)
	}
}

func BenchmarkClosingPostgres(b *testing.B) { benchClosing(b, &postgres) }

func BenchmarkClosingTimescale(b *testing.B) { benchClosing(b, &tsdb) }

func benchClosing(b *testing.B, s *server) {
	s.dsn(b)
	open := func(b *testing.B) aggregate.Store { return s.open(b) }
	storetest.BenchClosing(b, open, func(b *testing.B, store aggregate.Store) {
		if _, err := store.(*Store).Pool().Exec(b.Context(), "DROP INDEX clicks_unit"); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkUnitPages(b *testing.B) {
	postgres.dsn(b)
	storetest.BenchPages(b, func(b *testing.B) aggregate.Store { return postgres.open(b) })
}
