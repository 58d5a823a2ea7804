package aggregate_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
	"clickgate/scoring/givt"

	"github.com/google/go-cmp/cmp"
)

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
)

var lists = sync.OnceValues(givt.Embedded)

// desk is a store, a closer and a clock.
type desk struct {
	testing.TB
	store  aggregate.Store
	closer *aggregate.Closer
	clock  time.Time
	next   map[aggregate.Partition]aggregate.Claim
	terms  map[string]aggregate.SourceTerms
	number uint64
}

const partitions = 3

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{TB: t, clock: time.UnixMicro(aggregate.TestTime), next: map[aggregate.Partition]aggregate.Claim{}, terms: map[string]aggregate.SourceTerms{}}
	now := func() time.Time { return d.clock }
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), sqlite.Config{Now: now})
	d.must(err)
	t.Cleanup(func() { _ = store.Close() })
	d.must(store.Migrate(t.Context()))
	d.store = store
	d.closer = d.newCloser("one", aggregate.DefaultConfig().Close)
	return d
}

func (d *desk) newCloser(owner string, cfg aggregate.CloseConfig, change ...func(*aggregate.CloserDependencies)) *aggregate.Closer {
	d.Helper()
	c := scoring.DefaultConfig()
	c.MaxKeys = 4096
	judge, err := scoring.NewJudge(c, nil, nil)
	d.must(err)
	if cfg.Batch == aggregate.DefaultConfig().Close.Batch {
		cfg.Batch = 7 // so that small hours have borders of batches
	}
	dep := aggregate.CloserDependencies{
		Store: d.store, Judge: judge, Owner: owner, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return d.clock },
		Terms: func(_, source string) aggregate.SourceTerms {
			if terms, ok := d.terms[source]; ok {
				return terms
			}
			return aggregate.SourceTerms{Grace: 15 * minute}
		},
	}
	for _, f := range change {
		f(&dep)
	}
	closer, err := aggregate.NewCloser(cfg, dep)
	d.must(err)
	return closer
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func partitionOf(n int32) aggregate.Partition {
	return aggregate.Partition{ClusterID: "c", TopicID: [16]byte{1}, Topic: stream.ClicksTopic, Number: n}
}

// apply stores one batch.
func (d *desk) apply(p aggregate.Partition, rows []aggregate.ClickRow, marks ...click.Mark) {
	d.Helper()
	c, ok := d.next[p]
	if !ok {
		var err error
		c, err = d.store.Claim(d.Context(), p, "test")
		d.must(err)
	}
	b := &aggregate.Batch{Partition: p, Fence: c.Fence, First: c.Next, Next: c.Next + int64(len(rows)+len(marks)), Clicks: rows, Marks: marks}
	_, err := aggregate.Apply(d.Context(), d.store, b)
	d.must(err)
	d.next[p] = aggregate.Claim{Fence: c.Fence, Next: b.Next}
}

// put stores clicks, each in the partition of its id.
func (d *desk) put(clicks ...*click.Click) {
	d.Helper()
	for p := range int32(partitions) {
		var rows []aggregate.ClickRow
		for _, c := range clicks {
			if int32(c.EventID[15]%partitions) == p {
				rows = append(rows, rowOf(c))
			}
		}
		if len(rows) > 0 {
			d.apply(partitionOf(p), rows)
		}
	}
}

func rowOf(c *click.Click) aggregate.ClickRow {
	row := aggregate.ClickRow{Click: c}
	if c.ClickID.IsZero() {
		row.RepeatKey = aggregate.RepeatKey(c)
	}
	return row
}

// mark lets a gateway speak in every partition at time at.
func (d *desk) mark(gateway string, boot uint64, at int64, change ...func(*click.Mark)) {
	d.Helper()
	d.number++
	m := click.Mark{Gateway: gateway, Boot: boot, Number: d.number, At: at, ClickPartitions: partitions, DeadLetterPartitions: 1}
	for _, f := range change {
		f(&m)
	}
	for p := range int32(partitions) {
		d.apply(partitionOf(p), nil, m)
	}
	d.apply(aggregate.Partition{ClusterID: "c", TopicID: [16]byte{2}, Topic: stream.DeadLettersTopic}, nil, m)
}

