package storetest

import (
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// onUnit runs f in a closing transaction of u; seal seals it before.
func (e *env) onUnit(u aggregate.Unit, seal bool, f func(aggregate.ClosingTx) error) {
	e.Helper()
	fence, err := e.store.Lease(e.ctx(), u, "books", minute)
	e.must(err)
	if seal {
		e.must(e.store.Seal(e.ctx(), u, fence))
	}
	e.must(e.store.InClosing(e.ctx(), u, fence, f))
}

// revise appends one revision that moves a click's state, and its minute counts.
func (e *env) revise(row aggregate.ClickRow, from, to click.State, change func(*aggregate.Revision, *aggregate.Adjustment) bool) {
	e.Helper()
	c := row.Click
	u := aggregate.UnitOf(c)
	rev := aggregate.Revision{
		EventKey: aggregate.KeyOf(c), Unit: u, At: base, From: from,
		Verdict: click.Verdict{State: to, Reasons: click.Reasons(0).Set(click.ReasonRateIP), Score: 0.5, VectorVersion: 1, PolicyHash: 7},
		Cause:   aggregate.CauseReview, Who: "ana", Why: "looked",
	}
	adj := aggregate.Adjustment{
		EventKey: rev.EventKey, Unit: u, At: base + 1, AdvertiserID: c.AdvertiserID, CampaignID: c.CampaignID, AdGroupID: c.AdGroupID,
		PublisherID: c.PublisherID, Currency: c.Currency, From: from, To: to, Cause: rev.Cause, Who: "ana", Why: "looked",
	}
	money := change(&rev, &adj)
	e.onUnit(u, false, func(tx aggregate.ClosingTx) error {
		if err := tx.Revise(e.ctx(), []aggregate.Revision{rev}); err != nil {
			return err
		}
		if money {
			if err := tx.Adjust(e.ctx(), []aggregate.Adjustment{adj}); err != nil {
				return err
			}
		}
		if from == to {
			return nil
		}
		delta := func(s click.State, n int64) aggregate.MinuteDelta {
			return aggregate.MinuteDelta{MinuteKey: aggregate.MinuteKey{
				TenantID: c.TenantID, SourceID: c.SourceID, Minute: c.EventTime - c.EventTime%minute, AdvertiserID: c.AdvertiserID,
				CampaignID: c.CampaignID, AdGroupID: c.AdGroupID, PublisherID: c.PublisherID, Currency: c.Currency,
				State: s, Partition: aggregate.ClosingPartition,
			}, Count: n, Micros: n * c.PriceMicros}
		}
		deltas := []aggregate.MinuteDelta{delta(from, -1), delta(to, 1)}
		slices.SortFunc(deltas, func(a, b aggregate.MinuteDelta) int { return int(a.State) - int(b.State) })
		return tx.AddMinutes(e.ctx(), deltas)
	})
}

func decide(d aggregate.Decision) func(*aggregate.Revision, *aggregate.Adjustment) bool {
	return func(r *aggregate.Revision, _ *aggregate.Adjustment) bool {
		r.Decision = d
		return false
	}
}

// revisedCounts: every report follows the newest verdict, and the books balance.
func revisedCounts(e *env) {
	rows := []aggregate.ClickRow{
		newRow(1, base), newRow(2, base, state(click.Suspect)), newRow(3, base, state(click.Suspect)), newRow(4, base, state(click.SIVT)),
	}
	e.put(rows...)
	e.revise(rows[1], click.Suspect, click.Valid, decide(aggregate.DecisionRelease))
	e.revise(rows[1], click.Valid, click.SIVT, decide(aggregate.DecisionConfirm))
	e.revise(rows[2], click.Suspect, click.Valid, decide(aggregate.DecisionRelease))
	e.revise(rows[3], click.SIVT, click.SIVT, decide(aggregate.DecisionNote))

	equal(e, "totals", e.totals(), [10]int64{click.Valid: 2, click.SIVT: 2})
	l, err := e.store.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	var byState [10]int64
	for _, r := range l.Rows {
		byState[r.State] += r.Tail
	}
	equal(e, "ledger rows", byState, [10]int64{click.Valid: 2, click.SIVT: 2})
	equal(e, "rows of the boot", l.Boots[0].Tail, 4)
	if diff := cmp.Diff(mustTotals(e), l.Totals); diff != "" {
		e.Errorf("the ledger's totals are others (-Totals +Ledger):\n%s", diff)
	}
	bill, err := e.store.Billing(e.ctx(), aggregate.BillingQuery{})
	e.must(err)
	if len(bill) != 1 || bill[0].Counts != byState || bill[0].OpenClicks != 2 || bill[0].OpenMicros != 2_500_000 || !bill[0].Provisional {
		e.Errorf("bill %+v", bill)
	}
	trace, err := e.store.Trace(e.ctx(), "acme", rows[1].EventID)
	e.must(err)
	if len(trace) != 1 || trace[0].Click.Verdict.State != click.Suspect || len(trace[0].Revisions) != 2 {
		e.Fatalf("trace %+v", trace)
	}
	last := trace[0].Revisions[1]
	if last.Number != 2 || last.From != click.Valid || last.Verdict.State != click.SIVT || last.Decision != aggregate.DecisionConfirm ||
		last.Who != "ana" || last.Why != "looked" || last.Verdict.PolicyHash != 7 || last.Verdict.Score != 0.5 {
		e.Errorf("last revision %+v", last)
	}
}

func mustTotals(e *env) []aggregate.Total {
	e.Helper()
	totals, err := e.store.Totals(e.ctx())
	e.must(err)
	return totals
}

// finish closes the unit of a row with what the minute counts say of it now.
func (e *env) finish(u aggregate.Unit, rows ...aggregate.ClosedHour) {
	e.Helper()
	e.onUnit(u, true, func(tx aggregate.ClosingTx) error {
		return tx.Finish(e.ctx(), &aggregate.ClosedUnit{
			Unit: u, ClosedAt: base + hour, Clicks: int64(len(rows)), Hash: [32]byte{1, 31: 2}, PolicyHash: 1 << 63, ModelHash: 3, Version: "v1", Forced: "because",
		}, rows)
	})
}

func closedRow(u aggregate.Unit, s click.State, n, micros int64) aggregate.ClosedHour {
	return aggregate.ClosedHour{
		Unit: u, AdvertiserID: "adv", CampaignID: "camp", AdGroupID: "group", PublisherID: "pub", Currency: "EUR", State: s, Count: n, Micros: micros,
	}
}

// closedBilling: closed units are billed as they were closed; what changes later
// stands in the statement alone, and the ledger finds what is not explained.
func closedBilling(e *env) {
	rows := []aggregate.ClickRow{
		newRow(1, base), newRow(2, base, state(click.Suspect)), newRow(3, base+3*minute),
		newRow(4, base, func(c *click.Click) { c.SourceID = "other" }), again(newRow(1, base), 9),
	}
	e.put(rows...)
	u := aggregate.UnitOf(rows[0].Click)
	e.finish(u, closedRow(u, click.Valid, 1, 1_250_000), closedRow(u, click.Suspect, 1, 1_250_000))

	bill, err := e.store.Billing(e.ctx(), aggregate.BillingQuery{To: u.Hour + hour})
	e.must(err)
	want := aggregate.BillingRow{
		TenantID: "acme", AdvertiserID: "adv", CampaignID: "camp", Hour: u.Hour, Currency: "EUR",
		Counts:     [10]int64{click.Valid: 2, click.Suspect: 1, click.Redelivered: 1},
		CostMicros: 2_500_000, SavedMicros: 1_250_000, Provisional: true, OpenClicks: 1, OpenMicros: 1_250_000,
	}
	if diff := cmp.Diff([]aggregate.BillingRow{want}, bill); diff != "" {
		e.Errorf("bill of a half closed hour (-want +got):\n%s", diff)
	}
	other := aggregate.UnitOf(rows[3].Click)
	e.finish(other, closedRow(other, click.Valid, 1, 1_250_000))
	bill, err = e.store.Billing(e.ctx(), aggregate.BillingQuery{})
	e.must(err)
	want.Provisional, want.OpenClicks, want.OpenMicros = false, 0, 0
	if len(bill) != 2 || !cmp.Equal(bill[0], want) || !bill[1].Provisional {
		e.Errorf("bill of a closed and an open hour: %+v", bill)
	}
	e.closedBooks(u, 0)

	// A release moves the counts, not the closed hour: the books miss its adjustment.
	e.revise(rows[1], click.Suspect, click.Valid, decide(aggregate.DecisionRelease))
	e.closedBooks(u, -1)
	e.revise(rows[1], click.Valid, click.Valid, func(_ *aggregate.Revision, a *aggregate.Adjustment) bool {
		a.From, a.Clicks, a.Micros = click.Suspect, 1, 1_250_000
		return true
	})
	e.closedBooks(u, 0)
	e.statement(u, want)
}

// closedBooks demands by how many clicks the closed hours differ from the counts.
func (e *env) closedBooks(u aggregate.Unit, clicks int64) {
	e.Helper()
	l, err := e.store.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	var want []aggregate.ClosedDifference
	if clicks != 0 {
		want = []aggregate.ClosedDifference{{Unit: u, CampaignID: "camp", Currency: "EUR", Clicks: clicks, Micros: clicks * 1_250_000}}
	}
	if diff := cmp.Diff(want, l.Closed); diff != "" {
		e.Errorf("closed hours against counts (-want +got):\n%s", diff)
	}
}

func (e *env) statement(u aggregate.Unit, closed aggregate.BillingRow) {
	e.Helper()
	inv := aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(base), IssuedAt: base + 2, IssuedBy: "bill"}
	e.must(e.store.IssueInvoice(e.ctx(), inv))
	d, err := e.store.Statement(e.ctx(), aggregate.BillingQuery{TenantID: "acme", From: inv.Month, To: aggregate.NextMonth(base)})
	e.must(err)
	if len(d.Rows) != 2 || !cmp.Equal(d.Rows[0], closed) {
		e.Errorf("rows of the statement: %+v", d.Rows)
	}
	if len(d.Adjustments) != 1 {
		e.Fatalf("adjustments %+v", d.Adjustments)
	}
	a := d.Adjustments[0]
	if a.Revision != 2 || a.Micros != 1_250_000 || a.Clicks != 1 || a.Unit != u || a.Who != "ana" || a.At != base+1 || a.Cause != aggregate.CauseReview {
		e.Errorf("adjustment %+v", a)
	}
	if diff := cmp.Diff([]aggregate.Invoice{inv}, d.Invoices); diff != "" || d.OpenUnits != 1 {
		e.Errorf("%d units open; invoices (-want +got):\n%s", d.OpenUnits, diff)
	}
	s, err := aggregate.MakeStatement(&d)
	e.must(err)
	want := aggregate.StatementLine{
		TenantID: "acme", AdvertiserID: "adv", CampaignID: "camp", Currency: "EUR", ClosedClicks: 2, ClosedMicros: 2_500_000,
		DebitMicros: 1_250_000, DueMicros: 3_750_000, OpenClicks: 1, OpenMicros: 1_250_000,
	}
	if diff := cmp.Diff([]aggregate.StatementLine{want}, s.Lines); diff != "" {
		e.Errorf("statement (-want +got):\n%s", diff)
	}
	units, err := e.store.ClosedUnits(e.ctx(), aggregate.BillingQuery{TenantID: "acme"})
	e.must(err)
	if len(units) != 2 || units[0].SourceID != "other" || units[1].Unit != u || units[1].PolicyHash != 1<<63 || units[1].Hash != [32]byte{1, 31: 2} ||
		units[1].Forced != "because" || units[1].ClosedAt != base+hour {
		e.Errorf("closed units %+v", units)
	}
	if units, err = e.store.ClosedUnits(e.ctx(), aggregate.BillingQuery{From: u.Hour + hour}); err != nil || len(units) != 0 {
		e.Errorf("closed units of a later hour: %+v, %v", units, err)
	}
}

