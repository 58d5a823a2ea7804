package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refusedCountry marks the clicks that a case lets its store refuse.
const refusedCountry = "XX"

func refusable(c *click.Click) { c.Country = refusedCountry }

// refuse lets the store refuse what is marked, until the case ends.
func (e *env) refuse(table, condition, code string) (end func()) {
	e.Helper()
	undo, err := e.opts.Refuse(e.store, table, condition, code)
	e.must(err)
	end = sync.OnceFunc(func() {
		if err := undo(); err != nil {
			e.Error(err)
		}
	})
	e.Cleanup(end)
	return end
}

// clickRecord is the Kafka record of a row, without an offset.
func clickRecord(row aggregate.ClickRow) *kgo.Record {
	key := stream.AppendKey(nil, row.TenantID, row.EventID)
	r := stream.NewRecord(stream.KindClick, row.TenantID, key, click.AppendIngest(click.AppendClick(nil, row.Click), &row.Ingest), 1)
	r.Partition = 0
	return r
}

func letterRecord(row aggregate.DeadLetterRow) *kgo.Record {
	key := stream.AppendKey(nil, row.TenantID, row.LetterID)
	return stream.NewRecord(stream.KindDeadLetter, row.TenantID, key, click.AppendIngest(click.AppendDeadLetter(nil, row.DeadLetter), &row.Ingest), 1)
}

// decoded makes the next batch of p from records.
func (e *env) decoded(p aggregate.Partition, records ...*kgo.Record) *aggregate.Batch {
	e.Helper()
	first := e.batch(p).First
	for i, r := range records {
		r.Partition, r.Offset = p.Number, first+int64(i)
	}
	return aggregate.DecodeBatch(p, e.claims[p], records)
}

// clickRecords are records of n new clicks, a millisecond apart, with those at the
// places of bad marked to be refused.
func clickRecords(first uint64, n int, bad ...int) (records []*kgo.Record) {
	for i := range n {
		row := newRow(first+uint64(i), base+int64(first)*second/1000+int64(i)*second/1000)
		if slices.Contains(bad, i) {
			refusable(row.Click)
		}
		records = append(records, clickRecord(row))
	}
	return records
}

// wantPoison demands which offsets of a topic are kept as poison, each with the bytes
// of its record, the store's code and a dead letter.
func (e *env) wantPoison(topic string, records map[int64]*kgo.Record) {
	e.Helper()
	rows, err := e.opts.DB(e.store).QueryContext(e.ctx(), fmt.Sprintf(
		"SELECT rec_offset, key, value, class, kind FROM poison_records WHERE topic = '%s' ORDER BY rec_offset", topic))
	e.must(err)
	defer func() { _ = rows.Close() }()
	got := make(map[int64]bool)
	for rows.Next() {
		var offset int64
		var key, value, kind []byte
		var class string
		e.must(rows.Scan(&offset, &key, &value, &class, &kind))
		got[offset] = true
		r := records[offset]
		if r == nil {
			e.Errorf("the record at offset %d was refused for %q though nothing was wrong with it", offset, class)
			continue
		}
		if string(key) != string(r.Key) || string(value) != string(r.Value) || len(kind) != 1 {
			e.Errorf("offset %d: kept otherwise than it came", offset)
		}
		if class == "" || class == aggregate.ClassDecode || class == aggregate.ClassCheck {
			e.Errorf("offset %d: class %q does not say that the store refused it", offset, class)
		}
	}
	e.must(rows.Err())
	for offset := range records {
		if !got[offset] {
			e.Errorf("the record at offset %d is not kept", offset)
		}
	}
}

// books demands that received and stored agree for sequences up to through.
func (e *env) books(through uint64) {
	e.Helper()
	m := newMark(9, through)
	m.ClickPartitions = 1
	for _, p := range []aggregate.Partition{partition(0), letterPartition(0)} {
		b := e.batch(p)
		b.Marks = []click.Mark{m}
		e.apply(b)
	}
	r, err := aggregate.Books(e.ctx(), e.store, aggregate.LedgerQuery{})
	e.must(err)
	if r.Broken || len(r.Boots) != 1 || r.Boots[0].Stored != int64(through) {
		e.Errorf("the books do not balance: boots %+v, hours %+v", r.Boots, r.Hours)
	}
}

