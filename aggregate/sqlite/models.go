package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

var _ aggregate.Models = (*Store)(nil)

const (
	modelBookSQL = `SELECT version, live, shadow, previous, live_since, shadow_since, trained_at FROM model_book`

	modelsSQL = `SELECT hash, at, refused, retired_at FROM models ORDER BY at DESC, hash`
)

// ModelBook implements aggregate.Models.
func (s *Store) ModelBook(ctx context.Context) (b aggregate.ModelBook, err error) {
	err = s.snapshot(ctx, "models", func(t *sql.Tx) error {
		var live, shadow, previous int64
		if err := t.QueryRowContext(ctx, modelBookSQL).Scan(&b.Version, &live, &shadow, &previous, &b.LiveSince, &b.ShadowSince, &b.TrainedAt); err != nil {
			return err
		}
		b.Live, b.Shadow, b.Previous = uint64(live), uint64(shadow), uint64(previous)
		rows, err := t.QueryContext(ctx, modelsSQL)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var m aggregate.ModelEntry
			var hash int64
			err := r.Scan(&hash, &m.At, &m.Refused, &m.RetiredAt)
			m.Hash = uint64(hash)
			b.Models = append(b.Models, m)
			return err
		})
	})
	return b, err
}

// ModelManifest implements aggregate.Models.
func (s *Store) ModelManifest(ctx context.Context, hash uint64) (manifest []byte, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT manifest FROM models WHERE hash = ?", int64(hash)).Scan(&manifest)
	if errors.Is(err, sql.ErrNoRows) {
		err = aggregate.ErrNoModel
	}
	if err != nil {
		return nil, fmt.Errorf("model %016x: %w", hash, err)
	}
	return manifest, nil
}

// ModelFile implements aggregate.Models.
func (s *Store) ModelFile(ctx context.Context, hash uint64) (file []byte, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT file FROM models WHERE hash = ?", int64(hash)).Scan(&file)
	switch {
	case errors.Is(err, sql.ErrNoRows):
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
UPDATE model_book SET version = version + 1, live = ?3, shadow = ?4, previous = ?5, live_since = ?6, shadow_since = ?7, trained_at = ?8
WHERE version = ?1 AND (?2 = 0 OR fence = ?2)`

	addModelSQL = `INSERT INTO models (hash, at, refused, manifest, file) VALUES (?, ?, ?, ?, ?) ON CONFLICT (hash) DO NOTHING`

	namedModelSQL = `
SELECT EXISTS (SELECT 1 FROM closed_units WHERE model_hash = ?1) OR EXISTS (SELECT 1 FROM verdict_revisions WHERE model_hash = ?1)
  OR EXISTS (SELECT 1 FROM clicks WHERE model_hash = ?1)`
)

// ChangeModels implements aggregate.Models.
func (s *Store) ChangeModels(ctx context.Context, c *aggregate.ModelChange) error {
	return s.write(ctx, func(t *tx) error {
		n, err := t.exec("models", changeBookSQL, c.Version, c.Fence, int64(c.Live), int64(c.Shadow), int64(c.Previous), c.LiveSince, c.ShadowSince, c.TrainedAt)
		if err != nil {
			return err
		}
		if n == 0 {
			return aggregate.ErrModelsChanged
		}
		if m := c.Add; m != nil {
			if _, err := t.exec("model", addModelSQL, int64(m.Hash), m.At, m.Refused, string(m.Manifest), m.File); err != nil {
				return err
			}
		}
		if c.Forget != 0 {
			if err := t.forgetModel(c); err != nil {
				return fmt.Errorf("model %016x: %w", c.Forget, err)
			}
		}
		return t.writeAudit(&c.Entry)
	})
}

func (t *tx) forgetModel(c *aggregate.ModelChange) error {
	named := false
	if err := t.query("clicks of a model", namedModelSQL, func(r *sql.Rows) error { return r.Scan(&named) }, int64(c.Forget)); err != nil {
		return err
	}
	if named {
		return aggregate.ErrModelNamed
	}
	n, err := t.exec("model", "UPDATE models SET file = NULL, retired_at = ?2 WHERE hash = ?1 AND file IS NOT NULL", int64(c.Forget), c.Entry.At)
	if err == nil && n == 0 {
		return aggregate.ErrNoModel
	}
	return err
}

const leaseTrainingSQL = `
UPDATE model_book SET owner = ?1, fence = fence + 1, until = ?3 WHERE owner = ?1 OR until <= ?2 RETURNING fence`

// LeaseTraining implements aggregate.Models.
func (s *Store) LeaseTraining(ctx context.Context, owner string, now time.Time, ttl time.Duration) (fence int64, err error) {
	err = s.write(ctx, func(t *tx) error {
		fence = 0
		return t.query("training lease", leaseTrainingSQL, func(r *sql.Rows) error { return r.Scan(&fence) },
			owner, now.UnixMicro(), now.Add(ttl).UnixMicro())
	})
	if err == nil && fence == 0 {
		err = aggregate.ErrTraining
	}
	return fence, err
}

// trainingSQL: 9 is valid and 5 is sivt.
const trainingSQL = `
SELECT tenant_id, event_id, id_time, source_id, event_time, last, publisher_id, ip_prefix, agent_family, vector FROM (
  SELECT c.*, coalesce((SELECT v.state FROM verdict_revisions AS v
    WHERE v.tenant_id = c.tenant_id AND v.event_id = c.event_id AND v.id_time = c.id_time
    ORDER BY v.revision DESC LIMIT 1), c.state) AS last
  FROM closed_units AS u
  JOIN clicks AS c ON c.tenant_id = u.tenant_id AND c.source_id = u.source_id
    AND c.event_time >= u.hour AND c.event_time < u.hour + 3600000000
  WHERE u.hour >= ?1 AND u.hour < ?2 AND c.vector_version = ?3)
WHERE last = 9 AND state = 9 OR last = 5`

// TrainingClicks implements aggregate.Models.
func (s *Store) TrainingClicks(ctx context.Context, q aggregate.TrainingQuery, f func(*aggregate.TrainingClick) error) error {
	var row aggregate.TrainingClick
	var id, vector sql.RawBytes
	return s.read(ctx, "training clicks", trainingSQL, func(r *sql.Rows) error {
		var state int64
		if err := r.Scan(&row.TenantID, &id, &row.IDTime, &row.SourceID, &row.EventTime, &state, &row.PublisherID, &row.IPPrefix, &row.AgentFamily, &vector); err != nil {
			return err
		}
		copy(row.EventID[:], id)
		row.State = click.State(state)
		unpackVector(vector, &row.Vector)
		return f(&row)
	}, q.From, q.To, q.Version)
}
