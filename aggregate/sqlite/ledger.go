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

// eventsSQL is every received event that is stored, with its boot's proven
// sequence: NULL when nothing of the boot is proven.
const eventsSQL = `
WITH proven AS MATERIALIZED (
  SELECT value ->> 0 AS gateway, value ->> 1 AS boot, value ->> 2 AS through FROM json_each(?1)
), stored AS (
  SELECT tenant_id, source_id, received_at, gateway, boot, seq, state FROM clicks
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 2 FROM redeliveries
  UNION ALL SELECT tenant_id, source_id, received_at, gateway, boot, seq, 1 FROM dead_letters
), events AS (
  SELECT s.*, coalesce(s.seq <= p.through, 0) AS is_proven
  FROM stored AS s LEFT JOIN proven AS p ON p.gateway = s.gateway AND p.boot = s.boot)`

const rowCountsSQL = eventsSQL + `
SELECT tenant_id, source_id, received_at - received_at % 3600000000, gateway, boot, state,
  count(*) FILTER (WHERE is_proven), count(*) FILTER (WHERE NOT is_proven)
FROM events
WHERE received_at >= ?2 AND received_at < ?3 AND (?4 = '' OR tenant_id = ?4)
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`

const bootRowsSQL = eventsSQL + `
SELECT gateway, boot, count(*) FILTER (WHERE is_proven), count(*) FILTER (WHERE NOT is_proven), max(seq)
FROM events GROUP BY 1, 2 ORDER BY 1, 2`

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
		l.Boots, err = bootRows(ctx, t, proven)
		return err
	})
	return l, err
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