// round lets the closer look once.
func (d *desk) round() int {
	d.Helper()
	n, err := d.closer.RunOnce(d.Context())
	d.must(err)
	return n
}

func (d *desk) click(n uint64, at int64, change ...func(*click.Click)) *click.Click {
	c := aggregate.NewClick(n, at, change...)
	c.PlacementID = "place"
	return c
}

// states returns the newest verdict of every click, by event id, and how many have
// another one than they were stored with.
func (d *desk) states() (states map[click.ID]string, changed int) {
	d.Helper()
	states = map[click.ID]string{}
	for _, u := range d.units() {
		for _, c := range d.stored(u.Unit) {
			states[c.EventID] = fmt.Sprint(c.State, c.Reasons.Codes())
			if c.State != c.Verdict.State {
				changed++
			}
		}
	}
	return states, changed
}

func (d *desk) units() []aggregate.ClosedUnit {
	d.Helper()
	units, err := d.store.ClosedUnits(d.Context(), aggregate.BillingQuery{})
	d.must(err)
	return units
}

// stored reads a unit's clicks, late ones left out.
func (d *desk) stored(u aggregate.Unit) (out []aggregate.StoredClick) {
	d.Helper()
	fence, err := d.store.Lease(d.Context(), u, "reader", 0)
	d.must(err)
	d.must(d.store.InClosing(d.Context(), u, fence, func(tx aggregate.ClosingTx) (err error) {
		out, err = tx.UnitClicks(d.Context(), u, false, aggregate.ClickPosition{}, 100_000)
		return err
	}))
	return out
}

// balanced demands that nothing is lost, doubled or unexplained.
func (d *desk) balanced() {
	d.Helper()
	l, err := d.store.Ledger(d.Context(), aggregate.LedgerQuery{})
	d.must(err)
	for _, x := range l.Totals {
		if x.Rows != x.Minutes {
			d.Errorf("%s %s %v: %d rows, %d in minute counts", x.TenantID, x.SourceID, x.State, x.Rows, x.Minutes)
		}
	}
	if len(l.Closed) > 0 {
		d.Errorf("closed hours and adjustments do not explain the minute counts: %+v", l.Closed)
	}
}

// state returns the newest verdict of one click.
func (d *desk) state(c *click.Click) aggregate.StoredClick {
	d.Helper()
	got, ok, err := d.store.ClickOf(d.Context(), c.TenantID, c.EventID)
	d.must(err)
	if !ok {
		d.Fatalf("click %s is not stored", c.EventID)
	}
	return got
}

func source(id string) func(*click.Click) { return func(c *click.Click) { c.SourceID = id } }
func token(n byte) func(*click.Click) {
	return func(c *click.Click) { c.ClickID = click.ID{0: 0xee, 15: n} }
}

func person(n byte) func(*click.Click) { return func(c *click.Click) { c.IPKey = click.Key{n} } }

// ended puts the clock and the gateways' marks well behind every hour.
func (d *desk) ended(at int64) {
	d.Helper()
	d.clock = time.UnixMicro(at)
	d.mark("eu/g1", 7, at)
}

// TestDoubleClickAtTheBorder: 1,999 ms apart is a double click, 2,000 ms and more
// is not; with a token the second is a repeat whatever the distance. The clicks come
// through two gateways and arrive in the wrong order.
func TestDoubleClickAtTheBorder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		apart     int64
		withToken bool
		want      string
	}{
		{1_999_000, false, "duplicate [DOUBLE_CLICK]"},
		{1_999_999, false, "duplicate [DOUBLE_CLICK]"},
		{2_000_000, false, "valid []"},
		{2_001_000, false, "valid []"},
		{1_999_000, true, "duplicate [DOUBLE_CLICK]"},
		{2_000_000, true, "duplicate [REPEAT]"},
		{2_001_000, true, "duplicate [REPEAT]"},
	} {
		t.Run(fmt.Sprint(c.apart, c.withToken), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			with := []func(*click.Click){person(1)}
			if c.withToken {
				with = append(with, token(1))
			}
			// The pair lies on both sides of an hour's border.
			first := d.click(1, aggregate.TestTime+hour-second, with...)
			other := d.click(2, first.EventTime+c.apart, append(with, func(c *click.Click) { c.Ingest.Gateway = "eu/g2" })...)
			d.put(other)
			d.put(first)
			d.mark("eu/g2", 9, aggregate.TestTime+3*hour)
			d.ended(aggregate.TestTime + 3*hour)
			if n := d.round(); n != 2 {
				t.Fatalf("%d units closed, want 2", n)
			}
			if got, _ := d.states(); got[first.EventID] != "valid []" || got[other.EventID] != c.want {
				t.Errorf("%s apart: first %s, other %s; want %s", time.Duration(c.apart)*time.Microsecond, got[first.EventID], got[other.EventID], c.want)
			}
			d.balanced()
		})
	}
}

