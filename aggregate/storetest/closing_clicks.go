package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// wantClicks demands that got are want, in this order, complete but for evidence.
func (e *env) wantClicks(what string, got []aggregate.StoredClick, want ...aggregate.ClickRow) {
	e.Helper()
	var a, b []aggregate.ClickRow
	for _, w := range want {
		c := *w.Click
		c.Evidence, w.Click = nil, &c
		a = append(a, w)
	}
	for _, g := range got {
		b = append(b, g.ClickRow)
	}
	if diff := gocmp.Diff(a, b, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
		e.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// lateClicks: what comes after the seal stands apart, and in LateUnits once the
// unit is closed, until it is settled.
func lateClicks(e *env) {
	early, late, later := newRow(1, base), newRow(2, base-second), newRow(3, base+second)
	e.ingestOne(early)
	fence := e.seal(shop)
	if got := e.ingestOne(again(early, 9), late); !slices.Equal(got, []bool{false, true}) {
		e.Errorf("late are %v, want the new click alone", got)
	}
	e.wantClicks("the sealed set", e.clicks(shop, fence, false, 10), early)
	e.wantClicks("the late ones", e.clicks(shop, fence, true, 10), late)
	lateUnits := func(want ...aggregate.Unit) {
		e.Helper()
		got, err := e.store.LateUnits(e.ctx())
		e.must(err)
		if !slices.Equal(got, want) {
			e.Errorf("units with late clicks are %v, want %v", got, want)
		}
	}
	lateUnits()
	fence = e.close(shop)
	lateUnits(shop)
	e.ingestOne(later, newRow(4, base, source("other")))
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.SettleLate(e.ctx(), []aggregate.EventKey{aggregate.KeyOf(late.Click), aggregate.KeyOf(early.Click)})
	})
	lateUnits(shop)
	e.wantClicks("the late ones that are not settled", e.clicks(shop, fence, true, 10), later)
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.SettleLate(e.ctx(), []aggregate.EventKey{aggregate.KeyOf(later.Click)})
	})
	lateUnits()
	e.wantClicks("late ones when all are settled", e.clicks(shop, fence, true, 10))
	e.wantClicks("the sealed set stays", e.clicks(shop, fence, false, 10), early)
	equal(e, "late clicks", e.count("SELECT count(*) FROM late_clicks"), 2)
	err := e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		return tx.InsertLate(e.ctx(), []aggregate.EventKey{aggregate.KeyOf(newRow(77, base).Click)}, []aggregate.Unit{shop})
	})
	if err == nil {
		e.Error("a late click that is not stored was taken")
	}
}

// tied are rows with many at one event time, in order, and as they arrive.
func tied() (ordered, shuffled []aggregate.ClickRow) {
	for n := range uint64(24) {
		ordered = append(ordered, newRow(n+1, base+int64(n/8)*second))
	}
	for i := range ordered { // ids of one time in order of n; the last group lies a millisecond apart
		if i >= 16 {
			ordered[i] = newRow(uint64(i)+1, base+2*second+int64(i)*1000)
		}
	}
	shuffled = slices.Clone(ordered)
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	return ordered, shuffled
}

// unitPaging: pages of any length give every click once, in order, with many at
// one time.
func unitPaging(e *env) {
	ordered, shuffled := tied()
	e.ingestOne(shuffled...)
	fence := e.seal(shop)
	for _, limit := range []int{1, 3, 8, 23, 24, 25} {
		e.wantClicks(fmt.Sprintf("pages of %d", limit), e.clicks(shop, fence, false, limit), ordered...)
	}
	e.wantClicks("late pages of a unit without", e.clicks(shop, fence, true, 3))
}

// latePaging: the same for late clicks, some of them settled between pages.
func latePaging(e *env) {
	ordered, shuffled := tied()
	e.ingestOne(newRow(99, base))
	fence := e.seal(shop)
	e.ingestOne(shuffled...)
	for _, limit := range []int{1, 5, 8, 24, 25} {
		e.wantClicks(fmt.Sprintf("late pages of %d", limit), e.clicks(shop, fence, true, limit), ordered...)
	}
	var got []aggregate.StoredClick
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		got = nil
		for {
			page, err := tx.UnitClicks(e.ctx(), shop, true, aggregate.ClickPosition{}, 5)
			if err != nil || len(page) == 0 {
				return err
			}
			got = append(got, page...)
			var keys []aggregate.EventKey
			for _, c := range page {
				keys = append(keys, aggregate.KeyOf(c.Click))
			}
			if err := tx.SettleLate(e.ctx(), keys); err != nil {
				return err
			}
		}
	})
	e.wantClicks("late pages that are settled on the way", got, ordered...)
}

