package console

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// billingFilter is what the billing pages are asked for.
type billingFilter struct{ Tenant, Advertiser, Campaign string }

func billingFilterOf(r *http.Request) (f billingFilter, err error) {
	q, err := parameters(r)
	if err != nil {
		return f, err
	}
	for _, p := range []struct {
		name string
		to   *string
	}{{"tenant", &f.Tenant}, {"advertiser", &f.Advertiser}, {"campaign", &f.Campaign}} {
		if *p.to, err = parameter(q, p.name); err != nil {
			return f, err
		}
	}
	return f, nil
}

// URL is the address of a page under the filter.
func (f billingFilter) URL(path string) string {
	q := url.Values{}
	for name, v := range map[string]string{"tenant": f.Tenant, "advertiser": f.Advertiser, "campaign": f.Campaign} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// Narrow is the address of the billing page with one more id in the filter.
func (f billingFilter) Narrow(name, id string) string {
	switch name {
	case "tenant":
		f.Tenant = id
	case "advertiser":
		f.Advertiser = id
	case "campaign":
		f.Campaign = id
	}
	return f.URL("/billing")
}

// Active reports whether anything is left out.
func (f billingFilter) Active() bool { return f != billingFilter{} }

func (s *Server) billingRows(r *http.Request) (f billingFilter, rows []aggregate.BillingRow, err error) {
	if f, err = billingFilterOf(r); err != nil {
		return f, nil, err
	}
	err = s.query(r, func(ctx context.Context) error {
		rows, err = s.dep.Reports.Billing(ctx, aggregate.BillingQuery{
			TenantID: f.Tenant, AdvertiserID: f.Advertiser, CampaignID: f.Campaign,
		})
		return err
	})
	return f, rows, err
}

// billingView is the billing page.
type billingView struct {
	Filter  billingFilter
	Rows    []billingLine
	Totals  []billingLine // one per currency
	All     int           // rows, of which Rows are the first
	Columns []click.State
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

func (s *Server) billing(w http.ResponseWriter, r *http.Request) error {
	f, rows, err := s.billingRows(r)
	if err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "billing", &view{Title: "Billing", Path: "/billing", Body: newBillingView(f, rows)})
}

func newBillingView(f billingFilter, rows []aggregate.BillingRow) *billingView {
	v := &billingView{Filter: f, All: len(rows)}
	totals := map[string]*billingLine{}
	for i := range rows {
		r := &rows[i]
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
func (s *Server) download(contentType, extension string, write func(io.Writer, []aggregate.BillingRow) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		_, rows, err := s.billingRows(r)
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
