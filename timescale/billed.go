package timescale

import (
	"context"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// One transaction of a tenant bills at a time: a unique key would keep two events
// of one ad opportunity apart, but nothing does so for the two seconds around a
// double-click key. Closers take a tenant's units one after the other anyway, and
// with the lock first they cannot deadlock.
const lockBillingSQL = `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' billing of ' || $1, 0))`

const (
	billClicksSQL = `
WITH asked AS (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
    WITH ORDINALITY AS a (click_id, event_id, id_time, event_time, n)
), met AS (
  SELECT a.n, b.event_id, b.id_time, b.event_time, b.source_id, b.hour
  FROM asked AS a JOIN billed_clicks AS b ON b.tenant_id = $1 AND b.click_id = a.click_id
), entered AS (
  INSERT INTO billed_clicks (tenant_id, click_id, event_id, id_time, event_time, source_id, hour)
  SELECT $1, a.click_id, a.event_id, a.id_time, a.event_time, $6, $7
  FROM asked AS a WHERE NOT EXISTS (SELECT FROM met WHERE met.n = a.n)
)
SELECT n - 1, event_id, id_time, event_time, source_id, hour FROM met`

	billRepeatsSQL = `
WITH asked AS (
  SELECT * FROM unnest($2::bigint[], $3::uuid[], $4::timestamptz[], $5::timestamptz[])
    WITH ORDINALITY AS a (repeat_key, event_id, id_time, event_time, n)
), met AS (
  SELECT a.n, b.event_id, b.id_time, b.event_time, b.source_id, b.hour
  FROM asked AS a
  CROSS JOIN LATERAL (
    SELECT * FROM billed_repeats AS b
    WHERE b.tenant_id = $1 AND b.repeat_key = a.repeat_key
      AND b.event_time > a.event_time - $8::interval AND b.event_time < a.event_time + $8::interval
    ORDER BY b.event_time, b.event_id LIMIT 1) AS b
), entered AS (
  INSERT INTO billed_repeats (tenant_id, repeat_key, event_id, id_time, event_time, source_id, hour)
  SELECT $1, a.repeat_key, a.event_id, a.id_time, a.event_time, $6, $7
  FROM asked AS a WHERE NOT EXISTS (SELECT FROM met WHERE met.n = a.n)
)
SELECT n - 1, event_id, id_time, event_time, source_id, hour FROM met`
)

// Bill implements aggregate.ClosingTx. A statement does not see what it enters
// itself, so of several rows with one identity each goes in a statement of its own.
func (t *closingTx) Bill(ctx context.Context, rows []aggregate.Billing) ([]aggregate.Billed, error) {
	if err := aggregate.CheckBillings(t.held, rows); err != nil {
		return nil, err
	}
	if !t.bills {
		if _, err := t.exec(ctx, "billable clicks", lockBillingSQL, t.held.TenantID); err != nil {
			return nil, err
		}
		t.bills = true
	}
	out := make([]aggregate.Billed, len(rows))
	for _, round := range billingRounds(rows) {
		if err := t.bill(ctx, billClicksSQL, round.clicks, rows, out,
			column(round.clicks, func(i *int) [16]byte { return rows[*i].ClickID })); err != nil {
			return nil, err
		}
		if err := t.bill(ctx, billRepeatsSQL, round.repeats, rows, out,
			column(round.repeats, func(i *int) int64 { return rows[*i].RepeatKey }), repeatSpan); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// billingRound holds places of rows with different identities.
type billingRound struct{ clicks, repeats []int }

// billingRounds puts the n-th row of each identity into round n.
func billingRounds(rows []aggregate.Billing) (rounds []billingRound) {
	type identity struct {
		click  [16]byte
		repeat int64
	}
	seen := make(map[identity]int, len(rows))
	for i := range rows {
		id := identity{click: rows[i].ClickID}
		token := !rows[i].ClickID.IsZero()
		if !token {
			id.repeat = rows[i].RepeatKey
		}
		n := seen[id]
		seen[id] = n + 1
		if n == len(rounds) {
			rounds = append(rounds, billingRound{})
		}
		if token {
			rounds[n].clicks = append(rounds[n].clicks, i)
		} else {
			rounds[n].repeats = append(rounds[n].repeats, i)
		}
	}
	return rounds
}

// bill enters the rows at places, whose identities differ.
func (t *closingTx) bill(ctx context.Context, sql string, places []int, rows []aggregate.Billing, out []aggregate.Billed, ids any, more ...any) error {
	if len(places) == 0 {
		return nil
	}
	args := []any{
		t.held.TenantID, ids,
		column(places, func(i *int) [16]byte { return rows[*i].EventID }),
		column(places, func(i *int) micros { return micros(rows[*i].IDTime) }),
		column(places, func(i *int) micros { return micros(rows[*i].EventTime) }),
		t.held.SourceID, micros(t.held.Hour),
	}
	return t.query(ctx, "billable clicks", sql, func(r pgx.Rows) error {
		var n int
		var b aggregate.Billed
		b.TenantID = t.held.TenantID
		err := r.Scan(&n, (*[16]byte)(&b.EventID), (*micros)(&b.IDTime), (*micros)(&b.EventTime), &b.SourceID, (*micros)(&b.Hour))
		if i := places[n]; b.EventKey != rows[i].EventKey {
			out[i] = b
		}
		return err
	}, append(args, more...)...)
}

// The click's own row tells its identity, by which the billable ones are kept.
const unbillSQL = `
WITH gone AS (
  SELECT c.* FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS k (tenant_id, event_id, id_time)
  CROSS JOIN LATERAL (
    SELECT c.tenant_id, c.event_id, c.id_time, c.click_id, c.repeat_key, c.event_time FROM clicks AS c
    WHERE c.tenant_id = k.tenant_id AND c.event_id = k.event_id AND c.id_time = k.id_time
      AND c.id_time BETWEEN $4::timestamptz AND $5::timestamptz
    LIMIT 1) AS c
), tokens AS (
  DELETE FROM billed_clicks AS b USING gone AS g
  WHERE b.tenant_id = g.tenant_id AND b.click_id = g.click_id AND b.event_id = g.event_id AND b.id_time = g.id_time
)
DELETE FROM billed_repeats AS b USING gone AS g
WHERE b.tenant_id = g.tenant_id AND b.repeat_key = g.repeat_key AND b.event_time = g.event_time
  AND b.event_id = g.event_id AND b.id_time = g.id_time`

// Unbill implements aggregate.ClosingTx.
func (t *closingTx) Unbill(ctx context.Context, keys []aggregate.EventKey) error {
	if len(keys) == 0 {
		return nil
	}
	tenants, events, times := keyColumns(keys, func(k *aggregate.EventKey) *aggregate.EventKey { return k })
	lo, hi := bounds(times)
	_, err := t.exec(ctx, "billable clicks", unbillSQL, tenants, events, times, lo, hi)
	return err
}
