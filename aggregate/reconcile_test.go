package aggregate

import (
	"testing"

	"clickgate/gateway/click"

	"github.com/google/go-cmp/cmp"
)

// books is a ledger under construction: one boot with one partition of each
// topic, and its rows.
type books struct {
	l    Ledger
	mark click.Mark
}

// newBooks have a mark through sequence 10 that counts 9 events in the hour of
// testTime and one void sequence, and rows for all of them.
func newBooks() *books {
	b := &books{mark: newMark(5, 10)}
	b.mark.Void = 1
	b.mark.Counts = []click.SourceCount{{TenantID: "acme", SourceID: "shop", Hour: testTime, Received: 9, Shed: 4, Unrecorded: 2}}
	b.l.Rows = []RowCount{b.row(0, click.Malformed, 1, 0), b.row(0, click.Redelivered, 2, 0), b.row(0, click.Valid, 6, 0)}
	b.l.Boots = []BootRows{{Gateway: "eu/g1", Boot: 7, Proven: 9, MaxSeq: 10}}
	return b
}

func (b *books) row(hours int64, s click.State, proven, tail int64) RowCount {
	return RowCount{"acme", "shop", testTime + hours*hour, "eu/g1", 7, s, proven, tail}
}

func (b *books) reconcile(totals ...Total) *Reconciliation {
	b.l.Marks = []StoredMark{{clicksPartition(0), b.mark}, {lettersPartition(0), b.mark}}
	b.l.Totals = totals
	return Reconcile(&b.l)
}

// wanted is what the books above come to.
func wanted() (HourAccount, BootAccount) {
	return HourAccount{
			TenantID: "acme", SourceID: "shop", Hour: testTime, Received: 9, Shed: 4, Unrecorded: 2,
			ByState: [click.NumStates]int64{click.Malformed: 1, click.Redelivered: 2, click.Valid: 6},
		},
		BootAccount{Gateway: "eu/g1", Boot: 7, ThroughSeq: 10, Void: 1, Stored: 9}
}

