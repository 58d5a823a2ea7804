package aggregate

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// dripping is a store in which late clicks of some units never end; a pass over a unit
// takes as long as it says.
type dripping struct {
	Closing // nothing else is called
	takes   map[string]time.Duration
	fails   error
	passes  map[string]int
	busy    map[string]time.Duration
	rounds  int // of closing
}

func (d *dripping) OpenUnits(context.Context) ([]UnitInfo, error) {
	d.rounds++
	return nil, nil
}
func (d *dripping) StoredMarks(context.Context) ([]StoredMark, error)                 { return nil, nil }
func (d *dripping) RetiredGateways(context.Context) ([]Retirement, error)             { return nil, nil }
func (d *dripping) Lease(context.Context, Unit, string, int64) (fence int64, e error) { return 1, nil }
func (d *dripping) LateUnits(context.Context) (units []Unit, err error) {
	for _, source := range []string{"huge", "great", "small"} {
		if d.takes[source] > 0 {
			units = append(units, Unit{TenantID: "acme", SourceID: source})
		}
	}
	return units, nil
}

func (d *dripping) InClosing(ctx context.Context, u Unit, _ int64, _ func(ClosingTx) error) error {
	took := d.takes[u.SourceID]
	d.passes[u.SourceID]++
	d.busy[u.SourceID] += took
	select {
	case <-time.After(took):
	case <-ctx.Done():
	}
	return d.fails
}

type noJudge struct{ Judge }

func (noJudge) Hashes(string, string) (policy, model uint64) { return 0, 0 }

// TestLateDrips: late clicks that never end take a bounded share of a closer's time,
// however long a pass over their hour takes, and none of them is left for good.
func TestLateDrips(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]error{"settled": nil, "failing": errors.New("the store is away")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &dripping{
					takes: map[string]time.Duration{"huge": 2 * time.Minute, "great": 20 * time.Second, "small": 10 * time.Millisecond},
					fails: fails, passes: map[string]int{}, busy: map[string]time.Duration{},
				}
				const lasts = 10 * time.Hour
				closer := newDripCloser(t, d)
				closer.Start()
				time.Sleep(lasts)
				closer.Stop()
				for source, most := range map[string]time.Duration{"huge": lasts / 9, "great": lasts / 9} {
					if got := d.busy[source]; got > most || d.passes[source] < 10 {
						t.Errorf("%s: %d passes took %s, want at most %s and 10 passes", source, d.passes[source], got, most)
					}
				}
				// A round is 10 s apart from the next, and a fifth of the time is others'.
				if d.passes["small"] < 2000 || d.rounds < 2000 {
					t.Errorf("%d passes over the small hour in %d rounds", d.passes["small"], d.rounds)
				}
			})
		})
	}
}

// TestDripsOnDemand: what somebody asked for does not wait.
func TestDripsOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &dripping{takes: map[string]time.Duration{"huge": time.Minute}, passes: map[string]int{}, busy: map[string]time.Duration{}}
		closer := newDripCloser(t, d)
		for range 3 {
			if _, err := closer.RunOnce(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if d.passes["huge"] != 1 {
			t.Errorf("%d passes, want 1 and a rest", d.passes["huge"])
		}
		if _, err := closer.CloseNow(t.Context(), "acme", "", 0, "ada", "month end"); err != nil || d.passes["huge"] != 2 {
			t.Errorf("%d passes, want another on demand: %v", d.passes["huge"], err)
		}
	})
}

// TestRestsAreForgotten: a unit without further late clicks leaves nothing behind.
func TestRestsAreForgotten(t *testing.T) {
	t.Parallel()
	var r rests
	now := time.Unix(1000, 0)
	for n := range 100 {
		r.rest(Unit{Hour: int64(n)}, 2*time.Second, now.Add(time.Duration(n)*time.Minute))
	}
	if len(r.until) != 1 {
		t.Errorf("%d rests are kept, want the newest", len(r.until))
	}
	u := Unit{SourceID: "long"}
	if r.rest(u, time.Hour, now); !r.resting(u, now.Add(settleRest-1)) || r.resting(u, now.Add(settleRest)) {
		t.Error("the longest rest is not settleRest")
	}
}

func newDripCloser(t *testing.T, store Closing) *Closer {
	t.Helper()
	c, err := NewCloser(DefaultConfig().Close, CloserDependencies{
		Store: store, Judge: noJudge{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Owner: "test",
		Terms: func(string, string) SourceTerms { return SourceTerms{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
