package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

const claimSQL = `
INSERT INTO positions (cluster_id, topic_id, partition, topic, next, fence, owner)
VALUES ($1, $2, $3, $4, 0, 1, $5)
ON CONFLICT (cluster_id, topic_id, partition) DO UPDATE
SET fence = positions.fence + 1, owner = excluded.owner, claimed_at = now()
RETURNING fence, next`

// Claim implements aggregate.Ingest.
func (s *Store) Claim(ctx context.Context, p aggregate.Partition, owner string) (aggregate.Claim, error) {
	var c aggregate.Claim
	err := s.InTx(ctx, func(a aggregate.Tx) error {
		return a.(*tx).query(ctx, "claim of "+p.String(), claimSQL,
			func(r pgx.Rows) error { return r.Scan(&c.Fence, &c.Next) },
			p.ClusterID, p.TopicID, p.Number, p.Topic, owner)
	})
	return c, err
}

// StoredThrough implements aggregate.Ingest.
func (s *Store) StoredThrough(ctx context.Context, clusterID string, topicID [16]byte) (map[int32]int64, error) {
	next := make(map[int32]int64)
	rows, err := s.pool.Query(ctx, "SELECT partition, next FROM positions WHERE cluster_id = $1 AND topic_id = $2", clusterID, topicID)
	if err == nil {
		err = each(rows, func(r pgx.Rows) error {
			var p int32
			var n int64
			err := r.Scan(&p, &n)
			next[p] = n
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("stored positions: %w", err)
	}
	return next, nil
}

const advanceSQL = `
UPDATE positions SET next = $1
WHERE cluster_id = $2 AND topic_id = $3 AND partition = $4 AND next = $5 AND fence = $6`

// Advance implements aggregate.Tx.
func (t *tx) Advance(ctx context.Context, p aggregate.Partition, fence, first, next int64) error {
	n, err := t.exec(ctx, "position of "+p.String(), advanceSQL, next, p.ClusterID, p.TopicID, p.Number, first, fence)
	if err != nil || n == 1 {
		return err
	}
	return t.refused(ctx, p, fence, first, next)
}

// refused finds out why the compare-and-swap of Advance hit no row.
func (t *tx) refused(ctx context.Context, p aggregate.Partition, fence, first, next int64) error {
	stored := aggregate.Claim{Fence: -1}
	err := t.query(ctx, "position of "+p.String(),
		"SELECT fence, next FROM positions WHERE cluster_id = $1 AND topic_id = $2 AND partition = $3",
		func(r pgx.Rows) error { return r.Scan(&stored.Fence, &stored.Next) },
		p.ClusterID, p.TopicID, p.Number)
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
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
  $7::text[], $8::text[], $9::smallint[], $10::integer[], $11::bigint[], $12::bigint[])
ON CONFLICT (tenant_id, source_id, minute, advertiser_id, campaign_id, ad_group_id, publisher_id,
  currency, state, partition)
DO UPDATE SET count = click_minutes.count + excluded.count, micros = click_minutes.micros + excluded.micros`

// AddMinutes implements aggregate.Tx.
func (t *tx) AddMinutes(ctx context.Context, deltas []aggregate.MinuteDelta) error {
	if err := t.ready(func(yield func(int64) bool) {
		for i := range deltas {
			if !yield(deltas[i].Minute) {
				return
			}
		}
	}); err != nil {
		return err
	}
	col := func(f func(*aggregate.MinuteDelta) string) []string { return column(deltas, f) }
	num := func(f func(*aggregate.MinuteDelta) int64) []int64 { return column(deltas, f) }
	_, err := t.exec(ctx, "minute counts", minutesSQL,
		col(func(d *aggregate.MinuteDelta) string { return d.TenantID }),
		col(func(d *aggregate.MinuteDelta) string { return d.SourceID }),
		column(deltas, func(d *aggregate.MinuteDelta) micros { return micros(d.Minute) }),
		col(func(d *aggregate.MinuteDelta) string { return d.AdvertiserID }),
		col(func(d *aggregate.MinuteDelta) string { return d.CampaignID }),
		col(func(d *aggregate.MinuteDelta) string { return d.AdGroupID }),
		col(func(d *aggregate.MinuteDelta) string { return d.PublisherID }),
		col(func(d *aggregate.MinuteDelta) string { return d.Currency }),
		column(deltas, func(d *aggregate.MinuteDelta) int16 { return int16(d.State) }),
		column(deltas, func(d *aggregate.MinuteDelta) int32 { return d.Partition }),
		num(func(d *aggregate.MinuteDelta) int64 { return d.Count }),
		num(func(d *aggregate.MinuteDelta) int64 { return d.Micros }))
	return err
}

// column takes one value of each row, for unnest.
func column[R, V any](rows []R, f func(*R) V) []V {
	out := make([]V, len(rows))
	for i := range rows {
		out[i] = f(&rows[i])
	}
	return out
}
