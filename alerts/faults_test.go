package alerts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty"
	"clickgate/alerts/pagerduty/standin"
)

// fuse is a store whose process dies when it is about to note the n-th page as sent.
type fuse struct {
	Store
	left int
}

func (f *fuse) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	if f.left--; f.left < 0 {
		return errDied
	}
	return f.Store.SettlePages(ctx, fence, now, ends)
}

// storm opens many incidents at once and tells them by processes that die again and
// again between a call and its note. It returns what is wrong, and how many died.
func storm(t *testing.T, wrong mistake) (problems []string, deaths int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t)
		p := newTeller(r, wrong)
		const many = 200
		for n := range many {
			p.trigger(n)
			p.trigger(n)
		}
		for n := 0; n < 40; n++ {
			p.restart(&fuse{Store: r.store, left: 20 + 7*n%30})
			if err := p.flush(15 * time.Second); errors.Is(err, errDied) {
				deaths++
			}
		}
		p.restart(r.store)
		p.must(p.flush(2 * time.Minute))
		problems = r.problems()
		if n := len(r.pager.Alerts()); n != many {
			problems = append(problems, fmt.Sprintf("%d alerts of %d incidents", n, many))
		}
	})
	return problems, deaths
}

// TestStorm: many incidents go out within the budget although no process lives long
// enough to remember its calls.
func TestStorm(t *testing.T) {
	t.Parallel()
	problems, deaths := storm(t, mistake{})
	if len(problems) > 0 || deaths < 4 {
		t.Errorf("%d deaths, %q", deaths, problems)
	}
}

// blind is a store that knows of no calls, as if each process had a budget of its own.
type blind struct{ Store }

func (blind) PageCalls(context.Context, int64, int64) (int64, error) { return 0, nil }

// TestStormCatchesMistakes: a budget that dies with its process is found.
func TestStormCatchesMistakes(t *testing.T) {
	t.Parallel()
	problems, _ := storm(t, mistake{store: func(s Store) Store { return blind{s} }})
	if !strings.Contains(strings.Join(problems, "; "), "61 calls within") {
		t.Errorf("found %q", problems)
	}
}

// scripted is PagerDuty that refuses some incidents by a script.
type scripted struct {
	answer  func(e *pagerduty.Event) error
	calls   []string // dedup keys
	longest time.Duration
}

func (s *scripted) Wait(context.Context) error { return nil }

func (s *scripted) Send(ctx context.Context, e *pagerduty.Event) error {
	s.calls = append(s.calls, e.DedupKey)
	begun := time.Now()
	err := s.answer(e)
	if errors.Is(err, errNoAnswer) {
		<-ctx.Done()
		err = &pagerduty.Fault{Message: "no answer"}
	}
	s.longest = max(s.longest, time.Since(begun))
	return err
}

var errNoAnswer = errors.New("no answer")

// against runs f with a teller whose PagerDuty follows a script.
func against(t *testing.T, answer func(e *pagerduty.Event) error, f func(*teller, *scripted)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{answer: answer}
		f(newTeller(newMemoryRig(t), mistake{pager: func(int, Pager) Pager { return s }}), s)
	})
}

// TestOneBadPageHoldsUpNoOther: a page that fails for ever, though not for good, lets
// the others pass.
func TestOneBadPageHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	bad := ""
	against(t, func(e *pagerduty.Event) error {
		if e.DedupKey == bad {
			return &pagerduty.Fault{Status: 500}
		}
		return nil
	}, func(p *teller, s *scripted) {
		p.trigger(1)
		bad = DedupKey(p.all[1].ID)
		for n := 2; n < 30; n++ {
			p.trigger(n)
		}
		p.must(p.flush(time.Hour))
		tries := 0
		for _, key := range s.calls {
			if key == bad {
				tries++
			}
		}
		if len(s.calls)-tries != 28 || tries < 5 || tries > 16 {
			t.Errorf("%d calls, %d of them of the bad page", len(s.calls), tries)
		}
		pending, err := p.store.PendingPages(p.t.Context())
		p.must(err)
		if len(pending) != 1 {
			t.Errorf("%d pages are pending", len(pending))
		}
	})
}

