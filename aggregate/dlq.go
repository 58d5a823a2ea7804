package aggregate

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"clickgate/gateway/click"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Errors of ReplayPoison.
var (
	// ErrNoLetter says that no poison record has the id.
	ErrNoLetter = errors.New("there is no such poison record")
	// ErrStillPoison says that nothing changed: the record becomes no event now either.
	ErrStillPoison = errors.New("the record is no event for this version either")
	// ErrLate says that the record's hour is sealed or closed.
	ErrLate = errors.New("the hour of the click is sealed: it can only be a late click, which becomes an adjustment")
)

// DeadLetters reads what could not become an event, and replays it. All methods are
// safe for concurrent use.
type DeadLetters interface {
	// LetterCounts counts in order of tenant, source, code, field.
	LetterCounts(ctx context.Context, q LetterQuery) ([]LetterCount, error)
	// Letters returns letters, the newest first.
	Letters(ctx context.Context, q LetterQuery) ([]Letter, error)
	// InLetters runs f in one transaction, as Ingest.InTx does.
	InLetters(ctx context.Context, f func(LetterTx) error) error
}

// LetterTx is a transaction that can turn a poison record into an event.
type LetterTx interface {
	Tx
	// Poison returns a record, held until the transaction ends, and whether there is
	// one. Of several incarnations of a topic it is the one stored last.
	Poison(ctx context.Context, id PoisonID) (PoisonRecord, bool, error)
	// DropLetter removes the dead letter that stands for a poison record, and reports
	// whether there was one.
	DropLetter(ctx context.Context, tenantID string, id click.IngestID) (bool, error)
	// Replayed keeps when, by whom and to what a poison record was replayed.
	Replayed(ctx context.Context, r *PoisonRecord) error
	// Audit appends an audit entry.
	Audit(ctx context.Context, e *AuditEntry) error
}

// LetterQuery selects dead letters; zero values mean all.
type LetterQuery struct {
	TenantID string
	SourceID string
	Code     string
	Waiting  bool  // only poison records that were not replayed
	From, To int64 // receipt, Unix microseconds, [From, To); 0 means open
	ID       click.ID
	Record   PoisonID // its Incarnation is not looked at
	Limit    int      // at most so many letters
}

// LetterCount counts dead letters of one tenant, source, code and field.
type LetterCount struct {
	TenantID    string // empty for poison that does not tell where it comes from
	SourceID    string
	Code        string
	Field       string // of the event; for poison the class
	Count       int64
	Replayed    int64
	First, Last int64 // receipt, Unix microseconds
}

// Letter is one dead letter without its bytes: an event that a gateway could not
// read, or a record that an aggregator could not store.
type Letter struct {
	TenantID   string
	SourceID   string
	Entry      click.Entry
	Code       string
	Field      string // of the event; for poison the class
	Message    string
	ReceivedAt int64 // Unix microseconds; the time of storing where a record does not tell
	StoredAt   int64
	ID         click.ID // of the letter or event; may be zero
	Record     PoisonID // the zero PoisonID unless it is poison
	Ingest     click.IngestID
	Size       int64 // bytes kept
	ReplayedAt int64 // 0: was not
	ReplayedBy string
	Became     string
}

// Name is what commands call the letter by.
func (l *Letter) Name() string {
	if l.Record.Topic != "" {
		return l.Record.String()
	}
	return l.ID.String()
}

// PoisonID names a poison record. Incarnation is the first 8 hex digits of the topic
// id, empty for whichever: a topic that was made again counts its offsets anew.
type PoisonID struct {
	Topic       string
	Number      int32 // of the partition
	Offset      int64
	Incarnation string
}

// Incarnation returns what a PoisonID says of a topic id.
func Incarnation(topicID [16]byte) string { return hex.EncodeToString(topicID[:4]) }

// String is the form that ParsePoisonID reads, such as clicks.v1-3@1234/0a1b2c3d.
func (id PoisonID) String() string {
	s := fmt.Sprintf("%s-%d@%d", id.Topic, id.Number, id.Offset)
	if id.Incarnation != "" {
		s += "/" + id.Incarnation
	}
	return s
}

// ParsePoisonID reads TOPIC-PARTITION@OFFSET, with or without /INCARNATION.
func ParsePoisonID(s string) (id PoisonID, err error) {
	place, incarnation, cut := strings.Cut(s, "/")
	partition, offset, ok := strings.Cut(place, "@")
	dash := strings.LastIndexByte(partition, '-')
	if b, err := hex.DecodeString(incarnation); !ok || dash < 1 || cut && (err != nil || len(b) != 4) {
		return id, fmt.Errorf("%q names no poison record; write TOPIC-PARTITION@OFFSET/INCARNATION as `clickgate dlq list --each` does", s)
	}
	number, err1 := strconv.ParseUint(partition[dash+1:], 10, 31)
	at, err2 := strconv.ParseUint(offset, 10, 63)
	if err := errors.Join(err1, err2); err != nil {
		return id, fmt.Errorf("%q names no poison record: %w", s, err)
	}
	return PoisonID{partition[:dash], int32(number), int64(at), strings.ToLower(incarnation)}, nil
}

