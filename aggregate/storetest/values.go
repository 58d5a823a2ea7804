package storetest

import (
	"math"
	"reflect"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var texts = []string{
	"", "plain", "🧨👩‍👩‍👧 e\u0301 \u202eright to left", "\x01\x1f\x7f\t\r\n", `\N \. \\ "quoted" 'single' ,;{}`, "NULL",
	"\U0010ffff\ufffe\ufeff", strings.Repeat("long🧨", 32), "  spaces  ", "'; DROP TABLE clicks; --",
}

// fill sets every string of the click but the tenant, which may not be empty.
func fill(c *click.Click, s string) {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.String && v.Type().Field(i).Name != "TenantID" {
			f.SetString(s)
		}
	}
	c.TenantID, c.Ingest.Gateway = "t"+s, s
}

// values: every field comes back as it went in, at its limits.
func values(e *env) {
	var rows []aggregate.ClickRow
	for i, s := range texts {
		rows = append(rows, newRow(uint64(i)+1, base+int64(i)*minute, func(c *click.Click) { fill(c, s) }))
	}
	nan := newRow(102, base, func(c *click.Click) { c.Verdict.Score = math.NaN() })
	rows = append(rows, extreme(100, true), extreme(101, false), nan)
	e.put(rows...)
	for _, r := range rows {
		got, err := e.store.Trace(e.ctx(), r.TenantID, r.EventID)
		e.must(err)
		if len(got) != 1 {
			e.Fatalf("trace of %q has %d rows", r.TenantID, len(got))
		}
		if diff := cmp.Diff(r.Click, got[0].Click, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			e.Errorf("click comes back otherwise (-sent +stored):\n%s", diff)
		}
		equal(e, "partition", got[0].Partition, r.Partition)
		equal(e, "offset", got[0].Offset, r.Offset)
	}
	bill, err := e.store.Billing(e.ctx(), aggregate.BillingQuery{TenantID: "max"})
	e.must(err)
	if len(bill) != 1 || bill[0].CostMicros != math.MaxInt64 {
		e.Errorf("bill of the greatest price is %+v", bill)
	}
	e.totals()
}

// extreme is a click with every number at its limit, or at zero.
func extreme(n uint64, high bool) aggregate.ClickRow {
	return newRow(n, base, func(c *click.Click) {
		if !high {
			*c = click.Click{TenantID: "min", EventID: c.EventID, IDTime: c.IDTime, EventTime: c.EventTime, ReceivedAt: c.ReceivedAt}
			c.Verdict.Score = -1e-300
			return
		}
		c.TenantID, c.PriceMicros, c.Flags, c.KeyEpoch, c.ASN = "max", math.MaxInt64, math.MaxUint32, math.MaxUint32, math.MaxUint32
		c.ClickID, c.IPKey, c.AgentKey = click.ID{0: 255, 15: 1}, click.Key{0: 255}, click.Key{15: 255}
		c.Evidence = make([]byte, 10_000)
		v := &c.Verdict
		v.Reasons, v.Score, v.VectorVersion = math.MaxUint64, math.MaxFloat64, math.MaxUint32
		v.ListsHash, v.PolicyHash, v.ModelHash, v.ModelSlot = math.MaxUint64, 1<<63, math.MaxUint64-1, click.ModelShadow
		v.Vector = click.Vector{0: math.MaxFloat32, 1: float32(math.Inf(-1)), 15: math.SmallestNonzeroFloat32}
		c.Entry, c.Pricing = click.EntryLog, click.PricingCPC
		c.Ingest.Seq = math.MaxInt64
	})
}

// badText: what one store cannot hold, no store takes, and the batch goes back
// whole.
func badText(e *env) {
	for i, s := range []string{"nul\x00byte", "broken\xff", "half\xc3"} {
		b := e.batch(partition(0), newRow(uint64(2*i+1), base), newRow(uint64(2*i+2), base, func(c *click.Click) { c.CampaignID = s }))
		if _, err := aggregate.Apply(e.ctx(), e.store, b); err == nil {
			e.Errorf("campaign_id %q was taken", s)
		}
		equal(e, "stored events", sum(e.totals()), 0)
	}
	e.put(newRow(1, base))
	equal(e, "stored events", sum(e.totals()), 1)
}

