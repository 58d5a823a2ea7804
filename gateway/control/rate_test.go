package control

import (
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
)

// TestRate: a rate is taken with prices up to the limit and refused with a word
// on what is wrong otherwise.
func TestRate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*RateEntry)
		want   string // in the error; empty: taken
	}{
		"ordinary":              {func(*RateEntry) {}, ""},
		"free":                  {func(e *RateEntry) { e.PriceMicros = 0 }, ""},
		"greatest price":        {func(e *RateEntry) { e.PriceMicros = click.MaxPriceMicros }, ""},
		"price above the limit": {func(e *RateEntry) { e.PriceMicros = click.MaxPriceMicros + 1 }, "price_micros: 1000000000001 is above 1000000000000"},
		"negative price":        {func(e *RateEntry) { e.PriceMicros = -1 }, "price_micros: -1 is negative"},
		"no version":            {func(e *RateEntry) { e.Version = "" }, "version: is empty"},
		"no start":              {func(e *RateEntry) { e.From = time.Time{} }, "from: is missing"},
		"unknown pricing":       {func(e *RateEntry) { e.Pricing = "cpx" }, "pricing: \"cpx\" is unknown"},
		"unknown currency":      {func(e *RateEntry) { e.Currency = "euro" }, "currency"},
	} {
		e := RateEntry{Version: "v1", From: time.Unix(1_700_000_000, 0), PriceMicros: 250_000, Currency: "EUR"}
		tc.change(&e)
		r, err := e.rate()
		switch {
		case tc.want == "" && (err != nil || r.PriceMicros != e.PriceMicros || r.Pricing != click.PricingCPC):
			t.Errorf("%s: %+v, %v", name, r, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: error %v, want %q in it", name, err, tc.want)
		}
	}
}
