package timescale

import (
	"context"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Billing reads minute counts alone. Hours are whole: a bound inside an hour
// counts from the next one.
const billingSQL = `
SELECT tenant_id, advertiser_id, campaign_id, date_trunc('hour', minute, 'UTC') AS hour, currency,
  coalesce(sum(count) FILTER (WHERE state = 0), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 1), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 2), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 3), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 4), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 5), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 6), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 7), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 8), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 9), 0)::bigint,
  coalesce(sum(micros) FILTER (WHERE state = 9), 0)::bigint, coalesce(sum(micros) FILTER (WHERE state <> 9), 0)::bigint
FROM click_minutes
WHERE minute >= $1 AND minute < $2 AND ($3 = '' OR tenant_id = $3)
  AND ($4 = '' OR advertiser_id = $4) AND ($5 = '' OR campaign_id = $5)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// Billing implements aggregate.Reports. Every hour is open in this schema, so
// every row is provisional.
func (s *Store) Billing(ctx context.Context, q aggregate.BillingQuery) ([]aggregate.BillingRow, error) {
	var out []aggregate.BillingRow
	from, to := wholeHours(q.From, q.To)
	err := s.snapshot(ctx, "billing report", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, billingSQL, from, to, q.TenantID, q.AdvertiserID, q.CampaignID)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			b := aggregate.BillingRow{Provisional: true}
			n := &b.Counts
			err := r.Scan(&b.TenantID, &b.AdvertiserID, &b.CampaignID, (*micros)(&b.Hour), &b.Currency,
				&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &b.CostMicros, &b.SavedMicros)
			out = append(out, b)
			return err
		})
	})
	return out, err
}

const hourMicros = 3600 * 1_000_000

// wholeHours rounds both bounds up to an hour; 0 is open.
func wholeHours(from, to int64) (lo, hi pgtype.Timestamptz) {
	lo = pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	hi = pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	if from != 0 {
		lo, _ = micros(ceilHour(from)).TimestamptzValue()
	}
	if to != 0 {
		hi, _ = micros(ceilHour(to)).TimestamptzValue()
	}
	return lo, hi
}

func ceilHour(t int64) int64 {
	if r := t % hourMicros; r != 0 && t < math.MaxInt64-hourMicros {
		return t - r + hourMicros
	}
	return t
}

// totalsSQL counts every state twice; 1 is malformed, 2 redelivered.
const totalsSQL = `
SELECT tenant_id, source_id, state, sum(r)::bigint, sum(m)::bigint FROM (
  SELECT tenant_id, source_id, state, count(*) AS r, 0 AS m FROM clicks GROUP BY 1, 2, 3
  UNION ALL SELECT tenant_id, source_id, 2, count(*), 0 FROM redeliveries GROUP BY 1, 2
  UNION ALL SELECT tenant_id, source_id, 1, count(*), 0 FROM dead_letters GROUP BY 1, 2
  UNION ALL SELECT tenant_id, source_id, state, 0, sum(count) FROM click_minutes GROUP BY 1, 2, 3) AS counted
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`

// Totals implements aggregate.Reports.
func (s *Store) Totals(ctx context.Context) ([]aggregate.Total, error) {
	var out []aggregate.Total
	err := s.snapshot(ctx, "totals", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, totalsSQL)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var x aggregate.Total
			err := r.Scan(&x.TenantID, &x.SourceID, &x.State, &x.Rows, &x.Minutes)
			out = append(out, x)
			return err
		})
	})
	return out, err
}

// The numbers in SQL are those of click.State; a change there breaks here.
var _ = [1]struct{}{}[click.Valid-9|click.Duplicate-8|click.Malformed-1|click.Redelivered-2|click.NumStates-10]
