package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// A statement takes all impressions of a tenant in one JSON array: 32 hex digits of the
// click id, then the time.
const insertImpressionsSQL = `
INSERT INTO impressions (tenant_id, click_id, shown_at)
SELECT ?1, unhex(substr(value, 1, 32)), CAST(substr(value, 33) AS INTEGER) FROM json_each(?2) WHERE true
ON CONFLICT DO NOTHING`

// InsertImpressions implements aggregate.Tx.
func (t *tx) InsertImpressions(ctx context.Context, rows []click.Impression) (inserted int, err error) {
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		tenant, n := rows[0].TenantID, 0
		var list []byte
		for ; n < len(rows) && rows[n].TenantID == tenant; n++ {
			list = hex.AppendEncode(append(list, separator(list)...), rows[n].ClickID[:])
			list = fmt.Appendf(list, "%d\"", rows[n].ShownAt)
		}
		fresh, err := t.insert("impressions", 0, insertImpressionsSQL, []any{tenant, closed(list)})
		if err != nil {
			return 0, err
		}
		inserted, rows = inserted+int(fresh), rows[n:]
	}
	return inserted, nil
}

const insertConversionSQL = `
INSERT INTO conversions (tenant_id, key, click_id, converted_at, received_at, ingested_at, source_id, kind, transaction_id,
  value_micros, currency)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// InsertConversions implements aggregate.Tx.
func (t *tx) InsertConversions(ctx context.Context, rows []click.Conversion) (inserted int, err error) {
	list, err := insertEach(ctx, t, "conversions", insertConversionSQL, rows, func(c *click.Conversion) []any {
		key := c.Key()
		return []any{
			c.TenantID, key[:], c.ClickID[:], c.ConvertedAt, c.ReceivedAt, t.now, c.SourceID, c.Kind, c.TransactionID,
			c.ValueMicros, c.Currency,
		}
	})
	for _, isNew := range list {
		if isNew {
			inserted++
		}
	}
	return inserted, err
}

const shownAtSQL = `
SELECT p.key, i.shown_at FROM json_each(?2) AS p
CROSS JOIN impressions AS i ON i.tenant_id = ?1 AND i.click_id = unhex(p.value)`

// ShownAt implements aggregate.ClosingTx.
func (t *closingTx) ShownAt(ctx context.Context, tenantID string, clickIDs []click.ID) ([]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	shown := make([]int64, len(clickIDs))
	if len(clickIDs) == 0 {
		return shown, nil
	}
	var list []byte
	for i := range clickIDs {
		list = append(hex.AppendEncode(append(list, separator(list)...), clickIDs[i][:]), '"')
	}
	err := t.query("impressions", shownAtSQL, func(r *sql.Rows) error {
		var n int
		var at int64
		err := r.Scan(&n, &at)
		shown[n] = at
		return err
	}, tenantID, closed(list))
	return shown, err
}

// trimSQL forgets a bounded number, so that nobody waits for long for the one writer.
const trimSQL = `
DELETE FROM impressions WHERE (tenant_id, click_id) IN (
  SELECT tenant_id, click_id FROM impressions WHERE shown_at < ? ORDER BY shown_at LIMIT ?)`

const trimBatch = 20_000

// TrimImpressions implements aggregate.Feeds.
func (s *Store) TrimImpressions(ctx context.Context, before int64) error {
	for n := int64(trimBatch); n == trimBatch; {
		err := s.write(ctx, func(t *tx) (err error) {
			n, err = t.exec("old impressions", trimSQL, before, trimBatch)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const (
	convertedSQL = `
SELECT v.tenant_id, c.publisher_id, c.campaign_id, v.kind, v.converted_at - c.event_time
FROM conversions AS v
JOIN billed_clicks AS b ON b.tenant_id = v.tenant_id AND b.click_id = v.click_id
JOIN clicks AS c ON c.tenant_id = b.tenant_id AND c.event_id = b.event_id AND c.id_time = b.id_time
WHERE b.hour >= ?1 AND b.hour < ?2 AND (?3 = '' OR v.tenant_id = ?3)
  AND (?4 = '' OR c.advertiser_id = ?4) AND (?5 = '' OR c.campaign_id = ?5)`

	conversionClicksSQL = `
SELECT tenant_id, publisher_id, campaign_id, sum(count) FROM closed_hours
WHERE hour >= ?1 AND hour < ?2 AND (?3 = '' OR tenant_id = ?3)
  AND (?4 = '' OR advertiser_id = ?4) AND (?5 = '' OR campaign_id = ?5) AND state = 9
GROUP BY 1, 2, 3`

	strangersSQL = `
SELECT v.tenant_id, count(*) FROM conversions AS v
WHERE v.converted_at >= ?1 AND v.converted_at < ?2 AND (?3 = '' OR v.tenant_id = ?3)
  AND NOT EXISTS (SELECT 1 FROM billed_clicks AS b WHERE b.tenant_id = v.tenant_id AND b.click_id = v.click_id)
GROUP BY 1`
)

// Conversions implements aggregate.Feeds.
func (s *Store) Conversions(ctx context.Context, q aggregate.BillingQuery, take func(*aggregate.Converted)) (aggregate.ConversionCounts, error) {
	counts := aggregate.ConversionCounts{Strangers: make(map[string]int64)}
	err := s.snapshot(ctx, "conversions", func(t *sql.Tx) error {
		args := selected(q)
		for _, part := range []struct {
			query string
			args  []any
			scan  func(*sql.Rows) error
		}{
			{convertedSQL, args, func(r *sql.Rows) error {
				var c aggregate.Converted
				err := r.Scan(&c.TenantID, &c.PublisherID, &c.CampaignID, &c.Kind, &c.Gap)
				take(&c)
				return err
			}},
			{conversionClicksSQL, args, func(r *sql.Rows) error {
				var c aggregate.ConversionClicks
				err := r.Scan(&c.TenantID, &c.PublisherID, &c.CampaignID, &c.Count)
				counts.Clicks = append(counts.Clicks, c)
				return err
			}},
			{strangersSQL, args[:3], func(r *sql.Rows) error {
				var tenant string
				var n int64
				err := r.Scan(&tenant, &n)
				counts.Strangers[tenant] = n
				return err
			}},
		} {
			rows, err := t.QueryContext(ctx, part.query, part.args...)
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
