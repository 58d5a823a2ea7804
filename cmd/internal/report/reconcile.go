package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"clickgate/aggregate"
)

// Reconciliation writes the account of what gateways took against what is
// stored. The table's last line says "balanced", or "BROKEN: " and why. CSV holds
// the hours alone.
func Reconciliation(w io.Writer, r *aggregate.Reconciliation, format Format) error {
	switch format {
	case Table:
		return reconcileTable(w, r)
	case CSV:
		return hoursGrid(r).writeCSV(w)
	case JSON:
		return reconcileJSON(w, r)
	}
	return unknown(format)
}

// Verdict is "balanced", or "BROKEN: " and what does not add up.
func Verdict(r *aggregate.Reconciliation) string {
	if !r.Broken {
		return "balanced"
	}
	var why []string
	for _, h := range r.Hours {
		if h.Difference != 0 {
			why = append(why, fmt.Sprintf("tenant %s source %s hour %s differs by %+d", Visible(h.TenantID), Visible(h.SourceID), hour(h.Hour), h.Difference))
		}
	}
	for _, b := range r.Boots {
		if b.Missing != 0 {
			why = append(why, fmt.Sprintf("gateway %s boot %s misses %+d", Visible(b.Gateway), boot(b.Boot), b.Missing))
		}
	}
	for _, t := range r.Totals {
		why = append(why, fmt.Sprintf("tenant %s source %s has %d %s rows but %d in minute counts", Visible(t.TenantID), Visible(t.SourceID), t.Rows, t.State, t.Minutes))
	}
	for _, c := range r.Closed {
		why = append(why, fmt.Sprintf("tenant %s source %s hour %s campaign %s: closed hour and adjustments differ from the minute counts by %+d clicks, %+d micros %s",
			Visible(c.TenantID), Visible(c.SourceID), hour(c.Hour), Visible(c.CampaignID), c.Clicks, c.Micros, c.Currency))
	}
	const shownReasons = 5
	if more := len(why) - shownReasons; more > 0 {
		why = append(why[:shownReasons], fmt.Sprintf("and %d more", more))
	}
	return "BROKEN: " + strings.Join(why, "; ")
}

func reconcileTable(w io.Writer, r *aggregate.Reconciliation) error {
	parts := []*grid{hoursGrid(r), bootsGrid(r)}
	if len(r.Totals) > 0 {
		g := newGrid("tenant", "source", "state", ">rows", ">minutes", ">difference")
		for _, t := range r.Totals {
			g.add(t.TenantID, t.SourceID, t.State.String(), number(t.Rows), number(t.Minutes), number(t.Rows-t.Minutes))
		}
		parts = append(parts, g)
	}
	if len(r.Closed) > 0 {
		g := newGrid("tenant", "source", "hour", "campaign", "currency", ">clicks", ">micros")
		for _, c := range r.Closed {
			g.add(c.TenantID, c.SourceID, hour(c.Hour), c.CampaignID, c.Currency, number(c.Clicks), number(c.Micros))
		}
		parts = append(parts, g)
	}
	for _, g := range parts {
		if err := g.write(w); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w, Verdict(r))
	return err
}

func hoursGrid(r *aggregate.Reconciliation) *grid {
	columns := []string{"tenant", "source", "hour", ">received"}
	for _, s := range states {
		columns = append(columns, ">"+s.String())
	}
	g := newGrid(append(columns, ">tail", ">shed", ">unrecorded", ">difference")...)
	for _, h := range r.Hours {
		cells := []string{h.TenantID, h.SourceID, hour(h.Hour), number(h.Received)}
		for _, s := range states {
			cells = append(cells, number(h.ByState[s]))
		}
		g.add(append(cells, number(h.Tail), number(h.Shed), number(h.Unrecorded), number(h.Difference))...)
	}
	return g
}

func bootsGrid(r *aggregate.Reconciliation) *grid {
	g := newGrid("gateway", "boot", "final", ">through", ">void", ">stored", ">missing", ">tail", ">unknown")
	for _, b := range r.Boots {
		final := "no"
		if b.Final {
			final = "yes"
		}
		g.add(b.Gateway, boot(b.Boot), final, strconv.FormatUint(b.ThroughSeq, 10), number(b.Void),
			number(b.Stored), number(b.Missing), number(b.Tail), number(b.Unknown))
	}
	return g
}

// boot shows a boot number as the time it is.
func boot(b uint64) string { return instant(int64(b)) }

type hourLine struct {
	Tenant     string           `json:"tenant"`
	Source     string           `json:"source"`
	Hour       string           `json:"hour"`
	Received   int64            `json:"received"`
	Counts     map[string]int64 `json:"counts"`
	Tail       int64            `json:"tail"`
	Shed       int64            `json:"shed"`
	Unrecorded int64            `json:"unrecorded"`
	Difference int64            `json:"difference"`
}

type bootLine struct {
	Gateway  string `json:"gateway"`
	Boot     uint64 `json:"boot"`
	BootedAt string `json:"booted_at"`
	Final    bool   `json:"final"`
	Through  uint64 `json:"through"`
	Void     int64  `json:"void"`
	Stored   int64  `json:"stored"`
	Missing  int64  `json:"missing"`
	Tail     int64  `json:"tail"`
	Unknown  int64  `json:"unknown"`
}

type totalLine struct {
	Tenant  string `json:"tenant"`
	Source  string `json:"source"`
	State   string `json:"state"`
	Rows    int64  `json:"rows"`
	Minutes int64  `json:"minutes"`
}

type closedLine struct {
	Tenant   string `json:"tenant"`
	Source   string `json:"source"`
	Hour     string `json:"hour"`
	Campaign string `json:"campaign"`
	Currency string `json:"currency"`
	Clicks   int64  `json:"clicks"`
	Micros   int64  `json:"micros"`
}

func reconcileJSON(w io.Writer, r *aggregate.Reconciliation) error {
	out := struct {
		Balanced bool         `json:"balanced"`
		Verdict  string       `json:"verdict"`
		Hours    []hourLine   `json:"hours"`
		Boots    []bootLine   `json:"boots"`
		Totals   []totalLine  `json:"differences"`
		Closed   []closedLine `json:"closed_differences"`
	}{!r.Broken, Verdict(r), []hourLine{}, []bootLine{}, []totalLine{}, []closedLine{}}
	for i := range r.Hours {
		h := &r.Hours[i]
		out.Hours = append(out.Hours, hourLine{
			h.TenantID, h.SourceID, hour(h.Hour), h.Received, countsByName(&h.ByState),
			h.Tail, h.Shed, h.Unrecorded, h.Difference,
		})
	}
	for _, b := range r.Boots {
		out.Boots = append(out.Boots, bootLine{
			b.Gateway, b.Boot, boot(b.Boot), b.Final, b.ThroughSeq, b.Void, b.Stored, b.Missing, b.Tail, b.Unknown,
		})
	}
	for _, t := range r.Totals {
		out.Totals = append(out.Totals, totalLine{t.TenantID, t.SourceID, t.State.String(), t.Rows, t.Minutes})
	}
	for _, c := range r.Closed {
		out.Closed = append(out.Closed, closedLine{c.TenantID, c.SourceID, hour(c.Hour), c.CampaignID, c.Currency, c.Clicks, c.Micros})
	}
	return WriteJSON(w, out)
}