// moneyOverflow: a sum that leaves 64 bits is an error, never a wrong bill.
func moneyOverflow(e *env) {
	dear := func(n uint64, t int64) aggregate.ClickRow {
		return newRow(n, t, func(c *click.Click) { c.PriceMicros = math.MaxInt64 })
	}
	e.put(dear(1, base))
	if _, err := aggregate.Apply(e.ctx(), e.store, e.batch(partition(0), dear(2, base))); err == nil {
		e.Error("a minute count above 64 bits was taken")
	}
	equal(e, "stored events", sum(e.totals()), 1)
	e.put(dear(3, base+minute)) // another minute of the same hour
	if rows, err := e.store.Billing(e.ctx(), aggregate.BillingQuery{}); err == nil {
		e.Errorf("an hour above 64 bits is billed as %+v", rows)
	}
}

func deadLetters(e *env) {
	a, b := newLetter(1, base), newLetter(2, base)
	a.Message, b.Raw = "🧨\x01 'quoted'", nil
	batch := e.batch(letterPartition(0))
	batch.DeadLetters = []aggregate.DeadLetterRow{a, b, a}
	res := e.apply(batch)
	equal(e, "own copies", res.OwnCopies, 1)
	equal(e, "malformed", res.ByState[click.Malformed], 2)
	batch = e.batch(letterPartition(0))
	batch.DeadLetters = []aggregate.DeadLetterRow{b}
	equal(e, "own copies later", e.apply(batch).OwnCopies, 1)
	equal(e, "states", e.totals(), [10]int64{click.Malformed: 2})
	for _, l := range []aggregate.DeadLetterRow{a, b} {
		rows, err := e.store.Trace(e.ctx(), "", l.LetterID)
		e.must(err)
		if len(rows) != 1 || rows[0].What != "dead letter" || rows[0].Offset != l.Offset {
			e.Fatalf("trace of a dead letter is %+v", rows)
		}
		if diff := cmp.Diff(l.DeadLetter, rows[0].DeadLetter, cmpopts.EquateEmpty()); diff != "" {
			e.Errorf("dead letter comes back otherwise (-sent +stored):\n%s", diff)
		}
	}
}

// poison: records that could not be decoded are kept byte for byte, once.
func poison(e *env) {
	b := e.batch(partition(0), newRow(1, base))
	b.Poison = []aggregate.PoisonRow{
		{Partition: b.Partition, Offset: 250, Reason: "cut after 7 bytes", Key: []byte{0, 255}, Value: []byte{7, 0}, Kind: "\xffkind"},
		{Partition: b.Partition, Offset: 252, Reason: "empty", Value: []byte{}},
		{Partition: b.Partition, Offset: 253, Reason: "tombstone"},
	}
	res := e.apply(b)
	equal(e, "poison", res.Poison, 3)
	again := e.batch(partition(0))
	again.Poison = b.Poison
	e.apply(again)
	equal(e, "rows", e.count("SELECT count(*) FROM poison_records"), 3)
	equal(e, "tombstones", e.count("SELECT count(*) FROM poison_records WHERE value IS NULL AND rec_offset = 253"), 1)
	equal(e, "empty values", e.count("SELECT count(*) FROM poison_records WHERE length(value) = 0 AND rec_offset = 252"), 1)
	var key, value, kind []byte
	e.must(e.opts.DB(e.store).QueryRowContext(e.ctx(),
		"SELECT key, value, kind FROM poison_records WHERE rec_offset = 250").Scan(&key, &value, &kind))
	equal(e, "bytes", string(key)+"|"+string(value)+"|"+string(kind), "\x00\xff|\x07\x00|\xffkind")
	equal(e, "stored events", sum(e.totals()), 1)
}