const crowd = 2_000

// TestCrowdBehindOneAddressBills: 2,000 people behind one address, each with a
// click of their own, all bill.
func TestCrowdBehindOneAddressBills(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var clicks []*click.Click
	for i := range crowd {
		c := d.click(uint64(i), aggregate.TestTime+int64(i)*second, func(c *click.Click) {
			c.IPKey, c.AgentKey = click.Key{1}, click.Key{byte(i), byte(i >> 8), 1}
			c.ClickID = click.ID{0: 0xee, 14: byte(i >> 8), 15: byte(i)}
			c.Verdict.VectorVersion = scoring.VectorVersion
		})
		clicks = append(clicks, c)
	}
	cfg := aggregate.DefaultConfig().Close
	cfg.Batch = 300
	d.closer = d.newCloser("one", cfg)
	d.put(clicks...)
	d.ended(aggregate.TestTime + 2*hour)
	if n := d.round(); n != 1 {
		t.Fatalf("%d units closed", n)
	}
	bill, err := d.store.Billing(t.Context(), aggregate.BillingQuery{})
	d.must(err)
	if len(bill) != 1 || bill[0].Counts[click.Valid] != crowd || bill[0].Provisional || bill[0].CostMicros != crowd*250_000 {
		t.Errorf("bill %+v", bill)
	}
}

// TestSameClickByAnotherPath: what one source billed, another does not bill again;
// the source that is due first has it.
func TestSameClickByAnotherPath(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.terms["log"] = aggregate.SourceTerms{Grace: hour}
	log := d.click(1, aggregate.TestTime, token(1), source("log"))
	edge := d.click(2, aggregate.TestTime+5*second, token(1), source("edge"))
	d.put(log)
	d.put(edge)
	d.ended(aggregate.TestTime + 4*hour)
	if n := d.round(); n != 2 {
		t.Fatalf("%d units closed", n)
	}
	got, _ := d.states()
	if got[edge.EventID] != "valid []" || got[log.EventID] != "duplicate [SAME_CLICK]" {
		t.Errorf("edge %s, log %s", got[edge.EventID], got[log.EventID])
	}
	d.balanced()
}

