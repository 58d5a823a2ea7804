package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const storedMarksSQL = `
SELECT cluster_id, topic_id, topic, partition, payload FROM marks
ORDER BY gateway, boot, topic, cluster_id, topic_id, partition`

const bootCountsSQL = `
SELECT gateway, boot, tenant_id, source_id, hour, max(received), max(shed), max(unrecorded) FROM mark_counts
WHERE hour >= ?1 AND hour < ?2 AND (?3 = '' OR tenant_id = ?3)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// eventsSQL is every received event that is stored, n times in its state, and
// whether it lies within its boot's proven sequence. A revision takes its click
// out of one state and puts it into another.
const eventsSQL = `
WITH proven AS MATERIALIZED (
  SELECT value ->> 0 AS gateway, value ->> 1 AS boot, value ->> 2 AS through FROM json_each(?1)
), stored AS (
  SELECT tenant_id, source_id, received_at, gateway, boot, seq, state, 1 AS n FROM clicks
  UNION ALL
  SELECT c.tenant_id, c.source_id, c.received_at, c.gateway, c.boot, c.seq, iif(turn = 1, r.state, r.from_state), turn
  FROM verdict_revisions AS r
  JOIN clicks AS c ON c.tenant_id = r.tenant_id AND c.event_id = r.event_id AND c.id_time = r.id_time
  CROSS JOIN (SELECT 1 AS turn UNION ALL SELECT -1)
  WHERE r.state <> r.from_state
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 2, 1 FROM redeliveries
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 1, 1 FROM dead_letters
), events AS (
  SELECT s.*, coalesce(s.seq <= p.through, 0) AS is_proven
  FROM stored AS s LEFT JOIN proven AS p ON p.gateway = s.gateway AND p.boot = s.boot)`

const rowCountsSQL = eventsSQL + `
SELECT tenant_id, source_id, received_at - received_at % 3600000000, gateway, boot, state,
  coalesce(sum(n) FILTER (WHERE is_proven), 0) AS proven, coalesce(sum(n) FILTER (WHERE NOT is_proven), 0) AS tail
FROM events
WHERE received_at >= ?2 AND received_at < ?3 AND (?4 = '' OR tenant_id = ?4)
GROUP BY 1, 2, 3, 4, 5, 6 HAVING proven <> 0 OR tail <> 0 ORDER BY 1, 2, 3, 4, 5, 6`

const bootRowsSQL = eventsSQL + `
SELECT gateway, boot, coalesce(sum(n) FILTER (WHERE is_proven), 0), coalesce(sum(n) FILTER (WHERE NOT is_proven), 0), max(seq)
FROM events GROUP BY 1, 2 ORDER BY 1, 2`

// closedSQL finds closed units whose valid clicks were not what their minute
// counts say now, with the adjustments and the late clicks that are not settled.
const closedSQL = `
SELECT tenant_id, source_id, hour, campaign_id, currency, sum(n) AS clicks, sum(micros) AS cost FROM (
  SELECT tenant_id, source_id, hour, campaign_id, currency, count AS n, micros FROM closed_hours WHERE state = 9
  UNION ALL SELECT tenant_id, source_id, hour, campaign_id, currency, clicks, micros FROM adjustments
  UNION ALL
  SELECT c.tenant_id, c.source_id, l.hour, c.campaign_id, iif(c.pricing = 1, c.currency, ''), 1,
    iif(c.pricing = 1 AND c.currency <> '', c.price_micros, 0)
  FROM late_clicks AS l
  JOIN closed_units AS u ON u.tenant_id = l.tenant_id AND u.source_id = l.source_id AND u.hour = l.hour
  JOIN clicks AS c ON c.tenant_id = l.tenant_id AND c.event_id = l.event_id AND c.id_time = l.id_time
  WHERE l.settled = 0 AND c.state = 9
  UNION ALL
  SELECT m.tenant_id, m.source_id, u.hour, m.campaign_id, m.currency, -m.count, -m.micros
  FROM closed_units AS u JOIN click_minutes AS m
    ON m.tenant_id = u.tenant_id AND m.source_id = u.source_id AND m.minute >= u.hour AND m.minute < u.hour + 3600000000
  WHERE m.state = 9)