// rejectedRows: of 5,000 records exactly those that the store refuses are kept as
// poison, wherever they stand, and all others are stored, in one transaction.
func rejectedRows(e *env) {
	e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	const size = 5_000
	places := [][]int{{0}, {size - 1}, {size / 2}, {0, 1, 2, 1_234, 1_235, size - 2, size - 1}}
	want := make(map[int64]*kgo.Record)
	var seq uint64
	var poisoned int64
	for _, bad := range places {
		records := clickRecords(seq+1, size, bad...)
		seq += size
		b := e.decoded(partition(0), records...)
		res := e.apply(b)
		for _, i := range bad {
			want[records[i].Offset] = records[i]
		}
		poisoned += int64(len(bad))
		equal(e, "poison of the batch", res.Poison, len(bad))
		equal(e, "records of the batch", res.Records, size)
		equal(e, "clicks of the batch", res.ByState[click.Valid], int64(size-len(bad)))
		equal(e, "malformed of the batch", res.ByState[click.Malformed], int64(len(bad)))
		next, err := e.store.StoredThrough(e.ctx(), b.Partition.ClusterID, b.Partition.TopicID)
		e.must(err)
		equal(e, "position", next[0], b.Next)
	}
	e.wantPoison(stream.ClicksTopic, want)
	equal(e, "states", e.totals(), [10]int64{click.Valid: int64(seq) - poisoned, click.Malformed: poisoned})
	e.books(seq)
}

// rejectedAtBorder: the last record of one poll and the first of the next.
func rejectedAtBorder(e *env) {
	e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23505")
	first, second := clickRecords(1, 7, 6), clickRecords(8, 7, 0)
	a := e.decoded(partition(0), first...)
	e.apply(a)
	e.apply(e.decoded(partition(0), second...))
	e.wantPoison(stream.ClicksTopic, map[int64]*kgo.Record{first[6].Offset: first[6], second[0].Offset: second[0]})
	equal(e, "offsets between the two", second[0].Offset-first[6].Offset, 1)

	// A poll that holds nothing else.
	alone := clickRecords(15, 1, 0)
	equal(e, "poison alone", e.apply(e.decoded(partition(0), alone...)).Poison, 1)

	// The first poll again, as after a commit without an answer.
	_, err := aggregate.Apply(e.ctx(), e.store, a)
	e.wantErr("a batch from before", err, aggregate.ErrFenced)
	equal(e, "states", e.totals(), [10]int64{click.Valid: 12, click.Malformed: 3})
	e.books(15)
}

// rejectedCopies: copies of a refused record count once, and a broken copy of a stored
// event counts nowhere.
func rejectedCopies(e *env) {
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "22003")
	records := clickRecords(1, 20, 3)
	own := *records[3]
	res := e.apply(e.decoded(partition(0), append(records, &own)...))
	equal(e, "own copies", res.OwnCopies, 1)
	equal(e, "poison", res.Poison, 2)
	equal(e, "malformed", res.ByState[click.Malformed], int64(1))
	broken := *records[5]
	broken.Headers = slices.Clone(broken.Headers)
	broken.Value = append(slices.Clone(broken.Value), 6<<3, 1) // source_id as a number
	res = e.apply(e.decoded(partition(0), &broken))
	equal(e, "poison of the broken copy", res.Poison, 1)
	equal(e, "own copies of the broken copy", res.OwnCopies, 1)

	// A sender's copy of a stored event is a redelivery whatever stands beside it.
	again := again(newRow(1, base+second/1000), 21)
	bad := newRow(22, base+second, refusable)
	res = e.apply(e.decoded(partition(0), clickRecord(again), clickRecord(bad)))
	equal(e, "redelivered", res.ByState[click.Redelivered], int64(1))
	equal(e, "malformed", res.ByState[click.Malformed], int64(1))
	end()
	equal(e, "states", e.totals(), [10]int64{click.Valid: 19, click.Redelivered: 1, click.Malformed: 2})
	e.books(22)
}

// rejectedOthers: dead letters and marks that the store refuses. What cannot have a
// dead letter is kept without one.
func rejectedOthers(e *env) {
	e.refuse("dead_letters", "NEW.code = 'bad_place'", "23514")
	a, b, c := newLetter(1, base), newLetter(2, base), newLetter(3, base)
	b.Code = "bad_place"
	records := []*kgo.Record{letterRecord(a), letterRecord(b), letterRecord(c)}
	res := e.apply(e.decoded(letterPartition(0), records...))
	equal(e, "poison", res.Poison, 1)
	equal(e, "malformed", res.ByState[click.Malformed], int64(3))
	e.wantPoison(stream.DeadLettersTopic, map[int64]*kgo.Record{1: records[1]})
	e.refuse("marks", "NEW.number = 7", "23514")
	bad, good := newMark(7, 3), newMark(8, 3)
	var marks []*kgo.Record
	for _, m := range []*click.Mark{&bad, &good} {
		value, err := m.Encode()
		e.must(err)
		marks = append(marks, stream.NewMark(stream.ClicksTopic, 0, value))
	}
	equal(e, "poison of marks", e.apply(e.decoded(partition(0), marks...)).Poison, 1)
	l, err := e.store.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	if len(l.Marks) != 1 || l.Marks[0].Mark.Number != 8 {
		e.Errorf("marks %+v, want the one that was not refused", l.Marks)
	}
	e.books(3)
	e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	e.refuse("dead_letters", "NEW.code = '"+aggregate.CodePoison+"'", "23514")
	res = e.apply(e.decoded(partition(0), clickRecords(4, 3, 1)...))
	equal(e, "poison without a letter", res.Poison, 1)
	equal(e, "malformed without a letter", res.ByState[click.Malformed], int64(0))
	equal(e, "poison that tells no origin", e.count("SELECT count(*) FROM poison_records WHERE tenant_id = '' AND topic = '"+stream.ClicksTopic+"' AND class <> ''"), 2)
}

