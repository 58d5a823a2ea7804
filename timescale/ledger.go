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

// eventsSQL is every received event that is stored, with its boot's proven
// sequence: NULL when nothing of the boot is proven.
const eventsSQL = `
WITH stored AS (
  SELECT tenant_id, source_id, received_at, gateway, boot, seq, state FROM clicks
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 2 FROM redeliveries
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 1 FROM dead_letters
), events AS (
  SELECT s.*, coalesce(s.seq <= p.through, false) AS is_proven
  FROM stored AS s
  LEFT JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS p (gateway, boot, through)
    ON p.gateway = s.gateway AND p.boot = s.boot)`

const rowCountsSQL = eventsSQL + `
SELECT tenant_id, source_id, date_trunc('hour', received_at, 'UTC'), gateway, boot, state,
  count(*) FILTER (WHERE is_proven), count(*) FILTER (WHERE NOT is_proven)
FROM events
WHERE received_at >= $4 AND received_at < $5 AND ($6 = '' OR tenant_id = $6)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`

const bootRowsSQL = eventsSQL + `
SELECT gateway, boot, count(*) FILTER (WHERE is_proven), count(*) FILTER (WHERE NOT is_proven), max(seq)
FROM events GROUP BY 1, 2 ORDER BY 1, 2`

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
		l.Boots, err = bootRows(ctx, t, cut)
		return err
	})
	return l, err
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
