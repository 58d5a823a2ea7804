package aggregate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"clickgate/gateway/click"
)

// Statement is what a month costs: its closed hours and what was adjusted in them.
type Statement struct {
	Lines       []StatementLine // in order of tenant, advertiser, campaign, currency
	Totals      []StatementLine // one for a tenant and currency; campaign and advertiser are empty
	Adjustments []Adjustment    // in order of time
	Invoices    []Invoice
	OpenUnits   int64 // units that are not closed: the statement is not final
}

// StatementLine adds up one campaign in one currency.
type StatementLine struct {
	TenantID     string
	AdvertiserID string
	CampaignID   string
	Currency     string

	ClosedClicks int64 // valid clicks of closed hours, and what they cost
	ClosedMicros int64
	DebitMicros  int64 // added after closing; positive
	CreditMicros int64 // taken back before the invoice was issued, or while there is none; negative
	DueMicros    int64 // closed + debits + credits: what the invoice says
	LaterMicros  int64 // taken back after the invoice was issued; negative
	WaivedMicros int64 // adjustments that move no money
	OpenClicks   int64 // valid clicks of hours that are not closed; not due yet
	OpenMicros   int64
}

// MakeStatement adds up d. It is a pure function. A sum beyond 64 bits is an error
// that names the line, since no bill must be made of it.
func MakeStatement(d *StatementData) (*Statement, error) {
	s := &Statement{Adjustments: d.Adjustments, Invoices: d.Invoices, OpenUnits: d.OpenUnits}
	lines := make(map[lineKey]*StatementLine)
	for i := range d.Rows {
		r := &d.Rows[i]
		l := lineOf(lines, r.TenantID, r.AdvertiserID, r.CampaignID, r.Currency)
		sum := sums{}
		sum.add(&l.ClosedClicks, r.Counts[click.Valid]-r.OpenClicks)
		sum.add(&l.ClosedMicros, r.CostMicros-r.OpenMicros)
		sum.add(&l.OpenClicks, r.OpenClicks)
		sum.add(&l.OpenMicros, r.OpenMicros)
		if sum.overflow {
			return nil, l.tooGreat()
		}
	}
	type tenantMonth struct {
		tenant string
		month  int64
	}
	issued := make(map[tenantMonth]int64, len(d.Invoices))
	for _, inv := range d.Invoices {
		issued[tenantMonth{inv.TenantID, inv.Month}] = inv.IssuedAt
	}
	for i := range d.Adjustments {
		a := &d.Adjustments[i]
		l := lineOf(lines, a.TenantID, a.AdvertiserID, a.CampaignID, a.Currency)
		at, done := issued[tenantMonth{a.TenantID, MonthOf(a.Unit.Hour)}]
		if !l.adjust(a, done && a.At >= at) {
			return nil, l.tooGreat()
		}
	}
	for _, l := range lines {
		s.Lines = append(s.Lines, *l)
	}
	slices.SortFunc(s.Lines, compareLines)
	if err := s.addUp(); err != nil {
		return nil, err
	}
	return s, nil
}

type lineKey struct{ tenant, advertiser, campaign, currency string }

func lineOf(lines map[lineKey]*StatementLine, tenant, advertiser, campaign, currency string) *StatementLine {
	k := lineKey{tenant, advertiser, campaign, currency}
	l := lines[k]
	if l == nil {
		l = &StatementLine{TenantID: tenant, AdvertiserID: advertiser, CampaignID: campaign, Currency: currency}
		lines[k] = l
	}
	return l
}

// adjust adds a to its line; later says that the invoice had been issued.
func (l *StatementLine) adjust(a *Adjustment, later bool) bool {
	var sum sums
	switch {
	case a.Waived != "":
		sum.add(&l.WaivedMicros, a.Micros)
	case later:
		sum.add(&l.LaterMicros, a.Micros)
	case a.Micros > 0:
		sum.add(&l.DebitMicros, a.Micros)
	default:
		sum.add(&l.CreditMicros, a.Micros)
	}
	return !sum.overflow
}

// addUp works out what is due by line and in total.
func (s *Statement) addUp() error {
	totals := make(map[lineKey]*StatementLine)
	for i := range s.Lines {
		l := &s.Lines[i]
		var sum sums
		sum.add(&l.DueMicros, l.ClosedMicros)
		sum.add(&l.DueMicros, l.DebitMicros)
		sum.add(&l.DueMicros, l.CreditMicros)
		t := lineOf(totals, l.TenantID, "", "", l.Currency)
		for _, x := range [...]struct{ to, from *int64 }{
			{&t.ClosedClicks, &l.ClosedClicks}, {&t.ClosedMicros, &l.ClosedMicros}, {&t.DebitMicros, &l.DebitMicros},
			{&t.CreditMicros, &l.CreditMicros}, {&t.DueMicros, &l.DueMicros}, {&t.LaterMicros, &l.LaterMicros},
			{&t.WaivedMicros, &l.WaivedMicros}, {&t.OpenClicks, &l.OpenClicks}, {&t.OpenMicros, &l.OpenMicros},
		} {
			sum.add(x.to, *x.from)
		}
		if sum.overflow {
			return l.tooGreat()
		}
	}
	for _, t := range totals {
		s.Totals = append(s.Totals, *t)
	}
	slices.SortFunc(s.Totals, compareLines)
	return nil
}

func compareLines(a, b StatementLine) int {
	return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.AdvertiserID, b.AdvertiserID),
		cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.Currency, b.Currency))
}

func (l *StatementLine) tooGreat() error {
	return fmt.Errorf("statement: the sums of tenant %q, campaign %q, currency %q pass the limit of 64 bits; look at the hours of that campaign with `report billing`",
		l.TenantID, l.CampaignID, l.Currency)
}

// sums adds without wrapping and remembers that a sum did not fit.
type sums struct{ overflow bool }

func (s *sums) add(to *int64, n int64) {
	if n > 0 && *to > math.MaxInt64-n || n < 0 && *to < math.MinInt64-n {
		s.overflow = true
		return
	}
	*to += n
}
