package aggregate

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"clickgate/gateway/click"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DoubleClickWindow is the time under which a second click of the same person on
// the same placement is a double click; exactly this far apart it is not.
const DoubleClickWindow = 2_000_000 // microseconds

// Batch is what one fetch brought of one partition, decoded, in offset order.
type Batch struct {
	Partition   Partition
	Fence       int64
	First       int64 // fetch position: stored position the batch starts from
	Next        int64 // offset behind the last record
	Clicks      []ClickRow
	DeadLetters []DeadLetterRow
	Poison      []PoisonRow
	Marks       []click.Mark
	Impressions []click.Impression
	Conversions []click.Conversion

	records []*kgo.Record // what the batch was decoded from; nil when it was made otherwise
}

// Result counts what a committed batch did.
type Result struct {
	Records     int
	OwnCopies   int
	CopiesOf    map[string]int // own copies by gateway; nil for none
	Poison      int
	Late        int                    // new clicks whose hour was sealed before they came
	ByState     [click.NumStates]int64 // new events by provisional state
	OldestEvent int64                  // Unix microseconds, 0 for none
	Fed         [numFeeds]FedRows      // by feed
}

func (r *Result) copied(id *click.IngestID) {
	r.OwnCopies++
	if r.CopiesOf == nil {
		r.CopiesOf = make(map[string]int)
	}
	r.CopiesOf[id.Gateway]++
}

// Apply writes one batch in one transaction of store. On ErrApplied the batch
// was there already and the caller goes on behind it. Of a decoded batch, records
// that the store refuses become poison, in the same transaction as the rest.
func Apply(ctx context.Context, store Ingest, b *Batch) (Result, error) {
	res, err := applyBy(ctx, store, b, applyEvents)
	var rejected *RejectedError
	if len(b.records) > 0 && errors.As(err, &rejected) {
		return applyBy(ctx, store, b, applyPieces)
	}
	return res, err
}

// applyBy is the commit order: position first, so that a zombie fails before it
// writes; then what write does.
func applyBy(ctx context.Context, store Ingest, b *Batch, write func(context.Context, Tx, *Batch, *Result) error) (Result, error) {
	var res Result
	err := store.InTx(ctx, func(tx Tx) error {
		res = Result{}
		if err := tx.Advance(ctx, b.Partition, b.Fence, b.First, b.Next); err != nil {
			return err
		}
		return write(ctx, tx, b, &res)
	})
	return res, err
}

// applyEvents writes the events of a batch; then the counts of exactly the rows that
// were new; then the marks that vouch for them.
func applyEvents(ctx context.Context, tx Tx, b *Batch, res *Result) error {
	counts := newCounter(b.Partition.Number, res)
	if err := applyClicks(ctx, tx, b.Clicks, counts); err != nil {
		return err
	}
	if err := applyDeadLetters(ctx, tx, b.DeadLetters, counts); err != nil {
		return err
	}
	if err := applyPoison(ctx, tx, b.Poison, counts); err != nil {
		return err
	}
	deltas, err := counts.deltas()
	if err != nil {
		return err
	}
	if len(deltas) > 0 {
		if err := tx.AddMinutes(ctx, deltas); err != nil {
			return err
		}
	}
	if err := applyFeeds(ctx, tx, b, res); err != nil {
		return err
	}
	res.Records = len(b.Clicks) + len(b.DeadLetters) + len(b.Poison) + len(b.Impressions) + len(b.Conversions)
	if len(b.Marks) == 0 {
		return nil
	}
	return tx.PutMarks(ctx, b.Partition, b.Marks)
}

func applyClicks(ctx context.Context, tx Tx, rows []ClickRow, counts *counter) error {
	if len(rows) == 0 {
		return nil
	}
	first, copies := splitCopies(rows)
	late, err := touchUnits(ctx, tx, first)
	if err != nil {
		return err
	}
	matches, err := tx.BillableBefore(ctx, probes(first))
	if err != nil {
		return err
	}
	inserted, err := tx.InsertClicks(ctx, first)
	if err != nil {
		return err
	}
	fresh, dropped := make([]candidate, 0, len(first)), copies
	for i, row := range first {
		if inserted[i] {
			fresh = append(fresh, newCandidate(row))
		} else {
			dropped = append(dropped, row)
		}
	}
	assignMatches(fresh, first, inserted, matches)
	if err := insertLate(ctx, tx, fresh, late, counts.res); err != nil {
		return err
	}
	if dups := provisionalDuplicates(fresh, late); len(dups) > 0 {
		if err := tx.MarkDuplicates(ctx, dups); err != nil {
			return err
		}
	}
	for i := range fresh {
		counts.click(&fresh[i])
	}
	return applyDropped(ctx, tx, dropped, counts)
}