// invalid: reasons by the newest verdict, valid ones left out.
func invalid(e *env) {
	reasons := func(s click.State, rs ...click.Reason) func(*click.Click) {
		return func(c *click.Click) {
			c.Verdict.State = s
			for _, r := range rs {
				c.Verdict.Reasons = c.Verdict.Reasons.Set(r)
			}
		}
	}
	rows := []aggregate.ClickRow{
		newRow(1, base), newRow(2, base, reasons(click.GIVT, click.ReasonCrawler)), newRow(3, base, reasons(click.GIVT, click.ReasonCrawler)),
		newRow(4, base, reasons(click.SIVT, click.ReasonRateIP, click.ReasonTor)), newRow(5, base+3*minute, reasons(click.GIVT, click.ReasonHeadless)),
		newRow(6, base, reasons(click.Suspect, click.ReasonRateIP), func(c *click.Click) { c.Pricing = click.PricingCPM }),
	}
	e.put(rows...)
	e.revise(rows[3], click.SIVT, click.Valid, decide(aggregate.DecisionRelease))
	h := base - base%hour
	got, err := e.store.Invalid(e.ctx(), aggregate.BillingQuery{From: h, To: h + hour, CampaignID: "camp"})
	e.must(err)
	row := func(currency string, s click.State, r click.Reason, n, micros int64) aggregate.InvalidRow {
		return aggregate.InvalidRow{
			TenantID: "acme", AdvertiserID: "adv", CampaignID: "camp", PublisherID: "pub", Currency: currency, State: s,
			Reasons: click.Reasons(0).Set(r), Count: n, Micros: micros,
		}
	}
	want := []aggregate.InvalidRow{
		row("", click.Suspect, click.ReasonRateIP, 1, 0), row("EUR", click.GIVT, click.ReasonCrawler, 2, 2_500_000),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("invalid clicks (-want +got):\n%s", diff)
	}
}

