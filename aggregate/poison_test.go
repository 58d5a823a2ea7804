package aggregate_test

import (
	"context"
	"errors"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// poisonRow is what the tables keep of a record that is no event.
type poisonRow struct {
	Topic     string
	Offset    int64
	Kind      string
	Value     string
	Tombstone bool
	Reason    bool
	Class     string
	Seq       int64 // in the gateway's account; 0 where the record does not tell
}

func (r *rig) poison() (out []poisonRow) {
	r.Helper()
	rows, err := r.store.DB().QueryContext(r.Context(),
		"SELECT topic, rec_offset, kind, coalesce(value, ''), value IS NULL, reason <> '', class, seq FROM poison_records ORDER BY topic, rec_offset")
	r.must(err)
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var p poisonRow
		r.must(rows.Scan(&p.Topic, &p.Offset, &p.Kind, &p.Value, &p.Tombstone, &p.Reason, &p.Class, &p.Seq))
		out = append(out, p)
	}
	r.must(rows.Err())
	return out
}

// TestPoisonedPartition: bad records among 500 stop nothing, touch no neighbour
// and are kept byte for byte; good ones, copies, dead letters and marks come out
// as rows. Those that tell whose account they are in count as malformed.
func TestPoisonedPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	records := r.clicks(0, 500)
	cut, refused := records[250].Value[:7], aggregate.NewClick(251, aggregate.TestTime)
	refused.Currency = "X"
	records[250].Value = cut
	records[251].Value = aggregate.ClickValue(refused)
	records[252].Value = []byte{}
	records[253].Value = nil
	copied, again := *records[0], aggregate.NewClick(1, aggregate.TestTime+1_000_000)
	again.Ingest.Seq = 1000
	mark := aggregate.NewMark(1, 250)
	wrongKind := r.letter(aggregate.NewLetter(900, aggregate.TestTime))
	wrongKind.Topic = stream.ClicksTopic
	unknown := &kgo.Record{Topic: stream.ClicksTopic, Value: []byte("?")}
	records = append(records, &copied, r.click(again), stream.NewMark(stream.ClicksTopic, 0, aggregate.MarkValue(t, &mark)), wrongKind, unknown)
	r.produce(records...)
	inLetters := r.click(aggregate.NewClick(901, aggregate.TestTime))
	inLetters.Topic = stream.DeadLettersTopic
	var letters []*kgo.Record
	for i := range 5 {
		letters = append(letters, r.letter(aggregate.NewLetter(uint64(600+i), aggregate.TestTime)))
	}
	r.produce(append(letters, inLetters, stream.NewMark(stream.DeadLettersTopic, 0, aggregate.MarkValue(t, &mark)))...)

	a := r.start(r.store, "one")
	r.waitStored()
	r.waitLag(2)
	a.stop()

	r.wantStates(map[click.State]int64{click.Valid: 496, click.Redelivered: 1, click.Malformed: 8})
	want := []poisonRow{
		{stream.ClicksTopic, 250, "c", string(cut), false, true, "decode", 0},
		{stream.ClicksTopic, 251, "c", string(aggregate.ClickValue(refused)), false, true, "check", 252},
		{stream.ClicksTopic, 252, "c", "", false, true, "decode", 0},
		{stream.ClicksTopic, 253, "c", "", true, true, "decode", 0},
		{stream.ClicksTopic, 503, "d", string(wrongKind.Value), false, true, "decode", 901},
		{stream.ClicksTopic, 504, "", "?", false, true, "decode", 0},
		{stream.DeadLettersTopic, 5, "c", string(inLetters.Value), false, true, "decode", 902},
	}
	if diff := cmp.Diff(want, r.poison()); diff != "" {
		t.Errorf("poison (-want +got):\n%s", diff)
	}
	if next := r.next(0); next != 505 {
		t.Errorf("position %d, want 505", next)
	}
	l, err := r.store.Ledger(t.Context(), aggregate.LedgerQuery{})
	r.must(err)
	if p := aggregate.Proven(l.Marks); len(p) != 1 || p[aggregate.BootID{Gateway: "eu/g1", Boot: 7}].ThroughSeq != 250 {
		t.Errorf("proven %v, want the boot through 250", p)
	}
	for name, want := range map[string]float64{
		"clickgate_aggregate_poison_records_total": 7, "clickgate_aggregate_own_copies_total": 1,
		"clickgate_aggregate_batch_records": 510, "clickgate_aggregate_session_errors_total": 0,
	} {
		if got := a.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if n := a.metric("clickgate_aggregate_gateway_copies_total", "eu/g1"); n != 1 {
		t.Errorf("%v own copies of the gateway, want 1", n)
	}
	if n := a.Counts(); n[click.Valid] != 496 || n[click.Redelivered] != 1 || n[click.Malformed] != 8 {
		t.Errorf("counts of the run %v", n)
	}
}

// choosy refuses clicks of one country.
type choosy struct{ aggregate.Tx }

func (c choosy) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	for _, r := range rows {
		if r.Country == "XX" {
			return nil, &aggregate.RejectedError{Class: "test", Reason: "not from there", Err: errors.New("refused")}
		}
	}
	return c.Tx.InsertClicks(ctx, rows)
}

// TestRefusedPartition: what the store refuses at the borders of polls stops nothing.
func TestRefusedPartition(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	records := r.clicks(0, 300)
	for _, i := range []int{0, 49, 50, 120, 299} {
		c := aggregate.NewClick(uint64(i), aggregate.TestTime+int64(i)*1_000_000)
		c.Country = "XX"
		records[i].Value = aggregate.ClickValue(c)
	}
	r.produce(records...)
	store := &hooked{Ingest: r.store}
	store.inTx = func(ctx context.Context, f func(aggregate.Tx) error) error {
		return r.store.InTx(ctx, func(tx aggregate.Tx) error { return f(choosy{tx}) })
	}
	a := r.start(store, "choosy", func(c *aggregate.Config) { c.MaxRecords = 50 })
	r.waitStored()
	a.stop()
	r.wantStates(map[click.State]int64{click.Valid: 295, click.Malformed: 5})
	for _, p := range r.poison() {
		if p.Class != "test" || p.Seq != p.Offset+1 {
			t.Errorf("poison %+v", p)
		}
	}
	if n := a.metric("clickgate_aggregate_poison_records_total"); n != 5 {
		t.Errorf("%v poison records counted, want 5", n)
	}
	for _, c := range []string{"other", "gap", "fenced"} {
		if n := a.sessionErrors(c); n != 0 {
			t.Errorf("%v sessions ended: %s", n, c)
		}
	}
}
