package click

import (
	"math"
	"strings"
	"testing"
)

func num(f float64) *float64 { return &f }

func TestSourcePolicyValidate(t *testing.T) {
	t.Parallel()
	no := false
	z := func(suspect, invalid, address, inexcusable float64) SourcePolicy {
		return SourcePolicy{ZSuspect: &suspect, ZInvalid: &invalid, ZAddress: &address, ZInexcusable: &inexcusable}
	}
	for name, c := range map[string]struct {
		policy SourcePolicy
		want   string // of the error; empty for none
	}{
		"apps":               {SourcePolicy{AppsAreTools: &no}, ""},
		"no model":           {SourcePolicy{ModelSuspect: num(0)}, ""},
		"all z":              {z(3, 6, 3, 6), ""},
		"others":             {SourcePolicy{MinClicks: num(2), SelfMinutes: num(60), PriorMedian: num(1), ModelSuspect: num(0.9)}, ""},
		"empty":              {SourcePolicy{}, "is empty"},
		"one z":              {SourcePolicy{ZSuspect: num(6)}, "set all four or none"},
		"three z":            {SourcePolicy{ZInvalid: num(6), ZAddress: num(6), ZInexcusable: num(6)}, "set all four or none"},
		"z of 0":             {z(0, 6, 6, 6), "z_suspect: 0 is out of range; use a number above 0"},
		"infinite z":         {z(1, 6, math.Inf(1), 6), "z_address: +Inf is out of range"},
		"z that is none":     {z(1, math.NaN(), 6, 6), "z_invalid: NaN is out of range"},
		"invalid first":      {z(6, 5, 6, 6), "z_invalid: 5 is out of range; use at least z_suspect (6)"},
		"address first":      {z(6, 7, 5, 8), "z_address: 5 is out of range; use at least z_suspect (6)"},
		"inexcusable first":  {z(6, 7, 8, 6), "z_inexcusable: 6 is out of range; use at least z_invalid (7)"},
		"min clicks":         {SourcePolicy{MinClicks: num(1)}, "min_clicks: 1 is out of range; use at least 2"},
		"self minutes":       {SourcePolicy{SelfMinutes: num(61)}, "self_minutes: 61 is out of range; use 3 to 60"},
		"prior":              {SourcePolicy{PriorMedian: num(0)}, "prior_median: 0 is out of range; use at least 1"},
		"certainty":          {SourcePolicy{ModelSuspect: num(1)}, "model_suspect: 1 is out of range"},
		"infinite minclicks": {SourcePolicy{MinClicks: num(math.Inf(1))}, "min_clicks: +Inf is out of range"},
	} {
		err := c.policy.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}
