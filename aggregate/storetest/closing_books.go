package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// closingMinutes: signed deltas of closing's own partition move the counts, and
// may lie below zero there.
func closingMinutes(e *env) {
	a, b := newRow(1, base), newRow(2, base+second)
	e.put(a, b)
	key := aggregate.MinuteKey{
		TenantID: "acme", SourceID: "shop", Minute: base - base%minute, AdvertiserID: "adv", CampaignID: "camp", AdGroupID: "group",
		PublisherID: "pub", Currency: "EUR", State: click.Valid, Partition: aggregate.ClosingPartition,
	}
	sivt := key
	sivt.State = click.SIVT
	e.ingestOne(newRow(9, base, tenant("unit only")))
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		_, err := tx.TouchUnits(e.ctx(), []aggregate.Unit{shop})
		return err
	}))
	fence := e.seal(shop)
	for range 2 {
		e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
			return tx.AddMinutes(e.ctx(), []aggregate.MinuteDelta{
				{MinuteKey: key, Count: -1, Micros: -1_250_000}, {MinuteKey: sivt, Count: 1, Micros: 1_250_000},
			})
		})
	}
	const where = " FROM click_minutes WHERE tenant_id = 'acme' AND state = "
	equal(e, "valid clicks", e.count("SELECT sum(count)"+where+"9"), 0)
	equal(e, "their cost", e.count("SELECT sum(micros)"+where+"9"), 0)
	equal(e, "valid clicks in closing's partition", e.count("SELECT count"+where+"9 AND partition = -1"), -2)
	equal(e, "sivt clicks", e.count("SELECT sum(count)"+where+"5"), 2)
	equal(e, "their cost", e.count("SELECT sum(micros)"+where+"5"), 2_500_000)
}

// adjustment is one of c's, of its unit.
func adjustment(c *click.Click) aggregate.Adjustment {
	return aggregate.Adjustment{
		EventKey: aggregate.KeyOf(c), Unit: aggregate.UnitOf(c), Revision: 99, At: base,
		AdvertiserID: "adv", CampaignID: "camp", AdGroupID: "group", PublisherID: "pub", Currency: "EUR",
		From: click.Valid, To: click.SIVT, Clicks: -1, Micros: -1_250_000, Cause: aggregate.CauseReview, Who: "ana",
	}
}

// adjustments belong to closed units and to a revision, once.
func adjustments(e *env) {
	a, b := newRow(1, base), newRow(2, base)
	e.ingestOne(a, b)
	fence := e.seal(shop)
	try := func(f func(aggregate.ClosingTx) error) error { return e.store.InClosing(e.ctx(), shop, fence, f) }
	adjust := func(rows ...aggregate.Adjustment) func(aggregate.ClosingTx) error {
		return func(tx aggregate.ClosingTx) error { return tx.Adjust(e.ctx(), rows) }
	}
	revise := func(tx aggregate.ClosingTx) error {
		return tx.Revise(e.ctx(), []aggregate.Revision{revision(a.Click, click.Valid, click.SIVT, 1)})
	}
	refused := func(what string, err error) {
		e.Helper()
		if err == nil {
			e.Errorf("%s was taken", what)
		}
	}
	e.must(try(revise))
	refused("an adjustment of an open unit", try(adjust(adjustment(a.Click))))
	fence = e.close(shop)
	refused("an adjustment without a revision", try(adjust(adjustment(b.Click))))
	refused("two adjustments of one revision", try(adjust(adjustment(a.Click), adjustment(a.Click))))
	e.must(try(adjust(adjustment(a.Click))))
	refused("one more adjustment of the revision", try(adjust(adjustment(a.Click))))
	e.must(try(func(tx aggregate.ClosingTx) error { return errors.Join(revise(tx), adjust(adjustment(a.Click))(tx)) }))
	equal(e, "adjustments", e.count("SELECT count(*) FROM adjustments"), 2)
	equal(e, "their revisions", e.count("SELECT sum(revision) FROM adjustments"), 1+2)
	equal(e, "their clicks", e.count("SELECT sum(clicks) FROM adjustments"), -2)
	equal(e, "their money", e.count("SELECT sum(micros) FROM adjustments WHERE waived = ''"), -2_500_000)
}