// TestWhatHoldsAnHour: each thing that an hour waits for, and that it closes without.
func TestWhatHoldsAnHour(t *testing.T) {
	t.Parallel()
	const due = hour + 15*minute
	unsent := func(at int64) func(*click.Mark) {
		return func(m *click.Mark) {
			m.Oldest = []click.SourceTime{{TenantID: "acme", SourceID: "shop", OldestUnsent: aggregate.TestTime + at}}
		}
	}
	final := func(m *click.Mark) { m.Final = true }
	for name, c := range map[string]struct {
		now    int64
		setUp  func(*desk)
		closed int
		hold   string
	}{
		"not due":                   {due - 1, func(d *desk) { d.mark("g", 1, aggregate.TestTime+due) }, 0, "due 2026-11-10T13:15:00Z"},
		"due":                       {due, func(d *desk) { d.mark("g", 1, aggregate.TestTime+due) }, 1, ""},
		"no mark at all":            {2 * due, func(*desk) {}, 0, "no gateway has sent a mark"},
		"a mark too old":            {2 * due, func(d *desk) { d.mark("g", 1, aggregate.TestTime+due-1) }, 0, "gateway g: its last mark is of"},
		"unsent clicks of the hour": {2 * due, func(d *desk) { d.mark("g", 1, aggregate.TestTime+2*due, unsent(hour-1)) }, 0, "gateway g: has unsent clicks"},
		"unsent of a later hour":    {2 * due, func(d *desk) { d.mark("g", 1, aggregate.TestTime+2*due, unsent(hour)) }, 1, ""},
		"one of two gateways": {2 * due, func(d *desk) {
			d.mark("g", 1, aggregate.TestTime+2*due)
			d.mark("h", 1, aggregate.TestTime+due-1)
		}, 0, "gateway h: its last mark"},
		"a gateway that said goodbye": {2 * due, func(d *desk) {
			d.mark("g", 1, aggregate.TestTime+2*due)
			d.mark("h", 1, aggregate.TestTime, final)
		}, 1, ""},
		"a retired gateway": {2 * due, func(d *desk) {
			d.mark("g", 1, aggregate.TestTime+2*due)
			d.mark("h", 1, aggregate.TestTime)
			d.must(d.store.RetireGateway(d.Context(), aggregate.Retirement{Gateway: "h", At: aggregate.TestTime + due, Who: "op", Why: "disk lost"}))
		}, 1, ""},
		"a retired gateway that came back": {2 * due, func(d *desk) {
			d.must(d.store.RetireGateway(d.Context(), aggregate.Retirement{Gateway: "h", At: 5, Who: "op", Why: "disk lost"}))
			d.mark("g", 1, aggregate.TestTime+2*due)
			d.mark("h", 6, aggregate.TestTime)
		}, 0, "gateway h: its last mark"},
		"a new start whose mark is not everywhere": {2 * due, func(d *desk) {
			d.mark("g", 1, aggregate.TestTime+2*due)
			m := click.Mark{Gateway: "g", Boot: 2, Number: 1, At: aggregate.TestTime + 2*due, ClickPartitions: partitions, DeadLetterPartitions: 1}
			d.apply(partitionOf(0), nil, m)
		}, 0, "gateway g: no mark of its newest start"},
		"backfill under way": {due, func(d *desk) {
			d.terms["shop"] = aggregate.SourceTerms{Grace: 15 * minute, Backfill: true}
			d.clock = time.UnixMicro(aggregate.TestTime + due - minute)
			d.put(d.click(9, aggregate.TestTime+5))
			d.mark("g", 1, aggregate.TestTime+3*due)
		}, 0, "due "},
		"48 hours": {hour + 48*hour, func(d *desk) { d.mark("g", 1, aggregate.TestTime) }, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.put(d.click(1, aggregate.TestTime+hour-1))
			c.setUp(d)
			d.clock = time.UnixMicro(aggregate.TestTime + c.now)
			plans, err := d.closer.Plan(t.Context())
			d.must(err)
			if len(plans) != 1 || name != "48 hours" && (c.hold == "") != (plans[0].Hold == "") || len(plans[0].Hold) < len(c.hold) || plans[0].Hold[:len(c.hold)] != c.hold {
				t.Errorf("plan %+v, want hold %q", plans, c.hold)
			}
			if n := d.round(); n != c.closed {
				t.Fatalf("%d units closed, want %d", n, c.closed)
			}
			if name == "48 hours" {
				if u := d.units()[0]; u.Forced == "" {
					t.Error("the forced unit does not say why")
				}
			}
		})
	}
}

// TestFutureClickClosesNothing: event times move no mark.
func TestFutureClickClosesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.put(d.click(1, aggregate.TestTime))
	d.put(d.click(2, aggregate.TestTime+80*hour))
	d.mark("g", 1, aggregate.TestTime+minute)
	d.clock = time.UnixMicro(aggregate.TestTime + 2*hour)
	if n := d.round(); n != 0 {
		t.Errorf("%d units closed", n)
	}
}

