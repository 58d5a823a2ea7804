package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"
)

// fake is a store in memory. It filters billing rows as stores do.
type fake struct {
	totals []aggregate.Total
	rows   []aggregate.BillingRow
	ledger aggregate.Ledger
	events map[click.ID][]aggregate.TraceRow
	err    error
	reads  atomic.Int64 // of Totals
	during func(context.Context) error
}

func (f *fake) Billing(_ context.Context, q aggregate.BillingQuery) ([]aggregate.BillingRow, error) {
	var out []aggregate.BillingRow
	for _, r := range f.rows {
		if (q.TenantID == "" || q.TenantID == r.TenantID) && (q.AdvertiserID == "" || q.AdvertiserID == r.AdvertiserID) &&
			(q.CampaignID == "" || q.CampaignID == r.CampaignID) {
			out = append(out, r)
		}
	}
	return out, f.err
}

func (f *fake) Totals(ctx context.Context) ([]aggregate.Total, error) {
	f.reads.Add(1)
	if f.during != nil {
		if err := f.during(ctx); err != nil {
			return nil, err
		}
	}
	return f.totals, f.err
}

func (f *fake) Ledger(context.Context, aggregate.LedgerQuery) (aggregate.Ledger, error) {
	return f.ledger, f.err
}

func (f *fake) Trace(_ context.Context, tenant string, id click.ID) ([]aggregate.TraceRow, error) {
	var out []aggregate.TraceRow
	for _, r := range f.events[id] {
		if tenant == "" || r.Click != nil && r.Click.TenantID == tenant {
			out = append(out, r)
		}
	}
	return out, f.err
}

var hour7 = time.Date(2026, 11, 25, 7, 0, 0, 0, time.UTC).UnixMicro()

const hourMicros = 3600 * 1_000_000

// books is a store with numbers that can be told apart.
func books() *fake {
	f := &fake{}
	for _, s := range states[:len(states)-1] {
		n := int64(1_000_000 + int(s)*1001)
		f.totals = append(f.totals, aggregate.Total{TenantID: "t1", SourceID: "edge", State: s, Rows: n, Minutes: n})
	}
	f.totals = append(f.totals, aggregate.Total{TenantID: "t2", SourceID: "batch", State: click.Valid, Rows: 5, Minutes: 5})
	row := func(tenant, advertiser, campaign string, hour, valid, givt int64, currency string, cost, saved int64) {
		r := aggregate.BillingRow{
			TenantID: tenant, AdvertiserID: advertiser, CampaignID: campaign, Hour: hour, Currency: currency,
			CostMicros: cost, SavedMicros: saved, Provisional: hour == hour7,
		}
		r.Counts[click.Valid], r.Counts[click.GIVT] = valid, givt
		f.rows = append(f.rows, r)
	}
	row("t1", "a1", "c1", hour7-hourMicros, 1200, 34, "EUR", 1_234_567_890_000, 10_000)
	row("t1", "a1", "c1", hour7, 10, 2, "EUR", 1_500_000, 20_000)
	row("t1", "a2", "c2", hour7, 7, 0, "JPY", 12_000_000, 0)
	row("t2", "a1", "c1", hour7, 3, 0, "", 0, 0)
	return f
}

func now() time.Time { return time.UnixMicro(hour7).Add(time.Minute) }

// site is a console over a fake.
type site struct {
	*testing.T
	server  *Server
	handler http.Handler
	log     *strings.Builder
	reg     *prometheus.Registry
}

func newSite(t *testing.T, f *fake) *site {
	t.Helper()
	s := &site{T: t, log: &strings.Builder{}, reg: prometheus.NewRegistry()}
	server, err := New(DefaultConfig(), Dependencies{
		Reports: f, Amount: amountOf, BillingCSV: writeCSV, BillingJSON: writeJSON,
		Verdict: func(r *aggregate.Reconciliation) string { return fmt.Sprintf("BROKEN: %v", r.Broken) },
		Now:     now, Logger: slog.New(slog.NewTextHandler(s.log, nil)), Registerer: s.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server, s.handler = server, server.http.Handler
	return s
}

// amountOf is a stand-in with two digits.
func amountOf(micros int64, _ string) string {
	return strconv.FormatFloat(float64(micros)/1e6, 'f', 2, 64)
}

func writeCSV(w io.Writer, rows []aggregate.BillingRow) error {
	out := csv.NewWriter(w)
	for i := range rows {
		r := &rows[i]
		if err := out.Write([]string{r.TenantID, r.CampaignID, fmt.Sprint(r.CostMicros)}); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func writeJSON(w io.Writer, rows []aggregate.BillingRow) error {
	return json.NewEncoder(w).Encode(rows)
}

func (s *site) do(method, target string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequestWithContext(s.Context(), method, target, nil)
	r.Host = "127.0.0.1:8082"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// get reads a page and demands its status.
func (s *site) get(target string, status int) *html.Node {
	s.Helper()
	w := s.do("GET", target)
	if w.Code != status {
		s.Fatalf("GET %s: status %d, want %d\n%s", target, w.Code, status, w.Body)
	}
	doc, err := html.Parse(w.Body)
	if err != nil {
		s.Fatal(err)
	}
	return doc
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// elements returns all elements with a tag below n.
func elements(n *html.Node, tag string) (out []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == tag {
			out = append(out, d)
		}
	}
	return out
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// table returns the cells of the table in the region with a label, by row: head,
// body, foot.
func table(t *testing.T, doc *html.Node, label string) [][]string {
	t.Helper()
	for _, div := range elements(doc, "div") {
		if attr(div, "aria-label") != label {
			continue
		}
		var rows [][]string
		for _, tr := range elements(div, "tr") {
			var cells []string
			for c := range tr.ChildNodes() {
				if c.Type == html.ElementNode {
					cells = append(cells, textOf(c))
				}
			}
			rows = append(rows, cells)
		}
		return rows
	}
	t.Fatalf("no table %q", label)
	return nil
}

// find returns the row that starts with the cells.
func find(t *testing.T, rows [][]string, cells ...string) []string {
	t.Helper()
	for _, r := range rows {
		if len(r) >= len(cells) && slices.Equal(r[:len(cells)], cells) {
			return r
		}
	}
	t.Fatalf("no row %q in %q", cells, rows)
	return nil
}

// cell returns the value in the row's column.
func cell(t *testing.T, rows [][]string, row []string, column string) string {
	t.Helper()
	i := slices.Index(rows[0], column)
	if i < 0 || i >= len(row) {
		t.Fatalf("no column %q in %q", column, rows[0])
	}
	return row[i]
}

var _ aggregate.Reports = (*fake)(nil)
