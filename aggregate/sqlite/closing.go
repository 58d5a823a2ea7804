package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"clickgate/aggregate"
)

var _ aggregate.Closing = (*Store)(nil)

// closingTx is one transaction on a unit that a closer holds.
type closingTx struct {
	*tx
	held aggregate.Unit
}

// InClosing implements aggregate.Closing. It keeps ingest waiting until f is done,
// as every writer here keeps every other.
func (s *Store) InClosing(ctx context.Context, u aggregate.Unit, fence int64, f func(aggregate.ClosingTx) error) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := t.holds(u, fence); err != nil {
			return err
		}
		return f(&closingTx{t, u})
	})
}

const (
	finishSQL = `UPDATE units SET state = 2 WHERE tenant_id = ? AND source_id = ? AND hour = ? AND state = 1`

	closedUnitSQL = `
INSERT INTO closed_units (tenant_id, source_id, hour, closed_at, clicks, hash, policy_hash, model_hash, version, forced)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

	closedHourSQL = `
INSERT INTO closed_hours (tenant_id, source_id, hour, advertiser_id, campaign_id, ad_group_id, publisher_id,
  currency, state, count, micros)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
)

// Finish implements aggregate.ClosingTx.
func (t *closingTx) Finish(ctx context.Context, c *aggregate.ClosedUnit, rows []aggregate.ClosedHour) error {
	one := []aggregate.Unit{c.Unit}
	if err := aggregate.CheckUnit(t.held, "closed units", one, func(u *aggregate.Unit) aggregate.Unit { return *u }); err != nil {
		return err
	}
	if err := aggregate.CheckUnit(t.held, "closed hours", rows, func(r *aggregate.ClosedHour) aggregate.Unit { return r.Unit }); err != nil {
		return err
	}
	n, err := t.exec("finish", finishSQL, c.TenantID, c.SourceID, c.Hour)
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("finish of %v: it is not sealed, or closed already", c.Unit)
	}
	if _, err := t.insert("closed units", 0, closedUnitSQL, []any{
		c.TenantID, c.SourceID, c.Hour, c.ClosedAt, c.Clicks, c.Hash[:],
		int64(c.PolicyHash), int64(c.ModelHash), c.Version, c.Forced,
	}); err != nil {
		return err
	}
	_, err = insertEach(ctx, t.tx, "closed hours", closedHourSQL, rows, func(r *aggregate.ClosedHour) []any {
		return []any{
			r.TenantID, r.SourceID, r.Hour, r.AdvertiserID, r.CampaignID, r.AdGroupID, r.PublisherID,
			r.Currency, int64(r.State), r.Count, r.Micros,
		}
	})
	return err
}

// StoredMarks implements aggregate.Closing.
func (s *Store) StoredMarks(ctx context.Context) (marks []aggregate.StoredMark, err error) {
	err = s.snapshot(ctx, "marks", func(t *sql.Tx) error {
		marks, err = storedMarks(ctx, t)
		return err
	})
	return marks, err
}

const retireSQL = `
INSERT INTO retired_gateways (gateway, at, who, why) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET at = excluded.at, who = excluded.who, why = excluded.why WHERE excluded.at > at`

// RetireGateway implements aggregate.Closing.
func (s *Store) RetireGateway(ctx context.Context, r aggregate.Retirement) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.insert("retired gateways", 0, retireSQL, []any{r.Gateway, r.At, r.Who, r.Why})
		return err
	})
}

// RetiredGateways implements aggregate.Closing.
func (s *Store) RetiredGateways(ctx context.Context) (out []aggregate.Retirement, err error) {
	err = s.read(ctx, "retired gateways", "SELECT gateway, at, who, why FROM retired_gateways ORDER BY gateway",
		func(r *sql.Rows) error {
			var x aggregate.Retirement
			err := r.Scan(&x.Gateway, &x.At, &x.Who, &x.Why)
			out = append(out, x)
			return err
		})
	return out, err
}

const (
	issueSQL    = `INSERT INTO invoices (tenant_id, month, issued_at, issued_by) VALUES (?, ?, ?, ?)`
	invoiceSQL  = `SELECT tenant_id, month, issued_at, issued_by FROM invoices WHERE tenant_id = ? AND month = ?`
	invoicesSQL = `
SELECT tenant_id, month, issued_at, issued_by FROM invoices
WHERE ?1 = '' OR tenant_id = ?1 ORDER BY tenant_id, month`
)

// IssueInvoice implements aggregate.Closing.
func (s *Store) IssueInvoice(ctx context.Context, inv aggregate.Invoice) error {
	if err := aggregate.CheckInvoice(inv); err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		have, err := t.invoice(inv.TenantID, inv.Month)
		switch {
		case err != nil:
			return err
		case have != aggregate.Invoice{}:
			return fmt.Errorf("tenant %q, by %q: %w", inv.TenantID, have.IssuedBy, aggregate.ErrInvoiceIssued)
		}
		_, err = t.insert("invoices", 0, issueSQL, []any{inv.TenantID, inv.Month, inv.IssuedAt, inv.IssuedBy})
		return err
	})
}

// InvoiceOf implements aggregate.ClosingTx.
func (t *closingTx) InvoiceOf(ctx context.Context, tenantID string, hour int64) (aggregate.Invoice, error) {
	if err := ctx.Err(); err != nil {
		return aggregate.Invoice{}, err
	}
	return t.invoice(tenantID, aggregate.MonthOf(hour))
}

func (t *tx) invoice(tenantID string, month int64) (inv aggregate.Invoice, err error) {
	err = t.query("invoices", invoiceSQL, func(r *sql.Rows) error { return scanInvoice(r, &inv) }, tenantID, month)
	return inv, err
}

// Invoices implements aggregate.Closing.
func (s *Store) Invoices(ctx context.Context, tenantID string) (out []aggregate.Invoice, err error) {
	err = s.read(ctx, "invoices", invoicesSQL, func(r *sql.Rows) error {
		var inv aggregate.Invoice
		err := scanInvoice(r, &inv)
		out = append(out, inv)
		return err
	}, tenantID)
	return out, err
}

func scanInvoice(r *sql.Rows, inv *aggregate.Invoice) error {
	return r.Scan(&inv.TenantID, &inv.Month, &inv.IssuedAt, &inv.IssuedBy)
}
