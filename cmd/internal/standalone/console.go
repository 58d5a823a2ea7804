package standalone

import (
	"io"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console"
	"clickgate/cmd/internal/report"

	"github.com/prometheus/client_golang/prometheus"
)

// startConsole serves the console from the store that the aggregator writes. What
// it offers for download is what `clickgate report billing` writes.
func (s *process) startConsole(reg prometheus.Registerer) (err error) {
	if s.cfg.Console.Listen == "" {
		return nil
	}
	s.console, err = console.New(s.cfg.Console, console.Dependencies{
		Reports:     s.aggregator.Store,
		Amount:      report.Amount,
		Verdict:     report.Verdict,
		BillingCSV:  billingAs(report.CSV),
		BillingJSON: billingAs(report.JSON),
		Now:         time.Now, Logger: s.opt.Logger, Registerer: reg,
	})
	if err != nil {
		return err
	}
	return s.console.Start()
}

func billingAs(format report.Format) func(io.Writer, []aggregate.BillingRow) error {
	return func(w io.Writer, rows []aggregate.BillingRow) error { return report.Billing(w, rows, format) }
}
