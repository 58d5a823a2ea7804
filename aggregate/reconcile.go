package aggregate

import (
	"cmp"
	"context"
	"slices"

	"clickgate/gateway/click"
)

// Reconciliation compares what the gateways say they took with what is stored.
type Reconciliation struct {
	Hours  []HourAccount
	Boots  []BootAccount
	Totals []Total // where rows and minute counts differ
	Closed []ClosedDifference
	Broken bool // something is lost, doubled or miscounted
}

// HourAccount is the identity of one tenant, source and receipt hour:
// Received = the sum of ByState.
//
// Received is counted by the gateways, independently of the rows, through the
// proven sequence of each boot. Behind it, rows vouch for themselves until the
// next mark (Tail); they count on both sides.
type HourAccount struct {
	TenantID   string
	SourceID   string
	Hour       int64 // Unix microseconds
	Received   int64
	Tail       int64
	ByState    [click.NumStates]int64
	Shed       int64 // refused for load: not received, not billed
	Unrecorded int64 // redirected without a record: not received, not billed
	Difference int64 // Received - sum of ByState; 0 when the identity holds
}

// BootAccount is the sequence account of one gateway boot.
type BootAccount struct {
	Gateway    string
	Boot       uint64
	Final      bool
	ThroughSeq uint64 // proven sequence
	Void       int64  // sequences up to it whose write failed
	Stored     int64  // rows up to it
	Missing    int64  // ThroughSeq - Void - Stored; 0 when nothing is lost or doubled
	Tail       int64  // rows behind it
	Unknown    int64  // gaps behind it: in flight, or lost with an unacknowledged answer
}

// Books reads the ledger that q selects and works out its account.
func Books(ctx context.Context, r Reports, q LedgerQuery) (*Reconciliation, error) {
	ledger, err := r.Ledger(ctx, q)
	if err != nil {
		return nil, err
	}
	return Reconcile(&ledger), nil
}

// Reconcile works out the account of a ledger, of the tenant and hours that were
// asked for; the accounts of boots are always over all. It is a pure function.
func Reconcile(l *Ledger) *Reconciliation {
	proven := Proven(l.Marks)
	r := &Reconciliation{Boots: bootAccounts(l, proven)}
	hours := make(map[hourKey]*HourAccount)
	addMarks(hours, l, proven)
	addRows(hours, l.Rows)
	for _, h := range hours {
		for _, n := range h.ByState {
			h.Difference -= n
		}
		h.Difference += h.Received
		r.Hours = append(r.Hours, *h)
		r.Broken = r.Broken || h.Difference != 0
	}
	for _, b := range r.Boots {
		r.Broken = r.Broken || b.Missing != 0
	}
	for _, t := range l.Totals {
		if t.Rows != t.Minutes && l.Query.of(t.TenantID) {
			r.Totals = append(r.Totals, t)
		}
	}
	for _, c := range l.Closed {
		if l.Query.has(c.TenantID, c.Hour) {
			r.Closed = append(r.Closed, c)
		}
	}
	r.Broken = r.Broken || len(r.Totals) > 0 || len(r.Closed) > 0
	slices.SortFunc(r.Hours, func(a, b HourAccount) int {
		return cmp.Or(cmp.Compare(a.TenantID, b.TenantID), cmp.Compare(a.SourceID, b.SourceID), cmp.Compare(a.Hour, b.Hour))
	})
	return r
}

type hourKey struct {
	tenant, source string
	hour           int64
}

func account(hours map[hourKey]*HourAccount, tenant, source string, hour int64) *HourAccount {
	k := hourKey{tenant, source, hour}
	h := hours[k]
	if h == nil {
		h = &HourAccount{TenantID: tenant, SourceID: source, Hour: hour}
		hours[k] = h
	}
	return h
}

// addMarks adds up what the proven marks count and, for the hours they are too
// new to carry, what earlier marks counted. An hour leaves the marks only when
// all its sequences are settled, so its last count belongs to a proven mark that
// lacks it, whichever partition kept it.
func addMarks(hours map[hourKey]*HourAccount, l *Ledger, proven map[BootID]click.Mark) {
	type carriedKey struct {
		BootID
		hourKey
	}
	carried := make(map[carriedKey]bool)
	for id, m := range proven {
		for _, c := range m.Counts {
			carried[carriedKey{id, keyOf(&c)}] = true
			addCount(hours, &l.Query, &c)
		}
	}
	for _, c := range l.Counts {
		id := BootID{c.Gateway, c.Boot}
		m, ok := proven[id]
		if ok && c.Hour < hourOf(m.At)-click.MarkHours*hourMicros && !carried[carriedKey{id, keyOf(&c.SourceCount)}] {
			addCount(hours, &l.Query, &c.SourceCount)
		}
	}
}

func keyOf(c *click.SourceCount) hourKey { return hourKey{c.TenantID, c.SourceID, c.Hour} }

func addCount(hours map[hourKey]*HourAccount, q *LedgerQuery, c *click.SourceCount) {
	if !q.has(c.TenantID, c.Hour) {
		return
	}
	h := account(hours, c.TenantID, c.SourceID, c.Hour)
	h.Received += int64(c.Received)
	h.Shed += int64(c.Shed)
	h.Unrecorded += int64(c.Unrecorded)
}

func addRows(hours map[hourKey]*HourAccount, rows []RowCount) {
	for _, n := range rows {
		h := account(hours, n.TenantID, n.SourceID, n.Hour)
		h.ByState[n.State] += n.Proven + n.Tail
		h.Received += n.Tail
		h.Tail += n.Tail
	}
}

func bootAccounts(l *Ledger, proven map[BootID]click.Mark) []BootAccount {
	byBoot := make(map[BootID]*BootAccount)
	for id, m := range proven {
		byBoot[id] = &BootAccount{
			Gateway: id.Gateway, Boot: id.Boot, Final: m.Final,
			ThroughSeq: m.ThroughSeq, Void: int64(m.Void), Missing: int64(m.ThroughSeq - m.Void),
		}
	}
	for _, rows := range l.Boots {
		id := BootID{rows.Gateway, rows.Boot}
		b := byBoot[id]
		if b == nil {
			b = &BootAccount{Gateway: id.Gateway, Boot: id.Boot}
			byBoot[id] = b
		}
		b.Stored, b.Tail = rows.Proven, rows.Tail
		b.Missing -= rows.Proven
		if rows.MaxSeq > b.ThroughSeq {
			b.Unknown = int64(rows.MaxSeq-b.ThroughSeq) - rows.Tail
		}
	}
	out := make([]BootAccount, 0, len(byBoot))
	for _, b := range byBoot {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b BootAccount) int {
		return cmp.Or(cmp.Compare(a.Gateway, b.Gateway), cmp.Compare(a.Boot, b.Boot))
	})
	return out
}
