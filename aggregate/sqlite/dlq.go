package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// lettersSQL is every dead letter of a gateway and every poison record. The dead
// letter that stands for a poison record is left out. Records that do not tell when
// they were received count from when they were stored.
const lettersSQL = `
WITH letters AS (
  SELECT tenant_id, source_id, entry, code, field, message, received_at, ingested_at, letter_id, '' AS topic, X'' AS topic_id,
    partition, rec_offset, gateway, boot, seq, coalesce(length(raw), 0) AS size, 0 AS replayed_at, '' AS replayed_by, '' AS became
  FROM dead_letters WHERE code <> '` + aggregate.CodePoison + `'
  UNION ALL
  SELECT tenant_id, source_id, entry, '` + aggregate.CodePoison + `', class, reason, iif(received_at = 0, ingested_at, received_at),
    ingested_at, event_id, topic, topic_id, partition, rec_offset, gateway, boot, seq, coalesce(length(value), 0),
    coalesce(replayed_at, 0), replayed_by, became
  FROM poison_records
), chosen AS (
  SELECT * FROM letters
  WHERE (?1 = '' OR tenant_id = ?1) AND (?2 = '' OR source_id = ?2) AND (?3 = '' OR code = ?3)
    AND (NOT ?4 OR topic <> '' AND replayed_at = 0) AND received_at >= ?5 AND received_at < ?6
    AND (?7 = zeroblob(16) OR letter_id = ?7) AND (?8 = '' OR topic = ?8 AND partition = ?9 AND rec_offset = ?10))`

const letterCountsSQL = lettersSQL + `
SELECT tenant_id, source_id, code, field, count(*), count(*) FILTER (WHERE replayed_at <> 0), min(received_at), max(received_at)
FROM chosen GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`

const listLettersSQL = lettersSQL + `
SELECT * FROM chosen ORDER BY received_at DESC, topic, partition, rec_offset DESC, gateway, boot, seq LIMIT ?11`

func letterArgs(q *aggregate.LetterQuery) []any {
	to := q.To
	if to == 0 {
		to = math.MaxInt64
	}
	return []any{q.TenantID, q.SourceID, q.Code, q.Waiting, q.From, to, q.ID[:], q.Record.Topic, int64(q.Record.Number), q.Record.Offset}
}

// LetterCounts implements aggregate.DeadLetters.
func (s *Store) LetterCounts(ctx context.Context, q aggregate.LetterQuery) (out []aggregate.LetterCount, err error) {
	err = s.snapshot(ctx, "dead letters", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, letterCountsSQL, letterArgs(&q)...)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var c aggregate.LetterCount
			err := r.Scan(&c.TenantID, &c.SourceID, &c.Code, &c.Field, &c.Count, &c.Replayed, &c.First, &c.Last)
			out = append(out, c)
			return err
		})
	})
	return out, err
}

// Letters implements aggregate.DeadLetters.
func (s *Store) Letters(ctx context.Context, q aggregate.LetterQuery) (out []aggregate.Letter, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	err = s.snapshot(ctx, "dead letters", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, listLettersSQL, append(letterArgs(&q), limit)...)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var l aggregate.Letter
			var id, topicID []byte
			var boot, seq int64
			p := &l.Record
			err := r.Scan(&l.TenantID, &l.SourceID, &l.Entry, &l.Code, &l.Field, &l.Message, &l.ReceivedAt, &l.StoredAt, &id, &p.Topic, &topicID,
				&p.Number, &p.Offset, &l.Ingest.Gateway, &boot, &seq, &l.Size, &l.ReplayedAt, &l.ReplayedBy, &l.Became)
			copy(l.ID[:], id)
			l.Ingest.Boot, l.Ingest.Seq = uint64(boot), uint64(seq)
			if p.Topic == "" {
				*p = aggregate.PoisonID{}
			} else {
				p.Incarnation = aggregate.Incarnation([16]byte(topicID))
			}
			out = append(out, l)
			return err
		})
	})
	return out, err
}

// InLetters implements aggregate.DeadLetters.
func (s *Store) InLetters(ctx context.Context, f func(aggregate.LetterTx) error) error {
	return s.InTx(ctx, func(a aggregate.Tx) error { return f(a.(*tx)) })
}

const poisonSQL = `
SELECT cluster_id, topic_id, kind, class, reason, key, value, ingested_at, tenant_id, source_id, event_id, entry, received_at,
  gateway, boot, seq, coalesce(replayed_at, 0), replayed_by, became
FROM poison_records
WHERE topic = ? AND partition = ? AND rec_offset = ? AND (?4 = '' OR lower(substr(hex(topic_id), 1, 8)) = ?4)
ORDER BY ingested_at DESC LIMIT 1`

// Poison implements aggregate.LetterTx.
func (t *tx) Poison(_ context.Context, id aggregate.PoisonID) (p aggregate.PoisonRecord, found bool, err error) {
	p.Partition.Topic, p.Partition.Number, p.Offset = id.Topic, id.Number, id.Offset
	err = t.query("poison record "+id.String(), poisonSQL, func(r *sql.Rows) error {
		found = true
		o := &p.Origin
		var topicID, event, kind []byte
		var boot, seq int64
		err := r.Scan(&p.Partition.ClusterID, &topicID, &kind, &p.Class, &p.Reason, &p.Key, &p.Value, &p.StoredAt, &o.TenantID, &o.SourceID,
			&event, &o.Entry, &o.ReceivedAt, &o.Ingest.Gateway, &boot, &seq, &p.ReplayedAt, &p.ReplayedBy, &p.Became)
		copy(p.Partition.TopicID[:], topicID)
		copy(o.ID[:], event)
		o.Ingest.Boot, o.Ingest.Seq, p.Kind = uint64(boot), uint64(seq), string(kind)
		return err
	}, id.Topic, id.Number, id.Offset, id.Incarnation)
	return p, found, err
}

// DropLetter implements aggregate.LetterTx.
func (t *tx) DropLetter(_ context.Context, tenantID string, id click.IngestID) (bool, error) {
	n, err := t.exec("dead letter of a poison record",
		"DELETE FROM dead_letters WHERE tenant_id = ? AND gateway = ? AND boot = ? AND seq = ? AND code = '"+aggregate.CodePoison+"'",
		tenantID, id.Gateway, int64(id.Boot), int64(id.Seq))
	return n == 1, err
}

// Replayed implements aggregate.LetterTx.
func (t *tx) Replayed(_ context.Context, r *aggregate.PoisonRecord) error {
	p := &r.Partition
	n, err := t.exec("replayed poison record", `
UPDATE poison_records SET replayed_at = ?, replayed_by = ?, became = ?
WHERE cluster_id = ? AND topic_id = ? AND partition = ? AND rec_offset = ? AND replayed_at IS NULL`,
		r.ReplayedAt, r.ReplayedBy, r.Became, p.ClusterID, p.TopicID[:], int64(p.Number), r.Offset)
	if err == nil && n != 1 {
		err = fmt.Errorf("poison record %s at offset %d: %d rows were replayed at once", p, r.Offset, n)
	}
	return err
}

// Audit implements aggregate.LetterTx.
func (t *tx) Audit(_ context.Context, e *aggregate.AuditEntry) error { return t.writeAudit(e) }
