package aggregate

import (
	"errors"
	"fmt"
	"time"
)

// What stores refuse alike. Each is a mistake of the caller's, so the transaction
// goes back.

// CheckUnit returns an error when one of rows is not of u, the unit that the
// transaction holds. What is a word for the rows.
func CheckUnit[R any](u Unit, what string, rows []R, unitOf func(*R) Unit) error {
	for i := range rows {
		if got := unitOf(&rows[i]); got != u {
			return fmt.Errorf("%s: row %d is of %v; the transaction holds %v", what, i, got, u)
		}
	}
	return nil
}

// CheckBillings returns an error when one of rows is not of u or has no identity.
func CheckBillings(u Unit, rows []Billing) error {
	for i := range rows {
		if r := &rows[i]; r.ClickID.IsZero() && r.RepeatKey == 0 {
			return fmt.Errorf("billable clicks: event %s has neither a click id nor a repeat key", r.EventID)
		}
	}
	return CheckUnit(u, "billable clicks", rows, func(r *Billing) Unit { return Unit{r.TenantID, r.SourceID, r.Hour} })
}

// CheckInvoice returns an error when inv does not name a tenant and a whole month.
func CheckInvoice(inv Invoice) error {
	switch {
	case inv.TenantID == "":
		return errors.New("invoice: no tenant")
	case inv.Month != MonthOf(inv.Month):
		return fmt.Errorf("invoice of tenant %q: %s is not the start of a UTC month",
			inv.TenantID, time.UnixMicro(inv.Month).UTC().Format(time.RFC3339))
	}
	return nil
}
