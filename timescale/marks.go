package timescale

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

const marksSQL = `
INSERT INTO marks (gateway, boot, cluster_id, topic_id, partition, topic, number, payload)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (gateway, boot, cluster_id, topic_id, partition)
DO UPDATE SET number = excluded.number, payload = excluded.payload
WHERE excluded.number > marks.number`

// PutMarks implements aggregate.Tx. A batch has a mark or two per boot, sent in
// one round trip.
func (t *tx) PutMarks(ctx context.Context, p aggregate.Partition, marks []click.Mark) error {
	var batch pgx.Batch
	for i := range marks {
		m := &marks[i]
		payload, err := m.Encode()
		if err != nil {
			return fmt.Errorf("mark %d of gateway %s: %w", m.Number, m.Gateway, err)
		}
		batch.Queue(marksSQL, m.Gateway, int64(m.Boot), p.ClusterID, p.TopicID, p.Number, p.Topic, int64(m.Number), payload)
	}
	queueCounts(&batch, p, aggregate.OldCounts(marks))
	results := t.tx.SendBatch(ctx, &batch)
	var err error
	for range batch.Len() {
		if _, e := results.Exec(); e != nil {
			err = e
			break
		}
	}
	if err := errors.Join(err, results.Close()); err != nil {
		return fmt.Errorf("marks of %s: %w", p, err)
	}
	return nil
}

// markCountsSQL writes only what is new: ON CONFLICT alone would lock, and so
// rewrite, every row it leaves as it is, a few times a second.
const markCountsSQL = `
INSERT INTO mark_counts AS m (cluster_id, topic_id, topic, partition, gateway, boot, tenant_id, source_id, hour,
  received, shed, unrecorded)
SELECT $1::text, $2::uuid, $3::text, $4::integer, c.*
FROM unnest($5::text[], $6::bigint[], $7::text[], $8::text[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::bigint[])
  AS c (gateway, boot, tenant_id, source_id, hour, received, shed, unrecorded)
WHERE NOT EXISTS (
  SELECT FROM mark_counts AS k
  WHERE k.gateway = c.gateway AND k.boot = c.boot AND k.cluster_id = $1 AND k.topic_id = $2 AND k.topic = $3
    AND k.partition = $4 AND k.tenant_id = c.tenant_id AND k.source_id = c.source_id AND k.hour = c.hour
    AND k.received >= c.received AND k.shed >= c.shed AND k.unrecorded >= c.unrecorded)
ORDER BY c.gateway COLLATE "C", c.boot, c.tenant_id COLLATE "C", c.source_id COLLATE "C", c.hour
ON CONFLICT (gateway, boot, cluster_id, topic_id, topic, partition, tenant_id, source_id, hour)
DO UPDATE SET received = greatest(m.received, excluded.received), shed = greatest(m.shed, excluded.shed),
  unrecorded = greatest(m.unrecorded, excluded.unrecorded)`

// queueCounts keeps what later marks stop carrying.
func queueCounts(batch *pgx.Batch, p aggregate.Partition, counts []aggregate.BootCount) {
	if len(counts) == 0 {
		return
	}
	type count = aggregate.BootCount
	batch.Queue(markCountsSQL, p.ClusterID, p.TopicID, p.Topic, p.Number,
		column(counts, func(c *count) string { return c.Gateway }),
		column(counts, func(c *count) int64 { return int64(c.Boot) }),
		column(counts, func(c *count) string { return c.TenantID }),
		column(counts, func(c *count) string { return c.SourceID }),
		column(counts, func(c *count) micros { return micros(c.Hour) }),
		column(counts, func(c *count) int64 { return int64(c.Received) }),
		column(counts, func(c *count) int64 { return int64(c.Shed) }),
		column(counts, func(c *count) int64 { return int64(c.Unrecorded) }))
}
