package aggregate

import (
	"fmt"
	"reflect"
	"testing"

	"clickgate/gateway/click"
)

// hashed is a unit and its one click, every field set.
func hashed() (Unit, *click.Click) {
	c := newClick(7, testTime, func(c *click.Click) {
		c.ClickID, c.RateCard, c.AdvertiserID, c.AdGroupID = click.ID{0: 0xee, 15: 1}, "v1", "adv", "group"
		c.CreativeID, c.PublisherID, c.PlacementID = "creative", "news", "tøp"
	})
	return UnitOf(c), c
}

func hashOf(u Unit, c *click.Click, s click.State, r click.Reasons) [32]byte {
	h := NewUnitHash(u)
	h.Add(c, s, r)
	return h.Sum()
}

// TestUnitHashGolden: the canonical form, as a program of another language made it from
// its description (testdata/unit_hash.py). A changed form is another hashVersion.
func TestUnitHashGolden(t *testing.T) {
	t.Parallel()
	u, c := hashed()
	h := NewUnitHash(u)
	sums := []string{fmt.Sprintf("%x", h.Sum())}
	h.Add(c, click.Valid, 0)
	sums = append(sums, fmt.Sprintf("%x", h.Sum()))
	h.Add(newClick(8, testTime+second), click.Duplicate, 1<<click.ReasonDoubleClick|1<<63)
	sums = append(sums, fmt.Sprintf("%x", h.Sum()))
	for i, want := range []string{
		"920287a36820247d69a1b022cb7d747ec90d9c5bcb76a1a3a3f77c474247ceb7",
		"afc90cac1e283e798da2b7beff24d23476083257a481d5ff18014000e04a377b",
		"375b7f6dc59a85f016500b614c9a64eb612a877f6e46a6dc312b1116dfedc1bd",
	} {
		if sums[i] != want {
			t.Errorf("after %d clicks %s, want %s", i, sums[i], want)
		}
	}
}

// TestUnitHashSees what is billed and why, and nothing of how it came: every field of a
// click is on one of two lists.
func TestUnitHashSees(t *testing.T) {
	t.Parallel()
	billed := map[string]bool{
		"EventID": true, "IDTime": true, "EventTime": true, "ClickID": true, "PriceMicros": true, "Currency": true, "Pricing": true,
		"RateCard": true, "AdvertiserID": true, "CampaignID": true, "AdGroupID": true, "CreativeID": true, "PublisherID": true,
		"PlacementID": true,
	}
	arrival := map[string]bool{
		"TenantID": true, "SourceID": true, // the unit's, which begin the hash
		"ReceivedAt": true, "Entry": true, "Flags": true, "LandingHost": true, "RefererHost": true, "Country": true, "IPKey": true,
		"AgentKey": true, "KeyEpoch": true, "IPPrefix": true, "ASN": true, "AgentFamily": true, "Evidence": true, "Verdict": true,
		"Ingest": true, "ShownAt": true, // a feed's, which moves the verdict alone
	}
	u, c := hashed()
	plain := hashOf(u, c, click.Valid, 2)
	fields := reflect.TypeFor[click.Click]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		if billed[name] == arrival[name] {
			t.Errorf("%s: say whether it is part of the hash", name)
		}
		other := *c
		alter(reflect.ValueOf(&other).Elem().Field(i))
		if changed := hashOf(u, &other, click.Valid, 2) != plain; changed != billed[name] {
			t.Errorf("another %s changes the hash: %t, want %t", name, changed, billed[name])
		}
	}
	for name, h := range map[string][32]byte{
		"state": hashOf(u, c, click.SIVT, 2), "reasons": hashOf(u, c, click.Valid, 4),
		"tenant": hashOf(Unit{"x", u.SourceID, u.Hour}, c, click.Valid, 2), "source": hashOf(Unit{u.TenantID, "x", u.Hour}, c, click.Valid, 2),
		"hour": hashOf(Unit{u.TenantID, u.SourceID, u.Hour + hour}, c, click.Valid, 2),
	} {
		if h == plain {
			t.Errorf("another %s does not change the hash", name)
		}
	}
	// Lengths keep neighbours apart.
	moved := *c
	moved.CampaignID, moved.AdGroupID = c.CampaignID+c.AdGroupID[:1], c.AdGroupID[1:]
	if hashOf(u, &moved, click.Valid, 2) == plain {
		t.Error("a letter that moves from one field to the next does not change the hash")
	}
}

// alter gives a field another value.
func alter(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(v.Float() + 1)
	case reflect.Array:
		alter(v.Index(0))
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.New(v.Type().Elem()).Elem()))
	case reflect.Struct:
		for i := range v.NumField() {
			alter(v.Field(i))
		}
	default:
		panic(v.Kind())
	}
}
