package click

import (
	"bytes"
	"math"
	"testing"

	"clickgate/gateway/click/clickpb"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

// drawClick draws any click the edge could write; texts are valid UTF-8.
func drawClick(t *rapid.T) *Click {
	text := rapid.StringN(0, 12, 40)
	id := func(label string) (id ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
		return id
	}
	c := &Click{
		TenantID: rapid.StringN(1, 8, 20).Draw(t, "tenant"), SourceID: text.Draw(t, "source"),
		EventID: id("event"), ClickID: id("click"),
		IDTime:     rapid.Int64Range(1, math.MaxInt64).Draw(t, "id time"),
		EventTime:  rapid.Int64Range(1, math.MaxInt64).Draw(t, "event time"),
		ReceivedAt: rapid.Int64Range(0, math.MaxInt64).Draw(t, "received"),
		Entry:      Entry(rapid.IntRange(0, 4).Draw(t, "entry")),
		Flags:      Flags(rapid.Uint32().Draw(t, "flags")),

		AdvertiserID: text.Draw(t, "adv"), CampaignID: text.Draw(t, "cmp"), AdGroupID: text.Draw(t, "adg"),
		CreativeID: text.Draw(t, "crt"), PublisherID: text.Draw(t, "pub"), PlacementID: text.Draw(t, "plc"),
		LandingHost: text.Draw(t, "landing"), RefererHost: text.Draw(t, "referer"), Country: text.Draw(t, "country"),
		PriceMicros: rapid.Int64Range(0, math.MaxInt64).Draw(t, "price"), Currency: text.Draw(t, "currency"),
		Pricing: Pricing(rapid.IntRange(0, 4).Draw(t, "pricing")), RateCard: text.Draw(t, "rate"),
		IPKey: Key(id("ip")), AgentKey: Key(id("agent")), KeyEpoch: rapid.Uint32().Draw(t, "epoch"),
		IPPrefix: text.Draw(t, "prefix"), ASN: rapid.Uint32().Draw(t, "asn"), AgentFamily: text.Draw(t, "family"),
		Evidence: rapid.SliceOfN(rapid.Byte(), 1, 64).Draw(t, "evidence"),
		Ingest: IngestID{
			Gateway: rapid.StringN(1, 8, 20).Draw(t, "gateway"),
			Boot:    rapid.Uint64Min(1).Draw(t, "boot"), Seq: rapid.Uint64Min(1).Draw(t, "seq"),
		},
	}
	if c.EventID.IsZero() {
		c.EventID[0] = 1
	}
	drawVerdict(t, &c.Verdict)
	return c
}

func drawVerdict(t *rapid.T, v *Verdict) {
	v.State = State(rapid.IntRange(0, int(NumStates)-1).Draw(t, "state"))
	v.Reasons = Reasons(rapid.Uint64().Draw(t, "reasons"))
	v.Score = rapid.Float64Range(0, 1).Draw(t, "score")
	v.ListsHash, v.PolicyHash, v.ModelHash = rapid.Uint64().Draw(t, "lists"), rapid.Uint64().Draw(t, "policy"), rapid.Uint64().Draw(t, "model")
	v.ModelSlot = ModelSlot(rapid.IntRange(0, 2).Draw(t, "slot"))
	if v.VectorVersion = rapid.Uint32Range(0, 3).Draw(t, "vector version"); v.VectorVersion != 0 {
		for i := range v.Vector[:rapid.IntRange(0, VectorSize).Draw(t, "slots")] {
			v.Vector[i] = rapid.Float32().Draw(t, "feature")
		}
	}
}

func toProto(c *Click) *clickpb.Click {
	bytes16 := func(b [16]byte) []byte {
		if b == [16]byte{} {
			return nil
		}
		return b[:]
	}
	v := &clickpb.Verdict{
		State: clickpb.State(c.Verdict.State), Score: c.Verdict.Score, VectorVersion: c.Verdict.VectorVersion,
		ListsHash: c.Verdict.ListsHash, PolicyHash: c.Verdict.PolicyHash, ModelHash: c.Verdict.ModelHash,
		ModelSlot: uint32(c.Verdict.ModelSlot),
	}
	c.Verdict.Reasons.Each(func(r Reason) { v.Reasons = append(v.Reasons, uint32(r)) })
	if v.VectorVersion != 0 {
		v.Vector = c.Verdict.Vector[:c.Verdict.Vector.packed()]
	}
	if c.Verdict == (Verdict{}) {
		v = nil
	}
	return &clickpb.Click{
		TenantId: c.TenantID, EventId: bytes16(c.EventID), IdTime: c.IDTime, EventTime: c.EventTime,
		ReceivedAt: c.ReceivedAt, SourceId: c.SourceID, Entry: clickpb.Entry(c.Entry), ClickId: bytes16(c.ClickID),
		Flags: uint32(c.Flags), AdvertiserId: c.AdvertiserID, CampaignId: c.CampaignID, AdGroupId: c.AdGroupID,
		CreativeId: c.CreativeID, PublisherId: c.PublisherID, PlacementId: c.PlacementID, LandingHost: c.LandingHost,
		RefererHost: c.RefererHost, Country: c.Country, PriceMicros: c.PriceMicros, Currency: c.Currency,
		Pricing: clickpb.Pricing(c.Pricing), RateCard: c.RateCard, IpKey: bytes16(c.IPKey), AgentKey: bytes16(c.AgentKey),
		KeyEpoch: c.KeyEpoch, IpPrefix: c.IPPrefix, Asn: c.ASN, AgentFamily: c.AgentFamily, Evidence: c.Evidence,
		Verdict: v,
		Ingest:  &clickpb.Ingest{Gateway: c.Ingest.Gateway, Boot: c.Ingest.Boot, Seq: c.Ingest.Seq},
	}
}

// The generated code is the contract: the hand encoder writes the same bytes and
// the hand decoder reads the same values.
func TestClickCodecAgainstProtobuf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawClick(t)
		byHand := AppendIngest(AppendClick(nil, c), &c.Ingest)
		generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(toProto(c))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(byHand, generated) {
			t.Fatalf("hand encoder:\n%x\ngenerated code:\n%x", byHand, generated)
		}
		var back Click
		if err := DecodeClick(generated, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, &back); diff != "" {
			t.Fatalf("decoded click differs (-want +got):\n%s", diff)
		}
	})
}

