package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

func billingOf(row aggregate.ClickRow) aggregate.Billing {
	u := aggregate.UnitOf(row.Click)
	return aggregate.Billing{
		EventKey: aggregate.KeyOf(row.Click), ClickID: row.ClickID, RepeatKey: row.RepeatKey,
		EventTime: row.EventTime, SourceID: u.SourceID, Hour: u.Hour,
	}
}

func billedAs(row aggregate.ClickRow) aggregate.Billed {
	b := billingOf(row)
	return aggregate.Billed{EventKey: b.EventKey, EventTime: b.EventTime, SourceID: b.SourceID, Hour: b.Hour}
}

// bill enters rows of one unit in one call and demands whom each meets; nil means
// that it got its identity.
func (e *env) bill(what string, fence int64, rows []aggregate.ClickRow, want ...*aggregate.ClickRow) {
	e.Helper()
	var ask []aggregate.Billing
	for _, r := range rows {
		ask = append(ask, billingOf(r))
	}
	var got []aggregate.Billed
	e.closing(aggregate.UnitOf(rows[0].Click), fence, func(tx aggregate.ClosingTx) (err error) {
		got, err = tx.Bill(e.ctx(), ask)
		return err
	})
	equal(e, what+": answers", len(got), len(want))
	for i := range want {
		var w aggregate.Billed
		if want[i] != nil {
			w = billedAs(*want[i])
		}
		equal(e, fmt.Sprintf("%s: row %d", what, i), got[i], w)
	}
}

// billTokens: an ad opportunity is billed once in its tenant, whatever the source
// and the hour.
func billTokens(e *env) {
	a, other := newRow(1, base, token(1)), newRow(2, base, token(2))
	same, next := newRow(3, base+second, token(1)), newRow(4, base+3*minute, token(1))
	foreign, elsewhere := newRow(5, base-second, token(1), source("other")), newRow(6, base, token(1), tenant("acmf"))
	twice := newRow(7, base, token(7))
	late := newRow(8, base+second, token(7))
	e.ingestOne(a, other, same, next, foreign, elsewhere, twice, late)
	fence := e.seal(shop)
	e.bill("new", fence, []aggregate.ClickRow{a, other}, nil, nil)
	e.bill("the same click again", fence, []aggregate.ClickRow{a}, nil)
	e.bill("a second click beside new ones", fence, []aggregate.ClickRow{same, twice, late}, &a, nil, &twice)
	e.bill("another hour", e.seal(aggregate.UnitOf(next.Click)), []aggregate.ClickRow{next}, &a)
	e.bill("another source, earlier", e.seal(aggregate.UnitOf(foreign.Click)), []aggregate.ClickRow{foreign}, &a)
	e.bill("another tenant", e.seal(aggregate.UnitOf(elsewhere.Click)), []aggregate.ClickRow{elsewhere}, nil)
	equal(e, "billed clicks", e.count("SELECT count(*) FROM billed_clicks"), 4)
	equal(e, "billed repeats", e.count("SELECT count(*) FROM billed_repeats"), 0)
}

// billRepeats: without a token, less than two seconds on either side.
func billRepeats(e *env) {
	at := func(n uint64, t int64, change ...func(*click.Click)) aggregate.ClickRow {
		return newRow(n, base+t, append(change, person(1))...)
	}
	first := at(1, 10*second)
	rows := []aggregate.ClickRow{
		first,
		at(2, 12*second-1), at(3, 8*second+1), at(4, 10*second), // near on either side
		at(5, 12*second), at(6, 8*second), // exactly two seconds away
		at(7, 14*second-1), at(8, 6*second+1), // near those
		at(9, 11*second, tenant("acmf")), at(10, 11*second, source("other")), at(11, 9*second), at(12, 11*second, person(2)),
		at(13, 20*second), at(14, 21*second), at(15, 22*second), at(16, 23*second),
	}
	rows[11] = newRow(12, base+11*second, person(2))
	e.ingestOne(rows...)
	r := func(n int) *aggregate.ClickRow { return &rows[n-1] }
	fence := e.seal(shop)
	one := func(what string, n int, want *aggregate.ClickRow) {
		e.Helper()
		e.bill(what, fence, rows[n-1:n], want)
	}
	one("new", 1, nil)
	one("the same click again", 1, nil)
	one("1,999,999 us later", 2, r(1))
	one("1,999,999 us earlier", 3, r(1))
	one("same time, another id", 4, r(1))
	one("2,000,000 us later", 5, nil)
	one("2,000,000 us earlier", 6, nil)
	one("near the later one", 7, r(5))
	one("near the earlier one", 8, r(6))
	one("between two: the earlier by time", 11, r(6))
	one("another person", 12, nil)
	e.bill("another tenant", e.seal(aggregate.UnitOf(r(9).Click)), rows[8:9], nil)
	e.bill("another source", e.seal(aggregate.UnitOf(r(10).Click)), rows[9:10], r(1))
	e.bill("four in one call, one after the other", fence, rows[12:16], nil, r(13), nil, r(15))
	equal(e, "billed repeats", e.count("SELECT count(*) FROM billed_repeats"), 7)
	equal(e, "billed clicks", e.count("SELECT count(*) FROM billed_clicks"), 0)
	err := e.store.InClosing(e.ctx(), shop, fence, func(tx aggregate.ClosingTx) error {
		b := billingOf(first)
		b.RepeatKey = 0
		_, err := tx.Bill(e.ctx(), []aggregate.Billing{b})
		return err
	})
	if err == nil {
		e.Error("a click without any identity was billed")
	}
}

