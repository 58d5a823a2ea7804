package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// InvalidReport is what was kept out of the bill, and why: MRC wants gross, net of
// general and net of all invalid traffic side by side, and the decision rate.
type InvalidReport struct {
	Rows    []aggregate.BillingRow
	Invalid []aggregate.InvalidRow
}

// ivtLine adds up one campaign in one currency.
type ivtLine struct {
	Tenant      string `json:"tenant"`
	Advertiser  string `json:"advertiser"`
	Campaign    string `json:"campaign"`
	Currency    string `json:"currency"`
	Gross       int64  `json:"gross"`         // every click but tests
	GIVT        int64  `json:"givt"`          // general invalid traffic
	NetOfGIVT   int64  `json:"net_of_givt"`   // gross - givt
	SIVT        int64  `json:"sivt"`          // sophisticated invalid traffic
	Suspect     int64  `json:"suspect"`       // not decided before the hour closes
	Undecidable int64  `json:"undecidable"`   // not enough information
	Duplicate   int64  `json:"duplicate"`     // repeats
	TotalNet    int64  `json:"total_net"`     // valid
	Decided     string `json:"decision_rate"` // share of gross that could be decided
	SavedMicros int64  `json:"saved_micros"`
}

// reasonLine counts one reason; a click with two reasons stands in two lines.
type reasonLine struct {
	Tenant   string `json:"tenant"`
	Campaign string `json:"campaign"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Class    string `json:"class"`
	Clicks   int64  `json:"clicks"`
	Micros   int64  `json:"micros"`
	Currency string `json:"currency"`
}

// Invalid writes the report. CSV holds the reasons alone.
func Invalid(w io.Writer, r *InvalidReport, format Format) error {
	lines, reasons := ivtLines(r.Rows), reasonLines(r.Invalid)
	switch format {
	case Table:
		if err := ivtGrid(lines).write(w); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		return reasonGrid(reasons).write(w)
	case CSV:
		return reasonGrid(reasons).writeCSV(w)
	case JSON:
		return WriteJSON(w, struct {
			Campaigns []ivtLine    `json:"campaigns"`
			Reasons   []reasonLine `json:"reasons"`
		}{lines, reasons})
	}
	return unknown(format)
}

// ivtLines adds the hours of each campaign up. Malformed and redelivered events are
// no clicks of their own and stand in `report billing`.
func ivtLines(rows []aggregate.BillingRow) []ivtLine {
	type key struct{ tenant, advertiser, campaign, currency string }
	byKey := make(map[key]*ivtLine)
	var order []*ivtLine
	for i := range rows {
		r := &rows[i]
		k := key{r.TenantID, r.AdvertiserID, r.CampaignID, r.Currency}
		l := byKey[k]
		if l == nil {
			l = &ivtLine{Tenant: r.TenantID, Advertiser: r.AdvertiserID, Campaign: r.CampaignID, Currency: r.Currency}
			byKey[k], order = l, append(order, l)
		}
		n := &r.Counts
		l.GIVT, l.SIVT, l.Suspect = l.GIVT+n[click.GIVT], l.SIVT+n[click.SIVT], l.Suspect+n[click.Suspect]
		l.Undecidable, l.Duplicate = l.Undecidable+n[click.Undecidable], l.Duplicate+n[click.Duplicate]
		l.TotalNet += n[click.Valid]
		l.Gross += n[click.GIVT] + n[click.SIVT] + n[click.Suspect] + n[click.Undecidable] + n[click.Duplicate] + n[click.Valid] + n[click.Unscored]
		l.SavedMicros += r.SavedMicros
	}
	out := make([]ivtLine, 0, len(order))
	for _, l := range order {
		if l.Gross == 0 {
			continue
		}
		l.NetOfGIVT, l.Decided = l.Gross-l.GIVT, percent(l.Gross-l.Undecidable, l.Gross)
		out = append(out, *l)
	}
	return out
}

// percent shows part of whole to a hundredth of a percent, rounded down, so that
// 100.00 % says that nothing is missing.
func percent(part, whole int64) string {
	hundredths := part / whole * 10_000
	if part%whole < 1<<49 { // ten thousand times the rest fits 64 bits
		hundredths += part % whole * 10_000 / whole
	}
	return fmt.Sprintf("%d.%02d%%", hundredths/100, hundredths%100)
}

func reasonLines(rows []aggregate.InvalidRow) []reasonLine {
	type key struct {
		tenant, campaign, currency string
		state                      click.State
		reason                     click.Reason
	}
	byKey := make(map[key]*reasonLine)
	out := []*reasonLine{}
	for i := range rows {
		r := &rows[i]
		add := func(reason click.Reason) {
			k := key{r.TenantID, r.CampaignID, r.Currency, r.State, reason}
			l := byKey[k]
			if l == nil {
				l = &reasonLine{
					Tenant: r.TenantID, Campaign: r.CampaignID, State: r.State.String(), Reason: reason.String(),
					Class: reason.Info().Class.String(), Currency: r.Currency,
				}
				byKey[k], out = l, append(out, l)
			}
			l.Clicks += r.Count
			l.Micros += r.Micros
		}
		if r.Reasons == 0 {
			add(click.ReasonNone)
		}
		r.Reasons.Each(add)
	}
	slices.SortStableFunc(out, func(a, b *reasonLine) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Currency, b.Currency),
			cmp.Compare(a.State, b.State), cmp.Compare(b.Clicks, a.Clicks), cmp.Compare(a.Reason, b.Reason))
	})
	flat := make([]reasonLine, len(out))
	for i, l := range out {
		flat[i] = *l
	}
	return flat
}

func ivtGrid(lines []ivtLine) *grid {
	g := newGrid("tenant", "advertiser", "campaign", "currency", ">gross", ">givt", ">net_of_givt", ">sivt", ">suspect",
		">undecidable", ">duplicate", ">total_net", ">decision_rate", ">saved_micros", ">saved")
	for i := range lines {
		l := &lines[i]
		g.add(l.Tenant, l.Advertiser, l.Campaign, l.Currency, number(l.Gross), number(l.GIVT), number(l.NetOfGIVT), number(l.SIVT),
			number(l.Suspect), number(l.Undecidable), number(l.Duplicate), number(l.TotalNet), l.Decided,
			number(l.SavedMicros), Amount(l.SavedMicros, l.Currency))
	}
	return g
}

func reasonGrid(lines []reasonLine) *grid {
	g := newGrid("tenant", "campaign", "currency", "state", "reason", "class", ">clicks", ">micros")
	for _, l := range lines {
		g.add(l.Tenant, l.Campaign, l.Currency, l.State, l.Reason, l.Class, number(l.Clicks), number(l.Micros))
	}
	return g
}
