package aggregate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"clickgate/gateway/click"
)

// lateBatch bounds the late clicks of one transaction; more wait for the next.
const lateBatch = 20_000

// settleLate works off the late clicks of a closed unit: judges them where they
// belong in order of event time, tells repeats apart against what is billed, and
// turns what is valid into adjustments. A late click never takes the place of one
// that is billed.
func (p *pass) settleLate(ctx context.Context) error {
	late, err := p.tx.UnitClicks(ctx, p.unit, true, ClickPosition{}, lateBatch)
	p.more = len(late) == lateBatch
	if err != nil || len(late) == 0 {
		return err
	}
	if err := p.display(ctx, late); err != nil {
		return err
	}
	if err := p.survey(ctx, late); err != nil {
		return err
	}
	if err := p.warm(ctx); err != nil {
		return err
	}
	verdicts, err := p.judgeLate(ctx, late)
	if err != nil {
		return err
	}
	if err := p.repeats(ctx, late, verdicts); err != nil {
		return err
	}
	return p.writeLate(ctx, late, verdicts)
}

// judgeLate lets the judge see the unit's own clicks with the late ones in between.
func (p *pass) judgeLate(ctx context.Context, late []StoredClick) ([]click.Verdict, error) {
	verdicts := make([]click.Verdict, len(late))
	err := p.between(ctx, late,
		func(c *StoredClick) { p.judge(c.Click) },
		func(i int) (err error) { verdicts[i], err = p.verdict(&late[i]); return err })
	return verdicts, err
}

// between goes through the unit's own clicks and the late ones, all in order of event
// time: own gets the first, and tardy the number of each late one.
func (p *pass) between(ctx context.Context, late []StoredClick, own func(*StoredClick), tardy func(i int) error) error {
	n := 0
	upTo := func(at ClickPosition) error {
		for ; n < len(late) && comparePositions(positionOf(&late[n]), at) < 0; n++ {
			if err := tardy(n); err != nil {
				return err
			}
		}
		return nil
	}
	err := p.each(ctx, p.unit, false, func(batch []StoredClick) error {
		for i := range batch {
			if err := upTo(positionOf(&batch[i])); err != nil {
				return err
			}
			own(&batch[i])
		}
		return nil
	})
	if err != nil {
		return err
	}
	return upTo(ClickPosition{EventTime: p.unit.Hour + hourMicros})
}

func positionOf(c *StoredClick) ClickPosition { return ClickPosition{c.EventTime, c.EventID} }

func comparePositions(a, b ClickPosition) int {
	return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), slices.Compare(a.EventID[:], b.EventID[:]))
}

func (p *pass) writeLate(ctx context.Context, late []StoredClick, verdicts []click.Verdict) error {
	waived, err := waived(ctx, p.tx, p.unit, 1, p.now)
	if err != nil {
		return err
	}
	const why = "the click came after its hour was sealed"
	var revisions []Revision
	var adjustments []Adjustment
	keys := make([]EventKey, len(late))
	for i := range late {
		c, v := &late[i], &verdicts[i]
		keys[i] = KeyOf(c.Click)
		revisions = append(revisions, p.revision(c, *v, CauseLate, why))
		p.deltas.move(c.Click, c.State, v.State)
		if v.State == click.Valid {
			a := adjustmentOf(c, p.unit, click.Unscored, click.Valid)
			a.At, a.Cause, a.Who, a.Why, a.Waived = p.now, CauseLate, closerName, why, waived
			adjustments = append(adjustments, a)
		}
	}
	if err := p.tx.Revise(ctx, revisions); err != nil {
		return err
	}
	if err := p.tx.AddMinutes(ctx, p.deltas.sorted()); err != nil {
		return err
	}
	if err := p.tx.Adjust(ctx, adjustments); err != nil {
		return err
	}
	return p.tx.SettleLate(ctx, keys)
}

// adjustmentOf is the change of a click of a closed unit; who, why and when are the
// caller's. From is Unscored where the hour was closed without the click.
func adjustmentOf(c *StoredClick, u Unit, from, to click.State) Adjustment {
	a := Adjustment{
		EventKey: KeyOf(c.Click), Unit: u, AdvertiserID: c.AdvertiserID, CampaignID: c.CampaignID, AdGroupID: c.AdGroupID,
		PublisherID: c.PublisherID, Currency: countedCurrency(c.Click), From: from, To: to,
	}
	if to == click.Valid {
		a.Clicks++
	}
	if from == click.Valid {
		a.Clicks--
	}
	a.Micros = a.Clicks * cost(c.Click)
	return a
}

// waived says why a change of clicks in a unit's hour moves no money any more, empty
// while it does: debits until the invoice is issued, credits for CreditWindow after it.
func waived(ctx context.Context, tx ClosingTx, u Unit, clicks, now int64) (string, error) {
	inv, err := tx.InvoiceOf(ctx, u.TenantID, u.Hour)
	if err != nil || inv == (Invoice{}) {
		return "", err
	}
	issued := time.UnixMicro(inv.IssuedAt).UTC().Format(time.DateOnly)
	switch {
	case clicks > 0:
		return fmt.Sprintf("the invoice was issued on %s: nothing is charged after it", issued), nil
	case clicks < 0 && now >= inv.IssuedAt+CreditWindow:
		return fmt.Sprintf("the invoice was issued on %s: credits end 60 days after it", issued), nil
	}
	return "", nil
}
