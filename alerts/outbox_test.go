package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty"
	"clickgate/alerts/pagerduty/standin"

	"pgregory.net/rapid"
)

// teller writes incidents with pages by itself, as a tracker does.
type teller struct {
	*rig
	fence  int64
	sender *sender
	wrong  mistake
	all    map[int]*aggregate.Incident
}

// mistake is what a sender is made to do wrong; the zero value does nothing wrong.
type mistake struct {
	plan  func([]aggregate.Page) plan
	store func(Store) Store
	pager func(process int, p Pager) Pager
}

func newTeller(r *rig, wrong mistake) *teller {
	t := &teller{rig: r, wrong: wrong, all: map[int]*aggregate.Incident{}}
	t.restart(r.store)
	return t
}

// restart is a new process on the store.
func (t *teller) restart(store Store) {
	if t.wrong.store != nil {
		store = t.wrong.store(store)
	}
	t.sender, t.fence = t.rig.sender(store)
	if t.wrong.plan != nil {
		t.sender.plan = t.wrong.plan
	}
	if t.wrong.pager != nil {
		t.sender.pager = t.wrong.pager(t.services, t.sender.pager)
	}
}

func (t *teller) put(n int, a aggregate.PageAction) {
	t.t.Helper()
	i := t.all[n]
	tr := newTracker(DefaultConfig(), nil)
	payload, err := json.Marshal(tr.event(i, a))
	t.must(err)
	t.must(t.store.PutIncidents(t.t.Context(), t.fence, 0, []aggregate.IncidentPut{{Incident: *i, Page: &aggregate.NewPage{Action: a, Payload: payload}}}))
}

// trigger opens incident n, opens it again, or tells its news.
func (t *teller) trigger(n int) {
	t.t.Helper()
	i := t.all[n]
	if i == nil {
		i = &aggregate.Incident{
			ID: incidentID(&Finding{SeriesKey: SeriesKey{"acme", byCampaign, fmt.Sprint(n)}, Kind: volume}, 0), TenantID: "acme",
			Title: "campaign", Severity: aggregate.SeverityWarning, OpenedAt: day0.UnixMicro(),
			Series: []aggregate.IncidentSeries{{Dimension: byCampaign, Key: fmt.Sprint(n), Kind: volume}},
		}
		t.all[n] = i
	}
	i.ResolvedAt = 0
	t.put(n, aggregate.PageTrigger)
}

func (t *teller) resolve(n int) {
	t.t.Helper()
	t.all[n].ResolvedAt = time.Now().UnixMicro()
	t.put(n, aggregate.PageResolve)
}

// flush runs the sender for a while, as the service's loop does.
func (t *teller) flush(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		more, err := t.sender.step(t.t.Context(), t.fence)
		if err != nil {
			return err
		}
		if !more {
			time.Sleep(5 * time.Second)
		}
	}
	return nil
}

// bubble runs f with a teller in virtual time.
func bubble(t *testing.T, f func(*teller)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		f(newTeller(r, mistake{}))
		r.settled()
	})
}

func (t *teller) actions() string {
	var out []string
	for _, c := range t.pager.Calls() {
		out = append(out, fmt.Sprintf("%s %d", c.Action, c.Status))
	}
	return strings.Join(out, ", ")
}

// TestSeverityRisesAndNamesChange is case 20 (e).
func TestSeverityRisesAndNamesChange(t *testing.T) {
	bubble(t, func(p *teller) {
		p.trigger(1)
		p.must(p.flush(time.Second))
		p.all[1].Severity, p.all[1].Title = aggregate.SeverityCritical, "campaign of another name"
		p.trigger(1)
		p.must(p.flush(time.Second))
		if open := p.pager.Open(); len(open) != 1 || open[0].Severity != "critical" || !strings.Contains(open[0].Summary, "another name") {
			t.Errorf("open %+v", open)
		}
		p.resolve(1)
		p.must(p.flush(time.Second))
		calls := p.pager.Calls()
		for _, c := range calls {
			if c.DedupKey != calls[0].DedupKey {
				t.Errorf("keys differ: %+v", calls)
			}
		}
		if len(p.pager.Alerts()) != 1 || p.actions() != "trigger 202, trigger 202, resolve 202" {
			t.Errorf("%s", p.actions())
		}
	})
}

