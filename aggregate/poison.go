package aggregate

import (
	"context"
	"errors"
	"math"

	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Classes of poison that no store gave.
const (
	ClassDecode = "decode" // the bytes are no record of this version
	ClassCheck  = "check"  // they are one, with values that cannot be
)

// CodePoison is the code of the dead letter that stands for a poison record, so that
// the books count what its gateway received as malformed. The bytes are not in the
// letter but in the poison record.
const CodePoison = "poison"

// RejectedError says that a store refuses a row for its values: a data exception or a
// violated constraint (SQLSTATE classes 22 and 23, SQLite's CONSTRAINT, TOOBIG and
// MISMATCH). Whatever may pass by itself or concerns all rows alike, such as a lost
// connection, a deadlock, a full disk or a missing column, never is one.
type RejectedError struct {
	Class  string // the store's own code, such as "SQLSTATE 23514"
	Reason string // what was violated, without the row's values
	Err    error
}

func (e *RejectedError) Error() string { return e.Err.Error() }

// Unwrap returns the store's error.
func (e *RejectedError) Unwrap() error { return e.Err }

// checkError is an error of the values of a record that decodes.
type checkError struct{ error }

func (e checkError) Unwrap() error { return e.error }

// applyPieces writes a batch of which the store refused something: it halves it until
// each record that is refused stands alone, keeps those as poison and everything else
// as if the batch had come in pieces. Each piece is undone by itself, so that all of it
// is one transaction still. A bad record costs about 2*log2(n) tries.
func applyPieces(ctx context.Context, tx Tx, b *Batch, res *Result) error {
	rejected, err := attempt(ctx, tx, b, res)
	if err != nil || rejected == nil {
		return err
	}
	if n := len(b.records); n > 1 {
		for _, half := range [][]*kgo.Record{b.records[:n/2], b.records[n/2:]} {
			if err := applyPieces(ctx, tx, DecodeBatch(b.Partition, Claim{}, half), res); err != nil {
				return err
			}
		}
		return nil
	}
	refused := poison(b.Partition, b.records[0], rejected)
	rejected, err = attempt(ctx, tx, &Batch{Partition: b.Partition, Poison: []PoisonRow{refused}}, res)
	if err != nil || rejected == nil {
		return err
	}
	refused.Origin = Origin{} // not even its dead letter is taken: kept without one
	return applyEvents(ctx, tx, &Batch{Partition: b.Partition, Poison: []PoisonRow{refused}}, res)
}

// attempt adds a piece to the transaction, or nothing of it when the store refuses a
// row.
func attempt(ctx context.Context, tx Tx, b *Batch, res *Result) (*RejectedError, error) {
	var part Result
	err := tx.Attempt(ctx, func() error {
		part = Result{}
		return applyEvents(ctx, tx, b, &part)
	})
	var rejected *RejectedError
	if errors.As(err, &rejected) {
		return rejected, nil
	}
	if err == nil {
		res.add(&part)
	}
	return nil, err
}

func (r *Result) add(part *Result) {
	r.Records += part.Records
	for gateway, n := range part.CopiesOf {
		if r.CopiesOf == nil {
			r.CopiesOf = make(map[string]int)
		}
		r.CopiesOf[gateway] += n
	}
	r.OwnCopies += part.OwnCopies
	r.Poison += part.Poison
	r.Late += part.Late
	for state, n := range part.ByState {
		r.ByState[state] += n
	}
	for feed, n := range part.Fed {
		r.Fed[feed].New += n.New
		r.Fed[feed].Repeated += n.Repeated
	}
	if r.OldestEvent == 0 || part.OldestEvent != 0 && part.OldestEvent < r.OldestEvent {
		r.OldestEvent = part.OldestEvent
	}
}

// applyPoison keeps poison records, and a dead letter for each that tells where it
// comes from: its gateway counted it as received, so the books need a row of it.
func applyPoison(ctx context.Context, tx Tx, rows []PoisonRow, counts *counter) error {
	if len(rows) == 0 {
		return nil
	}
	counts.res.Poison += len(rows)
	if err := tx.InsertPoison(ctx, rows); err != nil {
		return err
	}
	letters, err := poisonLetters(ctx, tx, rows, counts)
	if err != nil {
		return err
	}
	return applyDeadLetters(ctx, tx, letters, counts)
}

// poisonLetters leaves out broken copies of events that are stored in whole.
func poisonLetters(ctx context.Context, tx Tx, rows []PoisonRow, counts *counter) ([]DeadLetterRow, error) {
	var known []*PoisonRow
	var keys []EventKey
	for i := range rows {
		if o := &rows[i].Origin; o.Known() {
			known, keys = append(known, &rows[i]), append(keys, EventKey{o.TenantID, o.ID, o.IDTime})
		}
	}
	if len(known) == 0 {
		return nil, nil
	}
	stored, err := tx.StoredIngest(ctx, keys)
	if err != nil {
		return nil, err
	}
	var letters []DeadLetterRow
	for i, row := range known {
		if o := &row.Origin; stored[i] == o.Ingest {
			counts.res.copied(&o.Ingest)
		} else {
			letters = append(letters, DeadLetterRow{&click.DeadLetter{
				TenantID: o.TenantID, SourceID: o.SourceID, Entry: o.Entry, ReceivedAt: o.ReceivedAt, Code: CodePoison,
				Message: row.Class + ": " + row.Reason, Raw: []byte{}, LetterID: o.ID, Ingest: o.Ingest,
			}, row.Partition.Number, row.Offset})
		}
	}
	return letters, nil
}

// poison makes a record that failed with err a row.
func poison(p Partition, r *kgo.Record, err error) PoisonRow {
	row := PoisonRow{Partition: p, Offset: r.Offset, Class: ClassDecode, Reason: err.Error(), Key: r.Key, Value: r.Value}
	var checked checkError
	var rejected *RejectedError
	switch {
	case errors.As(err, &rejected):
		row.Class, row.Reason = rejected.Class, rejected.Reason
	case errors.As(err, &checked):
		row.Class = ClassCheck
	}
	for _, h := range r.Headers {
		if h.Key == stream.HeaderKind {
			row.Kind = string(h.Value)
		}
	}
	// No account knows of what came by a feed, so no dead letter may stand for it.
	if kind, err := stream.KindOf(r); err == nil && kind != stream.KindMark && !kind.Fed() {
		row.Origin = originOf(kind, r.Value)
	}
	return row
}

// record is the Kafka record that row was made of.
func (r *PoisonRow) record() *kgo.Record {
	return &kgo.Record{
		Topic: r.Partition.Topic, Partition: r.Partition.Number, Offset: r.Offset, Key: r.Key, Value: r.Value,
		Headers: []kgo.RecordHeader{{Key: stream.HeaderKind, Value: []byte(r.Kind)}},
	}
}

// Origin is what a record that became no event still tells of itself.
type Origin struct {
	TenantID   string
	SourceID   string
	ID         click.ID // of the event or the dead letter; may be zero
	IDTime     int64    // 0 for dead letters
	Entry      click.Entry
	ReceivedAt int64 // Unix microseconds
	Ingest     click.IngestID
}

// Known reports whether o says which event of which gateway's account it is.
func (o *Origin) Known() bool {
	return o.TenantID != "" && o.SourceID != "" && o.ReceivedAt > 0 && o.ReceivedAt <= maxTime &&
		o.IDTime >= 0 && o.IDTime <= maxTime &&
		o.Ingest.Gateway != "" && o.Ingest.Boot != 0 && o.Ingest.Seq != 0 && o.Ingest.Seq <= math.MaxInt64 &&
		checkTexts([]string{o.TenantID, o.SourceID, o.Ingest.Gateway}) == nil
}
