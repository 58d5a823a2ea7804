package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// queueLine is a case in JSON.
type queueLine struct {
	Tenant    string   `json:"tenant"`
	Address   string   `json:"address"` // keyed pseudonym
	Prefix    string   `json:"prefix"`
	Clicks    int64    `json:"clicks"`
	Suspects  int64    `json:"suspects"`
	Micros    int64    `json:"micros"`
	Currency  string   `json:"currency"`
	Shown     string   `json:"shown"`
	Campaigns []string `json:"campaigns"`
	Reasons   []string `json:"reasons"`
	First     string   `json:"first"`
	Last      string   `json:"last"`
}

// Queue writes the review queue.
func Queue(w io.Writer, items []aggregate.QueueItem, format Format) error {
	g := newGrid("tenant", "address", "prefix", ">clicks", ">suspects", ">micros", ">amount", "currency", "campaigns", "reasons", "first", "last")
	lines := make([]queueLine, len(items))
	for i := range items {
		c := &items[i]
		l := queueLine{
			c.TenantID, aggregate.KeyText(c.IPKey), c.IPPrefix, c.Clicks, c.Suspects, c.Micros, c.Currency, Amount(c.Micros, c.Currency),
			c.Campaigns, c.Reasons.Codes(), instant(c.First), instant(c.Last),
		}
		lines[i] = l
		g.add(l.Tenant, l.Address, l.Prefix, number(l.Clicks), number(l.Suspects), number(l.Micros), l.Shown, l.Currency,
			strings.Join(l.Campaigns, " "), strings.Join(l.Reasons, " "), l.First, l.Last)
	}
	return writeGrid(w, g, lines, format)
}

// Case writes what is known of an address: why the click in focus was judged so,
// what is usual for the address and its peers, and its clicks. CSV holds the
// clicks alone.
func Case(w io.Writer, c *aggregate.Case, format Format) error {
	switch format {
	case Table:
		return caseTable(w, c)
	case CSV:
		return clickGrid(c.Clicks).writeCSV(w)
	case JSON:
		return caseJSON(w, c)
	}
	return unknown(format)
}

func caseTable(w io.Writer, c *aggregate.Case) error {
	focus := &c.Clicks[c.Focus]
	fmt.Fprintf(w, "tenant %s, address %s in %s, %d clicks shown\n\n", Visible(c.TenantID), aggregate.KeyText(c.IPKey), c.IPPrefix, len(c.Clicks))
	fmt.Fprintf(w, "click %s at %s: %s, score %s\n", focus.EventID, instant(focus.EventTime), focus.State, strconv.FormatFloat(focus.Verdict.Score, 'g', 4, 64))
	focus.Reasons.Each(func(r click.Reason) {
		fmt.Fprintf(w, "  %s (%s) %s\n", r, r.Info().Class, r.Info().Text)
	})
	fmt.Fprintf(w, "\nclicks of the address in that minute: %d\n", c.Minute)
	fmt.Fprintf(w, "  its own 60 minutes before: %s\n", spread(c.Normal))
	fmt.Fprintf(w, "  addresses of source %s in that minute: %s\n\n", Visible(focus.SourceID), spread(c.Peers))
	names, err := scoring.SlotsOf(focus.Verdict.VectorVersion)
	if err != nil {
		fmt.Fprintf(w, "%v\n\n", err)
		return clickGrid(c.Clicks).write(w)
	}
	g := newGrid("feature", ">value", "unit", "meaning")
	vector, _ := slots(&focus.Verdict)
	for _, s := range vector {
		info := names[s.Slot]
		g.add(info.Name, strconv.FormatFloat(float64(s.Value), 'g', 5, 32), info.Unit, info.Text)
	}
	if err := g.write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return clickGrid(c.Clicks).write(w)
}

func spread(s aggregate.Spread) string {
	return fmt.Sprintf("median %s, 95%% at most %s, greatest %d (of %d)",
		strconv.FormatFloat(s.Median, 'g', -1, 64), strconv.FormatFloat(s.P95, 'g', -1, 64), s.Max, s.Size)
}

func clickGrid(clicks []aggregate.StoredClick) *grid {
	g := newGrid("event", "time", "state", "decision", ">revision", "source", "campaign", "publisher", "agent", ">micros", "currency", "reasons")
	for i := range clicks {
		c := &clicks[i]
		g.add(c.EventID.String(), instant(c.EventTime), c.State.String(), decided(c.Decision), strconv.Itoa(c.Revision), c.SourceID,
			c.CampaignID, c.PublisherID, c.AgentFamily, number(c.PriceMicros), c.Currency, strings.Join(c.Reasons.Codes(), " "))
	}
	return g
}

// decided leaves out what nobody decided.
func decided(d aggregate.Decision) string {
	if d == aggregate.DecisionNone {
		return ""
	}
	return d.String()
}

type caseClick struct {
	Event      string   `json:"event"`
	Time       string   `json:"time"`
	State      string   `json:"state"`
	Stored     string   `json:"stored_state"`
	Decision   string   `json:"decision,omitempty"`
	Revision   int      `json:"revision"`
	Source     string   `json:"source"`
	Campaign   string   `json:"campaign"`
	Publisher  string   `json:"publisher"`
	Agent      string   `json:"agent_family"`
	Micros     int64    `json:"micros"`
	Currency   string   `json:"currency"`
	Score      float64  `json:"score"`
	Reasons    []string `json:"reasons"`
	Vector     []Slot   `json:"vector"`
	VectorNote string   `json:"vector_note,omitempty"` // why a vector cannot be read
}

type caseSpread struct {
	Size   int     `json:"size"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	Max    int64   `json:"max"`
}

func caseJSON(w io.Writer, c *aggregate.Case) error {
	out := struct {
		Tenant  string      `json:"tenant"`
		Address string      `json:"address"`
		Prefix  string      `json:"prefix"`
		Focus   string      `json:"focus"`
		Minute  int64       `json:"clicks_in_minute"`
		Normal  caseSpread  `json:"own_60_minutes"`
		Peers   caseSpread  `json:"peers_in_minute"`
		Clicks  []caseClick `json:"clicks"`
	}{
		c.TenantID, aggregate.KeyText(c.IPKey), c.IPPrefix, c.Clicks[c.Focus].EventID.String(), c.Minute,
		caseSpread(c.Normal), caseSpread(c.Peers), make([]caseClick, len(c.Clicks)),
	}
	for i := range c.Clicks {
		k := &c.Clicks[i]
		vector, note := slots(&k.Verdict)
		out.Clicks[i] = caseClick{
			k.EventID.String(), instant(k.EventTime), k.State.String(), k.Verdict.State.String(), decided(k.Decision), k.Revision,
			k.SourceID, k.CampaignID, k.PublisherID, k.AgentFamily, k.PriceMicros, k.Currency, k.Verdict.Score, k.Reasons.Codes(), vector, note,
		}
	}
	return WriteJSON(w, out)
}

// Decided says in one line what a decision did.
func Decided(w io.Writer, d *aggregate.Decided) error {
	line := fmt.Sprintf("%s: %s -> %s", d.Before.EventID, d.Before.State, d.State)
	switch a := d.Adjustment; {
	case a != nil && a.Waived != "":
		line += fmt.Sprintf("; the hour is closed, adjustment of %d micros waived: %s", a.Micros, a.Waived)
	case a != nil:
		line += fmt.Sprintf("; the hour is closed, adjustment of %d micros %s (%s)", a.Micros, a.Currency, Amount(a.Micros, a.Currency))
	case d.Closed:
		line += "; the hour is closed, no money moves"
	default:
		line += "; the hour is open"
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
