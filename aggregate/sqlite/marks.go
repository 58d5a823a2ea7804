package sqlite

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const marksSQL = `
INSERT INTO marks (gateway, boot, cluster_id, topic_id, partition, topic, number, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET number = excluded.number, payload = excluded.payload
WHERE excluded.number > number`

// PutMarks implements aggregate.Tx.
func (t *tx) PutMarks(ctx context.Context, p aggregate.Partition, marks []click.Mark) error {
	for i := range marks {
		m := &marks[i]
		payload, err := m.Encode()
		if err := errors.Join(err, ctx.Err()); err != nil {
			return fmt.Errorf("mark %d of gateway %s: %w", m.Number, m.Gateway, err)
		}
		if _, err := t.exec("marks", marksSQL, m.Gateway, int64(m.Boot), p.ClusterID, p.TopicID[:],
			p.Number, p.Topic, int64(m.Number), payload); err != nil {
			return err
		}
	}
	return t.keepCounts(ctx, p, aggregate.OldCounts(marks))
}

const markCountsSQL = `
INSERT INTO mark_counts (gateway, boot, cluster_id, topic_id, topic, partition, tenant_id, source_id, hour,
  received, shed, unrecorded)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET received = max(received, excluded.received), shed = max(shed, excluded.shed),
  unrecorded = max(unrecorded, excluded.unrecorded)
WHERE excluded.received > received OR excluded.shed > shed OR excluded.unrecorded > unrecorded`

// keepCounts keeps what later marks stop carrying.
func (t *tx) keepCounts(ctx context.Context, p aggregate.Partition, counts []aggregate.BootCount) error {
	for i := range counts {
		if err := ctx.Err(); err != nil {
			return err
		}
		c := &counts[i]
		if _, err := t.exec("counts of marks", markCountsSQL, c.Gateway, int64(c.Boot), p.ClusterID, p.TopicID[:],
			p.Topic, p.Number, c.TenantID, c.SourceID, c.Hour,
			int64(c.Received), int64(c.Shed), int64(c.Unrecorded)); err != nil {
			return err
		}
	}
	return nil
}
