package aggregate

import (
	"strings"
	"testing"
	"time"

	"clickgate/gateway/click"
)

func TestCheckUnit(t *testing.T) {
	t.Parallel()
	u := Unit{"acme", "shop", 1_795_215_600_000_000}
	self := func(x *Unit) Unit { return *x }
	for name, others := range map[string][]Unit{
		"tenant": {u, {"acmf", "shop", u.Hour}}, "source": {u, {"acme", "other", u.Hour}}, "hour": {u, {"acme", "shop", u.Hour + hourMicros}},
	} {
		err := CheckUnit(u, "rows", others, self)
		if err == nil || !strings.Contains(err.Error(), "row 1 is of") || !strings.Contains(err.Error(), u.String()) {
			t.Errorf("another %s: %v", name, err)
		}
	}
	if err := CheckUnit(u, "rows", []Unit{u, u}, self); err != nil {
		t.Error(err)
	}
	ok := Billing{EventKey: EventKey{TenantID: "acme"}, SourceID: "shop", Hour: u.Hour, RepeatKey: 1}
	token, none := ok, ok
	token.RepeatKey, token.ClickID, none.RepeatKey = 0, click.ID{1}, 0
	if err := CheckBillings(u, []Billing{ok, token}); err != nil {
		t.Error(err)
	}
	if CheckBillings(u, []Billing{ok, none}) == nil {
		t.Error("a click without any identity may be billed")
	}
}

func TestCheckInvoice(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at, month string
	}{
		{"2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"}, {"2026-11-30T23:59:59.999999Z", "2026-11-01T00:00:00Z"},
		{"2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z"}, {"2027-01-01T00:30:00+01:00", "2026-12-01T00:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		got := MonthOf(at.UnixMicro())
		if s := time.UnixMicro(got).UTC().Format(time.RFC3339); s != c.month {
			t.Errorf("month of %s is %s, want %s", c.at, s, c.month)
		}
		if err := CheckInvoice(Invoice{TenantID: "acme", Month: got}); err != nil {
			t.Error(err)
		}
		if CheckInvoice(Invoice{TenantID: "acme", Month: got + 1}) == nil || CheckInvoice(Invoice{Month: got}) == nil {
			t.Error("an invoice of no month, or of nobody, is taken")
		}
	}
}

func TestClickPositionWithin(t *testing.T) {
	t.Parallel()
	u := Unit{"acme", "shop", 1_795_215_600_000_000}
	inside := ClickPosition{u.Hour, click.ID{1}}
	if got := inside.Within(u); got != inside {
		t.Errorf("%v became %v", inside, got)
	}
	for _, before := range []ClickPosition{{}, {u.Hour - 1, click.ID{1}}} {
		if got := before.Within(u); got.EventTime != u.Hour-1 || got.EventID[0] != 255 || got.EventID[15] != 255 {
			t.Errorf("%v became %v, want the last place of the hour before", before, got)
		}
	}
}
