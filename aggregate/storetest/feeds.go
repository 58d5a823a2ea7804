package storetest

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// feedCases are the cases of what comes by the feeds.
var feedCases = []testCase{
	{"Impressions", impressions},
	{"ImpressionsMany", impressionsMany},
	{"ImpressionsForgotten", impressionsForgotten},
	{"Conversions", conversions},
	{"ConversionsReport", conversionsReport},
	{"FedPoison", fedPoison},
}

func fedPartition(kind stream.Kind, n int32) aggregate.Partition {
	return aggregate.Partition{ClusterID: "cluster", TopicID: [16]byte{byte(kind)}, Topic: kind.Topic(), Number: n}
}

// opportunity is a click id, told apart by n.
func opportunity(n uint64) (id click.ID) {
	binary.BigEndian.PutUint64(id[8:], n)
	id[0] = 0xee
	return id
}

func impression(tenant string, n uint64, at int64) click.Impression {
	return click.Impression{TenantID: tenant, ClickID: opportunity(n), ShownAt: at}
}

func (e *env) show(rows ...click.Impression) aggregate.FedRows {
	e.Helper()
	b := e.batch(fedPartition(stream.KindImpression, 0))
	b.Impressions = rows
	return e.apply(b).Fed[0]
}

func (e *env) convert(rows ...click.Conversion) aggregate.FedRows {
	e.Helper()
	b := e.batch(fedPartition(stream.KindConversion, 0))
	b.Conversions = rows
	return e.apply(b).Fed[1]
}

// shown asks for the displays of a tenant's opportunities.
func (e *env) shown(tenant string, ids ...click.ID) (got []int64) {
	e.Helper()
	e.ingestOne(newRow(1, base))
	e.onUnit(shop, false, func(tx aggregate.ClosingTx) (err error) {
		got, err = tx.ShownAt(e.ctx(), tenant, ids)
		return err
	})
	return got
}

// impressions: one row for each tenant and opportunity, whatever comes again, and a batch
// that is applied twice changes nothing.
func impressions(e *env) {
	equal(e, "first", e.show(impression("acme", 1, base), impression("acme", 2, base+1), impression("acme", 1, base), impression("acmf", 1, base+2)),
		aggregate.FedRows{New: 3, Repeated: 1})
	equal(e, "again, at another time and on another day", e.show(impression("acme", 1, base-second), impression("acme", 2, base+day), impression("acme", 3, base)),
		aggregate.FedRows{New: 1, Repeated: 2})
	b := e.batch(fedPartition(stream.KindImpression, 0))
	b.Impressions = []click.Impression{impression("acme", 4, base)}
	e.apply(b)
	_, err := aggregate.Apply(e.ctx(), e.store, b)
	e.wantErr("the same batch again", err, aggregate.ErrApplied)
	equal(e, "rows", e.count("SELECT count(*) FROM impressions"), 5)
	equal(e, "clicks", sum(e.totals()), 0)

	got := e.shown("acme", opportunity(9), opportunity(2), opportunity(1), opportunity(3), opportunity(2), opportunity(4))
	if want := []int64{0, base + 1, base, base, base + 1, base}; !slices.Equal(got, want) {
		e.Errorf("shown at %v, want %v", got, want)
	}
	if got := e.shown("acmf", opportunity(1), opportunity(2)); !slices.Equal(got, []int64{base + 2, 0}) {
		e.Errorf("another tenant's are shown at %v", got)
	}
	if got := e.shown("acme"); len(got) != 0 {
		e.Errorf("none are shown at %v", got)
	}
}

// impressionsMany: which of many are new, with stored ones in between, over two days.
func impressionsMany(e *env) {
	var first, second []click.Impression
	var ids []click.ID
	for n := range uint64(900) {
		i := impression("acme", n, base+int64(n)*minute)
		if n%3 == 0 {
			first = append(first, i)
		}
		second, ids = append(second, i), append(ids, i.ClickID)
	}
	equal(e, "first", e.show(first...), aggregate.FedRows{New: 300})
	equal(e, "second", e.show(second...), aggregate.FedRows{New: 600, Repeated: 300})
	for n, at := range e.shown("acme", ids...) {
		if at != base+int64(n)*minute {
			e.Fatalf("opportunity %d is shown at %d, want %d", n, at, base+int64(n)*minute)
		}
	}
}

