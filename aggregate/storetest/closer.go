package storetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// floodJudge calls the third click and more of one address within ten seconds
// invalid. So its verdicts depend on the order of clicks and on where a pass begins.
type floodJudge struct{}

func (floodJudge) Hashes(string, string) (policy, model uint64) { return 1<<63 | 7, 0 }

func (floodJudge) Begin(_, _ string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error) {
	last := make(map[click.Key][2]int64)
	return hour - 3600*second, func(*click.Click) {}, func(c *click.Click) click.Verdict {
		v := c.Verdict
		v.Reasons &^= 1 << click.ReasonRateIP
		seen := last[c.IPKey]
		last[c.IPKey] = [2]int64{seen[1], c.EventTime}
		if v.State == click.Valid && c.EventTime-seen[0] < 10*second {
			v.State, v.Reasons = click.SIVT, v.Reasons.Set(click.ReasonRateIP)
		}
		return v
	}, nil
}

// newCloser returns a closer of store whose clock stands at now, Unix microseconds.
func newCloser(t testing.TB, store aggregate.Store, owner string, now int64) *aggregate.Closer {
	t.Helper()
	cfg := aggregate.DefaultConfig().Close
	cfg.Batch = 20 // so that small hours have borders of batches
	closer, err := aggregate.NewCloser(cfg, aggregate.CloserDependencies{
		Store: store, Judge: floodJudge{}, Owner: owner, Version: "test", Logger: slog.New(slog.DiscardHandler),
		Now:   func() time.Time { return time.UnixMicro(now) },
		Terms: func(string, string) aggregate.SourceTerms { return aggregate.SourceTerms{Grace: 15 * minute} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return closer
}

// PlayClosing plays a history with all that can follow: half of it, its hours
// closed, analysts' decisions, the other half as late clicks, an invoice, decisions
// again. It returns what each decision came to.
func (h *History) PlayClosing(t testing.TB, store aggregate.Store) (decisions []string) {
	t.Helper()
	half, now := len(h.Batches)/2, base+3*hour
	closeAll := func() {
		t.Helper()
		if _, err := newCloser(t, store, "closer", now).CloseNow(t.Context(), "", "", 0, "test", "to compare"); err != nil {
			t.Fatal(err)
		}
		balanced(t, store)
		now += hour
	}
	h.play(t, store, h.Batches[:half])
	decisions = append(decisions, h.decide(t, store, 11, now)...)
	closeAll()
	decisions = append(decisions, h.decide(t, store, 5, now)...)
	h.play(t, store, h.Batches[half:])
	closeAll()
	inv := aggregate.Invoice{TenantID: "acme", Month: aggregate.MonthOf(base), IssuedAt: now, IssuedBy: "bill"}
	if err := store.IssueInvoice(t.Context(), inv); err != nil {
		t.Fatal(err)
	}
	decisions = append(decisions, h.decide(t, store, 3, now+hour)...)
	closeAll()
	wantActivity(t, store)
	return decisions
}

// decide confirms, releases and notes every nth event in turns.
func (h *History) decide(t testing.TB, store aggregate.Store, nth int, at int64) (out []string) {
	t.Helper()
	for i, id := range h.Sample(nth) {
		d, err := aggregate.Decide(t.Context(), store, aggregate.DecisionRequest{
			TenantID: [...]string{"acme", "acmf"}[i%2], EventID: id, Decision: aggregate.Decision(1 + i%3), Seen: aggregate.AnyRevision,
			Who: "ana", Why: "looked", At: at,
		})
		switch {
		case errors.Is(err, aggregate.ErrNoCase), errors.Is(err, aggregate.ErrRefused):
			out = append(out, err.Error())
			continue
		case err != nil:
			t.Fatalf("decision on event %s: %v", id, err)
		}
		moved := "nothing"
		if d.Adjustment != nil {
			moved = fmt.Sprintf("%+v", *d.Adjustment)
		}
		out = append(out, fmt.Sprintf("%s from %v to %v, closed %t, moves %s", id, d.Before.State, d.State, d.Closed, moved))
	}
	return out
}

// balanced demands that nothing is open, late, lost, doubled or unexplained.
func balanced(t testing.TB, store aggregate.Store) {
	t.Helper()
	l, err := store.Ledger(t.Context(), aggregate.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range l.Totals {
		if x.Rows != x.Minutes {
			t.Errorf("%s %s %v: %d rows, %d in minute counts", x.TenantID, x.SourceID, x.State, x.Rows, x.Minutes)
		}
	}
	open, err := store.OpenUnits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, err := store.LateUnits(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(open)+len(late)+len(l.Closed) > 0 {
		t.Errorf("open units %v, late ones %v, closed hours that their counts do not bear out %+v", open, late, l.Closed)
	}
}

// wantActivity demands that a history brought duplicates and every kind of adjustment.
func wantActivity(t testing.TB, store aggregate.Store) {
	t.Helper()
	d, err := store.Statement(t.Context(), aggregate.BillingQuery{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, a := range d.Adjustments {
		seen[a.Cause.String()]++
		switch {
		case a.Waived != "":
			seen["waived"]++
		case a.Clicks > 0:
			seen["debit"]++
		case a.Clicks < 0:
			seen["credit"]++
		}
	}
	for _, what := range []string{"late", "review", "waived", "debit", "credit"} {
		if seen[what] == 0 {
			t.Errorf("no adjustment is %q among %v", what, seen)
		}
	}
	totals, err := store.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(totals, func(x aggregate.Total) bool { return x.State == click.Duplicate && x.Rows > 0 }) {
		t.Error("no click is a duplicate")
	}
}

// oldPlans shows units as they were.
type oldPlans struct {
	aggregate.Store
	units []aggregate.UnitInfo
}

func (s oldPlans) OpenUnits(context.Context) ([]aggregate.UnitInfo, error) {
	return slices.Clone(s.units), nil
}

// oldPlan: a unit that another closer closed since is passed over, and the next ones
// are closed.
func oldPlan(e *env) {
	e.put(newRow(1, base-hour), newRow(2, base))
	before, err := e.store.OpenUnits(e.ctx())
	e.must(err)
	equal(e, "open units", len(before), 2)
	first := e.closeNow(e.store, shop.Hour)
	equal(e, "closed by the first", len(first), 1)
	second := e.closeNow(oldPlans{e.store, before}, 0)
	if len(second) != 1 || second[0] != shop {
		e.Errorf("the second closed %v, want %v alone", second, shop)
	}
	n, err := newCloser(e, oldPlans{e.store, before}, "third", base+100*hour).RunOnce(e.ctx())
	equal(e, "closed by the third", n, 0)
	e.must(err)
	balanced(e, e.store)
}

// closeNow closes the units up to an hour, 0 for all.
func (e *env) closeNow(store aggregate.Store, upTo int64) []aggregate.Unit {
	e.Helper()
	units, err := newCloser(e, store, "closer", base+3*hour).CloseNow(e.ctx(), "", "", upTo, "test", "to see")
	e.must(err)
	return units
}

// closerRaces: two closers close and work off what is late while clicks come in.
// Whatever came when, the books balance and each identity is billed once.
func closerRaces(e *env) {
	if e.opts.Serial != "" {
		e.Skip(e.opts.Serial)
	}
	const workers, batches, size = 3, 10, 20
	closedOne, stop := make(chan struct{}), make(chan struct{})
	var ingest, closing sync.WaitGroup
	for w := range int32(workers) {
		b := e.batch(partition(w)) // claims
		ingest.Go(func() {
			for n := range batches {
				if n == batches/2 {
					<-closedOne // so that some are late
				}
				rows := racing(int(w)*batches+n, size)
				next := &aggregate.Batch{Partition: b.Partition, Fence: b.Fence, First: int64(n * size), Next: int64((n + 1) * size), Clicks: rows}
				if _, err := aggregate.Apply(e.ctx(), e.store, next); err != nil {
					e.Errorf("worker %d: %v", w, err)
				}
			}
		})
	}
	var once sync.Once
	for c := range 2 {
		closer := newCloser(e, e.store, fmt.Sprint("closer ", c), base+3*hour)
		closing.Go(func() {
			for done := false; !done; {
				select {
				case <-stop:
					done = true
				default:
				}
				units, err := closer.CloseNow(e.ctx(), "", "", 0, "test", "to race")
				if err != nil && !errors.Is(err, aggregate.ErrNotLeased) {
					e.Errorf("closer %d: %v", c, err)
				}
				if len(units) > 0 || e.Failed() {
					once.Do(func() { close(closedOne) })
				}
			}
		})
	}
	ingest.Wait()
	close(stop)
	closing.Wait()
	e.closeNow(e.store, 0)
	e.raced(workers * batches * size)
}

// raced checks the books behind closerRaces.
func (e *env) raced(clicks int64) {
	e.Helper()
	balanced(e, e.store)
	closed, late := e.count("SELECT sum(clicks) FROM closed_units"), e.count("SELECT count(*) FROM late_clicks")
	equal(e, "stored clicks", e.count("SELECT count(*) FROM clicks"), clicks)
	equal(e, "clicks that were closed or late", closed+late, clicks)
	if closed == 0 || late == 0 {
		e.Errorf("%d clicks were closed and %d late; both must occur", closed, late)
	}
	valid := e.totals()[click.Valid]
	equal(e, "billed clicks and repeats",
		e.count("SELECT count(*) FROM billed_clicks")+e.count("SELECT count(*) FROM billed_repeats"), valid)
	equal(e, "billed tokens", e.count("SELECT count(*) FROM billed_clicks"), racingTokens)
	e.Logf("%d clicks were closed, %d late, %d are valid", closed, late, valid)
}

// racingTokens is how many ad opportunities racing clicks have, each often.
const racingTokens = 40

// racing are size clicks of batch n, told apart from all others, half of them with
// one of the tokens, in three sources and two hours.
func racing(n, size int) (rows []aggregate.ClickRow) {
	for i := range size {
		k := n*size + i
		how := person(byte(k % 7))
		if k%2 == 0 {
			how = token(byte(k / 2 % racingTokens))
		}
		rows = append(rows, newRow(uint64(k)+1, base-int64(k%2)*hour+int64(k%50)*second, source(fmt.Sprint("s", k%3)), how))
	}
	slices.SortFunc(rows, func(a, b aggregate.ClickRow) int { return cmp.Compare(a.EventTime, b.EventTime) })
	return rows
}
