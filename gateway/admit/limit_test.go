package admit

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newTestLimit(change func(*Config)) *limit {
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	l := newLimit(&cfg, 4096)
	return &l
}

// feed gives the same interval n times.
func (l *limit) feed(n int, i interval) *limit {
	for range n {
		l.step(&i)
	}
	return l
}

func TestLimitRules(t *testing.T) {
	t.Parallel()
	busy := interval{wait: time.Millisecond, waits: 100, flush: 5 * time.Millisecond, flushes: 20, flushed: 800}
	with := func(change func(*interval)) interval {
		i := busy
		change(&i)
		return i
	}
	for name, c := range map[string]struct {
		i        interval
		n        int
		from     int // in flight follows the limit when 0
		low, top int
	}{
		"grows while it is used":                {with(func(i *interval) { i.inFlight = 1 << 20 }), 7, 64, 4096, 4096},
		"does not grow under half of it":        {with(func(i *interval) { i.inFlight, i.contended = 31, true }), 100, 64, 64, 64},
		"does not grow when nobody meets it":    {with(func(i *interval) { i.inFlight = 63 }), 100, 64, 64, 64},
		"grows when it was met":                 {with(func(i *interval) { i.inFlight, i.contended = 32, true }), 1, 64, 128, 128},
		"this interval has a queue":             {with(func(i *interval) { i.inFlight, i.wait = 64, 8*time.Millisecond }), 1, 64, 64, 64},
		"falls to its floor with a queue":       {with(func(i *interval) { i.inFlight, i.wait = 64, time.Second }), 100, 64, 4, 4},
		"no wait at all but full buffers":       {with(func(i *interval) { i.inFlight, i.buffered = 64, 1 }), 20, 64, 4, 12},
		"buffers half full":                     {with(func(i *interval) { i.inFlight, i.buffered = 64, .5 }), 1, 64, 128, 128},
		"flushes too long, the wait is nothing": {with(func(i *interval) { i.inFlight, i.flush = 64, 1100*time.Millisecond }), 30, 64, 4, 4},
		"flushes long, but not too long":        {with(func(i *interval) { i.inFlight, i.flush = 64, 900*time.Millisecond }), 1, 64, 128, 128},
		"nothing is flushed any more":           {interval{inFlight: 64}, 40, 64, 4, 12},
		"nothing to flush":                      {interval{}, 1000, 64, 64, 64},
	} {
		l := newTestLimit(nil).feed(c.n, c.i)
		if got := l.permits(); got < c.low || got > c.top {
			t.Errorf("%s: %d, want %d to %d", name, got, c.low, c.top)
		}
	}
}

// TestConstantTimeoutsAreNotHealthy: a back end that answers everything with the
// same timeout has no variance, and a limit that looks only at that would climb.
func TestConstantTimeoutsAreNotHealthy(t *testing.T) {
	t.Parallel()
	l := newTestLimit(nil)
	for range 6000 {
		n := l.permits()
		l.step(&interval{inFlight: n, wait: 2 * time.Second, waits: uint64(n), flush: 2 * time.Second, flushes: uint64(n), flushed: uint64(n)})
	}
	if l.permits() != 4 {
		t.Errorf("after ten minutes of timeouts the limit is %d", l.permits())
	}
}

// TestIncidentTeachesNothing: ten minutes at capacity, with noise, do not make
// the wait of that time normal.
func TestIncidentTeachesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		l := newTestLimit(nil)
		rng := rand.New(rand.NewPCG(seed, 3))
		for range 6000 {
			n := l.permits()
			flushed := 200 + 20*rng.NormFloat64()
			wait := time.Duration(max(0, float64(n)/2000-.008) * float64(time.Second) * (1 + .2*rng.NormFloat64()))
			l.step(&interval{inFlight: n, wait: wait, waits: 200, flush: 8 * time.Millisecond, flushes: 200, flushed: uint64(flushed)})
		}
		if l.target() > 2*float64(l.cfg.TargetWait) || l.permits() > 60 {
			t.Errorf("seed %d: %s came to be normal, limit %d", seed, time.Duration(l.normal), l.permits())
		}
	}
}

// TestGroupCommitIsNoQueue: on a disk that takes d for a sync of any size,
// requests wait up to d for the sync before theirs. 256 clients must get nearly
// what they get without a limit.
func TestGroupCommitIsNoQueue(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{3 * time.Millisecond, 10 * time.Millisecond, 30 * time.Millisecond} {
		const clients = 256
		run := func(gate bool) (n int, last float64) {
			s := newSim(6, nil)
			s.none = !gate
			s.groupCommit = d
			s.closed(clients)
			s.run(phase{length: 8 * time.Second})
			n = int(s.signals.Flushed)
			s.run(phase{length: 2 * time.Second})
			return n, float64(int(s.signals.Flushed) - n)
		}
		_, without := run(false)
		_, with := run(true)
		t.Logf("sync of %s: %.0f requests with the limit, %.0f without: %.3f", d, with, without, with/without)
		if with < .95*without {
			t.Errorf("sync of %s: %.0f requests with the limit, %.0f without", d, with, without)
		}
	}
}

func TestStudy(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		inFlight, flushed func(k int) float64
		want              bool
	}{
		"proportional":        {func(k int) float64 { return 10 + 3*float64(k) }, func(k int) float64 { return 50 + 15*float64(k) }, true},
		"at capacity":         {func(k int) float64 { return 10 + 3*float64(k) }, func(int) float64 { return 200 }, false},
		"at capacity, noise":  {func(k int) float64 { return 10 + 3*float64(k) }, func(int) float64 { return 200 + 10*rng.NormFloat64() }, false},
		"the more the worse":  {func(k int) float64 { return 10 + 3*float64(k) }, func(k int) float64 { return 200 - 5*float64(k) }, false},
		"in flight stays":     {func(int) float64 { return 64 }, func(k int) float64 { return 100 + float64(k) }, false},
		"hardly follows":      {func(k int) float64 { return 10 * math.Pow(1.2, float64(k)) }, func(k int) float64 { return 100 * math.Pow(1.04, float64(k)) }, false},
		"no correlation":      {func(k int) float64 { return 10 + float64(k*7%10) }, func(k int) float64 { return 100 + 10*float64(k*3%10) }, false},
		"nothing in flight":   {func(int) float64 { return 0 }, func(int) float64 { return 100 }, false},
		"falling, like rates": {func(k int) float64 { return 64 - 5*float64(k) }, func(k int) float64 { return 640 - 50*float64(k) }, true},
	} {
		var s study
		for k := range studyLength {
			s.add(&interval{inFlight: int(c.inFlight(k)), flushed: uint64(c.flushed(k)), waits: 10, wait: time.Millisecond})
		}
		if got := s.follows(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	a := Signals{Flushed: 10, Waits: 5, Wait: 50 * time.Millisecond, Flushes: 2, Flush: 10 * time.Millisecond}
	b := Signals{Flushed: 30, Waits: 9, Wait: 90 * time.Millisecond, Flushes: 2, Flush: 10 * time.Millisecond, Buffered: .5}
	if got, want := between(&a, &b), (interval{wait: 10 * time.Millisecond, waits: 4, flushed: 20, buffered: .5}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