// TestHeldUnitHoldsTheTenant: units of one tenant close in order; another tenant's
// do not wait.
func TestHeldUnitHoldsTheTenant(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	other := func(c *click.Click) { c.TenantID = "other" }
	d.put(d.click(1, aggregate.TestTime), d.click(2, aggregate.TestTime, source("zoo")), d.click(3, aggregate.TestTime+hour), d.click(4, aggregate.TestTime, other))
	now := aggregate.TestTime + 10*hour
	d.clock = time.UnixMicro(now)
	d.mark("g", 1, now, func(m *click.Mark) {
		m.Oldest = []click.SourceTime{{TenantID: "acme", SourceID: "shop", OldestUnsent: aggregate.TestTime}}
	})
	if n := d.round(); n != 1 || d.units()[0].TenantID != "other" {
		t.Fatalf("%d units closed: %+v", n, d.units())
	}
	plans, err := d.closer.Plan(t.Context())
	d.must(err)
	if len(plans) != 3 || plans[1].SourceID != "zoo" || plans[1].Hold != "waits for source shop hour 2026-11-10T12:00:00Z" {
		t.Errorf("plans %+v", plans)
	}
	d.mark("g", 1, now)
	if n := d.round(); n != 3 {
		t.Errorf("%d units closed after the hold", n)
	}
}

// TestForcedUnitPassesThoseThatWait: a source that brings a click of another old hour
// every hour has a unit that waits at any time, none of them overdue. The tenant's
// ordinary hours close by force all the same, each 48 hours after its end.
func TestForcedUnitPassesThoseThatWait(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.terms["import"] = aggregate.SourceTerms{Grace: 15 * minute, Backfill: true}
	const hours = 3
	for h := range int64(hours) {
		d.put(d.click(uint64(1+h), aggregate.TestTime+h*hour))
	}
	closedAt := map[int64]int64{} // by the shop's hour, from TestTime on
	imported := 0
	for h := int64(1); h < 60; h++ {
		now := aggregate.TestTime + h*hour
		d.clock = time.UnixMicro(now)
		d.mark("g", 1, now)
		d.put(d.click(uint64(100+h), aggregate.TestTime-(400-h)*hour, source("import")))
		d.round()
		imported = 0
		for _, u := range d.units() {
			if u.SourceID == "import" {
				imported++
			} else if _, ok := closedAt[u.Hour]; !ok {
				closedAt[u.Hour] = h
				if want := "48 hours are over: waits for source import"; !strings.HasPrefix(u.Forced, want) {
					t.Errorf("forced %q, want %q", u.Forced, want)
				}
			}
		}
	}
	for h := range int64(hours) {
		if got := closedAt[aggregate.TestTime+h*hour]; got != h+1+48 {
			t.Errorf("hour %d closed %d hours after the first began, want %d", h, got, h+1+48)
		}
	}
	if imported < 50 {
		t.Errorf("only %d imported hours closed", imported)
	}
	d.balanced()
}

// TestFailingUnitHoldsUntilOverdue: a unit that cannot be closed holds the later ones
// of its tenant, and no longer than 48 hours.
func TestFailingUnitHoldsUntilOverdue(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	dear := func(c *click.Click) { c.PriceMicros = math.MaxInt64 }
	d.put(d.click(1, aggregate.TestTime, dear), d.click(2, aggregate.TestTime+minute, dear), d.click(3, aggregate.TestTime+hour))
	for _, c := range []struct {
		after  int64
		closed int
	}{{3 * hour, 0}, {49*hour + 59*minute, 0}, {50 * hour, 1}} {
		d.ended(aggregate.TestTime + c.after)
		if n, err := d.closer.RunOnce(t.Context()); n != c.closed || err == nil {
			t.Errorf("%s after: %d units closed, want %d; error %v", time.Duration(c.after)*time.Microsecond, n, c.closed, err)
		}
	}
	if u := d.units(); len(u) != 1 || u[0].Hour != aggregate.TestTime+hour || u[0].Forced == "" {
		t.Errorf("closed %+v", u)
	}
}