// unbill: an identity that was given back is free for the next.
func unbill(e *env) {
	a, b := newRow(1, base, token(1)), newRow(2, base+5*second, token(1))
	c, d := newRow(3, base, person(1)), newRow(4, base+second, person(1))
	kept := newRow(5, base, token(2))
	e.ingestOne(a, b, c, d, kept)
	fence := e.seal(shop)
	e.bill("new", fence, []aggregate.ClickRow{a, c, kept}, nil, nil, nil)
	drop := func(rows ...aggregate.ClickRow) {
		e.Helper()
		e.closing(shop, fence, func(tx aggregate.ClosingTx) error {
			var keys []aggregate.EventKey
			for _, r := range rows {
				keys = append(keys, aggregate.KeyOf(r.Click))
			}
			return tx.Unbill(e.ctx(), keys)
		})
	}
	drop(b, d, newRow(9, base)) // none of them is billed
	e.bill("while taken", fence, []aggregate.ClickRow{b, d}, &a, &c)
	drop(a, c)
	e.bill("when free again", fence, []aggregate.ClickRow{b, d, a, c}, nil, nil, &b, &d)
	equal(e, "billed", e.count("SELECT (SELECT count(*) FROM billed_clicks) + (SELECT count(*) FROM billed_repeats)"), 3)
}

// sealDuringIngest: many writers in random order while the units are sealed: each
// click stands in the sealed set or among the late ones.
func sealDuringIngest(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	const workers, batches, size, sources = 6, 12, 15, 3
	unit := func(s int) aggregate.Unit {
		return aggregate.Unit{TenantID: "acme", SourceID: fmt.Sprint("s", s), Hour: shop.Hour}
	}
	started := make(chan struct{}, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for b := range batches {
				var rows []aggregate.ClickRow
				for i := range size {
					n := uint64((w*batches+b)*size + i)
					rows = append(rows, newRow(n*2654435761%100_003+1, base, source(fmt.Sprint("s", (int(n)+b)%sources))))
				}
				err := e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
					_, err := e.ingest(tx, sortedRows(rows)...)
					return err
				})
				if err != nil {
					e.Errorf("worker %d: %v", w, err)
				}
				if b == 1 {
					started <- struct{}{}
				}
			}
		})
	}
	for range workers {
		<-started
	}
	var fences [sources]int64
	var sealed [sources][]aggregate.StoredClick
	for s := range sources { // in the middle of it
		fences[s] = e.seal(unit(s))
		sealed[s] = e.clicks(unit(s), fences[s], false, 1000)
	}
	wg.Wait()
	early, late := 0, 0
	for s := range sources {
		again := e.clicks(unit(s), fences[s], false, 1000)
		equal(e, fmt.Sprintf("clicks of the sealed unit %d, read later", s), len(again), len(sealed[s]))
		early += len(again)
		late += len(e.clicks(unit(s), fences[s], true, 1000))
	}
	all := int(e.count("SELECT count(*) FROM clicks"))
	equal(e, "stored clicks", all, workers*batches*size)
	equal(e, "clicks in a sealed set or late", early+late, all)
	if early == 0 {
		e.Error("nothing was stored before the seal")
	}
	e.Logf("%d clicks: %d sealed, %d late", all, early, late)
}

// billingRaces: closers of several units of one tenant bill the same identities at
// once, in opposite orders: each identity goes to one of them.
func billingRaces(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	const closers, identities = 4, 40
	var rows [closers][]aggregate.ClickRow
	var fences [closers]int64
	for c := range closers {
		for i := range identities {
			how := token(byte(i))
			if i%2 == 0 {
				how = person(byte(i))
			}
			rows[c] = append(rows[c], newRow(uint64(c*identities+i+1), base+int64(c)*second/4, source(fmt.Sprint("s", c)), how))
		}
		e.ingestOne(rows[c]...)
		fences[c] = e.seal(aggregate.UnitOf(rows[c][0].Click))
	}
	var won [closers]int
	var wg sync.WaitGroup
	for c := range closers {
		wg.Go(func() {
			u := aggregate.UnitOf(rows[c][0].Click)
			err := e.store.InClosing(e.ctx(), u, fences[c], func(tx aggregate.ClosingTx) error {
				won[c] = 0
				for i := range identities {
					row := rows[c][i]
					if c%2 == 1 {
						row = rows[c][identities-1-i]
					}
					got, err := tx.Bill(e.ctx(), []aggregate.Billing{billingOf(row)})
					if err != nil {
						return err
					}
					if got[0].EventID.IsZero() {
						won[c]++
					} else if got[0].SourceID == u.SourceID {
						return errors.New("a click met one of its own unit")
					}
				}
				return nil
			})
			if err != nil {
				e.Errorf("closer %d: %v", c, err)
			}
		})
	}
	wg.Wait()
	equal(e, "identities given away", won[0]+won[1]+won[2]+won[3], identities)
	equal(e, "billed clicks", e.count("SELECT count(*) FROM billed_clicks"), identities/2)
	equal(e, "billed repeats", e.count("SELECT count(*) FROM billed_repeats"), identities/2)
}

// sortedRows returns rows in key order, as Apply inserts them.
func sortedRows(rows []aggregate.ClickRow) []aggregate.ClickRow {
	slices.SortFunc(rows, func(a, b aggregate.ClickRow) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), bytes.Compare(a.EventID[:], b.EventID[:]))
	})
	return rows
}
