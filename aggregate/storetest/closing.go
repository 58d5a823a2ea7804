package storetest

import (
	"cmp"
	"errors"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// The cases of a store's closing side, beside those in closing_*.go.
var closingCases = []testCase{
	{"UnitLife", unitLife},
	{"UnitOrder", unitOrder},
	{"UnitLeases", unitLeases},
	{"LeaseExpires", leaseExpires},
	{"LateClicks", lateClicks},
	{"UnitPaging", unitPaging},
	{"LatePaging", latePaging},
	{"UnitBorders", unitBorders},
	{"Revisions", revisions},
	{"Decisions", decisions},
	{"BillTokens", billTokens},
	{"BillRepeats", billRepeats},
	{"Unbill", unbill},
	{"ClosingMinutes", closingMinutes},
	{"Adjustments", adjustments},
	{"Invoices", invoices},
	{"Finish", finish},
	{"Retirements", retirements},
	{"ClosingValues", closingValues},
	{"ClosingBadText", closingBadText},
	{"ForeignUnits", foreignUnits},
	{"ClosingRollsBack", closingRollsBack},
	{"ClosingAppendOnly", closingAppendOnly},
	{"BehindInvoice", behindInvoice},
	{"SealDuringIngest", sealDuringIngest},
	{"BillingRaces", billingRaces},
	{"CloserRaces", closerRaces},
	{"OldPlan", oldPlan},
}

// shop is the unit of newRow(n, base).
var shop = aggregate.Unit{TenantID: "acme", SourceID: "shop", Hour: base - base%hour}

func source(id string) func(*click.Click) { return func(c *click.Click) { c.SourceID = id } }

// unitsOf returns the units of rows in key order, and each row's place among them.
func unitsOf(rows []aggregate.ClickRow) (units []aggregate.Unit, place []int) {
	of := func(r aggregate.ClickRow) aggregate.Unit { return aggregate.UnitOf(r.Click) }
	for _, r := range rows {
		units = append(units, of(r))
	}
	slices.SortFunc(units, compareUnits)
	units = slices.Compact(units)
	for _, r := range rows {
		n, _ := slices.BinarySearchFunc(units, of(r), compareUnits)
		place = append(place, n)
	}
	return units, place
}

func compareUnits(a, b aggregate.Unit) int {
	return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Hour, b.Hour))
}

// ingest does what a batch owes to units: touch, insert, count, and keep apart what
// came late. It reports which rows were late.
func (e *env) ingest(tx aggregate.Tx, rows ...aggregate.ClickRow) (late []bool, err error) {
	units, place := unitsOf(rows)
	sealed, err := tx.TouchUnits(e.ctx(), units)
	if err != nil {
		return nil, err
	}
	inserted, err := tx.InsertClicks(e.ctx(), rows)
	if err != nil {
		return nil, err
	}
	var keys []aggregate.EventKey
	var of []aggregate.Unit
	late = make([]bool, len(rows))
	for i := range rows {
		if inserted[i] && sealed[place[i]] {
			late[i] = true
			keys, of = append(keys, aggregate.KeyOf(rows[i].Click)), append(of, units[place[i]])
		}
	}
	return late, tx.InsertLate(e.ctx(), keys, of)
}

// ingestOne runs ingest in a transaction of its own.
func (e *env) ingestOne(rows ...aggregate.ClickRow) (late []bool) {
	e.Helper()
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) (err error) {
		late, err = e.ingest(tx, rows...)
		return err
	}))
	return late
}

const closerName = "closer-1"

func (e *env) lease(u aggregate.Unit) int64 {
	e.Helper()
	fence, err := e.store.Lease(e.ctx(), u, closerName, hour)
	e.must(err)
	return fence
}

// seal leases and seals.
func (e *env) seal(u aggregate.Unit) int64 {
	e.Helper()
	fence := e.lease(u)
	e.must(e.store.Seal(e.ctx(), u, fence))
	return fence
}

// close leases, seals and closes with nothing in it.
func (e *env) close(u aggregate.Unit) int64 {
	e.Helper()
	fence := e.seal(u)
	e.closing(u, fence, func(tx aggregate.ClosingTx) error {
		return tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: u, ClosedAt: base, Version: "test"}, nil)
	})
	return fence
}

