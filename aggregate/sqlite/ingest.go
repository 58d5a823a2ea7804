package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"clickgate/aggregate"
)

const claimSQL = `
INSERT INTO positions (cluster_id, topic_id, partition, topic, next, fence, owner, claimed_at)
VALUES (?1, ?2, ?3, ?4, 0, 1, ?5, ?6)
ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE
SET fence = fence + 1, owner = excluded.owner, claimed_at = excluded.claimed_at
RETURNING fence, next`

// Claim implements aggregate.Ingest.
func (s *Store) Claim(ctx context.Context, p aggregate.Partition, owner string) (aggregate.Claim, error) {
	var c aggregate.Claim
	err := s.InTx(ctx, func(a aggregate.Tx) error {
		return a.(*tx).query("claim of "+p.String(), claimSQL,
			func(r *sql.Rows) error { return r.Scan(&c.Fence, &c.Next) },
			p.ClusterID, p.TopicID[:], p.Number, p.Topic, owner, s.now())
	})
	return c, err
}

// StoredThrough implements aggregate.Ingest.
func (s *Store) StoredThrough(ctx context.Context, clusterID string, topicID [16]byte) (map[int32]int64, error) {
	next := make(map[int32]int64)
	err := s.snapshot(ctx, "stored positions", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx,
			"SELECT partition, next FROM positions WHERE cluster_id = ? AND topic_id = ?", clusterID, topicID[:])
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var p int32
			var n int64
			err := r.Scan(&p, &n)
			next[p] = n
			return err
		})
	})
	return next, err
}

const advanceSQL = `
UPDATE positions SET next = ?1
WHERE cluster_id = ?2 AND topic_id = ?3 AND partition = ?4 AND next = ?5 AND fence = ?6`

// Advance implements aggregate.Tx.
func (t *tx) Advance(ctx context.Context, p aggregate.Partition, fence, first, next int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n, err := t.exec("position of "+p.String(), advanceSQL, next, p.ClusterID, p.TopicID[:], p.Number, first, fence)
	if err != nil || n == 1 {
		return err
	}
	return t.refused(p, fence, first, next)
}

// refused finds out why the compare-and-swap of Advance hit no row.
func (t *tx) refused(p aggregate.Partition, fence, first, next int64) error {
	stored := aggregate.Claim{Fence: -1}
	err := t.query("position of "+p.String(),
		"SELECT fence, next FROM positions WHERE cluster_id = ? AND topic_id = ? AND partition = ?",
		func(r *sql.Rows) error { return r.Scan(&stored.Fence, &stored.Next) },
		p.ClusterID, p.TopicID[:], p.Number)
	switch {
	case err != nil:
		return err
	case stored.Fence == fence && stored.Next == next:
		return aggregate.ErrApplied
	case stored.Fence == fence && stored.Next < first:
		return fmt.Errorf("%s: stored through offset %d, batch starts at %d: %w", p, stored.Next, first, aggregate.ErrGap)
	}
	return fmt.Errorf("%s: %w", p, aggregate.ErrFenced)
}

const minutesSQL = `
INSERT INTO click_minutes (tenant_id, source_id, minute, advertiser_id, campaign_id, ad_group_id,
  publisher_id, currency, state, partition, count, micros)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count, micros = micros + excluded.micros`

// AddMinutes implements aggregate.Tx.
func (t *tx) AddMinutes(ctx context.Context, deltas []aggregate.MinuteDelta) error {
	for i := range deltas {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := &deltas[i]
		if _, err := t.exec("minute counts", minutesSQL, d.TenantID, d.SourceID, d.Minute, d.AdvertiserID,
			d.CampaignID, d.AdGroupID, d.PublisherID, d.Currency, int64(d.State), d.Partition,
			d.Count, d.Micros); err != nil {
			return fmt.Errorf("tenant %q, campaign %q: %w", d.TenantID, d.CampaignID, err)
		}
	}
	return nil
}