// touchUnits holds the units of rows open for the transaction and returns those that
// are sealed already: what comes for them is late.
func touchUnits(ctx context.Context, tx Tx, rows []ClickRow) (late map[Unit]bool, err error) {
	seen := make(map[Unit]struct{})
	var units []Unit
	for _, row := range rows {
		u := UnitOf(row.Click)
		if _, ok := seen[u]; !ok {
			seen[u] = struct{}{}
			units = append(units, u)
		}
	}
	slices.SortFunc(units, compareUnits)
	sealed, err := tx.TouchUnits(ctx, units)
	if err != nil {
		return nil, err
	}
	late = make(map[Unit]bool)
	for i, u := range units {
		if sealed[i] {
			late[u] = true
		}
	}
	return late, nil
}

func compareUnits(a, b Unit) int {
	return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Hour, b.Hour))
}

func insertLate(ctx context.Context, tx Tx, fresh []candidate, late map[Unit]bool, res *Result) error {
	if len(late) == 0 {
		return nil
	}
	var keys []EventKey
	var units []Unit
	for i := range fresh {
		if u := UnitOf(fresh[i].row.Click); late[u] {
			keys, units = append(keys, KeyOf(fresh[i].row.Click)), append(units, u)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	res.Late += len(keys)
	return tx.InsertLate(ctx, keys, units)
}

// splitCopies keeps the first copy of each event, in key order (two aggregators
// that insert in the same order cannot deadlock), and returns the others apart.
func splitCopies(rows []ClickRow) (first, copies []ClickRow) {
	seen := make(map[EventKey]struct{}, len(rows))
	for _, row := range rows {
		k := KeyOf(row.Click)
		if _, dup := seen[k]; dup {
			copies = append(copies, row)
			continue
		}
		seen[k] = struct{}{}
		first = append(first, row)
	}
	slices.SortFunc(first, func(a, b ClickRow) int { return CompareKeys(KeyOf(a.Click), KeyOf(b.Click)) })
	return first, copies
}

// CompareKeys orders keys as the stores do.
func CompareKeys(a, b EventKey) int {
	return cmp.Or(
		cmp.Compare(a.TenantID, b.TenantID),
		slices.Compare(a.EventID[:], b.EventID[:]),
		cmp.Compare(a.IDTime, b.IDTime),
	)
}

// applyDropped tells our own copies (spool and Kafka both) from redeliveries: an
// own copy carries the ingest id that the stored row has.
func applyDropped(ctx context.Context, tx Tx, dropped []ClickRow, counts *counter) error {
	if len(dropped) == 0 {
		return nil
	}
	keys := make([]EventKey, len(dropped))
	for i, row := range dropped {
		keys[i] = KeyOf(row.Click)
	}
	stored, err := tx.StoredIngest(ctx, keys)
	if err != nil {
		return err
	}
	var rows []RedeliveryRow
	for i, row := range dropped {
		if row.Ingest == stored[i] {
			counts.res.copied(&row.Ingest)
			continue
		}
		rows = append(rows, RedeliveryRow{
			EventKey: keys[i], SourceID: row.SourceID, CampaignID: row.CampaignID,
			Entry: row.Entry, ReceivedAt: row.ReceivedAt, Ingest: row.Ingest,
			AdvertiserID: row.AdvertiserID, AdGroupID: row.AdGroupID,
			PublisherID: row.PublisherID, Currency: countedCurrency(row.Click),
		})
	}
	if len(rows) == 0 {
		return nil
	}
	inserted, err := tx.InsertRedeliveries(ctx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		if inserted[i] {
			counts.redelivery(&rows[i])
		} else {
			counts.res.copied(&rows[i].Ingest)
		}
	}
	return nil
}

func applyDeadLetters(ctx context.Context, tx Tx, rows []DeadLetterRow, counts *counter) error {
	if len(rows) == 0 {
		return nil
	}
	inserted, err := tx.InsertDeadLetters(ctx, rows)
	if err != nil {
		return err
	}
	for i := range rows {
		if inserted[i] {
			counts.deadLetter(&rows[i])
		} else {
			counts.res.copied(&rows[i].Ingest)
		}
	}
	return nil
}
