package timescale

import (
	"context"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// Statement implements aggregate.Reports.
func (s *Store) Statement(ctx context.Context, q aggregate.BillingQuery) (aggregate.StatementData, error) {
	var d aggregate.StatementData
	err := s.snapshot(ctx, "statement", func(t pgx.Tx) (err error) {
		if d.Rows, err = billingRows(ctx, t, q); err != nil {
			return err
		}
		if d.Adjustments, err = adjustments(ctx, t, q); err != nil {
			return err
		}
		if d.Invoices, err = invoicesOf(ctx, t, q); err != nil {
			return err
		}
		from, to := wholeHours(q.From, q.To)
		return t.QueryRow(ctx, openCountSQL, from, to, q.TenantID).Scan(&d.OpenUnits)
	})
	return d, err
}

const openCountSQL = `
SELECT count(*) FROM units WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3) AND state < 2`

const adjustmentColumns = `tenant_id, event_id, id_time, revision, source_id, hour, at, advertiser_id, campaign_id,
  ad_group_id, publisher_id, currency, from_state, state, clicks, micros, cause, who, why, waived`

const adjustmentsSQL = `
SELECT ` + adjustmentColumns + ` FROM adjustments
WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3)
  AND ($4 = '' OR advertiser_id = $4) AND ($5 = '' OR campaign_id = $5)
ORDER BY at, tenant_id, event_id, id_time, revision`

func adjustments(ctx context.Context, t pgx.Tx, q aggregate.BillingQuery) ([]aggregate.Adjustment, error) {
	rows, err := t.Query(ctx, adjustmentsSQL, selected(q)...)
	if err != nil {
		return nil, err
	}
	return readAdjustments(rows)
}

func readAdjustments(rows pgx.Rows) (out []aggregate.Adjustment, err error) {
	err = each(rows, func(r pgx.Rows) error {
		var a aggregate.Adjustment
		err := r.Scan(&a.TenantID, (*[16]byte)(&a.EventID), (*micros)(&a.IDTime), &a.Revision, &a.Unit.SourceID, (*micros)(&a.Unit.Hour),
			(*micros)(&a.At), &a.AdvertiserID, &a.CampaignID, &a.AdGroupID, &a.PublisherID, &a.Currency, &a.From, &a.To,
			&a.Clicks, &a.Micros, &a.Cause, &a.Who, &a.Why, &a.Waived)
		a.Unit.TenantID = a.TenantID
		out = append(out, a)
		return err
	})
	return out, err
}

// monthInvoicesSQL selects the invoices of the months that the hours lie in.
const monthInvoicesSQL = `
SELECT tenant_id, month, issued_at, issued_by FROM invoices
WHERE month >= $1 AND month < $2 AND ($3 = '' OR tenant_id = $3) ORDER BY tenant_id, month`

func invoicesOf(ctx context.Context, t pgx.Tx, q aggregate.BillingQuery) (out []aggregate.Invoice, err error) {
	_, to := wholeHours(q.From, q.To)
	rows, err := t.Query(ctx, monthInvoicesSQL, micros(aggregate.MonthOf(q.From)), to, q.TenantID)
	if err != nil {
		return nil, err
	}
	err = each(rows, func(r pgx.Rows) error {
		var x aggregate.Invoice
		err := scanInvoice(r, &x)
		out = append(out, x)
		return err
	})
	return out, err
}

const closedUnitsSQL = `
SELECT tenant_id, source_id, hour, closed_at, clicks, hash, policy_hash, model_hash, version, forced FROM closed_units
WHERE hour >= $1 AND hour < $2 AND ($3 = '' OR tenant_id = $3) ORDER BY tenant_id, hour, source_id`

// ClosedUnits implements aggregate.Reports.
func (s *Store) ClosedUnits(ctx context.Context, q aggregate.BillingQuery) ([]aggregate.ClosedUnit, error) {
	var out []aggregate.ClosedUnit
	err := s.snapshot(ctx, "closed hours", func(t pgx.Tx) error {
		from, to := wholeHours(q.From, q.To)
		rows, err := t.Query(ctx, closedUnitsSQL, from, to, q.TenantID)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var u aggregate.ClosedUnit
			var hash []byte
			err := r.Scan(&u.TenantID, &u.SourceID, (*micros)(&u.Hour), (*micros)(&u.ClosedAt), &u.Clicks, &hash,
				(*bits64)(&u.PolicyHash), (*bits64)(&u.ModelHash), &u.Version, &u.Forced)
			copy(u.Hash[:], hash)
			out = append(out, u)
			return err
		})
	})
	return out, err
}