// TestSuspectsEndAtClose: a suspect is invalid when its hour closes, or valid below
// the bound.
func TestSuspectsEndAtClose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		below, score float64
		want         click.State
	}{{0, 0.2, click.SIVT}, {0.3, 0.2, click.Valid}, {0.3, 0.3, click.SIVT}} {
		d := newDesk(t)
		cfg := aggregate.DefaultConfig().Close
		cfg.SuspectValidBelow = c.below
		d.closer = d.newCloser("one", cfg)
		x := d.click(1, aggregate.TestTime, func(x *click.Click) {
			x.Verdict = click.Verdict{State: click.Suspect, Score: c.score, Reasons: click.Reasons(0).Set(click.ReasonRateIP)}
		})
		d.put(x)
		d.ended(aggregate.TestTime + 2*hour)
		d.round()
		if got := d.state(x); got.State != c.want || got.Verdict.State != click.Suspect || got.Revision != 1 {
			t.Errorf("below %v with score %v: %v after %d revisions, stored %v", c.below, c.score, got.State, got.Revision, got.Verdict.State)
		}
		d.balanced()
	}
}

// TestUnscoredHoldsTheHour until it is forced; then nobody can judge the click.
func TestUnscoredHoldsTheHour(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	x := d.click(1, aggregate.TestTime, func(x *click.Click) { x.Verdict.State = click.Unscored })
	d.put(x)
	d.ended(aggregate.TestTime + 2*hour)
	if n, err := d.closer.RunOnce(t.Context()); n != 0 || err == nil {
		t.Fatalf("%d units closed, error %v", n, err)
	}
	d.ended(aggregate.TestTime + 60*hour)
	if n := d.round(); n != 1 || d.state(x).State != click.Undecidable || d.units()[0].Forced == "" {
		t.Errorf("%d closed, state %v, units %+v", n, d.state(x).State, d.units())
	}
	d.balanced()
}

// history is what really happened, whoever saw it.
type history struct {
	clicks []*click.Click
	sig    map[click.ID]click.Signals
}

const browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Safari/537.36"

// newHistory draws two hours of ordinary people, a flood over the hour's border,
// double clicks, repeats over hours and copies by another path.
func newHistory(rng *rand.Rand) *history {
	h := &history{sig: map[click.ID]click.Signals{}}
	n := uint64(0)
	add := func(at int64, ip netip.Addr, agent string, change ...func(*click.Click)) {
		n++
		b := ip.As16()
		c := aggregate.NewClick(n, at, append([]func(*click.Click){func(c *click.Click) {
			c.IPKey, c.AgentKey, c.PlacementID = click.Key(b), click.Key{byte(len(agent)), agent[len(agent)-1]}, "place"
			c.Verdict, c.EventID[14] = click.Verdict{}, byte(rng.Uint32())
		}}, change...)...)
		c.IDTime = c.EventID.Time()
		h.clicks = append(h.clicks, c)
		h.sig[c.EventID] = click.Signals{IP: ip, UserAgent: agent}
	}
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, byte(113 + i/250), byte(i%250 + 1)}) }
	start := aggregate.TestTime + 48*minute
	for m := range int64(24) {
		for p := range 22 + rng.IntN(6) {
			at := start + m*minute + rng.Int64N(minute)
			switch x := rng.IntN(20); {
			case x == 0: // a double click, or nearly one
				add(at, addr(p), browser)
				add(at+1_999_000+rng.Int64N(2_000), addr(p), browser)
			case x == 1: // the same opportunity again, perhaps in the next hour
				id := token(byte(rng.Uint32()))
				add(at, addr(p), browser, id)
				add(at+rng.Int64N(40*minute), addr(p), browser, id)
			case x == 2: // the same click in a log
				own := click.ID{0: 0xdd, 13: byte(n >> 8), 15: byte(n)}
				id := func(c *click.Click) { c.ClickID = own }
				add(at, addr(p), browser, id)
				add(at, addr(p), browser, id, source("log"))
			case x == 3:
				add(at, addr(p), "Googlebot/2.1 (+http://www.google.com/bot.html)")
			default:
				add(at, addr(p), browser)
			}
		}
	}
	flooder := netip.MustParseAddr("198.51.100.7")
	for i := range int64(250) {
		add(aggregate.TestTime+hour-minute+i*second/3, flooder, browser)
	}
	return h
}