func (e *env) closing(u aggregate.Unit, fence int64, f func(aggregate.ClosingTx) error) {
	e.Helper()
	e.must(e.store.InClosing(e.ctx(), u, fence, f))
}

// clicks reads a unit in pages of limit.
func (e *env) clicks(u aggregate.Unit, fence int64, late bool, limit int) (out []aggregate.StoredClick) {
	e.Helper()
	e.closing(u, fence, func(tx aggregate.ClosingTx) (err error) {
		out, err = e.pages(tx, u, late, limit)
		return err
	})
	return out
}

func (e *env) pages(tx aggregate.ClosingTx, u aggregate.Unit, late bool, limit int) (out []aggregate.StoredClick, err error) {
	var after aggregate.ClickPosition
	for {
		page, err := tx.UnitClicks(e.ctx(), u, late, after, limit)
		if err != nil || len(page) == 0 {
			return out, err
		}
		if len(page) > limit {
			return out, errors.New("a page is longer than its limit")
		}
		out = append(out, page...)
		last := page[len(page)-1]
		after = aggregate.ClickPosition{EventTime: last.EventTime, EventID: last.EventID}
	}
}

// openUnits returns the state of every unit that is not closed.
func (e *env) openUnits() map[aggregate.Unit]aggregate.UnitState {
	e.Helper()
	infos, err := e.store.OpenUnits(e.ctx())
	e.must(err)
	out := make(map[aggregate.Unit]aggregate.UnitState)
	for _, i := range infos {
		out[i.Unit] = i.State
	}
	equal(e, "units that stand twice", len(infos)-len(out), 0)
	return out
}

// unitLife: a click registers its unit; sealed and closed it takes late ones only.
func unitLife(e *env) {
	touch := func() (sealed []bool) {
		e.Helper()
		e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) (err error) {
			sealed, err = tx.TouchUnits(e.ctx(), []aggregate.Unit{shop, {TenantID: "acme", SourceID: "shop", Hour: shop.Hour + hour}})
			return err
		}))
		return sealed
	}
	check := func(what string, sealed bool, state aggregate.UnitState, open bool) {
		e.Helper()
		got := touch()
		equal(e, what+": answers", len(got), 2)
		equal(e, what+": sealed", got[0], sealed)
		equal(e, what+": the next hour is sealed", got[1], false)
		s, ok := e.openUnits()[shop]
		equal(e, what+": stands among the open ones", ok, open)
		equal(e, what+": state", s, state)
	}
	check("new", false, aggregate.UnitOpen, true)
	fence := e.lease(shop)
	check("leased", false, aggregate.UnitOpen, true)
	for range 2 {
		e.must(e.store.Seal(e.ctx(), shop, fence))
		check("sealed", true, aggregate.UnitSealed, true)
	}
	e.close(shop)
	check("closed", true, 0, false)
	e.wantErr("seal of a closed unit", e.store.Seal(e.ctx(), shop, e.lease(shop)), aggregate.ErrUnitClosed)
	e.wantErr("the same under an old fence", e.store.Seal(e.ctx(), shop, fence), aggregate.ErrNotLeased)
	check("closed, and sealed again", true, 0, false)
	none, err := e.store.LateUnits(e.ctx())
	e.must(err)
	equal(e, "units with late clicks", len(none), 0)
}

// unitOrder: OpenUnits in order of tenant, hour, source; the clock of first and
// last clicks is the store's.
func unitOrder(e *env) {
	rows := []aggregate.ClickRow{
		newRow(1, base+hour), newRow(2, base, source("zebra")), newRow(3, base), newRow(4, base, tenant("acmé")),
		newRow(5, base, tenant("abc")), newRow(6, base, source("Shop")), newRow(7, base),
	}
	e.ingestOne(rows...)
	infos, err := e.store.OpenUnits(e.ctx())
	e.must(err)
	var got []aggregate.Unit
	for _, i := range infos {
		got = append(got, i.Unit)
		if i.FirstSeen <= 0 || i.LastReceived < i.FirstSeen {
			e.Errorf("%v: first seen at %d, last at %d", i.Unit, i.FirstSeen, i.LastReceived)
		}
	}
	u := func(n int) aggregate.Unit { return aggregate.UnitOf(rows[n].Click) }
	want := []aggregate.Unit{u(4), u(5), u(2), u(1), u(0), u(3)}
	if !slices.Equal(got, want) {
		e.Errorf("open units are\n%v, want\n%v", got, want)
	}
	e.ingestOne(newRow(8, base))
	again, err := e.store.OpenUnits(e.ctx())
	e.must(err)
	if !slices.EqualFunc(infos, again, func(a, b aggregate.UnitInfo) bool {
		return a.FirstSeen == b.FirstSeen && b.LastReceived-a.LastReceived >= 0
	}) {
		e.Errorf("after one more click units are %v, before %v", again, infos)
	}
}