// PoisonRecord is a poison record as it is stored.
type PoisonRecord struct {
	PoisonRow
	StoredAt   int64 // Unix microseconds
	ReplayedAt int64 // 0: was not
	ReplayedBy string
	Became     string
}

// ReplayRequest asks for one poison record to be tried again.
type ReplayRequest struct {
	ID   PoisonID
	Late bool // take it as a late click where its hour is sealed
	Who  string
	Why  string
	At   int64 // Unix microseconds
}

// Replay is what became of a ReplayRequest.
type Replay struct {
	Became  string // state of the event, "copy" of one that is stored, or "mark"
	Late    bool   // its hour was sealed: the closer decides, and an adjustment bills it
	Already bool   // it was replayed before; nothing changed now
}

// ReplayPoison tries a poison record again, after whatever was wrong was mended: it is
// decoded and written like a record that comes now, with the ids and times it has. What
// it counted as malformed it counts then as what it became, in the same transaction, so
// the books balance before and after. A record that was replayed already stays as it is.
func ReplayPoison(ctx context.Context, store DeadLetters, q ReplayRequest) (out Replay, err error) {
	err = store.InLetters(ctx, func(tx LetterTx) error {
		out = Replay{}
		r, ok, err := tx.Poison(ctx, q.ID)
		switch {
		case err != nil:
			return err
		case !ok:
			return ErrNoLetter
		case r.ReplayedAt != 0:
			out = Replay{Became: r.Became, Already: true}
			return nil
		}
		if err := replay(ctx, tx, &r, q.Late, &out); err != nil {
			return err
		}
		r.ReplayedAt, r.ReplayedBy, r.Became = q.At, q.Who, out.Became
		if err := tx.Replayed(ctx, &r); err != nil {
			return err
		}
		return tx.Audit(ctx, q.entry(&r))
	})
	return out, err
}

func (q *ReplayRequest) entry(r *PoisonRecord) *AuditEntry {
	e := &AuditEntry{
		At: q.At, Who: q.Who, TenantID: r.Origin.TenantID, Action: "dlq.replay", Target: q.ID.String(),
		Detail: fmt.Sprintf("became %s: %s", r.Became, q.Why),
	}
	if e.TenantID == "" {
		e.TenantID = AllTenants
	}
	return e
}

// replay writes the record as an event, in the place of its dead letter.
func replay(ctx context.Context, tx LetterTx, r *PoisonRecord, late bool, out *Replay) error {
	b := DecodeBatch(r.Partition, Claim{Next: r.Offset}, []*kgo.Record{r.record()})
	if len(b.Poison) > 0 {
		return fmt.Errorf("%w (%s: %s)", ErrStillPoison, b.Poison[0].Class, b.Poison[0].Reason)
	}
	if o := &r.Origin; o.Known() {
		dropped, err := tx.DropLetter(ctx, o.TenantID, o.Ingest)
		if err != nil {
			return err
		}
		if dropped {
			if err := tx.AddMinutes(ctx, []MinuteDelta{uncounted(r)}); err != nil {
				return err
			}
		}
	}
	var res Result
	if err := applyEvents(ctx, tx, b, &res); err != nil {
		return err
	}
	if res.Late > 0 && !late {
		return ErrLate
	}
	out.Late, out.Became = res.Late > 0, became(b, &res)
	return nil
}

// uncounted takes the malformed event back that a poison record was counted as.
func uncounted(r *PoisonRecord) MinuteDelta {
	o := &r.Origin
	return MinuteDelta{Count: -1, MinuteKey: MinuteKey{
		TenantID: o.TenantID, SourceID: o.SourceID, Minute: o.ReceivedAt - o.ReceivedAt%minuteMicros,
		State: click.Malformed, Partition: r.Partition.Number,
	}}
}

func became(b *Batch, res *Result) string {
	for state, n := range res.ByState {
		if n > 0 {
			return click.State(state).String()
		}
	}
	switch {
	case len(b.Marks) > 0:
		return "mark"
	case res.Fed[feedImpressions].New > 0:
		return "impression"
	case res.Fed[feedConversions].New > 0:
		return "conversion"
	}
	return "copy"
}
