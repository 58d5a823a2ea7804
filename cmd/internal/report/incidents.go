package report

import (
	"io"
	"slices"
	"strings"

	"clickgate/aggregate"
)

// Incidents writes incidents; JSON has their series with the evidence.
func Incidents(w io.Writer, list []aggregate.Incident, format Format) error {
	if list == nil {
		list = []aggregate.Incident{} // in JSON no list is an empty one
	}
	g := newGrid("id", "tenant", "severity", "opened", "resolved", ">series", "at_risk", "title")
	for i := range list {
		x := &list[i]
		resolved := "open"
		if !x.Open() {
			resolved = instant(x.ResolvedAt)
		}
		g.add(x.ID, x.TenantID, x.Severity.String(), instant(x.OpenedAt), resolved, number(int64(len(x.Series))), money(x.Money), x.Title)
	}
	return writeGrid(w, g, list, format)
}

// money shows amounts by currency, in order of currencies.
func money(micros map[string]int64) string {
	var parts []string
	for currency, n := range micros {
		if currency != "" && n != 0 {
			parts = append(parts, currency+" "+Amount(n, currency))
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
