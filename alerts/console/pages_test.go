package console

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

func TestLiveShowsTotals(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	for _, path := range []string{"/", "/live"} {
		doc := s.get(path, 200)
		rows := table(t, doc, "Counts by verdict")
		if len(rows) != 11 { // head, nine states, received
			t.Errorf("%s: %d rows", path, len(rows))
		}
		for name, want := range map[string]string{
			"valid": "1,220", "givt": "36", "sivt": "1,005", "undecidable": "1,006", "suspect": "1,007",
			"test": "1,003", "duplicate": "1,008", "redelivered": "1,002", "malformed": "1,001", "received": "8,288",
		} {
			if got := cell(t, rows, find(t, rows, name), "Events"); got != want {
				t.Errorf("%s: %s = %s, want %s", path, name, got, want)
			}
		}
		if got := find(t, rows, "valid")[2]; got != "14.7 %" {
			t.Errorf("share of valid: %s", got)
		}
		text := textOf(doc)
		for _, want := range []string{"Valid money, EUR1,234,569.390.03 not billed", "Valid money, JPY12.000.00 not billed", "Valid1,22014.7 % of received", "Invalid traffic1,04112.6 % of received", "counted at 07:01:00", "Now0.37/s",
			"In the last hour 22 events, 0.01 a second on average; the busiest minute began at 07:00 with 22 events. Valid: 90.9 %."} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q in %s", path, want, text)
			}
		}
	}
}

func TestLiveHoursAndSources(t *testing.T) {
	t.Parallel()
	doc := newSite(t, books()).get("/", 200)
	hours := table(t, doc, "Counts by hour")
	if len(hours) != 4 || hours[1][0] != "2026-11-25 07:00" || hours[2][0] != "2026-11-25 06:00" {
		t.Fatalf("hours are not the newest first: %q", hours)
	}
	want := map[string][2]string{
		"Received": {"22", "1,234"}, "valid": {"20", "1,200"}, "givt": {"2", "34"},
		"Valid money": {"1.50 EUR12.00 JPY", "1,234,567.89 EUR"},
	}
	for column, w := range want {
		if got := [2]string{cell(t, hours, hours[1], column), cell(t, hours, hours[2], column)}; got != w {
			t.Errorf("%s: %q, want %q", column, got, w)
		}
	}
	sources := table(t, doc, "Counts by source")
	if got := find(t, sources, "t1", "edge"); !slices.Equal(got[2:], []string{"1,253", "1,217", "36", "0", "97.1 %"}) {
		t.Errorf("source: %q", got)
	}
	if sources[1][1] != "batch" {
		t.Errorf("sources are not the busiest first: %q", sources)
	}
}

// TestLiveTellsOfTheBooks holds that the account is made once somebody looks, and
// that every tenant sees its own part of it.
func TestLiveTellsOfTheBooks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		totals   []aggregate.Total
		all, one string
	}{
		"balanced":         {[]aggregate.Total{{TenantID: "t1", State: click.Valid, Rows: 5, Minutes: 5}}, "balanced", "balanced"},
		"miscount":         {[]aggregate.Total{{TenantID: "t1", State: click.Valid, Rows: 5, Minutes: 6}}, "BROKEN", "BROKEN"},
		"another's broken": {[]aggregate.Total{{TenantID: "t2", State: click.Valid, Rows: 5, Minutes: 6}}, "BROKEN", "balanced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := books()
			f.totals = c.totals
			s := newSite(t, f)
			if got := textOf(s.get("/", 200)); !strings.Contains(got, "Books – being checked") {
				t.Errorf("before the account: %s", got)
			}
			s.server.running.Wait()
			if got := textOf(s.get("/live", 200)); !strings.Contains(got, "Books "+c.all+" checked at 07:01:00 · account") {
				t.Errorf("all tenants: %s", got)
			}
			s.add("anna", "t1", "analyst")
			if got := textOf(s.get("/live", 200)); !strings.Contains(got, "Books "+c.one+" checked at 07:01:00 Open incidents") {
				t.Errorf("one tenant, no right to the account: %s", got)
			}
		})
	}
}

