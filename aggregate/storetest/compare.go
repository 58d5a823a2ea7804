package storetest

import (
	"fmt"
	"slices"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Compare demands that all stores give the reports of the first: bills, statements,
// closed units, totals, the ledger, the review queue and the Trace of every id. Only
// the time of storing may differ.
func Compare(t testing.TB, ids []click.ID, stores ...aggregate.Store) {
	t.Helper()
	want := read(t, stores[0], ids)
	for i, s := range stores[1:] {
		got := read(t, s, ids)
		for name, w := range want {
			if diff := cmp.Diff(w, got[name], cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%s of store %d (%T) differs from store 0 (%T) (-0 +%d):\n%s", name, i+1, s, stores[0], i+1, diff)
			}
		}
	}
}

// read returns every report of a store by name.
func read(t testing.TB, s aggregate.Store, ids []click.ID) map[string]any {
	t.Helper()
	ctx := t.Context()
	reports := make(map[string]any)
	keep := func(name string, report any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s of %T: %v", name, s, err)
		}
		reports[name] = report
	}
	bill, err := s.Billing(ctx, aggregate.BillingQuery{})
	keep("Billing", bill, err)
	statement, err := s.Statement(ctx, aggregate.BillingQuery{})
	keep("Statement", statement, err)
	closed, err := s.ClosedUnits(ctx, aggregate.BillingQuery{})
	keep("ClosedUnits", closed, err)
	invalid, err := s.Invalid(ctx, aggregate.BillingQuery{})
	keep("Invalid", invalid, err)
	flagged, err := s.Flagged(ctx, aggregate.FlaggedQuery{})
	keep("Flagged", aggregate.Queue(flagged, 0), err)
	totals, err := s.Totals(ctx)
	keep("Totals", totals, err)
	l, err := s.Ledger(ctx, aggregate.LedgerQuery{})
	keep("Ledger", l, err)
	for _, q := range []aggregate.LedgerQuery{{TenantID: "acme"}, {From: base - 3*hour, To: base}, {From: base - minute, To: base + hour}} {
		l, err := s.Ledger(ctx, q)
		keep(fmt.Sprintf("Ledger of %+v", q), l.Rows, err)
	}
	for _, id := range ids {
		rows, err := s.Trace(ctx, "", id)
		keep("Trace of "+id.String(), withoutIngestTime(t, rows), err)
	}
	return reports
}

func withoutIngestTime(t testing.TB, rows []aggregate.TraceRow) []aggregate.TraceRow {
	rows = slices.Clone(rows)
	for i := range rows {
		if rows[i].IngestedAt <= 0 {
			t.Errorf("%s has no time of storing", rows[i].What)
		}
		rows[i].IngestedAt = 0
	}
	return rows
}