// TestReconcile: each way in which books can differ shows where it should, and
// what is no difference does not.
func TestReconcile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*books)
		want   func(*HourAccount, *BootAccount)
		broken bool
	}{
		"balanced": {func(*books) {}, func(*HourAccount, *BootAccount) {}, false},
		"final":    {func(b *books) { b.mark.Final = true }, func(_ *HourAccount, b *BootAccount) { b.Final = true }, false},
		"a row is lost": {
			func(b *books) { b.l.Rows[2].Proven--; b.l.Boots[0].Proven-- },
			func(h *HourAccount, b *BootAccount) {
				h.ByState[click.Valid], h.Difference, b.Stored, b.Missing = 5, 1, 8, 1
			}, true,
		},
		"a row is double": {
			func(b *books) { b.l.Rows[2].Proven++; b.l.Boots[0].Proven++ },
			func(h *HourAccount, b *BootAccount) {
				h.ByState[click.Valid], h.Difference, b.Stored, b.Missing = 7, -1, 10, -1
			}, true,
		},
		"one lost and one double in another hour": {
			func(b *books) { b.l.Rows[2].Proven--; b.mark.Counts[0].Received-- },
			func(h *HourAccount, _ *BootAccount) { h.Received, h.ByState[click.Valid] = 8, 5 }, false,
		},
		"a void sequence was not counted": {
			func(b *books) { b.mark.Void = 0 },
			func(_ *HourAccount, b *BootAccount) { b.Void, b.Missing = 0, 1 }, true,
		},
		"a tail": {
			func(b *books) { b.l.Rows[2].Tail, b.l.Boots[0].Tail, b.l.Boots[0].MaxSeq = 3, 3, 13 },
			func(h *HourAccount, b *BootAccount) {
				h.Received, h.Tail, h.ByState[click.Valid], b.Tail = 12, 3, 9, 3
			}, false,
		},
		"a tail with gaps": {
			func(b *books) { b.l.Rows[2].Tail, b.l.Boots[0].Tail, b.l.Boots[0].MaxSeq = 3, 3, 20 },
			func(h *HourAccount, b *BootAccount) {
				h.Received, h.Tail, h.ByState[click.Valid], b.Tail, b.Unknown = 12, 3, 9, 3, 7
			}, false,
		},
		"the gateway counted no row": {
			func(b *books) { b.mark.Counts[0].Received = 8 },
			func(h *HourAccount, _ *BootAccount) { h.Received, h.Difference = 8, -1 }, true,
		},
		"nothing stored": {
			func(b *books) { b.l.Rows, b.l.Boots = nil, nil },
			func(h *HourAccount, b *BootAccount) {
				h.ByState, h.Difference, b.Stored, b.Missing = [click.NumStates]int64{}, 9, 0, 9
			}, true,
		},
	} {
		b := newBooks()
		c.change(b)
		hour, boot := wanted()
		c.want(&hour, &boot)
		want := &Reconciliation{Hours: []HourAccount{hour}, Boots: []BootAccount{boot}, Broken: c.broken}
		if diff := cmp.Diff(want, b.reconcile(Total{TenantID: "acme", Rows: 3, Minutes: 3})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestReconcileUnproven: rows of a boot that no mark proves vouch for themselves.
func TestReconcileUnproven(t *testing.T) {
	t.Parallel()
	b := newBooks()
	b.l.Rows = []RowCount{b.row(0, click.Valid, 0, 6)}
	b.l.Boots = []BootRows{{Gateway: "eu/g1", Boot: 7, Tail: 6, MaxSeq: 8}}
	b.l.Counts = []BootCount{{"eu/g1", 7, click.SourceCount{TenantID: "acme", SourceID: "shop", Hour: testTime - 9*hour, Received: 1}}}
	got := Reconcile(&b.l)
	want := &Reconciliation{
		Hours: []HourAccount{{
			TenantID: "acme", SourceID: "shop", Hour: testTime, Received: 6, Tail: 6,
			ByState: [click.NumStates]int64{click.Valid: 6},
		}},
		Boots: []BootAccount{{Gateway: "eu/g1", Boot: 7, Tail: 6, Unknown: 2}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unproven boot (-want +got):\n%s", diff)
	}
}

// TestReconcileTotals: a difference of rows and minute counts breaks the books,
// unless it is another tenant's than was asked for.
func TestReconcileTotals(t *testing.T) {
	t.Parallel()
	equal := Total{"acme", "shop", click.Valid, 6, 6}
	differ := Total{"acmf", "shop", click.Valid, 6, 5}
	for _, c := range []struct {
		tenant string
		want   []Total
	}{{"", []Total{differ}}, {"acmf", []Total{differ}}, {"acme", nil}} {
		b := newBooks()
		b.l.Query.TenantID = c.tenant
		if c.tenant == "acmf" {
			b.l.Rows = nil // as the store cuts them
		}
		got := b.reconcile(equal, differ)
		if diff := cmp.Diff(c.want, got.Totals); diff != "" || got.Broken != (c.want != nil) {
			t.Errorf("tenant %q: broken %v, totals (-want +got):\n%s", c.tenant, got.Broken, diff)
		}
	}
}

// TestReconcileClosed: a closed hour that its adjustments do not explain breaks the
// books of those who ask for it.
func TestReconcileClosed(t *testing.T) {
	t.Parallel()
	off := ClosedDifference{Unit: Unit{"acmf", "shop", testTime}, CampaignID: "camp", Currency: "EUR", Clicks: 1, Micros: 5}
	for _, c := range []struct {
		q      LedgerQuery
		broken bool
	}{
		{LedgerQuery{}, true},
		{LedgerQuery{TenantID: "acmf"}, true},
		{LedgerQuery{TenantID: "acme"}, false},
		{LedgerQuery{From: testTime, To: testTime + hour}, true},
		{LedgerQuery{From: testTime + hour}, false},
	} {
		got := Reconcile(&Ledger{Query: c.q, Closed: []ClosedDifference{off}})
		if got.Broken != c.broken || (len(got.Closed) == 1) != c.broken {
			t.Errorf("%+v: broken %v with %d differences", c.q, got.Broken, len(got.Closed))
		}
	}
}

// TestReconcileKeptCounts: kept counts stand in for what the proven mark carries
// no more, and for nothing else.
func TestReconcileKeptCounts(t *testing.T) {
	t.Parallel()
	const old, horizon = -click.MarkHours - 1, -click.MarkHours
	for name, c := range map[string]struct {
		tenant  string
		boot    uint64
		hours   int64
		carried bool
		want    int64 // received in that hour
	}{
		"an old hour":               {"acme", 7, old, false, 5},
		"a very old hour":           {"acme", 7, 100 * old, false, 5},
		"carried still":             {"acme", 7, old, true, 3},
		"within the mark's hours":   {"acme", 7, horizon, false, 0},
		"a later mark's hour":       {"acme", 7, 0, false, 9}, // the mark's own count
		"another boot, not proven":  {"acme", 8, old, false, 0},
		"another tenant's old hour": {"acmf", 7, old, false, 5},
	} {
		b := newBooks()
		b.mark.At = testTime + 59*minute
		count := click.SourceCount{TenantID: c.tenant, SourceID: "shop", Hour: testTime + c.hours*hour, Received: 5, Shed: 1}
		b.l.Counts = []BootCount{{"eu/g1", c.boot, count}}
		if c.carried {
			count.Received = 3
			b.mark.Counts = append(b.mark.Counts, count)
		}
		got := int64(0)
		for _, h := range b.reconcile().Hours {
			if h.TenantID == c.tenant && h.Hour == count.Hour {
				got = h.Received
			}
		}
		if got != c.want {
			t.Errorf("%s: received %d, want %d", name, got, c.want)
		}
	}
}

// TestReconcileQuery: counts of marks outside the query are left out as the store
// leaves rows out, and boots stay whole.
func TestReconcileQuery(t *testing.T) {
	t.Parallel()
	type key struct {
		tenant string
		hours  int64
	}
	for name, c := range map[string]struct {
		q    LedgerQuery
		want []key
	}{
		"all":            {LedgerQuery{}, []key{{"acme", -5}, {"acme", -1}, {"acme", 0}, {"acmf", -1}, {"acmf", 0}}},
		"tenant":         {LedgerQuery{TenantID: "acmf"}, []key{{"acmf", -1}, {"acmf", 0}}},
		"from":           {LedgerQuery{From: testTime}, []key{{"acme", 0}, {"acmf", 0}}},
		"from a minute":  {LedgerQuery{From: testTime - hour + minute}, []key{{"acme", 0}, {"acmf", 0}}},
		"to":             {LedgerQuery{To: testTime}, []key{{"acme", -5}, {"acme", -1}, {"acmf", -1}}},
		"to a minute":    {LedgerQuery{To: testTime - hour + minute}, []key{{"acme", -5}, {"acme", -1}, {"acmf", -1}}},
		"an hour of one": {LedgerQuery{TenantID: "acme", From: testTime - hour, To: testTime}, []key{{"acme", -1}}},
		"none":           {LedgerQuery{From: testTime + hour}, nil},
	} {
		b := newBooks()
		b.mark.Counts, b.l.Rows, b.l.Query = nil, nil, c.q
		count := func(k key) click.SourceCount {
			return click.SourceCount{TenantID: k.tenant, SourceID: "shop", Hour: testTime + k.hours*hour, Received: 2}
		}
		for _, k := range []key{{"acme", -1}, {"acme", 0}, {"acmf", -1}, {"acmf", 0}} {
			b.mark.Counts = append(b.mark.Counts, count(k))
		}
		b.l.Counts = []BootCount{{"eu/g1", 7, count(key{"acme", -5})}}
		for _, k := range c.want { // as the store cuts them
			row := b.row(k.hours, click.Valid, 2, 0)
			row.TenantID = k.tenant
			b.l.Rows = append(b.l.Rows, row)
		}
		r := b.reconcile()
		var got []key
		for _, h := range r.Hours {
			got = append(got, key{h.TenantID, (h.Hour - testTime) / hour})
		}
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(key{})); diff != "" || r.Broken {
			t.Errorf("%s: broken %v, accounts (-want +got):\n%s", name, r.Broken, diff)
		}
		if _, boot := wanted(); len(r.Boots) != 1 || r.Boots[0] != boot {
			t.Errorf("%s: boots %+v, want %+v", name, r.Boots, boot)
		}
	}
}
