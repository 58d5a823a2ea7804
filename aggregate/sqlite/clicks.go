package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// rowsAtOnce is how many rows one statement inserts: more save little.
const rowsAtOnce = 50

// many repeats the values of an insert of one row, which end it but for tail.
func many(insert string, columns int, tail string) string {
	row := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return insert + " VALUES " + row + strings.Repeat(", "+row, rowsAtOnce-1) + tail
}

const insertEvidenceSQL = `
INSERT INTO click_evidence (tenant_id, event_id, id_time, received_at, evidence) VALUES (?, ?, ?, ?, ?)`

var (
	insertClicksSQL    = many("INSERT INTO clicks ("+clickColumns+")", clickCount, " ON CONFLICT DO NOTHING")
	insertEvidencesSQL = many("INSERT INTO click_evidence (tenant_id, event_id, id_time, received_at, evidence)", 5, "")
	insertedBetweenSQL = "SELECT tenant_id, event_id, id_time FROM clicks WHERE rowid > ? AND rowid <= ?"
)

// InsertClicks implements aggregate.Tx.
func (t *tx) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	inserted := make([]bool, len(rows))
	n := 0
	for ; n+rowsAtOnce <= len(rows); n += rowsAtOnce {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.insertChunk(rows[n:n+rowsAtOnce], n, inserted[n:n+rowsAtOnce]); err != nil {
			return nil, err
		}
	}
	args := make([]any, 0, clickCount)
	for i := n; i < len(rows); i++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		args = clickArgs(args[:0], &rows[i], t.now)
		n, err := t.insert("clicks", i, insertClickSQL, args)
		if err != nil {
			return nil, err
		}
		inserted[i] = n == 1
	}
	return inserted, t.insertEvidence(ctx, rows, inserted)
}

// insertChunk inserts rowsAtOnce rows, of which the first is the one at place of a
// batch, and notes which were new.
func (t *tx) insertChunk(rows []aggregate.ClickRow, place int, inserted []bool) error {
	args := make([]any, 0, rowsAtOnce*clickCount)
	for i := range rows {
		args = clickArgs(args, &rows[i], t.now)
		if err := checkText("clicks", place+i, args[i*clickCount:]); err != nil {
			return err
		}
	}
	res, err := t.result("clicks", insertClicksSQL, args...)
	if err != nil {
		return fmt.Errorf("rows %d to %d: %w", place, place+len(rows)-1, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == int64(len(rows)) {
		for i := range inserted {
			inserted[i] = true
		}
		return nil
	}
	last, err := res.LastInsertId()
	if err != nil || n == 0 {
		return err
	}
	return t.tellInserted(rows, last-n, last, inserted)
}

// tellInserted notes which of rows were inserted: new rows have row ids one behind the
// other, those behind after, up to last.
func (t *tx) tellInserted(rows []aggregate.ClickRow, after, last int64, inserted []bool) error {
	fresh := make(map[aggregate.EventKey]bool, len(rows))
	err := t.query("inserted clicks", insertedBetweenSQL, func(r *sql.Rows) error {
		var k aggregate.EventKey
		var id []byte
		err := r.Scan(&k.TenantID, &id, &k.IDTime)
		copy(k.EventID[:], id)
		fresh[k] = true
		return err
	}, after, last)
	for i := range rows {
		k := aggregate.KeyOf(rows[i].Click)
		inserted[i] = fresh[k]
		delete(fresh, k) // a second row of one key is a copy
	}
	return err
}

// insertEvidence keeps the sealed part of the clicks that are new; so it is new too.
func (t *tx) insertEvidence(ctx context.Context, rows []aggregate.ClickRow, inserted []bool) error {
	args := make([]any, 0, 5*rowsAtOnce)
	for i := range rows {
		r := &rows[i]
		if !inserted[i] || len(r.Evidence) == 0 {
			continue
		}
		if args = append(args, r.TenantID, r.EventID[:], r.IDTime, r.ReceivedAt, r.Evidence); len(args) < 5*rowsAtOnce {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := t.exec("click evidence", insertEvidencesSQL, args...); err != nil {
			return err
		}
		args = args[:0]
	}
	for ; len(args) > 0; args = args[5:] {
		if _, err := t.exec("click evidence", insertEvidenceSQL, args[:5]...); err != nil {
			return err
		}
	}
	return nil
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
