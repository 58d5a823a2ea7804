package aggregate

import (
	"bytes"
	"cmp"
	"slices"

	"clickgate/gateway/click"

	"github.com/cespare/xxhash/v2"
)

// RepeatKey is the double-click key of a click without a token: tenant, campaign,
// placement, address and agent. It is never 0.
func RepeatKey(c *click.Click) int64 {
	var h xxhash.Digest
	h.Reset()
	for _, s := range [...]string{c.TenantID, c.CampaignID, c.PlacementID} {
		_, _ = h.WriteString(s)
		_, _ = h.Write([]byte{0})
	}
	_, _ = h.Write(c.IPKey[:])
	_, _ = h.Write(c.AgentKey[:])
	if k := int64(h.Sum64()); k != 0 {
		return k
	}
	return 1
}

// candidate is a click that this batch inserted, with the stored billable click
// it would repeat, if any. The verdict is worked out on a copy, because a
// transaction that is retried starts from the same rows again.
type candidate struct {
	row     ClickRow
	match   Match
	state   click.State
	reasons click.Reasons
}

func newCandidate(row ClickRow) candidate {
	return candidate{row: row, state: row.Verdict.State, reasons: row.Verdict.Reasons}
}

func probes(rows []ClickRow) []Probe {
	p := make([]Probe, len(rows))
	for i, r := range rows {
		p[i] = Probe{TenantID: r.TenantID, ClickID: r.ClickID, RepeatKey: r.RepeatKey, EventTime: r.EventTime}
	}
	return p
}

func assignMatches(fresh []candidate, first []ClickRow, inserted []bool, matches []Match) {
	n := 0
	for i := range first {
		if inserted[i] {
			fresh[n].match = matches[i]
			n++
		}
	}
}

// identity is what a billable click uses up: the ad opportunity, or the
// double-click key.
type identity struct {
	tenant    string
	clickID   click.ID
	repeatKey int64
}

// provisionalDuplicates decides, in event-time order, which of the fresh valid
// clicks repeat a stored one or each other, and changes their verdict. It is the
// provisional answer of open hours: the closer decides again when the hour is
// whole, whatever the order of arrival, and alone decides of late clicks.
func provisionalDuplicates(fresh []candidate, late map[Unit]bool) []DuplicateOf {
	order := make([]*candidate, 0, len(fresh))
	for i := range fresh {
		if fresh[i].state == click.Valid && !late[UnitOf(fresh[i].row.Click)] {
			order = append(order, &fresh[i])
		}
	}
	slices.SortFunc(order, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(a.row.EventTime, b.row.EventTime),
			bytes.Compare(a.row.EventID[:], b.row.EventID[:]))
	})
	billable := make(map[identity]int64, len(order)) // event time of the last billable click
	var dups []DuplicateOf
	for _, c := range order {
		id := identity{c.row.TenantID, c.row.ClickID, c.row.RepeatKey}
		reason := repeats(c, billable, id)
		if reason == click.ReasonNone {
			billable[id] = c.row.EventTime
			continue
		}
		c.state, c.reasons = click.Duplicate, c.reasons.Set(reason)
		dups = append(dups, DuplicateOf{KeyOf(c.row.Click), c.reasons})
	}
	return dups
}

// repeats says whether c repeats a billable click, of this batch or stored. Both
// count: the one of this batch lies before c, the stored one may lie behind it.
func repeats(c *candidate, billable map[identity]int64, id identity) click.Reason {
	last, found := billable[id]
	near := found && doubleClick(c.row.EventTime, last)
	if !c.match.EventID.IsZero() {
		found, near = true, near || doubleClick(c.row.EventTime, c.match.EventTime)
	}
	switch {
	case near:
		return click.ReasonDoubleClick
	case found && !id.clickID.IsZero():
		return click.ReasonRepeat
	}
	return click.ReasonNone
}

func doubleClick(a, b int64) bool { return a-b < DoubleClickWindow && b-a < DoubleClickWindow }