// invoices: a month is issued once, and covers the hours of its UTC month.
func invoices(e *env) {
	at := func(s string) int64 {
		t, err := time.Parse(time.RFC3339, s)
		e.must(err)
		return t.UnixMicro()
	}
	nov := aggregate.Invoice{TenantID: "acme", Month: at("2026-11-01T00:00:00Z"), IssuedAt: at("2026-12-03T09:30:00.000001Z"), IssuedBy: "béa"}
	jan := aggregate.Invoice{TenantID: "acme", Month: at("2027-01-01T00:00:00Z"), IssuedAt: 1, IssuedBy: "x"}
	acmf := aggregate.Invoice{TenantID: "acmf", Month: nov.Month, IssuedAt: 2, IssuedBy: "y"}
	for _, inv := range []aggregate.Invoice{jan, acmf, nov} {
		e.must(e.store.IssueInvoice(e.ctx(), inv))
	}
	second := nov
	second.IssuedBy, second.IssuedAt = "someone else", 5
	e.wantErr("a second issue", e.store.IssueInvoice(e.ctx(), second), aggregate.ErrInvoiceIssued)
	for _, bad := range []aggregate.Invoice{{TenantID: "acme", Month: nov.Month + hour}, {Month: nov.Month}} {
		if err := e.store.IssueInvoice(e.ctx(), bad); err == nil || errors.Is(err, aggregate.ErrInvoiceIssued) {
			e.Errorf("invoice %+v: %v", bad, err)
		}
	}
	for tenant, want := range map[string][]aggregate.Invoice{"": {nov, jan, acmf}, "acme": {nov, jan}, "acmf": {acmf}, "acm": nil} {
		got, err := e.store.Invoices(e.ctx(), tenant)
		e.must(err)
		if !slices.Equal(got, want) {
			e.Errorf("invoices of %q are %v, want %v", tenant, got, want)
		}
	}
	e.ingestOne(newRow(1, base))
	e.closing(shop, e.seal(shop), func(tx aggregate.ClosingTx) error {
		for hour, want := range map[string]aggregate.Invoice{
			"2026-10-31T23:00:00Z": {}, "2026-11-01T00:00:00Z": nov, "2026-11-30T23:00:00Z": nov, "2026-12-01T00:00:00Z": {},
			"2026-12-31T23:00:00Z": {}, "2027-01-01T00:00:00Z": jan,
		} {
			got, err := tx.InvoiceOf(e.ctx(), "acme", at(hour))
			if err != nil {
				return err
			}
			equal(e, "invoice of "+hour, got, want)
		}
		got, err := tx.InvoiceOf(e.ctx(), "acmg", shop.Hour)
		equal(e, "invoice of another tenant", got, aggregate.Invoice{})
		return err
	})
}

