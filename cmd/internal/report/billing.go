package report

import (
	"fmt"
	"io"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// states is the order of verdict columns: what is not billed, then what is.
var states = [...]click.State{
	click.Test, click.GIVT, click.SIVT, click.Undecidable, click.Suspect, click.Duplicate,
	click.Redelivered, click.Malformed, click.Unscored, click.Valid,
}

// Billing writes billing rows. The table and JSON end with a total per currency;
// CSV holds the rows alone, so that a spreadsheet's sum counts nothing twice. A
// sum beyond 64 bits is an error that names the row, and nothing is written.
//
// Received is the sum of the verdict columns: redelivered and malformed stand in
// the hour of receipt, the others in the hour of the click.
func Billing(w io.Writer, rows []aggregate.BillingRow, format Format) error {
	totals, err := sumBilling(rows)
	if err != nil {
		return err
	}
	switch format {
	case Table:
		return billingTable(w, rows, totals)
	case CSV:
		g := billingGrid()
		for i := range rows {
			g.add(billingCells(&rows[i], status(&rows[i]))...)
		}
		return g.writeCSV(w)
	case JSON:
		return billingJSON(w, rows, totals)
	}
	return unknown(format)
}

func billingTable(w io.Writer, rows, totals []aggregate.BillingRow) error {
	g := billingGrid()
	for i := range rows {
		g.add(billingCells(&rows[i], status(&rows[i]))...)
	}
	for i := range totals {
		cells := billingCells(&totals[i], "")
		cells[0], cells[3] = "total", ""
		g.add(cells...)
	}
	return g.write(w)
}

func billingGrid() *grid {
	columns := []string{"tenant", "advertiser", "campaign", "hour", "status", "currency", ">received"}
	for _, s := range states {
		columns = append(columns, ">"+s.String())
	}
	return newGrid(append(columns, ">cost_micros", ">cost")...)
}

func billingCells(r *aggregate.BillingRow, status string) []string {
	cells := []string{r.TenantID, r.AdvertiserID, r.CampaignID, hour(r.Hour), status, r.Currency, number(received(r))}
	for _, s := range states {
		cells = append(cells, number(r.Counts[s]))
	}
	return append(cells, number(r.CostMicros), Amount(r.CostMicros, r.Currency))
}

func status(r *aggregate.BillingRow) string {
	if r.Provisional {
		return "provisional"
	}
	return "closed"
}

// received cannot wrap: sumBilling has added the same counts.
func received(r *aggregate.BillingRow) (n int64) {
	for _, c := range r.Counts {
		n += c
	}
	return n
}

// sumBilling adds rows up per currency, in order of currencies.
func sumBilling(rows []aggregate.BillingRow) ([]aggregate.BillingRow, error) {
	byCurrency := map[string]*aggregate.BillingRow{}
	var order []string
	for i := range rows {
		r := &rows[i]
		t := byCurrency[r.Currency]
		if t == nil {
			t = &aggregate.BillingRow{Currency: r.Currency}
			byCurrency[r.Currency] = t
			order = append(order, r.Currency)
		}
		if what, ok := addRow(t, r); !ok {
			return nil, fmt.Errorf("billing report: %s at row %d (tenant %q, campaign %q, hour %s, currency %q) passes the limit of 64 bits; select fewer hours with --from and --to, or look at that row",
				what, i+1, r.TenantID, r.CampaignID, hour(r.Hour), r.Currency)
		}
	}
	slices.Sort(order)
	totals := make([]aggregate.BillingRow, len(order))
	for i, c := range order {
		totals[i] = *byCurrency[c]
	}
	return totals, nil
}

func addRow(t, r *aggregate.BillingRow) (what string, ok bool) {
	all := int64(0)
	for s := range t.Counts {
		if t.Counts[s], ok = addChecked(t.Counts[s], r.Counts[s]); !ok {
			return "the count of " + click.State(s).String(), false
		}
		if all, ok = addChecked(all, t.Counts[s]); !ok {
			return "the count of received", false
		}
	}
	t.CostMicros, ok = addChecked(t.CostMicros, r.CostMicros)
	return "the sum of cost micros", ok
}

// billingLine is a row in JSON.
type billingLine struct {
	Tenant     string           `json:"tenant"`
	Advertiser string           `json:"advertiser"`
	Campaign   string           `json:"campaign"`
	Hour       string           `json:"hour"`
	Status     string           `json:"status"`
	Currency   string           `json:"currency"`
	Received   int64            `json:"received"`
	Counts     map[string]int64 `json:"counts"`
	CostMicros int64            `json:"cost_micros"`
	Cost       string           `json:"cost"`
}

// billingTotal is a total in JSON.
type billingTotal struct {
	Currency   string           `json:"currency"`
	Received   int64            `json:"received"`
	Counts     map[string]int64 `json:"counts"`
	CostMicros int64            `json:"cost_micros"`
	Cost       string           `json:"cost"`
}

func billingJSON(w io.Writer, rows, totals []aggregate.BillingRow) error {
	out := struct {
		Rows   []billingLine  `json:"rows"`
		Totals []billingTotal `json:"totals"`
	}{[]billingLine{}, []billingTotal{}}
	for i := range rows {
		r := &rows[i]
		out.Rows = append(out.Rows, billingLine{
			r.TenantID, r.AdvertiserID, r.CampaignID, hour(r.Hour), status(r), r.Currency,
			received(r), countsByName(&r.Counts), r.CostMicros, Amount(r.CostMicros, r.Currency),
		})
	}
	for i := range totals {
		t := &totals[i]
		out.Totals = append(out.Totals, billingTotal{
			t.Currency, received(t), countsByName(&t.Counts), t.CostMicros, Amount(t.CostMicros, t.Currency),
		})
	}
	return WriteJSON(w, out)
}

func countsByName(counts *[click.NumStates]int64) map[string]int64 {
	m := make(map[string]int64, len(counts))
	for s, n := range counts {
		m[click.State(s).String()] = n
	}
	return m
}
