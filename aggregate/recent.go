package aggregate

import (
	"cmp"
	"context"

	"clickgate/gateway/click"
)

// Recent reads the newest minute counts. What it costs depends on the time that is
// asked for, never on how much is stored before it.
type Recent interface {
	// Recent returns counts in order of start, tenant, source, currency, state.
	Recent(ctx context.Context, q RecentQuery) ([]RecentCount, error)
}

// RecentQuery selects minutes.
type RecentQuery struct {
	TenantID string // empty: all
	From, To int64  // Unix microseconds, [From, To); To 0 means open
	Step     int64  // width of a count in microseconds, whole minutes; 0: a minute
}

// RecentCount counts one tenant, source, currency and state from Start on, for the
// query's step. Micros is as in MinuteDelta.
type RecentCount struct {
	Start    int64 // Unix microseconds, a multiple of the step
	TenantID string
	SourceID string
	Currency string
	State    click.State
	Count    int64
	Micros   int64
}

// Bounds returns the query's step, and its end with an open one as far away as
// both stores can tell.
func (q *RecentQuery) Bounds() (step, to int64) {
	const distant = 253402300800 * 1_000_000 // the year 10000
	step, to = q.Step, q.To
	if step <= 0 {
		step = minuteMicros
	}
	if to == 0 {
		to = distant
	}
	return step, to
}

// Compare orders counts as Recent returns them.
func (c RecentCount) Compare(d RecentCount) int {
	return cmp.Or(cmp.Compare(c.Start, d.Start), cmp.Compare(c.TenantID, d.TenantID),
		cmp.Compare(c.SourceID, d.SourceID), cmp.Compare(c.Currency, d.Currency), cmp.Compare(c.State, d.State))
}
