package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"clickgate/aggregate"
)

// conversionLine is a row in JSON; times are whole seconds.
type conversionLine struct {
	Tenant      string `json:"tenant"`
	Publisher   string `json:"publisher"`
	Campaign    string `json:"campaign"`
	Kind        string `json:"kind"`
	Clicks      int64  `json:"clicks"` // valid ones of closed hours
	Conversions int64  `json:"conversions"`
	Rate        string `json:"rate"`
	First       int64  `json:"p25_seconds"`
	Median      int64  `json:"p50_seconds"`
	Third       int64  `json:"p75_seconds"`
	Before      int64  `json:"before"`
	Fast        int64  `json:"under_10s"`
	Late        int64  `json:"over_24h"`
	Strange     string `json:"strange"`
	Why         string `json:"why"`
}

// Conversions writes what came of clicks. Sentences stand below the table, once for each
// publisher and kind; CSV and JSON have them in every row.
func Conversions(w io.Writer, r *aggregate.ConversionReport, format Format) error {
	lines := make([]conversionLine, len(r.Rows))
	for i := range r.Rows {
		c := &r.Rows[i]
		lines[i] = conversionLine{
			c.TenantID, c.PublisherID, c.CampaignID, c.Kind, c.Clicks, c.Conversions, shareText(c.Conversions, c.Clicks),
			c.First, c.Median, c.Third, c.Before, c.Fast, c.Late, c.Strange, c.Why,
		}
	}
	switch format {
	case JSON:
		return WriteJSON(w, struct {
			Rows      []conversionLine `json:"rows"`
			Strangers map[string]int64 `json:"of_no_billed_click"`
		}{lines, r.Strangers})
	case CSV:
		return conversionCSV(lines).writeCSV(w)
	case Table:
		return conversionTable(w, lines, r.Strangers)
	}
	return unknown(format)
}

func conversionCSV(lines []conversionLine) *grid {
	g := newGrid("tenant", "publisher", "campaign", "kind", ">clicks", ">conversions", ">p25_seconds", ">p50_seconds", ">p75_seconds",
		">before", ">under_10s", ">over_24h", "strange", "why")
	for i := range lines {
		l := &lines[i]
		g.add(l.Tenant, l.Publisher, l.Campaign, l.Kind, number(l.Clicks), number(l.Conversions), number(l.First), number(l.Median),
			number(l.Third), number(l.Before), number(l.Fast), number(l.Late), l.Strange, l.Why)
	}
	return g
}

func conversionTable(w io.Writer, lines []conversionLine, strangers map[string]int64) error {
	g := newGrid("tenant", "publisher", "campaign", "kind", ">clicks", ">conversions", ">rate", ">p25", ">p50", ">p75",
		">before", ">under 10 s", ">over 24 h", "strange")
	var notes []string
	for i := range lines {
		l := &lines[i]
		g.add(l.Tenant, l.Publisher, l.Campaign, l.Kind, number(l.Clicks), number(l.Conversions), l.Rate,
			gap(l, l.First), gap(l, l.Median), gap(l, l.Third), number(l.Before),
			shareText(l.Fast, l.Conversions), shareText(l.Late, l.Conversions), l.Strange)
		if note := fmt.Sprintf("%s, %s of %s: %s: %s", l.Tenant, l.Kind, l.Publisher, l.Strange, l.Why); l.Why != "" && !slices.Contains(notes, note) {
			notes = append(notes, note)
		}
	}
	if err := g.write(w); err != nil {
		return err
	}
	for _, tenant := range sortedKeys(strangers) {
		notes = append(notes, fmt.Sprintf("%s: %d conversions name no click that is billed", tenant, strangers[tenant]))
	}
	if len(notes) == 0 {
		return nil
	}
	for i := range notes {
		notes[i] = Visible(notes[i])
	}
	_, err := fmt.Fprintf(w, "\n%s\n", strings.Join(notes, "\n"))
	return err
}

// gap is a time from click to conversion, empty where nothing converted.
func gap(l *conversionLine, seconds int64) string {
	if l.Conversions == 0 {
		return ""
	}
	return (time.Duration(seconds) * time.Second).String()
}

// shareText is n of a number that may be 0.
func shareText(n, of int64) string {
	if of == 0 {
		return ""
	}
	return percent(n, of)
}

func sortedKeys(m map[string]int64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
