package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"clickgate/gateway/click"
)

// Trace writes all copies of an event. CSV has no form for it.
func Trace(w io.Writer, id click.ID, copies []Stored, format Format) error {
	switch format {
	case JSON:
		return WriteJSON(w, struct {
			ID     string   `json:"id"`
			Copies []Stored `json:"copies"`
		}{id.String(), copies})
	case Table:
		return traceTable(w, id, copies)
	}
	return fmt.Errorf("format %q does not suit a trace; use table or json", format)
}

// lines writes stage, name and value in columns.
type lines struct {
	w     *tabwriter.Writer
	stage string
}

func (l *lines) begin(stage string) { l.stage = stage }

func (l *lines) put(name, value string) {
	if value == "" {
		return
	}
	fmt.Fprintf(l.w, "  %s\t%s\t%s\n", l.stage, name, Visible(value))
	l.stage = ""
}

func traceTable(w io.Writer, id click.ID, copies []Stored) error {
	l := &lines{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i := range copies {
		s := &copies[i]
		fmt.Fprintf(l.w, "%s %s, tenant %s\n", s.What, id, Visible(s.Tenant))
		l.edge(s)
		l.event(s.Event)
		l.price(s.Price)
		l.verdict(s.Verdict)
		l.later(s)
		if r := s.Rejected; r != nil {
			l.begin("malformed")
			l.put("code", r.Code)
			l.put("field", r.Field)
			l.put("message", r.Message)
		}
		l.personal(s.Personal)
		fmt.Fprintln(l.w)
	}
	return l.w.Flush()
}

func (l *lines) edge(s *Stored) {
	l.begin("edge")
	l.put("received", s.Edge.ReceivedAt)
	l.put("source", s.Edge.Source)
	l.put("entry", s.Edge.Entry)
	l.put("gateway", s.Edge.Gateway)
	l.put("boot", boot(s.Edge.Boot))
	l.put("sequence", strconv.FormatUint(s.Edge.Seq, 10))
	l.begin("stream")
	l.put("topic", s.Stream.Topic)
	if s.Stream.Offset != nil {
		l.put("partition", number(int64(*s.Stream.Partition)))
		l.put("offset", number(*s.Stream.Offset))
	}
	l.begin("store")
	l.put("ingested", s.Store.IngestedAt)
	l.put("after", (time.Duration(s.Store.DelayMicros) * time.Microsecond).String())
}

func (l *lines) event(e *Event) {
	if e == nil {
		return
	}
	l.begin("event")
	asn := ""
	if e.ASN != 0 {
		asn = strconv.FormatUint(uint64(e.ASN), 10)
	}
	for _, x := range [...]struct{ name, value string }{
		{"event time", e.EventTime}, {"id time", e.IDTime}, {"click id", e.ClickID}, {"flags", strings.Join(e.Flags, " ")},
		{"advertiser", e.Advertiser}, {"campaign", e.Campaign}, {"ad group", e.AdGroup}, {"creative", e.Creative},
		{"publisher", e.Publisher}, {"placement", e.Placement}, {"landing host", e.LandingHost},
		{"referer host", e.RefererHost}, {"country", e.Country},
		{"ip key", e.IPKey}, {"agent key", e.AgentKey}, {"key epoch", strconv.FormatUint(uint64(e.KeyEpoch), 10)},
		{"ip prefix", e.IPPrefix}, {"asn", asn}, {"agent family", e.AgentFamily},
	} {
		l.put(x.name, x.value)
	}
}

func (l *lines) price(p *Price) {
	if p == nil {
		return
	}
	l.begin("price")
	if p.Currency == "" {
		l.put("price", "nobody says; not billed")
		return
	}
	l.put("price", fmt.Sprintf("%s %s (%d micros), %s", p.Shown, p.Currency, p.Micros, p.Pricing))
	l.put("from", p.From)
	l.put("billed", map[bool]string{true: "yes", false: "no"}[p.Billed])
}

func (l *lines) verdict(j *Judged) {
	if j == nil {
		return
	}
	l.begin("verdict")
	l.put("state", j.State)
	l.put("score", strconv.FormatFloat(j.Score, 'g', -1, 64))
	for _, r := range j.Reasons {
		l.put("reason", fmt.Sprintf("%s (%s) %s", r.Code, r.Class, r.Text))
	}
	l.put("vector", j.VectorNote)
	for _, x := range j.Vector {
		name := fmt.Sprintf("v%d slot %d %s", j.VectorVersion, x.Slot, x.Name)
		l.put(name, strconv.FormatFloat(float64(x.Value), 'g', -1, 32))
	}
	l.put("lists hash", j.Lists)
	l.put("policy hash", j.Policy)
	l.put("model hash", j.Model)
	l.put("model slot", j.ModelSlot)
}

func (l *lines) later(s *Stored) {
	for _, r := range s.Later {
		l.begin("revision " + strconv.Itoa(r.Revision))
		l.put("at", r.At)
		l.put("state", r.From+" -> "+r.State)
		for _, x := range r.Reasons {
			l.put("reason", fmt.Sprintf("%s (%s) %s", x.Code, x.Class, x.Text))
		}
		l.put("cause", r.Cause)
		if r.Decision != "none" {
			l.put("decision", r.Decision)
		}
		l.put("who", r.Who)
		l.put("why", r.Why)
	}
	for _, a := range s.Adjustments {
		l.begin("adjustment")
		l.put("revision", strconv.Itoa(a.Revision))
		l.put("at", a.At)
		l.put("amount", fmt.Sprintf("%s %s (%d micros)", Amount(a.Micros, a.Currency), a.Currency, a.Micros))
		l.put("waived", a.Waived)
	}
}

func (l *lines) personal(p *Personal) {
	if p == nil {
		return
	}
	l.begin("personal")
	if e := p.Evidence; e != nil {
		l.put("ip", e.IP)
		l.put("user agent", e.UserAgent)
		l.put("referer", e.Referer)
		l.put("query", e.Query)
		l.put("accept language", e.AcceptLanguage)
	}
	l.put("raw", string(p.Raw))
}
