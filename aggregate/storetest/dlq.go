package storetest

import (
	"fmt"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
)

// poisonID names the record at an offset of partition 0 of the clicks topic.
func poisonID(offset int64) aggregate.PoisonID {
	p := partition(0)
	return aggregate.PoisonID{Topic: p.Topic, Number: p.Number, Offset: offset, Incarnation: aggregate.Incarnation(p.TopicID)}
}

func (e *env) replay(id aggregate.PoisonID, late bool) (aggregate.Replay, error) {
	return aggregate.ReplayPoison(e.ctx(), e.store, aggregate.ReplayRequest{ID: id, Late: late, Who: "ana", Why: "mended", At: base + hour})
}

// wantReplay replays a record that must come to something.
func (e *env) wantReplay(offset int64, want aggregate.Replay) {
	e.Helper()
	got, err := e.replay(poisonID(offset), false)
	if err != nil || got != want {
		e.Errorf("replay of offset %d: %+v, %v, want %+v", offset, got, err, want)
	}
}

// letters: dead letters of gateways and poison stand in one list.
func letters(e *env) {
	a, b, c := newLetter(1, base), newLetter(2, base+minute), newLetter(3, base+2*minute)
	b.Code, b.Field, c.TenantID, c.Raw = "bad_price", "price", "acmf", nil
	batch := e.batch(letterPartition(0))
	batch.DeadLetters = []aggregate.DeadLetterRow{a, b, c}
	e.apply(batch)
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	records := clickRecords(10, 2, 1)
	records = append(records, &kgo.Record{Topic: stream.ClicksTopic, Key: []byte("k"), Value: []byte("no record")})
	e.apply(e.decoded(partition(0), records...))
	end()

	counts, err := e.store.LetterCounts(e.ctx(), aggregate.LetterQuery{})
	e.must(err)
	var got []string
	for _, n := range counts {
		if n.First > n.Last || n.First <= 0 || n.Replayed != 0 {
			e.Errorf("count %+v", n)
		}
		class := n.Field
		if n.Code == aggregate.CodePoison && class != aggregate.ClassDecode {
			class = "store's"
		}
		got = append(got, fmt.Sprintf("%s/%s/%s/%s %d", n.TenantID, n.SourceID, n.Code, class, n.Count))
	}
	want := []string{"//poison/decode 1", "acme/shop/bad_price/price 1", "acme/shop/bad_time/event_time 1", "acme/shop/poison/store's 1", "acmf/shop/bad_time/event_time 1"}
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("counts (-want +got):\n%s", diff)
	}
	names := func(q aggregate.LetterQuery) (out []string) {
		e.Helper()
		list, err := e.store.Letters(e.ctx(), q)
		e.must(err)
		for _, l := range list {
			out = append(out, l.Name())
		}
		return out
	}
	for what, x := range map[string]struct {
		q    aggregate.LetterQuery
		want []string
	}{
		"of a tenant":  {aggregate.LetterQuery{TenantID: "acme"}, []string{b.LetterID.String(), poisonID(1).String(), a.LetterID.String()}},
		"of a code":    {aggregate.LetterQuery{Code: "bad_price"}, []string{b.LetterID.String()}},
		"of a source":  {aggregate.LetterQuery{SourceID: "nobody"}, nil},
		"waiting":      {aggregate.LetterQuery{Waiting: true, TenantID: "acme"}, []string{poisonID(1).String()}},
		"of a time":    {aggregate.LetterQuery{TenantID: "acme", From: base, To: base + minute}, []string{poisonID(1).String(), a.LetterID.String()}},
		"of an id":     {aggregate.LetterQuery{ID: a.LetterID}, []string{a.LetterID.String()}},
		"of an event":  {aggregate.LetterQuery{ID: eventID(base+11*second/1000, 11)}, []string{poisonID(1).String()}},
		"of a record":  {aggregate.LetterQuery{Record: poisonID(1)}, []string{poisonID(1).String()}},
		"of no record": {aggregate.LetterQuery{Record: poisonID(0)}, nil},
		"the newest":   {aggregate.LetterQuery{TenantID: "acme", Limit: 1}, []string{b.LetterID.String()}},
	} {
		if diff := cmp.Diff(x.want, names(x.q)); diff != "" {
			e.Errorf("letters %s (-want +got):\n%s", what, diff)
		}
	}
	list, err := e.store.Letters(e.ctx(), aggregate.LetterQuery{Code: "bad_price"})
	e.must(err)
	wantLetter := aggregate.Letter{
		TenantID: "acme", SourceID: "shop", Entry: click.EntryLog, Code: "bad_price", Field: "price", Message: b.Message, ReceivedAt: b.ReceivedAt,
		ID: b.LetterID, Ingest: b.Ingest, Size: 3,
	}
	if diff := cmp.Diff([]aggregate.Letter{wantLetter}, list, cmpopts.IgnoreFields(aggregate.Letter{}, "StoredAt")); diff != "" {
		e.Errorf("letter (-want +got):\n%s", diff)
	}
	e.must(e.store.InLetters(e.ctx(), func(tx aggregate.LetterTx) error {
		anyOf := poisonID(1)
		anyOf.Incarnation = ""
		for _, id := range []aggregate.PoisonID{poisonID(1), anyOf} {
			p, ok, err := tx.Poison(e.ctx(), id)
			if err != nil || !ok || string(p.Value) != string(records[1].Value) || p.Kind != "c" || p.Partition != partition(0) || p.Origin.Ingest.Seq != 11 {
				e.Errorf("poison %v: %+v, %v, %v", id, p, ok, err)
			}
		}
		other := poisonID(1)
		other.Incarnation = "ffffffff"
		if _, ok, err := tx.Poison(e.ctx(), other); ok || err != nil {
			e.Errorf("poison of another topic id: %v, %v", ok, err)
		}
		return nil
	}))
}

