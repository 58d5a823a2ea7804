package timescale

import (
	"context"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// Lookups join an array with clicks by LATERAL ... LIMIT 1, so that every plan
// is one index search per element. $4 and $5 bound id_time over the whole batch,
// with which the planner leaves out partitions and chunks before it starts. What
// decides is event_time: bounds of id_time per element would make TimescaleDB
// choose chunks again for each of them, which costs more than the search.

const storedIngestSQL = `
SELECT k.n - 1, c.gateway, c.boot, c.seq
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant_id, event_id, id_time, n)
CROSS JOIN LATERAL (
  SELECT gateway, boot, seq FROM clicks AS c
  WHERE c.tenant_id = k.tenant_id AND c.event_id = k.event_id AND c.id_time = k.id_time
    AND c.id_time BETWEEN $4::timestamptz AND $5::timestamptz
  LIMIT 1) AS c`

// StoredIngest implements aggregate.Tx. The zero id stands for a key that is not
// stored.
func (t *tx) StoredIngest(ctx context.Context, keys []aggregate.EventKey) ([]click.IngestID, error) {
	ids := make([]click.IngestID, len(keys))
	if len(keys) == 0 {
		return ids, nil
	}
	tenants, events, times := keyColumns(keys, func(k *aggregate.EventKey) *aggregate.EventKey { return k })
	lo, hi := bounds(times)
	err := t.query(ctx, "stored ingest ids", storedIngestSQL, func(r pgx.Rows) error {
		var n int
		var id click.IngestID
		err := r.Scan(&n, &id.Gateway, (*bits64)(&id.Boot), (*bits64)(&id.Seq))
		ids[n] = id
		return err
	}, tenants, events, times, lo, hi)
	return ids, err
}

func keyColumns[R any](rows []R, key func(*R) *aggregate.EventKey) (tenants []string, events [][16]byte, times []micros) {
	return column(rows, func(r *R) string { return key(r).TenantID }),
		column(rows, func(r *R) [16]byte { return key(r).EventID }),
		column(rows, func(r *R) micros { return micros(key(r).IDTime) })
}

func bounds(times []micros) (lo, hi micros) {
	lo, hi = times[0], times[0]
	for _, t := range times {
		lo, hi = min(lo, t), max(hi, t)
	}
	return lo, hi
}

const markDuplicatesSQL = `
UPDATE clicks AS c SET state = 8, reasons = d.reasons
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::bigint[]) AS d (tenant_id, event_id, id_time, reasons)
WHERE c.tenant_id = d.tenant_id AND c.event_id = d.event_id AND c.id_time = d.id_time
  AND c.id_time BETWEEN $5::timestamptz AND $6::timestamptz`

// MarkDuplicates implements aggregate.Tx.
func (t *tx) MarkDuplicates(ctx context.Context, dups []aggregate.DuplicateOf) error {
	if len(dups) == 0 {
		return nil
	}
	tenants, events, times := keyColumns(dups, func(d *aggregate.DuplicateOf) *aggregate.EventKey { return &d.EventKey })
	reasons := column(dups, func(d *aggregate.DuplicateOf) int64 { return int64(d.Reasons) })
	lo, hi := bounds(times)
	_, err := t.exec(ctx, "duplicates", markDuplicatesSQL, tenants, events, times, reasons, lo, hi)
	return err
}

// A token lives 24 hours, so two clicks of one click_id lie at most that far
// apart; package aggregate/sqlite has the same bound. id_time is at most a second
// from event_time.
const (
	clickSpan  = 25 * time.Hour
	repeatSpan = aggregate.DoubleClickWindow * time.Microsecond
	idSpan     = time.Second
)

const sameClickSQL = `
SELECT p.n - 1, m.event_id, m.event_time
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS p (tenant_id, click_id, event_time, n)
CROSS JOIN LATERAL (
  SELECT c.event_id, c.event_time FROM clicks AS c
  WHERE c.tenant_id = p.tenant_id AND c.click_id = p.click_id AND c.state = 9
    AND c.event_time BETWEEN p.event_time - $6::interval AND p.event_time + $6::interval
    AND c.id_time BETWEEN $4::timestamptz AND $5::timestamptz
  ORDER BY c.event_time, c.event_id LIMIT 1) AS m`

const doubleClickSQL = `
SELECT p.n - 1, m.event_id, m.event_time
FROM unnest($1::text[], $2::bigint[], $3::timestamptz[]) WITH ORDINALITY AS p (tenant_id, repeat_key, event_time, n)
CROSS JOIN LATERAL (
  SELECT c.event_id, c.event_time FROM clicks AS c
  WHERE c.tenant_id = p.tenant_id AND c.repeat_key = p.repeat_key AND c.click_id IS NULL AND c.state = 9
    AND c.event_time > p.event_time - $6::interval AND c.event_time < p.event_time + $6::interval
    AND c.id_time BETWEEN $4::timestamptz AND $5::timestamptz
  ORDER BY c.event_time, c.event_id LIMIT 1) AS m`

// BillableBefore implements aggregate.Tx.
func (t *tx) BillableBefore(ctx context.Context, probes []aggregate.Probe) ([]aggregate.Match, error) {
	matches := make([]aggregate.Match, len(probes))
	var clicks, repeats []int // places among probes
	for i := range probes {
		if probes[i].ClickID.IsZero() {
			repeats = append(repeats, i)
		} else {
			clicks = append(clicks, i)
		}
	}
	ids := column(clicks, func(i *int) [16]byte { return probes[*i].ClickID })
	if err := t.find(ctx, sameClickSQL, clicks, probes, matches, ids, clickSpan); err != nil {
		return nil, err
	}
	keys := column(repeats, func(i *int) int64 { return probes[*i].RepeatKey })
	return matches, t.find(ctx, doubleClickSQL, repeats, probes, matches, keys, repeatSpan)
}

// find runs one lookup over the probes at places.
func (t *tx) find(ctx context.Context, sql string, places []int, probes []aggregate.Probe, matches []aggregate.Match,
	ids any, span time.Duration,
) error {
	if len(places) == 0 {
		return nil
	}
	return t.query(ctx, "earlier billable clicks", sql, func(r pgx.Rows) error {
		var n int
		var m aggregate.Match
		err := r.Scan(&n, (*[16]byte)(&m.EventID), (*micros)(&m.EventTime))
		matches[places[n]] = m
		return err
	}, findArgs(places, probes, ids, span)...)
}

func findArgs(places []int, probes []aggregate.Probe, ids any, span time.Duration) []any {
	tenants := column(places, func(i *int) string { return probes[*i].TenantID })
	times := column(places, func(i *int) micros { return micros(probes[*i].EventTime) })
	lo, hi := bounds(times)
	reach := micros((span + idSpan).Microseconds())
	return []any{tenants, ids, times, lo - reach, hi + reach, span}
}