// TestFaultsOfPagerDuty is case 20 (f): 429, 429, 500, no answer, then taken, with
// waits that grow.
func TestFaultsOfPagerDuty(t *testing.T) {
	bubble(t, func(p *teller) {
		faults := []standin.Fault{standin.TooMany, standin.TooMany, standin.Broken, standin.Hang}
		p.pager.SetFaults(func(n int) standin.Fault {
			if n <= len(faults) {
				return faults[n-1]
			}
			return standin.Healthy
		})
		p.trigger(1)
		p.must(p.flush(15 * time.Minute))
		if p.actions() != "trigger 429, trigger 429, trigger 500, trigger 0, trigger 202" || len(p.pager.Alerts()) != 1 {
			t.Fatalf("%s", p.actions())
		}
		calls := p.pager.Calls()
		for n, least := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute} {
			if wait := calls[n+1].At.Sub(calls[n].At); wait < least || wait > least+15*time.Second {
				t.Errorf("wait %d is %s, want %s", n+1, wait, least)
			}
		}
	})
}

// TestAwayForHalfAnHour is case 20 (g): the incident opens and closes meanwhile.
func TestAwayForHalfAnHour(t *testing.T) {
	for name, tried := range map[string]bool{"before any call": false, "between calls": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *teller) {
				start := time.Now()
				p.pager.SetFaults(func(int) standin.Fault {
					if time.Since(start) < 30*time.Minute {
						return standin.Away
					}
					return standin.Healthy
				})
				if !tried { // another incident finds out that PagerDuty is away
					p.trigger(9)
					p.must(p.flush(time.Second))
				}
				p.trigger(1)
				if tried {
					p.must(p.flush(10 * time.Minute))
				}
				p.trigger(1)
				p.resolve(1)
				p.must(p.flush(40 * time.Minute))
				var of1 []string
				for _, a := range p.pager.Alerts() {
					if a.DedupKey == DedupKey(p.all[1].ID) {
						of1 = append(of1, a.DedupKey)
					}
				}
				if want := map[bool]int{true: 1, false: 0}[tried]; len(of1) != want {
					t.Errorf("%d alerts, want %d: %s", len(of1), want, p.actions())
				}
				if calls := p.pager.Calls(); len(calls) > 15 || len(calls) < 5 {
					t.Errorf("%d calls: %s", len(calls), p.actions())
				}
			})
		})
	}
}

// TestKilled is case 20 (h): the process dies between writing and noting that a
// page was sent, at every place, and there is one page.
func TestKilled(t *testing.T) {
	for name, d := range map[string]dying{
		"before the call is noted": {beforeAttempt: true}, "before the call": {afterAttempt: true}, "after the call": {beforeSettle: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(p *teller) {
				d.Store = p.store
				p.restart(&d)
				p.trigger(1)
				if err := p.flush(time.Second); !errors.Is(err, errDied) {
					t.Fatalf("the process lives: %v", err)
				}
				p.restart(p.store)
				p.must(p.flush(time.Minute))
				if all := p.pager.Alerts(); len(all) != 1 {
					t.Errorf("%d pages: %s", len(all), p.actions())
				}
				// The same at its end.
				d.Store = p.store
				p.restart(&d)
				p.resolve(1)
				if err := p.flush(time.Second); !errors.Is(err, errDied) {
					t.Fatalf("the process lives: %v", err)
				}
				p.restart(p.store)
				p.must(p.flush(time.Minute))
				if len(p.pager.Open()) != 0 || len(p.pager.Alerts()) != 1 {
					t.Errorf("at its end: %s", p.actions())
				}
			})
		})
	}
}

// TestRefusedForGood: a page that PagerDuty will never take is dropped and shown,
// and holds up no other.
func TestRefusedForGood(t *testing.T) {
	bubble(t, func(p *teller) {
		p.trigger(1)
		i := *p.all[1]
		p.must(p.store.PutIncidents(p.t.Context(), p.fence, 0, []aggregate.IncidentPut{
			{Incident: i, Page: &aggregate.NewPage{Action: aggregate.PageTrigger, Payload: []byte(`{"action":"trigger","dedup_key":"k","severity":"info"}`)}},
		}))
		p.trigger(2)
		p.must(p.flush(time.Second))
		refused, err := p.store.RefusedPages(p.t.Context(), 10)
		p.must(err)
		if len(refused) != 1 || !strings.Contains(refused[0].Error, "no summary") || p.actions() != "trigger 202" {
			t.Errorf("refused %+v, calls %s", refused, p.actions())
		}
		p.resolve(1) // nothing was told of it, so nothing is told
		p.must(p.flush(time.Second))
		if p.actions() != "trigger 202" {
			t.Errorf("calls %s", p.actions())
		}
	})
}