// finish: a sealed unit is closed once, with its rows.
func finish(e *env) {
	e.ingestOne(newRow(1, base))
	fence := e.lease(shop)
	closed := aggregate.ClosedUnit{
		Unit: shop, ClosedAt: base + hour, Clicks: 3, Hash: [32]byte{0: 1, 31: 255},
		PolicyHash: math.MaxUint64, ModelHash: 1 << 63, Version: "v1", Forced: "eu/g1 is silent",
	}
	row := func(s click.State, count int64) aggregate.ClosedHour {
		return aggregate.ClosedHour{
			Unit: shop, AdvertiserID: "adv", CampaignID: "camp", AdGroupID: "group", PublisherID: "pub", Currency: "EUR",
			State: s, Count: count, Micros: count * 1_250_000,
		}
	}
	try := func(rows ...aggregate.ClosedHour) error {
		return e.store.InClosing(e.ctx(), shop, fence, func(tx aggregate.ClosingTx) error { return tx.Finish(e.ctx(), &closed, rows) })
	}
	if try(row(click.Valid, 1)) == nil {
		e.Error("an open unit was closed")
	}
	e.must(e.store.Seal(e.ctx(), shop, fence))
	if try(row(click.Valid, 1), row(click.Valid, 2)) == nil {
		e.Error("two rows of one key were taken")
	}
	equal(e, "state", e.openUnits()[shop], aggregate.UnitSealed)
	e.must(try(row(click.Valid, 2), row(click.SIVT, 1)))
	if try(row(click.Suspect, 1)) == nil {
		e.Error("a closed unit was closed again")
	}
	equal(e, "open units", len(e.openUnits()), 0)
	equal(e, "closed hours", e.count("SELECT count(*) FROM closed_hours"), 2)
	equal(e, "valid clicks", e.count("SELECT sum(count) FROM closed_hours WHERE state = 9"), 2)
	equal(e, "micros", e.count("SELECT sum(micros) FROM closed_hours"), 3*1_250_000)
	got := e.row("SELECT hour, closed_at, clicks, policy_hash, model_hash, version, forced, hash FROM closed_units")
	want := []any{shop.Hour, base + hour, int64(3), int64(-1), int64(math.MinInt64), "v1", "eu/g1 is silent", string(closed.Hash[:])}
	if diff := gocmp.Diff(want, got); diff != "" {
		e.Errorf("closed unit (-want +got):\n%s", diff)
	}
}

// row reads one row: times as Unix microseconds, bytes as string.
func (e *env) row(query string) []any {
	e.Helper()
	rows, err := e.opts.DB(e.store).QueryContext(e.ctx(), query)
	e.must(err)
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	e.must(err)
	if !rows.Next() {
		e.Fatalf("%s: no row (%v)", query, rows.Err())
	}
	out, at := make([]any, len(columns)), make([]any, len(columns))
	for i := range out {
		at[i] = &out[i]
	}
	e.must(rows.Scan(at...))
	for i, v := range out {
		switch v := v.(type) {
		case time.Time:
			out[i] = v.UnixMicro()
		case []byte:
			out[i] = string(bytes.Clone(v))
		}
	}
	if rows.Next() {
		e.Fatalf("%s: more than one row", query)
	}
	return out
}

// retirements: of several of one gateway the latest stays.
func retirements(e *env) {
	r := func(gateway string, at int64, why string) aggregate.Retirement {
		return aggregate.Retirement{Gateway: gateway, At: at, Who: "ops", Why: why}
	}
	for _, x := range []aggregate.Retirement{
		r("us/g1", base, "disk"), r("eu/g1", base+second, "gone"), r("eu/g1", base+2*second, "gone again"), r("eu/g1", base, "told late"),
	} {
		e.must(e.store.RetireGateway(e.ctx(), x))
	}
	got, err := e.store.RetiredGateways(e.ctx())
	e.must(err)
	want := []aggregate.Retirement{r("eu/g1", base+2*second, "gone again"), r("us/g1", base, "disk")}
	if !slices.Equal(got, want) {
		e.Errorf("retired gateways are %+v, want %+v", got, want)
	}
	b := e.batch(partition(1))
	b.Marks = []click.Mark{newMark(5, 50)}
	e.apply(b)
	marks, err := e.store.StoredMarks(e.ctx())
	e.must(err)
	if diff := gocmp.Diff([]aggregate.StoredMark{{Partition: partition(1), Mark: newMark(5, 50)}}, marks); diff != "" {
		e.Errorf("marks (-want +got):\n%s", diff)
	}
}

// closingValues: every text and every number comes back as it went in.
func closingValues(e *env) {
	for i, s := range texts {
		row := newRow(uint64(i)+1, base+int64(i)*second, func(c *click.Click) { fill(c, s) })
		e.closingValue(row, s)
	}
	nan := newRow(102, base, tenant("nan"), func(c *click.Click) { c.Verdict.Score = math.NaN() })
	e.closingValue(extreme(100, true), "high")
	e.closingValue(extreme(101, false), "low")
	e.closingValue(nan, "nan")
}