// unitBorders: a unit holds the clicks of its tenant, source and hour alone, first
// and last microsecond included, wherever their ids' time lies.
func unitBorders(e *env) {
	start, end := shop.Hour, shop.Hour+hour
	moved := func(n uint64, t, idTime int64) aggregate.ClickRow {
		return newRow(n, t, func(c *click.Click) { c.EventID = eventID(idTime, n); c.IDTime = c.EventID.Time() })
	}
	in := []aggregate.ClickRow{
		moved(1, start, start-second), newRow(2, start+1), newRow(3, base), newRow(4, end-second), moved(5, end-1, end-1+second),
	}
	out := []aggregate.ClickRow{
		moved(11, start-1, start+second-1), moved(12, end, end-second), newRow(13, base, tenant("acmf")), newRow(14, base, source("shop2")),
		newRow(15, base, source("")),
	}
	e.ingestOne(append(slices.Clone(out), in...)...)
	fence := e.seal(shop)
	e.wantClicks("the unit", e.clicks(shop, fence, false, 2), in...)
	// The passes of a closer begin with the hour before.
	before := shop
	before.Hour -= hour
	var got []aggregate.StoredClick
	e.closing(shop, fence, func(tx aggregate.ClosingTx) (err error) {
		got, err = e.pages(tx, before, false, 2)
		return err
	})
	e.wantClicks("the hour before", got, out[0])
}

// revision is one of c's, of unit shop.
func revision(c *click.Click, from, to click.State, reasons click.Reasons) aggregate.Revision {
	return aggregate.Revision{
		EventKey: aggregate.KeyOf(c), Unit: aggregate.UnitOf(c), At: base, From: from,
		Verdict: click.Verdict{State: to, Reasons: reasons, Score: 0.5, ListsHash: 1, PolicyHash: 2},
		Cause:   aggregate.CauseClose, Who: "closer",
	}
}

// revisions are numbered from 1 per click, and the newest holds.
func revisions(e *env) {
	a, b, c := newRow(1, base), newRow(2, base+second, state(click.Suspect)), newRow(3, base+2*second)
	e.ingestOne(a, b, c)
	fence := e.seal(shop)
	r := func(row aggregate.ClickRow, to click.State, bit uint) aggregate.Revision {
		x := revision(row.Click, row.Verdict.State, to, 1<<bit)
		x.Number = 77 // the store's to say
		return x
	}
	check := func(what string, want ...int) {
		e.Helper()
		got := e.clicks(shop, fence, false, 2)
		e.wantClicks(what, got, a, b, c) // the rows stay as they are
		for i := range got {
			equal(e, what+": revision", got[i].Revision, want[3*i])
			equal(e, what+": state", got[i].State, click.State(want[3*i+1]))
			equal(e, what+": reasons", got[i].Reasons, click.Reasons(want[3*i+2]))
		}
	}
	valid, sivt, dup := int(click.Valid), int(click.SIVT), int(click.Duplicate)
	check("no revision", 0, valid, 0, 0, int(click.Suspect), 0, 0, valid, 0)
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.Revise(e.ctx(), []aggregate.Revision{r(b, click.Valid, 3), r(a, click.SIVT, 1), r(b, click.SIVT, 4)})
	})
	check("in one call", 1, sivt, 2, 2, sivt, 16, 0, valid, 0)
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		if err := tx.Revise(e.ctx(), []aggregate.Revision{r(a, click.Duplicate, 5)}); err != nil {
			return err
		}
		return tx.Revise(e.ctx(), []aggregate.Revision{r(b, click.Valid, 2), r(a, click.SIVT, 63)})
	})
	check("in three", 3, sivt, -1<<63, 3, valid, 4, 0, valid, 0)
	equal(e, "numbers", e.count("SELECT sum(revision) FROM verdict_revisions"), 1+2+3+1+2+3)
	e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
		return tx.Revise(e.ctx(), []aggregate.Revision{r(a, click.Duplicate, 6)})
	})
	check("one more", 4, dup, 64, 3, valid, 4, 0, valid, 0)
}

// decisions: the newest confirm or release stands, whatever came behind it.
func decisions(e *env) {
	row := newRow(1, base)
	e.ingestOne(row, newRow(2, base))
	fence := e.seal(shop)
	for i, step := range []struct {
		decision, want aggregate.Decision
	}{
		{aggregate.DecisionNone, aggregate.DecisionNone},
		{aggregate.DecisionNote, aggregate.DecisionNone},
		{aggregate.DecisionRelease, aggregate.DecisionRelease},
		{aggregate.DecisionNone, aggregate.DecisionRelease},
		{aggregate.DecisionConfirm, aggregate.DecisionConfirm},
		{aggregate.DecisionNote, aggregate.DecisionConfirm},
		{aggregate.DecisionNone, aggregate.DecisionConfirm},
		{aggregate.DecisionRelease, aggregate.DecisionRelease},
	} {
		e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
			r := revision(row.Click, click.Valid, click.Valid, 0)
			r.Decision, r.Cause = step.decision, aggregate.CauseReview
			return tx.Revise(e.ctx(), []aggregate.Revision{r})
		})
		got := e.clicks(shop, fence, false, 5)
		equal(e, fmt.Sprintf("decision after step %d", i), got[0].Decision, step.want)
		equal(e, "revision", got[0].Revision, i+1)
		equal(e, "decision of the other click", got[1].Decision, aggregate.DecisionNone)
	}
}
