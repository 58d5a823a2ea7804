package aggregate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"clickgate/gateway/click"
)

// errUnscored says that a unit holds clicks without a verdict.
var errUnscored = errors.New("holds clicks that are not scored")

// pass is the second pass over one unit inside one closing transaction. Its memory
// is bounded by the batch: who has which identity stands in the store.
type pass struct {
	tx     ClosingTx
	unit   Unit
	from   int64 // the first hour that the judge must see
	look   func(*click.Click)
	judge  func(*click.Click) click.Verdict
	policy CloseConfig
	now    int64
	forced bool
	fed    bool   // the feed of impressions is whole for the unit
	shows  shows  // what it said
	more   bool   // late clicks wait for another pass
	free   string // why nothing of the unit is charged any more; empty while it is
	deltas deltas
	clicks int64
	hash   *UnitHash
	by     map[ClosedHour]*ClosedHour // by everything but Count and Micros
}

// closerName stands where a person would, on what the second pass says, and whyClosed
// where a person's reason would.
const (
	closerName = "closer"
	whyClosed  = "the hour closed"
)

func newPass(tx ClosingTx, u Unit, judge Judge, cfg CloseConfig, now int64) (*pass, error) {
	from, look, verdict, err := judge.Begin(u.TenantID, u.SourceID, u.Hour)
	if err != nil {
		return nil, err
	}
	return &pass{
		tx: tx, unit: u, from: from, look: look, judge: verdict, policy: cfg, now: now,
		deltas: deltas{}, hash: NewUnitHash(u), by: make(map[ClosedHour]*ClosedHour),
	}, nil
}

// close runs the pass and finishes the unit. A unit that came up after its month's
// invoice closes without its valid clicks, which become adjustments that are waived:
// what an invoice says must not rise behind it.
func (p *pass) close(ctx context.Context, unit *ClosedUnit) (err error) {
	if p.free, err = waived(ctx, p.tx, p.unit, 1, p.now); err != nil {
		return err
	}
	if err := p.survey(ctx, nil); err != nil {
		return err
	}
	if err := p.warm(ctx); err != nil {
		return err
	}
	if err := p.each(ctx, p.unit, false, func(batch []StoredClick) error { return p.batch(ctx, batch) }); err != nil {
		return err
	}
	if err := p.tx.AddMinutes(ctx, p.deltas.sorted()); err != nil {
		return err
	}
	unit.Clicks, unit.Hash, unit.ClosedAt = p.clicks, p.hash.Sum(), p.now
	if err := p.tx.Finish(ctx, unit, p.rows()); err != nil || p.free == "" {
		return err
	}
	return p.each(ctx, p.unit, false, func(batch []StoredClick) error { return p.waive(ctx, batch) })
}

// waive puts valid clicks on record that are not charged.
func (p *pass) waive(ctx context.Context, batch []StoredClick) error {
	var adjustments []Adjustment
	for i := range batch {
		if batch[i].State == click.Valid {
			a := adjustmentOf(&batch[i], p.unit, click.Unscored, click.Valid)
			a.At, a.Cause, a.Who, a.Why, a.Waived = p.now, CauseClose, closerName, whyClosed, p.free
			adjustments = append(adjustments, a)
		}
	}
	return p.tx.Adjust(ctx, adjustments)
}

// warm lets the judge see the source's previous hour, so that a flood over the
// hour's border is known as one.
func (p *pass) warm(ctx context.Context) error {
	return p.each(ctx, p.before(p.unit.Hour-hourMicros), false, func(batch []StoredClick) error {
		for i := range batch {
			p.judge(batch[i].Click)
		}
		return nil
	})
}

// before is an earlier hour of the source.
func (p *pass) before(hour int64) Unit {
	before := p.unit
	before.Hour = hour
	return before
}

