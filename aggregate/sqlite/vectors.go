package sqlite

import (
	"context"
	"database/sql"
	"math"

	"clickgate/aggregate"
)

const vectorsSQL = `
SELECT tenant_id, event_id, id_time, vector, model_hash FROM clicks
WHERE vector_version = ?1 AND event_time >= ?2 AND event_time < ?3 AND (?4 = '' OR tenant_id = ?4)
  AND ?5 & (1 << state) = 0`

// Vectors implements aggregate.VectorReader.
func (s *Store) Vectors(ctx context.Context, q aggregate.VectorQuery, f func(*aggregate.VectorRow) error) error {
	to, without := q.To, 0
	if to == 0 {
		to = math.MaxInt64
	}
	for _, state := range q.Without {
		without |= 1 << state
	}
	return s.snapshot(ctx, "vectors", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, vectorsSQL, q.Version, q.From, to, q.TenantID, without)
		if err != nil {
			return err
		}
		row, model := aggregate.VectorRow{Version: q.Version}, int64(0)
		var id, vector sql.RawBytes
		return each(rows, func(r *sql.Rows) error {
			if err := r.Scan(&row.TenantID, &id, &row.IDTime, &vector, &model); err != nil {
				return err
			}
			row.ModelHash = uint64(model)
			copy(row.EventID[:], id)
			unpackVector(vector, &row.Vector)
			return f(&row)
		})
	})
}
