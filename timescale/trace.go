package timescale

import (
	"context"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
)

// tenantsSQL hops from tenant to tenant through the key of click_minutes; every
// stored event has a minute count.
const tenantsSQL = `
WITH RECURSIVE tenants (id) AS (
  SELECT min(tenant_id) FROM click_minutes
  UNION ALL
  SELECT (SELECT min(tenant_id) FROM click_minutes WHERE tenant_id > id) FROM tenants WHERE id IS NOT NULL)
SELECT id FROM tenants WHERE id IS NOT NULL`

const traceClicksSQL = `
SELECT ` + clickColumns + `, ingested_at,
  (SELECT e.evidence FROM click_evidence AS e
   WHERE e.tenant_id = c.tenant_id AND e.event_id = c.event_id AND e.id_time = c.id_time)
FROM clicks AS c WHERE tenant_id = $1 AND event_id = $2 ORDER BY id_time`

const traceRedeliveriesSQL = `
SELECT id_time, source_id, campaign_id, entry, received_at, gateway, boot, seq, ingested_at
FROM redeliveries WHERE tenant_id = $1 AND event_id = $2 ORDER BY received_at, gateway, boot, seq`

const traceLettersSQL = `
SELECT source_id, entry, received_at, code, field, message, raw, gateway, boot, seq, partition, rec_offset, ingested_at
FROM dead_letters WHERE tenant_id = $1 AND letter_id = $2 ORDER BY received_at, gateway, boot, seq`

// Trace implements aggregate.Reports: per tenant the clicks, then redeliveries,
// then dead letters.
func (s *Store) Trace(ctx context.Context, tenantID string, id click.ID) ([]aggregate.TraceRow, error) {
	var out []aggregate.TraceRow
	err := s.snapshot(ctx, "trace of "+id.String(), func(t pgx.Tx) error {
		tenants, err := traceTenants(ctx, t, tenantID)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			for _, read := range [...]struct {
				sql string
				row func(pgx.Rows, string, click.ID) (aggregate.TraceRow, error)
			}{{traceClicksSQL, clickRow}, {traceRedeliveriesSQL, redeliveryRow}, {traceLettersSQL, letterRow}} {
				rows, err := t.Query(ctx, read.sql, tenant, [16]byte(id))
				if err != nil {
					return err
				}
				if err := each(rows, func(r pgx.Rows) error {
					row, err := read.row(r, tenant, id)
					out = append(out, row)
					return err
				}); err != nil {
					return err
				}
			}
		}
		for i := range out {
			if err := traceLater(ctx, t, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

const traceRevisionsSQL = `
SELECT revision, source_id, hour, at, from_state, state, reasons, score, vector_version, vector, lists_hash, policy_hash,
  model_hash, model_slot, cause, decision, who, why
FROM verdict_revisions WHERE tenant_id = $1 AND event_id = $2 AND id_time = $3 ORDER BY revision`

const traceAdjustmentsSQL = `
SELECT ` + adjustmentColumns + ` FROM adjustments
WHERE tenant_id = $1 AND event_id = $2 AND id_time = $3 ORDER BY revision`

// traceLater adds what was said of a click after it was stored.
func traceLater(ctx context.Context, t pgx.Tx, row *aggregate.TraceRow) error {
	if row.Click == nil {
		return nil
	}
	key := aggregate.KeyOf(row.Click)
	rows, err := t.Query(ctx, traceRevisionsSQL, key.TenantID, [16]byte(key.EventID), micros(key.IDTime))
	if err != nil {
		return err
	}
	if err := each(rows, func(r pgx.Rows) error {
		x := aggregate.Revision{EventKey: key, Unit: aggregate.Unit{TenantID: key.TenantID}}
		v := &x.Verdict
		var vector []byte
		err := r.Scan(&x.Number, &x.Unit.SourceID, (*micros)(&x.Unit.Hour), (*micros)(&x.At), &x.From, &v.State, (*bits64)(&v.Reasons), &v.Score,
			(*bits32)(&v.VectorVersion), &vector, (*bits64)(&v.ListsHash), (*bits64)(&v.PolicyHash), (*bits64)(&v.ModelHash), &v.ModelSlot,
			&x.Cause, &x.Decision, &x.Who, &x.Why)
		unpackVector(vector, &v.Vector)
		row.Revisions = append(row.Revisions, x)
		return err
	}); err != nil {
		return err
	}
	if rows, err = t.Query(ctx, traceAdjustmentsSQL, key.TenantID, [16]byte(key.EventID), micros(key.IDTime)); err != nil {
		return err
	}
	row.Adjustments, err = readAdjustments(rows)
	return err
}

func traceTenants(ctx context.Context, t pgx.Tx, tenantID string) ([]string, error) {
	if tenantID != "" {
		return []string{tenantID}, nil
	}
	rows, err := t.Query(ctx, tenantsSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func clickRow(r pgx.Rows, _ string, _ click.ID) (row aggregate.TraceRow, err error) {
	s := newClickScan()
	err = r.Scan(append(s.targets(), (*micros)(&row.IngestedAt), &s.row.Evidence)...)
	c := s.finish()
	row.What, row.Click, row.Partition, row.Offset = "click", c.Click, c.Partition, c.Offset
	return row, err
}

func redeliveryRow(r pgx.Rows, tenant string, id click.ID) (row aggregate.TraceRow, err error) {
	x := aggregate.RedeliveryRow{EventKey: aggregate.EventKey{TenantID: tenant, EventID: id}}
	err = r.Scan((*micros)(&x.IDTime), &x.SourceID, &x.CampaignID, &x.Entry, (*micros)(&x.ReceivedAt),
		&x.Ingest.Gateway, (*bits64)(&x.Ingest.Boot), (*bits64)(&x.Ingest.Seq), (*micros)(&row.IngestedAt))
	row.What, row.Redelivery, row.Partition, row.Offset = "redelivery", &x, -1, -1
	return row, err
}

func letterRow(r pgx.Rows, tenant string, id click.ID) (row aggregate.TraceRow, err error) {
	d := click.DeadLetter{TenantID: tenant, LetterID: id}
	err = r.Scan(&d.SourceID, &d.Entry, (*micros)(&d.ReceivedAt), &d.Code, &d.Field, &d.Message, &d.Raw,
		&d.Ingest.Gateway, (*bits64)(&d.Ingest.Boot), (*bits64)(&d.Ingest.Seq), &row.Partition, &row.Offset, (*micros)(&row.IngestedAt))
	row.What, row.DeadLetter = "dead letter", &d
	return row, err
}
