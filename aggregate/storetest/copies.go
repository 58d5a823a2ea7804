package storetest

import (
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// copiesInOneBatch: of five copies one is the event, one ours, two the sender's,
// and one of those ours again.
func copiesInOneBatch(e *env) {
	row := newRow(1, base)
	res := e.put(row, again(row, 1), again(row, 50), again(row, 51), again(row, 50))
	equal(e, "own copies", res.OwnCopies, 2)
	equal(e, "records", res.Records, 5)
	want := [10]int64{click.Valid: 1, click.Redelivered: 2}
	equal(e, "result", res.ByState, want)
	equal(e, "states", e.totals(), want)
}

// copiesAcrossBatches: the same copies, on several partitions.
func copiesAcrossBatches(e *env) {
	row := newRow(1, base)
	e.put(row)
	res := e.apply(e.batch(partition(1), again(row, 1)))
	equal(e, "own copies of the event", res.OwnCopies, 1)
	res = e.apply(e.batch(partition(1), again(row, 50)))
	equal(e, "redeliveries", res.ByState[click.Redelivered], 1)
	res = e.put(again(row, 50), again(row, 1))
	equal(e, "own copies of both", res.OwnCopies, 2)

	// Another key, though the id is the same: id_time is part of it.
	other := newRow(1, base)
	other.IDTime += second
	other.Ingest.Seq = 60
	res = e.put(other)
	equal(e, "another id_time", res.ByState[click.Duplicate]+res.ByState[click.Valid], 1)
	got := e.totals()
	equal(e, "redelivered", got[click.Redelivered], 1)
	equal(e, "clicks", got[click.Valid]+got[click.Duplicate], 2)

	rows, err := e.store.Trace(e.ctx(), "acme", row.EventID)
	e.must(err)
	equal(e, "ingest of the first copy", rows[0].Click.Ingest.Seq, 1)
}

// rawInsertTwice: the Tx contract alone, without what Apply sorts out before.
func rawInsertTwice(e *env) {
	a, b, c := newRow(1, base), newRow(2, base), newRow(3, base)
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		got, err := tx.InsertClicks(e.ctx(), []aggregate.ClickRow{a, again(a, 9), b})
		if err == nil && !slices.Equal(got, []bool{true, false, true}) {
			e.Errorf("first insert reports %v", got)
		}
		return err
	}))
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		got, err := tx.InsertClicks(e.ctx(), []aggregate.ClickRow{a, b, c})
		if err == nil && !slices.Equal(got, []bool{false, false, true}) {
			e.Errorf("second insert reports %v", got)
		}
		return err
	}))
	missing := newRow(4, base)
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		keys := []aggregate.EventKey{aggregate.KeyOf(c.Click), aggregate.KeyOf(missing.Click), aggregate.KeyOf(a.Click), aggregate.KeyOf(c.Click)}
		got, err := tx.StoredIngest(e.ctx(), keys)
		if err == nil && !slices.Equal(got, []click.IngestID{c.Ingest, {}, a.Ingest, c.Ingest}) {
			e.Errorf("stored ingest ids are %v", got)
		}
		return err
	}))
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		got, err := tx.InsertClicks(e.ctx(), nil)
		if len(got) != 0 {
			e.Errorf("insert of nothing reports %v", got)
		}
		return err
	}))
}

// tenantsNeverMeet: two tenants with the same ids everywhere.
func tenantsNeverMeet(e *env) {
	for i, name := range []string{"acme", "acmf"} {
		name := tenant(name)
		first := newRow(1, base, name, token(1))
		walk := newRow(2, base, name, person(5))
		letter := newLetter(4, base)
		letter.TenantID = first.TenantID
		b := e.batch(partition(0), first, walk, again(first, 40))
		b.DeadLetters = []aggregate.DeadLetterRow{letter}
		res := e.apply(b)
		equal(e, first.TenantID+" result", res.ByState,
			[10]int64{click.Valid: 2, click.Redelivered: 1, click.Malformed: 1})
		equal(e, first.TenantID+" own copies", res.OwnCopies, 0)
		rows, err := e.store.Trace(e.ctx(), "", first.EventID)
		e.must(err)
		equal(e, "copies of the id in all tenants", len(rows), 2*(i+1))
		rows, err = e.store.Trace(e.ctx(), first.TenantID, first.EventID)
		e.must(err)
		equal(e, "copies of the id in one tenant", len(rows), 2)
	}
	equal(e, "states", e.totals(), [10]int64{click.Valid: 4, click.Redelivered: 2, click.Malformed: 2})
}
