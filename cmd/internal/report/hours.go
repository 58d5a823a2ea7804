package report

import (
	"encoding/hex"
	"io"

	"clickgate/aggregate"
)

// hoursLine is an hour of a source in JSON.
type hoursLine struct {
	Tenant   string `json:"tenant"`
	Source   string `json:"source"`
	Hour     string `json:"hour"`
	State    string `json:"state"`
	Due      string `json:"due,omitempty"`
	Waits    string `json:"waits_for,omitempty"`
	ClosedAt string `json:"closed_at,omitempty"`
	Clicks   int64  `json:"clicks"`
	Hash     string `json:"sha256,omitempty"`
	Forced   string `json:"forced,omitempty"`
	Version  string `json:"version,omitempty"`
}

// Hours writes open hours in the order in which they close, then closed ones.
func Hours(w io.Writer, open []aggregate.UnitPlan, closed []aggregate.ClosedUnit, format Format) error {
	lines := make([]hoursLine, 0, len(open)+len(closed))
	for i := range open {
		p := &open[i]
		lines = append(lines, hoursLine{
			Tenant: p.TenantID, Source: p.SourceID, Hour: hour(p.Hour), State: p.State.String(), Due: instant(p.Due), Waits: p.Hold,
		})
	}
	for i := range closed {
		u := &closed[i]
		lines = append(lines, hoursLine{
			Tenant: u.TenantID, Source: u.SourceID, Hour: hour(u.Hour), State: aggregate.UnitClosed.String(), ClosedAt: instant(u.ClosedAt),
			Clicks: u.Clicks, Hash: hex.EncodeToString(u.Hash[:]), Forced: u.Forced, Version: u.Version,
		})
	}
	g := newGrid("tenant", "source", "hour", "state", "due", "waits_for", "closed_at", ">clicks", "sha256", "forced")
	for _, l := range lines {
		clicks, sum := "", l.Hash
		if l.ClosedAt != "" {
			clicks = number(l.Clicks)
		}
		if format == Table && len(sum) > 12 {
			sum = sum[:12]
		}
		g.add(l.Tenant, l.Source, l.Hour, l.State, l.Due, l.Waits, l.ClosedAt, clicks, sum, l.Forced)
	}
	return writeGrid(w, g, lines, format)
}
