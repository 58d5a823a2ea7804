package aggregate_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"clickgate/aggregate"

	"pgregory.net/rapid"
)

// told is a store that has what it is told.
type told struct {
	aggregate.Feeds
	converted []aggregate.Converted
	counts    aggregate.ConversionCounts
}

func (f *told) Conversions(_ context.Context, _ aggregate.BillingQuery, each func(*aggregate.Converted)) (aggregate.ConversionCounts, error) {
	for i := range f.converted {
		each(&f.converted[i])
	}
	return f.counts, nil
}

func (f *told) add(publisher string, n int, gap func(i int) int64) {
	for i := range n {
		f.converted = append(f.converted, aggregate.Converted{TenantID: "acme", PublisherID: publisher, CampaignID: fmt.Sprint("c", i%2), Kind: "install", Gap: gap(i)})
	}
}

// ordinary installs: three of four within an hour, 94 of 100 within a day.
func ordinary(i int) int64 {
	switch i % 100 {
	case 0, 17, 34, 51, 68, 85:
		return 30 * hour
	}
	if i%4 == 0 {
		return 5 * hour
	}
	return minute + int64(i%50)*minute
}

// TestStrangeConversions: what comes unlike other publishers' is named, and nobody is
// where there are too few to tell, nobody to compare with, or all are alike.
func TestStrangeConversions(t *testing.T) {
	t.Parallel()
	fast := func(i int) int64 {
		if i%3 == 0 {
			return 4 * second
		}
		return ordinary(i)
	}
	late := func(i int) int64 {
		if i%2 == 0 {
			return (25 + int64(i)) * hour
		}
		return ordinary(i)
	}
	early := func(i int) int64 { return -second }
	for name, tt := range map[string]struct {
		n, others int
		gap, they func(int) int64
		want      string
	}{
		"ordinary":                  {200, 400, ordinary, ordinary, ""},
		"fast":                      {60, 400, fast, ordinary, "FAST_CONVERSIONS"},
		"before the click":          {60, 400, early, ordinary, "FAST_CONVERSIONS"},
		"late":                      {60, 400, late, ordinary, "LATE_CONVERSIONS"},
		"fast, and so are all":      {60, 400, fast, fast, ""},
		"late, and so are all":      {60, 400, late, late, ""},
		"too few":                   {19, 400, early, ordinary, ""},
		"nobody to compare with":    {200, 0, early, ordinary, ""},
		"too few to compare with":   {200, 19, early, ordinary, ""},
		"few enough to be a chance": {200, 400, func(i int) int64 { return map[bool]int64{true: 4 * second, false: hour}[i%11 == 0] }, ordinary, ""},
	} {
		f := &told{}
		f.add("p", tt.n, tt.gap)
		f.add("q", tt.others/2, tt.they)
		f.add("r", tt.others-tt.others/2, tt.they)
		r, err := aggregate.Conversions(t.Context(), f, aggregate.BillingQuery{})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, row := range r.Rows {
			if (row.Strange == "") != (row.Why == "") {
				t.Errorf("%s: %q without a sentence, or one without a code: %q", name, row.Strange, row.Why)
			}
			switch {
			case row.PublisherID == "p":
				found++
				if row.Strange != tt.want {
					t.Errorf("%s: %s is %q (%s), want %q", name, row.CampaignID, row.Strange, row.Why, tt.want)
				}
			case row.Strange != "":
				t.Errorf("%s: publisher %s is %q (%s)", name, row.PublisherID, row.Strange, row.Why)
			}
		}
		if found != 2 {
			t.Errorf("%s: %d rows of the publisher, want those of 2 campaigns", name, found)
		}
	}
}

func TestConversionRows(t *testing.T) {
	t.Parallel()
	f := &told{counts: aggregate.ConversionCounts{
		Clicks: []aggregate.ConversionClicks{
			{TenantID: "acme", PublisherID: "p", CampaignID: "c0", Count: 40}, {TenantID: "acme", PublisherID: "p", CampaignID: "c0", Count: 2},
			{TenantID: "acme", PublisherID: "idle", CampaignID: "c9", Count: 5},
		},
		Strangers: map[string]int64{"acme": 3},
	}}
	for _, gap := range []int64{-hour, 3 * second, 9_999_999, 10 * second, 119 * second, 121 * second, 24*hour - 1, 24 * hour} {
		f.converted = append(f.converted, aggregate.Converted{TenantID: "acme", PublisherID: "p", CampaignID: "c0", Kind: "install", Gap: gap})
	}
	r, err := aggregate.Conversions(t.Context(), f, aggregate.BillingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	want := []aggregate.ConversionRow{
		{TenantID: "acme", PublisherID: "idle", CampaignID: "c9", Clicks: 5},
		{TenantID: "acme", PublisherID: "p", CampaignID: "c0", Kind: "install", Clicks: 42, Conversions: 8,
			First: 9, Median: 119, Third: 24*3600 - 60, Before: 1, Fast: 3, Late: 1},
	}
	if fmt.Sprint(r.Rows) != fmt.Sprint(want) || r.Strangers["acme"] != 3 {
		t.Errorf("rows\n%+v, want\n%+v; strangers %v", r.Rows, want, r.Strangers)
	}
}

// However conversions are spread, each is counted once, and quarters rise.
func TestConversionsAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := &told{}
		for range rapid.IntRange(0, 200).Draw(t, "conversions") {
			f.converted = append(f.converted, aggregate.Converted{
				TenantID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"), PublisherID: rapid.SampledFrom([]string{"p", "q", ""}).Draw(t, "publisher"),
				Kind: rapid.SampledFrom([]string{"install", "sale"}).Draw(t, "kind"), Gap: rapid.Int64Range(-hour, 100*24*hour).Draw(t, "gap"),
			})
		}
		r, err := aggregate.Conversions(context.Background(), f, aggregate.BillingQuery{})
		if err != nil {
			t.Fatal(err)
		}
		var n int64
		var last string
		for _, row := range r.Rows {
			n += row.Conversions
			if row.First > row.Median || row.Median > row.Third || row.Before > row.Fast || row.Fast+row.Late > row.Conversions || row.First < 0 {
				t.Fatalf("row %+v", row)
			}
			if at := strings.Join([]string{row.TenantID, row.PublisherID, row.CampaignID, row.Kind}, "\x00"); at <= last && last != "" {
				t.Fatalf("%q comes behind %q", at, last)
			} else {
				last = at
			}
		}
		if n != int64(len(f.converted)) {
			t.Fatalf("%d conversions in rows, %d told", n, len(f.converted))
		}
	})
}