func TestDecodeClickRefuses(t *testing.T) {
	t.Parallel()
	good := AppendIngest(AppendClick(nil, sampleClick()), &IngestID{"eu/a", 1, 2})
	missing := sampleClick()
	missing.TenantID = ""
	wide, err := proto.Marshal(&clickpb.Click{TenantId: "t", EventId: []byte("short"), IdTime: 1, EventTime: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"empty":        {},
		"cut":          good[:len(good)-7],
		"no tenant":    AppendClick(nil, missing),
		"short id":     wide,
		"wrong type":   {8, 1}, // tenant_id as a varint
		"garbage":      []byte("\xff\xff\xff\xff\xff\xff"),
		"cut in seven": good[:7],
		"large flags":  append(append([]byte{}, good...), 9<<3, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
		"large entry":  append(append([]byte{}, good...), 7<<3, 0xff, 0x7f),
		"short vector": append(append([]byte{}, good...), 0x92, 3, 5, 5<<3|2, 3, 1, 2, 3),
		"reason 64":    append(append([]byte{}, good...), 0x92, 3, 3, 2<<3|2, 1, 64),
	} {
		var c Click
		if err := DecodeClick(b, &c); err == nil {
			t.Errorf("%s: decoded without an error", name)
		}
	}
}

func TestDecodeClickSkipsFieldsOfNewerWriters(t *testing.T) {
	t.Parallel()
	want := sampleClick()
	b := AppendClick([]byte{0xba, 0x3e, 3, 'n', 'e', 'w', 0xc5, 0x3e, 1, 2, 3, 4}, want) // fields 999 and 1000
	var got Click
	if err := DecodeClick(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, &got); diff != "" {
		t.Fatal(diff)
	}
}

func sampleClick() *Click {
	c := &Click{
		TenantID: "demo", SourceID: "edge", EventID: ID{1, 2, 3}, IDTime: 1_790_000_000_000_000,
		EventTime: 1_790_000_000_000_000, ReceivedAt: 1_790_000_000_500_000, Entry: EntryClick, ClickID: ID{9},
		Flags: FlagSealedToken, AdvertiserID: "acme", CampaignID: "spring", AdGroupID: "g1", CreativeID: "c1",
		PublisherID: "news.example", PlacementID: "top", LandingHost: "shop.example", RefererHost: "news.example",
		Country: "DE", PriceMicros: 250_000, Currency: "EUR", Pricing: PricingCPC,
		IPKey: Key{4}, AgentKey: Key{5}, KeyEpoch: 8106, IPPrefix: "203.0.113.0/24", AgentFamily: "Chrome",
		Evidence: bytes.Repeat([]byte{7}, 240),
	}
	c.Verdict = Verdict{State: Valid, VectorVersion: 1, ListsHash: 1, PolicyHash: 2}
	return c
}

func TestRecordsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(0, 12, 40)
		d := &DeadLetter{
			TenantID: "t", SourceID: text.Draw(t, "s"), Entry: EntryBatch, ReceivedAt: rapid.Int64Min(0).Draw(t, "at"),
			Code: text.Draw(t, "code"), Field: text.Draw(t, "field"), Message: text.Draw(t, "message"),
			Raw: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "raw"), LetterID: ID{1}, Ingest: IngestID{"g", 1, 2},
		}
		got, err := DecodeDeadLetter(AppendIngest(AppendDeadLetter(nil, d), &d.Ingest))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Fatal(diff)
		}
		e := Evidence{text.Draw(t, "ip"), text.Draw(t, "ua"), text.Draw(t, "ref"), text.Draw(t, "q"), text.Draw(t, "al")}
		back, err := DecodeEvidence(AppendEvidence(nil, &e))
		if err != nil || back != e {
			t.Fatalf("evidence %+v came back as %+v, %v", e, back, err)
		}
	})
}

