package aggregate

import (
	"math"
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var month = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func closedRow(campaign, currency string, hour, clicks, micros int64) BillingRow {
	r := BillingRow{TenantID: "acme", AdvertiserID: "adv", CampaignID: campaign, Hour: month + hour*hourMicros, Currency: currency, CostMicros: micros}
	r.Counts[click.Valid] = clicks
	return r
}

func adjusted(campaign, currency string, at, micros int64) Adjustment {
	return Adjustment{
		EventKey: EventKey{TenantID: "acme"}, Unit: Unit{"acme", "shop", month}, At: at,
		AdvertiserID: "adv", CampaignID: campaign, Currency: currency, Micros: micros,
	}
}

// TestStatementOfSevenHours: sums are exact in every currency; an equal debit and
// credit cancel; currencies stay apart.
func TestStatementOfSevenHours(t *testing.T) {
	t.Parallel()
	for _, currency := range []string{"USD", "JPY", "KWD"} {
		var d StatementData
		for h := range int64(7) {
			d.Rows = append(d.Rows, closedRow("camp", currency, h, 1, 1_428_571))
		}
		s, err := MakeStatement(&d)
		if err != nil || len(s.Totals) != 1 || s.Totals[0].DueMicros != 9_999_997 {
			t.Fatalf("%s: %+v, %v", currency, s, err)
		}
		d.Adjustments = []Adjustment{adjusted("camp", currency, month, -1_428_571)}
		d.Rows = append(d.Rows, closedRow("camp", "CHF", 8, 1, 5_000))
		d.Adjustments = append(d.Adjustments, adjusted("camp", "CHF", month, -5_000))
		if s, err = MakeStatement(&d); err != nil || len(s.Totals) != 2 {
			t.Fatalf("%s: %+v, %v", currency, s, err)
		}
		if s.Totals[0].DueMicros != 0 || s.Totals[1].DueMicros != 8_571_426 || s.Totals[1].CreditMicros != -1_428_571 {
			t.Errorf("%s: totals %+v", currency, s.Totals)
		}
	}
}

// TestStatementAroundTheInvoice: what was adjusted before the invoice is due with
// it, what came later is told apart, and what is waived moves nothing.
func TestStatementAroundTheInvoice(t *testing.T) {
	t.Parallel()
	issued := month + 40*24*hourMicros
	waived := adjusted("camp", "EUR", issued+1, 9)
	waived.Waived = "the invoice is issued"
	other := adjusted("camp", "EUR", issued+5, -3)
	other.TenantID, other.Unit.TenantID = "acmf", "acmf"
	open := closedRow("camp", "EUR", 2, 5, 50)
	open.OpenClicks, open.OpenMicros, open.Provisional = 2, 20, true
	s, err := MakeStatement(&StatementData{
		Rows: []BillingRow{closedRow("camp", "EUR", 1, 10, 100), open},
		Adjustments: []Adjustment{
			adjusted("camp", "EUR", issued-2, 30), adjusted("camp", "EUR", issued-1, -4), adjusted("camp", "EUR", issued, -7), waived, other,
		},
		Invoices: []Invoice{{TenantID: "acme", Month: month, IssuedAt: issued}}, OpenUnits: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []StatementLine{
		{
			TenantID: "acme", AdvertiserID: "adv", CampaignID: "camp", Currency: "EUR", ClosedClicks: 13, ClosedMicros: 130,
			DebitMicros: 30, CreditMicros: -4, DueMicros: 156, LaterMicros: -7, WaivedMicros: 9, OpenClicks: 2, OpenMicros: 20,
		},
		{TenantID: "acmf", AdvertiserID: "adv", CampaignID: "camp", Currency: "EUR", CreditMicros: -3, DueMicros: -3},
	}
	if diff := cmp.Diff(want, s.Lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestStatementTooGreat: a sum near 2^63 is an error that names the line, never a
// negative bill.
func TestStatementTooGreat(t *testing.T) {
	t.Parallel()
	near := closedRow("camp", "EUR", 1, 1, math.MaxInt64-5)
	for name, d := range map[string]*StatementData{
		"hours":       {Rows: []BillingRow{near, closedRow("camp", "EUR", 2, 1, 6)}},
		"adjustments": {Rows: []BillingRow{near}, Adjustments: []Adjustment{adjusted("camp", "EUR", month, 6)}},
		"total":       {Rows: []BillingRow{near, closedRow("other", "EUR", 2, 1, 6)}},
		"clicks":      {Rows: []BillingRow{closedRow("camp", "EUR", 1, math.MaxInt64, 0), closedRow("camp", "EUR", 2, 1, 0)}},
	} {
		if s, err := MakeStatement(d); err == nil || !strings.Contains(err.Error(), `tenant "acme"`) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	fits := &StatementData{Rows: []BillingRow{near, closedRow("camp", "EUR", 2, 1, 5)}}
	if s, err := MakeStatement(fits); err != nil || s.Totals[0].DueMicros != math.MaxInt64 {
		t.Errorf("the greatest sum: %+v, %v", s, err)
	}
}

// TestStatementAddsUp: whatever the rows and adjustments, in whatever order, the
// totals are the lines' and nothing is lost between them.
func TestStatementAddsUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var d StatementData
		var closed, moved, waived int64
		for range rapid.IntRange(0, 20).Draw(t, "rows") {
			r := closedRow(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "campaign"), "EUR", rapid.Int64Range(0, 99).Draw(t, "hour"), 1, rapid.Int64Range(0, 1<<40).Draw(t, "micros"))
			closed += r.CostMicros
			d.Rows = append(d.Rows, r)
		}
		d.Invoices = []Invoice{{TenantID: "acme", Month: month, IssuedAt: month + 50}}
		for range rapid.IntRange(0, 20).Draw(t, "adjustments") {
			a := adjusted(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "campaign"), "EUR", month+rapid.Int64Range(0, 99).Draw(t, "at"), rapid.Int64Range(-1<<40, 1<<40).Draw(t, "micros"))
			if rapid.Bool().Draw(t, "waived") {
				a.Waived = "so"
				waived += a.Micros
			} else {
				moved += a.Micros
			}
			d.Adjustments = append(d.Adjustments, a)
		}
		s, err := MakeStatement(&d)
		if err != nil {
			t.Fatal(err)
		}
		var lines, totals [3]int64
		for i, from := range [...][]StatementLine{s.Lines, s.Totals} {
			to := [...]*[3]int64{&lines, &totals}[i]
			for _, l := range from {
				to[0] += l.DueMicros
				to[1] += l.LaterMicros
				to[2] += l.WaivedMicros
			}
		}
		if lines != totals || totals[0]+totals[1] != closed+moved || totals[2] != waived {
			t.Fatalf("lines %v, totals %v; closed %d, moved %d, waived %d", lines, totals, closed, moved, waived)
		}
	})
}

func TestMonths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ at, month, next string }{
		{"2026-11-01T00:00:00Z", "2026-11-01", "2026-12-01"},
		{"2026-10-31T23:59:59.999999Z", "2026-10-01", "2026-11-01"},
		{"2026-12-31T23:00:00Z", "2026-12-01", "2027-01-01"},
		{"2028-02-29T12:00:00Z", "2028-02-01", "2028-03-01"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		show := func(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.DateOnly) }
		if m, n := show(MonthOf(at.UnixMicro())), show(NextMonth(at.UnixMicro())); m != c.month || n != c.next {
			t.Errorf("%s is of %s, before %s; want %s, %s", c.at, m, n, c.month, c.next)
		}
	}
}

