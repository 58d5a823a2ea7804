package timescale

import (
	"context"
	"fmt"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

const storedMarksSQL = `
SELECT cluster_id, topic_id, topic, partition, payload FROM marks
ORDER BY gateway, boot, topic, cluster_id, topic_id, partition`

const bootCountsSQL = `
SELECT gateway, boot, tenant_id, source_id, hour, max(received), max(shed), max(unrecorded) FROM mark_counts
WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// eventsSQL is every received event that is stored, n times in its state, and
// whether it lies within its boot's proven sequence. A revision takes its click
// out of one state and puts it into another.
const eventsSQL = `
WITH stored AS (
  SELECT tenant_id, source_id, received_at, gateway, boot, seq, state, 1 AS n FROM clicks
  UNION ALL
  SELECT c.tenant_id, c.source_id, c.received_at, c.gateway, c.boot, c.seq, CASE turn WHEN 1 THEN r.state ELSE r.from_state END, turn
  FROM verdict_revisions AS r
  JOIN clicks AS c ON c.tenant_id = r.tenant_id AND c.event_id = r.event_id AND c.id_time = r.id_time
  CROSS JOIN (VALUES (1), (-1)) AS t (turn)
  WHERE r.state <> r.from_state
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 2, 1 FROM redeliveries
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 1, 1 FROM dead_letters
), events AS (
  SELECT s.*, coalesce(s.seq <= p.through, false) AS is_proven
  FROM stored AS s
  LEFT JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS p (gateway, boot, through)
    ON p.gateway = s.gateway AND p.boot = s.boot)`

const rowCountsSQL = eventsSQL + `
SELECT * FROM (
  SELECT tenant_id, source_id, date_trunc('hour', received_at, 'UTC'), gateway, boot, state,
    coalesce(sum(n) FILTER (WHERE is_proven), 0)::bigint AS proven, coalesce(sum(n) FILTER (WHERE NOT is_proven), 0)::bigint AS tail
  FROM events
  WHERE received_at >= $4 AND received_at < $5 AND ($6 = '' OR tenant_id = $6)
  GROUP BY 1, 2, 3, 4, 5, 6) AS counted
WHERE proven <> 0 OR tail <> 0 ORDER BY 1, 2, 3, 4, 5, 6`

const bootRowsSQL = eventsSQL + `
SELECT gateway, boot, coalesce(sum(n) FILTER (WHERE is_proven), 0)::bigint, coalesce(sum(n) FILTER (WHERE NOT is_proven), 0)::bigint, max(seq)
FROM events GROUP BY 1, 2 ORDER BY 1, 2`

// closedSQL finds closed units whose valid clicks were not what their minute
// counts say now, with the adjustments and the late clicks that are not settled.
const closedSQL = `
SELECT tenant_id, source_id, hour, campaign_id, currency, sum(n)::bigint, sum(micros)::bigint FROM (
  SELECT tenant_id, source_id, hour, campaign_id, currency, count AS n, micros FROM closed_hours WHERE state = 9
  UNION ALL SELECT tenant_id, source_id, hour, campaign_id, currency, clicks, micros FROM adjustments
  UNION ALL
  SELECT c.tenant_id, c.source_id, l.hour, c.campaign_id, CASE WHEN c.pricing = 1 THEN c.currency ELSE '' END, 1,
    CASE WHEN c.pricing = 1 AND c.currency <> '' THEN c.price_micros ELSE 0 END
  FROM late_clicks AS l
  JOIN closed_units AS u ON u.tenant_id = l.tenant_id AND u.source_id = l.source_id AND u.hour = l.hour
  JOIN clicks AS c ON c.tenant_id = l.tenant_id AND c.event_id = l.event_id AND c.id_time = l.id_time
  WHERE NOT l.settled AND c.state = 9
  UNION ALL
  SELECT m.tenant_id, m.source_id, u.hour, m.campaign_id, m.currency, -m.count, -m.micros
  FROM closed_units AS u JOIN click_minutes AS m
    ON m.tenant_id = u.tenant_id AND m.source_id = u.source_id AND m.minute >= u.hour AND m.minute < u.hour + interval '1 hour'
  WHERE m.state = 9) AS counted
GROUP BY 1, 2, 3, 4, 5 HAVING sum(n) <> 0 OR sum(micros) <> 0 ORDER BY 1, 2, 3, 4, 5`

// Ledger implements aggregate.Reports.
func (s *Store) Ledger(ctx context.Context, q aggregate.LedgerQuery) (aggregate.Ledger, error) {
	l := aggregate.Ledger{Query: q}
	err := s.snapshot(ctx, "ledger", func(t pgx.Tx) (err error) {
		if l.Marks, err = storedMarks(ctx, t); err != nil {
			return err
		}
		if l.Counts, err = bootCounts(ctx, t, q); err != nil {
			return err
		}
		cut := cutAt(aggregate.Proven(l.Marks))
		if l.Rows, err = rowCounts(ctx, t, cut, q); err != nil {
			return err
		}
		if l.Boots, err = bootRows(ctx, t, cut); err != nil {
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

func closedDifferences(ctx context.Context, t pgx.Tx) (out []aggregate.ClosedDifference, err error) {
	rows, err := t.Query(ctx, closedSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.ClosedDifference
		err := r.Scan(&x.TenantID, &x.SourceID, (*micros)(&x.Hour), &x.CampaignID, &x.Currency, &x.Clicks, &x.Micros)
		out = append(out, x)
		return err
	})
	return out, err
}

func storedMarks(ctx context.Context, t pgx.Tx) (marks []aggregate.StoredMark, err error) {
	rows, err := t.Query(ctx, storedMarksSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var m aggregate.StoredMark
		var payload []byte
		p := &m.Partition
		if err := r.Scan(&p.ClusterID, &p.TopicID, &p.Topic, &p.Number, &payload); err != nil {
			return err
		}
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

// cutAt returns the arguments $1 to $3 of eventsSQL.
func cutAt(proven map[aggregate.BootID]click.Mark) []any {
	gateways, boots, through := []string{}, []int64{}, []int64{}
	for boot, m := range proven {
		gateways, boots = append(gateways, boot.Gateway), append(boots, int64(boot.Boot))
		through = append(through, int64(min(m.ThroughSeq, math.MaxInt64)))
	}
	return []any{gateways, boots, through}
}

func bootCounts(ctx context.Context, t pgx.Tx, q aggregate.LedgerQuery) (out []aggregate.BootCount, err error) {
	from, to := wholeHours(q.From, q.To)
	rows, err := t.Query(ctx, bootCountsSQL, from, to, q.TenantID)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.BootCount
		err := r.Scan(&x.Gateway, (*bits64)(&x.Boot), &x.TenantID, &x.SourceID, (*micros)(&x.Hour),
			&x.Received, &x.Shed, &x.Unrecorded)
		out = append(out, x)
		return err
	})
	return out, err
}

func rowCounts(ctx context.Context, t pgx.Tx, cut []any, q aggregate.LedgerQuery) (out []aggregate.RowCount, err error) {
	from, to := wholeHours(q.From, q.To)
	rows, err := t.Query(ctx, rowCountsSQL, cut[0], cut[1], cut[2], from, to, q.TenantID)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.RowCount
		err := r.Scan(&x.TenantID, &x.SourceID, (*micros)(&x.Hour), &x.Gateway, (*bits64)(&x.Boot), &x.State, &x.Proven, &x.Tail)
		out = append(out, x)
		return err
	})
	return out, err
}

func bootRows(ctx context.Context, t pgx.Tx, cut []any) (out []aggregate.BootRows, err error) {
	rows, err := t.Query(ctx, bootRowsSQL, cut...)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.BootRows
		err := r.Scan(&x.Gateway, (*bits64)(&x.Boot), &x.Proven, &x.Tail, (*bits64)(&x.MaxSeq))
		out = append(out, x)
		return err
	})
	return out, err
}
