package sqlite

import (
	"context"
	"database/sql"
	"slices"

	"clickgate/aggregate"
)

// recentSQL hops from source to source of a tenant through the key of
// click_minutes, and reads of each the minutes that are asked for. CROSS JOIN keeps
// the order of the loops.
const recentSQL = `
WITH RECURSIVE sources (id) AS (
  SELECT min(source_id) FROM click_minutes WHERE tenant_id = ?1
  UNION ALL
  SELECT (SELECT min(source_id) FROM click_minutes WHERE tenant_id = ?1 AND source_id > id) FROM sources WHERE id IS NOT NULL)
SELECT minute - minute % ?4, source_id, currency, state, sum(count), sum(micros)
FROM sources CROSS JOIN click_minutes
WHERE tenant_id = ?1 AND source_id = sources.id AND minute >= ?2 AND minute < ?3
GROUP BY 1, 2, 3, 4`

// Recent implements aggregate.Recent.
func (s *Store) Recent(ctx context.Context, q aggregate.RecentQuery) (counts []aggregate.RecentCount, err error) {
	step, to := q.Bounds()
	err = s.snapshot(ctx, "recent counts", func(t *sql.Tx) error {
		tenants, err := traceTenants(ctx, t, q.TenantID)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			rows, err := t.QueryContext(ctx, recentSQL, tenant, q.From, to, step)
			if err != nil {
				return err
			}
			if err := each(rows, func(r *sql.Rows) error {
				c := aggregate.RecentCount{TenantID: tenant}
				err := r.Scan(&c.Start, &c.SourceID, &c.Currency, &c.State, &c.Count, &c.Micros)
				counts = append(counts, c)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(counts, aggregate.RecentCount.Compare)
	return counts, err
}
