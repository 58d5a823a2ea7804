package report

import (
	"fmt"
	"io"
	"unicode/utf8"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// letterCountLine is a count of dead letters in JSON.
type letterCountLine struct {
	Tenant   string `json:"tenant"`
	Source   string `json:"source"`
	Code     string `json:"code"`
	Field    string `json:"field"`
	Count    int64  `json:"count"`
	Replayed int64  `json:"replayed"`
	First    string `json:"first"`
	Last     string `json:"last"`
}

// LetterCounts writes how many dead letters there are of each tenant, source and code.
func LetterCounts(w io.Writer, counts []aggregate.LetterCount, format Format) error {
	g := newGrid("tenant", "source", "code", "field", ">count", ">replayed", "first", "last")
	lines := make([]letterCountLine, len(counts))
	for i, c := range counts {
		l := letterCountLine{c.TenantID, c.SourceID, c.Code, c.Field, c.Count, c.Replayed, instant(c.First), instant(c.Last)}
		lines[i] = l
		g.add(l.Tenant, l.Source, l.Code, l.Field, number(l.Count), number(l.Replayed), l.First, l.Last)
	}
	return writeGrid(w, g, lines, format)
}

// letterLine is one dead letter in JSON.
type letterLine struct {
	ID         string         `json:"id"`
	Tenant     string         `json:"tenant"`
	Source     string         `json:"source"`
	Entry      string         `json:"entry"`
	Code       string         `json:"code"`
	Field      string         `json:"field"`
	Message    string         `json:"message"`
	ReceivedAt string         `json:"received_at"`
	StoredAt   string         `json:"stored_at"`
	Event      string         `json:"event,omitempty"` // id of a poison record's event
	Gateway    string         `json:"gateway"`
	Boot       uint64         `json:"boot"`
	Seq        uint64         `json:"seq"`
	Bytes      int64          `json:"bytes"`
	ReplayedAt string         `json:"replayed_at,omitempty"`
	ReplayedBy string         `json:"replayed_by,omitempty"`
	Became     string         `json:"became,omitempty"`
	Personal   *LetterContent `json:"content,omitempty"`
}

// LetterContent is what unmasking shows of a dead letter: what the sender sent, or a
// poison record's value and, where it can be read, the evidence inside.
type LetterContent struct {
	Raw      []byte          `json:"raw,omitempty"` // base64 in JSON
	Evidence *click.Evidence `json:"evidence,omitempty"`
}

func newLetterLine(l *aggregate.Letter) letterLine {
	line := letterLine{
		ID: l.Name(), Tenant: l.TenantID, Source: l.SourceID, Entry: l.Entry.String(), Code: l.Code, Field: l.Field, Message: l.Message,
		ReceivedAt: instant(l.ReceivedAt), StoredAt: instant(l.StoredAt), Gateway: l.Ingest.Gateway, Boot: l.Ingest.Boot, Seq: l.Ingest.Seq,
		Bytes: l.Size, ReplayedBy: l.ReplayedBy, Became: l.Became,
	}
	if l.Record.Topic != "" && !l.ID.IsZero() {
		line.Event = l.ID.String()
	}
	if l.ReplayedAt != 0 {
		line.ReplayedAt = instant(l.ReplayedAt)
	}
	return line
}

// Letters writes dead letters one by one, without their bytes.
func Letters(w io.Writer, letters []aggregate.Letter, format Format) error {
	g := newGrid("id", "tenant", "source", "entry", "code", "field", "received", ">bytes", "became", "message")
	lines := make([]letterLine, len(letters))
	for i := range letters {
		l := newLetterLine(&letters[i])
		lines[i] = l
		g.add(l.ID, l.Tenant, l.Source, l.Entry, l.Code, l.Field, l.ReceivedAt, number(l.Bytes), l.Became, l.Message)
	}
	return writeGrid(w, g, lines, format)
}

// Letter writes all that is known of one dead letter; content is nil without
// unmasking.
func Letter(w io.Writer, letter *aggregate.Letter, content *LetterContent, format Format) error {
	l := newLetterLine(letter)
	l.Personal = content
	if format == JSON {
		return WriteJSON(w, l)
	}
	g := newGrid("dead letter", l.ID)
	for _, row := range [][2]string{
		{"tenant", l.Tenant}, {"source", l.Source}, {"entry", l.Entry}, {"code", l.Code}, {"field", l.Field}, {"message", l.Message},
		{"received", l.ReceivedAt}, {"stored", l.StoredAt}, {"event", l.Event}, {"gateway", l.Gateway},
		{"sequence", number(int64(l.Seq))}, {"bytes", number(l.Bytes)}, {"replayed", l.ReplayedAt}, {"by", l.ReplayedBy}, {"became", l.Became},
	} {
		if row[1] != "" {
			g.add(row[0], row[1])
		}
	}
	if content != nil {
		addContent(g, content)
	}
	return g.write(w)
}

func addContent(g *grid, c *LetterContent) {
	if utf8.Valid(c.Raw) {
		g.add("raw", string(c.Raw))
	} else {
		g.add("raw", fmt.Sprintf("%x", c.Raw))
	}
	if e := c.Evidence; e != nil {
		g.add("address", e.IP)
		g.add("agent", e.UserAgent)
		g.add("referer", e.Referer)
		g.add("query", e.Query)
	}
}

// ReplayLine is what became of one dead letter that was replayed.
type ReplayLine struct {
	ID      string `json:"id"`
	Became  string `json:"became,omitempty"`
	Late    bool   `json:"late"`
	Already bool   `json:"already"`
	Error   string `json:"error,omitempty"`
}

// Replays writes what became of dead letters that were replayed.
func Replays(w io.Writer, lines []ReplayLine, format Format) error {
	g := newGrid("id", "became", "note")
	for _, l := range lines {
		note := l.Error
		switch {
		case l.Already:
			note = "was replayed before; nothing changed"
		case l.Late:
			note = "late: its hour is sealed; the closer judges it and an adjustment bills it"
		}
		g.add(l.ID, l.Became, note)
	}
	return writeGrid(w, g, lines, format)
}