// closingValue takes one click through a whole life.
func (e *env) closingValue(row aggregate.ClickRow, s string) {
	u := aggregate.UnitOf(row.Click)
	where := fmt.Sprintf(" WHERE tenant_id = '%s'", strings.ReplaceAll(row.TenantID, "'", "''"))
	e.ingestOne(row)
	fence, err := e.store.Lease(e.ctx(), u, s, hour)
	e.must(err)
	e.must(e.store.Seal(e.ctx(), u, fence))
	e.wantClicks("click of "+s, e.clicks(u, fence, false, 5), row)

	r := revision(row.Click, row.Verdict.State, click.SIVT, row.Verdict.Reasons)
	r.Verdict, r.Who, r.Why = row.Verdict, s, s
	unit := aggregate.ClosedUnit{Unit: u, ClosedAt: base, Clicks: math.MaxInt64, Version: s, Forced: s}
	closed := aggregate.ClosedHour{
		Unit: u, AdvertiserID: s, CampaignID: s, AdGroupID: s, PublisherID: s, Currency: s, State: click.Valid,
		Count: math.MaxInt64, Micros: math.MinInt64,
	}
	a := aggregate.Adjustment{
		EventKey: r.EventKey, Unit: u, At: base, AdvertiserID: s, CampaignID: s, AdGroupID: s, PublisherID: s, Currency: s,
		From: click.Unscored, To: click.Valid, Clicks: 1, Micros: math.MinInt64, Cause: aggregate.CauseLate, Who: s, Why: s, Waived: s,
	}
	e.closing(u, fence, func(tx aggregate.ClosingTx) error {
		_, err := tx.Bill(e.ctx(), []aggregate.Billing{billingOf(row)})
		return errors.Join(err, tx.Revise(e.ctx(), []aggregate.Revision{r}),
			tx.Finish(e.ctx(), &unit, []aggregate.ClosedHour{closed}), tx.Adjust(e.ctx(), []aggregate.Adjustment{a}))
	})
	e.must(e.store.RetireGateway(e.ctx(), aggregate.Retirement{Gateway: row.TenantID, At: base, Who: s, Why: s}))
	e.must(e.store.IssueInvoice(e.ctx(), aggregate.Invoice{TenantID: row.TenantID, Month: aggregate.MonthOf(base), IssuedAt: base, IssuedBy: s}))

	src := row.SourceID
	v := &row.Verdict
	vector, score := any(nil), any(v.Score)
	if v.VectorVersion != 0 {
		vector = vectorBytes(v)
	}
	if math.IsNaN(v.Score) {
		score = nil // SQLite has no NaN; PostgreSQL's is looked at below
	}
	max64, min64 := int64(math.MaxInt64), int64(math.MinInt64)
	for query, want := range map[string][]any{
		"SELECT source_id, version, forced, clicks FROM closed_units": {src, s, s, max64},
		"SELECT source_id, advertiser_id, campaign_id, ad_group_id, publisher_id, currency, count, micros FROM closed_hours": {
			src, s, s, s, s, s, max64, min64,
		},
		"SELECT source_id, hour, at, advertiser_id, campaign_id, ad_group_id, publisher_id, currency, from_state, state, clicks, micros, " +
			"cause, who, why, waived FROM adjustments": {
			src, u.Hour, base, s, s, s, s, s, int64(0), int64(9), int64(1), min64, int64(2), s, s, s,
		},
		"SELECT source_id, hour, at, from_state, state, reasons, vector_version, vector, lists_hash, policy_hash, model_hash, model_slot, " +
			"cause, decision, who, why FROM verdict_revisions": {
			src, u.Hour, base, int64(v.State), int64(v.State), int64(v.Reasons), storedBits(e, v.VectorVersion), vector, int64(v.ListsHash),
			int64(v.PolicyHash), int64(v.ModelHash), int64(v.ModelSlot), int64(1), int64(0), s, s,
		},
		"SELECT CASE WHEN CAST(score AS text) = 'NaN' THEN NULL ELSE score END FROM verdict_revisions": {score},
		"SELECT issued_by FROM invoices": {s},
	} {
		if diff := gocmp.Diff(want, e.row(query+where), cmpopts.EquateEmpty()); diff != "" {
			e.Errorf("%q: %s (-sent +stored):\n%s", s, query, diff)
		}
	}
	retired, err := e.store.RetiredGateways(e.ctx())
	e.must(err)
	if !slices.Contains(retired, aggregate.Retirement{Gateway: row.TenantID, At: base, Who: s, Why: s}) {
		e.Errorf("%q: the retired gateway comes back otherwise", s)
	}
}

