package report

import (
	"fmt"
	"io"

	"clickgate/aggregate"
)

// Statement writes what a month costs. The table has the lines, a total per tenant
// and currency, the adjustments and whether the month is final; CSV the lines
// alone, so that a spreadsheet's sum counts nothing twice; JSON everything.
func Statement(w io.Writer, month int64, s *aggregate.Statement, format Format) error {
	switch format {
	case Table:
		return statementTable(w, s)
	case CSV:
		g := statementGrid()
		for i := range s.Lines {
			g.add(statementCells(&s.Lines[i])...)
		}
		return g.writeCSV(w)
	case JSON:
		return statementJSON(w, month, s)
	}
	return unknown(format)
}

// Adjustments writes the adjustments of a statement alone.
func Adjustments(w io.Writer, adjustments []aggregate.Adjustment, format Format) error {
	return writeGrid(w, adjustmentGrid(adjustments), adjustmentLines(adjustments), format)
}

func statementTable(w io.Writer, s *aggregate.Statement) error {
	g := statementGrid()
	for i := range s.Lines {
		g.add(statementCells(&s.Lines[i])...)
	}
	for i := range s.Totals {
		cells := statementCells(&s.Totals[i])
		cells[1] = "total"
		g.add(cells...)
	}
	if err := g.write(w); err != nil {
		return err
	}
	if len(s.Adjustments) > 0 {
		fmt.Fprintln(w)
		if err := adjustmentGrid(s.Adjustments).write(w); err != nil {
			return err
		}
	}
	fmt.Fprintln(w)
	for _, inv := range s.Invoices {
		fmt.Fprintf(w, "tenant %s: invoice issued %s by %s\n", Visible(inv.TenantID), instant(inv.IssuedAt), Visible(inv.IssuedBy))
	}
	_, err := fmt.Fprintln(w, finality(s))
	return err
}

// finality says whether figures may still move without an adjustment.
func finality(s *aggregate.Statement) string {
	if s.OpenUnits > 0 {
		return fmt.Sprintf("not final: %d hours of sources are open; see `clickgate hours list`", s.OpenUnits)
	}
	return "every hour so far is closed: what changes in one now is an adjustment"
}

func statementGrid() *grid {
	return newGrid("tenant", "advertiser", "campaign", "currency", ">clicks", ">closed_micros", ">debit_micros", ">credit_micros",
		">due_micros", ">due", ">later_micros", ">waived_micros", ">open_clicks", ">open_micros")
}

func statementCells(l *aggregate.StatementLine) []string {
	return []string{
		l.TenantID, l.AdvertiserID, l.CampaignID, l.Currency, number(l.ClosedClicks), number(l.ClosedMicros),
		number(l.DebitMicros), number(l.CreditMicros), number(l.DueMicros), Amount(l.DueMicros, l.Currency),
		number(l.LaterMicros), number(l.WaivedMicros), number(l.OpenClicks), number(l.OpenMicros),
	}
}

func adjustmentGrid(adjustments []aggregate.Adjustment) *grid {
	g := newGrid("at", "tenant", "campaign", "hour", "event", "from", "to", ">clicks", ">micros", "currency", "cause", "who", "why", "waived")
	for i := range adjustments {
		a := &adjustments[i]
		g.add(instant(a.At), a.TenantID, a.CampaignID, hour(a.Unit.Hour), a.EventID.String(), a.From.String(), a.To.String(),
			number(a.Clicks), number(a.Micros), a.Currency, a.Cause.String(), a.Who, a.Why, a.Waived)
	}
	return g
}

