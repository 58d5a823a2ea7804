package aggregate

import (
	"math"
	"strings"
	"testing"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// TestCounts: events gather by minute, state and currency, in key order; what is
// not billable costs nothing and names no currency.
func TestCounts(t *testing.T) {
	t.Parallel()
	var res Result
	c := newCounter(3, &res)
	add := func(change ...func(*click.Click)) {
		fresh := newCandidate(newRow(1, testTime+30*second, change...))
		c.click(&fresh)
	}
	add()
	add(func(c *click.Click) { c.EventTime += 29 * second })
	add(func(c *click.Click) { c.EventTime -= 31 * second }) // the minute before
	add(func(c *click.Click) { c.Currency = "USD" })
	add(func(c *click.Click) { c.Pricing = click.PricingCPM })
	add(func(c *click.Click) { c.Verdict.State = click.SIVT })
	c.redelivery(&RedeliveryRow{EventKey: EventKey{TenantID: "acme"}, SourceID: "shop", CampaignID: "camp", ReceivedAt: testTime + hour + 1})
	c.deadLetter(&DeadLetterRow{DeadLetter: newLetter(1, testTime+59*second)})
	got, err := c.deltas()
	if err != nil {
		t.Fatal(err)
	}
	delta := func(minutes int64, camp, currency string, s click.State, count, micros int64) MinuteDelta {
		return MinuteDelta{MinuteKey{
			TenantID: "acme", SourceID: "shop", Minute: testTime + minutes*minute, CampaignID: camp,
			Currency: currency, State: s, Partition: 3,
		}, count, micros}
	}
	want := []MinuteDelta{
		delta(-1, "camp", "EUR", click.Valid, 1, 250_000),
		delta(0, "", "", click.Malformed, 1, 0),
		delta(0, "camp", "", click.Valid, 1, 0),
		delta(0, "camp", "EUR", click.SIVT, 1, 250_000),
		delta(0, "camp", "EUR", click.Valid, 2, 500_000),
		delta(0, "camp", "USD", click.Valid, 1, 250_000),
		delta(60, "camp", "", click.Redelivered, 1, 0),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("minute counts (-want +got):\n%s", diff)
	}
	states := [click.NumStates]int64{click.Malformed: 1, click.Redelivered: 1, click.SIVT: 1, click.Valid: 5}
	if res.ByState != states || res.OldestEvent != testTime-second {
		t.Errorf("result %+v, want states %v and the oldest event %d", res, states, testTime-second)
	}
}

// TestCountsOverflow: a sum that leaves 64 bits is an error that names the
// campaign, and the greatest prices that decoding lets through stay far from it.
func TestCountsOverflow(t *testing.T) {
	t.Parallel()
	count := func(price int64, clicks int) error {
		c := newCounter(0, new(Result))
		fresh := newCandidate(newRow(1, testTime, func(c *click.Click) { c.PriceMicros = price }))
		for range clicks {
			c.click(&fresh)
		}
		_, err := c.deltas()
		return err
	}
	if err := count(math.MaxInt64, 1); err != nil {
		t.Errorf("one click: %v", err)
	}
	if err := count(math.MaxInt64/2+1, 2); err == nil || !strings.Contains(err.Error(), `"camp"`) {
		t.Errorf("two clicks above 64 bits: error %v, want one that names the campaign", err)
	}
	if err := count(click.MaxPriceMicros, 100_000); err != nil {
		t.Errorf("a batch of the greatest prices: %v", err)
	}
}
