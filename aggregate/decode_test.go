package aggregate

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
)

func clickValue(c *click.Click) []byte {
	return click.AppendIngest(click.AppendClick(nil, c), &c.Ingest)
}

func letterValue(d *click.DeadLetter) []byte {
	return click.AppendIngest(click.AppendDeadLetter(nil, d), &d.Ingest)
}

func markValue(t testing.TB, m *click.Mark) []byte {
	t.Helper()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is a record of a topic with a kind header, unless kind is empty.
func record(topic, kind string, value []byte) *kgo.Record {
	r := &kgo.Record{Topic: topic, Offset: 40, Key: []byte("key"), Value: value}
	if kind != "" {
		r.Headers = []kgo.RecordHeader{{Key: "other", Value: []byte("x")}, {Key: stream.HeaderKind, Value: []byte(kind)}}
	}
	return r
}

func decodeOne(r *kgo.Record) *Batch {
	return DecodeBatch(clicksPartition(0), Claim{Fence: 3, Next: r.Offset}, []*kgo.Record{r})
}

// TestDecode: what a gateway writes comes out as it went in.
func TestDecode(t *testing.T) {
	t.Parallel()
	c, withToken, d, m := newClick(1, testTime), newClick(2, testTime, sameToken), newLetter(3, testTime), newMark(4, 5)
	m.Counts = []click.SourceCount{{TenantID: "acme", SourceID: "shop", Hour: testTime, Received: 5, Shed: 1}}
	dearest := newClick(6, testTime, func(c *click.Click) { c.PriceMicros = click.MaxPriceMicros })
	records := []*kgo.Record{
		record(stream.ClicksTopic, "c", clickValue(c)), record(stream.ClicksTopic, "c", clickValue(withToken)),
		record(stream.DeadLettersTopic, "d", letterValue(d)), record(stream.DeadLettersTopic, "m", markValue(t, &m)),
		record(stream.ClicksTopic, "m", markValue(t, &m)), record(stream.ClicksTopic, "c", clickValue(dearest)),
	}
	for i, r := range records {
		r.Partition, r.Offset = 2, int64(40+i)
	}
	got := DecodeBatch(clicksPartition(2), Claim{Fence: 3, Next: 40}, records)
	want := &Batch{
		Partition: clicksPartition(2), Fence: 3, First: 40, Next: 46,
		Clicks:      []ClickRow{{c, RepeatKey(c), 2, 40}, {withToken, 0, 2, 41}, {dearest, RepeatKey(dearest), 2, 45}},
		DeadLetters: []DeadLetterRow{{d, 2, 42}}, Marks: []click.Mark{m, m},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Batch{})); diff != "" {
		t.Errorf("batch (-want +got):\n%s", diff)
	}
}

