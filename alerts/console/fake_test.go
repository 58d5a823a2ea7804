package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/console/auth"
	"clickgate/gateway/click"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/net/html"
)

// fake is a store in memory. It filters billing rows as stores do.
type fake struct {
	vectorVersion uint32 // of the flagged click; 0 is 1

	people
	counts  []aggregate.RecentCount
	totals  []aggregate.Total
	rows    []aggregate.BillingRow
	ledger  aggregate.Ledger
	events  map[click.ID][]aggregate.TraceRow
	decided []aggregate.DecisionRequest
	alerts  []aggregate.Incident
	told    []aggregate.PageRecord
	minutes []aggregate.MinuteCount
	err     error
	away    error        // of incidents alone
	reads   atomic.Int64 // of Recent, by minutes
	during  func(context.Context) error
}

func (f *fake) Recent(ctx context.Context, q aggregate.RecentQuery) ([]aggregate.RecentCount, error) {
	if q.Step == 0 {
		f.reads.Add(1)
	}
	if f.during != nil {
		if err := f.during(ctx); err != nil {
			return nil, err
		}
	}
	var out []aggregate.RecentCount
	for _, c := range f.counts {
		if c.Start >= q.From && (q.TenantID == "" || q.TenantID == c.TenantID) {
			out = append(out, c)
		}
	}
	return out, f.err
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
	if f.during != nil {
		if err := f.during(ctx); err != nil {
			return nil, err
		}
	}
	return f.totals, f.err
}

func (f *fake) Statement(ctx context.Context, q aggregate.BillingQuery) (aggregate.StatementData, error) {
	rows, err := f.Billing(ctx, q)
	return aggregate.StatementData{Rows: rows}, err
}

func (f *fake) ListIncidents(_ context.Context, q aggregate.IncidentQuery) (out []aggregate.Incident, _ error) {
	for _, i := range f.alerts {
		if (q.TenantID == "" || q.TenantID == i.TenantID) && (!q.OpenOnly || i.Open()) && (i.Open() || i.ResolvedAt >= q.Since) {
			out = append(out, i)
		}
	}
	return out, cmp.Or(f.away, f.err)
}

// errText is what PostgreSQL says of text that it does not take.
var errText = errors.New("invalid byte sequence")

func (f *fake) GetIncident(_ context.Context, id string) (aggregate.Incident, bool, error) {
	if !storable(id) {
		return aggregate.Incident{}, false, errText
	}
	for _, i := range f.alerts {
		if i.ID == id {
			return i, true, f.err
		}
	}
	return aggregate.Incident{}, false, f.err
}

func (f *fake) IncidentPages(context.Context, string, int) ([]aggregate.PageRecord, error) {
	return f.told, f.err
}

func (f *fake) MinuteCounts(_ context.Context, from, to int64) (out []aggregate.MinuteCount, _ error) {
	for _, c := range f.minutes {
		if c.Minute >= from && c.Minute < to {
			out = append(out, c)
		}
	}
	return out, f.err
}

// attack is an open incident of a tenant on a campaign, since 06:58.
func attack(tenant, campaign string) aggregate.Incident {
	at := hour7 - 2*minuteMicros
	return aggregate.Incident{
		ID: "0123456789abcdef0123456789abcdef", TenantID: tenant, Severity: aggregate.SeverityCritical,
		Title:    "campaign " + campaign + " of tenant " + tenant + ": 69 % of clicks invalid, 5 % expected; 1 more series",
		OpenedAt: at, UpdatedAt: at + minuteMicros, ToldAt: at, Money: map[string]int64{"EUR": 1_234_500_000},
		Series: []aggregate.IncidentSeries{
			{Dimension: "campaign", Key: campaign, Kind: kindInvalid, From: at, Peak: 12.84, PeakAt: at, Observed: 0.691, Expected: 0.05, Events: 9000, Excess: 5769},
			{Dimension: "source", Key: "edge", Kind: kindVolume, From: at, To: at + minuteMicros, Peak: 31, PeakAt: at, Observed: 9100, Expected: 2400, Events: 9100, Excess: 6700},
		},
	}
}

// The one click of tenant t1 that waits for review, and what was decided of it.
var flaggedKey = click.Key{1}

func (f *fake) flaggedClick() aggregate.StoredClick {
	c := &click.Click{
		TenantID: "t1", SourceID: "edge", EventID: click.ID{1, 6: 0x70, 8: 0x80, 15: 9}, EventTime: hour7, IPKey: flaggedKey, IPPrefix: "203.0.113.0/24",
		CampaignID: "camp", PublisherID: "<script>pub</script>", AgentFamily: "<img src=x onerror=alert(1)>", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC,
		Verdict: click.Verdict{State: click.SIVT, Reasons: click.Reasons(0).Set(click.ReasonRateIP), Score: 0.9, VectorVersion: cmp.Or(f.vectorVersion, 1)},
	}
	return aggregate.StoredClick{ClickRow: aggregate.ClickRow{Click: c}, State: click.SIVT, Reasons: c.Verdict.Reasons}
}

