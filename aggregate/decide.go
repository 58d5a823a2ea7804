package aggregate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"clickgate/gateway/click"
)

// DecisionRequest is what an analyst says of one click.
type DecisionRequest struct {
	TenantID string
	EventID  click.ID
	Decision Decision
	Seen     int    // revision of the click that the analyst saw; AnyRevision for whatever holds
	Who      string // user name
	Why      string // never empty
	At       int64  // Unix microseconds
}

// AnyRevision decides whatever others said in between.
const AnyRevision = -1

// MaxWhy is how many bytes a reason may have.
const MaxWhy = 2000

// Decided is what a decision did.
type Decided struct {
	Before     StoredClick
	State      click.State
	Closed     bool        // the hour was closed: what moves money is the adjustment
	Adjustment *Adjustment // nil when the number of valid clicks does not change
}

// Errors of Decide.
var (
	// ErrChanged says that the click has a newer verdict than the analyst saw.
	ErrChanged = errors.New("the click's verdict has changed since; look at it again")
	// ErrRefused says that the decision cannot be made of this click.
	ErrRefused = errors.New("the decision is refused")
)

// DecidingStore is what Decide needs of a store.
type DecidingStore interface {
	Closing
	Review
	ClosedUnits(ctx context.Context, q BillingQuery) ([]ClosedUnit, error)
	Trace(ctx context.Context, tenantID string, id click.ID) ([]TraceRow, error)
}

// Decide appends an analyst's decision to a click's verdict. In an open hour it
// moves the provisional counts, and the second pass keeps it; in a closed hour what
// changes is an adjustment. It waits shortly for a closer that holds the hour.
// Errors: ErrNoCase, ErrChanged, ErrRefused, ErrNotLeased.
func Decide(ctx context.Context, store DecidingStore, r DecisionRequest) (Decided, error) {
	if err := r.check(); err != nil {
		return Decided{}, err
	}
	c, ok, err := store.ClickOf(ctx, r.TenantID, r.EventID)
	if err != nil {
		return Decided{}, err
	}
	if !ok {
		return Decided{}, ErrNoCase
	}
	waiting, cancel := context.WithTimeout(ctx, decideWait)
	defer cancel()
	for {
		out, err := r.once(ctx, waiting, store, UnitOf(c.Click))
		if !errors.Is(err, ErrNotLeased) {
			return out, err
		}
		select {
		case <-waiting.Done():
			return out, err
		case <-time.After(decidePause):
		}
	}
}

// once decides under a lease of its own. The click is part of the owner's name, so
// that decisions of one person on two clicks of an hour wait for each other.
func (r *DecisionRequest) once(ctx, waiting context.Context, store DecidingStore, u Unit) (Decided, error) {
	owner := fmt.Sprintf("review by %s of %s", r.Who, r.EventID)
	fence, err := leaseShortly(waiting, store, u, owner)
	if err != nil {
		return Decided{}, err
	}
	out, err := r.decide(ctx, store, u, fence)
	if errors.Is(err, ErrNotLeased) {
		return out, err // it is another's now
	}
	_, e := store.Lease(context.WithoutCancel(ctx), u, owner, 0)
	if errors.Is(e, ErrNotLeased) {
		e = nil
	}
	return out, errors.Join(err, e)
}

func (r *DecisionRequest) check() error {
	switch {
	case r.Decision != DecisionConfirm && r.Decision != DecisionRelease && r.Decision != DecisionNote:
		return fmt.Errorf("%w: %q is none; use confirm, release or note", ErrRefused, r.Decision)
	case strings.TrimSpace(r.Why) == "":
		return fmt.Errorf("%w: say why", ErrRefused)
	case len(r.Why) > MaxWhy:
		return fmt.Errorf("%w: the reason has %d bytes; use at most %d", ErrRefused, len(r.Why), MaxWhy)
	case r.Who == "":
		return fmt.Errorf("%w: nobody is named", ErrRefused)
	}
	return nil
}

const (
	decideLease = 30 * time.Second
	decideWait  = 10 * time.Second
	decidePause = 50 * time.Millisecond
)

// leaseShortly takes the unit, waiting for another closer until ctx ends.
func leaseShortly(ctx context.Context, store Closing, u Unit, owner string) (int64, error) {
	for {
		fence, err := store.Lease(ctx, u, owner, decideLease.Microseconds())
		if !errors.Is(err, ErrNotLeased) {
			return fence, err
		}
		select {
		case <-ctx.Done():
			return 0, err
		case <-time.After(decidePause):
		}
	}
}

// decide runs with the unit leased, so that the click and the state of its unit stay
// as they are read here: whoever writes revisions holds the lease.
func (r *DecisionRequest) decide(ctx context.Context, store DecidingStore, u Unit, fence int64) (Decided, error) {
	c, ok, err := store.ClickOf(ctx, r.TenantID, r.EventID)
	if err != nil || !ok {
		return Decided{}, errors.Join(err, ErrNoCase)
	}
	if r.Seen != AnyRevision && r.Seen != c.Revision {
		return Decided{}, fmt.Errorf("%w: revision %d was seen, %d holds", ErrChanged, r.Seen, c.Revision)
	}
	if r.Decision == DecisionRelease && !releasable(c.State) || r.Decision == DecisionConfirm && c.State == click.Test {
		return Decided{}, fmt.Errorf("%w: a click of state %s is never billed", ErrRefused, c.State)
	}
	closed, err := isClosed(ctx, store, u)
	if err != nil {
		return Decided{}, err
	}
	paid := false // open hours charge nothing yet
	if closed {
		if paid, err = isCharged(ctx, store, &c); err != nil {
			return Decided{}, err
		}
	}
	out := Decided{Before: c, Closed: closed}
	err = store.InClosing(ctx, u, fence, func(tx ClosingTx) error {
		out.Adjustment = nil
		return r.write(ctx, tx, u, &out, paid)
	})
	return out, err
}

