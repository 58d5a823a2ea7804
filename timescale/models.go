package timescale

import (
	"context"
	"errors"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

var _ aggregate.Models = (*Store)(nil)

const (
	modelBookSQL = `SELECT version, live, shadow, previous, live_since, shadow_since, trained_at FROM model_book`

	modelsSQL = `SELECT hash, at, refused, coalesce(retired_at, to_timestamp(0)) FROM models ORDER BY at DESC, hash`
)

// ModelBook implements aggregate.Models.
func (s *Store) ModelBook(ctx context.Context) (b aggregate.ModelBook, err error) {
	err = s.snapshot(ctx, "models", func(t pgx.Tx) error {
		b = aggregate.ModelBook{}
		if err := t.QueryRow(ctx, modelBookSQL).Scan(&b.Version, (*bits64)(&b.Live), (*bits64)(&b.Shadow), (*bits64)(&b.Previous),
			(*micros)(&b.LiveSince), (*micros)(&b.ShadowSince), (*micros)(&b.TrainedAt)); err != nil {
			return err
		}
		rows, err := t.Query(ctx, modelsSQL)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var m aggregate.ModelEntry
			err := r.Scan((*bits64)(&m.Hash), (*micros)(&m.At), &m.Refused, (*micros)(&m.RetiredAt))
			b.Models = append(b.Models, m)
			return err
		})
	})
	return b, err
}

// ModelManifest implements aggregate.Models.
func (s *Store) ModelManifest(ctx context.Context, hash uint64) ([]byte, error) {
	var manifest string
	err := s.pool.QueryRow(ctx, "SELECT manifest::text FROM models WHERE hash = $1", int64(hash)).Scan(&manifest)
	if errors.Is(err, pgx.ErrNoRows) {
		err = aggregate.ErrNoModel
	}
	if err != nil {
		return nil, fmt.Errorf("model %016x: %w", hash, err)
	}
	return []byte(manifest), nil
}

// ModelFile implements aggregate.Models.
func (s *Store) ModelFile(ctx context.Context, hash uint64) (file []byte, err error) {
	err = s.pool.QueryRow(ctx, "SELECT file FROM models WHERE hash = $1", int64(hash)).Scan(&file)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("model %016x: %w", hash, aggregate.ErrNoModel)
	case err != nil:
		return nil, fmt.Errorf("model %016x: %w", hash, err)
	case file == nil:
		return nil, fmt.Errorf("model %016x: %w", hash, aggregate.ErrModelForgotten)
	}
	return file, nil
}

const (
	changeBookSQL = `
UPDATE model_book SET version = version + 1, live = $3, shadow = $4, previous = $5, live_since = $6, shadow_since = $7, trained_at = $8
WHERE version = $1 AND ($2::bigint = 0 OR fence = $2)`

	addModelSQL = `
INSERT INTO models (hash, at, refused, manifest, file) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (hash) DO NOTHING`

	namedModelSQL = `
SELECT EXISTS (SELECT FROM closed_units WHERE model_hash = $1) OR EXISTS (SELECT FROM verdict_revisions WHERE model_hash = $1)
  OR EXISTS (SELECT FROM clicks WHERE model_hash = $1)`
)

// ChangeModels implements aggregate.Models.
func (s *Store) ChangeModels(ctx context.Context, c *aggregate.ModelChange) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		tag, err := t.Exec(ctx, changeBookSQL, c.Version, c.Fence, int64(c.Live), int64(c.Shadow), int64(c.Previous),
			micros(c.LiveSince), micros(c.ShadowSince), micros(c.TrainedAt))
		if err != nil {
			return fmt.Errorf("models: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return aggregate.ErrModelsChanged
		}
		if m := c.Add; m != nil {
			if _, err := t.Exec(ctx, addModelSQL, int64(m.Hash), micros(m.At), m.Refused, string(m.Manifest), m.File); err != nil {
				return fmt.Errorf("model %016x: %w", m.Hash, err)
			}
		}
		if c.Forget != 0 {
			if err := forgetModel(ctx, t, c); err != nil {
				return fmt.Errorf("model %016x: %w", c.Forget, err)
			}
		}
		return writeAudit(ctx, t, &c.Entry)
	})
}

func forgetModel(ctx context.Context, t pgx.Tx, c *aggregate.ModelChange) error {
	var named bool
	if err := t.QueryRow(ctx, namedModelSQL, int64(c.Forget)).Scan(&named); err != nil {
		return err
	}
	if named {
		return aggregate.ErrModelNamed
	}
	tag, err := t.Exec(ctx, "UPDATE models SET file = NULL, retired_at = $2 WHERE hash = $1 AND file IS NOT NULL", int64(c.Forget), micros(c.Entry.At))
	if err == nil && tag.RowsAffected() == 0 {
		return aggregate.ErrNoModel
	}
	return err
}

const leaseTrainingSQL = `
UPDATE model_book SET owner = $1, fence = fence + 1, until = $3 WHERE owner = $1 OR until <= $2 RETURNING fence`

// LeaseTraining implements aggregate.Models.
func (s *Store) LeaseTraining(ctx context.Context, owner string, now time.Time, ttl time.Duration) (fence int64, err error) {
	err = s.pool.QueryRow(ctx, leaseTrainingSQL, owner, now, now.Add(ttl)).Scan(&fence)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, aggregate.ErrTraining
	}
	if err != nil {
		return 0, fmt.Errorf("training lease: %w", err)
	}
	return fence, nil
}

// trainingSQL: 9 is valid and 5 is sivt.
const trainingSQL = `
SELECT c.tenant_id, c.event_id, c.id_time, c.source_id, c.event_time, last.state, c.publisher_id, c.ip_prefix, c.agent_family, c.vector
FROM closed_units AS u
JOIN clicks AS c ON c.tenant_id = u.tenant_id AND c.source_id = u.source_id
  AND c.event_time >= u.hour AND c.event_time < u.hour + interval '1 hour'
CROSS JOIN LATERAL (
  SELECT coalesce((SELECT v.state FROM verdict_revisions AS v
    WHERE v.tenant_id = c.tenant_id AND v.event_id = c.event_id AND v.id_time = c.id_time
    ORDER BY v.revision DESC LIMIT 1), c.state) AS state) AS last
WHERE u.hour >= $1 AND u.hour < $2 AND c.event_time >= $1 AND c.event_time < $2 AND c.vector_version = $3
  AND (last.state = 9 AND c.state = 9 OR last.state = 5)`

// TrainingClicks implements aggregate.Models.
func (s *Store) TrainingClicks(ctx context.Context, q aggregate.TrainingQuery, f func(*aggregate.TrainingClick) error) error {
	var row aggregate.TrainingClick
	var vector []byte
	var state int16
	return s.read(ctx, "training clicks", trainingSQL, func(r pgx.Rows) error {
		if err := r.Scan(&row.TenantID, (*[16]byte)(&row.EventID), (*micros)(&row.IDTime), &row.SourceID, (*micros)(&row.EventTime), &state,
			&row.PublisherID, &row.IPPrefix, &row.AgentFamily, &vector); err != nil {
			return err
		}
		row.State, row.Vector = click.State(state), click.Vector{}
		unpackVector(vector, &row.Vector)
		return f(&row)
	}, micros(q.From), micros(q.To), int32(q.Version))
}
