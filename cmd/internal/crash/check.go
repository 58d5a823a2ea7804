package crash

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"clickgate/gateway/click"
)

// Stored is everything about events that a store holds at the end of a run, when
// nothing is on its way any more.
type Stored struct {
	Clicks      []StoredClick
	Redelivered []StoredCopy
	Letters     []StoredCopy          // ID is the one inside the raw bytes
	Billed      map[click.ID]click.ID // event by click id
	Poison      []PoisonRow
	// PoisonLetters are the ingest ids of the dead letters that stand for poison records.
	PoisonLetters []click.IngestID
	Venom         []*Venom // what was put on the topics behind the gateways' backs
	Felt          Felt     // of Redis
	Minutes       []MinuteDifference
	Backwards     []string  // positions that moved back, as a trigger saw them
	Unread        []string  // partitions with records behind the stored position
	Unclosed      int       // units
	Books         string    // what `report reconcile` would say; empty when it balances
	Unknown       []Unknown // sequences by gateway
}

// StoredClick is a click row with its final state.
type StoredClick struct {
	EventID, ClickID click.ID
	State            click.State
	Ingest           click.IngestID
}

// StoredCopy is a redelivery or a dead letter.
type StoredCopy struct {
	ID     click.ID
	Ingest click.IngestID
	Ahead  bool // a dead letter of an item from the future of its gateway's clock
}

// MinuteDifference is a minute count that is not what its rows say.
type MinuteDifference struct {
	Key                   string
	Counted, Rows         int64
	CountedMicros, Micros int64
}

// Unknown counts the sequences of a gateway of which nothing is known.
type Unknown struct {
	Gateway            string
	Sequences, InDoubt int64 // InDoubt: copies that were sent to it and not acked
}

// Failure is one thing that must not be.
type Failure struct {
	Rule string   `json:"rule"`
	ID   click.ID `json:"-"`
	Name string   `json:"id,omitempty"` // of the event, for clickgate trace; the click id for tokens
	Text string   `json:"text"`
}

// Rules of Check.
const (
	Lost      = "lost"      // acknowledged, and stored nowhere
	Missing   = "copy lost" // fewer copies than acknowledged ones
	Doubled   = "double"    // more copies than were sent
	Twice     = "two rows"  // an event has two click rows, or an ingest id stands twice
	Billable  = "billed twice"
	Phantom   = "phantom"     // nobody sent it
	Counts    = "counts"      // minute counts are not the rows
	Position  = "position"    // moved back, or not at the end
	BrokeDown = "broke down"  // a program panicked
	Account   = "account"     // the gateways' account, unknown sequences, open hours
	Poisoned  = "poison"      // a record that is no event is not kept, or not once, or not as it came
	Turned    = "turned away" // requests were refused because Redis was ill
)

// Check compares the senders' account with what is stored, event by event. An empty
// result says that every acknowledged copy is stored, none more often than it was
// sent, that no click is billed twice, and that all counts are their rows'.
func Check(entries map[click.ID]*Entry, s *Stored) []Failure {
	c := &checker{entries: entries, found: make(map[click.ID]*found), ingests: make(map[click.IngestID]click.ID)}
	c.read(s)
	c.poison(s)
	for _, id := range slices.SortedFunc(maps.Keys(entries), compareIDs) {
		c.entry(id, entries[id], c.found[id])
	}
	c.billing(s)
	c.totals(s)
	return c.failures
}

func compareIDs(a, b click.ID) int { return slices.Compare(a[:], b[:]) }

// found is what is stored of one id.
type found struct{ clicks, redelivered, letters, ahead, poison, valid int }

type checker struct {
	entries  map[click.ID]*Entry
	found    map[click.ID]*found
	ingests  map[click.IngestID]click.ID
	failures []Failure
}

func (c *checker) fail(rule string, id click.ID, format string, args ...any) {
	f := Failure{Rule: rule, ID: id, Text: fmt.Sprintf(format, args...)}
	if !id.IsZero() {
		f.Name = id.String()
	}
	c.failures = append(c.failures, f)
}

// of returns what was found of an id, after noting its ingest id.
func (c *checker) of(id, event click.ID, ingest click.IngestID) *found {
	if other, ok := c.ingests[ingest]; ok {
		c.fail(Twice, event, "has the ingest id %v of %s", ingest, other)
	}
	c.ingests[ingest] = event
	f := c.found[id]
	if f == nil {
		f = &found{}
		c.found[id] = f
	}
	return f
}

