package click

import (
	"slices"
	"testing"
)

func TestReasonTable(t *testing.T) {
	t.Parallel()
	seen := map[string]Reason{}
	for r := range NumReasons {
		info := r.Info()
		if info.Code == "" || info.Text == "" {
			t.Errorf("reason %d has no code or text", r)
		}
		if other, dup := seen[info.Code]; dup {
			t.Errorf("reasons %d and %d share the code %s", r, other, info.Code)
		}
		seen[info.Code] = r
	}
	if NumReasons > 64 {
		t.Errorf("%d reasons do not fit a set of 64", NumReasons)
	}
	if got := Reason(63).String(); got != "UNKNOWN" {
		t.Errorf("an unknown reason reads %q", got)
	}
}

func TestReasonsSet(t *testing.T) {
	t.Parallel()
	s := Reasons(0).Set(ReasonTor).Set(ReasonCrawler).Set(ReasonTor)
	if !s.Has(ReasonTor) || !s.Has(ReasonCrawler) || s.Has(ReasonVPN) {
		t.Errorf("set %b", s)
	}
	if got := s.Codes(); !slices.Equal(got, []string{"CRAWLER", "TOR"}) {
		t.Errorf("codes %v", got)
	}
}

func TestNamesComeBack(t *testing.T) {
	t.Parallel()
	for s := range NumStates {
		if got, ok := ParseState(s.String()); !ok || got != s {
			t.Errorf("state %d reads %q and comes back as %d", s, s, got)
		}
	}
	for p := PricingNone; p <= PricingFlat; p++ {
		if got, ok := ParsePricing(p.String()); !ok || got != p {
			t.Errorf("pricing %d reads %q and comes back as %d", p, p, got)
		}
	}
	if _, ok := ParseState("fine"); ok {
		t.Error("an unknown state name was read")
	}
}
