package sqlite

import (
	"context"
	"errors"
	"slices"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// closingFaults are mistakes of the closing side.
type closingFaults struct {
	nothingSealed, noLate, noSeal, anyOrder, oneOwner, longLease, noFence, skipTies, heldOnly, noSettling bool
	turnedRound, noNotes, noBilled, wideWindow, meetsItself, noUnbill, noSign, adjustAgain, issueAgain    bool
	sealFirst, sealAgain, lastRetired, noText, anyUnit, noRollback, noTrigger                             bool
	shifted                                                                                               int64
}

// breakTable takes away what the table itself refuses.
func (m *mutant) breakTable(t *testing.T) {
	if m.tx.noTrigger {
		if err := execute(m.Store, "DROP TRIGGER closed_hours_no_replace"); err != nil {
			t.Fatal(err)
		}
		if err := execute(m.Store, "DROP TRIGGER closed_hours_no_update"); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *mutantTx) TouchUnits(ctx context.Context, units []aggregate.Unit) ([]bool, error) {
	sealed, err := m.Tx.TouchUnits(ctx, units)
	if m.nothingSealed {
		clear(sealed)
	}
	return sealed, err
}

func (m *mutantTx) InsertLate(ctx context.Context, keys []aggregate.EventKey, units []aggregate.Unit) error {
	if m.noLate {
		return nil
	}
	return m.Tx.InsertLate(ctx, keys, units)
}

func (m *mutant) OpenUnits(ctx context.Context) ([]aggregate.UnitInfo, error) {
	units, err := m.Store.OpenUnits(ctx)
	if m.tx.anyOrder {
		slices.Reverse(units)
	}
	return units, err
}

func (m *mutant) Lease(ctx context.Context, u aggregate.Unit, owner string, ttl int64) (int64, error) {
	if m.tx.oneOwner {
		owner = "all"
	}
	if m.tx.longLease {
		ttl = hourMicros
	}
	return m.Store.Lease(ctx, u, owner, ttl)
}

func (m *mutant) Seal(ctx context.Context, u aggregate.Unit, fence int64) error {
	if m.tx.noSeal {
		return nil
	}
	err := m.Store.Seal(ctx, u, fence)
	if m.tx.sealAgain && errors.Is(err, aggregate.ErrUnitClosed) {
		return nil
	}
	return err
}

func (m *mutant) RetireGateway(ctx context.Context, r aggregate.Retirement) error {
	if m.tx.lastRetired {
		if err := execute(m.Store, "DELETE FROM retired_gateways WHERE gateway = '"+r.Gateway+"' AND at > 0"); err != nil {
			return err
		}
	}
	return m.Store.RetireGateway(ctx, r)
}

func (m *mutant) IssueInvoice(ctx context.Context, inv aggregate.Invoice) error {
	err := m.Store.IssueInvoice(ctx, inv)
	if m.tx.issueAgain && errors.Is(err, aggregate.ErrInvoiceIssued) {
		return nil
	}
	return err
}

func (m *mutant) InClosing(ctx context.Context, u aggregate.Unit, fence int64, f func(aggregate.ClosingTx) error) error {
	run := func(tx aggregate.ClosingTx) error { return f(&mutantClosing{tx, m.tx.closingFaults, u}) }
	if m.tx.noFence {
		return m.Store.write(ctx, func(t *tx) error { return run(&closingTx{t, u}) })
	}
	var failed error
	err := m.Store.InClosing(ctx, u, fence, func(tx aggregate.ClosingTx) error {
		failed = run(tx)
		if m.tx.noRollback {
			return nil
		}
		return failed
	})
	return errors.Join(err, failed)
}

type mutantClosing struct {
	aggregate.ClosingTx
	closingFaults
	held aggregate.Unit
}

func (m *mutantClosing) UnitClicks(ctx context.Context, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error) {
	if m.skipTies && after.EventTime > 0 {
		after.EventID = click.ID{0: 255}
	}
	if m.heldOnly && u != m.held {
		return nil, nil
	}
	return m.ClosingTx.UnitClicks(ctx, u, late, after, limit)
}

func (m *mutantClosing) SettleLate(ctx context.Context, keys []aggregate.EventKey) error {
	if m.noSettling {
		return nil
	}
	return m.ClosingTx.SettleLate(ctx, keys)
}

func (m *mutantClosing) Bill(ctx context.Context, rows []aggregate.Billing) ([]aggregate.Billed, error) {
	if m.anyUnit {
		r := &rows[0]
		m.ClosingTx.(*closingTx).held = aggregate.Unit{TenantID: r.TenantID, SourceID: r.SourceID, Hour: r.Hour}
	}
	if m.wideWindow {
		rows = slices.Clone(rows)
		for i := range rows {
			rows[i].EventTime--
		}
	}
	got, err := m.ClosingTx.Bill(ctx, rows)
	for i := range got {
		if m.noBilled {
			got[i] = aggregate.Billed{}
		}
		if m.meetsItself && got[i].EventID.IsZero() {
			got[i].EventKey = rows[i].EventKey
		}
	}
	return got, err
}

func (m *mutantClosing) Unbill(ctx context.Context, keys []aggregate.EventKey) error {
	if m.noUnbill {
		return nil
	}
	return m.ClosingTx.Unbill(ctx, keys)
}

func (m *mutantClosing) Revise(ctx context.Context, rows []aggregate.Revision) error {
	rows = slices.Clone(rows)
	if m.turnedRound {
		slices.Reverse(rows)
	}
	for i := range rows {
		if m.noNotes && rows[i].Decision == aggregate.DecisionNote {
			rows[i].Decision = aggregate.DecisionRelease
		}
		if m.noText {
			rows[i].Why = ""
		}
	}
	return m.ClosingTx.Revise(ctx, rows)
}

func (m *mutantClosing) AddMinutes(ctx context.Context, deltas []aggregate.MinuteDelta) error {
	deltas = slices.Clone(deltas)
	for i := range deltas {
		if m.noSign {
			deltas[i].Count = max(deltas[i].Count, -deltas[i].Count)
		}
	}
	return m.ClosingTx.AddMinutes(ctx, deltas)
}

func (m *mutantClosing) Adjust(ctx context.Context, rows []aggregate.Adjustment) error {
	err := m.ClosingTx.Adjust(ctx, rows)
	if m.adjustAgain {
		return nil
	}
	return err
}

func (m *mutantClosing) InvoiceOf(ctx context.Context, tenantID string, hour int64) (aggregate.Invoice, error) {
	return m.ClosingTx.InvoiceOf(ctx, tenantID, hour+m.shifted)
}

func (m *mutantClosing) Finish(ctx context.Context, c *aggregate.ClosedUnit, rows []aggregate.ClosedHour) error {
	if m.sealFirst {
		if _, err := m.ClosingTx.(*closingTx).exec("mutant", "UPDATE units SET state = 1"); err != nil {
			return err
		}
	}
	return m.ClosingTx.Finish(ctx, c, rows)
}
