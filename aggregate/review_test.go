package aggregate_test

import (
	"context"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// address is a Review of one address.
type address []aggregate.StoredClick

func (a address) AddressClicks(context.Context, aggregate.AddressQuery) ([]aggregate.StoredClick, error) {
	return a, nil
}

func (a address) Flagged(context.Context, aggregate.FlaggedQuery) ([]aggregate.FlaggedGroup, error) {
	return nil, nil
}

func (a address) AddressMinutes(context.Context, aggregate.AddressQuery) ([]aggregate.AddressMinute, error) {
	return nil, nil
}

func (a address) PeerCounts(context.Context, string, string, int64) ([]int64, error) { return nil, nil }

func (a address) ClickOf(context.Context, string, click.ID) (aggregate.StoredClick, bool, error) {
	return aggregate.StoredClick{}, false, nil
}

// TestCaseShowsWhatWaits: a case opens at a click that waits for a decision, even if
// one that was decided, or is valid, scores higher; among those that wait, the
// highest score leads.
func TestCaseShowsWhatWaits(t *testing.T) {
	t.Parallel()
	clickOf := func(id byte, state click.State, d aggregate.Decision, score float64) aggregate.StoredClick {
		c := &click.Click{EventID: click.ID{id}}
		c.Verdict.Score = score
		return aggregate.StoredClick{ClickRow: aggregate.ClickRow{Click: c}, State: state, Decision: d}
	}
	released := clickOf(1, click.Valid, aggregate.DecisionRelease, 0.9)
	confirmed := clickOf(2, click.SIVT, aggregate.DecisionConfirm, 0.9)
	waits := clickOf(3, click.SIVT, aggregate.DecisionNone, 0.8)
	suspect := clickOf(4, click.Suspect, aggregate.DecisionNone, 0.5)
	valid := clickOf(5, click.Valid, aggregate.DecisionNone, 0.95)
	for name, c := range map[string]struct {
		clicks address
		ask    click.ID
		want   byte
	}{
		"waits":           {address{released, confirmed, suspect, waits, valid}, click.ID{}, 3},
		"suspect waits":   {address{released, valid, suspect}, click.ID{}, 4},
		"nothing waits":   {address{confirmed, valid, released}, click.ID{}, 5},
		"newest of equal": {address{confirmed, released}, click.ID{}, 2},
		"asked for":       {address{released, waits}, click.ID{1}, 1},
	} {
		found, err := aggregate.ReadCase(t.Context(), c.clicks, aggregate.AddressQuery{}, c.ask)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := found.Clicks[found.Focus].EventID; got != (click.ID{c.want}) {
			t.Errorf("%s: opens at click %d, want %d", name, got[0], c.want)
		}
	}
}