// survey lets the judge look at the source's hours before and at the unit, late clicks
// among its own, before it judges any: what an hour says of an address its last click
// may tell, and it holds for the first.
func (p *pass) survey(ctx context.Context, late []StoredClick) error {
	for u := p.before(p.from); u.Hour < p.unit.Hour; u.Hour += hourMicros {
		if err := p.each(ctx, u, false, func(batch []StoredClick) error {
			for i := range batch {
				p.look(batch[i].Click)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	err := p.between(ctx, late,
		func(c *StoredClick) { p.look(c.Click) },
		func(i int) error { p.look(late[i].Click); return nil })
	if p.shows.shown == 0 {
		p.fed = false // nobody feeds this source, so nobody need ask again
	}
	return err
}

// each reads a unit's clicks in order, batch by batch.
func (p *pass) each(ctx context.Context, u Unit, late bool, f func([]StoredClick) error) error {
	var after ClickPosition
	for {
		batch, err := p.tx.UnitClicks(ctx, u, late, after, p.policy.Batch)
		if err != nil || len(batch) == 0 {
			return err
		}
		if u == p.unit {
			if err := p.display(ctx, batch); err != nil {
				return err
			}
		}
		if err := f(batch); err != nil {
			return err
		}
		last := &batch[len(batch)-1]
		after = ClickPosition{last.EventTime, last.EventID}
	}
}

func (p *pass) batch(ctx context.Context, batch []StoredClick) error {
	verdicts := make([]click.Verdict, len(batch))
	for i := range batch {
		var err error
		if verdicts[i], err = p.verdict(&batch[i]); err != nil {
			return err
		}
	}
	if err := p.repeats(ctx, batch, verdicts); err != nil {
		return err
	}
	var revisions []Revision
	for i := range batch {
		c, v := &batch[i], &verdicts[i]
		p.hash.Add(c.Click, v.State, v.Reasons)
		p.clicks++
		if !p.waives(v.State) {
			if err := p.count(c.Click, v.State); err != nil {
				return err
			}
		}
		// An adjustment is of a revision, so what is waived needs one.
		if v.State == c.State && v.Reasons == c.Reasons && !p.waives(v.State) {
			continue
		}
		revisions = append(revisions, p.revision(c, *v, CauseClose, whyClosed))
		p.deltas.move(c.Click, c.State, v.State)
	}
	return p.tx.Revise(ctx, revisions)
}

// waives reports whether a click of this state is left out of the closed hour.
func (p *pass) waives(s click.State) bool { return p.free != "" && s == click.Valid }

// verdict is the final verdict of a click but for repeats.
func (p *pass) verdict(c *StoredClick) (click.Verdict, error) {
	v := single(p.judge(c.Click))
	v = decided(settled(v, p.policy.SuspectValidBelow), c.Decision)
	if v.State == click.Unscored {
		if !p.forced {
			return v, fmt.Errorf("%v: %w, such as event %s", p.unit, errUnscored, c.EventID)
		}
		v.State = click.Undecidable
	}
	return v, nil
}

// repeats enters the valid clicks of a batch, in order, as the billable ones of
// their identity; those that come second are duplicates.
func (p *pass) repeats(ctx context.Context, batch []StoredClick, verdicts []click.Verdict) error {
	var places []int
	var rows []Billing
	for i := range batch {
		if verdicts[i].State == click.Valid {
			places, rows = append(places, i), append(rows, billingOf(&batch[i]))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	billed, err := p.tx.Bill(ctx, rows)
	if err != nil {
		return err
	}
	for n, i := range places {
		if have := &billed[n]; !have.EventID.IsZero() {
			verdicts[i] = repeated(verdicts[i], batch[i].Click, have)
		}
	}
	return nil
}

func (p *pass) revision(c *StoredClick, v click.Verdict, cause Cause, why string) Revision {
	return Revision{
		EventKey: KeyOf(c.Click), Unit: p.unit, At: p.now, From: c.State, Verdict: v, Cause: cause, Who: closerName, Why: why,
	}
}

func (p *pass) count(c *click.Click, state click.State) error {
	k := ClosedHour{
		Unit: p.unit, AdvertiserID: c.AdvertiserID, CampaignID: c.CampaignID, AdGroupID: c.AdGroupID,
		PublisherID: c.PublisherID, Currency: countedCurrency(c), State: state,
	}
	h := p.by[k]
	if h == nil {
		h = new(k)
		p.by[k] = h
	}
	h.Count++
	if h.Micros > math.MaxInt64-cost(c) {
		return fmt.Errorf("%v: the money of campaign %q does not fit 64 bits of micros", p.unit, c.CampaignID)
	}
	h.Micros += cost(c)
	return nil
}

// rows are the closed hours in key order.
func (p *pass) rows() []ClosedHour {
	rows := make([]ClosedHour, 0, len(p.by))
	for _, h := range p.by {
		rows = append(rows, *h)
	}
	slices.SortFunc(rows, func(a, b ClosedHour) int {
		return cmp.Or(
			cmp.Compare(a.AdvertiserID, b.AdvertiserID), cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.AdGroupID, b.AdGroupID),
			cmp.Compare(a.PublisherID, b.PublisherID), cmp.Compare(a.Currency, b.Currency), cmp.Compare(a.State, b.State))
	})
	return rows
}

// deltas are signed changes of minute counts.
type deltas map[MinuteKey]MinuteDelta

// move takes a click out of one state's count and puts it into another's.
func (d deltas) move(c *click.Click, from, to click.State) {
	if from == to {
		return
	}
	d.add(c, from, -1)
	d.add(c, to, 1)
}

func (d deltas) add(c *click.Click, state click.State, n int64) {
	k := MinuteKey{
		TenantID: c.TenantID, SourceID: c.SourceID, Minute: c.EventTime - c.EventTime%minuteMicros, AdvertiserID: c.AdvertiserID,
		CampaignID: c.CampaignID, AdGroupID: c.AdGroupID, PublisherID: c.PublisherID, Currency: countedCurrency(c),
		State: state, Partition: ClosingPartition,
	}
	x := d[k]
	d[k] = MinuteDelta{k, x.Count + n, x.Micros + n*cost(c)}
}

// sorted returns the changes in key order, without those that cancel.
func (d deltas) sorted() []MinuteDelta {
	out := make([]MinuteDelta, 0, len(d))
	for _, x := range d {
		if x.Count != 0 || x.Micros != 0 {
			out = append(out, x)
		}
	}
	sortDeltas(out)
	return out
}
