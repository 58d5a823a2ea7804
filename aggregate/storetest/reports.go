package storetest

import (
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// marks: the highest number stays, whatever the order, within a batch and across.
func marks(e *env) {
	put := func(p aggregate.Partition, ms ...click.Mark) {
		b := e.batch(p)
		b.Marks = ms
		e.apply(b)
	}
	put(partition(0), newMark(3, 30), newMark(5, 50), newMark(4, 40))
	put(partition(0), newMark(2, 20))
	put(partition(1), newMark(1, 10))
	put(partition(1), newMark(2, 20), newMark(2, 99))
	otherBoot := newMark(1, 7)
	otherBoot.Boot++
	otherBoot.Final = true
	put(partition(1), otherBoot)

	l, err := e.store.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	want := []aggregate.StoredMark{
		{Partition: partition(0), Mark: newMark(5, 50)},
		{Partition: partition(1), Mark: newMark(2, 20)},
		{Partition: partition(1), Mark: otherBoot},
	}
	if diff := cmp.Diff(want, l.Marks); diff != "" {
		e.Errorf("marks (-want +got):\n%s", diff)
	}
}

// ledger: rows are cut at what every partition has passed.
func ledger(e *env) {
	e.put(newRow(1, base), newRow(2, base+3*minute), newRow(4, base), again(newRow(1, base), 5))
	b := e.batch(letterPartition(0))
	b.DeadLetters = []aggregate.DeadLetterRow{newLetter(3, base), newLetter(6, base)}
	e.apply(b)

	hourOf := base - base%hour
	rows := func(proven ...int64) []aggregate.RowCount {
		r := func(hour int64, s click.State, all, proven int64) aggregate.RowCount {
			return aggregate.RowCount{
				TenantID: "acme", SourceID: "shop", Hour: hour, Gateway: testGateway, Boot: testBoot,
				State: s, Proven: proven, Tail: all - proven,
			}
		}
		return []aggregate.RowCount{
			r(hourOf, click.Malformed, 2, proven[0]), r(hourOf, click.Redelivered, 1, proven[1]),
			r(hourOf, click.Valid, 2, proven[2]), r(hourOf+hour, click.Valid, 1, proven[3]),
		}
	}
	check := func(what string, q aggregate.LedgerQuery, want []aggregate.RowCount, boot aggregate.BootRows) {
		l, err := e.store.Ledger(e.ctx(), q)
		e.must(err)
		if diff := cmp.Diff(want, l.Rows); diff != "" {
			e.Errorf("%s: rows (-want +got):\n%s", what, diff)
		}
		boot.Gateway, boot.Boot, boot.MaxSeq = testGateway, testBoot, 6
		if diff := cmp.Diff([]aggregate.BootRows{boot}, l.Boots); diff != "" {
			e.Errorf("%s: boots (-want +got):\n%s", what, diff)
		}
	}
	check("no marks", aggregate.LedgerQuery{}, rows(0, 0, 0, 0), aggregate.BootRows{Tail: 6})
	for i, p := range []aggregate.Partition{partition(0), partition(1)} {
		b := e.batch(p)
		b.Marks = []click.Mark{newMark(uint64(9-i), uint64(5-i))}
		e.apply(b)
	}
	check("a topic without marks", aggregate.LedgerQuery{}, rows(0, 0, 0, 0), aggregate.BootRows{Tail: 6})
	b = e.batch(letterPartition(0))
	b.Marks = []click.Mark{newMark(9, 6)}
	e.apply(b)
	boot := aggregate.BootRows{Proven: 4, Tail: 2}
	all := rows(1, 0, 2, 1) // through sequence 4
	check("all passed", aggregate.LedgerQuery{}, all, boot)
	check("one tenant", aggregate.LedgerQuery{TenantID: "acme"}, all, boot)
	check("another tenant", aggregate.LedgerQuery{TenantID: "acmf"}, nil, boot)
	check("first hour", aggregate.LedgerQuery{To: hourOf + hour}, all[:3], boot)
	check("second hour", aggregate.LedgerQuery{From: hourOf + 1, To: hourOf + hour + 1}, all[3:], boot)
}

// billing: hours, currencies, clicks without a price, filters.
func billing(e *env) {
	usd := func(c *click.Click) { c.Currency, c.PriceMicros = "USD", 3 }
	free := func(c *click.Click) { c.Currency = "" }
	cpm := func(c *click.Click) { c.Pricing = click.PricingCPM }
	campaign := func(c *click.Click) { c.CampaignID = "other" }
	e.put(newRow(1, base), newRow(2, base+second), newRow(3, base+second, usd), newRow(4, base, usd, state(click.SIVT)),
		newRow(5, base, free), newRow(6, base, cpm, state(click.GIVT)), newRow(7, base+3*minute, usd), newRow(8, base, campaign),
		newRow(9, base, state(click.Suspect)), again(newRow(1, base), 10))
	b := e.batch(letterPartition(0))
	b.DeadLetters = []aggregate.DeadLetterRow{newLetter(11, base+hour)}
	e.apply(b)

	h := base - base%hour
	row := func(adv, camp string, hour int64, currency string, cost, saved int64, counts [10]int64) aggregate.BillingRow {
		return aggregate.BillingRow{
			TenantID: "acme", AdvertiserID: adv, CampaignID: camp, Hour: hour, Currency: currency,
			Counts: counts, CostMicros: cost, SavedMicros: saved, Provisional: true,
			OpenClicks: counts[click.Valid], OpenMicros: cost,
		}
	}
	want := []aggregate.BillingRow{
		row("", "", h+hour, "", 0, 0, [10]int64{click.Malformed: 1}),
		row("adv", "camp", h, "", 0, 0, [10]int64{click.Valid: 1, click.GIVT: 1}),
		row("adv", "camp", h, "EUR", 2_500_000, 1_250_000, [10]int64{click.Valid: 2, click.Suspect: 1, click.Redelivered: 1}),
		row("adv", "camp", h, "USD", 3, 3, [10]int64{click.Valid: 1, click.SIVT: 1}),
		row("adv", "camp", h+hour, "USD", 3, 0, [10]int64{click.Valid: 1}),
		row("adv", "other", h, "EUR", 1_250_000, 0, [10]int64{click.Valid: 1}),
	}
	pick := func(places ...int) (rows []aggregate.BillingRow) {
		for _, i := range places {
			rows = append(rows, want[i])
		}
		return rows
	}
	for _, c := range []struct {
		q    aggregate.BillingQuery
		want []aggregate.BillingRow
	}{
		{aggregate.BillingQuery{}, want},
		{aggregate.BillingQuery{TenantID: "acme"}, want},
		{aggregate.BillingQuery{TenantID: "acmf"}, nil},
		{aggregate.BillingQuery{AdvertiserID: "adv"}, want[1:]},
		{aggregate.BillingQuery{CampaignID: "other"}, want[5:]},
		{aggregate.BillingQuery{From: h + hour}, pick(0, 4)},
		{aggregate.BillingQuery{From: h + 1}, pick(0, 4)},
		{aggregate.BillingQuery{From: h, To: h + hour}, pick(1, 2, 3, 5)},
	} {
		got, err := e.store.Billing(e.ctx(), c.q)
		e.must(err)
		if diff := cmp.Diff(c.want, got); diff != "" {
			e.Errorf("Billing of %+v (-want +got):\n%s", c.q, diff)
		}
	}
}

func trace(e *env) {
	row := newRow(1, base, token(1))
	e.put(row, again(row, 8), again(row, 7))
	rows, err := e.store.Trace(e.ctx(), "", row.EventID)
	e.must(err)
	var what []string
	for _, r := range rows {
		what = append(what, r.What)
		if r.IngestedAt <= 0 {
			e.Errorf("%s has no time of storing", r.What)
		}
	}
	if !slices.Equal(what, []string{"click", "redelivery", "redelivery"}) {
		e.Fatalf("trace has %v", what)
	}
	want := aggregate.RedeliveryRow{
		EventKey: aggregate.KeyOf(row.Click), SourceID: "shop", CampaignID: "camp",
		Entry: click.EntryBatch, ReceivedAt: row.ReceivedAt + second, Ingest: click.IngestID{Gateway: testGateway, Boot: testBoot, Seq: 7},
	}
	equal(e, "first redelivery", *rows[1].Redelivery, want)
	equal(e, "offset of a redelivery", rows[1].Offset, -1)
	for _, q := range []struct {
		tenant string
		id     click.ID
	}{{"", click.ID{9}}, {"acmf", row.EventID}} {
		rows, err := e.store.Trace(e.ctx(), q.tenant, q.id)
		e.must(err)
		equal(e, "rows of an unknown id", len(rows), 0)
	}
}
