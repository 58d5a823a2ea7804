package timescale

import (
	"context"
	"encoding/binary"
	"math"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

const vectorsSQL = `
SELECT tenant_id, event_id, id_time, vector, model_hash FROM clicks
WHERE vector_version = $1 AND event_time >= $2 AND event_time < $3 AND ($4 = '' OR tenant_id = $4)
  AND $5::integer & (1 << state::integer) = 0`

// Vectors implements aggregate.VectorReader.
func (s *Store) Vectors(ctx context.Context, q aggregate.VectorQuery, f func(*aggregate.VectorRow) error) error {
	without := int32(0)
	for _, state := range q.Without {
		without |= 1 << state
	}
	from, to := span(q.From, q.To)
	return s.snapshot(ctx, "vectors", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, vectorsSQL, int32(q.Version), from, to, q.TenantID, without)
		if err != nil {
			return err
		}
		row := aggregate.VectorRow{Version: q.Version}
		var vector []byte
		return each(rows, func(r pgx.Rows) error {
			if err := r.Scan(&row.TenantID, (*[16]byte)(&row.EventID), (*micros)(&row.IDTime), &vector, (*bits64)(&row.ModelHash)); err != nil {
				return err
			}
			for i := range row.Vector {
				row.Vector[i] = 0
				if 4*i+4 <= len(vector) {
					row.Vector[i] = math.Float32frombits(binary.LittleEndian.Uint32(vector[4*i:]))
				}
			}
			return f(&row)
		})
	})
}
