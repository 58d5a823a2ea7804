package command

import (
	"errors"
	"fmt"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
)

func parseMonth(text string) (int64, error) {
	t, err := time.Parse("2006-01", text)
	if err != nil || t.Year() < 1971 {
		return 0, usage(fmt.Errorf("month %q: is no month; write it as 2026-11", text))
	}
	return t.UnixMicro(), nil
}

type invoiceGroup struct {
	Issue invoiceIssueCmd `cmd:"" help:"Freeze a month: no debits follow, credits for 60 days."`
	List  invoiceListCmd  `cmd:"" help:"Months that were issued."`
}

type invoiceIssueCmd struct {
	Tenant string `required:"" help:"Tenant that is billed." placeholder:"ID"`
	Month  string `required:"" help:"Month of the clicks, UTC: 2026-11." placeholder:"YYYY-MM"`
	output
}

// Run refuses while the month may still change without an adjustment.
func (c *invoiceIssueCmd) Run(s *session) error {
	month, err := parseMonth(c.Month)
	if err != nil {
		return err
	}
	now := s.Now().UnixMicro()
	if aggregate.NextMonth(month) > now {
		return negative(fmt.Errorf("month %s: is not over; issue it after %s", c.Month, time.UnixMicro(aggregate.NextMonth(month)).UTC().Format(time.RFC3339)))
	}
	return s.withStore(func(store aggregate.Store) error {
		data, err := store.Statement(s.ctx, aggregate.BillingQuery{TenantID: c.Tenant, From: month, To: aggregate.NextMonth(month)})
		if err != nil {
			return err
		}
		statement, err := aggregate.MakeStatement(&data)
		if err != nil {
			return err
		}
		switch {
		case data.OpenUnits > 0:
			return negative(fmt.Errorf("month %s: %d hours of sources are open; wait until they close, see `clickgate hours list`", c.Month, data.OpenUnits))
		case len(statement.Lines) == 0:
			return negative(fmt.Errorf("month %s: tenant %q has no clicks; check the tenant's id with `clickgate report billing`", c.Month, c.Tenant))
		}
		inv := aggregate.Invoice{TenantID: c.Tenant, Month: month, IssuedAt: now, IssuedBy: s.who()}
		err = store.IssueInvoice(s.ctx, inv)
		if errors.Is(err, aggregate.ErrInvoiceIssued) {
			return negative(fmt.Errorf("month %s: %w; see `clickgate invoice list`", c.Month, err))
		}
		if err != nil {
			return err
		}
		statement.Invoices = []aggregate.Invoice{inv}
		return report.Statement(s.Stdout, month, statement, c.format())
	})
}

type invoiceListCmd struct {
	Tenant string `help:"Only this tenant." placeholder:"ID"`
	output
}

func (c *invoiceListCmd) Run(s *session) error {
	return s.withReports(func(r reader) error {
		data, err := r.Statement(s.ctx, aggregate.BillingQuery{TenantID: c.Tenant})
		if err != nil {
			return err
		}
		return report.Invoices(s.Stdout, data.Invoices, c.format())
	})
}
