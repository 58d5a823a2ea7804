package alerts

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty/standin"
)

// live is a rig whose counts grow as the minutes pass.
type live struct {
	*rig
	attack   atomic.Bool
	behind   bool // the aggregator stores nothing
	quiet    bool // nobody clicks
	backlog  []int64
	attacked map[int64]bool
}

// play runs f in virtual time that begins at a full minute after an hour of usual
// counts, on a store in memory.
func play(t *testing.T, f func(*live)) {
	t.Helper()
	playOn(t, newMemoryRig, f)
}

func playOn(t *testing.T, rig func(*testing.T) *rig, f func(*live)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &live{rig: rig(t), attacked: map[int64]bool{}}
		defer l.close()
		now := time.Now().UnixMicro()
		for m := now - 60*minuteMicros; m < now; m += minuteMicros {
			l.count(m, usual...)
		}
		f(l)
		l.settled()
	})
}

// run lets n minutes pass, whose counts the aggregator stores as they end.
func (l *live) run(n int) {
	l.t.Helper()
	for range n {
		minute := time.Now().Truncate(time.Minute).UnixMicro()
		l.attacked[minute] = l.attack.Load()
		l.backlog = append(l.backlog, minute)
		time.Sleep(time.Until(time.UnixMicro(minute + minuteMicros).Add(time.Second)))
		if l.behind {
			continue
		}
		for _, m := range l.backlog {
			if l.quiet {
				break
			}
			rows := usual
			if l.attacked[m] {
				rows = attacked(0, 0, 9000)
			}
			l.count(m, rows...)
		}
		l.backlog = nil
		l.stalled.Store(0)
		synctest.Wait()
	}
}

// stall lets the aggregator store nothing until the next run after resume.
func (l *live) stall() {
	l.behind = true
	l.stalled.Store(time.Now().UnixMicro())
}

func (l *live) resume() { l.behind = false }

// mortal is a store that a process cannot reach any more once it is dead.
type mortal struct {
	Store
	dead atomic.Bool
}

func (m *mortal) RenewAlerts(ctx context.Context, fence int64, until time.Time) error {
	if m.dead.Load() {
		return errDied
	}
	return m.Store.RenewAlerts(ctx, fence, until)
}

func (m *mortal) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	if m.dead.Load() {
		return errDied
	}
	return m.Store.SettlePages(ctx, fence, now, ends)
}

// kill ends a service without a word, as kill -9 does.
func (m *mortal) kill(s *Service) {
	m.dead.Store(true)
	s.Stop()
}

// TestServiceRingsOnce: two processes watch, one acts, and an attack is one alert
// that resolves. When the one that acts is killed in the middle, the other goes on.
func TestServiceRingsOnce(t *testing.T) {
	for name, killed := range map[string]bool{"alive": false, "killed in the middle": true} {
		t.Run(name, func(t *testing.T) {
			playOn(t, newRig, func(l *live) {
				store := &mortal{Store: l.store}
				first, second := l.service(store), l.service(l.store)
				first.Start()
				synctest.Wait()
				second.Start()
				l.run(5)
				l.attack.Store(true)
				l.run(3)
				if killed {
					store.kill(first)
				}
				l.run(3)
				if open := l.pager.Open(); len(open) != 1 || len(l.pager.Alerts()) != 1 {
					t.Errorf("in the attack: %d open of %d", len(open), len(l.pager.Alerts()))
				}
				l.attack.Store(false)
				l.run(12)
				if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() || !strings.Contains(all[0].Summary, "of tenant acme: ") {
					t.Errorf("after the attack: %+v", all)
				}
				if !killed {
					first.Stop()
				}
				second.Stop()
			})
		})
	}
}

// TestHandOver: a stop gives the lease up, so that the next process acts at once.
func TestHandOver(t *testing.T) {
	play(t, func(l *live) {
		first := l.service(l.store)
		first.Start()
		l.run(1)
		first.Stop()
		second := l.service(l.store)
		second.Start()
		time.Sleep(2 * time.Second)
		if second.Open() == nil { // without the lease it holds nothing, not even an empty list
			t.Error("the second has to wait")
		}
		second.Stop()
	})
}

