package sqlite

import (
	"context"
	"database/sql"
	"math"

	"clickgate/aggregate"
	"clickgate/gateway/click"
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
SELECT ` + clickColumns + `,
  (SELECT e.evidence FROM click_evidence AS e
   WHERE e.tenant_id = c.tenant_id AND e.event_id = c.event_id AND e.id_time = c.id_time)
FROM clicks AS c WHERE tenant_id = ? AND event_id = ? ORDER BY id_time`

const traceRedeliveriesSQL = `
SELECT id_time, source_id, campaign_id, entry, received_at, gateway, boot, seq, ingested_at
FROM redeliveries WHERE tenant_id = ? AND event_id = ? ORDER BY received_at, gateway, boot, seq`

const traceLettersSQL = `
SELECT source_id, entry, received_at, code, field, message, raw, gateway, boot, seq, partition, rec_offset, ingested_at
FROM dead_letters WHERE tenant_id = ? AND letter_id = ? ORDER BY received_at, gateway, boot, seq`

// Trace implements aggregate.Reports: per tenant the clicks, then redeliveries,
// then dead letters.
func (s *Store) Trace(ctx context.Context, tenantID string, id click.ID) ([]aggregate.TraceRow, error) {
	var out []aggregate.TraceRow
	err := s.snapshot(ctx, "trace of "+id.String(), func(t *sql.Tx) error {
		tenants, err := traceTenants(ctx, t, tenantID)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			for _, read := range [...]func(context.Context, *sql.Tx, string, click.ID, *[]aggregate.TraceRow) error{
				traceClicks, traceRedeliveries, traceLetters,
			} {
				if err := read(ctx, t, tenant, id, &out); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return out, err
}

func traceTenants(ctx context.Context, t *sql.Tx, tenantID string) (tenants []string, err error) {
	if tenantID != "" {
		return []string{tenantID}, nil
	}
	rows, err := t.QueryContext(ctx, tenantsSQL)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r *sql.Rows) error {
		var s string
		err := r.Scan(&s)
		tenants = append(tenants, s)
		return err
	})
	return tenants, err
}

func traceClicks(ctx context.Context, t *sql.Tx, tenant string, id click.ID, out *[]aggregate.TraceRow) error {
	rows, err := t.QueryContext(ctx, traceClicksSQL, tenant, id[:])
	if err != nil {
		return err
	}
	if err := each(rows, func(r *sql.Rows) error {
		c := new(clickScan)
		err := r.Scan(c.targets()...)
		*out = append(*out, c.row())
		return err
	}); err != nil {
		return err
	}
	for i := range *out {
		if row := &(*out)[i]; row.Click != nil && row.Click.TenantID == tenant {
			if err := traceLater(ctx, t, row); err != nil {
				return err
			}
		}
	}
	return nil
}

const traceRevisionsSQL = `
SELECT revision, source_id, hour, at, from_state, state, reasons, score, vector_version, vector, lists_hash, policy_hash,
  model_hash, model_slot, cause, decision, who, why
FROM verdict_revisions WHERE tenant_id = ? AND event_id = ? AND id_time = ? ORDER BY revision`

const traceAdjustmentsSQL = `
SELECT ` + adjustmentColumns + ` FROM adjustments
WHERE tenant_id = ? AND event_id = ? AND id_time = ? ORDER BY revision`

// traceLater adds what was said of a click after it was stored.
func traceLater(ctx context.Context, t *sql.Tx, row *aggregate.TraceRow) error {
	key := aggregate.KeyOf(row.Click)
	rows, err := t.QueryContext(ctx, traceRevisionsSQL, key.TenantID, key.EventID[:], key.IDTime)
	if err != nil {
		return err
	}
	if err := each(rows, func(r *sql.Rows) error {
		x := aggregate.Revision{EventKey: key, Unit: aggregate.Unit{TenantID: key.TenantID}}
		v := &x.Verdict
		var score sql.NullFloat64
		var reasons, lists, policy, model int64
		var vector []byte
		err := r.Scan(&x.Number, &x.Unit.SourceID, &x.Unit.Hour, &x.At, &x.From, &v.State, &reasons, &score, &v.VectorVersion, &vector,
			&lists, &policy, &model, &v.ModelSlot, &x.Cause, &x.Decision, &x.Who, &x.Why)
		if v.Score = score.Float64; !score.Valid {
			v.Score = math.NaN()
		}
		v.Reasons, v.ListsHash, v.PolicyHash, v.ModelHash = click.Reasons(reasons), uint64(lists), uint64(policy), uint64(model)
		unpackVector(vector, &v.Vector)
		row.Revisions = append(row.Revisions, x)
		return err
	}); err != nil {
		return err
	}
	if rows, err = t.QueryContext(ctx, traceAdjustmentsSQL, key.TenantID, key.EventID[:], key.IDTime); err != nil {
		return err
	}
	row.Adjustments, err = readAdjustments(rows)
	return err
}

func traceRedeliveries(ctx context.Context, t *sql.Tx, tenant string, id click.ID, out *[]aggregate.TraceRow) error {
	rows, err := t.QueryContext(ctx, traceRedeliveriesSQL, tenant, id[:])
	if err != nil {
		return err
	}
	return each(rows, func(r *sql.Rows) error {
		x := aggregate.RedeliveryRow{EventKey: aggregate.EventKey{TenantID: tenant, EventID: id}}
		var boot, seq, ingestedAt int64
		err := r.Scan(&x.IDTime, &x.SourceID, &x.CampaignID, &x.Entry, &x.ReceivedAt, &x.Ingest.Gateway, &boot, &seq, &ingestedAt)
		x.Ingest.Boot, x.Ingest.Seq = uint64(boot), uint64(seq)
		*out = append(*out, aggregate.TraceRow{What: "redelivery", Redelivery: &x, Partition: -1, Offset: -1, IngestedAt: ingestedAt})
		return err
	})
}

func traceLetters(ctx context.Context, t *sql.Tx, tenant string, id click.ID, out *[]aggregate.TraceRow) error {
	rows, err := t.QueryContext(ctx, traceLettersSQL, tenant, id[:])
	if err != nil {
		return err
	}
	return each(rows, func(r *sql.Rows) error {
		d := click.DeadLetter{TenantID: tenant, LetterID: id}
		row := aggregate.TraceRow{What: "dead letter", DeadLetter: &d}
		var boot, seq int64
		err := r.Scan(&d.SourceID, &d.Entry, &d.ReceivedAt, &d.Code, &d.Field, &d.Message, &d.Raw,
			&d.Ingest.Gateway, &boot, &seq, &row.Partition, &row.Offset, &row.IngestedAt)
		d.Ingest.Boot, d.Ingest.Seq = uint64(boot), uint64(seq)
		*out = append(*out, row)
		return err
	})
}
