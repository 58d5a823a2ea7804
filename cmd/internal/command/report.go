package command

import (
	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
)

type reportGroup struct {
	Billing     billingCmd     `cmd:"" help:"Clicks by verdict and what they cost, per advertiser, campaign and hour."`
	Statement   statementCmd   `cmd:"" help:"What a month costs: closed hours, adjustments, what is still open."`
	Invalid     invalidCmd     `cmd:"" help:"What was kept out of the bill and why: gross, net of GIVT, total net, decision rate, reasons."`
	Conversions conversionsCmd `cmd:"" help:"What came of valid clicks, per publisher and campaign: conversions, how long after the click, what is strange."`
	Reconcile   reconcileCmd   `cmd:"" help:"Compare what gateways took with what is stored; exit status 1 when it does not add up."`
}

// selection is whose clicks a report is about.
type selection struct {
	Tenant     string `help:"Only this tenant." placeholder:"ID"`
	Advertiser string `help:"Only this advertiser." placeholder:"ID"`
	Campaign   string `help:"Only this campaign." placeholder:"ID"`
}

// within returns the query of the selection for hours, Unix microseconds, 0 for open.
func (c *selection) within(from, to int64) aggregate.BillingQuery {
	return aggregate.BillingQuery{TenantID: c.Tenant, AdvertiserID: c.Advertiser, CampaignID: c.Campaign, From: from, To: to}
}

type billingCmd struct {
	selection
	period
	output
}

func (c *billingCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		rows, err := r.Billing(s.ctx, c.within(from, to))
		if err != nil {
			return err
		}
		return report.Billing(s.Stdout, rows, c.format())
	})
}

type statementCmd struct {
	Month string `required:"" help:"Month of the clicks, UTC: 2026-11." placeholder:"YYYY-MM"`
	selection
	Adjustments bool `help:"The adjustments alone."`
	output
}

func (c *statementCmd) Run(s *session) error {
	month, err := parseMonth(c.Month)
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		data, err := r.Statement(s.ctx, c.within(month, aggregate.NextMonth(month)))
		if err != nil {
			return err
		}
		if c.Adjustments {
			return report.Adjustments(s.Stdout, data.Adjustments, c.format())
		}
		statement, err := aggregate.MakeStatement(&data)
		if err != nil {
			return err
		}
		return report.Statement(s.Stdout, month, statement, c.format())
	})
}

type invalidCmd struct {
	selection
	period
	output
}

func (c *invalidCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	q := c.within(from, to)
	return s.withReports(func(r reader) error {
		rows, err := r.Billing(s.ctx, q)
		if err != nil {
			return err
		}
		invalid, err := r.Invalid(s.ctx, q)
		if err != nil {
			return err
		}
		return report.Invalid(s.Stdout, &report.InvalidReport{Rows: rows, Invalid: invalid}, c.format())
	})
}

type conversionsCmd struct {
	selection
	period
	output
}

// Run reports conversions of the clicks of closed hours in the period.
func (c *conversionsCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		rows, err := aggregate.Conversions(s.ctx, r, c.within(from, to))
		if err != nil {
			return err
		}
		return report.Conversions(s.Stdout, rows, c.format())
	})
}

type reconcileCmd struct {
	Tenant string `help:"Only the hours of this tenant." placeholder:"ID"`
	period
	output
}

func (c *reconcileCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		account, err := aggregate.Books(s.ctx, r, aggregate.LedgerQuery{TenantID: c.Tenant, From: from, To: to})
		if err != nil {
			return err
		}
		if err := report.Reconciliation(s.Stdout, account, c.format()); err != nil {
			return err
		}
		if account.Broken {
			return negative(nil)
		}
		return nil
	})
}