func TestMarkRoundTrip(t *testing.T) {
	t.Parallel()
	m := &Mark{
		Gateway: "eu/1", Boot: 5, Number: 6, ThroughSeq: 7, Final: true, At: 8, Void: 9,
		Counts:          []SourceCount{{"t", "s", 3_600_000_000, 1, 2, 3}},
		Oldest:          []SourceTime{{"t", "s", 11}},
		ClickPartitions: 4, DeadLetterPartitions: 2,
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeMark(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Fatal(diff)
	}
	if _, err := DecodeMark(b[:5]); err == nil {
		t.Error("a cut mark decoded")
	}
}

func FuzzDecodeClick(f *testing.F) {
	f.Add(AppendIngest(AppendClick(nil, sampleClick()), &IngestID{"eu/a", 1, 2}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Click
		if DecodeClick(b, &c) != nil {
			return
		}
		again := AppendIngest(AppendClick(nil, &c), &c.Ingest)
		var d Click
		if err := DecodeClick(again, &d); err != nil {
			t.Fatalf("what was decoded does not decode again: %v", err)
		}
		if third := AppendIngest(AppendClick(nil, &d), &d.Ingest); !bytes.Equal(again, third) {
			t.Fatal("encoding is not stable")
		}
	})
}

func FuzzDecodeRecords(f *testing.F) {
	f.Add([]byte("\x0a\x01t"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = DecodeDeadLetter(b)
		_, _ = DecodeMark(b)
		_, _ = DecodeEvidence(b)
	})
}

func TestCodecAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	c, buf := sampleClick(), make([]byte, 0, 2048)
	ingest := IngestID{"eu/a", 1, 2}
	if n := testing.AllocsPerRun(100, func() { buf = AppendIngest(AppendClick(buf[:0], c), &ingest) }); n != 0 {
		t.Errorf("encoding allocates %v times", n)
	}
	var d Click
	if n := testing.AllocsPerRun(100, func() {
		if err := DecodeClick(buf, &d); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("decoding allocates %v times", n)
	}
}

func BenchmarkAppendClick(b *testing.B) {
	c, buf := sampleClick(), make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendClick(buf[:0], c)
	}
}

func BenchmarkDecodeClick(b *testing.B) {
	buf := AppendClick(nil, sampleClick())
	var c Click
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeClick(buf, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProtobufMarshal is the reference of BenchmarkAppendClick.
func BenchmarkProtobufMarshal(b *testing.B) {
	p := toProto(sampleClick())
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf, _ = proto.MarshalOptions{}.MarshalAppend(buf[:0], p)
	}
}
