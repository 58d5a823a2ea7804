package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// lettersSQL is every dead letter of a gateway and every poison record. The dead
// letter that stands for a poison record is left out. Records that do not tell when
// they were received count from when they were stored.
const lettersSQL = `
WITH letters AS (
  SELECT tenant_id, source_id, entry, code, field, message, received_at, ingested_at, letter_id, '' AS topic, NULL::uuid AS topic_id,
    partition, rec_offset, gateway, boot, seq, length(raw)::bigint AS size, to_timestamp(0) AS replayed_at, '' AS replayed_by, '' AS became
  FROM dead_letters WHERE code <> '` + aggregate.CodePoison + `'
  UNION ALL
  SELECT tenant_id, source_id, entry, '` + aggregate.CodePoison + `', class, reason,
    CASE received_at WHEN to_timestamp(0) THEN ingested_at ELSE received_at END,
    ingested_at, event_id, topic, topic_id, partition, rec_offset, gateway, boot, seq, coalesce(length(value), 0),
    coalesce(replayed_at, to_timestamp(0)), replayed_by, became
  FROM poison_records
), chosen AS (
  SELECT * FROM letters
  WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR source_id = $2) AND ($3 = '' OR code = $3)
    AND (NOT $4::boolean OR topic <> '' AND replayed_at = to_timestamp(0)) AND received_at >= $5 AND received_at < $6
    AND ($7::uuid = '00000000-0000-0000-0000-000000000000' OR letter_id = $7)
    AND ($8 = '' OR topic = $8 AND partition = $9 AND rec_offset = $10))`

const letterCountsSQL = lettersSQL + `
SELECT tenant_id, source_id, code, field, count(*), count(*) FILTER (WHERE replayed_at <> to_timestamp(0)), min(received_at), max(received_at)
FROM chosen GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`

const listLettersSQL = lettersSQL + `
SELECT * FROM chosen ORDER BY received_at DESC, topic, partition, rec_offset DESC, gateway, boot, seq LIMIT $11`

func letterArgs(q *aggregate.LetterQuery) []any {
	from, to := span(q.From, q.To)
	return []any{q.TenantID, q.SourceID, q.Code, q.Waiting, from, to, [16]byte(q.ID), q.Record.Topic, q.Record.Number, q.Record.Offset}
}

// LetterCounts implements aggregate.DeadLetters.
func (s *Store) LetterCounts(ctx context.Context, q aggregate.LetterQuery) (out []aggregate.LetterCount, err error) {
	err = s.snapshot(ctx, "dead letters", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, letterCountsSQL, letterArgs(&q)...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var c aggregate.LetterCount
			err := r.Scan(&c.TenantID, &c.SourceID, &c.Code, &c.Field, &c.Count, &c.Replayed, (*micros)(&c.First), (*micros)(&c.Last))
			out = append(out, c)
			return err
		})
	})
	return out, err
}

// Letters implements aggregate.DeadLetters.
func (s *Store) Letters(ctx context.Context, q aggregate.LetterQuery) (out []aggregate.Letter, err error) {
	var limit *int // NULL is no limit
	if q.Limit > 0 {
		limit = &q.Limit
	}
	err = s.snapshot(ctx, "dead letters", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, listLettersSQL, append(letterArgs(&q), limit)...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			l, err := readLetter(r)
			out = append(out, l)
			return err
		})
	})
	return out, err
}

func readLetter(r pgx.Rows) (l aggregate.Letter, err error) {
	var topicID optional
	p := &l.Record
	err = r.Scan(&l.TenantID, &l.SourceID, &l.Entry, &l.Code, &l.Field, &l.Message, (*micros)(&l.ReceivedAt), (*micros)(&l.StoredAt),
		(*[16]byte)(&l.ID), &p.Topic, &topicID, &p.Number, &p.Offset, &l.Ingest.Gateway, (*bits64)(&l.Ingest.Boot), (*bits64)(&l.Ingest.Seq),
		&l.Size, (*micros)(&l.ReplayedAt), &l.ReplayedBy, &l.Became)
	if p.Topic == "" {
		*p = aggregate.PoisonID{}
	} else {
		p.Incarnation = aggregate.Incarnation(topicID)
	}
	return l, err
}

// InLetters implements aggregate.DeadLetters.
func (s *Store) InLetters(ctx context.Context, f func(aggregate.LetterTx) error) error {
	return s.InTx(ctx, func(a aggregate.Tx) error { return f(a.(*tx)) })
}

const poisonSQL = `
SELECT cluster_id, topic_id, kind, class, reason, key, value, ingested_at, tenant_id, source_id, event_id, entry, received_at,
  gateway, boot, seq, coalesce(replayed_at, to_timestamp(0)), replayed_by, became
FROM poison_records
WHERE topic = $1 AND partition = $2 AND rec_offset = $3 AND ($4 = '' OR left(topic_id::text, 8) = $4)
ORDER BY ingested_at DESC LIMIT 1 FOR UPDATE`

// Poison implements aggregate.LetterTx.
func (t *tx) Poison(ctx context.Context, id aggregate.PoisonID) (p aggregate.PoisonRecord, found bool, err error) {
	p.Partition.Topic, p.Partition.Number, p.Offset = id.Topic, id.Number, id.Offset
	err = t.query(ctx, "poison record "+id.String(), poisonSQL, func(r pgx.Rows) error {
		found = true
		o := &p.Origin
		var kind []byte
		err := r.Scan(&p.Partition.ClusterID, &p.Partition.TopicID, &kind, &p.Class, &p.Reason, &p.Key, &p.Value, (*micros)(&p.StoredAt),
			&o.TenantID, &o.SourceID, (*[16]byte)(&o.ID), &o.Entry, (*micros)(&o.ReceivedAt), &o.Ingest.Gateway, (*bits64)(&o.Ingest.Boot),
			(*bits64)(&o.Ingest.Seq), (*micros)(&p.ReplayedAt), &p.ReplayedBy, &p.Became)
		p.Kind = string(kind)
		return err
	}, id.Topic, id.Number, id.Offset, id.Incarnation)
	return p, found, err
}

// DropLetter implements aggregate.LetterTx.
func (t *tx) DropLetter(ctx context.Context, tenantID string, id click.IngestID) (bool, error) {
	n, err := t.exec(ctx, "dead letter of a poison record",
		"DELETE FROM dead_letters WHERE tenant_id = $1 AND gateway = $2 AND boot = $3 AND seq = $4 AND code = '"+aggregate.CodePoison+"'",
		tenantID, id.Gateway, int64(id.Boot), int64(id.Seq))
	return n == 1, err
}

// Replayed implements aggregate.LetterTx.
func (t *tx) Replayed(ctx context.Context, r *aggregate.PoisonRecord) error {
	p := &r.Partition
	n, err := t.exec(ctx, "replayed poison record", `
UPDATE poison_records SET replayed_at = $1, replayed_by = $2, became = $3
WHERE cluster_id = $4 AND topic_id = $5 AND partition = $6 AND rec_offset = $7 AND replayed_at IS NULL`,
		micros(r.ReplayedAt), r.ReplayedBy, r.Became, p.ClusterID, p.TopicID, p.Number, r.Offset)
	if err == nil && n != 1 {
		err = fmt.Errorf("poison record %s at offset %d: %d rows were replayed at once", p, r.Offset, n)
	}
	return err
}

// Audit implements aggregate.LetterTx.
func (t *tx) Audit(ctx context.Context, e *aggregate.AuditEntry) error {
	return writeAudit(ctx, t.tx, e)
}
