package crash

import (
	"sync"
	"time"

	"clickgate/gateway/click"
)

// Kind is what a sender knows an event by.
type Kind uint8

// Kinds.
const (
	Item       Kind = iota // of a batch, by its event id
	Broken                 // malformed item of a batch, by the id inside its raw bytes
	Token                  // beacon with a token, by its click id; every request is an event of its own
	Unstorable             // item of a batch that the database refuses, by its event id
)

var kindNames = [...]string{"item", "broken", "token", "unstorable item"}

// String returns the name that reports use.
func (k Kind) String() string { return kindNames[k] }

// Entry is what the senders did with one id and were answered.
type Entry struct {
	Kind  Kind
	Sent  int   // copies
	Acked int   // copies whose answer said that they are recorded
	Ahead int   // of these, copies of an item that came from the future of a gateway whose clock was behind
	First int64 // first ack, Unix microseconds; 0 for none
}

// Ledger is the senders' own account: what was sent, and what was acknowledged. It
// knows nothing of gateways but their answers. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	entries map[click.ID]*Entry
	acked   int   // distinct ids
	copies  int   // acked ones
	open    []int // copies without an ack, by gateway
}

// NewLedger returns an empty ledger for so many gateways.
func NewLedger(gateways int) *Ledger {
	return &Ledger{entries: make(map[click.ID]*Entry), open: make([]int, gateways)}
}

// Send notes copies that are about to leave for a gateway.
func (l *Ledger) Send(gateway int, kind Kind, ids ...click.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		e := l.entries[id]
		if e == nil {
			e = &Entry{Kind: kind}
			l.entries[id] = e
		}
		e.Sent++
	}
	l.open[gateway] += len(ids)
}

// Ack notes that a gateway answered for copies that were sent to it.
func (l *Ledger) Ack(gateway int, now time.Time, ids ...click.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		e := l.entries[id]
		if e.Acked++; e.Acked == 1 {
			e.First = now.UnixMicro()
			l.acked++
		}
	}
	l.copies += len(ids)
	l.open[gateway] -= len(ids)
}

// Ahead is Ack for an item that a gateway took for malformed, because by its clock the
// item is not made yet.
func (l *Ledger) Ahead(gateway int, now time.Time, id click.ID) {
	l.Ack(gateway, now, id)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries[id].Ahead++
}

// Refused takes back copies that a gateway certainly did not take.
func (l *Ledger) Refused(gateway int, ids ...click.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.entries[id].Sent--
	}
	l.open[gateway] -= len(ids)
}

// Acked returns how many ids have an ack.
func (l *Ledger) Acked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}

// Entries returns the account. Nothing may be noted any more.
func (l *Ledger) Entries() map[click.ID]*Entry { return l.entries }

// Unanswered returns, by gateway, how many copies have no ack: as many sequences
// may be unknown, and no more.
func (l *Ledger) Unanswered() []int { return l.open }