// impressionsForgotten: days that are over go, later ones stay; what comes too late for
// them is taken all the same and goes the next time.
func impressionsForgotten(e *env) {
	old, now := base-3*day, base
	equal(e, "stored", e.show(impression("acme", 1, old), impression("acme", 2, now)), aggregate.FedRows{New: 2})
	for range 2 {
		e.must(e.store.TrimImpressions(e.ctx(), now-day))
		if got := e.shown("acme", opportunity(1), opportunity(2)); !slices.Equal(got, []int64{0, now}) {
			e.Errorf("shown at %v, want only the second", got)
		}
	}
	equal(e, "too late", e.show(impression("acme", 1, old+second)), aggregate.FedRows{New: 1})
	e.must(e.store.TrimImpressions(e.ctx(), now-day))
	if got := e.shown("acme", opportunity(1), opportunity(2)); !slices.Equal(got, []int64{0, now}) {
		e.Errorf("shown at %v, want only the second", got)
	}
	e.must(e.store.TrimImpressions(e.ctx(), now+2*day))
	equal(e, "rows", e.count("SELECT count(*) FROM impressions"), 0)
}

func conversion(n uint64, at int64, transaction string) click.Conversion {
	return click.Conversion{
		TenantID: "acme", SourceID: "shop", ClickID: opportunity(n), ConvertedAt: at, ReceivedAt: at + second,
		Kind: "install", TransactionID: transaction, ValueMicros: 2_500_000, Currency: "EUR",
	}
}

// conversions: a transaction id counts once in its tenant, and what has none counts once
// for each click, time and kind.
func conversions(e *env) {
	sale := conversion(1, base, "")
	sale.Kind = "sale"
	other := conversion(1, base, "order 1")
	other.TenantID = "acmf"
	equal(e, "first", e.convert(
		conversion(1, base, "order 1"), conversion(2, base+second, "order 1"), conversion(1, base, "order 2"),
		conversion(1, base, ""), conversion(1, base, ""), conversion(1, base+1, ""), sale, other,
	), aggregate.FedRows{New: 6, Repeated: 2})
	again := conversion(1, base, "order 2")
	again.ReceivedAt += hour
	equal(e, "again", e.convert(again, conversion(1, base, ""), conversion(3, base+day, "order 3")), aggregate.FedRows{New: 1, Repeated: 2})
	equal(e, "rows", e.count("SELECT count(*) FROM conversions"), 7)
	equal(e, "the first stays", e.count("SELECT count(*) FROM conversions WHERE transaction_id = 'order 1' AND tenant_id = 'acme'"), 1)
	equal(e, "clicks", sum(e.totals()), 0)

	b := e.batch(fedPartition(stream.KindConversion, 0))
	bad := conversion(7, base, "nul\x00byte")
	b.Conversions = []click.Conversion{conversion(8, base, ""), bad}
	if _, err := aggregate.Apply(e.ctx(), e.store, b); err == nil {
		e.Error("a text with NUL was taken")
	}
	equal(e, "rows", e.count("SELECT count(*) FROM conversions"), 7)
}

