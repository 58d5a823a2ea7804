package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const insertEvidenceSQL = `
INSERT INTO click_evidence (tenant_id, event_id, id_time, received_at, evidence) VALUES (?, ?, ?, ?, ?)`

// InsertClicks implements aggregate.Tx.
func (t *tx) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	inserted := make([]bool, len(rows))
	args := make([]any, 0, clickCount)
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r := &rows[i]
		args = clickArgs(args[:0], r, t.now)
		n, err := t.insert("clicks", i, insertClickSQL, args)
		if err != nil {
			return nil, err
		}
		inserted[i] = n == 1
		if n == 0 || len(r.Evidence) == 0 {
			continue
		}
		if _, err := t.exec("click evidence", insertEvidenceSQL,
			r.TenantID, r.EventID[:], r.IDTime, r.ReceivedAt, r.Evidence); err != nil {
			return nil, err
		}
	}
	return inserted, nil
}

// insert checks the text of one row and inserts it.
func (t *tx) insert(what string, row int, query string, args []any) (int64, error) {
	if err := checkText(what, row, args); err != nil {
		return 0, err
	}
	n, err := t.exec(what, query, args...)
	if err != nil {
		return 0, fmt.Errorf("row %d: %w", row, err)
	}
	return n, nil
}

const storedIngestSQL = `
SELECT gateway, boot, seq FROM clicks WHERE tenant_id = ? AND event_id = ? AND id_time = ?`

// StoredIngest implements aggregate.Tx. The zero id stands for a key that is not
// stored.
func (t *tx) StoredIngest(ctx context.Context, keys []aggregate.EventKey) ([]click.IngestID, error) {
	ids := make([]click.IngestID, len(keys))
	for i := range keys {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := t.query("stored ingest ids", storedIngestSQL, func(r *sql.Rows) error {
			var boot, seq int64
			err := r.Scan(&ids[i].Gateway, &boot, &seq)
			ids[i].Boot, ids[i].Seq = uint64(boot), uint64(seq)
			return err
		}, keys[i].TenantID, keys[i].EventID[:], keys[i].IDTime)
		if err != nil {
			return nil, err
		}
	}
	return ids, nil
}

const markDuplicateSQL = `
UPDATE clicks SET state = ?, reasons = ? WHERE tenant_id = ? AND event_id = ? AND id_time = ?`

// MarkDuplicates implements aggregate.Tx.
func (t *tx) MarkDuplicates(ctx context.Context, dups []aggregate.DuplicateOf) error {
	for i := range dups {
		if err := ctx.Err(); err != nil {
			return err
		}
		d := &dups[i]
		if _, err := t.exec("duplicates", markDuplicateSQL, int64(click.Duplicate), int64(d.Reasons),
			d.TenantID, d.EventID[:], d.IDTime); err != nil {
			return err
		}
	}
	return nil
}

const insertRedeliverySQL = `
INSERT INTO redeliveries (tenant_id, gateway, boot, seq, event_id, id_time, source_id, campaign_id,
  entry, received_at, ingested_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// InsertRedeliveries implements aggregate.Tx.
func (t *tx) InsertRedeliveries(ctx context.Context, rows []aggregate.RedeliveryRow) ([]bool, error) {
	return insertEach(ctx, t, "redeliveries", insertRedeliverySQL, rows, func(r *aggregate.RedeliveryRow) []any {
		return []any{
			r.TenantID, r.Ingest.Gateway, int64(r.Ingest.Boot), int64(r.Ingest.Seq), r.EventID[:], r.IDTime,
			r.SourceID, r.CampaignID, int64(r.Entry), r.ReceivedAt, t.now,
		}
	})
}

const insertDeadLetterSQL = `
INSERT INTO dead_letters (tenant_id, gateway, boot, seq, letter_id, source_id, entry, received_at,
  ingested_at, code, field, message, raw, partition, rec_offset)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// InsertDeadLetters implements aggregate.Tx.
func (t *tx) InsertDeadLetters(ctx context.Context, rows []aggregate.DeadLetterRow) ([]bool, error) {
	return insertEach(ctx, t, "dead letters", insertDeadLetterSQL, rows, func(r *aggregate.DeadLetterRow) []any {
		return []any{
			r.TenantID, r.Ingest.Gateway, int64(r.Ingest.Boot), int64(r.Ingest.Seq), r.LetterID[:], r.SourceID,
			int64(r.Entry), r.ReceivedAt, t.now, r.Code, r.Field, r.Message, r.Raw, int64(r.Partition), r.Offset,
		}
	})
}

const insertPoisonSQL = `
INSERT INTO poison_records (cluster_id, topic_id, partition, rec_offset, topic, kind, class, reason, key, value, ingested_at,
  tenant_id, source_id, event_id, entry, received_at, gateway, boot, seq)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`

// InsertPoison implements aggregate.Tx.
func (t *tx) InsertPoison(ctx context.Context, rows []aggregate.PoisonRow) error {
	_, err := insertEach(ctx, t, "poison records", insertPoisonSQL, rows, func(r *aggregate.PoisonRow) []any {
		p, o := &r.Partition, r.Origin
		if !o.Known() {
			o = aggregate.Origin{}
		}
		return []any{
			p.ClusterID, p.TopicID[:], int64(p.Number), r.Offset, p.Topic, []byte(r.Kind), r.Class, r.Reason, r.Key, r.Value, t.now,
			o.TenantID, o.SourceID, o.ID[:], int64(o.Entry), o.ReceivedAt, o.Ingest.Gateway, int64(o.Ingest.Boot), int64(o.Ingest.Seq),
		}
	})
	return err
}

// insertEach inserts rows one by one and reports which were new.
func insertEach[R any](ctx context.Context, t *tx, what, query string, rows []R, args func(*R) []any) ([]bool, error) {
	inserted := make([]bool, len(rows))
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := t.insert(what, i, query, args(&rows[i]))
		if err != nil {
			return nil, err
		}
		inserted[i] = n == 1
	}
	return inserted, nil
}