func (c *checker) read(s *Stored) {
	for i := range s.Clicks {
		row := &s.Clicks[i]
		id := cmp.Or(row.ClickID, row.EventID) // of a token the sender knows the click id
		f := c.of(id, row.EventID, row.Ingest)
		f.clicks++
		if row.State == click.Valid {
			f.valid++
		}
		if e := c.entries[id]; e == nil || (e.Kind == Token) != !row.ClickID.IsZero() {
			c.fail(Phantom, row.EventID, "is stored as a click of %v, and nobody sent it", row.Ingest)
		}
	}
	for i := range s.Redelivered {
		row := &s.Redelivered[i]
		c.of(row.ID, row.ID, row.Ingest).redelivered++
		if e := c.entries[row.ID]; e == nil || e.Kind != Item {
			c.fail(Phantom, row.ID, "is stored as a redelivery by %v, and nobody sent it", row.Ingest)
		}
	}
	for i := range s.Letters {
		row := &s.Letters[i]
		f, e := c.of(row.ID, row.ID, row.Ingest), c.entries[row.ID]
		f.letters++
		if row.Ahead {
			f.ahead++
		}
		if e == nil || e.Kind != Broken && !row.Ahead {
			c.fail(Phantom, row.ID, "is stored as a dead letter by %v, and nobody sent it malformed", row.Ingest)
		}
	}
}

// entry holds one id's rows against its sender's account.
func (c *checker) entry(id click.ID, e *Entry, f *found) {
	if f == nil {
		f = &found{}
	}
	copies := f.clicks + f.redelivered + f.letters + f.poison
	known := fmt.Sprintf("%s, sent %d, acked %d (first at %s), stored: %d click rows, %d redeliveries, %d dead letters, %d poison records",
		e.Kind, e.Sent, e.Acked, micros(e.First), f.clicks, f.redelivered, f.letters, f.poison)
	switch {
	case e.Acked > 0 && copies == 0, e.Acked > e.Ahead && copies == f.ahead:
		c.fail(Lost, id, "%s", known)
	case copies < e.Acked, f.ahead < e.Ahead:
		c.fail(Missing, id, "%s", known)
	case copies > e.Sent:
		c.fail(Doubled, id, "%s", known)
	case e.Kind == Item && copies > f.ahead && f.clicks != 1, e.Kind == Unstorable && f.clicks > 0:
		c.fail(Twice, id, "%s", known)
	}
	if f.valid > 1 {
		c.fail(Billable, id, "%d events of it are valid; %s", f.valid, known)
	}
}

// billing holds the table of billed clicks against the final states.
func (c *checker) billing(s *Stored) {
	for i := range s.Clicks {
		row := &s.Clicks[i]
		if row.State != click.Valid || row.ClickID.IsZero() || s.Unclosed > 0 {
			continue
		}
		if event, ok := s.Billed[row.ClickID]; !ok || event != row.EventID {
			c.fail(Billable, row.EventID, "is valid, and the billed event of click %s is %s", row.ClickID, event)
		}
	}
}

func (c *checker) totals(s *Stored) {
	none := click.ID{}
	for _, m := range s.Minutes {
		c.fail(Counts, none, "%s: counted %d (%d micros), rows %d (%d micros)", m.Key, m.Counted, m.CountedMicros, m.Rows, m.Micros)
	}
	for _, text := range slices.Concat(s.Backwards, s.Unread) {
		c.fail(Position, none, "%s", text)
	}
	if s.Felt.blames() {
		c.fail(Turned, none, "%d of %d requests were refused while Redis alone was ill, %d of %d while nothing was",
			s.Felt.Refused[1], s.Felt.Refused[1]+s.Felt.Acks[1], s.Felt.Refused[0], s.Felt.Refused[0]+s.Felt.Acks[0])
	}
	if s.Unclosed > 0 {
		c.fail(Account, none, "%d hours could not be closed", s.Unclosed)
	}
	if s.Books != "" {
		c.fail(Account, none, "%s", s.Books)
	}
	for _, u := range s.Unknown {
		if u.Sequences > u.InDoubt {
			c.fail(Account, none, "gateway %s: %d sequences are unknown, but only %d copies were not acknowledged", u.Gateway, u.Sequences, u.InDoubt)
		}
	}
}