// TestRetryAfter: a wait that PagerDuty asks for is kept when it is the longer one,
// also by the next term of the same process.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	var at []time.Time
	against(t, func(*pagerduty.Event) error {
		if at = append(at, time.Now()); len(at) == 1 {
			return &pagerduty.Fault{Status: 429, RetryAfter: 7 * time.Minute}
		}
		return nil
	}, func(p *teller, _ *scripted) {
		p.trigger(1)
		p.must(p.flush(10 * time.Minute))
		if len(at) != 2 || at[1].Sub(at[0]) < 7*time.Minute || at[1].Sub(at[0]) > 8*time.Minute {
			t.Errorf("calls at %v", at)
		}
	})
}

// TestCallsEndBeforeTheLease: whatever PagerDuty does, and whatever its client takes
// for a timeout, a call is over before another process may act.
func TestCallsEndBeforeTheLease(t *testing.T) {
	t.Parallel()
	against(t, func(*pagerduty.Event) error { return errNoAnswer }, func(p *teller, s *scripted) {
		p.trigger(1)
		p.must(p.flush(10 * time.Minute))
		if len(s.calls) < 3 || s.longest >= leaseTTL || s.longest < pagerduty.MaxTimeout {
			t.Errorf("%d calls, the longest took %s", len(s.calls), s.longest)
		}
	})
}

// TestLongNames is case 20 (a) to (d): long names, ids that begin alike, empty ones,
// and details without end go through the tracker and are taken at the first try.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("é", 600) + strings.Repeat("🍋", 600)
	bubble(t, func(p *teller) {
		tr := newTracker(DefaultConfig(), nil)
		j := Judgement{Minute: day0.UnixMicro()}
		for _, id := range []string{"Campaign " + long, strings.Repeat("x", 300) + "a", strings.Repeat("x", 300) + "b", ""} {
			j.Findings = append(j.Findings, Finding{SeriesKey: SeriesKey{"acme", byCampaign, id}, Kind: volume, Score: 20, Observed: 900, Expected: 100, Events: 900, Excess: 800})
		}
		j.Findings = append(j.Findings, Finding{SeriesKey: SeriesKey{"acme", byPublisher, ""}, Kind: volume, Score: 20, Observed: 900, Expected: 100, Events: 900, Excess: 800})
		for n := range 300 {
			j.Findings = append(j.Findings, Finding{SeriesKey: SeriesKey{"storm", byCampaign, fmt.Sprint(long, n)}, Kind: volume, Score: 20, Events: 900, Excess: 800})
		}
		puts := tr.take(j)
		p.must(p.store.PutIncidents(p.t.Context(), p.fence, 0, puts))
		p.must(p.flush(time.Second))
		open := p.pager.Open()
		if len(puts) != 6 || len(open) != 6 || len(p.pager.Calls()) != 6 {
			t.Errorf("%d incidents, %d open after %d calls", len(puts), len(open), len(p.pager.Calls()))
		}
		keys := map[string]bool{}
		for _, a := range open {
			keys[a.DedupKey] = true
		}
		if len(keys) != len(open) {
			t.Errorf("%d keys of %d alerts", len(keys), len(open))
		}
		if !slices.ContainsFunc(open, func(a standin.Alert) bool {
			return strings.Contains(string(a.Details), " more") && len(a.Details) > 100<<10
		}) {
			t.Error("no alert says how much is cut")
		}
	})
}

// gone is a store that is away for a while.
type gone struct {
	Store
	away  atomic.Bool
	calls atomic.Int64 // in vain
}

var errAway = errors.New("the store does not answer")

func (g *gone) fail() error {
	if g.away.Load() {
		g.calls.Add(1)
		return errAway
	}
	return nil
}

func (g *gone) StoredMarks(ctx context.Context) ([]aggregate.StoredMark, error) {
	if err := g.fail(); err != nil {
		return nil, err
	}
	return g.Store.StoredMarks(ctx)
}

func (g *gone) LeaseAlerts(ctx context.Context, owner string, now time.Time, ttl time.Duration) (aggregate.AlertsLease, error) {
	if err := g.fail(); err != nil {
		return aggregate.AlertsLease{}, err
	}
	return g.Store.LeaseAlerts(ctx, owner, now, ttl)
}

func (g *gone) RenewAlerts(ctx context.Context, fence int64, until time.Time) error {
	return errors.Join(g.fail(), g.Store.RenewAlerts(ctx, fence, until))
}

func (g *gone) PutIncidents(ctx context.Context, fence, judged int64, puts []aggregate.IncidentPut) error {
	if err := g.fail(); err != nil {
		return err
	}
	return g.Store.PutIncidents(ctx, fence, judged, puts)
}

