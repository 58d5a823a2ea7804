package console

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const (
	sourcesShown   = 50
	incidentsShown = 5
	minutesShown   = 60
	hoursShown     = 24
	// How old the counts of the last hour and day may get, and the share of the time
	// that may go into reading them.
	rateAge   = time.Second
	dayAge    = 10 * time.Second
	liveShare = 10
	// Tenants whose counts are kept for those who look.
	maxDesks = 64
)

// live keeps the newest counts of every tenant that somebody looks at.
type live struct {
	server *Server
	books  *booksCheck

	mu    sync.Mutex
	desks map[string]*counts
}

// counts are the newest counts of one desk.
type counts struct {
	rate *cached[rateView]
	day  *cached[dayView]
}

func newLive(s *Server) *live {
	return &live{server: s, books: newBooksCheck(s), desks: map[string]*counts{}}
}

func (l *live) of(tenant string) *counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.desks[tenant]
	if c == nil {
		if len(l.desks) >= maxDesks {
			clear(l.desks) // they come back when somebody looks
		}
		now := l.server.dep.Now
		c = &counts{newCached[rateView](rateAge, liveShare, now), newCached[dayView](dayAge, liveShare, now)}
		l.desks[tenant] = c
	}
	return c
}

// liveView is what the first page shows.
type liveView struct {
	Rate      *rateView
	Day       *dayView
	Books     booksView
	ToBooks   bool // the visitor may see the reconciliation
	Incidents *incidentsView
}

// incidentsView is the box of open incidents.
type incidentsView struct {
	Open   []incidentRow
	Hidden int
	Away   bool // they cannot be read
}

func (s *Server) home(w http.ResponseWriter, r *http.Request, v *visit) error {
	body, err := s.liveView(r, v)
	if err != nil {
		return err
	}
	return s.show(w, v, http.StatusOK, "live", &page{Title: "Live", Path: "/", Live: true, Body: body})
}

// fragment answers with the moving part of the first page alone.
func (s *Server) fragment(w http.ResponseWriter, r *http.Request, v *visit) error {
	body, err := s.liveView(r, v)
	if err != nil {
		return err
	}
	return s.pages.execute(w, http.StatusOK, "live", "moving", body)
}

func (s *Server) liveView(r *http.Request, v *visit) (*liveView, error) {
	c := s.live.of(v.tenant)
	rate, err := c.rate.get(r.Context(), func(ctx context.Context) (rate *rateView, err error) {
		err = s.query(ctx, func(ctx context.Context) error { rate, err = readRate(ctx, v.desk, s.dep.Now()); return err })
		return rate, err
	})
	if err != nil {
		return nil, err
	}
	day, err := c.day.get(r.Context(), func(ctx context.Context) (day *dayView, err error) {
		err = s.query(ctx, func(ctx context.Context) error { day, err = readDay(ctx, v.desk, s.dep.Now()); return err })
		return day, err
	})
	if err != nil {
		return nil, err
	}
	return &liveView{rate, day, s.live.books.view(v.desk), forMoney.Has(v.role), s.incidents(r.Context(), v)}, nil
}

// incidents never keep the counts from being shown.
func (s *Server) incidents(ctx context.Context, v *visit) *incidentsView {
	var open []aggregate.Incident
	err := s.query(ctx, func(ctx context.Context) (err error) {
		open, err = v.incidents(ctx, aggregate.IncidentQuery{OpenOnly: true})
		return err
	})
	if err != nil {
		s.dep.Logger.Warn("console cannot read incidents", "error", err)
		return &incidentsView{Away: true}
	}
	now := s.dep.Now()
	view := &incidentsView{Open: make([]incidentRow, len(open))}
	for i := range open {
		view.Open[i] = newIncidentRow(&open[i], now)
	}
	worstOpen(view.Open)
	view.Hidden = max(0, len(view.Open)-incidentsShown)
	view.Open = view.Open[:len(view.Open)-view.Hidden]
	return view
}

// rateView is the last hour by minutes.
type rateView struct {
	Now     string // events a second in the newest whole minute
	Summary string
	States  []click.State // that count something
	Minutes []minuteRate  // oldest first
}

// minuteRate is one minute; the newest is not over, and its rate is of the part
// that is.
type minuteRate struct {
	At     int64 // Unix microseconds
	Counts []int64
	Rates  []string // a second, for the chart
}

const (
	minuteMicros = 60 * 1_000_000
	hourMicros   = 60 * minuteMicros
)

func readRate(ctx context.Context, d desk, now time.Time) (*rateView, error) {
	at := now.UnixMicro()
	first := at - at%minuteMicros - minutesShown*minuteMicros
	counts, err := d.recent(ctx, aggregate.RecentQuery{From: first})
	if err != nil {
		return nil, err
	}
	var byMinute [minutesShown + 1][click.NumStates]int64
	for _, c := range counts {
		if i := (c.Start - first) / minuteMicros; i >= 0 && i <= minutesShown {
			byMinute[i][c.State] += c.Count
		}
	}
	return newRateView(byMinute[:], first, at), nil
}