GROUP BY 1, 2, 3, 4, 5 HAVING clicks <> 0 OR cost <> 0 ORDER BY 1, 2, 3, 4, 5`

// Ledger implements aggregate.Reports.
func (s *Store) Ledger(ctx context.Context, q aggregate.LedgerQuery) (aggregate.Ledger, error) {
	l := aggregate.Ledger{Query: q}
	err := s.snapshot(ctx, "ledger", func(t *sql.Tx) (err error) {
		if l.Marks, err = storedMarks(ctx, t); err != nil {
			return err
		}
		proven, err := provenJSON(aggregate.Proven(l.Marks))
		if err != nil {
			return err
		}
		from, to := wholeHours(q.From, q.To)
		if l.Counts, err = bootCounts(ctx, t, from, to, q.TenantID); err != nil {
			return err
		}
		if l.Rows, err = rowCounts(ctx, t, proven, from, to, q.TenantID); err != nil {
			return err
		}
		if l.Boots, err = bootRows(ctx, t, proven); err != nil {
			return err
		}
		if l.Totals, err = totals(ctx, t); err != nil {
			return err
		}
		l.Closed, err = closedDifferences(ctx, t)
		return err
	})
	return l, err
}

func closedDifferences(ctx context.Context, t *sql.Tx) (out []aggregate.ClosedDifference, err error) {
	rows, err := t.QueryContext(ctx, closedSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var x aggregate.ClosedDifference
		err := r.Scan(&x.TenantID, &x.SourceID, &x.Hour, &x.CampaignID, &x.Currency, &x.Clicks, &x.Micros)
		out = append(out, x)
		return err
	})
	return out, err
}

func storedMarks(ctx context.Context, t *sql.Tx) (marks []aggregate.StoredMark, err error) {
	rows, err := t.QueryContext(ctx, storedMarksSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var m aggregate.StoredMark
		var topicID, payload []byte
		p := &m.Partition
		if err := r.Scan(&p.ClusterID, &topicID, &p.Topic, &p.Number, &payload); err != nil {
			return err
		}
		copy(p.TopicID[:], topicID)
		mark, err := click.DecodeMark(payload)
		if err != nil {
			return fmt.Errorf("mark stored for %s: %w", p, err)
		}
		m.Mark = *mark
		marks = append(marks, m)
		return nil
	})
	return marks, err
}

// provenJSON is an array of [gateway, boot, through].
func provenJSON(proven map[aggregate.BootID]click.Mark) (string, error) {
	list := make([][3]any, 0, len(proven))
	for boot, m := range proven {
		list = append(list, [3]any{boot.Gateway, int64(boot.Boot), min(m.ThroughSeq, math.MaxInt64)})
	}
	b, err := json.Marshal(list)
	return string(b), err
}

func bootCounts(ctx context.Context, t *sql.Tx, from, to int64, tenant string) (out []aggregate.BootCount, err error) {
	rows, err := t.QueryContext(ctx, bootCountsSQL, from, to, tenant)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var x aggregate.BootCount
		var boot int64
		err := r.Scan(&x.Gateway, &boot, &x.TenantID, &x.SourceID, &x.Hour, &x.Received, &x.Shed, &x.Unrecorded)
		x.Boot = uint64(boot)
		out = append(out, x)
		return err
	})
	return out, err
}

func rowCounts(ctx context.Context, t *sql.Tx, proven string, from, to int64, tenant string) (out []aggregate.RowCount, err error) {
	rows, err := t.QueryContext(ctx, rowCountsSQL, proven, from, to, tenant)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var x aggregate.RowCount
		var boot int64
		err := r.Scan(&x.TenantID, &x.SourceID, &x.Hour, &x.Gateway, &boot, &x.State, &x.Proven, &x.Tail)
		x.Boot = uint64(boot)
		out = append(out, x)
		return err
	})
	return out, err
}

func bootRows(ctx context.Context, t *sql.Tx, proven string) (out []aggregate.BootRows, err error) {
	rows, err := t.QueryContext(ctx, bootRowsSQL, proven)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var x aggregate.BootRows
		var boot, seq int64
		err := r.Scan(&x.Gateway, &boot, &x.Proven, &x.Tail, &seq)
		x.Boot, x.MaxSeq = uint64(boot), uint64(seq)
		out = append(out, x)
		return err
	})
	return out, err
}
