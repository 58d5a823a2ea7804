package storetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// History is a reproducible series of batches over three click partitions and
// one dead-letter partition: two tenants, every state, repeats, redeliveries, own
// copies, several currencies, marks, poison.
type History struct {
	Batches []aggregate.Batch // without fences
	ids     []click.ID
	rng     *rand.Rand
	seq     uint64
	sent    []aggregate.ClickRow
	letters []aggregate.DeadLetterRow
	next    map[aggregate.Partition]int64
}

// NewHistory makes a history of the given number of batches.
func NewHistory(seed uint64, batches int) *History {
	h := &History{rng: rand.New(rand.NewPCG(seed, 1)), next: make(map[aggregate.Partition]int64)}
	for i := range batches {
		if i%4 == 3 {
			h.add(h.letterBatch())
		} else {
			h.add(h.clickBatch())
		}
		if i%5 == 4 {
			h.mark()
		}
	}
	h.mark()
	return h
}

// IDs returns the ids of all events, dead letters too.
func (h *History) IDs() []click.ID { return h.ids }

// Sample returns every nth of the ids, for stores that are slow to trace.
func (h *History) Sample(n int) (ids []click.ID) {
	for i := 0; i < len(h.ids); i += n {
		ids = append(ids, h.ids[i])
	}
	return ids
}

// Play claims the partitions and applies all batches.
func (h *History) Play(t testing.TB, store aggregate.Store) []aggregate.Result {
	t.Helper()
	return h.play(t, store, h.Batches)
}

// play is Play for some of the batches, in their order.
func (h *History) play(t testing.TB, store aggregate.Store, batches []aggregate.Batch) []aggregate.Result {
	t.Helper()
	fences := make(map[aggregate.Partition]int64)
	for p := range h.next {
		c, err := store.Claim(t.Context(), p, "history")
		if err != nil {
			t.Fatal(err)
		}
		fences[p] = c.Fence
	}
	results := make([]aggregate.Result, len(batches))
	for i := range batches {
		b := batches[i]
		b.Fence = fences[b.Partition]
		var err error
		if results[i], err = aggregate.Apply(t.Context(), store, &b); err != nil {
			t.Fatalf("batch %d of %v: %v", i, b.Partition, err)
		}
	}
	return results
}

func (h *History) add(b aggregate.Batch) {
	b.First = h.next[b.Partition]
	n := int64(len(b.Clicks) + len(b.DeadLetters) + len(b.Poison) + len(b.Marks))
	b.Next = b.First + n
	for i := range b.Clicks {
		b.Clicks[i].Partition, b.Clicks[i].Offset = b.Partition.Number, b.First+int64(i)
	}
	h.next[b.Partition] = b.Next
	h.Batches = append(h.Batches, b)
}

func (h *History) clickBatch() aggregate.Batch {
	b := aggregate.Batch{Partition: partition(h.rng.Int32N(3))}
	for range 5 + h.rng.IntN(40) {
		b.Clicks = append(b.Clicks, h.copyOrNew())
	}
	if h.rng.IntN(4) == 0 {
		b.Poison = append(b.Poison, aggregate.PoisonRow{
			Partition: b.Partition, Offset: int64(h.seq) + 1e6, Reason: "cannot decode", Key: []byte("k"), Kind: "click",
		})
	}
	return b
}

func (h *History) copyOrNew() aggregate.ClickRow {
	if len(h.sent) > 0 {
		switch h.rng.IntN(10) {
		case 0: // our own copy
			return h.sent[h.rng.IntN(len(h.sent))]
		case 1: // the sender's
			h.seq++
			row := again(h.sent[h.rng.IntN(len(h.sent))], h.seq)
			h.sent = append(h.sent, row)
			return row
		}
	}
	row := h.click()
	h.sent, h.ids = append(h.sent, row), append(h.ids, row.EventID)
	return row
}

var historyStates = [...]click.State{
	click.Valid, click.Valid, click.Valid, click.Valid, click.Valid, click.Valid,
	click.GIVT, click.SIVT, click.Suspect, click.Test, click.Undecidable, click.Unscored,
}

func (h *History) click() aggregate.ClickRow {
	h.seq++
	r := h.rng
	t := base - 2*hour + r.Int64N(4*hour)
	if r.IntN(3) == 0 {
		t = base + r.Int64N(20*second) // a crowd, for double clicks
	}
	return newRow(h.seq, t, func(c *click.Click) {
		c.TenantID = [...]string{"acme", "acmf"}[r.IntN(2)]
		c.SourceID = [...]string{"shop", "cdn", ""}[r.IntN(3)]
		c.CampaignID = fmt.Sprint("camp", r.IntN(3))
		c.PublisherID = fmt.Sprint("pub", r.IntN(2))
		c.IPKey = click.Key{byte(r.IntN(5))}
		c.Verdict.State = historyStates[r.IntN(len(historyStates))]
		c.Verdict.Reasons = click.Reasons(r.Uint64())
		c.Verdict.Score = r.Float64()
		c.PriceMicros = r.Int64N(5_000_000)
		c.Currency = [...]string{"EUR", "USD", "JPY", ""}[r.IntN(4)]
		c.Pricing = click.Pricing(r.IntN(5))
		if r.IntN(2) == 0 {
			c.ClickID = click.ID{1, byte(r.IntN(20))}
		}
		if r.IntN(2) == 0 {
			c.Verdict.VectorVersion = 1
			for i := range c.Verdict.Vector {
				c.Verdict.Vector[i] = r.Float32()
			}
		}
	})
}