// replays: what was poison becomes what it is, once, and the books balance at every
// step.
func replays(e *env) {
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	records := clickRecords(1, 4, 1, 2)                               // 1: a click
	double := newRow(5, base+2*second/1000, refusable)                // 4: another person's click
	same := again(newRow(7, base+7*second/1000, refusable), 6)        // 5: the sender's copy of a click that comes later
	records = append(records, clickRecord(double), clickRecord(same)) //
	records = append(records, records[1])                             // 6: our copy of 1
	records[6] = &kgo.Record{Topic: records[1].Topic, Key: records[1].Key, Value: records[1].Value, Headers: records[1].Headers}
	cut := *records[2]
	cut.Value = cut.Value[:len(cut.Value)-40] // 7: tells nothing of its origin
	records = append(records, &cut)
	res := e.apply(e.decoded(partition(0), records...))
	equal(e, "poison", res.Poison, 6)
	e.apply(e.decoded(partition(0), clickRecords(7, 1)...))
	e.books(7)
	if _, err := e.replay(poisonID(1), false); err == nil {
		e.Error("a record that the store still refuses was replayed")
	}
	_, err := e.replay(poisonID(7), false)
	e.wantErr("a record that does not decode", err, aggregate.ErrStillPoison)
	_, err = e.replay(poisonID(99), false)
	e.wantErr("a record that is not there", err, aggregate.ErrNoLetter)
	before := e.totals()
	equal(e, "states before", before, [10]int64{click.Valid: 3, click.Malformed: 4})
	end()

	for _, step := range []struct {
		offset int64
		want   aggregate.Replay
		states [10]int64
	}{
		{1, aggregate.Replay{Became: "valid"}, [10]int64{click.Valid: 4, click.Malformed: 3}},
		{1, aggregate.Replay{Became: "valid", Already: true}, [10]int64{click.Valid: 4, click.Malformed: 3}},
		{6, aggregate.Replay{Became: "copy"}, [10]int64{click.Valid: 4, click.Malformed: 3}},
		{5, aggregate.Replay{Became: "redelivered"}, [10]int64{click.Valid: 4, click.Redelivered: 1, click.Malformed: 2}},
		{4, aggregate.Replay{Became: "valid"}, [10]int64{click.Valid: 5, click.Redelivered: 1, click.Malformed: 1}},
		{2, aggregate.Replay{Became: "valid"}, [10]int64{click.Valid: 6, click.Redelivered: 1}},
		{5, aggregate.Replay{Became: "redelivered", Already: true}, [10]int64{click.Valid: 6, click.Redelivered: 1}},
	} {
		e.wantReplay(step.offset, step.want)
		equal(e, fmt.Sprintf("states after the replay of offset %d", step.offset), e.totals(), step.states)
		r, err := aggregate.Books(e.ctx(), e.store, aggregate.LedgerQuery{})
		e.must(err)
		if r.Broken || len(r.Hours) != 1 || r.Hours[0].Received != 7 {
			e.Errorf("after offset %d the books do not balance: %+v %+v", step.offset, r.Hours, r.Boots)
		}
	}
	e.replayedClick(newRow(2, base+2*second/1000, refusable))
	list, err := e.store.Letters(e.ctx(), aggregate.LetterQuery{Waiting: true})
	e.must(err)
	if len(list) != 1 || list[0].Record != poisonID(7) {
		e.Errorf("waiting after the replays: %+v", list)
	}
	audit, err := e.store.ReadAudit(e.ctx(), &aggregate.AuditQuery{Action: "dlq.replay"})
	e.must(err)
	if len(audit) != 5 || audit[0].Who != "ana" || audit[0].TenantID != "acme" || audit[0].Target != poisonID(2).String() || audit[0].Detail != "became valid: mended" {
		e.Errorf("audit %+v", audit)
	}
}