func (g *gone) PendingPages(ctx context.Context) ([]aggregate.Page, error) {
	if err := g.fail(); err != nil {
		return nil, err
	}
	return g.Store.PendingPages(ctx)
}

// TestStoreGone: a store that is away, at the beginning of an attack or at its end,
// delays what is told and makes nothing of it twice or for nothing.
func TestStoreGone(t *testing.T) {
	for _, minutes := range []int{1, 30} {
		t.Run(fmt.Sprint(minutes, " minutes"), func(t *testing.T) {
			play(t, func(l *live) {
				store := &gone{Store: l.store}
				s := l.service(store)
				s.Start()
				l.run(5)
				store.away.Store(true)
				l.run(minutes)
				store.away.Store(false)
				l.run(3)
				if n := len(l.pager.Calls()); n != 0 {
					t.Errorf("%d calls without an attack: %+v", n, l.pager.Alerts())
				}
				l.attack.Store(true)
				l.run(1)
				store.away.Store(true)
				l.run(minutes)
				store.away.Store(false)
				l.run(2)
				l.attack.Store(false)
				l.run(2)
				store.away.Store(true)
				l.run(minutes)
				store.away.Store(false)
				l.run(10)
				if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() {
					t.Errorf("%d alerts: %+v", len(all), all)
				}
				if store.calls.Load() < 30 {
					t.Errorf("the store was asked %d times while it was away", store.calls.Load())
				}
				s.Stop()
			})
		})
	}
}

// slow is a store whose history takes much longer to read than a lease lasts.
type slow struct {
	Store
	reads atomic.Int64
}

func (s *slow) HourCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error) {
	s.reads.Add(1)
	time.Sleep(3 * leaseTTL)
	return s.Store.HourCounts(ctx, from, to)
}

// TestSlowBeginning: two processes on a large store do not take the lease from each
// other while they read the past.
func TestSlowBeginning(t *testing.T) {
	play(t, func(l *live) {
		store := &slow{Store: l.store}
		first, second := l.service(store), l.service(store)
		first.Start()
		second.Start()
		l.run(5)
		l.attack.Store(true)
		l.run(3)
		if n := store.reads.Load(); n != 1 {
			t.Errorf("the past was read %d times", n)
		}
		if len(l.pager.Open()) != 1 {
			t.Errorf("the attack is not told: %+v", l.pager.Calls())
		}
		first.Stop()
		second.Stop()
	})
}

// TestClockJumps: the wall clock of the process is set forward or back; minutes come
// from the gateways, so nobody is called for nothing, and an attack is told.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 10 * time.Minute, -5 * time.Second} {
		t.Run(jump.String(), func(t *testing.T) {
			play(t, func(l *live) {
				var off atomic.Int64
				s := l.service(l.store)
				// As a clock that is set: times of later readings differ, waits do not.
				now := func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
				s.dep.Now, s.sender.now = now, now
				s.Start()
				l.run(5)
				off.Store(int64(jump))
				l.run(5)
				if n := len(l.pager.Calls()); n != 0 {
					t.Errorf("%d calls after the jump: %+v", n, l.pager.Alerts())
				}
				l.attack.Store(true)
				l.run(3)
				if len(l.pager.Open()) != 1 {
					t.Errorf("the attack is not told: %+v", l.pager.Calls())
				}
				l.attack.Store(false)
				off.Store(0)
				l.run(12)
				if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() {
					t.Errorf("%+v", all)
				}
				s.Stop()
			})
		})
	}
}

// TestGatewayDies: one gateway of two dies and its campaigns fall silent; that is told once
// it is sure, not before.
func TestGatewayDies(t *testing.T) {
	play(t, func(l *live) {
		died := time.Now().Add(10 * time.Minute).UnixMicro()
		s := l.service(twoGateways{l.store, died})
		s.Start()
		l.run(10)
		l.quiet = true
		l.run(4)
		if n := len(l.pager.Calls()); n != 0 {
			t.Errorf("%d calls while its clicks may still come", n)
		}
		l.run(6)
		if open := l.pager.Open(); len(open) != 1 {
			t.Errorf("open %+v", open)
		}
		s.Stop()
	})
}

// twoGateways adds a gateway that dies.
type twoGateways struct {
	Store
	died int64
}

func (g twoGateways) StoredMarks(ctx context.Context) ([]aggregate.StoredMark, error) {
	marks, err := g.Store.StoredMarks(ctx)
	return append(marks, marksOf("edge-2", 1, min(time.Now().UnixMicro(), g.died), false)...), err
}
