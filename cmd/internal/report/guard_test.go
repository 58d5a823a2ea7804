package report

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

// formulas are texts that spreadsheets act on.
var formulas = []string{`=HYPERLINK("http://evil.example","x")`, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "'=1"}

// Ids in an export never start like a formula, and numbers stay numbers.
func TestCSVHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	var rows []aggregate.BillingRow
	for _, f := range formulas {
		rows = append(rows, aggregate.BillingRow{TenantID: f, AdvertiserID: f, CampaignID: "x" + f, Currency: "EUR", CostMicros: -1_000_000})
	}
	for _, line := range exported(t, rows)[1:] {
		f := strings.TrimPrefix(line[0], "'")
		if line[0] != "'"+f || line[1] != "'"+f || line[2] != "x"+f || !slices.Contains(formulas, f) {
			t.Errorf("texts %q", line[:3])
		}
		if cost := line[len(line)-2]; cost != "-1000000" {
			t.Errorf("cost_micros %q", cost)
		}
	}
}

// exported returns the lines of rows as CSV.
func exported(t interface {
	Helper()
	Fatal(...any)
}, rows []aggregate.BillingRow) [][]string {
	t.Helper()
	var b bytes.Buffer
	if err := Billing(&b, rows, CSV); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(lines) != len(rows)+1 {
		t.Fatal(len(lines), err)
	}
	return lines
}

// Taking one apostrophe off gives the id back, whatever it is.
func TestGuardComesOff(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[=+@' -]?[ -~]{1,20}`).Draw(t, "id")
		row := aggregate.BillingRow{TenantID: id}
		row.Counts[click.Valid] = 1
		got := exported(t, []aggregate.BillingRow{row})[1][0]
		if strings.ContainsAny(got[:1], "=+-@") || strings.TrimPrefix(got, "'") != id {
			t.Fatalf("%q is exported as %q", id, got)
		}
	})
}