func (h *History) letterBatch() aggregate.Batch {
	b := aggregate.Batch{Partition: letterPartition(0)}
	for range 1 + h.rng.IntN(6) {
		if len(h.letters) > 0 && h.rng.IntN(4) == 0 {
			b.DeadLetters = append(b.DeadLetters, h.letters[h.rng.IntN(len(h.letters))])
			continue
		}
		h.seq++
		l := newLetter(h.seq, base+h.rng.Int64N(hour))
		l.TenantID = [...]string{"acme", "acmf"}[h.rng.IntN(2)]
		h.letters, h.ids = append(h.letters, l), append(h.ids, l.LetterID)
		b.DeadLetters = append(b.DeadLetters, l)
	}
	return b
}

// mark puts a mark into every partition; the last records stay unproven.
func (h *History) mark() {
	m := newMark(uint64(len(h.Batches))+1, h.seq-h.seq/4)
	m.ClickPartitions = 3
	for i, tenant := range [...]string{"acme", "acmf"} {
		m.Counts = append(m.Counts, click.SourceCount{
			TenantID: tenant, SourceID: "shop", Hour: base - base%hour - int64(1+i+len(h.Batches)%4)*hour,
			Received: h.seq, Shed: uint64(i), Unrecorded: 3,
		})
	}
	for n := range int32(3) {
		h.add(aggregate.Batch{Partition: partition(n), Marks: []click.Mark{m}})
	}
	h.add(aggregate.Batch{Partition: letterPartition(0), Marks: []click.Mark{m}})
}

// expected counts the events of a history by itself: distinct keys, distinct
// further ingests, distinct letters.
func (h *History) expected() (clicks, redeliveries, letters int64) {
	type copyID struct {
		tenant string
		id     click.IngestID
	}
	first := make(map[aggregate.EventKey]click.IngestID)
	more, dead := make(map[copyID]bool), make(map[copyID]bool)
	for _, b := range h.Batches {
		for _, r := range b.Clicks {
			k := aggregate.KeyOf(r.Click)
			if _, ok := first[k]; !ok {
				first[k] = r.Ingest
			} else if first[k] != r.Ingest {
				more[copyID{r.TenantID, r.Ingest}] = true
			}
		}
		for _, l := range b.DeadLetters {
			dead[copyID{l.TenantID, l.Ingest}] = true
		}
	}
	return int64(len(first)), int64(len(more)), int64(len(dead))
}

// histories: minute counts equal rows, rows equal what was sent, and a second
// store tells the same of the same history.
func histories(e *env) {
	var seen [10]int64
	for seed := range e.opts.Histories {
		h := NewHistory(uint64(seed)+1, 24)
		a, b := e.open(e.T), e.open(e.T)
		h.Play(e, a)
		h.Play(e, b)
		Compare(e, h.Sample(24), a, b)

		states := (&env{T: e.T, store: a}).totals()
		clicks, redeliveries, letters := h.expected()
		equal(e, "redeliveries", states[click.Redelivered], redeliveries)
		equal(e, "dead letters", states[click.Malformed], letters)
		equal(e, "all events", sum(states), clicks+redeliveries+letters)
		for s, n := range states {
			seen[s] += n
		}
		e.provenPart(a)
	}
	for s, n := range seen {
		if n == 0 {
			e.Errorf("no history brought an event of state %v", click.State(s))
		}
	}
}

// provenPart demands that the ledger has events on both sides of its cut, and
// all of them.
func (e *env) provenPart(s aggregate.Store) {
	e.Helper()
	l, err := s.Ledger(e.ctx(), aggregate.LedgerQuery{})
	e.must(err)
	var proven, tail int64
	for _, r := range l.Rows {
		proven, tail = proven+r.Proven, tail+r.Tail
	}
	if proven == 0 || tail == 0 || len(l.Boots) != 1 || l.Boots[0].Proven != proven || l.Boots[0].Tail != tail {
		e.Errorf("ledger has %d proven and %d more rows, boots %+v", proven, tail, l.Boots)
	}
	equal(e, "all ledger rows", proven+tail, sum((&env{T: e.T, store: s}).totals()))
}
