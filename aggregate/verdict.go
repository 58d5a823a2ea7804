package aggregate

import "clickgate/gateway/click"

// repeatReasons tell repeats apart; closing alone sets them for good.
const repeatReasons = click.Reasons(1<<click.ReasonDoubleClick | 1<<click.ReasonRepeat | 1<<click.ReasonSameClick)

// analystReasons stand for an analyst's decision.
const analystReasons = click.Reasons(1<<click.ReasonConfirmed | 1<<click.ReasonReleased)

// single returns the verdict of a click by itself, before repeats are told apart: a
// duplicate is a valid click, and no analyst has spoken.
func single(v click.Verdict) click.Verdict {
	if v.State == click.Duplicate {
		v.State = click.Valid
	}
	v.Reasons &^= repeatReasons | analystReasons
	return v
}

// decided returns what an analyst's decision makes of a click's own verdict. Tests
// and clicks that nobody can judge are never billed, so a release does not change
// them; a release takes the invalid reasons off, so that none stands on a valid
// click.
func decided(v click.Verdict, d Decision) click.Verdict {
	switch {
	case d == DecisionConfirm && v.State != click.Test:
		v.State, v.Reasons = click.SIVT, v.Reasons.Set(click.ReasonConfirmed)
	case d == DecisionRelease && releasable(v.State):
		v.State, v.Reasons = click.Valid, informative(v.Reasons).Set(click.ReasonReleased)
	}
	return v
}

// releasable reports whether an analyst may make a click of this state valid.
func releasable(s click.State) bool {
	switch s {
	case click.GIVT, click.SIVT, click.Suspect, click.Duplicate, click.Valid:
		return true
	}
	return false
}

// informative returns the reasons that explain and do not decide.
func informative(r click.Reasons) (out click.Reasons) {
	r.Each(func(reason click.Reason) {
		if reason.Info().Class == click.ClassInfo {
			out = out.Set(reason)
		}
	})
	return out
}

// settled returns what becomes of a suspect when its hour closes: valid when its
// score is below the bound, else invalid.
func settled(v click.Verdict, validBelow float64) click.Verdict {
	if v.State != click.Suspect {
		return v
	}
	v.State = click.SIVT
	if v.Score < validBelow {
		v.State = click.Valid
	}
	return v
}

// repeated returns the verdict of a valid click whose identity another one has.
func repeated(v click.Verdict, c *click.Click, have *Billed) click.Verdict {
	reason := click.ReasonRepeat
	switch {
	case have.SourceID != c.SourceID:
		reason = click.ReasonSameClick
	case doubleClick(c.EventTime, have.EventTime):
		reason = click.ReasonDoubleClick
	}
	v.State, v.Reasons = click.Duplicate, v.Reasons.Set(reason)
	return v
}

// cost is what a click counts for in money, in micros.
func cost(c *click.Click) int64 {
	if countedCurrency(c) == "" {
		return 0
	}
	return c.PriceMicros
}

func billingOf(c *StoredClick) Billing {
	return Billing{
		EventKey: KeyOf(c.Click), ClickID: c.ClickID, RepeatKey: c.RepeatKey, EventTime: c.EventTime,
		SourceID: c.SourceID, Hour: hourOf(c.EventTime),
	}
}
