package timescale

import (
	"context"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// billingSQL takes closed units from the closed hours and the others from minute
// counts. Redelivered and malformed events (2, 1) stand in their receipt hour,
// belong to no unit's closing and always come from minute counts. Hours are whole:
// a bound inside an hour counts from the next one.
const billingSQL = `
WITH minutes AS (
  SELECT *, date_trunc('hour', minute, 'UTC') AS hour FROM click_minutes
  WHERE minute >= $1 AND minute < $2 AND ($3 = '' OR tenant_id = $3)
    AND ($4 = '' OR advertiser_id = $4) AND ($5 = '' OR campaign_id = $5)
), counted AS (
  SELECT tenant_id, advertiser_id, campaign_id, hour, currency, state, count, micros, false AS open FROM closed_hours
  WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3)
    AND ($4 = '' OR advertiser_id = $4) AND ($5 = '' OR campaign_id = $5)
  UNION ALL
  SELECT m.tenant_id, m.advertiser_id, m.campaign_id, m.hour, m.currency, m.state, m.count, m.micros, u.hour IS NULL
  FROM minutes AS m LEFT JOIN closed_units AS u
    ON u.tenant_id = m.tenant_id AND u.source_id = m.source_id AND u.hour = m.hour
  WHERE u.hour IS NULL OR m.state IN (1, 2))
SELECT tenant_id, advertiser_id, campaign_id, hour, currency,
  coalesce(sum(count) FILTER (WHERE state = 0), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 1), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 2), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 3), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 4), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 5), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 6), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 7), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 8), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 9), 0)::bigint,
  coalesce(sum(micros) FILTER (WHERE state = 9), 0)::bigint, coalesce(sum(micros) FILTER (WHERE state <> 9), 0)::bigint,
  bool_or(open),
  coalesce(sum(count) FILTER (WHERE state = 9 AND open), 0)::bigint, coalesce(sum(micros) FILTER (WHERE state = 9 AND open), 0)::bigint
FROM counted
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// Billing implements aggregate.Reports.
func (s *Store) Billing(ctx context.Context, q aggregate.BillingQuery) ([]aggregate.BillingRow, error) {
	var out []aggregate.BillingRow
	err := s.snapshot(ctx, "billing report", func(t pgx.Tx) (err error) {
		out, err = billingRows(ctx, t, q)
		return err
	})
	return out, err
}

func billingRows(ctx context.Context, t pgx.Tx, q aggregate.BillingQuery) (out []aggregate.BillingRow, err error) {
	rows, err := t.Query(ctx, billingSQL, selected(q)...)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var b aggregate.BillingRow
		n := &b.Counts
		err := r.Scan(&b.TenantID, &b.AdvertiserID, &b.CampaignID, (*micros)(&b.Hour), &b.Currency, &n[0], &n[1], &n[2], &n[3],
			&n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &b.CostMicros, &b.SavedMicros, &b.Provisional,
			&b.OpenClicks, &b.OpenMicros)
		out = append(out, b)
		return err
	})
	return out, err
}

// selected returns the arguments $1 to $5 of a query by hours.
func selected(q aggregate.BillingQuery) []any {
	from, to := wholeHours(q.From, q.To)
	return []any{from, to, q.TenantID, q.AdvertiserID, q.CampaignID}
}

const hourMicros = 3600 * 1_000_000

// wholeHours rounds both bounds up to an hour; 0 is open.
func wholeHours(from, to int64) (lo, hi pgtype.Timestamptz) {
	return span(ceilHour(from), ceilHour(to))
}

// span returns two bounds of time; 0 is open.
func span(from, to int64) (lo, hi pgtype.Timestamptz) {
	lo = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	hi = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	if from != 0 {
		lo, _ = micros(from).TimestamptzValue()
	}
	if to != 0 {
		hi, _ = micros(to).TimestamptzValue()
	}
	return lo, hi
}

func ceilHour(t int64) int64 {
	if r := t % hourMicros; r != 0 && t < math.MaxInt64-hourMicros {
		return t - r + hourMicros
	}
	return t
}

// totalsSQL counts every state twice: rows with their later verdicts, and minute
// counts. 1 is malformed, 2 redelivered.
const totalsSQL = `
SELECT tenant_id, source_id, state, sum(r)::bigint, sum(m)::bigint FROM (
  SELECT tenant_id, source_id, state, count(*) AS r, 0 AS m FROM clicks GROUP BY 1, 2, 3
  UNION ALL SELECT tenant_id, source_id, from_state, -count(*), 0 FROM verdict_revisions GROUP BY 1, 2, 3
  UNION ALL SELECT tenant_id, source_id, state, count(*), 0 FROM verdict_revisions GROUP BY 1, 2, 3
  UNION ALL SELECT tenant_id, source_id, 2, count(*), 0 FROM redeliveries GROUP BY 1, 2
  UNION ALL SELECT tenant_id, source_id, 1, count(*), 0 FROM dead_letters GROUP BY 1, 2
  UNION ALL SELECT tenant_id, source_id, state, 0, sum(count) FROM click_minutes GROUP BY 1, 2, 3) AS counted
GROUP BY 1, 2, 3 HAVING sum(r) <> 0 OR sum(m) <> 0 ORDER BY 1, 2, 3`

// Totals implements aggregate.Reports.
func (s *Store) Totals(ctx context.Context) ([]aggregate.Total, error) {
	var out []aggregate.Total
	err := s.snapshot(ctx, "totals", func(t pgx.Tx) (err error) {
		out, err = totals(ctx, t)
		return err
	})
	return out, err
}

func totals(ctx context.Context, t pgx.Tx) (out []aggregate.Total, err error) {
	rows, err := t.Query(ctx, totalsSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.Total
		err := r.Scan(&x.TenantID, &x.SourceID, &x.State, &x.Rows, &x.Minutes)
		out = append(out, x)
		return err
	})
	return out, err
}

// invalidSQL counts clicks by their newest verdict. The days of clicks are split
// by id_time, which lies within a second of event_time.
const invalidSQL = `
WITH judged AS (
  SELECT c.tenant_id, c.advertiser_id, c.campaign_id, c.publisher_id, c.pricing, c.currency, c.price_micros,
    coalesce(r.state, c.state) AS state, coalesce(r.reasons, c.reasons) AS reasons
  FROM clicks AS c LEFT JOIN LATERAL (
    SELECT x.state, x.reasons FROM verdict_revisions AS x
    WHERE x.tenant_id = c.tenant_id AND x.event_id = c.event_id AND x.id_time = c.id_time
    ORDER BY x.revision DESC LIMIT 1) AS r ON true
  WHERE c.event_time >= $1 AND c.event_time < $2 AND ($3 = '' OR c.tenant_id = $3)
    AND c.id_time >= $1::timestamptz - interval '1 second' AND c.id_time <= $2::timestamptz + interval '1 second'
    AND ($4 = '' OR c.advertiser_id = $4) AND ($5 = '' OR c.campaign_id = $5))
SELECT tenant_id, advertiser_id, campaign_id, publisher_id, CASE WHEN pricing = 1 THEN currency ELSE '' END, state, reasons,
  count(*), sum(CASE WHEN pricing = 1 AND currency <> '' THEN price_micros ELSE 0 END)::bigint
FROM judged WHERE state <> 9
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 2, 3, 4, 5, 6, 7`

// Invalid implements aggregate.Reports.
func (s *Store) Invalid(ctx context.Context, q aggregate.BillingQuery) ([]aggregate.InvalidRow, error) {
	var out []aggregate.InvalidRow
	err := s.snapshot(ctx, "report of invalid clicks", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, invalidSQL, selected(q)...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var x aggregate.InvalidRow
			err := r.Scan(&x.TenantID, &x.AdvertiserID, &x.CampaignID, &x.PublisherID, &x.Currency, &x.State,
				(*bits64)(&x.Reasons), &x.Count, &x.Micros)
			out = append(out, x)
			return err
		})
	})
	return out, err
}

// The numbers in SQL are those of click.State and click.Pricing; a change there
// breaks here.
var _ = [1]struct{}{}[click.Valid-9|click.Duplicate-8|click.Malformed-1|click.Redelivered-2|click.NumStates-10]
var _ = [1]struct{}{}[click.PricingCPC-1]