// refusedOnce fails its first transactions in their middle with an error of its own.
type refusedOnce struct {
	aggregate.Store
	err   error
	tries int
}

func (s *refusedOnce) InTx(ctx context.Context, f func(aggregate.Tx) error) error {
	return s.Store.InTx(ctx, func(tx aggregate.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		if s.tries > 0 {
			s.tries--
			return s.err
		}
		return nil
	})
}

// passingFailures: what is nobody's fault stops the batch, keeps nothing as poison, and
// the batch goes in when it has passed.
func passingFailures(e *env) {
	records := clickRecords(1, 50, 20)
	untouched := func(what string) {
		e.Helper()
		equal(e, "poison after "+what, e.count("SELECT count(*) FROM poison_records"), 0)
		equal(e, "events after "+what, sum(e.totals()), 0)
	}
	for _, code := range e.opts.Passing {
		end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", code)
		if res, err := aggregate.Apply(e.ctx(), e.store, e.decoded(partition(0), records...)); err == nil {
			e.Errorf("%s: the batch was taken with %+v", code, res)
		}
		untouched(code)
		end()
	}
	// The same while bad records are looked for: the connection goes during the search.
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	_, err := aggregate.Apply(e.ctx(), &refusedOnce{e.store, errLost, 1}, e.decoded(partition(0), records...))
	e.wantErr("a lost connection", err, errLost)
	untouched("a lost connection")
	ctx, cancel := context.WithCancel(e.ctx())
	cancel()
	_, err = aggregate.Apply(ctx, e.store, e.decoded(partition(0), records...))
	e.wantErr("a stop", err, context.Canceled)
	untouched("a stop")
	end()
	equal(e, "poison when all has passed", e.apply(e.decoded(partition(0), records...)).Poison, 0)
	equal(e, "states", e.totals(), [10]int64{click.Valid: 50})
}

// attempts: what fails in an attempt is gone, what was before and after stays, also
// when attempts stand in attempts.
func attempts(e *env) {
	e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	insert := func(tx aggregate.Tx, rows ...aggregate.ClickRow) error {
		_, err := tx.InsertClicks(e.ctx(), rows)
		return err
	}
	bad := newRow(9, base, refusable)
	e.must(e.store.InTx(e.ctx(), func(tx aggregate.Tx) error {
		refused := func(what string, err error) {
			var r *aggregate.RejectedError
			if !errors.As(err, &r) || r.Class == "" || r.Reason == "" {
				e.Errorf("%s: error %v, want a RejectedError with class and reason", what, err)
			}
		}
		refused("at first", tx.Attempt(e.ctx(), func() error { return insert(tx, newRow(1, base), bad) }))
		e.must(tx.Attempt(e.ctx(), func() error {
			e.must(insert(tx, newRow(2, base)))
			refused("inside", tx.Attempt(e.ctx(), func() error { return insert(tx, newRow(3, base), bad) }))
			return insert(tx, newRow(4, base))
		}))
		e.wantErr("an error of ours", tx.Attempt(e.ctx(), func() error {
			e.must(tx.Attempt(e.ctx(), func() error { return insert(tx, newRow(5, base)) }))
			return errLost
		}), errLost)
		return insert(tx, newRow(6, base))
	}))
	var got []int64
	rows, err := e.opts.DB(e.store).QueryContext(e.ctx(), "SELECT seq FROM clicks ORDER BY seq")
	e.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var seq int64
		e.must(rows.Scan(&seq))
		got = append(got, seq)
	}
	e.must(rows.Err())
	if diff := cmp.Diff([]int64{2, 4, 6}, got); diff != "" {
		e.Errorf("stored sequences (-want +got):\n%s", diff)
	}
}