// TestPoison: every reason for which a record is no event, with the record kept
// byte for byte.
func TestPoison(t *testing.T) {
	t.Parallel()
	const clicks, letters = stream.ClicksTopic, stream.DeadLettersTopic
	good := clickValue(newClick(1, testTime))
	clickWith := func(f func(*click.Click)) *kgo.Record {
		return record(clicks, "c", clickValue(newClick(1, testTime, f)))
	}
	letterWith := func(f func(*click.DeadLetter)) *kgo.Record {
		d := newLetter(1, testTime)
		f(d)
		return record(letters, "d", letterValue(d))
	}
	markWith := func(f func(*click.Mark)) *kgo.Record {
		m := newMark(1, 10)
		f(&m)
		return record(clicks, "m", markValue(t, &m))
	}
	count := func(c click.SourceCount) func(*click.Mark) {
		return func(m *click.Mark) { m.Counts = []click.SourceCount{c} }
	}
	for name, c := range map[string]struct {
		record *kgo.Record
		want   string // in the reason
	}{
		"cut after 7 bytes":         {record(clicks, "c", good[:7]), "click"},
		"empty value":               {record(clicks, "c", []byte{}), "missing"},
		"tombstone":                 {record(clicks, "c", nil), "missing"},
		"empty dead letter":         {record(letters, "d", []byte{}), "missing"},
		"broken dead letter":        {record(letters, "d", []byte{0xff}), "dead letter"},
		"empty mark":                {record(clicks, "m", nil), "gateway or boot is missing"},
		"broken mark":               {record(letters, "m", []byte{0xff}), "mark"},
		"no headers":                {record(clicks, "", good), "does not know"},
		"unknown kind":              {record(clicks, "x", good), "does not know"},
		"long kind":                 {record(clicks, "click", good), "does not know"},
		"dead letter among clicks":  {record(clicks, "d", letterValue(newLetter(1, testTime))), "does not belong in topic clicks.v1"},
		"click among dead letters":  {record(letters, "c", good), "does not belong in topic deadletters.v1"},
		"text with NUL":             {clickWith(func(c *click.Click) { c.CampaignID = "a\x00b" }), "NUL"},
		"text not UTF-8":            {clickWith(func(c *click.Click) { c.AgentFamily = "\xff" }), "UTF-8"},
		"gateway not UTF-8":         {clickWith(func(c *click.Click) { c.Ingest.Gateway = "\xc3" }), "UTF-8"},
		"long text":                 {clickWith(func(c *click.Click) { c.PlacementID = strings.Repeat("x", maxText+1) }), "longer than 256"},
		"no source":                 {clickWith(func(c *click.Click) { c.SourceID = "" }), "source_id or ingest id is missing"},
		"no gateway":                {clickWith(func(c *click.Click) { c.Ingest.Gateway = "" }), "source_id or ingest id is missing"},
		"no boot":                   {clickWith(func(c *click.Click) { c.Ingest.Boot = 0 }), "source_id or ingest id is missing"},
		"no sequence":               {clickWith(func(c *click.Click) { c.Ingest.Seq = 0 }), "source_id or ingest id is missing"},
		"sequence above 63 bits":    {clickWith(func(c *click.Click) { c.Ingest.Seq = 1 << 63 }), "sequence"},
		"negative price":            {clickWith(func(c *click.Click) { c.PriceMicros = -1 }), "price -1"},
		"price above the limit":     {clickWith(func(c *click.Click) { c.PriceMicros = click.MaxPriceMicros + 1 }), "above 1000000000000"},
		"currency of one letter":    {clickWith(func(c *click.Click) { c.Currency = "X" }), `currency "X"`},
		"state malformed":           {clickWith(func(c *click.Click) { c.Verdict.State = click.Malformed }), "verdict state 1"},
		"state redelivered":         {clickWith(func(c *click.Click) { c.Verdict.State = click.Redelivered }), "verdict state 2"},
		"state unknown":             {clickWith(func(c *click.Click) { c.Verdict.State = click.NumStates }), "verdict state 10"},
		"no receipt time":           {clickWith(func(c *click.Click) { c.ReceivedAt = 0 }), "time is out of range"},
		"receipt time too late":     {clickWith(func(c *click.Click) { c.ReceivedAt = maxTime + 1 }), "time is out of range"},
		"negative event time":       {clickWith(func(c *click.Click) { c.EventTime = -1 }), "time is out of range"},
		"id time too late":          {clickWith(func(c *click.Click) { c.IDTime = math.MaxInt64 }), "time is out of range"},
		"no tenant":                 {clickWith(func(c *click.Click) { c.TenantID = "" }), "missing"},
		"letter with NUL":           {letterWith(func(d *click.DeadLetter) { d.Field = "\x00" }), "NUL"},
		"letter's message with NUL": {letterWith(func(d *click.DeadLetter) { d.Message = "\x00" }), "message"},
		"letter not UTF-8":          {letterWith(func(d *click.DeadLetter) { d.Message = "\xff" }), "UTF-8"},
		"letter with long code":     {letterWith(func(d *click.DeadLetter) { d.Code = strings.Repeat("x", maxText+1) }), "longer than 256"},
		"letter without source":     {letterWith(func(d *click.DeadLetter) { d.SourceID = "" }), "source_id"},
		"letter without ingest":     {letterWith(func(d *click.DeadLetter) { d.Ingest.Seq = 0 }), "ingest id"},
		"letter's sequence":         {letterWith(func(d *click.DeadLetter) { d.Ingest.Seq = 1 << 63 }), "ingest id"},
		"letter received never":     {letterWith(func(d *click.DeadLetter) { d.ReceivedAt = 0 }), "received_at"},
		"letter received too late":  {letterWith(func(d *click.DeadLetter) { d.ReceivedAt = maxTime + 1 }), "received_at"},
		"letter without id":         {letterWith(func(d *click.DeadLetter) { d.LetterID = click.ID{} }), "letter_id"},
		"mark with NUL":             {markWith(func(m *click.Mark) { m.Gateway = "\x00" }), "NUL"},
		"mark without number":       {markWith(func(m *click.Mark) { m.Number = 0 }), "mark 0"},
		"mark above 63 bits":        {markWith(func(m *click.Mark) { m.ThroughSeq = 1 << 63 }), "not possible"},
		"mark with too many void":   {markWith(func(m *click.Mark) { m.Void = 11 }), "11 void"},
		"mark in no partition":      {markWith(func(m *click.Mark) { m.ClickPartitions = 0 }), "how many partitions"},
		"mark in no letters":        {markWith(func(m *click.Mark) { m.DeadLetterPartitions = 0 }), "how many partitions"},
		"mark without time":         {markWith(func(m *click.Mark) { m.At = 0 }), "time is out of range"},
		"count with NUL":            {markWith(count(click.SourceCount{TenantID: "\x00", Hour: testTime})), "NUL"},
		"count with long source":    {markWith(count(click.SourceCount{SourceID: strings.Repeat("x", maxText+1), Hour: testTime})), "longer than 256"},
		"count of no hour":          {markWith(count(click.SourceCount{Hour: testTime + 1})), "not an hour"},
		"count of hour 0":           {markWith(count(click.SourceCount{})), "not an hour"},
		"count above 63 bits":       {markWith(count(click.SourceCount{Hour: testTime, Shed: 1 << 63})), "63 bits"},
	} {
		b := decodeOne(c.record)
		if len(b.Poison) != 1 || len(b.Clicks)+len(b.DeadLetters)+len(b.Marks) != 0 {
			t.Errorf("%s: %d poison, %d clicks, %d letters, %d marks", name, len(b.Poison), len(b.Clicks), len(b.DeadLetters), len(b.Marks))
			continue
		}
		p := b.Poison[0]
		if !strings.Contains(p.Reason, c.want) || !utf8.ValidString(p.Reason) {
			t.Errorf("%s: reason %q, want %q in it", name, p.Reason, c.want)
		}
		kind, value := "", c.record.Value
		if len(c.record.Headers) > 0 {
			kind = string(c.record.Headers[1].Value)
		}
		if p.Kind != kind || p.Offset != 40 || p.Partition != clicksPartition(0) || string(p.Key) != "key" ||
			!bytes.Equal(p.Value, value) || (p.Value == nil) != (value == nil) {
			t.Errorf("%s: kept as %+v", name, p)
		}
	}
}

