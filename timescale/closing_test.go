package timescale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/storetest"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

var shop = aggregate.Unit{TenantID: "acme", SourceID: "shop", Hour: storetest.Base.Truncate(time.Hour).UnixMicro()}

// touching starts an ingest transaction that has touched units, and returns after
// that; end ends it and returns its error.
func touching(t *testing.T, s *Store, units ...aggregate.Unit) (sealed []bool, end func() error) {
	t.Helper()
	touched, leave, done := make(chan []bool, 1), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.InTx(t.Context(), func(tx aggregate.Tx) error {
			sealed, err := tx.TouchUnits(t.Context(), units)
			touched <- sealed
			<-leave
			return err
		})
	}()
	select {
	case sealed = <-touched:
	case err := <-done:
		t.Fatalf("ingest ended early: %v", err)
	}
	end = sync.OnceValue(func() error { close(leave); return <-done })
	t.Cleanup(func() { _ = end() }) // where the test stopped before
	return sealed, end
}

// touch registers units.
func touch(t *testing.T, s *Store, units ...aggregate.Unit) {
	t.Helper()
	err := s.InTx(t.Context(), func(tx aggregate.Tx) error {
		_, err := tx.TouchUnits(t.Context(), units)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func lease(t *testing.T, s *Store, u aggregate.Unit, owner string) int64 {
	t.Helper()
	fence, err := s.Lease(t.Context(), u, owner, hourMicros)
	if err != nil {
		t.Fatal(err)
	}
	return fence
}

// waiting waits until n connections wait for locks; so a test knows that what it
// started is stuck and not slow.
func waiting(t *testing.T, s *Store, n int) {
	t.Helper()
	for {
		var got int
		err := s.Pool().QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FROM units WHERE%' AND backend_type = 'client backend'
  AND pid IN (SELECT pid FROM pg_locks WHERE relation = to_regclass('units'))`).Scan(&got)
		if err != nil {
			t.Fatal(err)
		}
		if got == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSealWaits: a seal ends after the transactions that took the unit for open.
// Those that begin meanwhile take it for sealed and keep nobody waiting.
func TestSealWaits(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	_, endFirst := touching(t, s, shop)
	result := make(chan error, 1)
	go func() { result <- s.Seal(t.Context(), shop, fence) }()
	waiting(t, s, 1)
	late, endLate := touching(t, s, shop)
	if !late[0] {
		t.Error("a transaction that began during the seal takes the unit for open")
	}
	if units, err := s.OpenUnits(t.Context()); err != nil || len(units) != 1 || units[0].State != aggregate.UnitOpen {
		t.Errorf("during the seal units are %+v (%v), want one that is open", units, err)
	}
	closed := s.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.Finish(t.Context(), &aggregate.ClosedUnit{Unit: shop}, nil)
	})
	if closed == nil {
		t.Error("the unit was closed while its seal waits")
	}
	select {
	case err := <-result:
		t.Fatalf("the seal did not wait: %v", err)
	default:
	}
	if err := endFirst(); err != nil {
		t.Error(err)
	}
	if err := <-result; err != nil { // although the late transaction goes on
		t.Error(err)
	}
	if err := endLate(); err != nil {
		t.Error(err)
	}
	if units, err := s.OpenUnits(t.Context()); err != nil || units[0].State != aggregate.UnitSealed {
		t.Errorf("units are %+v (%v), want one that is sealed", units, err)
	}
}

// TestSealUnderLoad: a stream of batches in which there is always one that holds
// the unit does not keep a seal waiting.
func TestSealUnderLoad(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	_, end := touching(t, s, shop)
	result := make(chan error, 1)
	go func() { result <- s.Seal(t.Context(), shop, fence) }()
	for n := 1; ; n++ {
		_, next := touching(t, s, shop) // before the last one ends
		if err := end(); err != nil {
			t.Fatal(err)
		}
		end = next
		select {
		case err := <-result:
			if err != nil {
				t.Error(err)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
			t.Logf("sealed after %d transactions", n)
			return
		default:
		}
		if n == 500 {
			t.Fatal("the seal still waits after 500 transactions that followed each other")
		}
	}
}

// TestSealAgain: a seal that was cut off counts for nothing until it is ended.
func TestSealAgain(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	_, end := touching(t, s, shop)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 2)
	go func() { result <- s.Seal(ctx, shop, fence) }()
	waiting(t, s, 1)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatalf("seal under a cancelled context: %v", err)
	}
	go func() { result <- s.Seal(t.Context(), shop, fence) }()
	waiting(t, s, 1) // again for the same transaction
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// TestIngestDoesNotWait: a closing transaction and a lease keep no batch waiting,
// in open units and in sealed ones.
func TestIngestDoesNotWait(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	other := aggregate.Unit{TenantID: "acme", SourceID: "other", Hour: shop.Hour}
	touch(t, s, other, shop)
	open, fence := lease(t, s, other, "a"), lease(t, s, shop, "a")
	if err := s.Seal(t.Context(), shop, fence); err != nil {
		t.Fatal(err)
	}
	err := s.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
		if err := tx.Finish(t.Context(), &aggregate.ClosedUnit{Unit: shop}, nil); err != nil {
			return err
		}
		return s.InClosing(t.Context(), other, open, func(aggregate.ClosingTx) error {
			sealed, end := touching(t, s, other, shop)
			if sealed[0] || !sealed[1] {
				t.Errorf("sealed are %v, want the second alone", sealed)
			}
			_, err := s.Lease(t.Context(), shop, "b", 1) // refused at once, though the row is locked
			if !errors.Is(err, aggregate.ErrNotLeased) {
				t.Errorf("lease during a transaction of its holder: %v", err)
			}
			return end()
		})
	})
	if err != nil {
		t.Error(err)
	}
}

// TestInClosingExcludes: two transactions on one unit run one after the other.
func TestInClosingExcludes(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	var inside, most atomic.Int32
	results := make(chan error, 4)
	for range cap(results) {
		go func() {
			results <- s.InClosing(t.Context(), shop, fence, func(aggregate.ClosingTx) error {
				most.Store(max(most.Load(), inside.Add(1)))
				time.Sleep(2 * time.Millisecond)
				inside.Add(-1)
				return nil
			})
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != 1 {
		t.Errorf("%d transactions on one unit at once", most.Load())
	}
}

// TestInvoiceWaits: a month is not issued while a transaction that knows it as
// open goes on.
func TestInvoiceWaits(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	touch(t, s, shop)
	fence := lease(t, s, shop, "a")
	inv := aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(shop.Hour), IssuedAt: shop.Hour, IssuedBy: "x"}
	result := make(chan error, 1)
	err := s.InClosing(t.Context(), shop, fence, func(tx aggregate.ClosingTx) error {
		if got, err := tx.InvoiceOf(t.Context(), "acme", shop.Hour); err != nil || got != (aggregate.Invoice{}) {
			return fmt.Errorf("invoice %+v: %w", got, err)
		}
		go func() { result <- s.IssueInvoice(t.Context(), inv) }()
		for waits := false; !waits; time.Sleep(time.Millisecond) {
			err := s.Pool().QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_locks AS h
ON h.locktype = 'advisory' AND h.classid = l.classid AND h.objid = l.objid AND h.granted
WHERE l.locktype = 'advisory' AND NOT l.granted AND h.mode = 'ShareLock')`).Scan(&waits)
			if err != nil {
				return err
			}
		}
		got, err := tx.InvoiceOf(t.Context(), "acme", shop.Hour)
		if got != (aggregate.Invoice{}) {
			t.Errorf("the month was issued in the middle: %+v", got)
		}
		return err
	})
	if err := errors.Join(err, <-result); err != nil {
		t.Error(err)
	}
}