type statementLine struct {
	Tenant       string `json:"tenant"`
	Advertiser   string `json:"advertiser,omitempty"`
	Campaign     string `json:"campaign,omitempty"`
	Currency     string `json:"currency"`
	Clicks       int64  `json:"clicks"`
	ClosedMicros int64  `json:"closed_micros"`
	DebitMicros  int64  `json:"debit_micros"`
	CreditMicros int64  `json:"credit_micros"`
	DueMicros    int64  `json:"due_micros"`
	Due          string `json:"due"`
	LaterMicros  int64  `json:"later_micros"`
	WaivedMicros int64  `json:"waived_micros"`
	OpenClicks   int64  `json:"open_clicks"`
	OpenMicros   int64  `json:"open_micros"`
}

type adjustmentLine struct {
	At       string `json:"at"`
	Tenant   string `json:"tenant"`
	Source   string `json:"source"`
	Campaign string `json:"campaign"`
	Hour     string `json:"hour"`
	Event    string `json:"event"`
	Revision int    `json:"revision"`
	From     string `json:"from"`
	To       string `json:"to"`
	Clicks   int64  `json:"clicks"`
	Micros   int64  `json:"micros"`
	Currency string `json:"currency"`
	Cause    string `json:"cause"`
	Who      string `json:"who"`
	Why      string `json:"why"`
	Waived   string `json:"waived,omitempty"`
}

type invoiceLine struct {
	Tenant   string `json:"tenant"`
	Month    string `json:"month"`
	IssuedAt string `json:"issued_at"`
	IssuedBy string `json:"issued_by"`
}

func statementJSON(w io.Writer, month int64, s *aggregate.Statement) error {
	return WriteJSON(w, struct {
		Month       string           `json:"month"`
		Final       bool             `json:"final"`
		OpenUnits   int64            `json:"open_units"`
		Lines       []statementLine  `json:"lines"`
		Totals      []statementLine  `json:"totals"`
		Adjustments []adjustmentLine `json:"adjustments"`
		Invoices    []invoiceLine    `json:"invoices"`
	}{monthName(month), s.OpenUnits == 0, s.OpenUnits, statementLines(s.Lines), statementLines(s.Totals),
		adjustmentLines(s.Adjustments), invoiceLines(s.Invoices)})
}

func statementLines(lines []aggregate.StatementLine) []statementLine {
	out := make([]statementLine, len(lines))
	for i := range lines {
		l := &lines[i]
		out[i] = statementLine{
			l.TenantID, l.AdvertiserID, l.CampaignID, l.Currency, l.ClosedClicks, l.ClosedMicros, l.DebitMicros, l.CreditMicros,
			l.DueMicros, Amount(l.DueMicros, l.Currency), l.LaterMicros, l.WaivedMicros, l.OpenClicks, l.OpenMicros,
		}
	}
	return out
}

func adjustmentLines(adjustments []aggregate.Adjustment) []adjustmentLine {
	out := make([]adjustmentLine, len(adjustments))
	for i := range adjustments {
		out[i] = adjustmentOf(&adjustments[i])
	}
	return out
}

func adjustmentOf(a *aggregate.Adjustment) adjustmentLine {
	return adjustmentLine{
		instant(a.At), a.TenantID, a.Unit.SourceID, a.CampaignID, hour(a.Unit.Hour), a.EventID.String(), a.Revision,
		a.From.String(), a.To.String(), a.Clicks, a.Micros, a.Currency, a.Cause.String(), a.Who, a.Why, a.Waived,
	}
}

// Invoices writes issued invoices.
func Invoices(w io.Writer, invoices []aggregate.Invoice, format Format) error {
	g := newGrid("tenant", "month", "issued_at", "issued_by")
	for _, inv := range invoices {
		g.add(inv.TenantID, monthName(inv.Month), instant(inv.IssuedAt), inv.IssuedBy)
	}
	return writeGrid(w, g, invoiceLines(invoices), format)
}

func invoiceLines(invoices []aggregate.Invoice) []invoiceLine {
	out := make([]invoiceLine, len(invoices))
	for i, inv := range invoices {
		out[i] = invoiceLine{inv.TenantID, monthName(inv.Month), instant(inv.IssuedAt), inv.IssuedBy}
	}
	return out
}