// flagged: suspects and sivt that nobody decided, by their newest verdict.
func flagged(e *env) {
	at := func(n byte, s click.State) func(*click.Click) {
		return func(c *click.Click) {
			c.IPKey, c.Verdict.State, c.Verdict.Reasons = click.Key{n}, s, click.Reasons(0).Set(click.ReasonRateIP)
		}
	}
	rows := []aggregate.ClickRow{
		newRow(1, base, at(1, click.SIVT)), newRow(2, base+1, at(1, click.SIVT)), newRow(3, base+2, at(1, click.Suspect)),
		newRow(4, base, at(2, click.Suspect)), newRow(5, base, at(3, click.Valid)), newRow(6, base, at(4, click.GIVT)),
		newRow(7, base, at(5, click.Valid)), newRow(8, base, at(6, click.SIVT)), newRow(9, base, at(7, click.SIVT), tenant("acmf")),
	}
	e.put(rows...)
	byCloser := func(r *aggregate.Revision, _ *aggregate.Adjustment) bool {
		r.Cause, r.Decision = aggregate.CauseClose, aggregate.DecisionNone
		return false
	}
	e.revise(rows[3], click.Suspect, click.Valid, byCloser)                      // no longer flagged
	e.revise(rows[6], click.Valid, click.SIVT, byCloser)                         // flagged later
	e.revise(rows[7], click.SIVT, click.SIVT, decide(aggregate.DecisionConfirm)) // decided
	e.revise(rows[0], click.SIVT, click.SIVT, decide(aggregate.DecisionNote))    // a note decides nothing
	e.revise(rows[6], click.SIVT, click.SIVT, decide(aggregate.DecisionNote))    // neither there
	groups, err := e.store.Flagged(e.ctx(), aggregate.FlaggedQuery{TenantID: "acme", CampaignID: "camp", From: base, To: base + hour})
	e.must(err)
	want := []aggregate.QueueItem{
		{TenantID: "acme", IPKey: click.Key{1}, Clicks: 3, Suspects: 1, Micros: 3_750_000, First: base, Last: base + 2},
		{TenantID: "acme", IPKey: click.Key{5}, Clicks: 1, Micros: 1_250_000, First: base, Last: base},
	}
	for i := range want {
		want[i].IPPrefix, want[i].Currency, want[i].Campaigns = "192.0.2.0/24", "EUR", []string{"camp"}
		want[i].Reasons = click.Reasons(0).Set(click.ReasonRateIP)
	}
	if diff := cmp.Diff(want, aggregate.Queue(groups, 0)); diff != "" {
		e.Errorf("queue (-want +got):\n%s", diff)
	}
	for _, q := range []aggregate.FlaggedQuery{{TenantID: "acmg"}, {CampaignID: "x"}, {From: base + hour}, {To: base}} {
		if groups, err := e.store.Flagged(e.ctx(), q); err != nil || len(groups) != 0 {
			e.Errorf("flagged of %+v: %+v, %v", q, groups, err)
		}
	}
	all, err := e.store.Flagged(e.ctx(), aggregate.FlaggedQuery{})
	e.must(err)
	equal(e, "cases of all tenants", len(aggregate.Queue(all, 0)), 3)
}

