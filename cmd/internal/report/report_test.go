package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

const hour0 = 1_790_000_400_000_000 - 1_790_000_400_000_000%3_600_000_000

func billed(currency string, n, micros int64) aggregate.BillingRow {
	r := aggregate.BillingRow{TenantID: "acme", AdvertiserID: "adv", CampaignID: "shoes", Hour: hour0, Currency: currency, CostMicros: micros, Provisional: true}
	r.Counts[click.Valid] = n
	return r
}

func printed(t *testing.T, f func(w *bytes.Buffer) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRoundingCase is the published rounding trap: lines rounded one by one do
// not add up, so totals are rounded from exact sums.
func TestRoundingCase(t *testing.T) {
	t.Parallel()
	var rows []aggregate.BillingRow
	for range 7 {
		for _, c := range []string{"USD", "JPY", "KWD"} {
			rows = append(rows, billed(c, 1, 1_428_571))
		}
	}
	check := func(rows []aggregate.BillingRow, micros int64, want map[string]string) {
		t.Helper()
		var out struct{ Totals []billingTotal }
		text := printed(t, func(w *bytes.Buffer) error { return Billing(w, rows, JSON) })
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Totals) != len(want) {
			t.Fatalf("%d totals, want %d: never one over currencies", len(out.Totals), len(want))
		}
		for _, total := range out.Totals {
			if total.CostMicros != micros || total.Cost != want[total.Currency] {
				t.Errorf("%s: %d micros shown as %s, want %d and %s", total.Currency, total.CostMicros, total.Cost, micros, want[total.Currency])
			}
		}
	}
	check(rows, 9_999_997, map[string]string{"USD": "10.00", "JPY": "10", "KWD": "10.000"})
	for _, c := range []string{"USD", "JPY", "KWD"} {
		rows = append(rows, billed(c, 0, -1_428_571))
	}
	check(rows, 8_571_426, map[string]string{"USD": "8.57", "JPY": "9", "KWD": "8.571"})
	check([]aggregate.BillingRow{billed("USD", 1, 5_000), billed("USD", 0, -5_000)}, 0, map[string]string{"USD": "0.00"})
	check([]aggregate.BillingRow{billed("JPY", 1, 12_000_000)}, 12_000_000, map[string]string{"JPY": "12"})
}

func TestOverflowNamesTheRow(t *testing.T) {
	t.Parallel()
	rows := []aggregate.BillingRow{billed("EUR", 1, math.MaxInt64-1), billed("USD", 1, 5), billed("EUR", 1, 2)}
	rows[2].CampaignID = "boots"
	for _, f := range []Format{Table, CSV, JSON} {
		var b bytes.Buffer
		err := Billing(&b, rows, f)
		if err == nil || !strings.Contains(err.Error(), `row 3 (tenant "acme", campaign "boots", hour 2026-09-21T`) || b.Len() > 0 {
			t.Errorf("%s: %v, %q written", f, err, b.String())
		}
	}
	rows = []aggregate.BillingRow{billed("EUR", math.MaxInt64, 0), billed("EUR", 1, 0)}
	if err := Billing(&bytes.Buffer{}, rows, Table); err == nil || !strings.Contains(err.Error(), "count of valid at row 2") {
		t.Errorf("count: %v", err)
	}
}

