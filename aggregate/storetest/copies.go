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

// rawInsertMany: which rows of a large insert are new, with stored ones and copies in
// between, and evidence of the new ones alone.
func rawInsertMany(e *env) {
	insert := func(rows []aggregate.ClickRow) (inserted []bool) {
		e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) (err error) {
			inserted, err = tx.InsertClicks(e.ctx(), rows)
			return err
		}))
		return inserted
	}
	const n = 230
	var before, rows []aggregate.ClickRow
	var want []bool
	for i := range uint64(n) {
		row := newRow(i+1, base+int64(i)*minute, func(c *click.Click) {
			if i%5 == 0 {
				c.Evidence = nil
			}
		})
		stored := i%7 == 0 && i > 60 || i >= 150 && i < 200
		if stored {
			before = append(before, again(row, i+1_000))
		}
		rows, want = append(rows, row), append(want, !stored)
		if i == 20 || i == 49 || i == n-1 {
			rows, want = append(rows, again(row, i+2_000)), append(want, false)
		}
	}
	insert(before)
	if got := insert(rows); !slices.Equal(got, want) {
		e.Errorf("new rows are\n%v, want\n%v", got, want)
	}
	equal(e, "clicks", e.count("SELECT count(*) FROM clicks"), n)
	equal(e, "clicks with evidence", e.count("SELECT count(*) FROM click_evidence"), n-n/5)
	equal(e, "evidence of no click", e.count(`SELECT count(*) FROM click_evidence AS x WHERE NOT EXISTS (
SELECT 1 FROM clicks AS c WHERE c.tenant_id = x.tenant_id AND c.event_id = x.event_id AND c.id_time = x.id_time AND c.received_at = x.received_at)`), 0)
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
