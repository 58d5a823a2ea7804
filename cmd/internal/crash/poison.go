package crash

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// unstorable is a country whose clicks the run's database refuses. Gateways take it for
// one, so these clicks come the whole way, are acknowledged, and stand in their
// gateway's account.
const unstorable = "XX"

// refuseSQL refuses clicks as a table would whose constraint they break (class 23), or
// whose type cannot hold them (class 22), by turns.
const refuseSQL = `
CREATE FUNCTION crash.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF get_byte(uuid_send(NEW.event_id), 15) % 2 = 0 THEN
    RAISE EXCEPTION 'crash: not this click' USING ERRCODE = '23514';
  END IF;
  RAISE EXCEPTION 'crash: not this click' USING ERRCODE = '22003';
END $$;
CREATE TRIGGER refuse BEFORE INSERT ON clicks FOR EACH ROW WHEN (NEW.country = '` + unstorable + `') EXECUTE FUNCTION crash.refuse()`

// refusedClass is how poison rows name what the trigger said of a click.
func refusedClass(id click.ID) string {
	if id[15]%2 == 0 {
		return "SQLSTATE 23514"
	}
	return "SQLSTATE 22003"
}

// Venom is a record that is no event, as it was put on a topic behind the gateways'
// backs.
type Venom struct {
	Value []byte // told apart by its bytes
	Class string // that the store must give it
	Acked bool   // Kafka has it
	// Records is how many records of the topic hold it: a producer that never heard of
	// an append may append again, and each record is poison of its own.
	Records int
}

// PoisonRow is a stored poison record.
type PoisonRow struct {
	At     string // topic, partition and offset
	Class  string
	Value  []byte
	Event  click.ID       // zero where the record does not tell whose it is
	Ingest click.IngestID // same
}

// poisoner puts records on the topics that no gateway would.
type poisoner struct {
	client     *kgo.Client
	partitions int32

	mu    sync.Mutex
	venom []*Venom
}

// poisonPause is between two records, of which each costs its batch some tries.
const poisonPause = 250 * time.Millisecond

// newPoisoner returns one that reaches the brokers by their proxies.
func (w *world) newPoisoner() (*poisoner, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokerAddrs()...), kgo.ClientID("clickgate-crash-poison"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	return &poisoner{client: client, partitions: partitions}, err
}

// run sends until the load is over.
func (p *poisoner) run(ctx context.Context, seed uint64, lasts time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	rng := rand.New(rand.NewPCG(seed, 5))
	for ctx.Err() == nil {
		r, v := p.record(rng)
		p.mu.Lock()
		p.venom = append(p.venom, v)
		p.mu.Unlock()
		p.client.Produce(context.WithoutCancel(ctx), r, func(_ *kgo.Record, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			v.Acked = err == nil
		})
		rest(ctx, poisonPause)
	}
}

// record makes bytes that decode to nothing, or a click that cannot be one.
func (p *poisoner) record(rng *rand.Rand) (*kgo.Record, *Venom) {
	v := &Venom{Value: binaryText(rng), Class: aggregate.ClassDecode}
	if rng.IntN(3) == 0 {
		now := time.Now().UnixMicro()
		c := click.Click{TenantID: tenant, EventID: click.ID(v.Value[:16]), IDTime: now, EventTime: now} // of no source and no gateway
		v.Value, v.Class = click.AppendClick(nil, &c), aggregate.ClassCheck
	}
	r := stream.NewRecord(stream.KindClick, tenant, v.Value, v.Value, int(p.partitions))
	return r, v
}

// binaryText is bytes that begin like no message of ours and never come twice.
func binaryText(rng *rand.Rand) []byte {
	b := make([]byte, 24)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	b[0] = 0xff // a field number without an end
	return b
}

// end waits for Kafka's word on what is under way, and returns everything.
func (p *poisoner) end(ctx context.Context) ([]*Venom, error) {
	err := p.client.Flush(ctx)
	p.client.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.venom, err
}

// readPoison reads poison rows.
func readPoison(r *reader) (out []PoisonRow) {
	r.each(`SELECT format('%s-%s at offset %s', topic, partition, rec_offset), class, coalesce(value, ''), event_id, gateway, boot, seq
		FROM poison_records ORDER BY topic, partition, rec_offset`, func(rows pgx.Rows) error {
		var p PoisonRow
		err := rows.Scan(&p.At, &p.Class, &p.Value, (*[16]byte)(&p.Event), &p.Ingest.Gateway, &p.Ingest.Boot, &p.Ingest.Seq)
		out = append(out, p)
		return err
	})
	return out
}

// poison holds what was put on the topics, and what the database refused, against the
// poison records: each once, byte for byte, and with a dead letter where it tells whose
// it is.
func (c *checker) poison(s *Stored) {
	found := make(map[string]int) // rows by value
	letters := make(map[click.IngestID]int)
	for _, ingest := range s.PoisonLetters {
		letters[ingest]++
	}
	kept := make(map[click.IngestID]bool)
	for i := range s.Poison {
		row := &s.Poison[i]
		switch {
		case row.Event.IsZero():
			found[string(row.Value)]++
		case !kept[row.Ingest]: // a copy that a spool sent again is a record of its own
			kept[row.Ingest] = true
			c.refused(row, letters[row.Ingest])
		}
	}
	for ingest, n := range letters {
		if !kept[ingest] {
			c.fail(Poisoned, click.ID{}, "%d dead letters stand for the poison record of %v, which is not there", n, ingest)
		}
	}
	c.venom(s, found)
}

// venom looks for the rows of records that were put on the topic; found are rows that
// tell no origin, by value.
func (c *checker) venom(s *Stored, found map[string]int) {
	none := click.ID{}
	for _, v := range s.Venom {
		n := found[string(v.Value)]
		delete(found, string(v.Value))
		switch {
		case n != v.Records || v.Acked && n == 0:
			c.fail(Poisoned, none, "%d records of class %s hold %x (acked: %v), and it is stored %d times", v.Records, v.Class, v.Value, v.Acked, n)
		case n > 0 && !slices.ContainsFunc(s.Poison, func(r PoisonRow) bool { return bytes.Equal(r.Value, v.Value) && r.Class == v.Class }):
			c.fail(Poisoned, none, "a record of class %s with %x is stored under another class", v.Class, v.Value)
		}
	}
	for value := range found {
		c.fail(Poisoned, none, "a poison record holds %x, which nobody sent", value)
	}
}

// refused looks at the poison record of a click that the database refused.
func (c *checker) refused(row *PoisonRow, letters int) {
	var whole click.Click
	err := click.DecodeClick(row.Value, &whole)
	switch {
	case err != nil || whole.EventID != row.Event || whole.Ingest != row.Ingest || whole.Country != unstorable:
		c.fail(Poisoned, row.Event, "its poison record, %s, is not the click as it was sent: %v", row.At, err)
	case row.Class != refusedClass(row.Event):
		c.fail(Poisoned, row.Event, "its poison record is of class %q, want %q", row.Class, refusedClass(row.Event))
	case letters != 1:
		c.fail(Poisoned, row.Event, "%d dead letters stand for its poison record, %s", letters, row.At)
	}
	c.of(row.Event, row.Event, row.Ingest).poison++
	if e := c.entries[row.Event]; e == nil || e.Kind != Unstorable {
		c.fail(Phantom, row.Event, "is stored as poison by %v, and nobody sent it to be refused", row.Ingest)
	}
}
