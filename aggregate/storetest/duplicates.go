package storetest

import (
	"context"
	"errors"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// pair is two clicks and what becomes of the second.
type pair struct {
	name   string
	gap    int64
	change func(*click.Click)
	want   click.Reason
}

var pairs = []pair{
	{"same person, 1,999,999 us", 2*second - 1, person(1), click.ReasonDoubleClick},
	{"same person, 2,000,000 us", 2 * second, person(1), click.ReasonNone},
	{"same person, same time", 0, person(1), click.ReasonDoubleClick},
	{"same token, 1,999,999 us", 2*second - 1, token(1), click.ReasonDoubleClick},
	{"same token, 2,000,000 us", 2 * second, token(1), click.ReasonRepeat},
	{"same token, 23 h", 23 * hour, token(1), click.ReasonRepeat},
	{"different people", second, func(*click.Click) {}, click.ReasonNone},
}

// rows are the clicks of the pair in a tenant of their own.
func (p *pair) rows(n uint64) (a, b aggregate.ClickRow) {
	t := tenant("pair" + string(rune('a'+n)))
	return newRow(2*n+1, base, t, p.change), newRow(2*n+2, base+p.gap, t, p.change)
}

func (e *env) wantPair(p *pair, res aggregate.Result, b aggregate.ClickRow) {
	e.Helper()
	want := [10]int64{click.Valid: res.ByState[click.Valid] + res.ByState[click.Duplicate]}
	if p.want != click.ReasonNone {
		want[click.Valid]--
		want[click.Duplicate]++
	}
	equal(e, p.name+": result", res.ByState, want)
	rows, err := e.store.Trace(e.ctx(), b.TenantID, b.EventID)
	e.must(err)
	v := rows[0].Click.Verdict
	if dup := p.want != click.ReasonNone; (v.State == click.Duplicate) != dup || dup && !v.Reasons.Has(p.want) {
		e.Errorf("%s: stored %v with %v, want reason %v", p.name, v.State, v.Reasons.Codes(), p.want)
	}
}

// duplicateRules: the pairs in one batch, in both orders of arrival.
func duplicateRules(e *env) {
	for i := range pairs {
		a, b := pairs[i].rows(uint64(i))
		e.wantPair(&pairs[i], e.put(b, a), b)
	}
	e.totals()
}

// duplicatesAcrossBatches: the pairs in two batches; the later click comes second.
func duplicatesAcrossBatches(e *env) {
	for i := range pairs {
		a, b := pairs[i].rows(uint64(i))
		e.put(a)
		e.wantPair(&pairs[i], e.put(b), b)
	}
	e.totals()
	// The earlier click comes second: provisionally it is the duplicate.
	late := newRow(90, base-second, tenant("paira"), person(1))
	res := e.put(late)
	equal(e, "earlier click that came later", res.ByState, [10]int64{click.Duplicate: 1})
}

// onlyValidConsumes: clicks in other states use nothing up, and are not made
// duplicates themselves.
func onlyValidConsumes(e *env) {
	n := uint64(0)
	for _, how := range []func(*click.Click){token(1), person(1)} {
		for _, s := range []click.State{click.Suspect, click.GIVT, click.SIVT, click.Test, click.Undecidable, click.Unscored} {
			n++
			own := tenant("t" + string(rune('a'+n)))
			e.put(newRow(10*n, base, own, how, state(s)))
			res := e.put(newRow(10*n+1, base+second, own, how))
			equal(e, s.String()+" before valid", res.ByState, [10]int64{click.Valid: 1})
			var want [10]int64
			want[s] = 1
			res = e.put(newRow(10*n+2, base+second, own, how, state(s)))
			equal(e, s.String()+" after valid", res.ByState, want)
			res = e.put(newRow(10*n+3, base+second+1, own, how))
			equal(e, "valid after valid", res.ByState, [10]int64{click.Duplicate: 1})
			// A duplicate does not consume: the next click is 2 s after the valid one, less after the duplicates.
			if n > 6 { // without a token
				e.put(newRow(10*n+4, base+2*second+second/2, own, how))
				res = e.put(newRow(10*n+5, base+3*second, own, how))
				equal(e, "exactly at the window's end behind a duplicate", res.ByState, [10]int64{click.Valid: 1})
			}
		}
	}
	e.totals()
}

// earliestMatch: the match is the earliest by time, then by id, within the time a
// token lives.
func earliestMatch(e *env) {
	rows := []aggregate.ClickRow{
		newRow(7, base+3*second, token(1)), newRow(5, base+second, token(1)), newRow(3, base+second, token(1)),
		newRow(8, base-40*hour, token(1)),
		newRow(20, base, person(1)), newRow(21, base+second, person(1)),
	}
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error { // all valid, as racing aggregators would leave them
		_, err := tx.InsertClicks(e.ctx(), rows)
		return err
	}))
	repeat := rows[4].RepeatKey
	probes := []aggregate.Probe{
		{TenantID: "acme", ClickID: rows[0].ClickID, EventTime: base + 10*second},
		{TenantID: "acme", ClickID: rows[0].ClickID, EventTime: base - 30*hour},
		{TenantID: "acme", ClickID: click.ID{1}, EventTime: base},
		{TenantID: "acmf", ClickID: rows[0].ClickID, EventTime: base},
		{TenantID: "acme", RepeatKey: repeat, EventTime: base + second},
		{TenantID: "acme", RepeatKey: repeat, EventTime: base + 2*second},
		{TenantID: "acme", RepeatKey: repeat, EventTime: base - 2*second},
		{TenantID: "acme", RepeatKey: repeat, EventTime: base - 2*second + 1},
		{TenantID: "acme", RepeatKey: repeat + 1, EventTime: base},
	}
	match := func(i int) aggregate.Match {
		return aggregate.Match{EventID: rows[i].EventID, EventTime: rows[i].EventTime}
	}
	want := []aggregate.Match{match(2), match(3), {}, {}, match(4), match(5), {}, match(4), {}}
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		got, err := tx.BillableBefore(e.ctx(), probes)
		for i := range got {
			equal(e, "match of probe "+string(rune('0'+i)), got[i], want[i])
		}
		equal(e, "matches", len(got), len(want))
		return err
	}))
}

// retrying rolls every transaction back once before it commits it.
type retrying struct{ aggregate.Store }

var errRetry = errors.New("serialization failure")

func (s retrying) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	err := s.Store.InTx(ctx, func(tx aggregate.Tx) error { return errors.Join(f(tx), errRetry) })
	if !errors.Is(err, errRetry) {
		return err
	}
	return s.Store.InTx(ctx, f)
}

// retriedTransaction: running a transaction again gives the same.
func retriedTransaction(e *env) {
	h := NewHistory(5, 6)
	other := e.open(e.T)
	want := h.Play(e, e.store)
	got := h.Play(e, retrying{other})
	if !cmp.Equal(got, want) {
		e.Errorf("results of retried transactions are\n%v, want\n%v", got, want)
	}
	Compare(e, h.Sample(12), e.store, other)
}