// storedBits is how an unsigned 32-bit number stands: SQLite keeps it, PostgreSQL
// has signed columns of that width.
func storedBits(e *env, n uint32) int64 {
	if e.opts.Signed32 {
		return int64(int32(n))
	}
	return int64(n)
}

func vectorBytes(v *click.Verdict) string {
	return string(v.Vector.Append(nil))
}

// closingBadText: what one store cannot hold no store takes, and nothing of it
// stays.
func closingBadText(e *env) {
	row := newRow(1, base)
	e.ingestOne(row)
	fence := e.seal(shop)
	for _, s := range []string{"nul\x00byte", "broken\xff"} {
		r, a := revision(row.Click, click.Valid, click.SIVT, 1), adjustment(row.Click)
		r.Why, a.Why = s, s
		unit := aggregate.ClosedUnit{Unit: shop, Forced: s}
		closed := []aggregate.ClosedHour{{Unit: shop, CampaignID: s}}
		in := func(f func(aggregate.ClosingTx) error) error { return e.store.InClosing(e.ctx(), shop, fence, f) }
		for what, err := range map[string]error{
			"revision":    in(func(tx aggregate.ClosingTx) error { return tx.Revise(e.ctx(), []aggregate.Revision{r}) }),
			"closed unit": in(func(tx aggregate.ClosingTx) error { return tx.Finish(e.ctx(), &unit, nil) }),
			"closed hour": in(func(tx aggregate.ClosingTx) error {
				return tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: shop}, closed)
			}),
			"retirement": e.store.RetireGateway(e.ctx(), aggregate.Retirement{Gateway: "g", Who: s}),
			"invoice":    e.store.IssueInvoice(e.ctx(), aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(base), IssuedBy: s}),
			"touch": e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
				_, err := tx.TouchUnits(e.ctx(), []aggregate.Unit{{TenantID: "acme", SourceID: s, Hour: shop.Hour}})
				return err
			}),
			"lease": func() error { _, err := e.store.Lease(e.ctx(), shop, s, hour); return err }(),
			"adjustment": in(func(tx aggregate.ClosingTx) error {
				return errors.Join(tx.Revise(e.ctx(), []aggregate.Revision{revision(row.Click, click.Valid, click.SIVT, 1)}),
					tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: shop}, nil), tx.Adjust(e.ctx(), []aggregate.Adjustment{a}))
			}),
		} {
			if err == nil {
				e.Errorf("%s with the text %q was taken", what, s)
			}
		}
	}
	e.nothingClosed()
	equal(e, "units", e.count("SELECT count(*) FROM units"), 1)
	e.closing(shop, fence, func(aggregate.ClosingTx) error { return nil }) // the lease still stands
}

// ledgerTables are what closing writes, but for units and late clicks.
var ledgerTables = []string{
	"billed_clicks", "billed_repeats", "verdict_revisions", "closed_units", "closed_hours", "adjustments", "invoices", "retired_gateways",
	"click_minutes",
}

func (e *env) nothingClosed() {
	e.Helper()
	for _, table := range ledgerTables {
		equal(e, "rows of "+table, e.count("SELECT count(*) FROM "+table), 0)
	}
	equal(e, "closed units", e.count("SELECT count(*) FROM units WHERE state = 2"), 0)
	equal(e, "settled clicks", e.count("SELECT count(*) FROM late_clicks WHERE CAST(settled AS integer) = 1"), 0)
}