func (f *fake) Flagged(_ context.Context, q aggregate.FlaggedQuery) ([]aggregate.FlaggedGroup, error) {
	if q.TenantID != "" && q.TenantID != "t1" || q.CampaignID != "" && q.CampaignID != "camp" {
		return nil, f.err
	}
	c := f.flaggedClick()
	return []aggregate.FlaggedGroup{{
		TenantID: "t1", IPKey: flaggedKey, IPPrefix: c.IPPrefix, CampaignID: "camp", Currency: "EUR", State: click.SIVT, Reasons: c.Reasons,
		Clicks: 1, Micros: 250_000, First: hour7, Last: hour7,
	}}, f.err
}

func (f *fake) AddressClicks(_ context.Context, q aggregate.AddressQuery) ([]aggregate.StoredClick, error) {
	if !storable(q.TenantID) {
		return nil, errText
	}
	if q.TenantID != "t1" || q.IPKey != flaggedKey {
		return nil, f.err
	}
	return []aggregate.StoredClick{f.flaggedClick()}, f.err
}

func (f *fake) AddressMinutes(context.Context, aggregate.AddressQuery) ([]aggregate.AddressMinute, error) {
	return []aggregate.AddressMinute{{Minute: hour7, Count: 769}}, f.err
}

func (f *fake) PeerCounts(context.Context, string, string, int64) ([]int64, error) {
	return []int64{1, 2, 769}, f.err
}

func (f *fake) ClickOf(context.Context, string, click.ID) (aggregate.StoredClick, bool, error) {
	return aggregate.StoredClick{}, false, f.err
}

func (f *fake) OpenUnits(context.Context) ([]aggregate.UnitInfo, error) {
	return []aggregate.UnitInfo{{Unit: aggregate.Unit{TenantID: "t1", SourceID: "edge", Hour: hour7}}, {Unit: aggregate.Unit{TenantID: "t2", SourceID: "secret", Hour: hour7}}}, f.err
}

// decide is the test's aggregate.Decide.
func (f *fake) decide(_ context.Context, r aggregate.DecisionRequest) (aggregate.Decided, error) {
	f.people.mu.Lock()
	defer f.people.mu.Unlock()
	f.decided = append(f.decided, r)
	return aggregate.Decided{Before: f.flaggedClick(), State: click.Valid}, f.err
}

func (f *fake) Invalid(context.Context, aggregate.BillingQuery) ([]aggregate.InvalidRow, error) {
	return nil, f.err
}

func (f *fake) ClosedUnits(context.Context, aggregate.BillingQuery) ([]aggregate.ClosedUnit, error) {
	return nil, f.err
}