func newRateView(byMinute [][click.NumStates]int64, first, now int64) *rateView {
	v := &rateView{}
	for _, s := range states {
		if slices.ContainsFunc(byMinute, func(m [click.NumStates]int64) bool { return m[s] != 0 }) {
			v.States = append(v.States, s)
		}
	}
	var all, valid, most, mostAt int64
	for i, m := range byMinute {
		start := first + int64(i)*minuteMicros
		seconds := min(float64(now-start)/1e6, 60)
		total := int64(0)
		row := minuteRate{At: start}
		for _, n := range m {
			total += n
		}
		for _, s := range v.States {
			row.Counts = append(row.Counts, m[s])
			row.Rates = append(row.Rates, strconv.FormatFloat(float64(m[s])/max(seconds, 1), 'f', 3, 64))
		}
		all, valid = all+total, valid+m[click.Valid]
		if total > most {
			most, mostAt = total, start
		}
		if i == len(byMinute)-2 {
			v.Now = perSecond(total, 60)
		}
		if seconds >= 5 { // a rate of a shorter time says nothing
			v.Minutes = append(v.Minutes, row)
		}
	}
	v.Summary = "No clicks in the last hour."
	if all > 0 {
		v.Summary = fmt.Sprintf("In the last hour %s events, %s a second on average; the busiest minute began at %s with %s events. Valid: %s.",
			grouped(strconv.FormatInt(all, 10)), perSecond(all, float64(now-first)/1e6),
			time.UnixMicro(mostAt).UTC().Format("15:04"), grouped(strconv.FormatInt(most, 10)), share(valid, all))
	}
	return v
}

// perSecond is a rate with two digits behind the point, or with none when it is
// large.
func perSecond(n int64, seconds float64) string {
	rate := float64(n) / max(seconds, 1)
	digits := 2
	if rate >= 100 {
		digits = 0
	}
	return grouped(strconv.FormatFloat(rate, 'f', digits, 64))
}

// dayView is the last 24 hours, the present one included.
type dayView struct {
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
	Hour     int64
	Received int64
	Counts   [click.NumStates]int64
	Money    []moneySum
}

type sourceCount struct {
	Tenant, Source                  string
	Received, Valid, Invalid, Other int64
}

func readDay(ctx context.Context, d desk, now time.Time) (*dayView, error) {
	at := now.UnixMicro()
	from := at - at%hourMicros - (hoursShown-1)*hourMicros
	counts, err := d.recent(ctx, aggregate.RecentQuery{From: from, Step: hourMicros})
	if err != nil {
		return nil, err
	}
	v := newDayView(counts)
	v.Counted = at
	return v, nil
}

func newDayView(counts []aggregate.RecentCount) *dayView {
	v := &dayView{Sources: bySource(counts)}
	var byState [click.NumStates]int64
	for i := range counts {
		byState[counts[i].State] += counts[i].Count
		v.Received += counts[i].Count
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
	v.Hours, v.Money = byHour(counts)
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

func bySource(counts []aggregate.RecentCount) []sourceCount {
	type key struct{ tenant, source string }
	sums := map[key]*sourceCount{}
	for i := range counts {
		n := &counts[i]
		k := key{n.TenantID, n.SourceID}
		c := sums[k]
		if c == nil {
			c = &sourceCount{Tenant: n.TenantID, Source: n.SourceID}
			sums[k] = c
		}
		c.Received += n.Count
		switch n.State {
		case click.Valid:
			c.Valid += n.Count
		case click.GIVT, click.SIVT:
			c.Invalid += n.Count
		default:
			c.Other += n.Count
		}
	}
	out := make([]sourceCount, 0, len(sums))
	for _, c := range sums {
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b sourceCount) int {
		return cmp.Or(cmp.Compare(b.Received, a.Received), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Source, b.Source))
	})
	return out
}

// byHour adds counts up by hour, the newest first, and all of them by currency.
func byHour(counts []aggregate.RecentCount) (newest []hourCount, all []moneySum) {
	hours := map[int64]*hourCount{}
	for i := range counts {
		n := &counts[i]
		h := hours[n.Start]
		if h == nil {
			h = &hourCount{Hour: n.Start}
			hours[n.Start] = h
		}
		h.Counts[n.State] += n.Count
		h.Received += n.Count
		h.Money, all = addMoney(h.Money, n), addMoney(all, n)
	}
	for _, h := range hours {
		newest = append(newest, *h)
	}
	slices.SortFunc(newest, func(a, b hourCount) int { return cmp.Compare(b.Hour, a.Hour) })
	return newest, all
}

// addMoney adds a count to the sums, which stay in order of currencies. Clicks
// without a currency cost nothing.
func addMoney(sums []moneySum, c *aggregate.RecentCount) []moneySum {
	if c.Currency == "" {
		return sums
	}
	i, found := slices.BinarySearchFunc(sums, c.Currency, func(m moneySum, currency string) int { return cmp.Compare(m.Currency, currency) })
	if !found {
		sums = slices.Insert(sums, i, moneySum{Currency: c.Currency})
	}
	if c.State == click.Valid {
		sums[i].Valid.add(c.Micros)
	} else {
		sums[i].Other.add(c.Micros)
	}
	return sums
}
