package sqlite

import (
	"context"
	"database/sql"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// undecided says that no analyst confirmed or released click c.
const undecided = `NOT EXISTS (SELECT 1 FROM verdict_revisions AS d
  WHERE d.tenant_id = c.tenant_id AND d.event_id = c.event_id AND d.id_time = c.id_time AND d.decision IN (1, 2))`

// flaggedSQL finds suspect and sivt clicks (7, 5) twice: those that were stored so,
// through their index, and those that a revision of the hours asked for made so.
// CROSS JOIN keeps that order: revisions are few and lead to clicks by key.
const flaggedSQL = `
WITH flagged AS (
  SELECT c.tenant_id, c.ip_key, c.ip_prefix, c.campaign_id, c.pricing, c.currency, c.price_micros, c.event_time,
    coalesce(r.state, c.state) AS state, coalesce(r.reasons, c.reasons) AS reasons
  FROM clicks AS c` + newestRevision + `
  WHERE c.state IN (5, 7) AND (?1 = '' OR c.tenant_id = ?1) AND (?2 = '' OR c.campaign_id = ?2)
    AND c.event_time >= ?3 AND c.event_time < ?4 AND ` + undecided + `
  UNION ALL
  SELECT c.tenant_id, c.ip_key, c.ip_prefix, c.campaign_id, c.pricing, c.currency, c.price_micros, c.event_time, r.state, r.reasons
  FROM verdict_revisions AS r
  CROSS JOIN clicks AS c ON c.tenant_id = r.tenant_id AND c.event_id = r.event_id AND c.id_time = r.id_time
  WHERE r.state IN (5, 7) AND r.hour > ?3 - 3600000000 AND r.hour < ?4 AND (?1 = '' OR r.tenant_id = ?1)
    AND c.state NOT IN (5, 7) AND (?2 = '' OR c.campaign_id = ?2)
    AND c.event_time >= ?3 AND c.event_time < ?4 AND ` + undecided + `
    AND r.revision = (SELECT max(m.revision) FROM verdict_revisions AS m
      WHERE m.tenant_id = c.tenant_id AND m.event_id = c.event_id AND m.id_time = c.id_time))
SELECT tenant_id, ip_key, ip_prefix, campaign_id, iif(pricing = 1, currency, '') AS billed_in, state, reasons,
  count(*), sum(iif(pricing = 1 AND currency <> '', price_micros, 0)), min(event_time), max(event_time)
FROM flagged WHERE state IN (5, 7)
GROUP BY 1, 2, 3, 4, 5, 6, 7`

// Flagged implements aggregate.Review.
func (s *Store) Flagged(ctx context.Context, q aggregate.FlaggedQuery) ([]aggregate.FlaggedGroup, error) {
	var out []aggregate.FlaggedGroup
	err := s.snapshot(ctx, "flagged clicks", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, flaggedSQL, q.TenantID, q.CampaignID, q.From, orForever(q.To))
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var g aggregate.FlaggedGroup
			var ip []byte
			var reasons int64
			err := r.Scan(&g.TenantID, &ip, &g.IPPrefix, &g.CampaignID, &g.Currency, &g.State, &reasons,
				&g.Clicks, &g.Micros, &g.First, &g.Last)
			copy(g.IPKey[:], ip)
			g.Reasons = click.Reasons(reasons)
			out = append(out, g)
			return err
		})
	})
	return out, err
}

// orForever is an end of time, 0 for open.
func orForever(to int64) int64 {
	if to == 0 {
		return math.MaxInt64
	}
	return to
}

var addressClicksSQL = `
SELECT ` + unitColumns + `
FROM clicks AS c` + newestRevision + `
WHERE c.tenant_id = ?1 AND c.ip_key = ?2 AND c.event_time >= ?3 AND c.event_time < ?4
ORDER BY c.event_time DESC, c.event_id DESC LIMIT ?5`

// AddressClicks implements aggregate.Review.
func (s *Store) AddressClicks(ctx context.Context, q aggregate.AddressQuery) ([]aggregate.StoredClick, error) {
	limit := q.Limit
	if limit <= 0 {
		limit = aggregate.DefaultAddressLimit
	}
	return s.storedClicks(ctx, "clicks of an address", addressClicksSQL, q.TenantID, q.IPKey[:], q.From, orForever(q.To), limit)
}

func (s *Store) storedClicks(ctx context.Context, what, query string, args ...any) (out []aggregate.StoredClick, err error) {
	err = s.snapshot(ctx, what, func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			c, err := storedClick(r)
			out = append(out, c)
			return err
		})
	})
	return out, err
}

const addressMinutesSQL = `
SELECT event_time - event_time % 60000000, count(*) FROM clicks
WHERE tenant_id = ?1 AND ip_key = ?2 AND event_time >= ?3 AND event_time < ?4 GROUP BY 1 ORDER BY 1`

// AddressMinutes implements aggregate.Review.
func (s *Store) AddressMinutes(ctx context.Context, q aggregate.AddressQuery) ([]aggregate.AddressMinute, error) {
	var out []aggregate.AddressMinute
	err := s.snapshot(ctx, "minutes of an address", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, addressMinutesSQL, q.TenantID, q.IPKey[:], q.From, orForever(q.To))
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var m aggregate.AddressMinute
			err := r.Scan(&m.Minute, &m.Count)
			out = append(out, m)
			return err
		})
	})
	return out, err
}

const peerCountsSQL = `
SELECT count(*) AS n FROM clicks
WHERE tenant_id = ?1 AND source_id = ?2 AND event_time >= ?3 AND event_time < ?3 + 60000000 GROUP BY ip_key ORDER BY n`

// PeerCounts implements aggregate.Review.
func (s *Store) PeerCounts(ctx context.Context, tenantID, sourceID string, minute int64) ([]int64, error) {
	var out []int64
	err := s.snapshot(ctx, "peers of an address", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, peerCountsSQL, tenantID, sourceID, minute)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var n int64
			err := r.Scan(&n)
			out = append(out, n)
			return err
		})
	})
	return out, err
}

var clickOfSQL = `
SELECT ` + unitColumns + `
FROM clicks AS c` + newestRevision + `
WHERE c.tenant_id = ?1 AND c.event_id = ?2 ORDER BY c.id_time LIMIT 1`

// ClickOf implements aggregate.Review.
func (s *Store) ClickOf(ctx context.Context, tenantID string, id click.ID) (aggregate.StoredClick, bool, error) {
	clicks, err := s.storedClicks(ctx, "click "+id.String(), clickOfSQL, tenantID, id[:])
	if err != nil || len(clicks) == 0 {
		return aggregate.StoredClick{}, false, err
	}
	return clicks[0], true, nil
}