func TestQueueAndSpread(t *testing.T) {
	t.Parallel()
	g := func(ip byte, campaign, currency string, s click.State, clicks, micros, first int64) FlaggedGroup {
		return FlaggedGroup{
			TenantID: "acme", IPKey: click.Key{ip}, CampaignID: campaign, Currency: currency, State: s, Reasons: 1 << ip, Clicks: clicks,
			Micros: micros, First: first, Last: first + 1,
		}
	}
	got := Queue([]FlaggedGroup{
		g(1, "a", "EUR", click.Suspect, 2, 20, 5), g(2, "a", "EUR", click.SIVT, 1, 25, 1), g(1, "b", "EUR", click.SIVT, 1, 10, 2),
		g(1, "a", "", click.SIVT, 9, 0, 3),
	}, 2)
	want := []QueueItem{
		{TenantID: "acme", IPKey: click.Key{1}, Currency: "EUR", Clicks: 3, Suspects: 2, Micros: 30, Campaigns: []string{"a", "b"}, Reasons: 2, First: 2, Last: 6},
		{TenantID: "acme", IPKey: click.Key{2}, Currency: "EUR", Clicks: 1, Micros: 25, Campaigns: []string{"a"}, Reasons: 4, First: 1, Last: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("queue (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		counts []int64
		want   Spread
	}{
		{nil, Spread{}},
		{[]int64{7}, Spread{1, 7, 7, 7}},
		{[]int64{1, 2}, Spread{2, 1.5, 2, 2}},
		{[]int64{0, 0, 3}, Spread{3, 0, 3, 3}},
		{[]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, Spread{20, 10.5, 19, 20}},
	} {
		if got := SpreadOf(c.counts); got != c.want {
			t.Errorf("spread of %v is %+v, want %+v", c.counts, got, c.want)
		}
	}
}
