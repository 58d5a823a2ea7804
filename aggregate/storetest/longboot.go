package storetest

import (
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// markCounts: counts of hours that are over are kept, each at its greatest,
// whatever the order, within a batch and across; the present hour is not.
func markCounts(e *env) {
	now := base - base%hour
	mark := func(number uint64, counts ...uint64) click.Mark { // of the hours before now, newest first
		m := newMark(number, 1)
		for i, n := range counts {
			m.Counts = append(m.Counts, click.SourceCount{
				TenantID: "acme", SourceID: "shop", Hour: now - int64(i+1)*hour,
				Received: n, Shed: 100 - n, Unrecorded: 7,
			})
		}
		return m
	}
	put := func(p aggregate.Partition, ms ...click.Mark) {
		b := e.batch(p)
		b.Marks = ms
		e.apply(b)
	}
	otherBoot := mark(1, 9)
	otherBoot.Boot++
	put(partition(0), mark(2, 20, 50), mark(1, 10, 60))
	put(partition(0), mark(3, 15), otherBoot)
	put(partition(1), mark(3, 30, 40, 5))
	put(partition(1)) // a batch without marks

	count := func(boot uint64, ago int64, received, shed uint64) aggregate.BootCount {
		return aggregate.BootCount{Gateway: testGateway, Boot: boot, SourceCount: click.SourceCount{
			TenantID: "acme", SourceID: "shop", Hour: now - ago*hour, Received: received, Shed: shed, Unrecorded: 7,
		}}
	}
	want := []aggregate.BootCount{
		count(testBoot, 3, 5, 95), count(testBoot, 2, 60, 60), count(testBoot, 1, 30, 90),
		count(testBoot+1, 1, 9, 91),
	}
	for _, c := range []struct {
		q    aggregate.LedgerQuery
		want []aggregate.BootCount
	}{
		{aggregate.LedgerQuery{}, want},
		{aggregate.LedgerQuery{TenantID: "acme"}, want},
		{aggregate.LedgerQuery{TenantID: "acmf"}, nil},
		{aggregate.LedgerQuery{From: now - 2*hour, To: now - hour}, want[1:2]},
		{aggregate.LedgerQuery{From: now - 3*hour + 1, To: now - hour + 1}, want[1:]},
	} {
		l, err := e.store.Ledger(e.ctx(), c.q)
		e.must(err)
		if diff := cmp.Diff(c.want, l.Counts); diff != "" {
			e.Errorf("counts of %+v (-want +got):\n%s", c.q, diff)
		}
		equal(e, "query of the ledger", l.Query, c.q)
	}
	equal(e, "rows", e.count("SELECT count(*) FROM mark_counts"), 6)
}

// clerk is the gateway's side of a boot: it counts what it hands out, and its
// marks forget old hours as a gateway's do.
type clerk struct {
	seq, number uint64
	kept, all   map[click.SourceCount]*click.SourceCount // by tenant, source and hour
}

func newClerk() *clerk {
	return &clerk{kept: map[click.SourceCount]*click.SourceCount{}, all: map[click.SourceCount]*click.SourceCount{}}
}

// count adds to the book, and to the one that forgets nothing.
func (c *clerk) count(tenant, source string, at int64, add func(*click.SourceCount)) {
	k := click.SourceCount{TenantID: tenant, SourceID: source, Hour: at - at%hour}
	for _, book := range []map[click.SourceCount]*click.SourceCount{c.kept, c.all} {
		if book[k] == nil {
			n := k
			book[k] = &n
		}
		add(book[k])
	}
}

// received counts an event and returns its sequence.
func (c *clerk) received(tenant string, at int64) uint64 {
	c.count(tenant, "shop", at, func(n *click.SourceCount) { n.Received++ })
	c.seq++
	return c.seq
}

func (c *clerk) mark(now int64) click.Mark {
	c.number++
	m := newMark(c.number, c.seq)
	m.At, m.Counts = now, nil
	for k, n := range c.kept {
		m.Counts = append(m.Counts, *n)
		if k.Hour < now-now%hour-click.MarkHours*hour {
			delete(c.kept, k)
		}
	}
	return m
}

const longHours = 10

// longBoot: a gateway runs for ten hours, and every hour of it balances, at each
// hour's end and at the boot's, for everyone and for each part that can be asked
// for. One partition always has one mark less than the others.
func longBoot(e *env) {
	c, start := newClerk(), base-base%hour-(longHours-2)*hour
	var behind []click.Mark
	for i := range int64(longHours) {
		e.longHour(c, start+i*hour, i)
		for _, at := range []int64{start + i*hour + 10*minute, start + i*hour + 50*minute} {
			m := c.mark(at)
			e.putMarks(partition(0), m)
			e.putMarks(letterPartition(0), m)
			e.putMarks(partition(1), behind...)
			behind = []click.Mark{m}
		}
		r := e.reconcile(aggregate.LedgerQuery{})
		if len(r.Hours) < int(i) {
			e.Errorf("hour %d: only %d accounts", i, len(r.Hours))
		}
	}
	last := c.mark(start + longHours*hour - minute)
	last.Final = true
	for _, p := range []aggregate.Partition{partition(1), partition(0), letterPartition(0)} {
		e.putMarks(p, append(slices.Clone(behind), last)...)
	}
	e.wantBook(c, aggregate.LedgerQuery{}, 15)
	e.wantBook(c, aggregate.LedgerQuery{TenantID: "acme"}, 10)
	e.wantBook(c, aggregate.LedgerQuery{TenantID: "acmf"}, 5)
	e.wantBook(c, aggregate.LedgerQuery{From: start + 2*hour, To: start + 4*hour}, 3)
	e.wantBook(c, aggregate.LedgerQuery{From: start + hour + 1, To: start + 3*hour + 1}, 3)
	e.wantBook(c, aggregate.LedgerQuery{TenantID: "acmf", From: start + 7*hour}, 2)
	e.wantBook(c, aggregate.LedgerQuery{TenantID: "nobody"}, 0)
	if carried := len(last.Counts); carried == 0 || carried > 2*(click.MarkHours+2) {
		e.Errorf("the last mark carries %d of %d counts; the case proves nothing", carried, len(c.all))
	}
}

// longHour brings one hour's events: clicks, a redelivery, a dead letter in every
// third hour, a second tenant in every other, and some that were refused.
func (e *env) longHour(c *clerk, at, i int64) {
	e.Helper()
	row := func(name string) aggregate.ClickRow {
		return newRow(c.received(name, at), at, tenant(name))
	}
	first := row("acme")
	e.put(first, row("acme"), again(first, c.received("acme", at)))
	rows := []aggregate.ClickRow{row("acme")}
	if i%2 == 1 {
		rows = append(rows, row("acmf"), row("acmf"))
	}
	e.apply(e.batch(partition(1), rows...))
	if i%3 == 0 {
		b := e.batch(letterPartition(0))
		b.DeadLetters = []aggregate.DeadLetterRow{newLetter(c.received("acme", at), at)}
		e.apply(b)
	}
	c.count("acme", "shop", at, func(n *click.SourceCount) { n.Shed, n.Unrecorded = uint64(i), 2 })
}

func (e *env) putMarks(p aggregate.Partition, marks ...click.Mark) {
	e.Helper()
	b := e.batch(p)
	b.Marks = marks
	e.apply(b)
}

// reconcile demands that the books balance.
func (e *env) reconcile(q aggregate.LedgerQuery) *aggregate.Reconciliation {
	e.Helper()
	l, err := e.store.Ledger(e.ctx(), q)
	e.must(err)
	r := aggregate.Reconcile(&l)
	if r.Broken {
		e.Fatalf("%+v: the books do not balance: hours %+v, boots %+v, totals %+v", q, r.Hours, r.Boots, r.Totals)
	}
	return r
}

// wantBook demands the clerk's whole book, in the part that q selects, which has
// the given number of accounts.
func (e *env) wantBook(c *clerk, q aggregate.LedgerQuery, accounts int) {
	e.Helper()
	r := e.reconcile(q)
	equal(e, "number of accounts", len(r.Hours), accounts)
	for _, h := range r.Hours {
		n := c.all[click.SourceCount{TenantID: h.TenantID, SourceID: h.SourceID, Hour: h.Hour}]
		if n == nil || uint64(h.Received) != n.Received || uint64(h.Shed) != n.Shed || uint64(h.Unrecorded) != n.Unrecorded ||
			h.Tail != 0 || h.Difference != 0 {
			e.Errorf("%+v: account %+v, the gateway's book says %+v", q, h, n)
		}
	}
	if len(r.Boots) != 1 || uint64(r.Boots[0].Stored) != c.seq || !r.Boots[0].Final {
		e.Errorf("%+v: boots %+v, want one with %d events, final", q, r.Boots, c.seq)
	}
}