// op is one event of a random history.
type op struct {
	what     int // see playAny
	incident int
	fault    standin.Fault
	death    int
	seconds  int
}

// drawOps makes a history from a source of numbers.
func drawOps(draw func(below int) int) []op {
	ops := make([]op, 20+draw(60))
	for n := range ops {
		ops[n] = op{what: draw(10), incident: draw(3), fault: standin.Fault(draw(int(standin.Lost) + 1)), death: draw(3), seconds: 1 + draw(400)}
	}
	return ops
}

// playAny plays a history to its end, when PagerDuty is well again, and returns how
// often each incident opened.
func (t *teller) playAny(ops []op) (opens map[int]int) {
	opens = map[int]int{}
	for _, o := range ops {
		i := t.all[o.incident]
		switch {
		case o.what < 3:
			if i == nil || !i.Open() {
				opens[o.incident]++
			}
			t.trigger(o.incident)
		case o.what < 6:
			if i != nil && i.Open() {
				t.resolve(o.incident)
			}
		case o.what == 6:
			t.pager.SetFaults(func(int) standin.Fault { return o.fault })
		case o.what == 7:
			t.restart(&dying{Store: t.store, beforeAttempt: o.death == 0, afterAttempt: o.death == 1, beforeSettle: o.death == 2})
			if err := t.flush(time.Second); err != nil && !errors.Is(err, errDied) {
				t.t.Error(err)
			}
			t.restart(t.store)
		default:
			t.must(t.flush(time.Duration(o.seconds) * time.Second))
		}
	}
	t.pager.SetFaults(nil)
	t.must(t.flush(20 * time.Minute))
	return opens
}

// judgeHistory plays one history on a store in memory and returns what is wrong in
// the end, and how many alerts and faulty calls there were.
func judgeHistory(t *testing.T, ops []op, wrong mistake) (problems []string, alerts, faulty int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newMemoryRig(t)
		p := newTeller(r, wrong)
		opens := p.playAny(ops)
		problems = r.problems()
		if pending, err := r.store.PendingPages(t.Context()); err != nil || len(pending) > 0 {
			problems = append(problems, fmt.Sprintf("pending %+v, %v", pending, err))
		}
		rang := map[string]int{}
		for _, a := range r.pager.Alerts() {
			rang[a.DedupKey]++
			alerts++
		}
		for n, times := range opens {
			if got := rang[DedupKey(p.all[n].ID)]; got > times {
				problems = append(problems, fmt.Sprintf("incident %d opened %d times and rang %d times", n, times, got))
			}
		}
		for _, c := range r.pager.Calls() {
			if c.Status != 202 {
				faulty++
			}
		}
	})
	return problems, alerts, faulty
}

// TestAnyHistory: whatever happens to incidents, PagerDuty and the process, in the
// end PagerDuty has open what the store has open, and no incident rang more often
// than it opened.
func TestAnyHistory(t *testing.T) {
	t.Parallel()
	alerts, faulty := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		ops := drawOps(func(below int) int { return rapid.IntRange(0, below-1).Draw(rt, "") })
		problems, a, f := judgeHistory(t, ops, mistake{})
		alerts, faulty = alerts+a, faulty+f
		if len(problems) > 0 {
			rt.Fatalf("%q in history %+v", problems, ops)
		}
	})
	if alerts < 50 || faulty < 50 {
		t.Errorf("only %d alerts and %d faulty calls", alerts, faulty)
	}
}

