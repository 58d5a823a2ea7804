package timescale

import (
	"context"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// Redeliveries, dead letters and poison are few, so they go as arrays: that is
// one statement, where staging takes three and writes to the catalogs. Rows go in
// in key order against deadlocks; n settles which of two equal keys comes first.

const insertRedeliveriesSQL = `
INSERT INTO redeliveries (tenant_id, gateway, boot, seq, event_id, id_time, source_id, campaign_id, entry, received_at)
SELECT tenant_id, gateway, boot, seq, event_id, id_time, source_id, campaign_id, entry, received_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::uuid[], $6::timestamptz[], $7::text[], $8::text[],
  $9::smallint[], $10::timestamptz[]) WITH ORDINALITY
  AS r (tenant_id, gateway, boot, seq, event_id, id_time, source_id, campaign_id, entry, received_at, n)
ORDER BY tenant_id COLLATE "C", gateway COLLATE "C", boot, seq, n
ON CONFLICT (tenant_id, gateway, boot, seq) DO NOTHING RETURNING tenant_id, gateway, boot, seq`

// InsertRedeliveries implements aggregate.Tx.
func (t *tx) InsertRedeliveries(ctx context.Context, rows []aggregate.RedeliveryRow) ([]bool, error) {
	type row = aggregate.RedeliveryRow
	keys := column(rows, func(r *row) copyKey { return copyKey{r.TenantID, r.Ingest} })
	tenants, events, times := keyColumns(rows, func(r *row) *aggregate.EventKey { return &r.EventKey })
	gateways, boots, seqs := copyColumns(keys)
	return t.insertCopies(ctx, "redeliveries", insertRedeliveriesSQL, keys,
		tenants, gateways, boots, seqs, events, times,
		column(rows, func(r *row) string { return r.SourceID }),
		column(rows, func(r *row) string { return r.CampaignID }),
		column(rows, func(r *row) int16 { return int16(r.Entry) }),
		column(rows, func(r *row) micros { return micros(r.ReceivedAt) }))
}

const insertLettersSQL = `
INSERT INTO dead_letters (tenant_id, gateway, boot, seq, letter_id, source_id, entry, received_at, code, field,
  message, raw, partition, rec_offset)
SELECT tenant_id, gateway, boot, seq, letter_id, source_id, entry, received_at, code, field, message,
  coalesce(raw, ''), partition, rec_offset
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[], $7::smallint[],
  $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::integer[], $14::bigint[]) WITH ORDINALITY
  AS r (tenant_id, gateway, boot, seq, letter_id, source_id, entry, received_at, code, field, message, raw,
    partition, rec_offset, n)
ORDER BY tenant_id COLLATE "C", gateway COLLATE "C", boot, seq, n
ON CONFLICT (tenant_id, gateway, boot, seq) DO NOTHING RETURNING tenant_id, gateway, boot, seq`

// InsertDeadLetters implements aggregate.Tx.
func (t *tx) InsertDeadLetters(ctx context.Context, rows []aggregate.DeadLetterRow) ([]bool, error) {
	type row = aggregate.DeadLetterRow
	text := func(f func(*row) string) []string { return column(rows, f) }
	keys := column(rows, func(r *row) copyKey { return copyKey{r.TenantID, r.Ingest} })
	gateways, boots, seqs := copyColumns(keys)
	return t.insertCopies(ctx, "dead letters", insertLettersSQL, keys,
		text(func(r *row) string { return r.TenantID }), gateways, boots, seqs,
		column(rows, func(r *row) [16]byte { return r.LetterID }),
		text(func(r *row) string { return r.SourceID }),
		column(rows, func(r *row) int16 { return int16(r.Entry) }),
		column(rows, func(r *row) micros { return micros(r.ReceivedAt) }),
		text(func(r *row) string { return r.Code }),
		text(func(r *row) string { return r.Field }),
		text(func(r *row) string { return r.Message }),
		column(rows, func(r *row) []byte { return r.Raw }),
		column(rows, func(r *row) int32 { return r.Partition }),
		column(rows, func(r *row) int64 { return r.Offset }))
}

// copyKey is the unique key of redeliveries and dead letters.
type copyKey struct {
	tenant string
	id     click.IngestID
}

func copyColumns(keys []copyKey) (gateways []string, boots, seqs []int64) {
	return column(keys, func(k *copyKey) string { return k.id.Gateway }),
		column(keys, func(k *copyKey) int64 { return int64(k.id.Boot) }),
		column(keys, func(k *copyKey) int64 { return int64(k.id.Seq) })
}

// insertCopies runs one of the inserts above and reports which keys were new.
func (t *tx) insertCopies(ctx context.Context, what, sql string, keys []copyKey, args ...any) ([]bool, error) {
	got := make([]copyKey, 0, len(keys))
	err := t.query(ctx, what, sql, func(r pgx.Rows) error {
		var k copyKey
		err := r.Scan(&k.tenant, &k.id.Gateway, (*bits64)(&k.id.Boot), (*bits64)(&k.id.Seq))
		got = append(got, k)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	return inserted(func(i int) copyKey { return keys[i] }, len(keys), got), nil
}

const insertPoisonSQL = `
INSERT INTO poison_records (cluster_id, topic_id, partition, rec_offset, topic, kind, class, reason, key, value,
  tenant_id, source_id, event_id, entry, received_at, gateway, boot, seq)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::integer[], $4::bigint[], $5::text[], $6::bytea[], $7::text[], $8::text[],
  $9::bytea[], $10::bytea[], $11::text[], $12::text[], $13::uuid[], $14::smallint[], $15::timestamptz[], $16::text[],
  $17::bigint[], $18::bigint[])
ON CONFLICT (cluster_id, topic_id, partition, rec_offset) DO NOTHING`

// InsertPoison implements aggregate.Tx.
func (t *tx) InsertPoison(ctx context.Context, rows []aggregate.PoisonRow) error {
	type row = aggregate.PoisonRow
	origins := column(rows, func(r *row) aggregate.Origin {
		if !r.Origin.Known() {
			return aggregate.Origin{}
		}
		return r.Origin
	})
	type origin = aggregate.Origin
	_, err := t.exec(ctx, "poison records", insertPoisonSQL,
		column(rows, func(r *row) string { return r.Partition.ClusterID }),
		column(rows, func(r *row) [16]byte { return r.Partition.TopicID }),
		column(rows, func(r *row) int32 { return r.Partition.Number }),
		column(rows, func(r *row) int64 { return r.Offset }),
		column(rows, func(r *row) string { return r.Partition.Topic }),
		column(rows, func(r *row) []byte { return []byte(r.Kind) }),
		column(rows, func(r *row) string { return r.Class }),
		column(rows, func(r *row) string { return r.Reason }),
		column(rows, func(r *row) []byte { return r.Key }),
		column(rows, func(r *row) []byte { return r.Value }),
		column(origins, func(o *origin) string { return o.TenantID }),
		column(origins, func(o *origin) string { return o.SourceID }),
		column(origins, func(o *origin) [16]byte { return o.ID }),
		column(origins, func(o *origin) int16 { return int16(o.Entry) }),
		column(origins, func(o *origin) micros { return micros(o.ReceivedAt) }),
		column(origins, func(o *origin) string { return o.Ingest.Gateway }),
		column(origins, func(o *origin) int64 { return int64(o.Ingest.Boot) }),
		column(origins, func(o *origin) int64 { return int64(o.Ingest.Seq) }))
	return err
}