// TestChartHasATable holds that the chart's numbers can be read without seeing it,
// and that the script finds them.
func TestChartHasATable(t *testing.T) {
	t.Parallel()
	doc := newSite(t, books()).get("/", 200)
	rows := table(t, doc, "Counts by minute")
	if len(rows) != 1+minutesShown || !slices.Equal(rows[0], []string{"Minute (UTC)", "valid", "givt"}) {
		t.Fatalf("%d rows under %q", len(rows), rows[0])
	}
	if got := rows[len(rows)-1]; !slices.Equal(got, []string{"2026-11-25 07:00", "20", "2"}) {
		t.Errorf("newest whole minute: %q", got)
	}
	found := 0
	for _, td := range elements(doc, "td") {
		if attr(td, "data-rate") == "0.333" {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d cells with the rate of 20 a minute", found)
	}
}

func TestUnscoredShowsWhereItCounts(t *testing.T) {
	t.Parallel()
	f := books()
	site := newSite(t, f)
	if rows := table(t, site.get("/billing", 200), "Billing rows"); slices.Contains(rows[0], "unscored") {
		t.Errorf("a column of zeros: %q", rows[0])
	}
	f.rows[2].Counts[click.Unscored] = 9
	rows := table(t, site.get("/billing", 200), "Billing rows")
	if got := cell(t, rows, find(t, rows, "t1", "a2"), "unscored"); got != "9" {
		t.Errorf("unscored: %s", got)
	}
}

func TestEmptyStore(t *testing.T) {
	t.Parallel()
	s := newSite(t, &fake{})
	for path, want := range map[string]string{
		"/": "No clicks yet", "/billing": "No clicks yet", "/billing?tenant=x": "No clicks match", "/reconcile": "No gateway has taken anything yet",
	} {
		if got := textOf(s.get(path, 200)); !strings.Contains(got, want) {
			t.Errorf("%s: %q", path, got)
		}
	}
}

func TestBillingRowsAndFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t, books())
	for query, want := range map[string][]string{
		"":                      {"t1 a1 c1 1,234", "t1 a1 c1 12", "t1 a2 c2 7", "t2 a1 c1 3"},
		"?tenant=t1":            {"t1 a1 c1 1,234", "t1 a1 c1 12", "t1 a2 c2 7"},
		"?advertiser=a2":        {"t1 a2 c2 7"},
		"?campaign=c1&tenant=":  {"t1 a1 c1 1,234", "t1 a1 c1 12", "t2 a1 c1 3"},
		"?tenant=t2&campaign=c": {},
	} {
		rows := table(t, s.get("/billing"+query, 200), "Billing rows")
		got := []string{}
		for _, r := range rows[1:] {
			if strings.HasPrefix(r[0], "t1") || strings.HasPrefix(r[0], "t2") {
				got = append(got, strings.Join([]string{r[0], r[1], r[2], r[5]}, " "))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	rows := table(t, s.get("/billing?tenant=t1", 200), "Billing rows")
	for _, c := range []struct{ column, want string }{
		{"Hour (UTC)", "2026-11-25 06:00"}, {"Status", "closed"}, {"Currency", "EUR"}, {"Cost", "1,234,567.89"}, {"valid", "1,200"}, {"givt", "34"}, {"malformed", "0"},
	} {
		if got := cell(t, rows, rows[1], c.column); got != c.want {
			t.Errorf("%s: %q, want %q", c.column, got, c.want)
		}
	}
	if got := find(t, rows, "total, EUR")[1:4]; !slices.Equal(got, []string{"1,246", "1,234,569.39", "EUR"}) {
		t.Errorf("total: %q", got)
	}
}

func TestBillingBoundsItsTable(t *testing.T) {
	t.Parallel()
	f := &fake{}
	for i := range rowsShown + 5 {
		f.rows = append(f.rows, aggregate.BillingRow{TenantID: "t", CampaignID: fmt.Sprint(i), Hour: hour7, Currency: "EUR", CostMicros: 1_000_000})
	}
	s := newSite(t, f)
	doc := s.get("/billing", 200)
	rows := table(t, doc, "Billing rows")
	if len(rows) != 1+rowsShown+1 || !strings.Contains(textOf(doc), "first 1000 of 1005 rows") {
		t.Errorf("%d rows", len(rows))
	}
	if got := find(t, rows, "total, EUR")[2]; got != "1,005.00" {
		t.Errorf("the total leaves rows out: %s", got)
	}
	if lines := strings.Count(s.do("GET", "/billing.csv").Body.String(), "\n"); lines != rowsShown+5 {
		t.Errorf("the download has %d rows", lines)
	}
}

func TestBillingSumsNeverWrap(t *testing.T) {
	t.Parallel()
	f := books()
	f.rows[0].CostMicros = math.MaxInt64
	f.counts[len(f.counts)-8].Micros, f.counts[len(f.counts)-6].Micros = math.MaxInt64, math.MaxInt64
	site := newSite(t, f)
	for _, path := range []string{"/billing", "/"} {
		if got := textOf(site.get(path, 200)); !strings.Contains(got, "too large to add up") {
			t.Errorf("%s hides an overflow", path)
		}
	}
}

func TestDownloads(t *testing.T) {
	t.Parallel()
	f := books()
	s := newSite(t, f)
	w := s.do("GET", "/billing.json?tenant=t1")
	var rows []aggregate.BillingRow
	if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil || !reflect.DeepEqual(rows, f.rows[:3]) {
		t.Errorf("JSON (%v): %+v", err, rows)
	}
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="clickgate-billing-20261125T070100Z.json"` {
		t.Errorf("disposition %q", got)
	}
	w = s.do("GET", "/billing.csv")
	records, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(records) != 4 || !slices.Equal(records[0], []string{"t1", "c1", "1234567890000"}) {
		t.Errorf("CSV (%v): %q", err, records)
	}
	if got := w.Header().Get("Content-Type"); got != "text/csv; charset=utf-8" {
		t.Errorf("type %q", got)
	}
	// The page links to downloads of what it shows.
	var links []string
	for _, a := range elements(s.get("/billing?tenant=t1&campaign=a%26b", 200), "a") {
		links = append(links, attr(a, "href"))
	}
	if slices.Contains(links, "/billing.csv?campaign=a%26b&tenant=t1") {
		t.Error("an empty table offers a download")
	}
	links = nil
	for _, a := range elements(s.get("/billing?tenant=t1&campaign=c1", 200), "a") {
		links = append(links, attr(a, "href"))
	}
	for _, want := range []string{"/billing.csv?campaign=c1&tenant=t1", "/billing.json?campaign=c1&tenant=t1", "/billing?advertiser=a1&campaign=c1&tenant=t1"} {
		if !slices.Contains(links, want) {
			t.Errorf("no link %s in %q", want, links)
		}
	}
}

// ledger of one boot that took n events, of which stored are rows.
func ledger(n uint64, stored int64) aggregate.Ledger {
	mark := click.Mark{
		Gateway: "local/g1", Boot: uint64(hour7), Number: 3, ThroughSeq: n, ClickPartitions: 1, DeadLetterPartitions: 1,
		Counts: []click.SourceCount{{TenantID: "t1", SourceID: "edge", Hour: hour7, Received: n}},
	}
	return aggregate.Ledger{
		Marks: []aggregate.StoredMark{
			{Partition: aggregate.Partition{Topic: stream.ClicksTopic}, Mark: mark},
			{Partition: aggregate.Partition{Topic: stream.DeadLettersTopic}, Mark: mark},
		},
		Rows: []aggregate.RowCount{{
			TenantID: "t1", SourceID: "edge", Hour: hour7, Gateway: "local/g1", Boot: uint64(hour7), State: click.Valid, Proven: stored, Tail: 4,
		}},
		Boots: []aggregate.BootRows{{Gateway: "local/g1", Boot: uint64(hour7), Proven: stored, Tail: 4, MaxSeq: n + 6}},
	}
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stored                     int64
		banner, difference, broken string
	}{
		"balanced": {1200, "balanced Everything", "0", ""},
		"lost":     {1198, "BROKEN BROKEN: true", "+2", "broken"},
		"doubled":  {1201, "BROKEN BROKEN: true", "-1", "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := newSite(t, &fake{ledger: ledger(1200, c.stored)}).get("/reconcile", 200)
			if text := textOf(doc); !strings.Contains(text, c.banner) {
				t.Errorf("verdict: no %q in %s", c.banner, text)
			}
			for _, p := range elements(doc, "p") {
				if class := attr(p, "class"); attr(p, "id") == "verdict" && (class == "banner bad") != (c.broken != "") {
					t.Errorf("the verdict is shown as %s", class)
				}
			}
			hours := table(t, doc, "Hours")
			for column, want := range map[string]string{
				"Hour (UTC)": "2026-11-25 07:00", "Difference": c.difference, "Received": "1,204", "valid": grouped(fmt.Sprint(c.stored + 4)), "Tail": "4",
			} {
				if got := cell(t, hours, find(t, hours, "t1", "edge"), column); got != want {
					t.Errorf("%s: %s, want %s", column, got, want)
				}
			}
			boots := table(t, doc, "Gateway boots")
			for column, want := range map[string]string{
				"Boot (UTC)": "2026-11-25 07:00:00.000000", "Proven through": "1,200", "Missing": c.difference, "Stored": grouped(fmt.Sprint(c.stored)), "Unknown": "2", "Ended": "no final mark",
			} {
				if got := cell(t, boots, find(t, boots, "local/g1"), column); got != want {
					t.Errorf("%s: %s, want %s", column, got, want)
				}
			}
			broken := 0
			for _, tr := range elements(doc, "tr") {
				if attr(tr, "class") == "broken" {
					broken++
				}
			}
			if (broken == 2) != (c.broken != "") || broken == 1 {
				t.Errorf("%d rows are marked", broken)
			}
		})
	}
}

func TestReconcileShowsMiscounts(t *testing.T) {
	t.Parallel()
	f := &fake{totals: []aggregate.Total{{TenantID: "t1", SourceID: "edge", State: click.GIVT, Rows: 1001, Minutes: 1000}}}
	rows := table(t, newSite(t, f).get("/reconcile", 200), "Rows against minute counts")
	if !slices.Equal(rows[1], []string{"t1", "edge", "givt", "1,001", "1,000"}) {
		t.Errorf("%q", rows)
	}
}

func TestBrokenHoursAreNeverCutOff(t *testing.T) {
	t.Parallel()
	l := ledger(1, 1)
	for m := range l.Marks {
		for i := range rowsShown + 10 {
			l.Marks[m].Mark.Counts = append(l.Marks[m].Mark.Counts, click.SourceCount{TenantID: "t1", SourceID: "edge", Hour: hour7 + int64(i+1)*hourMicros})
		}
	}
	last := hour7 + (rowsShown+10)*hourMicros
	l.Rows = append(l.Rows, aggregate.RowCount{TenantID: "t1", SourceID: "edge", Hour: last, Gateway: "local/g1", Boot: uint64(hour7), State: click.Valid, Proven: 1})
	doc := newSite(t, &fake{ledger: l}).get("/reconcile", 200)
	rows := table(t, doc, "Hours")
	if len(rows) != 1+rowsShown || rows[1][2] != hour(last) || rows[1][3] != "-1" || rows[2][2] != hour(hour7) {
		t.Errorf("%d rows, first %q", len(rows), rows[1:3])
	}
	if !strings.Contains(textOf(doc), "1000 of 1011 hours") {
		t.Error("nothing says that hours are left out")
	}
}

func event(t *testing.T) (click.ID, *click.Click) {
	t.Helper()
	id, err := click.ParseID("01936000-0000-7000-8000-000000000001")
	if err != nil {
		t.Fatal(err)
	}
	c := &click.Click{
		TenantID: "t1", SourceID: "edge", EventID: id, EventTime: hour7 + 1, ReceivedAt: hour7 + 2, Entry: click.EntryBatch,
		Flags: click.FlagPrefetch | click.FlagTruncated, AdvertiserID: "a1", CampaignID: "c1", PublisherID: "p1", PlacementID: "pl1",
		LandingHost: "shop.example", Country: "DE", PriceMicros: 1_250_000_000, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "card-7",
		IPKey: click.Key{0xde, 0xad, 0xbe, 0xef}, AgentKey: click.Key{0xfe, 0xed}, IPPrefix: "203.0.113.0/24", ASN: 64500, AgentFamily: "Chrome",
		Evidence: []byte("sealed-evidence"), Ingest: click.IngestID{Gateway: "local/g1", Boot: uint64(hour7), Seq: 12345},
	}
	c.Verdict = click.Verdict{State: click.GIVT, Score: 1, VectorVersion: scoring.VectorVersion, ListsHash: 0xabc, PolicyHash: 0xdef}
	c.Verdict.Reasons = c.Verdict.Reasons.Set(click.ReasonPrefetch)
	c.Verdict.Vector[scoring.SlotAddress1m] = 17
	return id, c
}

func TestTrace(t *testing.T) {
	t.Parallel()
	id, c := event(t)
	f := &fake{events: map[click.ID][]aggregate.TraceRow{id: {
		{What: "click", Click: c, Partition: 3, Offset: 42, IngestedAt: hour7 + 1502},
		{What: "redelivery", Redelivery: &aggregate.RedeliveryRow{EventKey: aggregate.KeyOf(c), SourceID: "again", ReceivedAt: hour7 + 9}, Offset: -1},
		{What: "dead letter", DeadLetter: &click.DeadLetter{TenantID: "t1", Code: "BAD_ID", Field: "id", Message: "is no id", Raw: []byte("raw-bytes")}, Offset: 7},
	}}}
	s := newSite(t, f)
	doc := s.get("/trace?id=+"+id.String()+"+", 200)
	text := textOf(doc)
	for _, want := range []string{
		"click " + id.String() + " givt", "Sourceedge", "Entrybatch", "Sequence12,345", "Partition3Offset42", "After1.5ms",
		"Campaignc1", "Publisherp1", "Placementpl1", "Price1,250.00 EUR", "Fromrate card card-7", "Billedno", "Flagsprefetch, text cut to its limit",
		"NetworkAS64500", "Lists0000000000000abc", "redelivery", "Sourceagain", "dead letter", "CodeBAD_ID", "Topicdeadletters.v1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if got := find(t, table(t, doc, "Reasons"), "PREFETCH"); got[1] != "givt" {
		t.Errorf("reason: %q", got)
	}
	if got := find(t, table(t, doc, "Features"), "address_clicks_1m"); got[1] != "17" {
		t.Errorf("feature: %q", got)
	}
	for _, personal := range []string{"deadbeef", "feed0000", "203.0.113", "sealed-evidence", "raw-bytes"} {
		if strings.Contains(text, personal) {
			t.Errorf("the page shows %s", personal)
		}
	}
	if got := textOf(s.get("/trace?id="+id.String()+"&tenant=t9", 404)); !strings.Contains(got, "No event or dead letter") {
		t.Error(got)
	}
	if got := textOf(s.get("/trace?id=nonsense", 400)); !strings.Contains(got, "This is no event id") {
		t.Error(got)
	}
	if got := textOf(s.get("/trace", 200)); !strings.Contains(got, "Event id") {
		t.Error(got)
	}
}