// replayedClick demands that a click has its own id, times and ingest.
func (e *env) replayedClick(want aggregate.ClickRow) {
	e.Helper()
	trace, err := e.store.Trace(e.ctx(), want.TenantID, want.EventID)
	e.must(err)
	if len(trace) != 1 || trace[0].Click == nil {
		e.Fatalf("trace of a replayed click: %+v", trace)
	}
	if diff := cmp.Diff(want.Click, trace[0].Click, cmpopts.EquateEmpty()); diff != "" {
		e.Errorf("the replayed click is another (-want +got):\n%s", diff)
	}
}

// replaysHeal: a whole copy of a poison record comes later, when the store takes it. The
// books find the event twice, and the replay makes one of it.
func replaysHeal(e *env) {
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	records := clickRecords(1, 3, 1)
	e.apply(e.decoded(partition(0), records...))
	end()
	e.books(3)
	whole := *records[1]
	equal(e, "states of the copy", e.apply(e.decoded(partition(0), &whole)).ByState[click.Valid], int64(1))
	r, err := aggregate.Books(e.ctx(), e.store, aggregate.LedgerQuery{})
	e.must(err)
	if !r.Broken || r.Boots[0].Missing != -1 {
		e.Errorf("an event that is stored twice: %+v", r.Boots)
	}
	e.wantReplay(1, aggregate.Replay{Became: "copy"})
	r, err = aggregate.Books(e.ctx(), e.store, aggregate.LedgerQuery{})
	e.must(err)
	if r.Broken || r.Boots[0].Stored != 3 {
		e.Errorf("after the replay: %+v", r.Boots)
	}
	equal(e, "states", e.totals(), [10]int64{click.Valid: 3})
}

// replaysLate: a click of a sealed hour is refused, or becomes a late click.
func replaysLate(e *env) {
	end := e.refuse("clicks", "NEW.country = '"+refusedCountry+"'", "23514")
	e.apply(e.decoded(partition(0), clickRecords(1, 3, 1)...))
	end()
	e.books(3)
	u := aggregate.UnitOf(newRow(1, base+second/1000).Click)
	e.finish(u, closedRow(u, click.Valid, 2, 2_500_000))
	_, err := e.replay(poisonID(1), false)
	e.wantErr("a click of a closed hour", err, aggregate.ErrLate)
	equal(e, "states after the refusal", e.totals(), [10]int64{click.Valid: 2, click.Malformed: 1})
	got, err := e.replay(poisonID(1), true)
	if want := (aggregate.Replay{Became: "valid", Late: true}); err != nil || got != want {
		e.Errorf("replay as a late click: %+v, %v, want %+v", got, err, want)
	}
	equal(e, "states", e.totals(), [10]int64{click.Valid: 3})
	equal(e, "late clicks", e.count("SELECT count(*) FROM late_clicks"), 1)
	r, err := aggregate.Books(e.ctx(), e.store, aggregate.LedgerQuery{})
	e.must(err)
	if r.Broken || slices.ContainsFunc(r.Hours, func(h aggregate.HourAccount) bool { return h.ByState[click.Malformed] != 0 }) {
		e.Errorf("the books: %+v, closed %+v", r.Hours, r.Closed)
	}
}
