package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// How ingest and closers meet on a row of units:
//
//   - Ingest holds the units that are open FOR KEY SHARE. Nothing but a seal's
//     FOR UPDATE waits for that, so aggregators, closers and leases never wait for
//     each other.
//   - Seal first commits the state, so that new transactions take the unit for
//     sealed and hold it no more, and then waits for those that still hold it.
//     In one step it could wait for ever: a later FOR KEY SHARE overtakes a
//     FOR UPDATE that waits.
//   - sealed_at says that the waiting is over.
const (
	// ON CONFLICT waits for whoever writes the row that is in the way; so only units
	// that are new may come to it.
	registerUnitsSQL = `
INSERT INTO units (tenant_id, source_id, hour)
SELECT k.* FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (tenant_id, source_id, hour)
WHERE NOT EXISTS (
  SELECT FROM units AS u WHERE u.tenant_id = k.tenant_id AND u.source_id = k.source_id AND u.hour = k.hour)
ORDER BY k.tenant_id COLLATE "C", k.source_id COLLATE "C", k.hour
ON CONFLICT (tenant_id, source_id, hour) DO NOTHING`

	// A unit that a seal changes at this moment is returned and held as it was
	// before, and the seal then waits; one that is sealed is not returned.
	holdUnitsSQL = `
SELECT k.n - 1, u.last_seen < now() - $4::interval
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant_id, source_id, hour, n)
JOIN units AS u ON u.tenant_id = k.tenant_id AND u.source_id = k.source_id AND u.hour = k.hour
WHERE u.state = 0
ORDER BY u.tenant_id, u.source_id, u.hour FOR KEY SHARE OF u`

	// Whoever else writes last_seen now writes the same, so there is no need to
	// wait for it.
	seeUnitsSQL = `
UPDATE units AS u SET last_seen = now()
FROM (
  SELECT w.tenant_id, w.source_id, w.hour
  FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (tenant_id, source_id, hour)
  JOIN units AS w ON w.tenant_id = k.tenant_id AND w.source_id = k.source_id AND w.hour = k.hour
  FOR NO KEY UPDATE OF w SKIP LOCKED) AS mine
WHERE u.tenant_id = mine.tenant_id AND u.source_id = mine.source_id AND u.hour = mine.hour`
)

const seenStep = "60 seconds" // aggregate.UnitSeenStep

var _ = [1]struct{}{}[aggregate.UnitSeenStep-60_000_000]

func unitColumns(units []aggregate.Unit) []any {
	return []any{
		column(units, func(u *aggregate.Unit) string { return u.TenantID }),
		column(units, func(u *aggregate.Unit) string { return u.SourceID }),
		column(units, func(u *aggregate.Unit) micros { return micros(u.Hour) }),
	}
}

// TouchUnits implements aggregate.Tx, in one round trip and, once a minute, two.
func (t *tx) TouchUnits(ctx context.Context, units []aggregate.Unit) ([]bool, error) {
	sealed := make([]bool, len(units))
	if len(units) == 0 {
		return sealed, nil
	}
	for i := range sealed {
		sealed[i] = true
	}
	var batch pgx.Batch
	batch.Queue(registerUnitsSQL, unitColumns(units)...)
	batch.Queue(holdUnitsSQL, append(unitColumns(units), seenStep)...)
	results := t.tx.SendBatch(ctx, &batch)
	stale, err := heldUnits(results, units, sealed)
	if e := results.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("units: %w", err)
	}
	if len(stale) > 0 {
		_, err = t.exec(ctx, "units", seeUnitsSQL, unitColumns(stale)...)
	}
	return sealed, err
}

// heldUnits reads the answers to registerUnitsSQL and holdUnitsSQL.
func heldUnits(results pgx.BatchResults, units []aggregate.Unit, sealed []bool) (stale []aggregate.Unit, err error) {
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var n int
		var old bool
		if err := r.Scan(&n, &old); err != nil {
			return err
		}
		sealed[n] = false
		if old {
			stale = append(stale, units[n])
		}
		return nil
	})
	return stale, err
}

const insertLateSQL = `
INSERT INTO late_clicks (tenant_id, event_id, id_time, source_id, hour, event_time)
SELECT k.tenant_id, k.event_id, k.id_time, k.source_id, k.hour, c.event_time
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::text[], $5::timestamptz[])
  AS k (tenant_id, event_id, id_time, source_id, hour)
CROSS JOIN LATERAL (
  SELECT event_time FROM clicks AS c
  WHERE c.tenant_id = k.tenant_id AND c.event_id = k.event_id AND c.id_time = k.id_time
    AND c.id_time BETWEEN $6::timestamptz AND $7::timestamptz
  LIMIT 1) AS c
ORDER BY k.tenant_id COLLATE "C", k.event_id, k.id_time`

// InsertLate implements aggregate.Tx.
func (t *tx) InsertLate(ctx context.Context, keys []aggregate.EventKey, units []aggregate.Unit) error {
	if len(keys) != len(units) {
		return fmt.Errorf("late clicks: %d keys and %d units", len(keys), len(units))
	}
	if len(keys) == 0 {
		return nil
	}
	tenants, events, times := keyColumns(keys, func(k *aggregate.EventKey) *aggregate.EventKey { return k })
	lo, hi := bounds(times)
	n, err := t.exec(ctx, "late clicks", insertLateSQL, tenants, events, times,
		column(units, func(u *aggregate.Unit) string { return u.SourceID }),
		column(units, func(u *aggregate.Unit) micros { return micros(u.Hour) }), lo, hi)
	if err == nil && n != int64(len(keys)) {
		err = fmt.Errorf("late clicks: %d of %d are not stored", int64(len(keys))-n, len(keys))
	}
	return err
}