// TestAggregatorBehind: minutes that come late, much later than any patience, are no
// dip, and an attack in them rings when they come.
func TestAggregatorBehind(t *testing.T) {
	for name, minutes := range map[string]int{"a little": 4, "for long": 45} {
		t.Run(name, func(t *testing.T) {
			play(t, func(l *live) {
				s := l.service(l.store)
				s.Start()
				l.run(5)
				l.stall()
				l.count(time.Now().Truncate(time.Minute).Add(4*time.Minute).UnixMicro(), row("spring", "news", 1, 0)) // a clock that runs fast
				l.run(minutes)
				if n := len(l.pager.Calls()); n != 0 {
					t.Errorf("%d calls while the aggregator is behind: %+v", n, l.pager.Alerts())
				}
				l.attack.Store(true)
				l.resume()
				l.run(2)
				if len(l.pager.Open()) != 1 {
					t.Errorf("the attack is not told: %+v", l.pager.Calls())
				}
				l.attack.Store(false)
				l.run(10)
				s.Stop()
				if all := l.pager.Alerts(); len(all) != 1 {
					t.Errorf("%d alerts", len(all))
				}
			})
		})
	}
}

// TestAllTrafficEnds: nothing comes any more although the gateways are well, and that
// is one incident, which is over when it is usual.
func TestAllTrafficEnds(t *testing.T) {
	play(t, func(l *live) {
		s := l.service(l.store)
		s.Start()
		l.run(2)
		time.Sleep(20 * time.Minute)
		if open := l.pager.Open(); len(open) != 1 || !strings.Contains(open[0].Summary, " 0 events a minute, ") {
			t.Errorf("open %+v", open)
		}
		time.Sleep(4 * time.Hour)
		if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() {
			t.Errorf("hours later: %d alerts, first %+v", len(all), all[0])
		}
		s.Stop()
	})
}

// TestFirstStartIgnoresThePast: an attack that was over before anybody watched
// rings nobody.
func TestFirstStartIgnoresThePast(t *testing.T) {
	play(t, func(l *live) {
		l.attack.Store(true)
		l.run(3)
		l.attack.Store(false)
		l.run(2)
		s := l.service(l.store)
		s.Start()
		l.run(10)
		if n := len(l.pager.Calls()); n != 0 {
			t.Errorf("%d calls", n)
		}
		if len(s.Open()) != 0 {
			t.Errorf("open %+v", s.Open())
		}
		s.Stop()
	})
}

// flaky is a store that fails now and then.
type flaky struct {
	Store
	calls atomic.Int64
}

var errFlaky = errors.New("the store is away")

func (f *flaky) PutIncidents(ctx context.Context, fence, judged int64, puts []aggregate.IncidentPut) error {
	if f.calls.Add(1)%3 != 0 {
		return errFlaky
	}
	return f.Store.PutIncidents(ctx, fence, judged, puts)
}

func (f *flaky) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	if f.calls.Add(1)%2 != 0 {
		return errFlaky
	}
	return f.Store.SettlePages(ctx, fence, now, ends)
}

// TestStoreFails: errors of the store delay, and change nothing else.
func TestStoreFails(t *testing.T) {
	play(t, func(l *live) {
		store := &flaky{Store: l.store}
		s := l.service(store)
		s.Start()
		l.run(4)
		l.attack.Store(true)
		l.run(4)
		l.attack.Store(false)
		l.run(12)
		if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() {
			t.Errorf("%d alerts, open %v", len(all), len(l.pager.Open()))
		}
		if store.calls.Load() < 40 {
			t.Errorf("only %d calls of the store", store.calls.Load())
		}
		s.Stop()
	})
}

// TestEndToEndFaults: PagerDuty is away during a whole attack that is tried to be
// told, and well again afterwards.
func TestEndToEndFaults(t *testing.T) {
	play(t, func(l *live) {
		s := l.service(l.store)
		s.Start()
		l.run(3)
		l.pager.SetFaults(func(int) standin.Fault { return standin.Away })
		l.attack.Store(true)
		l.run(4)
		l.attack.Store(false)
		l.run(26)
		if len(l.pager.Alerts()) != 0 {
			t.Error("an alert while PagerDuty is away")
		}
		l.pager.SetFaults(nil)
		l.run(8)
		if all := l.pager.Alerts(); len(all) != 1 || all[0].ResolvedAt.IsZero() {
			t.Errorf("%d alerts, open %v", len(all), len(l.pager.Open()))
		}
		s.Stop()
	})
}
