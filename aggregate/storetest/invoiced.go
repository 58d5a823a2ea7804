package storetest

import (
	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// closeAll closes what is open and works off what is late, at time now.
func (e *env) closeAll(now int64) {
	e.Helper()
	_, err := newCloser(e, e.store, "closer", now).CloseNow(e.ctx(), "", "", 0, "test", "to see")
	e.must(err)
	balanced(e, e.store)
}

// behindInvoice: after a month's invoice an hour that nobody knew closes, late clicks
// are worked off and decisions made; no bill rises and nothing is given back twice.
func behindInvoice(e *env) {
	known, late := newRow(1, base), newRow(2, base+minute)
	e.put(known)
	e.closeAll(base + hour)
	issued := aggregate.NextMonth(base)
	e.must(e.store.IssueInvoice(e.ctx(), aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(base), IssuedAt: issued, IssuedBy: "bill"}))
	rows := []aggregate.ClickRow{late}
	for n := range uint64(8) { // of an hour before
		rows = append(rows, newRow(10+n, base-2*hour+int64(n)*minute))
	}
	rows[1].Verdict.State = click.GIVT
	e.put(rows...)
	e.closeAll(issued + hour)
	unknown := rows[2]
	for _, row := range []aggregate.ClickRow{known, late, unknown} {
		for i := range 4 {
			_, err := aggregate.Decide(e.ctx(), e.store, aggregate.DecisionRequest{
				TenantID: "acme", EventID: row.EventID, Decision: [...]aggregate.Decision{aggregate.DecisionConfirm, aggregate.DecisionRelease}[i%2],
				Seen: aggregate.AnyRevision, Who: "ana", Why: "looked", At: issued + 2*hour,
			})
			e.must(err)
		}
	}
	data, err := e.store.Statement(e.ctx(), aggregate.BillingQuery{})
	e.must(err)
	s, err := aggregate.MakeStatement(&data)
	e.must(err)
	price := known.PriceMicros
	equal(e, "lines", len(s.Totals), 1)
	equal(e, "due", s.Totals[0].DueMicros, price)
	equal(e, "given back later", s.Totals[0].LaterMicros, -price)
	equal(e, "adjustments", len(data.Adjustments), 1+7+3*4)
	balanced(e, e.store)
	equal(e, "valid clicks", e.totals()[click.Valid], 1+1+7)
}
