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
	"unicode/utf8"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// rowsShown bounds a table: a browser is no place for a hundred thousand rows,
// and a download has all of them.
const rowsShown = 1000

func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	v, err := s.counts(r)
	if err != nil {
		return err
	}
	return s.pages.write(w, http.StatusOK, "live", &view{Title: "Live", Path: "/", Live: true, Body: v})
}

// fragment answers with the moving part of the first page alone.
func (s *Server) fragment(w http.ResponseWriter, r *http.Request) error {
	v, err := s.counts(r)
	if err != nil {
		return err
	}
	return s.pages.execute(w, http.StatusOK, "live", "moving", v)
}

// counts returns the newest counts. While one request reads, the others wait
// for what it finds.
func (s *Server) counts(r *http.Request) (v *liveView, err error) {
	select {
	case s.live.turn <- struct{}{}:
		defer func() { <-s.live.turn }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if v = s.live.fresh(); v != nil {
		return v, nil
	}
	err = s.query(r, func(ctx context.Context) error {
		v, err = s.live.read(ctx)
		return err
	})
	return v, err
}

// maxParameter is longer than any id that a click may carry.
const maxParameter = 1024

// parameter returns a GET parameter that a store can be asked for.
func parameter(q url.Values, name string) (string, error) {
	v := q.Get(name)
	if len(v) > maxParameter || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return "", &problem{http.StatusBadRequest, fmt.Sprintf("%s is no id; write UTF-8 text of at most %d bytes", name, maxParameter)}
	}
	return v, nil
}

// billingFilter is what the billing pages are asked for.
type billingFilter struct{ Tenant, Advertiser, Campaign string }

func billingFilterOf(r *http.Request) (f billingFilter, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return f, &problem{http.StatusBadRequest, "the address cannot be read behind the question mark; use the form"}
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

// reconcileView is the reconciliation page.
type reconcileView struct {
	*aggregate.Reconciliation
	Verdict            string
	AllHours, AllBoots int
	Columns            []click.State
}

func (s *Server) reconcile(w http.ResponseWriter, r *http.Request) error {
	var account *aggregate.Reconciliation
	err := s.query(r, func(ctx context.Context) error {
		ledger, err := s.dep.Reports.Ledger(ctx, aggregate.LedgerQuery{})
		if err != nil {
			return err
		}
		totals, err := s.dep.Reports.Totals(ctx)
		account = aggregate.Reconcile(&ledger, totals)
		return err
	})
	if err != nil {
		return err
	}
	unscored := slices.ContainsFunc(account.Hours, func(h aggregate.HourAccount) bool { return h.ByState[click.Unscored] != 0 })
	v := &reconcileView{account, s.dep.Verdict(account), len(account.Hours), len(account.Boots), columns(unscored)}
	account.Hours = worstFirst(account.Hours, func(h aggregate.HourAccount) bool { return h.Difference != 0 })
	account.Boots = worstFirst(account.Boots, func(b aggregate.BootAccount) bool { return b.Missing != 0 })
	return s.pages.write(w, http.StatusOK, "reconcile", &view{Title: "Reconciliation", Path: "/reconcile", Body: v})
}

// worstFirst cuts rows to what is shown, but never one that does not add up
// before one that does.
func worstFirst[T any](rows []T, broken func(T) bool) []T {
	slices.SortStableFunc(rows, func(a, b T) int {
		switch {
		case broken(a) == broken(b):
			return 0
		case broken(a):
			return -1
		}
		return 1
	})
	return rows[:min(len(rows), rowsShown)]
}

// traceView is the page of one event.
type traceView struct {
	ID, Tenant string // as asked for
	Event      string // the id in its one form; empty without one
	Copies     []copyOf
	Problem    string
}

func (s *Server) trace(w http.ResponseWriter, r *http.Request) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &problem{http.StatusBadRequest, "the address cannot be read behind the question mark; use the form"}
	}
	v := &traceView{}
	if v.ID, err = parameter(q, "id"); err != nil {
		return err
	}
	if v.Tenant, err = parameter(q, "tenant"); err != nil {
		return err
	}
	v.ID = strings.TrimSpace(v.ID) // ids are pasted, and hold no space
	status := http.StatusOK
	if v.ID != "" {
		if status, err = s.findEvent(r, v); err != nil {
			return err
		}
	}
	return s.pages.write(w, status, "trace", &view{Title: "Trace", Path: "/trace", Body: v})
}

// findEvent fills the view and returns the status of the answer.
func (s *Server) findEvent(r *http.Request, v *traceView) (int, error) {
	id, err := click.ParseID(v.ID)
	if err != nil {
		v.Problem = "This is no event id: " + err.Error() + "."
		return http.StatusBadRequest, nil
	}
	v.Event = id.String()
	var rows []aggregate.TraceRow
	err = s.query(r, func(ctx context.Context) error {
		rows, err = s.dep.Reports.Trace(ctx, v.Tenant, id)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i := range rows {
		v.Copies = append(v.Copies, s.newCopy(&rows[i]))
	}
	if len(rows) == 0 {
		v.Problem = "No event or dead letter has this id. It may be on its way still, or belong to another tenant or store."
		return http.StatusNotFound, nil
	}
	return http.StatusOK, nil
}
