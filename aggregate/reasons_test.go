package aggregate

import (
	"testing"

	"clickgate/gateway/click"
)

// TestRepeatAndAnalystReasons: what closing and analysts give, each with its nearest
// neighbour that has another reason or none; scoring.TestReasonPairs has all others.
func TestRepeatAndAnalystReasons(t *testing.T) {
	t.Parallel()
	const at = 1_800_000_000_000_000
	second := &click.Click{SourceID: "edge", EventTime: at}
	valid := click.Verdict{State: click.Valid}
	repeat := func(source string, before int64) click.Verdict {
		return repeated(valid, second, &Billed{EventTime: at - before, SourceID: source})
	}
	analyst := func(d Decision, s click.State) click.Verdict { return decided(click.Verdict{State: s}, d) }
	for _, c := range []struct {
		reason     click.Reason
		earns, not click.Verdict
	}{
		{click.ReasonDoubleClick, repeat("edge", DoubleClickWindow-1), repeat("edge", DoubleClickWindow)},
		{click.ReasonRepeat, repeat("edge", DoubleClickWindow), repeat("edge", DoubleClickWindow-1)},
		{click.ReasonSameClick, repeat("log", 1), repeat("edge", 1)},
		{click.ReasonConfirmed, analyst(DecisionConfirm, click.Valid), analyst(DecisionConfirm, click.Test)},
		{click.ReasonReleased, analyst(DecisionRelease, click.SIVT), analyst(DecisionRelease, click.Undecidable)},
	} {
		if !c.earns.Reasons.Has(c.reason) || c.not.Reasons.Has(c.reason) {
			t.Errorf("%s: the click has %v, its neighbour %v", c.reason, c.earns.Reasons.Codes(), c.not.Reasons.Codes())
		}
	}
}
