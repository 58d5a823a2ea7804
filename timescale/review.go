package timescale

import (
	"context"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

const minuteMicros = 60 * 1_000_000

// sameDays leaves out days that cannot hold event times between $3 and $4: rows
// are split by id_time, which lies within a second of event_time.
const sameDays = `id_time BETWEEN $3::timestamptz - interval '1 second' AND $4::timestamptz + interval '1 second'`

// flaggedSQL finds suspect and sivt clicks (7, 5) twice: those that were stored so,
// through their index, and those that a revision of the hours asked for made so.
// LIMIT 1 lets every such revision look up its click by key.
const flaggedSQL = `
WITH flagged AS (
  SELECT c.tenant_id, c.ip_key, c.ip_prefix, c.campaign_id, c.pricing, c.currency, c.price_micros, c.event_time,
    coalesce(newest.state, c.state) AS state, coalesce(newest.reasons, c.reasons) AS reasons
  FROM clicks AS c` + decidedSQL + `
  WHERE c.state IN (5, 7) AND ($1 = '' OR c.tenant_id = $1) AND ($2 = '' OR c.campaign_id = $2)
    AND c.event_time >= $3 AND c.event_time < $4 AND c.` + sameDays + ` AND decided.decision IS NULL
  UNION ALL
  SELECT c.tenant_id, c.ip_key, c.ip_prefix, c.campaign_id, c.pricing, c.currency, c.price_micros, c.event_time, newest.state, newest.reasons
  FROM verdict_revisions AS f
  CROSS JOIN LATERAL (
    SELECT * FROM clicks AS c
    WHERE c.tenant_id = f.tenant_id AND c.event_id = f.event_id AND c.id_time = f.id_time AND c.` + sameDays + `
    LIMIT 1) AS c` + decidedSQL + `
  WHERE f.state IN (5, 7) AND f.hour > $3::timestamptz - interval '1 hour' AND f.hour < $4 AND ($1 = '' OR f.tenant_id = $1)
    AND c.state NOT IN (5, 7) AND ($2 = '' OR c.campaign_id = $2)
    AND c.event_time >= $3 AND c.event_time < $4 AND f.revision = newest.revision AND decided.decision IS NULL)
SELECT tenant_id, ip_key, ip_prefix, campaign_id, CASE WHEN pricing = 1 THEN currency ELSE '' END AS billed_in, state, reasons,
  count(*), sum(CASE WHEN pricing = 1 AND currency <> '' THEN price_micros ELSE 0 END)::bigint, min(event_time), max(event_time)
FROM flagged WHERE state IN (5, 7)
GROUP BY 1, 2, 3, 4, 5, 6, 7`

// Flagged implements aggregate.Review.
func (s *Store) Flagged(ctx context.Context, q aggregate.FlaggedQuery) ([]aggregate.FlaggedGroup, error) {
	var out []aggregate.FlaggedGroup
	err := s.snapshot(ctx, "flagged clicks", func(t pgx.Tx) error {
		from, to := span(q.From, q.To)
		rows, err := t.Query(ctx, flaggedSQL, q.TenantID, q.CampaignID, from, to)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var g aggregate.FlaggedGroup
			var ip []byte
			err := r.Scan(&g.TenantID, &ip, &g.IPPrefix, &g.CampaignID, &g.Currency, &g.State, (*bits64)(&g.Reasons),
				&g.Clicks, &g.Micros, (*micros)(&g.First), (*micros)(&g.Last))
			copy(g.IPKey[:], ip)
			out = append(out, g)
			return err
		})
	})
	return out, err
}

var addressClicksSQL = `
SELECT ` + decidedColumns + `
FROM clicks AS c` + decidedSQL + `
WHERE c.tenant_id = $1 AND c.ip_key = $2 AND c.event_time >= $3 AND c.event_time < $4 AND c.` + sameDays + `
ORDER BY c.event_time DESC, c.event_id DESC LIMIT $5`

// AddressClicks implements aggregate.Review.
func (s *Store) AddressClicks(ctx context.Context, q aggregate.AddressQuery) ([]aggregate.StoredClick, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = aggregate.DefaultAddressLimit
	}
	from, to := span(q.From, q.To)
	return s.storedClicks(ctx, "clicks of an address", addressClicksSQL, q.TenantID, q.IPKey[:], from, to, limit)
}

func (s *Store) storedClicks(ctx context.Context, what, query string, args ...any) (out []aggregate.StoredClick, err error) {
	err = s.snapshot(ctx, what, func(t pgx.Tx) error {
		rows, err := t.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			c, err := storedClick(r)
			out = append(out, c)
			return err
		})
	})
	return out, err
}

const addressMinutesSQL = `
SELECT date_trunc('minute', event_time), count(*) FROM clicks
WHERE tenant_id = $1 AND ip_key = $2 AND event_time >= $3 AND event_time < $4 AND ` + sameDays + ` GROUP BY 1 ORDER BY 1`

// AddressMinutes implements aggregate.Review.
func (s *Store) AddressMinutes(ctx context.Context, q aggregate.AddressQuery) ([]aggregate.AddressMinute, error) {
	var out []aggregate.AddressMinute
	err := s.snapshot(ctx, "minutes of an address", func(t pgx.Tx) error {
		from, to := span(q.From, q.To)
		rows, err := t.Query(ctx, addressMinutesSQL, q.TenantID, q.IPKey[:], from, to)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var m aggregate.AddressMinute
			err := r.Scan((*micros)(&m.Minute), &m.Count)
			out = append(out, m)
			return err
		})
	})
	return out, err
}

const peerCountsSQL = `
SELECT count(*) AS n FROM clicks
WHERE tenant_id = $1 AND source_id = $2 AND event_time >= $3 AND event_time < $4 AND ` + sameDays + ` GROUP BY ip_key ORDER BY n`

// PeerCounts implements aggregate.Review.
func (s *Store) PeerCounts(ctx context.Context, tenantID, sourceID string, minute int64) ([]int64, error) {
	var out []int64
	err := s.snapshot(ctx, "peers of an address", func(t pgx.Tx) error {
		from, to := span(minute, minute+minuteMicros)
		rows, err := t.Query(ctx, peerCountsSQL, tenantID, sourceID, from, to)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var n int64
			err := r.Scan(&n)
			out = append(out, n)
			return err
		})
	})
	return out, err
}

var clickOfSQL = `
SELECT ` + decidedColumns + `
FROM clicks AS c` + decidedSQL + `
WHERE c.tenant_id = $1 AND c.event_id = $2 ORDER BY c.id_time LIMIT 1`

// ClickOf implements aggregate.Review.
func (s *Store) ClickOf(ctx context.Context, tenantID string, id click.ID) (aggregate.StoredClick, bool, error) {
	clicks, err := s.storedClicks(ctx, "click "+id.String(), clickOfSQL, tenantID, [16]byte(id))
	if err != nil || len(clicks) == 0 {
		return aggregate.StoredClick{}, false, err
	}
	return clicks[0], true, nil
}