// FuzzDecodeBatch: whatever bytes come, each record ends in exactly one place,
// and what is taken as an event can be stored.
func FuzzDecodeBatch(f *testing.F) {
	m := newMark(1, 10)
	m.Counts = []click.SourceCount{{TenantID: "acme", SourceID: "shop", Hour: testTime, Received: 5}}
	f.Add("c", false, clickValue(newClick(1, testTime)))
	f.Add("d", true, letterValue(newLetter(1, testTime)))
	f.Add("m", true, markValue(f, &m))
	f.Add("c", false, clickValue(newClick(1, testTime))[:7])
	f.Add("", false, []byte{})
	f.Fuzz(func(t *testing.T, kind string, letters bool, value []byte) {
		topic := stream.ClicksTopic
		if letters {
			topic = stream.DeadLettersTopic
		}
		records := []*kgo.Record{
			record(stream.ClicksTopic, "c", clickValue(newClick(2, testTime))),
			record(topic, kind, value),
			record(topic, "m", nil),
		}
		b := DecodeBatch(clicksPartition(0), Claim{Next: 40}, records)
		if n := len(b.Clicks) + len(b.DeadLetters) + len(b.Marks) + len(b.Poison); n != len(records) || b.Next != 41 {
			t.Fatalf("%d records ended in %d places, next %d", len(records), n, b.Next)
		}
		if len(b.Clicks) == 0 || b.Clicks[0].Ingest.Seq != 3 {
			t.Fatal("the neighbour was touched")
		}
		for _, c := range b.Clicks {
			storable(t, c.TenantID, c.SourceID, c.CampaignID, c.Currency, c.Ingest.Gateway)
			if c.PriceMicros < 0 || c.PriceMicros > click.MaxPriceMicros || (c.RepeatKey == 0) != !c.ClickID.IsZero() {
				t.Fatalf("click %+v", c.Click)
			}
		}
		for _, d := range b.DeadLetters {
			storable(t, d.TenantID, d.SourceID, d.Code, d.Field, d.Message, d.Ingest.Gateway)
		}
		for _, m := range b.Marks {
			storable(t, m.Gateway)
			OldCounts(b.Marks)
		}
		for _, p := range b.Poison {
			storable(t, p.Reason)
			if p.Origin.Known() {
				storable(t, p.Origin.TenantID, p.Origin.SourceID, p.Origin.Ingest.Gateway)
			}
		}
	})
}

func storable(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			t.Fatalf("text %q cannot be stored", s)
		}
	}
}
