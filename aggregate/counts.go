package aggregate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"clickgate/gateway/click"
)

const (
	minuteMicros = 60 * 1_000_000
	hourMicros   = 60 * minuteMicros
)

// counter gathers the minute counts of one batch.
type counter struct {
	partition int32
	minutes   map[MinuteKey]*MinuteDelta
	res       *Result
	overflow  error
}

func newCounter(partition int32, res *Result) *counter {
	return &counter{partition: partition, minutes: make(map[MinuteKey]*MinuteDelta), res: res}
}

func (c *counter) add(k MinuteKey, micros int64) {
	k.Partition = c.partition
	k.Minute -= k.Minute % minuteMicros
	d := c.minutes[k]
	if d == nil {
		d = &MinuteDelta{MinuteKey: k}
		c.minutes[k] = d
	}
	d.Count++
	if d.Micros > math.MaxInt64-micros {
		c.overflow = fmt.Errorf("the money of campaign %q in minute %d does not fit 64 bits of micros", k.CampaignID, k.Minute)
	}
	d.Micros += micros
	c.res.ByState[k.State]++
}

func (c *counter) click(fresh *candidate) {
	row := fresh.row
	k := MinuteKey{
		TenantID: row.TenantID, SourceID: row.SourceID, Minute: row.EventTime,
		AdvertiserID: row.AdvertiserID, CampaignID: row.CampaignID, AdGroupID: row.AdGroupID,
		PublisherID: row.PublisherID, Currency: countedCurrency(row.Click), State: fresh.state,
	}
	var micros int64
	if k.Currency != "" {
		micros = row.PriceMicros
	}
	c.add(k, micros)
	if c.res.OldestEvent == 0 || row.EventTime < c.res.OldestEvent {
		c.res.OldestEvent = row.EventTime
	}
}

// redelivery counts by receipt: the sender's copy came in now, whenever the
// click was. It carries no money.
func (c *counter) redelivery(r *RedeliveryRow) {
	c.add(MinuteKey{
		TenantID: r.TenantID, SourceID: r.SourceID, Minute: r.ReceivedAt,
		AdvertiserID: r.AdvertiserID, CampaignID: r.CampaignID, AdGroupID: r.AdGroupID,
		PublisherID: r.PublisherID, Currency: r.Currency, State: click.Redelivered,
	}, 0)
}

// countedCurrency is the currency a click counts under: none when it costs
// nothing.
func countedCurrency(c *click.Click) string {
	if c.Billable() {
		return c.Currency
	}
	return ""
}

func (c *counter) deadLetter(d *DeadLetterRow) {
	c.add(MinuteKey{
		TenantID: d.TenantID, SourceID: d.SourceID, Minute: d.ReceivedAt, State: click.Malformed,
	}, 0)
}

// deltas returns the counts in key order, so that no two writers lock rows in
// opposite orders. It fails rather than write a negative bill.
func (c *counter) deltas() ([]MinuteDelta, error) {
	out := make([]MinuteDelta, 0, len(c.minutes))
	for _, d := range c.minutes {
		out = append(out, *d)
	}
	sortDeltas(out)
	return out, c.overflow
}

func sortDeltas(d []MinuteDelta) {
	slices.SortFunc(d, func(a, b MinuteDelta) int {
		return cmp.Or(
			cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID),
			cmp.Compare(a.Minute, b.Minute), cmp.Compare(a.AdvertiserID, b.AdvertiserID),
			cmp.Compare(a.CampaignID, b.CampaignID), cmp.Compare(a.AdGroupID, b.AdGroupID),
			cmp.Compare(a.PublisherID, b.PublisherID), cmp.Compare(a.Currency, b.Currency),
			cmp.Compare(a.State, b.State),
		)
	})
}
