package console

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// billingFilter is what the billing pages are asked for. Days are UTC and both
// ends are inside; empty is open.
type billingFilter struct{ Tenant, Advertiser, Campaign, From, To string }

// names and places of the filter's parts.
func (f *billingFilter) parts() [5]struct {
	name string
	to   *string
} {
	return [5]struct {
		name string
		to   *string
	}{{"tenant", &f.Tenant}, {"advertiser", &f.Advertiser}, {"campaign", &f.Campaign}, {"from", &f.From}, {"to", &f.To}}
}

func billingFilterOf(r *http.Request) (f billingFilter, err error) {
	q, err := parameters(r)
	if err != nil {
		return f, err
	}
	for _, p := range f.parts() {
		if *p.to, err = parameter(q, p.name); err != nil {
			return f, err
		}
	}
	return f, nil
}

// query is the filter in the store's terms.
func (f *billingFilter) query() (q aggregate.BillingQuery, err error) {
	q = aggregate.BillingQuery{TenantID: f.Tenant, AdvertiserID: f.Advertiser, CampaignID: f.Campaign}
	if q.From, err = day("from", f.From, 0); err != nil {
		return q, err
	}
	if q.To, err = day("to", f.To, 1); err != nil {
		return q, err
	}
	if q.To != 0 && q.From >= q.To {
		return q, &problem{http.StatusBadRequest, "the last day lies before the first; turn them round"}
	}
	return q, nil
}

// day returns the beginning of a day, or of one so many days later.
func day(name, text string, later int) (int64, error) {
	if text == "" {
		return 0, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1971 {
		return 0, &problem{http.StatusBadRequest, fmt.Sprintf("%s is no day; write it as 2026-11-25", name)}
	}
	return t.AddDate(0, 0, later).UnixMicro(), nil
}

// URL is the address of a page under the filter.
func (f billingFilter) URL(path string) string {
	q := url.Values{}
	for _, p := range f.parts() {
		if *p.to != "" {
			q.Set(p.name, *p.to)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Narrow is the address of the billing page with one more id in the filter.
func (f billingFilter) Narrow(name, id string) string {
	for _, p := range f.parts() {
		if p.name == name {
			*p.to = id
		}
	}
	return f.URL("/billing")
}

// Active reports whether anything is left out.
func (f billingFilter) Active() bool { return f != billingFilter{} }

func (s *Server) billingRows(r *http.Request, v *visit) (f billingFilter, rows []aggregate.BillingRow, err error) {
	if f, err = billingFilterOf(r); err != nil {
		return f, nil, err
	}
	q, err := f.query()
	if err != nil {
		return f, nil, err
	}
	err = s.query(r.Context(), func(ctx context.Context) error {
		rows, err = v.desk.billing(ctx, q)
		return err
	})
	return f, rows, err
}

// billingView is the billing page.
type billingView struct {
	Filter     billingFilter
	AllTenants bool // the visitor sees all of them
	Rows       []billingLine
	Totals     []billingLine // one per currency
	All        int           // rows, of which Rows are the first
	Open       int           // rows that can still change
	Columns    []click.State
}

// billingLine is a row, or the total of a currency.
type billingLine struct {
	aggregate.BillingRow
	Received int64
	Cost     sum
}

func (l *billingLine) add(r *aggregate.BillingRow) {
	for s, n := range r.Counts {
		l.Counts[s] += n
		l.Received += n
	}
	l.Cost.add(r.CostMicros)
}

func (s *Server) billing(w http.ResponseWriter, r *http.Request, v *visit) error {
	f, rows, err := s.billingRows(r, v)
	if err != nil {
		return err
	}
	body := newBillingView(f, rows)
	body.AllTenants = v.AllTenants()
	return s.show(w, v, http.StatusOK, "billing", &page{Title: "Billing", Path: "/billing", Body: body})
}

func newBillingView(f billingFilter, rows []aggregate.BillingRow) *billingView {
	v := &billingView{Filter: f, All: len(rows)}
	totals := map[string]*billingLine{}
	for i := range rows {
		r := &rows[i]
		if r.Provisional {
			v.Open++
		}
		t := totals[r.Currency]
		if t == nil {
			t = &billingLine{BillingRow: aggregate.BillingRow{Currency: r.Currency}}
			totals[r.Currency] = t
		}
		t.add(r)
		if i < rowsShown {
			line := billingLine{BillingRow: *r, Cost: sum{N: r.CostMicros}}
			for _, n := range r.Counts {
				line.Received += n
			}
			v.Rows = append(v.Rows, line)
		}
	}
	for _, t := range totals {
		v.Totals = append(v.Totals, *t)
	}
	slices.SortFunc(v.Totals, func(a, b billingLine) int { return cmp.Compare(a.Currency, b.Currency) })
	v.Columns = columns(slices.ContainsFunc(v.Totals, func(t billingLine) bool { return t.Counts[click.Unscored] != 0 }))
	return v
}

// download answers with all rows under the filter as write gives them.
func (s *Server) download(contentType, extension string, write func(io.Writer, []aggregate.BillingRow) error) func(http.ResponseWriter, *http.Request, *visit) error {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		_, rows, err := s.billingRows(r, v)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := write(&b, rows); err != nil {
			return err
		}
		name := "clickgate-billing-" + s.dep.Now().UTC().Format("20060102T150405Z") + "." + extension
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
		send(w, http.StatusOK, contentType, b.Bytes())
		return nil
	}
}

// billingCSV writes rows for spreadsheets.
func (s *Server) billingCSV(w io.Writer, rows []aggregate.BillingRow) error {
	safe := slices.Clone(rows)
	for i := range safe {
		r := &safe[i]
		for _, cell := range []*string{&r.TenantID, &r.AdvertiserID, &r.CampaignID, &r.Currency} {
			*cell = plainCell(*cell)
		}
	}
	return s.dep.BillingCSV(w, safe)
}

// plainCell puts an apostrophe before a text that a spreadsheet would take for a
// formula, as OWASP's page on CSV injection advises. Numbers are ours and stay.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}