// play sends the history through gateways with scorers of their own, in an order of
// arrival of its own, with copies and redeliveries, and closes everything.
func (h *history) play(d *desk, rng *rand.Rand, gateways int, delay int64) {
	scorers := make([]*scoring.Scorer, gateways)
	for i := range scorers {
		l, err := lists()
		d.must(err)
		cfg := scoring.DefaultConfig()
		cfg.MaxKeys = 4096
		if scorers[i], err = scoring.New(cfg, l, rng.Uint64(), nil); err != nil {
			d.Fatal(err)
		}
	}
	type arrival struct {
		at int64
		c  *click.Click
		g  int
	}
	var order []arrival
	for _, c := range h.clicks {
		copied := *c
		order = append(order, arrival{c.EventTime + rng.Int64N(delay+1), &copied, rng.IntN(gateways)})
	}
	slices.SortFunc(order, func(a, b arrival) int { return int(a.at - b.at) })
	var batch []*click.Click
	for i, a := range order {
		sig := h.sig[a.c.EventID]
		scorers[a.g].Score(a.c, &sig)
		a.c.ReceivedAt, a.c.Ingest = a.at, click.IngestID{Gateway: fmt.Sprintf("g%d", a.g), Boot: 1, Seq: uint64(i + 1)}
		batch = append(batch, a.c)
		if rng.IntN(10) == 0 { // our own copy, or the sender's
			again := *a.c
			again.Ingest.Seq += uint64(rng.IntN(2)) * 1_000_000
			batch = append(batch, &again)
		}
		if rng.IntN(150) == 0 {
			d.put(batch...)
			batch = nil
		}
	}
	d.put(batch...)
	end := aggregate.TestTime + 6*hour
	d.clock = time.UnixMicro(end)
	for g := range gateways {
		d.mark(fmt.Sprintf("g%d", g), 1, end)
	}
	if n := d.round(); n < 3 {
		d.Fatalf("%d units closed", n)
	}
}

// TestArrivalChangesNothing: one gateway, three gateways, shuffled arrival and a
// spool's delay give equal final verdicts and equal hashes.
func TestArrivalChangesNothing(t *testing.T) {
	t.Parallel()
	runs := 0
	for range 2 { // each plays three whole worlds
		seed := rand.Uint64()
		h := newHistory(rand.New(rand.NewPCG(seed, 1)))
		type result struct {
			states map[click.ID]string
			units  []aggregate.ClosedUnit
		}
		var first result
		changed := 0
		for i, way := range []struct {
			gateways int
			delay    int64
		}{{1, 0}, {3, 2 * second}, {3, 40 * minute}} {
			runs++
			d := newDesk(t)
			cfg := aggregate.DefaultConfig().Close
			cfg.Batch = 97
			d.closer = d.newCloser("one", cfg)
			rng := rand.New(rand.NewPCG(seed, uint64(i)+2))
			h.play(d, rng, way.gateways, way.delay)
			d.balanced()
			states, n := d.states()
			got := result{states, d.units()}
			changed += n
			for j := range got.units {
				got.units[j].ClosedAt = 0
			}
			if i == 0 {
				first = got
				continue
			}
			if diff := cmp.Diff(first, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Fatalf("seed %d: %d gateways with delays to %s give something else (-one gateway +these):\n%s",
					seed, way.gateways, time.Duration(way.delay)*time.Microsecond, diff)
			}
		}
		demandActivity(t, first.states, changed)
	}
	if runs != 6 {
		t.Errorf("%d worlds were played", runs)
	}
}

// demandActivity: a history in which nothing happened proves nothing.
func demandActivity(t testing.TB, states map[click.ID]string, changed int) {
	kinds := map[string]int{}
	for _, s := range states {
		kinds[s]++
	}
	for _, want := range []string{"valid []", "sivt [RATE_IP_AGENT FLOOD_TAIL]", "sivt [FLOOD_TAIL]", "duplicate [DOUBLE_CLICK]", "duplicate [REPEAT]", "duplicate [SAME_CLICK]", "givt [CRAWLER CRAWLER_SPOOFED]"} {
		if kinds[want] < 3 {
			t.Fatalf("only %d clicks end as %s; there are %v", kinds[want], want, slices.Sorted(maps.Keys(kinds)))
		}
	}
	if changed < 20 {
		t.Fatalf("the second pass changed only %d verdicts", changed)
	}
}
