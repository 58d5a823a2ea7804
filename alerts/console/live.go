package console

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const (
	hoursShown   = 24
	sourcesShown = 50
	// liveAge is how old the counts may get, and liveShare the part of the time
	// that may go into reading them: a store that needs a second to count is
	// asked every ten seconds, however many people look.
	liveAge   = time.Second
	liveShare = 10
)

// live keeps the newest counts for everybody who looks.
type live struct {
	reports aggregate.Reports
	now     func() time.Time

	turn chan struct{} // held by the one who reads; guards the rest
	last *liveView
	next time.Time
}

func newLive(r aggregate.Reports, now func() time.Time) *live {
	return &live{reports: r, now: now, turn: make(chan struct{}, 1)}
}

// fresh returns counts that are not to be read again yet, or nil. Its caller
// holds the turn.
func (l *live) fresh() *liveView {
	if l.last != nil && l.now().Before(l.next) {
		return l.last
	}
	return nil
}

// read counts anew. Its caller holds the turn.
func (l *live) read(ctx context.Context) (*liveView, error) {
	start := l.now()
	totals, err := l.reports.Totals(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := l.reports.Billing(ctx, aggregate.BillingQuery{})
	if err != nil {
		return nil, err
	}
	v := newLiveView(totals, rows)
	end := l.now()
	v.Counted = start.UnixMicro()
	l.last, l.next = v, end.Add(max(liveAge, (liveShare-1)*end.Sub(start)))
	return v, nil
}

// liveView is what the first page shows.
type liveView struct {
	Counted  int64 // Unix microseconds
	Received int64
	Valid    int64
	Invalid  int64 // givt and sivt
	States   []stateCount
	Bar      []segment
	Money    []moneySum
	Hours    []hourCount   // newest first
	Columns  []click.State // of the hours
	Sources  []sourceCount // most first
	Hidden   int           // sources beyond the shown ones
	Miscount bool          // rows and minute counts differ
}

type stateCount struct {
	State click.State
	Text  string
	N     int64
}

// segment is a part of the bar, in thousandths of its width.
type segment struct {
	State    click.State
	X, Width float64
	N        int64
}

// moneySum adds up one currency, in micros.
type moneySum struct {
	Currency     string
	Valid, Other sum
}

// sum is a sum that knows when it has left 64 bits.
type sum struct {
	N    int64
	Over bool
}

func (s *sum) add(n int64) {
	if n > 0 && s.N > math.MaxInt64-n || n < 0 && s.N < math.MinInt64-n {
		s.Over = true
		return
	}
	s.N += n
}

type hourCount struct {
	Hour        int64
	Provisional bool
	Received    int64
	Counts      [click.NumStates]int64
	Money       []moneySum
}

type sourceCount struct {
	Tenant, Source                  string
	Received, Valid, Invalid, Other int64
}

func newLiveView(totals []aggregate.Total, rows []aggregate.BillingRow) *liveView {
	v := &liveView{Sources: bySource(totals)}
	var byState [click.NumStates]int64
	for _, t := range totals {
		byState[t.State] += t.Rows
		v.Received += t.Rows
		v.Miscount = v.Miscount || t.Rows != t.Minutes
	}
	v.Valid, v.Invalid = byState[click.Valid], byState[click.GIVT]+byState[click.SIVT]
	for _, s := range states {
		if n := byState[s]; n > 0 || s != click.Unscored {
			v.States = append(v.States, stateCount{s, stateTexts[s], n})
		}
	}
	v.Bar = bar(v.States, v.Received)
	if v.Hidden = max(0, len(v.Sources)-sourcesShown); v.Hidden > 0 {
		v.Sources = v.Sources[:sourcesShown]
	}
	v.Hours, v.Money = byHour(rows)
	v.Columns = columns(slices.ContainsFunc(v.Hours, func(h hourCount) bool { return h.Counts[click.Unscored] != 0 }))
	return v
}

func bar(counts []stateCount, received int64) (segments []segment) {
	x := 0.0
	for _, c := range counts {
		if c.N > 0 {
			width := 1000 * float64(c.N) / float64(received)
			segments = append(segments, segment{c.State, x, width, c.N})
			x += width
		}
	}
	return segments
}

func bySource(totals []aggregate.Total) []sourceCount {
	type key struct{ tenant, source string }
	counts := map[key]*sourceCount{}
	for _, t := range totals {
		k := key{t.TenantID, t.SourceID}
		c := counts[k]
		if c == nil {
			c = &sourceCount{Tenant: t.TenantID, Source: t.SourceID}
			counts[k] = c
		}
		c.Received += t.Rows
		switch t.State {
		case click.Valid:
			c.Valid += t.Rows
		case click.GIVT, click.SIVT:
			c.Invalid += t.Rows
		default:
			c.Other += t.Rows
		}
	}
	out := make([]sourceCount, 0, len(counts))
	for _, c := range counts {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b sourceCount) int {
		return cmp.Or(cmp.Compare(b.Received, a.Received), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Source, b.Source))
	})
	return out
}

// byHour adds billing rows up by hour, and all of them by currency.
func byHour(rows []aggregate.BillingRow) (newest []hourCount, all []moneySum) {
	hours := map[int64]*hourCount{}
	for i := range rows {
		r := &rows[i]
		h := hours[r.Hour]
		if h == nil {
			h = &hourCount{Hour: r.Hour}
			hours[r.Hour] = h
		}
		h.Provisional = h.Provisional || r.Provisional
		for s, n := range r.Counts {
			h.Counts[s] += n
			h.Received += n
		}
		h.Money, all = addMoney(h.Money, r), addMoney(all, r)
	}
	for _, h := range hours {
		newest = append(newest, *h)
	}
	slices.SortFunc(newest, func(a, b hourCount) int { return cmp.Compare(b.Hour, a.Hour) })
	return newest[:min(len(newest), hoursShown)], all
}

// addMoney adds a row to the sums, which stay in order of currencies. Clicks
// without a currency cost nothing.
func addMoney(sums []moneySum, r *aggregate.BillingRow) []moneySum {
	if r.Currency == "" {
		return sums
	}
	i, found := slices.BinarySearchFunc(sums, r.Currency, func(m moneySum, c string) int { return cmp.Compare(m.Currency, c) })
	if !found {
		sums = slices.Insert(sums, i, moneySum{Currency: r.Currency})
	}
	sums[i].Valid.add(r.CostMicros)
	sums[i].Other.add(r.SavedMicros)
	return sums
}
