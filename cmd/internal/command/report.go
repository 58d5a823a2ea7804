package command

import (
	"clickgate/aggregate"
	"clickgate/cmd/internal/report"
)

type reportGroup struct {
	Billing   billingCmd   `cmd:"" help:"Clicks by verdict and what they cost, per advertiser, campaign and hour."`
	Statement statementCmd `cmd:"" help:"What a month costs: closed hours, adjustments, what is still open."`
	Invalid   invalidCmd   `cmd:"" help:"What was kept out of the bill and why: gross, net of GIVT, total net, decision rate, reasons."`
	Reconcile reconcileCmd `cmd:"" help:"Compare what gateways took with what is stored; exit status 1 when it does not add up."`
}

type billingCmd struct {
	Tenant     string `help:"Only this tenant." placeholder:"ID"`
	Advertiser string `help:"Only this advertiser." placeholder:"ID"`
	Campaign   string `help:"Only this campaign." placeholder:"ID"`
	period
	output
}

func (c *billingCmd) Run(s *session) error {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return err
	}
	return s.withReports(func(r reader) error {
		rows, err := r.Billing(s.ctx, aggregate.BillingQuery{
			TenantID: c.Tenant, AdvertiserID: c.Advertiser, CampaignID: c.Campaign, From: from, To: to,
		})
		if err != nil {
			return err
		}
		return report.Billing(s.Stdout, rows, c.format())
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
