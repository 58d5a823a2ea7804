package timescale

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const dayMicros = 24 * 3600 * 1_000_000

// Days around now that get a partition of their own; others, which only a
// backfill brings, stay in the DEFAULT partition, so that no sender can make
// thousands of tables.
const (
	daysBack  = 90
	daysAhead = 2
)

// splitTables are the tables that migrations split by day.
var splitTables = [...]string{"clicks", "click_evidence", "click_minutes", "impressions"}

// days keeps the partitions of plain PostgreSQL; TimescaleDB makes its own
// chunks. A partition is made in a transaction of its own, with none open before
// it on this goroutine: attaching one takes a lock on the DEFAULT partition that
// the ingest transaction's own reads would deny.
type days struct {
	making sync.Mutex // held while partitions are looked for and made

	// mu guards what is below. It is never held over a statement: an open transaction
	// asks for missing days, and whoever made some meanwhile would wait for the reads
	// of that transaction.
	mu      sync.Mutex
	loaded  bool
	plain   bool
	have    map[int64]bool // days since 1970 that need no partition any more
	tryNext time.Time      // when to try again after tomorrow's could not be made
}

// missingDays says that a batch has rows of days without a partition. InTx
// catches it, makes them and runs the transaction again.
type missingDays struct{ days []int64 }

func (e *missingDays) Error() string {
	return fmt.Sprintf("%d days have no partition yet", len(e.days))
}

const partitionsSQL = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('clicks')`

// load finds out once whether partitions are ours to make, and which exist.
func (d *days) load(ctx context.Context, s *Store) error {
	if d.known() {
		return nil
	}
	var kind string
	err := s.pool.QueryRow(ctx, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass('clicks')").Scan(&kind)
	if err != nil {
		if errors.Is(err, pgx.ErrNoRows) {
			return errors.New("the store has no tables: run clickgate migrate")
		}
		return fmt.Errorf("cannot read the store's tables: %w", err)
	}
	plain, have := kind == "p", make(map[int64]bool)
	if plain {
		rows, _ := s.pool.Query(ctx, partitionsSQL) // the error comes again below
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("cannot read the store's partitions: %w", err)
		}
		for _, name := range names {
			if t, err := time.Parse("clicks_d20060102", name); err == nil {
				have[t.UnixMicro()/dayMicros] = true
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plain, d.have, d.loaded = plain, have, true
	return nil
}

func (d *days) known() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loaded
}

func (d *days) has(day int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.have[day]
}

// isAhead reports that there is nothing to make yet.
func (d *days) isAhead(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	today := now.UnixMicro() / dayMicros
	return d.loaded && (!d.plain || d.have[today] && d.have[today+1] || now.Before(d.tryNext))
}

// ahead makes today's and tomorrow's partitions before rows need them. Nothing
// is lost when it cannot: it tries again ten minutes later.
func (d *days) ahead(ctx context.Context, s *Store) error {
	now := s.cfg.Now()
	if d.isAhead(now) {
		return nil
	}
	d.making.Lock()
	defer d.making.Unlock()
	if err := d.load(ctx, s); err != nil || d.isAhead(now) {
		return err
	}
	today := now.UnixMicro() / dayMicros
	if err := errors.Join(d.add(ctx, s, today), d.add(ctx, s, today+1)); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.tryNext = now.Add(10 * time.Minute)
	}
	return ctx.Err()
}

// make adds the partitions that a batch asked for.
func (d *days) make(ctx context.Context, s *Store, missing []int64) error {
	d.making.Lock()
	defer d.making.Unlock()
	for _, day := range missing {
		if err := d.add(ctx, s, day); err != nil {
			return err
		}
	}
	return nil
}

// missing returns which of the days of times, Unix microseconds, deserve a
// partition and have none.
func (d *days) missing(s *Store, times func(yield func(int64) bool)) []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.plain {
		return nil
	}
	today := s.cfg.Now().UnixMicro() / dayMicros
	var out []int64
	last := int64(-1)
	for t := range times {
		day := t / dayMicros
		if day == last || d.have[day] {
			continue
		}
		last = day
		if day >= today-daysBack && day <= today+daysAhead {
			out = append(out, day)
		}
	}
	return out
}

// add makes the partitions of one day, unless another process did.
func (d *days) add(ctx context.Context, s *Store, day int64) error {
	if d.has(day) {
		return nil
	}
	id, err := s.lockID(ctx)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return addDay(ctx, tx, id+1, day) })
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23514" {
		err = nil // the DEFAULT partition has rows of this day; they all stay there
	}
	if err != nil {
		return fmt.Errorf("partition of %s: %w", dayName(day), err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.have[day] = true
	return nil
}

func dayName(day int64) string { return time.UnixMicro(day * dayMicros).UTC().Format("20060102") }

// addDay makes each partition as a table and attaches it: unlike CREATE TABLE
// PARTITION OF this locks neither readers nor writers of other partitions out.
func addDay(ctx context.Context, tx pgx.Tx, lockID, day int64) error {
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '3s'"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", lockID); err != nil {
		return err
	}
	name := dayName(day)
	var made bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('clicks_d' || $1) IS NOT NULL", name).Scan(&made); err != nil || made {
		return err
	}
	from, to := time.UnixMicro(day*dayMicros).UTC(), time.UnixMicro((day+1)*dayMicros).UTC()
	replacer := strings.NewReplacer("{day}", name, "{from}", from.Format(time.RFC3339), "{to}", to.Format(time.RFC3339))
	for _, table := range splitTables {
		var known bool // not in a schema of before it
		if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", table).Scan(&known); err != nil {
			return err
		}
		if !known {
			continue
		}
		sql := strings.ReplaceAll(addDaySQL, "{table}", table)
		if _, err := tx.Exec(ctx, replacer.Replace(sql)); err != nil {
			return err
		}
	}
	return nil
}

// Names and times in it are ours alone, so they need no quoting.
const addDaySQL = `
CREATE TABLE {table}_d{day} (LIKE {table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE);
ALTER TABLE {table} ATTACH PARTITION {table}_d{day} FOR VALUES FROM ('{from}') TO ('{to}')`