// unitLeases: one closer at a time, each under a fence of its own.
func unitLeases(e *env) {
	ctx, nothing := e.ctx(), func(aggregate.ClosingTx) error { return nil }
	if _, err := e.store.Lease(ctx, shop, "a", hour); err == nil || errors.Is(err, aggregate.ErrNotLeased) {
		e.Errorf("lease of a unit that is not there: %v", err)
	}
	e.wantErr("transaction on a unit that is not there", e.store.InClosing(ctx, shop, 1, nothing), aggregate.ErrNotLeased)
	e.ingestOne(newRow(1, base), newRow(2, base, source("other")))
	e.wantErr("transaction without a lease", e.store.InClosing(ctx, shop, 0, nothing), aggregate.ErrNotLeased)
	e.wantErr("seal without a lease", e.store.Seal(ctx, shop, 0), aggregate.ErrNotLeased)

	first, err := e.store.Lease(ctx, shop, "a", hour)
	e.must(err)
	_, err = e.store.Lease(ctx, shop, "b", hour)
	e.wantErr("lease of another while the first runs", err, aggregate.ErrNotLeased)
	other, err := e.store.Lease(ctx, aggregate.Unit{TenantID: "acme", SourceID: "other", Hour: shop.Hour}, "b", hour)
	e.must(err)
	second, err := e.store.Lease(ctx, shop, "a", hour)
	e.must(err)
	if first <= 0 || second <= first || other <= 0 {
		e.Errorf("fences are %d and %d, of another unit %d", first, second, other)
	}
	ran := 0
	count := func(aggregate.ClosingTx) error { ran++; return nil }
	e.wantErr("transaction under the old fence", e.store.InClosing(ctx, shop, first, count), aggregate.ErrNotLeased)
	e.wantErr("transaction under a fence to come", e.store.InClosing(ctx, shop, second+1, count), aggregate.ErrNotLeased)
	e.wantErr("seal under the old fence", e.store.Seal(ctx, shop, first), aggregate.ErrNotLeased)
	equal(e, "transactions that ran", ran, 0)
	equal(e, "state", e.openUnits()[shop], aggregate.UnitOpen)
	e.closing(shop, second, count)
	equal(e, "transactions that ran", ran, 1)
	e.must(e.store.Seal(ctx, shop, second))
	equal(e, "state", e.openUnits()[shop], aggregate.UnitSealed)
}

// leaseExpires: after its end a lease goes to whoever asks, and the closer that
// had it writes no more.
func leaseExpires(e *env) {
	e.ingestOne(newRow(1, base))
	old, err := e.store.Lease(e.ctx(), shop, "a", 1)
	e.must(err)
	var fence int64
	for try := 0; ; try++ { // a lease of a microsecond is over at once
		if fence, err = e.store.Lease(e.ctx(), shop, "b", hour); !errors.Is(err, aggregate.ErrNotLeased) || try == 1000 {
			break
		}
	}
	e.must(err)
	if fence <= old {
		e.Errorf("fence %d after %d", fence, old)
	}
	_, err = e.store.Lease(e.ctx(), shop, "a", hour)
	e.wantErr("lease of the one that had it", err, aggregate.ErrNotLeased)
	e.wantErr("its transaction", e.store.InClosing(e.ctx(), shop, old, func(aggregate.ClosingTx) error { return nil }), aggregate.ErrNotLeased)
	e.wantErr("its seal", e.store.Seal(e.ctx(), shop, old), aggregate.ErrNotLeased)
	e.must(e.store.Seal(e.ctx(), shop, fence))
}