func TestBillingTable(t *testing.T) {
	t.Parallel()
	closed := billed("JPY", 2, 24_000_000)
	closed.Provisional = false
	none := billed("", 0, 0)
	none.AdvertiserID, none.CampaignID = "", "bad\x1b[31m"
	none.Counts[click.Malformed] = 3
	got := printed(t, func(w *bytes.Buffer) error {
		return Billing(w, []aggregate.BillingRow{none, billed("EUR", 10, 2_500_000), closed}, Table)
	})
	want := strings.TrimPrefix(`
tenant  advertiser  campaign        hour                  status       currency  received  test  givt  sivt  undecidable  suspect  duplicate  redelivered  malformed  unscored  valid  cost_micros  cost
acme                bad\x1b[31m     2026-09-21T14:00:00Z  provisional                   3     0     0     0            0        0          0            0          3         0      0            0
acme    adv         shoes           2026-09-21T14:00:00Z  provisional  EUR             10     0     0     0            0        0          0            0          0         0     10      2500000  2.50
acme    adv         shoes           2026-09-21T14:00:00Z  closed       JPY              2     0     0     0            0        0          0            0          0         0      2     24000000    24
total                                                                                   3     0     0     0            0        0          0            0          3         0      0            0
total                                                                  EUR             10     0     0     0            0        0          0            0          0         0     10      2500000  2.50
total                                                                  JPY              2     0     0     0            0        0          0            0          0         0      2     24000000    24
`, "\n")
	if squeeze(got) != squeeze(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if strings.Contains(got, "\x1b") {
		t.Error("an escape sequence reached the terminal")
	}
}

// squeeze compares columns without their widths.
func squeeze(s string) string {
	var out []string
	for line := range strings.Lines(s) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(out, "\n")
}

func drawRow(t *rapid.T) aggregate.BillingRow {
	id := rapid.StringMatching(`[a-z",;= é-]{1,8}`)
	r := aggregate.BillingRow{
		TenantID: id.Draw(t, "tenant"), AdvertiserID: id.Draw(t, "advertiser"), CampaignID: id.Draw(t, "campaign"),
		Hour:        hour0 + rapid.Int64Range(-1000, 1000).Draw(t, "hour")*3_600_000_000,
		Currency:    rapid.SampledFrom([]string{"", "EUR", "JPY", "KWD"}).Draw(t, "currency"),
		Provisional: rapid.Bool().Draw(t, "provisional"),
	}
	for s := range r.Counts {
		r.Counts[s] = rapid.Int64Range(0, 1<<40).Draw(t, "count")
	}
	if r.Currency != "" {
		r.CostMicros = rapid.Int64Range(-1<<50, 1<<50).Draw(t, "micros")
	}
	return r
}

// TestFormatsAgree parses CSV and JSON back and compares them with the rows, and
// JSON's totals with sums of its rows.
func TestFormatsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 6).Draw(t, "rows")
		var asCSV, asJSON, asTable bytes.Buffer
		for f, w := range map[Format]*bytes.Buffer{CSV: &asCSV, JSON: &asJSON, Table: &asTable} {
			if err := Billing(w, rows, f); err != nil {
				t.Fatal(err)
			}
		}
		lines, err := csv.NewReader(&asCSV).ReadAll()
		if err != nil || len(lines) != len(rows)+1 {
			t.Fatalf("CSV: %d lines, %v", len(lines), err)
		}
		var out struct {
			Rows   []billingLine
			Totals []billingTotal
		}
		if err := json.Unmarshal(asJSON.Bytes(), &out); err != nil || len(out.Rows) != len(rows) {
			t.Fatalf("JSON: %d rows, %v", len(out.Rows), err)
		}
		micros := map[string]int64{}
		for i, r := range rows {
			cell := func(name string) string {
				for c, head := range lines[0] {
					if head == name {
						return lines[i+1][c]
					}
				}
				t.Fatalf("no column %s", name)
				return ""
			}
			line := out.Rows[i]
			total := int64(0)
			for s, n := range r.Counts {
				name := click.State(s).String()
				if cell(name) != strconv.FormatInt(n, 10) || line.Counts[name] != n {
					t.Errorf("row %d: %s is %s in CSV, %d in JSON, %d in truth", i, name, cell(name), line.Counts[name], n)
				}
				total += n
			}
			text := strconv.FormatInt(r.CostMicros, 10)
			if cell("cost_micros") != text || line.CostMicros != r.CostMicros || cell("cost") != line.Cost || cell("received") != strconv.FormatInt(total, 10) || line.Received != total {
				t.Errorf("row %d: CSV %v, JSON %+v, truth %+v", i, lines[i+1], line, r)
			}
			if strings.TrimPrefix(cell("tenant"), "'") != r.TenantID || line.Tenant != r.TenantID || cell("currency") != r.Currency || cell("hour") != line.Hour {
				t.Errorf("row %d: CSV %v, JSON %+v", i, lines[i+1], line)
			}
			if !strings.Contains(asTable.String(), " "+text) {
				t.Errorf("row %d: %s is not in the table", i, text)
			}
			micros[r.Currency] += r.CostMicros
		}
		if len(out.Totals) != len(micros) {
			t.Fatalf("%d totals for %d currencies", len(out.Totals), len(micros))
		}
		for _, total := range out.Totals {
			if total.CostMicros != micros[total.Currency] || total.Cost != Amount(total.CostMicros, total.Currency) {
				t.Errorf("total %+v, want %d micros", total, micros[total.Currency])
			}
		}
	})
}