// isCharged reports whether a click of a closed hour is charged as things stand.
func isCharged(ctx context.Context, store DecidingStore, c *StoredClick) (bool, error) {
	rows, err := store.Trace(ctx, c.TenantID, c.EventID)
	if err != nil {
		return false, err
	}
	for i := range rows {
		if rows[i].Click != nil && KeyOf(rows[i].Click) == KeyOf(c.Click) {
			return charged(c.State, rows[i].Adjustments), nil
		}
	}
	return false, ErrNoCase
}

// charged replays the adjustments of a click, oldest first. What the hour was closed
// with is what the first one changed, or the state of now where there is none; those
// that were waived moved nothing.
func charged(state click.State, adjustments []Adjustment) bool {
	paid := state == click.Valid
	for i := range adjustments {
		a := &adjustments[i]
		if i == 0 {
			paid = a.From == click.Valid
		}
		if a.Waived == "" {
			paid = a.Clicks > 0
		}
	}
	return paid
}

func isClosed(ctx context.Context, store DecidingStore, u Unit) (bool, error) {
	units, err := store.ClosedUnits(ctx, BillingQuery{TenantID: u.TenantID, From: u.Hour, To: u.Hour + hourMicros})
	for i := range units {
		if units[i].Unit == u {
			return true, err
		}
	}
	return false, err
}

func (r *DecisionRequest) write(ctx context.Context, tx ClosingTx, u Unit, out *Decided, paid bool) error {
	c := &out.Before
	if out.Closed {
		if err := r.notLate(ctx, tx, u, c); err != nil {
			return err
		}
	}
	v := c.Verdict
	v.State, v.Reasons = c.State, c.Reasons
	if r.Decision != DecisionNote {
		v = decided(single(v), r.Decision)
	}
	if out.Closed {
		var err error
		if v, err = rebill(ctx, tx, c, v); err != nil {
			return err
		}
	}
	out.State = v.State
	if err := tx.Revise(ctx, []Revision{{
		EventKey: KeyOf(c.Click), Unit: u, At: r.At, From: c.State, Verdict: v,
		Cause: CauseReview, Decision: r.Decision, Who: r.Who, Why: r.Why,
	}}); err != nil {
		return err
	}
	d := deltas{}
	d.move(c.Click, c.State, v.State)
	if err := tx.AddMinutes(ctx, d.sorted()); err != nil {
		return err
	}
	if !out.Closed {
		return nil
	}
	return r.adjust(ctx, tx, u, out, paid)
}

// notLate refuses a click that came late and is not worked off: its adjustment has
// to come first.
func (r *DecisionRequest) notLate(ctx context.Context, tx ClosingTx, u Unit, c *StoredClick) error {
	late, err := tx.UnitClicks(ctx, u, true, before(positionOf(c)), 1)
	if err != nil {
		return err
	}
	if len(late) == 1 && late[0].EventID == c.EventID {
		return fmt.Errorf("%w: the click came late and is being worked off; try again in a minute", ErrRefused)
	}
	return nil
}

// before is the position right in front of p.
func before(p ClickPosition) ClickPosition {
	for i := len(p.EventID) - 1; i >= 0; i-- {
		p.EventID[i]--
		if p.EventID[i] != 0xff {
			return p
		}
	}
	p.EventTime-- // the id was zero and is the greatest now
	return p
}

// rebill moves the click in or out of the billable table of a closed hour.
func rebill(ctx context.Context, tx ClosingTx, c *StoredClick, v click.Verdict) (click.Verdict, error) {
	switch {
	case c.State == click.Valid && v.State != click.Valid:
		return v, tx.Unbill(ctx, []EventKey{KeyOf(c.Click)})
	case c.State != click.Valid && v.State == click.Valid:
		billed, err := tx.Bill(ctx, []Billing{billingOf(c)})
		if err == nil && !billed[0].EventID.IsZero() {
			v = repeated(v, c.Click, &billed[0])
		}
		return v, err
	}
	return v, nil
}

// adjust puts on record what the decision changes in a closed hour. What was never
// charged is not given back: a click whose debit was waived would otherwise bring a
// credit each time that it is confirmed.
func (r *DecisionRequest) adjust(ctx context.Context, tx ClosingTx, u Unit, out *Decided, paid bool) error {
	a := adjustmentOf(&out.Before, u, out.Before.State, out.State)
	if a.Clicks == 0 {
		return nil
	}
	var err error
	if a.Waived, err = waived(ctx, tx, u, a.Clicks, r.At); err != nil {
		return err
	}
	if a.Waived == "" && a.Clicks < 0 && !paid {
		a.Waived = "the click was not charged"
	}
	a.At, a.Cause, a.Who, a.Why = r.At, CauseReview, r.Who, r.Why
	out.Adjustment = &a
	return tx.Adjust(ctx, []Adjustment{a})
}
