package timescale

import (
	"context"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// recentSQL bounds the minutes, so that it reads the days in question alone.
const recentSQL = `
SELECT date_bin(make_interval(secs => $4), minute, 'epoch'::timestamptz), tenant_id, source_id, currency, state,
  sum(count)::bigint, sum(micros)::bigint
FROM click_minutes
WHERE minute >= $1 AND minute < $2 AND ($3 = '' OR tenant_id = $3)
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5`

// Recent implements aggregate.Recent.
func (s *Store) Recent(ctx context.Context, q aggregate.RecentQuery) (counts []aggregate.RecentCount, err error) {
	step, to := q.Bounds()
	err = s.snapshot(ctx, "recent counts", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, recentSQL, micros(q.From), micros(to), q.TenantID, float64(step)/1e6)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var c aggregate.RecentCount
			err := r.Scan((*micros)(&c.Start), &c.TenantID, &c.SourceID, &c.Currency, &c.State, &c.Count, &c.Micros)
			counts = append(counts, c)
			return err
		})
	})
	return counts, err
}
