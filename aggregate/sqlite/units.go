package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"clickgate/aggregate"
)

const (
	touchUnitSQL = `
INSERT INTO units (tenant_id, source_id, hour, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT DO UPDATE SET last_seen = excluded.last_seen WHERE state = 0 AND last_seen < excluded.last_seen - ?5`

	unitSQL = `
SELECT state, fence, lease_owner, lease_until FROM units WHERE tenant_id = ? AND source_id = ? AND hour = ?`
)

// unit is the closer's part of a row of units.
type unit struct {
	found bool
	state aggregate.UnitState
	fence int64
	owner string
	until int64
}

func (t *tx) unit(u aggregate.Unit) (x unit, err error) {
	err = t.query("unit", unitSQL, func(r *sql.Rows) error {
		x.found = true
		return r.Scan(&x.state, &x.fence, &x.owner, &x.until)
	}, u.TenantID, u.SourceID, u.Hour)
	return x, err
}

// TouchUnits implements aggregate.Tx. What holds the units is the lock of the one
// writer: Seal is a transaction too.
func (t *tx) TouchUnits(ctx context.Context, units []aggregate.Unit) ([]bool, error) {
	sealed := make([]bool, len(units))
	for i, u := range units {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		args := []any{u.TenantID, u.SourceID, u.Hour, t.now, int64(aggregate.UnitSeenStep)}
		if _, err := t.insert("units", i, touchUnitSQL, args); err != nil {
			return nil, err
		}
		x, err := t.unit(u)
		if err != nil {
			return nil, err
		}
		sealed[i] = x.state != aggregate.UnitOpen
	}
	return sealed, nil
}

const insertLateSQL = `
INSERT INTO late_clicks (tenant_id, event_id, id_time, source_id, hour, event_time, ingested_at)
SELECT tenant_id, event_id, id_time, ?4, ?5, event_time, ?6
FROM clicks WHERE tenant_id = ?1 AND event_id = ?2 AND id_time = ?3`

// InsertLate implements aggregate.Tx.
func (t *tx) InsertLate(ctx context.Context, keys []aggregate.EventKey, units []aggregate.Unit) error {
	if len(keys) != len(units) {
		return fmt.Errorf("late clicks: %d keys and %d units", len(keys), len(units))
	}
	for i := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		k, u := &keys[i], &units[i]
		n, err := t.exec("late clicks", insertLateSQL, k.TenantID, k.EventID[:], k.IDTime, u.SourceID, u.Hour, t.now)
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("late clicks: event %s of tenant %q is not stored", k.EventID, k.TenantID)
		}
	}
	return nil
}

const unclosedUnitsSQL = `
SELECT tenant_id, source_id, hour, state, first_seen, last_seen FROM units
WHERE state < 2 ORDER BY tenant_id, hour, source_id`

// OpenUnits implements aggregate.Closing.
func (s *Store) OpenUnits(ctx context.Context) (out []aggregate.UnitInfo, err error) {
	err = s.read(ctx, "open units", unclosedUnitsSQL, func(r *sql.Rows) error {
		var u aggregate.UnitInfo
		err := r.Scan(&u.TenantID, &u.SourceID, &u.Hour, &u.State, &u.FirstSeen, &u.LastReceived)
		out = append(out, u)
		return err
	})
	return out, err
}

const lateUnitsSQL = `
SELECT DISTINCT l.tenant_id, l.source_id, l.hour FROM late_clicks AS l INDEXED BY late_clicks_open
JOIN units AS u ON u.tenant_id = l.tenant_id AND u.source_id = l.source_id AND u.hour = l.hour
WHERE l.settled = 0 AND u.state = 2 ORDER BY 1, 3, 2`

// LateUnits implements aggregate.Closing.
func (s *Store) LateUnits(ctx context.Context) (out []aggregate.Unit, err error) {
	err = s.read(ctx, "units with late clicks", lateUnitsSQL, func(r *sql.Rows) error {
		var u aggregate.Unit
		err := r.Scan(&u.TenantID, &u.SourceID, &u.Hour)
		out = append(out, u)
		return err
	})
	return out, err
}

const leaseSQL = `
UPDATE units SET lease_owner = ?4, lease_until = ?5, fence = fence + 1
WHERE tenant_id = ?1 AND source_id = ?2 AND hour = ?3`

// Lease implements aggregate.Closing.
func (s *Store) Lease(ctx context.Context, u aggregate.Unit, owner string, ttl int64) (fence int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		x, err := t.unit(u)
		switch {
		case err != nil:
			return err
		case !x.found:
			return fmt.Errorf("lease: there is no unit of %v", u)
		case x.owner != owner && x.until > t.now:
			return fmt.Errorf("lease of %v: held by %q: %w", u, x.owner, aggregate.ErrNotLeased)
		}
		fence = x.fence + 1
		_, err = t.insert("lease", 0, leaseSQL, []any{u.TenantID, u.SourceID, u.Hour, owner, t.now + ttl})
		return err
	})
	return fence, err
}

const sealSQL = `
UPDATE units SET state = 1, sealed_at = ? WHERE tenant_id = ? AND source_id = ? AND hour = ? AND state = 0`

// Seal implements aggregate.Closing. No ingest transaction is in flight while this
// one runs.
func (s *Store) Seal(ctx context.Context, u aggregate.Unit, fence int64) error {
	return s.write(ctx, func(t *tx) error {
		state, err := t.holds(u, fence)
		if err != nil {
			return err
		}
		if state == aggregate.UnitClosed {
			return fmt.Errorf("seal of %v: %w", u, aggregate.ErrUnitClosed)
		}
		_, err = t.exec("seal", sealSQL, t.now, u.TenantID, u.SourceID, u.Hour)
		return err
	})
}

// holds returns the state of u, or ErrNotLeased when fence is not the unit's newest.
// A unit that was never leased has fence 0, which nobody holds.
func (t *tx) holds(u aggregate.Unit, fence int64) (aggregate.UnitState, error) {
	x, err := t.unit(u)
	if err == nil && (fence <= 0 || x.fence != fence) {
		err = fmt.Errorf("%v: fence %d, the newest is %d: %w", u, fence, x.fence, aggregate.ErrNotLeased)
	}
	return x.state, err
}

// write runs f in one transaction.
func (s *Store) write(ctx context.Context, f func(*tx) error) error {
	return s.InTx(ctx, func(a aggregate.Tx) error { return f(a.(*tx)) })
}

// read runs one query in a snapshot of its own and calls f for each row.
func (s *Store) read(ctx context.Context, report, query string, f func(*sql.Rows) error, args ...any) error {
	return s.snapshot(ctx, report, func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, f)
	})
}
