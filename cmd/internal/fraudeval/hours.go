package fraudeval

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"clickgate/aggregate"
	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/gateway/token"
)

// truth is what is known of a click and no detector sees.
type truth struct {
	label   fraudrange.Label
	segment fraudrange.Segment
	family  fraudrange.Family
	actor   uint64
}

// entry is a stored click, its present verdict and the truth.
type entry struct {
	aggregate.StoredClick
	truth truth
}

// hours is a store that knows what closing needs and no more, for one process and one
// goroutine. It keeps a source's open hours and the one before them, and who was
// billed as long as tokens live.
type hours struct {
	units  map[aggregate.Unit]*unit
	billed map[click.ID]aggregate.Billed
	begun  map[int64][]click.ID // billed ids by hour
	final  func(*entry)         // is told every click when its hour has closed
}

type unit struct {
	entries []entry
	index   map[click.ID]int // by event id, once sealed
	state   aggregate.UnitState
}

func newHours(final func(*entry)) *hours {
	return &hours{
		units: map[aggregate.Unit]*unit{}, billed: map[click.ID]aggregate.Billed{},
		begun: map[int64][]click.ID{}, final: final,
	}
}

// errLate says that the range sent a click for an hour that was closed.
var errLate = errors.New("fraudeval: a click came after its hour had closed")

// insert stores a click with its provisional verdict.
func (h *hours) insert(c *click.Click, t truth) error {
	u := aggregate.UnitOf(c)
	at := h.units[u]
	if at == nil {
		at = &unit{}
		h.units[u] = at
	}
	if at.state != aggregate.UnitOpen {
		return fmt.Errorf("%w: %v", errLate, u)
	}
	row := aggregate.StoredClick{ClickRow: aggregate.ClickRow{Click: c}, State: c.Verdict.State, Reasons: c.Verdict.Reasons}
	if c.ClickID.IsZero() {
		row.RepeatKey = aggregate.RepeatKey(c)
	}
	at.entries = append(at.entries, entry{row, t})
	return nil
}

// OpenUnits implements aggregate.Closing.
func (h *hours) OpenUnits(context.Context) (open []aggregate.UnitInfo, _ error) {
	for u, at := range h.units {
		if at.state != aggregate.UnitClosed {
			open = append(open, aggregate.UnitInfo{Unit: u, State: at.state, FirstSeen: u.Hour, LastReceived: u.Hour})
		}
	}
	slices.SortFunc(open, func(a, b aggregate.UnitInfo) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.Hour, b.Hour), cmp.Compare(a.SourceID, b.SourceID))
	})
	return open, nil
}

// Seal implements aggregate.Closing: the clicks come into their order.
func (h *hours) Seal(_ context.Context, u aggregate.Unit, _ int64) error {
	at := h.units[u]
	if at == nil {
		return fmt.Errorf("fraudeval: no click touched %v", u)
	}
	if at.state == aggregate.UnitClosed {
		return aggregate.ErrUnitClosed
	}
	at.state = aggregate.UnitSealed
	slices.SortFunc(at.entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), bytes.Compare(a.EventID[:], b.EventID[:]))
	})
	at.index = make(map[click.ID]int, len(at.entries))
	for i := range at.entries {
		at.index[at.entries[i].EventID] = i
	}
	return nil
}

// InClosing implements aggregate.Closing. What fails ends the evaluation, so nothing
// is rolled back.
func (h *hours) InClosing(_ context.Context, u aggregate.Unit, _ int64, f func(aggregate.ClosingTx) error) error {
	return f(&closing{hours: h, held: u})
}

// Lease implements aggregate.Closing: there is one closer.
func (h *hours) Lease(context.Context, aggregate.Unit, string, int64) (int64, error) { return 1, nil }

// StoredMarks implements aggregate.Closing: hours are closed by hand.
func (h *hours) StoredMarks(context.Context) ([]aggregate.StoredMark, error) { return nil, nil }

// RetireGateway implements aggregate.Closing.
func (h *hours) RetireGateway(context.Context, aggregate.Retirement) error { return errUnused }

// RetiredGateways implements aggregate.Closing.
func (h *hours) RetiredGateways(context.Context) ([]aggregate.Retirement, error) { return nil, nil }

// LateUnits implements aggregate.Closing: insert refuses late clicks.
func (h *hours) LateUnits(context.Context) ([]aggregate.Unit, error) { return nil, nil }

// IssueInvoice implements aggregate.Closing.
func (h *hours) IssueInvoice(context.Context, aggregate.Invoice) error { return errUnused }

// Invoices implements aggregate.Closing.
func (h *hours) Invoices(context.Context, string) ([]aggregate.Invoice, error) { return nil, nil }