// addresses: the clicks of an address, its minutes and its peers.
func addresses(e *env) {
	mine := func(c *click.Click) { c.IPKey = click.Key{1} }
	start := base - base%minute
	rows := []aggregate.ClickRow{
		newRow(1, start, mine), newRow(2, start+30*second, mine), newRow(3, start-minute, mine), newRow(4, start+hour, mine),
		newRow(5, start+1), newRow(6, start+2, func(c *click.Click) { c.IPKey = click.Key{9} }),
		newRow(7, start+3, func(c *click.Click) { c.IPKey = click.Key{9} }), newRow(8, start+4, func(c *click.Click) { c.IPKey = click.Key{9} }),
		newRow(9, start+5, func(c *click.Click) { c.SourceID = "other" }), newRow(10, start, mine, tenant("acmf")),
	}
	e.put(rows...)
	e.revise(rows[0], click.Valid, click.SIVT, decide(aggregate.DecisionConfirm))
	q := aggregate.AddressQuery{TenantID: "acme", IPKey: click.Key{1}}
	clicks, err := e.store.AddressClicks(e.ctx(), q)
	e.must(err)
	var ids []click.ID
	for _, c := range clicks {
		ids = append(ids, c.EventID)
	}
	if diff := cmp.Diff([]click.ID{rows[3].EventID, rows[1].EventID, rows[0].EventID, rows[2].EventID}, ids); diff != "" {
		e.Errorf("clicks of the address (-want +got):\n%s", diff)
	}
	first := clicks[2]
	if first.State != click.SIVT || first.Verdict.State != click.Valid || first.Decision != aggregate.DecisionConfirm || first.Revision != 1 {
		e.Errorf("the decided click is %+v", first)
	}
	if diff := cmp.Diff(rows[0].Click, first.Click, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(click.Click{}, "Evidence")); diff != "" {
		e.Errorf("click comes back otherwise:\n%s", diff)
	}
	q.Limit, q.From, q.To = 1, start, start+hour
	if clicks, err = e.store.AddressClicks(e.ctx(), q); err != nil || len(clicks) != 1 || clicks[0].EventID != rows[1].EventID {
		e.Errorf("newest click of the hour: %+v, %v", clicks, err)
	}
	minutes, err := e.store.AddressMinutes(e.ctx(), aggregate.AddressQuery{TenantID: "acme", IPKey: click.Key{1}, From: start - minute, To: start + minute})
	e.must(err)
	if diff := cmp.Diff([]aggregate.AddressMinute{{Minute: start - minute, Count: 1}, {Minute: start, Count: 2}}, minutes); diff != "" {
		e.Errorf("minutes (-want +got):\n%s", diff)
	}
	peers, err := e.store.PeerCounts(e.ctx(), "acme", "shop", start)
	e.must(err)
	if diff := cmp.Diff([]int64{1, 2, 3}, peers); diff != "" {
		e.Errorf("peers (-want +got):\n%s", diff)
	}
	c, err := aggregate.ReadCase(e.ctx(), e.store, aggregate.AddressQuery{TenantID: "acme", IPKey: click.Key{1}}, rows[1].EventID)
	e.must(err)
	if c.Minute != 2 || c.Normal.Max != 1 || c.Normal.Size != 60 || c.Peers.Median != 2 || c.Clicks[c.Focus].EventID != rows[1].EventID {
		e.Errorf("case %+v", c)
	}
	_, err = aggregate.ReadCase(e.ctx(), e.store, aggregate.AddressQuery{TenantID: "acme", IPKey: click.Key{77}}, click.ID{})
	e.wantErr("a case of nobody", err, aggregate.ErrNoCase)
	if _, ok, err := e.store.ClickOf(e.ctx(), "acme", rows[9].EventID); ok || err != nil {
		e.Errorf("another tenant's click is found: %v", err)
	}
}
