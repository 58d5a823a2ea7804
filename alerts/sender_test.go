package alerts

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/aggregate/sqlite"
	"clickgate/alerts/pagerduty"
	"clickgate/alerts/pagerduty/standin"
)

const routingKey = "0123456789abcdef0123456789abcdef"

// desk is a store, a stand-in and a clock that only the test moves.
type desk struct {
	testing.TB
	store  aggregate.Store
	pager  *standin.Server
	sender *sender
	fence  int64
	clock  time.Time
	judged int64
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{TB: t, clock: start}
	now := func() time.Time { return d.clock }
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "clicks.db"), sqlite.Config{})
	d.must(err)
	t.Cleanup(func() { _ = store.Close() })
	d.must(store.Migrate(t.Context()))
	d.store, d.pager = store, standin.New(now)
	lease, err := store.LeaseAlerts(t.Context(), "test", d.clock, time.Hour)
	d.must(err)
	d.fence = lease.Fence
	d.restart()
	return d
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// restart is what a crash leaves: the store, and nothing that was in memory.
func (d *desk) restart() {
	d.Helper()
	cfg := pagerduty.DefaultConfig()
	cfg.RoutingKey, cfg.URL, cfg.Timeout, cfg.CallsPerMinute = routingKey, "https://events.pagerduty.example/v2/enqueue", time.Second, pagerduty.MaxCalls
	client, err := pagerduty.New(cfg, d.pager.Transport(), func() time.Time { return d.clock })
	d.must(err)
	d.sender = &sender{store: d.store, pager: client, now: func() time.Time { return d.clock }, logger: slog.New(slog.DiscardHandler), metrics: newMetrics(nil)}
}

// tell writes an incident's state with its page.
func (d *desk) tell(id string, action aggregate.PageAction) {
	d.Helper()
	d.judged += minuteMicros
	i := &aggregate.Incident{
		ID: id, TenantID: "acme", Title: "Campaign " + strings.Repeat("é", 600) + strings.Repeat("🍋", 600), Severity: aggregate.SeverityError, OpenedAt: 1,
		UpdatedAt: d.judged, Series: []aggregate.IncidentSeries{{Dimension: "campaign", Key: "spring", Kind: volume}}, Money: map[string]int64{},
	}
	if action == aggregate.PageResolve {
		i.ResolvedAt = d.judged
	}
	tr := newTracker(DefaultConfig(), nil)
	page := tr.page(i, false, 0, d.judged)
	d.must(d.store.PutIncidents(d.Context(), d.fence, d.judged, []aggregate.IncidentPut{{Incident: *i, Page: page}}))
}

func (d *desk) round() {
	d.Helper()
	d.must(d.sender.round(d.Context(), d.fence))
}

func (d *desk) pending() int {
	d.Helper()
	pages, err := d.store.PendingPages(d.Context())
	d.must(err)
	return len(pages)
}

// healthy demands that the stand-in held nothing against any call.
func (d *desk) healthy() {
	d.Helper()
	for _, c := range d.pager.Calls() {
		if c.Problem != "" {
			d.Errorf("call %+v", c)
		}
	}
	if lone, _ := d.pager.Resolves(); lone != 0 {
		d.Errorf("%d resolves of what was never told", lone)
	}
}

// TestPageOnceAndResolve: one alert with a summary within all limits, ended by the
// same key.
func TestPageOnceAndResolve(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.tell("a", aggregate.PageTrigger)
	d.round()
	d.round()
	open := d.pager.Open()
	if len(open) != 1 || open[0].DedupKey != "clickgate/a" || open[0].Severity != "error" || len(d.pager.Calls()) != 1 {
		t.Fatalf("open %+v after %d calls", open, len(d.pager.Calls()))
	}
	d.tell("a", aggregate.PageResolve)
	d.round()
	if len(d.pager.Open()) != 0 || len(d.pager.Alerts()) != 1 || d.pending() != 0 {
		t.Errorf("alerts %+v, %d pending", d.pager.Alerts(), d.pending())
	}
	d.healthy()
}

// TestFailuresWaitAndCollapse: 429, 500, no answer, then 202: waits grow, and one
// incident stays one alert.
func TestFailuresWaitAndCollapse(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	faults := []standin.Fault{standin.TooMany, standin.TooMany, standin.Broken, standin.Lost}
	d.pager.SetFaults(func(n int) standin.Fault {
		if n <= len(faults) {
			return faults[n-1]
		}
		return standin.Healthy
	})
	d.tell("a", aggregate.PageTrigger)
	for i, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
		d.round()
		if got := len(d.pager.Calls()); got != i+1 {
			t.Fatalf("%d calls, want %d", got, i+1)
		}
		d.clock = d.clock.Add(pause - time.Second)
		d.round()
		if got := len(d.pager.Calls()); got != i+1 {
			t.Errorf("call %d came before %s were over", i+2, pause)
		}
		d.tell("a", aggregate.PageTrigger) // newer states do not make more calls
		d.clock = d.clock.Add(time.Second)
	}
	d.round()
	if len(d.pager.Alerts()) != 1 || len(d.pager.Open()) != 1 || d.pending() != 0 {
		t.Errorf("alerts %+v, %d pending", d.pager.Alerts(), d.pending())
	}
	d.healthy()
}

