package timescale

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var _ aggregate.Closing = (*Store)(nil)

// closingTx is one transaction on a unit that a closer holds.
type closingTx struct {
	*tx
	held  aggregate.Unit
	bills bool // the tenant's billing lock is taken
}

// Pages are read in the order of an index. Without statistics of a young day the
// planner would rather gather and sort an hour for each of them.
const orderedSQL = `SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off`

// InClosing implements aggregate.Closing. Its lock keeps other closers out, and
// leases; ingest goes on.
func (s *Store) InClosing(ctx context.Context, u aggregate.Unit, fence int64, f func(aggregate.ClosingTx) error) error {
	return s.write(ctx, func(t *tx) error {
		if _, err := t.tx.Conn().Exec(ctx, orderedSQL); err != nil {
			return fmt.Errorf("closing: %w", err)
		}
		if _, err := t.holds(ctx, u, fence, "FOR NO KEY UPDATE"); err != nil {
			return err
		}
		return f(&closingTx{tx: t, held: u})
	})
}

const (
	finishSQL = `
UPDATE units SET state = 2
WHERE tenant_id = $1 AND source_id = $2 AND hour = $3 AND state = 1 AND sealed_at IS NOT NULL`

	closedUnitSQL = `
INSERT INTO closed_units (tenant_id, source_id, hour, closed_at, clicks, hash, policy_hash, model_hash, version, forced)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

	closedHoursSQL = `
INSERT INTO closed_hours (tenant_id, source_id, hour, advertiser_id, campaign_id, ad_group_id, publisher_id,
  currency, state, count, micros)
SELECT $1, $2, $3, h.* FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::smallint[],
  $10::bigint[], $11::bigint[]) AS h`
)

// Finish implements aggregate.ClosingTx.
func (t *closingTx) Finish(ctx context.Context, c *aggregate.ClosedUnit, rows []aggregate.ClosedHour) error {
	type row = aggregate.ClosedHour
	one := []aggregate.Unit{c.Unit}
	if err := aggregate.CheckUnit(t.held, "closed units", one, func(u *aggregate.Unit) aggregate.Unit { return *u }); err != nil {
		return err
	}
	if err := aggregate.CheckUnit(t.held, "closed hours", rows, func(r *row) aggregate.Unit { return r.Unit }); err != nil {
		return err
	}
	unit := []any{c.TenantID, c.SourceID, micros(c.Hour)}
	n, err := t.exec(ctx, "finish", finishSQL, unit...)
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("finish of %v: it is not sealed, or closed already", c.Unit)
	}
	_, err = t.exec(ctx, "closed units", closedUnitSQL, append(unit[:3:3], micros(c.ClosedAt), c.Clicks, c.Hash[:],
		int64(c.PolicyHash), int64(c.ModelHash), c.Version, c.Forced)...)
	if err != nil || len(rows) == 0 {
		return err
	}
	text := func(f func(*row) string) []string { return column(rows, f) }
	_, err = t.exec(ctx, "closed hours", closedHoursSQL, append(unit[:3:3],
		text(func(r *row) string { return r.AdvertiserID }),
		text(func(r *row) string { return r.CampaignID }),
		text(func(r *row) string { return r.AdGroupID }),
		text(func(r *row) string { return r.PublisherID }),
		text(func(r *row) string { return r.Currency }),
		column(rows, func(r *row) int16 { return int16(r.State) }),
		column(rows, func(r *row) int64 { return r.Count }),
		column(rows, func(r *row) int64 { return r.Micros }))...)
	return err
}

// StoredMarks implements aggregate.Closing.
func (s *Store) StoredMarks(ctx context.Context) (marks []aggregate.StoredMark, err error) {
	err = s.snapshot(ctx, "marks", func(t pgx.Tx) error {
		marks, err = storedMarks(ctx, t)
		return err
	})
	return marks, err
}

const retireSQL = `
INSERT INTO retired_gateways AS g (gateway, at, who, why) VALUES ($1, $2, $3, $4)
ON CONFLICT (gateway) DO UPDATE SET at = excluded.at, who = excluded.who, why = excluded.why WHERE excluded.at > g.at`

// RetireGateway implements aggregate.Closing.
func (s *Store) RetireGateway(ctx context.Context, r aggregate.Retirement) error {
	return s.write(ctx, func(t *tx) error {
		_, err := t.exec(ctx, "retired gateways", retireSQL, r.Gateway, micros(r.At), r.Who, r.Why)
		return err
	})
}

// RetiredGateways implements aggregate.Closing.
func (s *Store) RetiredGateways(ctx context.Context) (out []aggregate.Retirement, err error) {
	err = s.read(ctx, "retired gateways", "SELECT gateway, at, who, why FROM retired_gateways ORDER BY gateway",
		func(r pgx.Rows) error {
			var x aggregate.Retirement
			err := r.Scan(&x.Gateway, (*micros)(&x.At), &x.Who, &x.Why)
			out = append(out, x)
			return err
		})
	return out, err
}

// Closing transactions that know the month as not issued hold the tenant's invoice
// lock shared until they end; issuing takes it alone.
const (
	shareInvoicesSQL = `SELECT pg_advisory_xact_lock_shared(hashtextextended(current_schema() || ' invoices of ' || $1, 0))`
	lockInvoicesSQL  = `SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ' invoices of ' || $1, 0))`

	issueSQL    = `INSERT INTO invoices (tenant_id, month, issued_at, issued_by) VALUES ($1, $2, $3, $4)`
	invoiceSQL  = `SELECT tenant_id, month, issued_at, issued_by FROM invoices WHERE tenant_id = $1 AND month = $2`
	invoicesSQL = `
SELECT tenant_id, month, issued_at, issued_by FROM invoices WHERE $1 = '' OR tenant_id = $1 ORDER BY tenant_id, month`
)

// IssueInvoice implements aggregate.Closing.
func (s *Store) IssueInvoice(ctx context.Context, inv aggregate.Invoice) error {
	if err := aggregate.CheckInvoice(inv); err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, "invoices", lockInvoicesSQL, inv.TenantID); err != nil {
			return err
		}
		_, err := t.exec(ctx, "invoices", issueSQL, inv.TenantID, micros(inv.Month), micros(inv.IssuedAt), inv.IssuedBy)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && pg.Code == "23505" {
			return fmt.Errorf("tenant %q: %w", inv.TenantID, aggregate.ErrInvoiceIssued)
		}
		return err
	})
}

// InvoiceOf implements aggregate.ClosingTx.
func (t *closingTx) InvoiceOf(ctx context.Context, tenantID string, hour int64) (inv aggregate.Invoice, err error) {
	if _, err := t.exec(ctx, "invoices", shareInvoicesSQL, tenantID); err != nil {
		return inv, err
	}
	err = t.query(ctx, "invoices", invoiceSQL, func(r pgx.Rows) error { return scanInvoice(r, &inv) },
		tenantID, micros(aggregate.MonthOf(hour)))
	return inv, err
}

// Invoices implements aggregate.Closing.
func (s *Store) Invoices(ctx context.Context, tenantID string) (out []aggregate.Invoice, err error) {
	err = s.read(ctx, "invoices", invoicesSQL, func(r pgx.Rows) error {
		var inv aggregate.Invoice
		err := scanInvoice(r, &inv)
		out = append(out, inv)
		return err
	}, tenantID)
	return out, err
}

func scanInvoice(r pgx.Rows, inv *aggregate.Invoice) error {
	return r.Scan(&inv.TenantID, (*micros)(&inv.Month), (*micros)(&inv.IssuedAt), &inv.IssuedBy)
}