var errUnused = errors.New("fraudeval: the range has neither invoices nor retired gateways")

// closing is the transaction of a unit.
type closing struct {
	*hours
	held aggregate.Unit
}

// UnitClicks implements aggregate.ClosingTx.
func (t *closing) UnitClicks(_ context.Context, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error) {
	at := t.units[u]
	if at == nil || late {
		return nil, nil
	}
	from := sort.Search(len(at.entries), func(i int) bool {
		e := &at.entries[i]
		return cmp.Or(cmp.Compare(e.EventTime, after.EventTime), bytes.Compare(e.EventID[:], after.EventID[:])) > 0
	})
	rest := at.entries[from:min(from+limit, len(at.entries))]
	out := make([]aggregate.StoredClick, len(rest))
	for i := range rest {
		out[i] = rest[i].StoredClick
	}
	return out, nil
}

// Bill implements aggregate.ClosingTx. All clicks of the range have a token.
func (t *closing) Bill(_ context.Context, rows []aggregate.Billing) ([]aggregate.Billed, error) {
	if err := aggregate.CheckBillings(t.held, rows); err != nil {
		return nil, err
	}
	out := make([]aggregate.Billed, len(rows))
	for i := range rows {
		r := &rows[i]
		if r.ClickID.IsZero() {
			return nil, fmt.Errorf("fraudeval: event %s has no token", r.EventID)
		}
		have, taken := t.billed[r.ClickID]
		if taken && have.EventKey != r.EventKey {
			out[i] = have
		}
		if !taken {
			t.billed[r.ClickID] = aggregate.Billed{EventKey: r.EventKey, EventTime: r.EventTime, SourceID: r.SourceID, Hour: r.Hour}
			t.begun[r.Hour] = append(t.begun[r.Hour], r.ClickID)
		}
	}
	return out, nil
}

// Revise implements aggregate.ClosingTx.
func (t *closing) Revise(_ context.Context, revisions []aggregate.Revision) error {
	at := t.units[t.held]
	for i := range revisions {
		r := &revisions[i]
		n, ok := at.index[r.EventID]
		if !ok {
			return fmt.Errorf("fraudeval: %v has no event %s to revise", t.held, r.EventID)
		}
		e := &at.entries[n]
		e.Revision++
		e.State, e.Reasons = r.Verdict.State, r.Verdict.Reasons
	}
	return nil
}

// Finish implements aggregate.ClosingTx: the verdicts are final now.
func (t *closing) Finish(_ context.Context, c *aggregate.ClosedUnit, _ []aggregate.ClosedHour) error {
	at := t.units[t.held]
	if c.Clicks != int64(len(at.entries)) {
		return fmt.Errorf("fraudeval: %v closed with %d of %d clicks", t.held, c.Clicks, len(at.entries))
	}
	at.state, at.index = aggregate.UnitClosed, nil
	for i := range at.entries {
		t.final(&at.entries[i])
	}
	t.forget()
	return nil
}

// forget drops what no later pass reads: hours before the one just closed, and
// identities whose tokens are over.
func (t *closing) forget() {
	for u, at := range t.units {
		if u.SourceID == t.held.SourceID && u.Hour < t.held.Hour && at.state == aggregate.UnitClosed {
			delete(t.units, u)
		}
	}
	for hour, ids := range t.begun {
		if hour < t.held.Hour-2*token.Lifetime.Microseconds() {
			for _, id := range ids {
				delete(t.billed, id)
			}
			delete(t.begun, hour)
		}
	}
}

// Unbill implements aggregate.ClosingTx.
func (t *closing) Unbill(context.Context, []aggregate.EventKey) error { return errUnused }

// AddMinutes implements aggregate.ClosingTx: nobody asks for minute counts here.
func (t *closing) AddMinutes(context.Context, []aggregate.MinuteDelta) error { return nil }

// Adjust implements aggregate.ClosingTx.
func (t *closing) Adjust(_ context.Context, rows []aggregate.Adjustment) error {
	if len(rows) > 0 {
		return errUnused
	}
	return nil
}

// InvoiceOf implements aggregate.ClosingTx.
func (t *closing) InvoiceOf(context.Context, string, int64) (aggregate.Invoice, error) {
	return aggregate.Invoice{}, nil
}

// SettleLate implements aggregate.ClosingTx.
func (t *closing) SettleLate(context.Context, []aggregate.EventKey) error { return errUnused }

// ShownAt implements aggregate.ClosingTx: the range has no feed of impressions.
func (t *closing) ShownAt(_ context.Context, _ string, clickIDs []click.ID) ([]int64, error) {
	return make([]int64, len(clickIDs)), nil
}
