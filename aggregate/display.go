package aggregate

import (
	"context"

	"clickgate/gateway/click"
)

// shows counts the clicks of a unit whose display was asked for, and those that have one.
type shows struct{ asked, shown int64 }

// States of the feed of impressions in an hour of a source.
const (
	feedUsed   = "used"
	feedThin   = "thin"
	feedBehind = "behind"
	feedOld    = "old"
	feedNone   = "none"
)

var feedStates = [...]string{feedUsed, feedThin, feedBehind, feedOld, feedNone}

// state names s. A feed that knows none of an hour's clicks was not fed for the source.
func (s shows) state() string {
	switch {
	case s.shown == 0:
		return feedNone
	case 2*s.shown < s.asked:
		return feedThin
	}
	return feedUsed
}

// display looks up when the ads of clicks were displayed, where the feed is whole. Clicks
// without a token name no display.
func (p *pass) display(ctx context.Context, batch []StoredClick) error {
	if !p.fed {
		return nil
	}
	var ids []click.ID
	var of []int
	for i := range batch {
		if id := batch[i].ClickID; !id.IsZero() {
			ids, of = append(ids, id), append(of, i)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	shown, err := p.tx.ShownAt(ctx, p.unit.TenantID, ids)
	if err != nil {
		return err
	}
	for n, at := range shown {
		p.shows.asked++
		if at == 0 {
			at = click.ShownNever
		} else {
			p.shows.shown++
		}
		batch[of[n]].ShownAt = at
	}
	return nil
}

// fed returns feedUsed when the store has all impressions that may belong to clicks of u,
// and else why it has not: every gateway that takes any must have said in each partition
// that it is past the hour and its grace, and what was displayed a token's life before the
// hour must not be forgotten yet.
func (c *Closer) fed(ctx context.Context, u Unit) (state string, err error) {
	if c.dep.ImpressionsKeep == 0 {
		return feedNone, nil
	}
	marks, err := c.dep.Store.StoredMarks(ctx)
	if err != nil {
		return "", err
	}
	retired, err := c.dep.Store.RetiredGateways(ctx)
	if err != nil {
		return "", err
	}
	through, taken := FedThrough(marks, retired)
	switch {
	case !taken:
		return feedNone, nil
	case u.Hour-TokenLife < c.dep.Now().Add(-c.dep.ImpressionsKeep).UnixMicro():
		return feedOld, nil
	case through < u.Hour+hourMicros+c.dep.Terms(u.TenantID, u.SourceID).Grace:
		return feedBehind, nil
	}
	return feedUsed, nil
}

// tellFeed counts and logs what the feed was for a closed unit.
func (c *Closer) tellFeed(u Unit, state string, s shows) {
	if state == feedUsed {
		state = s.state()
	}
	c.metrics.feed.WithLabelValues(state).Inc()
	if state == feedThin {
		c.dep.Logger.Warn("the feed of impressions has fewer than half of what was clicked in an hour; no click is judged by it",
			"tenant", u.TenantID, "source", u.SourceID, "hour", clock(u.Hour), "share", float64(s.shown)/float64(s.asked))
	}
}