const unclosedUnitsSQL = `
SELECT tenant_id, source_id, hour, CASE WHEN sealed_at IS NULL THEN 0 ELSE 1 END, first_seen, last_seen FROM units
WHERE state < 2 ORDER BY tenant_id, hour, source_id`

// OpenUnits implements aggregate.Closing. A unit whose seal was begun and not
// ended counts as open.
func (s *Store) OpenUnits(ctx context.Context) (out []aggregate.UnitInfo, err error) {
	err = s.read(ctx, "open units", unclosedUnitsSQL, func(r pgx.Rows) error {
		var u aggregate.UnitInfo
		err := r.Scan(&u.TenantID, &u.SourceID, (*micros)(&u.Hour), &u.State, (*micros)(&u.FirstSeen), (*micros)(&u.LastReceived))
		out = append(out, u)
		return err
	})
	return out, err
}

const lateUnitsSQL = `
SELECT DISTINCT l.tenant_id, l.source_id, l.hour FROM late_clicks AS l
JOIN units AS u ON u.tenant_id = l.tenant_id AND u.source_id = l.source_id AND u.hour = l.hour
WHERE NOT l.settled AND u.state = 2 ORDER BY 1, 3, 2`

// LateUnits implements aggregate.Closing.
func (s *Store) LateUnits(ctx context.Context) (out []aggregate.Unit, err error) {
	err = s.read(ctx, "units with late clicks", lateUnitsSQL, func(r pgx.Rows) error {
		var u aggregate.Unit
		err := r.Scan(&u.TenantID, &u.SourceID, (*micros)(&u.Hour))
		out = append(out, u)
		return err
	})
	return out, err
}

const (
	unitSQL = ` FROM units WHERE tenant_id = $1 AND source_id = $2 AND hour = $3`

	holderSQL = `SELECT lease_owner, lease_owner <> $4 AND lease_until > now()` + unitSQL

	leaseSQL = `
UPDATE units SET lease_owner = $4, lease_until = now() + $5::bigint * interval '1 microsecond', fence = fence + 1
WHERE tenant_id = $1 AND source_id = $2 AND hour = $3 AND (lease_owner = $4 OR lease_until <= now())
RETURNING fence`
)

// Lease implements aggregate.Closing. It looks before it writes, because a write
// would wait for a transaction of the one that holds the lease.
func (s *Store) Lease(ctx context.Context, u aggregate.Unit, owner string, ttl int64) (fence int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		holder, found, taken := "", false, false
		key := []any{u.TenantID, u.SourceID, micros(u.Hour), owner}
		err := t.query(ctx, "lease", holderSQL, func(r pgx.Rows) error {
			found = true
			return r.Scan(&holder, &taken)
		}, key...)
		switch {
		case err != nil:
			return err
		case !found:
			return fmt.Errorf("lease: there is no unit of %v", u)
		}
		if !taken {
			taken = true // until the row says otherwise
			err = t.query(ctx, "lease", leaseSQL, func(r pgx.Rows) error {
				taken = false
				return r.Scan(&fence)
			}, append(key, ttl)...)
		}
		if err == nil && taken {
			err = fmt.Errorf("lease of %v: held by %q or another: %w", u, holder, aggregate.ErrNotLeased)
		}
		return err
	})
	return fence, err
}

const (
	sealSQL = `UPDATE units SET state = 1 WHERE tenant_id = $1 AND source_id = $2 AND hour = $3 AND state = 0`

	sealedSQL = `
UPDATE units SET sealed_at = now() WHERE tenant_id = $1 AND source_id = $2 AND hour = $3 AND sealed_at IS NULL`
)

// Seal implements aggregate.Closing, in the two steps that units.go begins with.
func (s *Store) Seal(ctx context.Context, u aggregate.Unit, fence int64) error {
	for _, step := range [...]struct{ lock, sql string }{
		{"FOR NO KEY UPDATE", sealSQL},
		{"FOR UPDATE", sealedSQL},
	} {
		err := s.write(ctx, func(t *tx) error {
			state, err := t.holds(ctx, u, fence, step.lock)
			if err != nil {
				return err
			}
			if state == aggregate.UnitClosed {
				return fmt.Errorf("seal of %v: %w", u, aggregate.ErrUnitClosed)
			}
			_, err = t.exec(ctx, "seal", step.sql, u.TenantID, u.SourceID, micros(u.Hour))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// holds locks the row of u and returns its state, or ErrNotLeased when fence is not
// the newest. A unit that was never leased has fence 0, which nobody holds.
func (t *tx) holds(ctx context.Context, u aggregate.Unit, fence int64, lock string) (state aggregate.UnitState, err error) {
	newest := int64(0)
	err = t.query(ctx, "unit", "SELECT fence, state"+unitSQL+" "+lock,
		func(r pgx.Rows) error { return r.Scan(&newest, &state) }, u.TenantID, u.SourceID, micros(u.Hour))
	if err == nil && (fence <= 0 || newest != fence) {
		err = fmt.Errorf("%v: fence %d, the newest is %d: %w", u, fence, newest, aggregate.ErrNotLeased)
	}
	return state, err
}

// write runs f in one transaction.
func (s *Store) write(ctx context.Context, f func(*tx) error) error {
	return s.InTx(ctx, func(a aggregate.Tx) error { return f(a.(*tx)) })
}

// read runs one query in a snapshot of its own and calls f for each row.
func (s *Store) read(ctx context.Context, report, query string, f func(pgx.Rows) error, args ...any) error {
	return s.snapshot(ctx, report, func(t pgx.Tx) error {
		rows, err := t.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, f)
	})
}
