package click

import (
	"errors"
	"strings"
	"testing"

	"clickgate/gateway/click/clickpb"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func drawID(t *rapid.T, label string) (id ID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, label))
	id[15] |= 1
	return id
}

func drawConversion(t *rapid.T) Conversion {
	text := rapid.StringN(0, 12, 40)
	return Conversion{
		TenantID: rapid.StringN(1, 8, 20).Draw(t, "tenant"), SourceID: text.Draw(t, "source"), ClickID: drawID(t, "click"),
		ConvertedAt: rapid.Int64Min(1).Draw(t, "at"), ReceivedAt: rapid.Int64Min(0).Draw(t, "received"), Kind: text.Draw(t, "kind"),
		TransactionID: text.Draw(t, "transaction"), ValueMicros: rapid.Int64Min(0).Draw(t, "value"), Currency: text.Draw(t, "currency"),
	}
}

// The hand-written encoders write what the generated ones do, the decoders give it back,
// and nobody takes a fed record for a click or a dead letter.
func TestFeedCodec(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		i := Impression{rapid.StringN(1, 8, 20).Draw(t, "tenant"), drawID(t, "click"), rapid.Int64Min(1).Draw(t, "shown")}
		c := drawConversion(t)
		impression, conversion := AppendImpression(nil, &i), AppendConversion(nil, &c)
		for _, x := range []struct {
			hand []byte
			m    proto.Message
		}{
			{impression, &clickpb.Impression{TenantId: i.TenantID, ClickId: i.ClickID[:], ShownAt: i.ShownAt}},
			{conversion, &clickpb.Conversion{
				TenantId: c.TenantID, ClickId: c.ClickID[:], ConvertedAt: c.ConvertedAt, SourceId: c.SourceID, ReceivedAt: c.ReceivedAt,
				Kind: c.Kind, TransactionId: c.TransactionID, ValueMicros: c.ValueMicros, Currency: c.Currency,
			}},
		} {
			generated, err := proto.MarshalOptions{Deterministic: true}.Marshal(x.m)
			if err != nil || string(generated) != string(x.hand) {
				t.Fatalf("by hand %x, generated %x, %v", x.hand, generated, err)
			}
			if err := DecodeClick(x.hand, new(Click)); err == nil {
				t.Fatal("a fed record was read as a click")
			}
			if _, err := DecodeDeadLetter(x.hand); err == nil {
				t.Fatal("a fed record was read as a dead letter")
			}
		}
		if back, err := DecodeImpression(impression); err != nil || back != i {
			t.Fatalf("%+v comes back as %+v, %v", i, back, err)
		}
		if back, err := DecodeConversion(conversion); err != nil || back != c {
			t.Fatalf("%+v comes back as %+v, %v", c, back, err)
		}
	})
}

func TestFeedDecodeRefuses(t *testing.T) {
	t.Parallel()
	i := AppendImpression(nil, &Impression{"acme", ID{1}, 5})
	c := AppendConversion(nil, &Conversion{TenantID: "acme", ClickID: ID{1}, ConvertedAt: 5})
	for name, value := range map[string][]byte{
		"nothing": {}, "cut": i[:len(i)-1], "cut inside the id": i[:12], "cut conversion": c[:len(c)-1],
		"no tenant": AppendImpression(nil, &Impression{ClickID: ID{1}, ShownAt: 5}),
		"no id":     AppendImpression(nil, &Impression{TenantID: "acme", ShownAt: 5}),
		"no time":   AppendImpression(nil, &Impression{TenantID: "acme", ClickID: ID{1}}),
		"a click":   AppendClick(nil, &Click{TenantID: "acme", EventID: ID{1}, IDTime: 1, EventTime: 1}),
	} {
		var bad *DecodeError
		if _, err := DecodeImpression(value); !errors.As(err, &bad) {
			t.Errorf("%s as an impression: %v", name, err)
		}
		if _, err := DecodeConversion(value); !errors.As(err, &bad) {
			t.Errorf("%s as a conversion: %v", name, err)
		}
	}
}

// A transaction id alone names a conversion. Without one everything else that a sender
// says of it does, but not when it arrived nor what it was worth.
func TestConversionKey(t *testing.T) {
	t.Parallel()
	base := Conversion{TenantID: "acme", ClickID: ID{1}, ConvertedAt: 5, Kind: "install", ValueMicros: 7}
	change := func(f func(*Conversion)) Conversion { c := base; f(&c); return c }
	order := change(func(c *Conversion) { c.TransactionID = "order-1" })
	for name, tt := range map[string]struct {
		a, b Conversion
		same bool
	}{
		"sent twice":             {base, change(func(c *Conversion) { c.ReceivedAt, c.ValueMicros = 9, 8 }), true},
		"another time":           {base, change(func(c *Conversion) { c.ConvertedAt = 6 }), false},
		"another kind":           {base, change(func(c *Conversion) { c.Kind = "sale" }), false},
		"another click":          {base, change(func(c *Conversion) { c.ClickID = ID{2} }), false},
		"one order, two clicks":  {order, change(func(c *Conversion) { c.TransactionID, c.ClickID, c.ConvertedAt = "order-1", ID{2}, 9 }), true},
		"two orders":             {order, change(func(c *Conversion) { c.TransactionID = "order-2" }), false},
		"an order and a blank":   {order, base, false},
		"an id like a blank one": {base, change(func(c *Conversion) { c.TransactionID = strings.Repeat("c", 25) }), false},
	} {
		if got := tt.a.Key() == tt.b.Key(); got != tt.same {
			t.Errorf("%s: one key is %v, want %v", name, got, tt.same)
		}
	}
}

func FuzzDecodeFeed(f *testing.F) {
	f.Add(AppendImpression(nil, &Impression{"acme", ID{1}, 5}))
	f.Add(AppendConversion(nil, &Conversion{TenantID: "acme", ClickID: ID{1}, ConvertedAt: 5, Kind: "install", TransactionID: "t", Currency: "EUR"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := DecodeImpression(b); err == nil {
			if back, err := DecodeImpression(AppendImpression(nil, &i)); err != nil || back != i {
				t.Fatalf("%+v comes back as %+v, %v", i, back, err)
			}
		}
		if c, err := DecodeConversion(b); err == nil {
			if back, err := DecodeConversion(AppendConversion(nil, &c)); err != nil || back != c {
				t.Fatalf("%+v comes back as %+v, %v", c, back, err)
			}
			c.Key()
		}
	})
}