// conversionsReport: conversions find the billed click of their opportunity, and only it.
func conversionsReport(e *env) {
	row := func(n uint64, change ...func(*click.Click)) aggregate.ClickRow {
		return newRow(n, base, append(change, func(c *click.Click) { c.ClickID = opportunity(n) })...)
	}
	elsewhere := func(c *click.Click) { c.PublisherID, c.CampaignID = "pub2", "camp2" }
	rows := []aggregate.ClickRow{row(1), row(2, elsewhere), row(3), row(4, state(click.GIVT))}
	e.put(rows...)
	e.convert(
		conversion(1, base+5*second, "a"), conversion(1, base+day, "b"), conversion(2, base-second, "c"),
		conversion(4, base, "of an invalid click"), conversion(9, base, "of no click"), conversion(9, base+2*day, "later"))
	e.onUnit(shop, true, func(tx aggregate.ClosingTx) error {
		var billings []aggregate.Billing
		for _, r := range rows[:3] {
			billings = append(billings, aggregate.Billing{
				EventKey: aggregate.KeyOf(r.Click), ClickID: r.ClickID, EventTime: r.EventTime, SourceID: r.SourceID, Hour: shop.Hour,
			})
		}
		_, err := tx.Bill(e.ctx(), billings)
		return err
	})
	closed := func(publisher, campaign string, s click.State, n int64) aggregate.ClosedHour {
		return aggregate.ClosedHour{Unit: shop, AdvertiserID: "adv", CampaignID: campaign, AdGroupID: "group", PublisherID: publisher, Currency: "EUR", State: s, Count: n}
	}
	e.finish(shop, closed("pub", "camp", click.Valid, 2), closed("pub", "camp", click.GIVT, 1), closed("pub2", "camp2", click.Valid, 1))

	ask := func(q aggregate.BillingQuery) (found []string, counts aggregate.ConversionCounts) {
		counts, err := e.store.Conversions(e.ctx(), q, func(c *aggregate.Converted) {
			found = append(found, fmt.Sprintf("%s %s %s %s %d", c.TenantID, c.PublisherID, c.CampaignID, c.Kind, c.Gap))
		})
		e.must(err)
		slices.Sort(found)
		return found, counts
	}
	found, counts := ask(aggregate.BillingQuery{TenantID: "acme", From: shop.Hour, To: shop.Hour + hour})
	if want := []string{"acme pub camp install 5000000", "acme pub camp install 86400000000", "acme pub2 camp2 install -1000000"}; !slices.Equal(found, want) {
		e.Errorf("conversions\n%q, want\n%q", found, want)
	}
	clicks := map[string]int64{}
	for _, c := range counts.Clicks {
		clicks[c.TenantID+" "+c.PublisherID+" "+c.CampaignID] += c.Count
	}
	if want := map[string]int64{"acme pub camp": 2, "acme pub2 camp2": 1}; !reflect.DeepEqual(clicks, want) {
		e.Errorf("valid clicks %v, want %v", clicks, want)
	}
	if want := map[string]int64{"acme": 2}; !reflect.DeepEqual(counts.Strangers, want) {
		e.Errorf("conversions of no billed click %v, want %v", counts.Strangers, want)
	}
	if found, _ := ask(aggregate.BillingQuery{CampaignID: "camp2"}); len(found) != 1 {
		e.Errorf("of one campaign: %q", found)
	}
	for _, q := range []aggregate.BillingQuery{{TenantID: "acmf"}, {From: shop.Hour + hour, To: shop.Hour + 2*hour}} {
		if found, counts := ask(q); len(found)+len(counts.Clicks)+len(counts.Strangers) != 0 {
			e.Errorf("of %+v: %q, %+v", q, found, counts)
		}
	}
}

// fedPoison: what does not decode, or stands in a topic where it does not belong, is kept
// and is nobody's malformed click.
func fedPoison(e *env) {
	value := click.AppendImpression(nil, &click.Impression{TenantID: "acme", ClickID: opportunity(1), ShownAt: base})
	sold := conversion(1, base, "t")
	conversion := click.AppendConversion(nil, &sold)
	record := func(p aggregate.Partition, kind stream.Kind, value []byte, offset int64) *kgo.Record {
		r := stream.NewRecord(kind, "acme", []byte("k"), value, 1)
		r.Topic, r.Partition, r.Offset = p.Topic, p.Number, offset
		return r
	}
	for _, tt := range []struct {
		p    aggregate.Partition
		kind stream.Kind
		vals [][]byte
	}{
		{fedPartition(stream.KindImpression, 0), stream.KindImpression, [][]byte{value, value[:9], conversion[:20], nil}},
		{fedPartition(stream.KindConversion, 0), stream.KindConversion, [][]byte{conversion, conversion[:len(conversion)-1]}},
		{fedPartition(stream.KindConversion, 1), stream.KindImpression, [][]byte{value}},
		{letterPartition(0), stream.KindImpression, [][]byte{value}},
	} {
		c, err := e.store.Claim(e.ctx(), tt.p, "test")
		e.must(err)
		var records []*kgo.Record
		for i, v := range tt.vals {
			records = append(records, record(tt.p, tt.kind, v, int64(i)))
		}
		_, err = aggregate.Apply(e.ctx(), e.store, aggregate.DecodeBatch(tt.p, c, records))
		e.must(err)
	}
	equal(e, "poison", e.count("SELECT count(*) FROM poison_records"), 6)
	equal(e, "poison that tells an origin", e.count("SELECT count(*) FROM poison_records WHERE tenant_id <> ''"), 0)
	equal(e, "dead letters", e.count("SELECT count(*) FROM dead_letters"), 0)
	equal(e, "impressions", e.count("SELECT count(*) FROM impressions"), 1)
	equal(e, "conversions", e.count("SELECT count(*) FROM conversions"), 1)
	equal(e, "events", sum(e.totals()), 0)
}