func account() *aggregate.Reconciliation {
	h := aggregate.HourAccount{TenantID: "acme", SourceID: "edge", Hour: hour0, Received: 12, Tail: 2, Shed: 3, Unrecorded: 1}
	h.ByState[click.Valid], h.ByState[click.GIVT] = 10, 2
	return &aggregate.Reconciliation{
		Hours: []aggregate.HourAccount{h},
		Boots: []aggregate.BootAccount{{Gateway: "eu/gw-1", Boot: hour0, Final: true, ThroughSeq: 10, Stored: 10, Tail: 2, Unknown: 1}},
	}
}

func TestReconciliation(t *testing.T) {
	t.Parallel()
	got := printed(t, func(w *bytes.Buffer) error { return Reconciliation(w, account(), Table) })
	want := `tenant source hour received test givt sivt undecidable suspect duplicate redelivered malformed unscored valid tail shed unrecorded difference
acme edge 2026-09-21T14:00:00Z 12 0 2 0 0 0 0 0 0 0 10 2 3 1 0

gateway boot final through void stored missing tail unknown
eu/gw-1 2026-09-21T14:00:00.000000Z yes 10 0 10 0 2 1

balanced`
	if squeeze(got) != want {
		t.Errorf("got:\n%s", squeeze(got))
	}
	broken := account()
	broken.Broken = true
	broken.Hours[0].Difference = 2
	broken.Boots[0].Missing = -1
	broken.Totals = []aggregate.Total{{TenantID: "acme", SourceID: "edge", State: click.Valid, Rows: 10, Minutes: 9}}
	got = printed(t, func(w *bytes.Buffer) error { return Reconciliation(w, broken, Table) })
	last := "\nBROKEN: tenant acme source edge hour 2026-09-21T14:00:00Z differs by +2; gateway eu/gw-1 boot 2026-09-21T14:00:00.000000Z misses -1; tenant acme source edge has 10 valid rows but 9 in minute counts\n"
	if !strings.HasSuffix(got, last) || !strings.Contains(squeeze(got), "acme edge valid 10 9 1") {
		t.Errorf("got:\n%s", got)
	}
	var out struct {
		Balanced bool
		Verdict  string
		Hours    []hourLine
		Boots    []bootLine
		Totals   []totalLine `json:"differences"`
	}
	text := printed(t, func(w *bytes.Buffer) error { return Reconciliation(w, broken, JSON) })
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	if out.Balanced || out.Hours[0].Difference != 2 || out.Boots[0].Missing != -1 || out.Totals[0].Minutes != 9 || out.Hours[0].Counts["valid"] != 10 {
		t.Errorf("JSON: %+v", out)
	}
	lines, err := csv.NewReader(strings.NewReader(printed(t, func(w *bytes.Buffer) error { return Reconciliation(w, broken, CSV) }))).ReadAll()
	if err != nil || len(lines) != 2 || lines[1][len(lines[1])-1] != "2" {
		t.Errorf("CSV: %v, %v", lines, err)
	}
	for range 9 {
		broken.Hours = append(broken.Hours, broken.Hours[0])
	}
	if v := Verdict(broken); !strings.HasSuffix(v, "and 7 more") {
		t.Errorf("long verdict: %s", v)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	id := click.ID{0: 1, 15: 2}
	c := &click.Click{
		TenantID: "acme", SourceID: "edge", EventID: id, ReceivedAt: hour0, EventTime: hour0, Entry: click.EntryClick,
		CampaignID: "shoes", PriceMicros: 250_000, Currency: "EUR", Pricing: click.PricingCPC, RateCard: "v3",
		Flags: click.FlagSealedToken, IPPrefix: "203.0.113.0/24", Evidence: []byte("sealed evidence"),
		Verdict: click.Verdict{State: click.Duplicate, Reasons: click.Reasons(0).Set(click.ReasonRepeat), Score: 0.5, VectorVersion: 1, ListsHash: 255},
		Ingest:  click.IngestID{Gateway: "eu/gw-1", Boot: hour0, Seq: 7},
	}
	c.Verdict.Vector[3] = 1.5
	rows := []aggregate.TraceRow{
		{What: "click", Click: c, Partition: 3, Offset: 17, IngestedAt: hour0 + 120_000},
		{What: "redelivery", Redelivery: &aggregate.RedeliveryRow{EventKey: aggregate.KeyOf(c), SourceID: "api", Entry: click.EntryBatch, ReceivedAt: hour0}, Offset: -1, IngestedAt: hour0},
		{What: "dead letter", DeadLetter: &click.DeadLetter{TenantID: "acme", Code: "BAD_TIME", Field: "event_time", Message: "is in the future\r\n", Raw: []byte("sealed raw")}, IngestedAt: hour0},
	}
	var copies []Stored
	for i := range rows {
		copies = append(copies, NewStored(&rows[i]))
	}
	got := squeeze(printed(t, func(w *bytes.Buffer) error { return Trace(w, id, copies, Table) }))
	for _, want := range []string{
		"click 01000000-0000-0000-0000-000000000002, tenant acme\n", "edge received 2026-09-21T14:00:00.000000Z\n", "gateway eu/gw-1\n", "sequence 7\n",
		"stream topic clicks.v1\npartition 3\noffset 17\n", "after 120ms\n", "price price 0.25 EUR (250000 micros), cpc\nfrom v3\nbilled no\n",
		"verdict state duplicate\nscore 0.5\nreason REPEAT (measurement) The same click opportunity was already billed.\n", "v1 slot 3 address_z_self 1.5\n", "lists hash 00000000000000ff\n",
		"redelivery 0100", "stream topic deadletters.v1\n", `malformed code BAD_TIME` + "\nfield event_time\n" + `message is in the future\r\n`, "flags sealed_token\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("trace lacks %q:\n%s", want, got)
		}
	}
	asJSON := printed(t, func(w *bytes.Buffer) error { return Trace(w, id, copies, JSON) })
	var out struct{ Copies []Stored }
	if err := json.Unmarshal([]byte(asJSON), &out); err != nil || len(out.Copies) != 3 || out.Copies[0].Verdict.Vector[3].Value != 1.5 || out.Copies[1].Stream.Offset != nil {
		t.Errorf("JSON: %v\n%s", err, asJSON)
	}
	if strings.Contains(got+asJSON, "sealed evidence") || strings.Contains(got+asJSON, "sealed raw") || strings.Contains(asJSON, "personal") {
		t.Error("sealed bytes or personal data are shown")
	}
	if err := Trace(&bytes.Buffer{}, id, copies, CSV); err == nil {
		t.Error("CSV accepted")
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	for _, err := range []error{Billing(&bytes.Buffer{}, nil, "xml"), Reconciliation(&bytes.Buffer{}, account(), "xml")} {
		if err == nil || !strings.Contains(err.Error(), "use table, csv or json") {
			t.Errorf("error %v", err)
		}
	}
}
