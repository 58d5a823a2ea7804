package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// The unique key of impressions holds the time, because the table is split by it. So an
// impression looks for itself first, in every day that is kept; what ON CONFLICT meets
// can only be a row of the same time, of a copy in another partition of Kafka.
const insertImpressionsSQL = `
INSERT INTO impressions (tenant_id, click_id, shown_at)
SELECT k.tenant_id, k.click_id, k.shown_at
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant_id, click_id, shown_at, n)
LEFT JOIN LATERAL (
  SELECT true AS stored FROM impressions AS i
  WHERE i.tenant_id = k.tenant_id AND i.click_id = k.click_id
  LIMIT 1) AS i ON true
WHERE i.stored IS NULL
ORDER BY k.n
ON CONFLICT (tenant_id, click_id, shown_at) DO NOTHING`

// InsertImpressions implements aggregate.Tx.
func (t *tx) InsertImpressions(ctx context.Context, rows []click.Impression) (inserted int, err error) {
	type row = click.Impression
	times := func(yield func(int64) bool) {
		for i := range rows {
			if !yield(rows[i].ShownAt) {
				return
			}
		}
	}
	if err := t.ready(times); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, "impressions", insertImpressionsSQL,
		column(rows, func(r *row) string { return r.TenantID }),
		column(rows, func(r *row) [16]byte { return r.ClickID }),
		column(rows, func(r *row) micros { return micros(r.ShownAt) }))
	return int(n), err
}

const insertConversionsSQL = `
INSERT INTO conversions (tenant_id, key, click_id, converted_at, received_at, source_id, kind, transaction_id, value_micros, currency)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::text[],
  $9::bigint[], $10::text[])
ON CONFLICT (tenant_id, key) DO NOTHING`

// InsertConversions implements aggregate.Tx.
func (t *tx) InsertConversions(ctx context.Context, rows []click.Conversion) (inserted int, err error) {
	type row = click.Conversion
	text := func(f func(*row) string) []string { return column(rows, f) }
	n, err := t.exec(ctx, "conversions", insertConversionsSQL,
		text(func(r *row) string { return r.TenantID }),
		column(rows, func(r *row) [16]byte { return r.Key() }),
		column(rows, func(r *row) [16]byte { return r.ClickID }),
		column(rows, func(r *row) micros { return micros(r.ConvertedAt) }),
		column(rows, func(r *row) micros { return micros(r.ReceivedAt) }),
		text(func(r *row) string { return r.SourceID }),
		text(func(r *row) string { return r.Kind }),
		text(func(r *row) string { return r.TransactionID }),
		column(rows, func(r *row) int64 { return r.ValueMicros }),
		text(func(r *row) string { return r.Currency }))
	return int(n), err
}

const shownAtSQL = `
SELECT k.n - 1, i.shown_at
FROM unnest($2::uuid[]) WITH ORDINALITY AS k (click_id, n)
CROSS JOIN LATERAL (
  SELECT shown_at FROM impressions AS i
  WHERE i.tenant_id = $1 AND i.click_id = k.click_id
  ORDER BY shown_at LIMIT 1) AS i`

// ShownAt implements aggregate.ClosingTx.
func (t *closingTx) ShownAt(ctx context.Context, tenantID string, clickIDs []click.ID) ([]int64, error) {
	shown := make([]int64, len(clickIDs))
	if len(clickIDs) == 0 {
		return shown, nil
	}
	err := t.query(ctx, "impressions", shownAtSQL, func(r pgx.Rows) error {
		var n int
		var at micros
		err := r.Scan(&n, &at)
		shown[n] = int64(at)
		return err
	}, tenantID, column(clickIDs, func(id *click.ID) [16]byte { return *id }))
	return shown, err
}

// TrimImpressions implements aggregate.Feeds. It gives up after a while where somebody
// reads for long: dropping a day waits for all, and all others would wait behind it.
func (s *Store) TrimImpressions(ctx context.Context, before int64) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '3s'"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "SELECT trim_by_day('impressions', 'shown_at', $1::timestamptz)", micros(before))
		return err
	})
	if err != nil {
		return fmt.Errorf("old impressions: %w", err)
	}
	return nil
}

const (
	convertedSQL = `
SELECT v.tenant_id, c.publisher_id, c.campaign_id, v.kind, v.converted_at, c.event_time
FROM conversions AS v
JOIN billed_clicks AS b ON b.tenant_id = v.tenant_id AND b.click_id = v.click_id
JOIN clicks AS c ON c.tenant_id = b.tenant_id AND c.event_id = b.event_id AND c.id_time = b.id_time
WHERE b.hour >= $1 AND b.hour < $2 AND ($3 = '' OR v.tenant_id = $3)
  AND ($4 = '' OR c.advertiser_id = $4) AND ($5 = '' OR c.campaign_id = $5)`

	conversionClicksSQL = `
SELECT tenant_id, publisher_id, campaign_id, sum(count)::bigint FROM closed_hours
WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3)
  AND ($4 = '' OR advertiser_id = $4) AND ($5 = '' OR campaign_id = $5) AND state = 9
GROUP BY 1, 2, 3`

	strangersSQL = `
SELECT v.tenant_id, count(*) FROM conversions AS v
WHERE v.converted_at >= $1 AND v.converted_at < $2 AND ($3 = '' OR v.tenant_id = $3)
  AND NOT EXISTS (SELECT FROM billed_clicks AS b WHERE b.tenant_id = v.tenant_id AND b.click_id = v.click_id)
GROUP BY 1`
)

// Conversions implements aggregate.Feeds.
func (s *Store) Conversions(ctx context.Context, q aggregate.BillingQuery, take func(*aggregate.Converted)) (aggregate.ConversionCounts, error) {
	counts := aggregate.ConversionCounts{Strangers: make(map[string]int64)}
	err := s.snapshot(ctx, "conversions", func(t pgx.Tx) error {
		args := selected(q)
		for _, part := range []struct {
			sql  string
			args []any
			scan func(pgx.Rows) error
		}{
			{convertedSQL, args, func(r pgx.Rows) error {
				var c aggregate.Converted
				var converted, clicked micros
				err := r.Scan(&c.TenantID, &c.PublisherID, &c.CampaignID, &c.Kind, &converted, &clicked)
				c.Gap = int64(converted - clicked)
				take(&c)
				return err
			}},
			{conversionClicksSQL, args, func(r pgx.Rows) error {
				var c aggregate.ConversionClicks
				err := r.Scan(&c.TenantID, &c.PublisherID, &c.CampaignID, &c.Count)
				counts.Clicks = append(counts.Clicks, c)
				return err
			}},
			{strangersSQL, args[:3], func(r pgx.Rows) error {
				var tenant string
				var n int64
				err := r.Scan(&tenant, &n)
				counts.Strangers[tenant] = n
				return err
			}},
		} {
			rows, err := t.Query(ctx, part.sql, part.args...)
			if err != nil {
				return err
			}
			if err := each(rows, part.scan); err != nil {
				return err
			}
		}
		return nil
	})
	return counts, err
}