// TestHistoriesCatchMistakes: planners with seeded mistakes fail the histories.
func TestHistoriesCatchMistakes(t *testing.T) {
	t.Parallel()
	doubt := func(maybe bool) func([]aggregate.Page) plan {
		return func(pending []aggregate.Page) plan {
			pending = slices.Clone(pending)
			for i := range pending {
				pending[i].Maybe = maybe
			}
			return planPages(pending)
		}
	}
	for name, c := range map[string]struct {
		mistake
		want string
	}{
		"what may have arrived is forgotten": {mistake{plan: doubt(false)}, "PagerDuty has"},
		"a resolve is sent whatever arrived": {mistake{plan: func(pending []aggregate.Page) plan {
			p := planPages(pending)
			if n := len(pending); n > 0 && pending[n-1].Action == aggregate.PageResolve {
				p.next = &pending[n-1]
				p.ends = slices.DeleteFunc(p.ends, func(e aggregate.PageEnd) bool { return e.Seq == p.next.Seq })
			}
			return p
		}}, "lone resolves"},
		"an end that was not told is dropped": {mistake{plan: func(pending []aggregate.Page) plan {
			p := planPages(pending)
			if p.next != nil && p.next.Action == aggregate.PageResolve && p.next.Attempts > 0 {
				p.ends, p.next = append(p.ends, aggregate.PageEnd{Seq: p.next.Seq, Outcome: aggregate.PageCollapsed}), nil
			}
			return p
		}}, "PagerDuty has"},
		"a page is marked as sent before it is": {mistake{store: func(s Store) Store { return hasty{s} }}, "PagerDuty has"},
		"a page is not noted before the call":   {mistake{store: func(s Store) Store { return forgetful{s} }}, "PagerDuty has"},
		"a new process uses a new key":          {mistake{pager: func(n int, p Pager) Pager { return renaming{p, n} }}, "PagerDuty has"},
	} {
		r := rand.New(rand.NewPCG(1, 1))
		caught := false
		for n := 0; n < 300 && !caught; n++ {
			problems, _, _ := judgeHistory(t, drawOps(r.IntN), c.mistake)
			caught = strings.Contains(strings.Join(problems, "; "), c.want)
		}
		if !caught {
			t.Errorf("%s: no history shows it", name)
		}
	}
}

// hasty settles a page when it is only about to be sent.
type hasty struct{ Store }

func (h hasty) AttemptPage(ctx context.Context, fence, seq int64, now time.Time) error {
	if err := h.Store.AttemptPage(ctx, fence, seq, now); err != nil {
		return err
	}
	return h.SettlePages(ctx, fence, now, []aggregate.PageEnd{{Seq: seq, Outcome: aggregate.PageSent}})
}

// forgetful does not note attempts.
type forgetful struct{ Store }

func (forgetful) AttemptPage(context.Context, int64, int64, time.Time) error { return nil }

// renaming makes keys that only one process knows, but for the first.
type renaming struct {
	Pager
	process int
}

func (r renaming) Send(ctx context.Context, e *pagerduty.Event) error {
	if r.process > 1 {
		e.DedupKey += fmt.Sprint("/", r.process)
	}
	return r.Pager.Send(ctx, e)
}

// TestPlan: what is told, and what not, for each state of the outbox.
func TestPlan(t *testing.T) {
	t.Parallel()
	const trigger, resolve = aggregate.PageTrigger, aggregate.PageResolve
	pages := func(delivered aggregate.PageAction, maybe bool, actions ...aggregate.PageAction) (out []aggregate.Page) {
		for n, a := range actions {
			out = append(out, aggregate.Page{Seq: int64(n + 1), IncidentID: "i", Action: a, Delivered: delivered, Maybe: maybe})
		}
		return out
	}
	for name, c := range map[string]struct {
		pending   []aggregate.Page
		next      int64 // 0 for none
		collapsed []int64
	}{
		"nothing":                            {nil, 0, nil},
		"opened":                             {pages(0, false, trigger), 1, nil},
		"updated":                            {pages(trigger, false, trigger, trigger, trigger), 3, []int64{1, 2}},
		"over before it was told":            {pages(0, false, trigger, trigger, resolve), 0, []int64{1, 2, 3}},
		"over, perhaps told":                 {pages(0, true, trigger, trigger, resolve), 2, []int64{1}},
		"over, told":                         {pages(trigger, false, trigger, resolve), 2, []int64{1}},
		"over, told, news perhaps":           {pages(trigger, true, trigger, resolve), 2, []int64{1}},
		"came back":                          {pages(trigger, false, resolve, trigger), 2, []int64{1}},
		"came back and over, end told":       {pages(resolve, false, trigger, resolve), 0, []int64{1, 2}},
		"came back and over, perhaps told":   {pages(resolve, true, trigger, resolve), 1, nil},
		"came back and over, end not told":   {pages(trigger, false, resolve, trigger, resolve), 3, []int64{1, 2}},
		"refused after it may have arrived":  {pages(0, true, resolve), 1, nil},
		"end of what was refused, not tried": {pages(0, false, resolve), 0, []int64{1}},
	} {
		p := planPages(c.pending)
		next, collapsed := int64(0), []int64(nil)
		if p.next != nil {
			next = p.next.Seq
		}
		for _, e := range p.ends {
			collapsed = append(collapsed, e.Seq)
		}
		if next != c.next || !slices.Equal(collapsed, c.collapsed) {
			t.Errorf("%s: next %d, collapsed %v; want %d, %v", name, next, collapsed, c.next, c.collapsed)
		}
	}
}