// TestLastSeen: when clicks last came is written once a minute, and then by one of
// those that bring them.
func TestLastSeen(t *testing.T) {
	t.Parallel()
	s := postgres.open(t)
	seen := func() int64 {
		t.Helper()
		touch(t, s, shop)
		units, err := s.OpenUnits(t.Context())
		if err != nil || len(units) != 1 {
			t.Fatalf("units %v: %v", units, err)
		}
		return units[0].LastReceived
	}
	age := func(by string) {
		t.Helper()
		if _, err := s.Pool().Exec(t.Context(), "UPDATE units SET last_seen = last_seen - $1::interval, first_seen = first_seen - $1::interval", by); err != nil {
			t.Fatal(err)
		}
	}
	first := seen()
	age("30 s")
	if got := seen(); got != first-30_000_000 {
		t.Errorf("after 30 s the last time is %d, want it left at %d", got, first-30_000_000)
	}
	age("31 s")
	if got := seen(); got <= first {
		t.Errorf("after 61 s the last time is %d, want it above %d", got, first)
	}
	age("61 s")
	_, endA := touching(t, s, shop)
	_, endB := touching(t, s, shop) // does not wait for the other's row
	if err := errors.Join(endA(), endB()); err != nil {
		t.Error(err)
	}
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	upgrade(t, &postgres)
}

// upgrade starts from tables of schema version 1.
func upgrade(t *testing.T, s *server) {
	store := openIn(t, s.schema(t), Config{MaxConns: 1, Now: func() time.Time { return storetest.Base }})
	if err := store.installExtension(t.Context()); err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(store.pool)
	p, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()), goose.WithTableName("schema_versions"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	storetest.Upgrade(t, store, func() error { return store.Migrate(t.Context()) })
}