// foreignUnits: a transaction writes for the unit that it holds and no other.
func foreignUnits(e *env) {
	row, other := newRow(1, base), newRow(2, base, source("other"))
	foreign := newRow(3, base, tenant("acmf"))
	e.ingestOne(row, other, foreign)
	fence := e.seal(shop)
	for _, r := range []aggregate.ClickRow{other, foreign} {
		u := aggregate.UnitOf(r.Click)
		for what, f := range map[string]func(aggregate.ClosingTx) error{
			"bill": func(tx aggregate.ClosingTx) error {
				_, err := tx.Bill(e.ctx(), []aggregate.Billing{billingOf(r)})
				return err
			},
			"revise": func(tx aggregate.ClosingTx) error {
				return tx.Revise(e.ctx(), []aggregate.Revision{revision(r.Click, 9, 5, 1)})
			},
			"revise with another tenant's click": func(tx aggregate.ClosingTx) error {
				x := revision(row.Click, 9, 5, 1)
				x.TenantID = "acmf"
				return tx.Revise(e.ctx(), []aggregate.Revision{x})
			},
			"adjust": func(tx aggregate.ClosingTx) error {
				return tx.Adjust(e.ctx(), []aggregate.Adjustment{adjustment(r.Click)})
			},
			"finish": func(tx aggregate.ClosingTx) error { return tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: u}, nil) },
			"its hours": func(tx aggregate.ClosingTx) error {
				return tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: shop}, []aggregate.ClosedHour{{Unit: u}})
			},
		} {
			if err := e.store.InClosing(e.ctx(), shop, fence, f); err == nil {
				e.Errorf("%s: taken for %v by a transaction on %v", what, u, shop)
			}
		}
	}
	e.nothingClosed()
}

// closingRollsBack: of a transaction that fails nothing stays.
func closingRollsBack(e *env) {
	row, tokened, late := newRow(1, base), newRow(2, base, token(1)), newRow(3, base)
	e.ingestOne(row, tokened)
	fence := e.seal(shop)
	e.ingestOne(late)
	seeded := errors.New("seeded")
	ran := 0
	err := e.store.InClosing(e.ctx(), shop, fence, func(tx aggregate.ClosingTx) error {
		ran++
		_, err := tx.Bill(e.ctx(), []aggregate.Billing{billingOf(row), billingOf(tokened)})
		if err := errors.Join(err,
			tx.Revise(e.ctx(), []aggregate.Revision{revision(row.Click, click.Valid, click.SIVT, 1)}),
			tx.AddMinutes(e.ctx(), []aggregate.MinuteDelta{{MinuteKey: aggregate.MinuteKey{TenantID: "acme", Minute: base, Partition: aggregate.ClosingPartition}, Count: -1}}),
			tx.Finish(e.ctx(), &aggregate.ClosedUnit{Unit: shop}, []aggregate.ClosedHour{{Unit: shop}}),
			tx.Adjust(e.ctx(), []aggregate.Adjustment{adjustment(row.Click)}),
			tx.SettleLate(e.ctx(), []aggregate.EventKey{aggregate.KeyOf(late.Click)}),
		); err != nil {
			e.Errorf("before the seeded error: %v", err)
		}
		return seeded
	})
	e.wantErr("the transaction", err, seeded)
	equal(e, "times it ran", ran, 1)
	e.nothingClosed()
	equal(e, "state", e.openUnits()[shop], aggregate.UnitSealed)
	e.bill("after it", fence, []aggregate.ClickRow{row, tokened}, nil, nil)
}

// closingAppendOnly: what closing has written, no statement changes.
func closingAppendOnly(e *env) {
	e.closingValue(newRow(1, base), "kept")
	exec := e.opts.Exec
	if exec == nil {
		e.Fatal("Options.Exec is missing")
	}
	for _, table := range []string{"verdict_revisions", "closed_units", "closed_hours", "adjustments", "invoices"} {
		for _, statement := range e.opts.Changes(table) {
			err := exec(e.store, statement)
			if err == nil || !strings.Contains(err.Error(), table) {
				e.Errorf("%s: error %v, want one that names %s", statement, err, table)
			}
		}
		equal(e, "rows of "+table, e.count("SELECT count(*) FROM "+table), 1)
		equal(e, "rows of "+table+" that changed", e.count("SELECT count(*) FROM "+table+" WHERE tenant_id <> 'acme'"), 0)
	}
}