func (f *fake) Ledger(ctx context.Context, q aggregate.LedgerQuery) (aggregate.Ledger, error) {
	l := f.ledger
	var err error
	if l.Totals, err = f.Totals(ctx); err != nil {
		return l, err
	}
	l.Query = q
	l.Rows = slices.DeleteFunc(slices.Clone(l.Rows), func(r aggregate.RowCount) bool { return q.TenantID != "" && q.TenantID != r.TenantID })
	return l, f.err
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

// books is a store with numbers that can be told apart.
func books() *fake {
	f := &fake{}
	for _, s := range states[:len(states)-1] {
		if s != click.Valid && s != click.GIVT {
			f.counts = append(f.counts, aggregate.RecentCount{Start: hour7 - 2*hourMicros, TenantID: "t1", SourceID: "batch", State: s, Count: int64(1000 + int(s))})
		}
	}
	row := func(tenant, advertiser, campaign string, hour, valid, givt int64, currency string, cost, saved int64) {
		r := aggregate.BillingRow{
			TenantID: tenant, AdvertiserID: advertiser, CampaignID: campaign, Hour: hour, Currency: currency,
			CostMicros: cost, SavedMicros: saved, Provisional: hour == hour7,
		}
		r.Counts[click.Valid], r.Counts[click.GIVT] = valid, givt
		f.rows = append(f.rows, r)
		c := aggregate.RecentCount{Start: hour, TenantID: tenant, SourceID: "edge", Currency: currency, State: click.Valid, Count: valid, Micros: cost}
		f.counts = append(f.counts, c)
		c.State, c.Count, c.Micros = click.GIVT, givt, saved
		f.counts = append(f.counts, c)
	}
	row("t1", "a1", "c1", hour7-hourMicros, 1200, 34, "EUR", 1_234_567_890_000, 10_000)
	row("t1", "a1", "c1", hour7, 10, 2, "EUR", 1_500_000, 20_000)
	row("t1", "a2", "c2", hour7, 7, 0, "JPY", 12_000_000, 0)
	row("t2", "a1", "c1", hour7, 3, 0, "", 0, 0)
	f.alerts = []aggregate.Incident{attack("t1", "camp")}
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
	cookie  string // of who looks
}

// newSite is a console that an administrator of all tenants looks at.
func newSite(t *testing.T, f *fake) *site {
	t.Helper()
	return newSiteWith(t, DefaultConfig(), f, now)
}

func newSiteWith(t *testing.T, cfg Config, store Store, now func() time.Time) *site {
	t.Helper()
	s := &site{T: t, log: &strings.Builder{}, reg: prometheus.NewRegistry()}
	decide := func(context.Context, aggregate.DecisionRequest) (aggregate.Decided, error) {
		return aggregate.Decided{}, aggregate.ErrNoCase
	}
	if f, ok := store.(*fake); ok {
		decide = f.decide
	}
	server, err := New(cfg, Dependencies{
		Store: store, Decide: decide, Hash: cheap, Entropy: rand.Reader, Amount: amountOf, BillingCSV: writeCSV, BillingJSON: writeJSON,
		Verdict: func(r *aggregate.Reconciliation) string { return fmt.Sprintf("BROKEN: %v", r.Broken) },
		Now:     now, Logger: slog.New(slog.NewTextHandler(s.log, nil)), Registerer: s.reg,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server, s.handler = server, server.http.Handler
	t.Cleanup(func() { _ = server.Stop(context.WithoutCancel(t.Context())) })
	root := auth.Actor{Name: "os:test", TenantID: aggregate.AllTenants}
	if err := server.Accounts().Add(t.Context(), root, "root", aggregate.AllTenants, "admin", goodPassword); err != nil {
		t.Fatal(err)
	}
	s.as("root")
	return s
}

// cheap hashes cost little.
var cheap = auth.Params{Memory: 8, Passes: 1, Threads: 1}

const goodPassword = "correct horse battery staple"

// add makes a user of a role and tenant, and lets the site be looked at by it.
func (s *site) add(name, tenant, role string) {
	s.Helper()
	root := auth.Actor{Name: "os:test", TenantID: aggregate.AllTenants}
	if err := s.server.Accounts().Add(s.Context(), root, name, tenant, role, goodPassword); err != nil {
		s.Fatal(err)
	}
	s.as(name)
}

// as signs a user in, or nobody.
func (s *site) as(name string) {
	s.Helper()
	s.cookie = ""
	if name == "" {
		return
	}
	token, err := s.server.links.make(name)
	if err != nil {
		s.Fatal(err)
	}
	w := s.post("/login", url.Values{"once": {token}})
	if s.cookie = cookieOf(w); s.cookie == "" {
		s.Fatalf("%s cannot sign in: %d %s", name, w.Code, w.Body)
	}
}

// cookieOf is the session that an answer sets, as a Cookie header; empty for none.
func cookieOf(w *httptest.ResponseRecorder) string {
	for _, c := range w.Result().Cookies() {
		if strings.HasSuffix(c.Name, "clickgate_session") && c.MaxAge >= 0 {
			return c.Name + "=" + c.Value
		}
	}
	return ""
}

func (s *site) post(target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	return s.send("POST", target, form.Encode(), append([]string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}, header...)...)
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
	return s.send(method, target, "", header...)
}

func (s *site) send(method, target, body string, header ...string) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequestWithContext(s.Context(), method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8082"
	if s.cookie != "" {
		r.Header.Set("Cookie", s.cookie)
	}
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

// people are users and audit in memory.
type people struct {
	mu    sync.Mutex
	users map[string]aggregate.User
	log   []aggregate.AuditEntry
}

func (p *people) User(_ context.Context, name string) (aggregate.User, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !storable(name) {
		return aggregate.User{}, errText
	}
	u, ok := p.users[name]
	if !ok {
		return u, aggregate.ErrNoUser
	}
	return u, nil
}

func (p *people) ListUsers(_ context.Context, tenant string) (out []aggregate.User, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.users)) {
		if u := p.users[name]; tenant == "" || tenant == u.TenantID {
			out = append(out, u)
		}
	}
	return out, nil
}

func (p *people) AddUser(_ context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.users[u.Name]; ok {
		return aggregate.ErrUserExists
	}
	if p.users == nil {
		p.users = map[string]aggregate.User{}
	}
	p.users[u.Name] = *u
	p.write(e)
	return nil
}

func (p *people) ChangeUser(_ context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[u.Name].Version != u.Version {
		return aggregate.ErrUserChanged
	}
	next := *u
	next.Version++
	p.users[u.Name] = next
	p.write(e)
	return nil
}

func (p *people) WriteAudit(_ context.Context, e *aggregate.AuditEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(e)
	return nil
}

func (p *people) write(e *aggregate.AuditEntry) {
	next := *e
	next.ID = int64(len(p.log) + 1)
	p.log = append(p.log, next)
}

func (p *people) ReadAudit(_ context.Context, q *aggregate.AuditQuery) (out []aggregate.AuditEntry, _ error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range slices.Backward(p.log) {
		if (q.TenantID == "" || q.TenantID == e.TenantID) && (q.Who == "" || q.Who == e.Who) && (q.Action == "" || q.Action == e.Action) &&
			(q.Before == 0 || e.ID < q.Before) && (q.Limit == 0 || len(out) < q.Limit) {
			out = append(out, e)
		}
	}
	return out, nil
}

// actions lists what was noted, the oldest first.
func (p *people) actions() (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.log {
		out = append(out, strings.TrimSpace(e.Who+" "+e.Action+" "+e.Target))
	}
	return out
}

var _ Store = (*fake)(nil)