// TestAwayFromBeginningToEnd: what began and ended while PagerDuty was away is not
// told at all.
func TestAwayFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.pager.SetFaults(func(int) standin.Fault { return standin.Away })
	d.tell("a", aggregate.PageTrigger)
	d.round()
	d.clock = d.clock.Add(30 * time.Minute)
	d.tell("a", aggregate.PageResolve)
	d.tell("b", aggregate.PageTrigger)
	d.tell("b", aggregate.PageResolve)
	d.pager.SetFaults(nil)
	d.round()
	if open := d.pager.Open(); len(open) != 0 || d.pending() != 0 {
		t.Errorf("open %+v, %d pending", open, d.pending())
	}
	for _, a := range d.pager.Alerts() {
		if a.DedupKey == "clickgate/b" {
			t.Error("the incident that nobody could know of is told")
		}
	}
}

// TestKilledBetweenPersistAndSend: exactly one page, whether the crash came before
// the call, or between the call and its note.
func TestKilledBetweenPersistAndSend(t *testing.T) {
	t.Parallel()
	for _, fault := range []standin.Fault{standin.Away, standin.Lost} {
		d := newDesk(t)
		d.tell("a", aggregate.PageTrigger)
		d.pager.SetFaults(func(int) standin.Fault { return fault })
		d.round() // what is in memory is gone
		d.restart()
		d.pager.SetFaults(nil)
		d.round()
		if len(d.pager.Alerts()) != 1 || len(d.pager.Open()) != 1 || d.pending() != 0 {
			t.Errorf("fault %d: alerts %+v", fault, d.pager.Alerts())
		}
		d.tell("a", aggregate.PageResolve)
		d.round()
		if len(d.pager.Open()) != 0 {
			t.Errorf("fault %d: it stays open", fault)
		}
	}
}

// TestRefusedForGood: a page that PagerDuty does not want is shown and not repeated.
func TestRefusedForGood(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.store.PutIncidents(t.Context(), d.fence, 1, []aggregate.IncidentPut{{
		Incident: aggregate.Incident{ID: "a", TenantID: "acme", Severity: 2, OpenedAt: 1}, Page: &aggregate.NewPage{Action: aggregate.PageTrigger, Payload: []byte(`{"action":"trigger"}`)},
	}}))
	d.round()
	d.clock = d.clock.Add(time.Hour)
	d.round()
	refused, err := d.store.RefusedPages(t.Context(), 10)
	d.must(err)
	if len(refused) != 1 || refused[0].Error == "" || strings.Contains(refused[0].Error, routingKey) || d.pending() != 0 {
		t.Errorf("refused %+v, %d pending", refused, d.pending())
	}
}

// TestOutboxHistories: whatever fails in whatever order, at the end PagerDuty's open
// alerts are the store's open incidents, and no resolve came alone.
func TestOutboxHistories(t *testing.T) {
	t.Parallel()
	calls := 0
	for range 8 {
		d := newDesk(t)
		seed := rand.Uint64()
		rng := rand.New(rand.NewPCG(seed, 7))
		d.pager.SetFaults(func(int) standin.Fault {
			return []standin.Fault{standin.Healthy, standin.TooMany, standin.Broken, standin.Away, standin.Lost}[rng.IntN(5)]
		})
		open := map[string]bool{}
		for range 30 {
			id := string(rune('a' + rng.IntN(4)))
			switch rng.IntN(5) {
			case 0, 1:
				d.tell(id, aggregate.PageTrigger)
				open[id] = true
			case 2:
				if open[id] {
					d.tell(id, aggregate.PageResolve)
					delete(open, id)
				}
			case 3:
				d.restart()
			default:
				d.clock = d.clock.Add(time.Duration(rng.IntN(400)) * time.Second)
			}
			d.round()
		}
		d.pager.SetFaults(nil)
		d.clock = d.clock.Add(10 * time.Minute)
		d.round()
		d.round()
		for _, a := range d.pager.Open() {
			id := strings.TrimPrefix(a.DedupKey, "clickgate/")
			if !open[id] {
				t.Fatalf("seed %d: alert %s is open, its incident is not", seed, id)
			}
			delete(open, id)
		}
		if len(open) != 0 || d.pending() != 0 {
			t.Fatalf("seed %d: not told: %v; %d pending", seed, open, d.pending())
		}
		d.healthy()
		calls += len(d.pager.Calls())
	}
	if calls < 60 {
		t.Errorf("only %d calls were made", calls)
	}
}

// TestServiceActsAloneAndGoesOn: one service acts, a store that lags is no dip, and
// another takes over.
func TestServiceActsAloneAndGoesOn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.must(d.store.RenewAlerts(t.Context(), d.fence, d.clock.Add(-time.Second)))
	dep := Dependencies{Store: d.store, Pager: d.sender.pager, Owner: "one", Now: func() time.Time { return d.clock }, Logger: slog.New(slog.DiscardHandler)}
	one, two := New(DefaultConfig(), dep), New(DefaultConfig(), Dependencies{Store: d.store, Pager: d.sender.pager, Owner: "two", Now: dep.Now, Logger: dep.Logger})
	lease, err := d.store.LeaseAlerts(t.Context(), "one", d.clock, leaseTTL)
	d.must(err)
	if err := two.term(t.Context()); err == nil {
		t.Error("a second service acts beside the first")
	}
	w, err := one.begin(t.Context(), lease)
	d.must(err)
	before := w.judged
	d.clock = d.clock.Add(3 * time.Minute)
	d.must(w.advance(t.Context()))
	if w.judged != before {
		t.Error("minutes of a store that lags are judged")
	}
	d.clock = d.clock.Add(DefaultConfig().Patience)
	d.must(w.advance(t.Context()))
	if w.judged <= before {
		t.Error("a quiet store is never judged")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = one.term(ctx)
	d.clock = d.clock.Add(time.Minute)
	if _, err := d.store.LeaseAlerts(t.Context(), "two", d.clock, leaseTTL); err != nil {
		t.Errorf("taking over: %v", err)
	}
}
