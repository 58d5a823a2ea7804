package admit

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

// full plays every test of this file at its full length; see `make bench-overload`.
var full = flag.Bool("overload.full", false, "play the overload tests at full length")

// length is how long a phase lasts. Everything in it that must have happened a
// number of times does so in the shorter one too.
func length(short, long time.Duration) time.Duration {
	switch {
	case *full:
		return long
	case raceEnabled:
		return max(short/2, 4*time.Second) // the simulation is one goroutine
	}
	return short
}

const grace = time.Second

// result is what one run of before, load, after showed. Everything about the load
// is over its time from grace on.
type result struct {
	unloaded   time.Duration // p99 before
	first      tally         // paid, in the first second of the load
	paid, low  tally
	goodput    float64 // of capacity
	lows       int     // lower requests that were admitted
	badSeconds int     // paid was refused and lower requests were admitted
	late       tally   // all, from a second after the load on
	limits     []int
	entered    []int
}

// play runs .7 or less of capacity, the load, and .7 again.
func play(s *sim, before float64, load phase, after time.Duration) *result {
	r := &result{}
	calm := phase{length: 10 * time.Second, load: before, shares: load.shares}
	begin := calm.length
	end := begin + load.length
	var unloaded []time.Duration
	good := 0
	shedIn, lowIn := map[time.Duration]bool{}, map[time.Duration]bool{}
	s.count = func(c *call, d Decision) {
		took := s.now - c.arrived
		count := func(t *tally) {
			t.offered++
			if d != Admitted {
				t.shed++
				return
			}
			t.latency = append(t.latency, took)
			if took <= inTime {
				t.good++
			}
		}
		second := c.arrived.Truncate(time.Second)
		if d == Admitted && took <= inTime && s.now >= begin+grace && s.now < end {
			good++
		}
		switch {
		case c.arrived < begin:
			if d == Admitted {
				unloaded = append(unloaded, took)
			}
		case c.arrived >= end+grace:
			count(&r.late)
		case c.arrived >= end:
		case c.replay:
		case c.class == Paid && c.arrived < begin+grace:
			count(&r.first)
		case c.arrived < begin+grace:
		case c.class == Paid:
			count(&r.paid)
			shedIn[second] = shedIn[second] || d != Admitted
		default:
			count(&r.low)
			lowIn[second] = lowIn[second] || d == Admitted
			if d == Admitted {
				r.lows++
			}
		}
	}
	s.run(calm)
	s.run(load)
	n := len(s.limits)
	r.limits, r.entered = s.limits[n-int(load.length/Interval):], s.entered[len(s.entered)-int(load.length/Interval):len(s.entered)-1]
	s.run(phase{length: after, load: .7, shares: load.shares})
	r.unloaded = p99(unloaded)
	r.goodput = float64(good) / ((load.length - grace).Seconds() * simCapacity)
	for second := range shedIn {
		if shedIn[second] && lowIn[second] {
			r.badSeconds++
		}
	}
	return r
}

func (r *result) row(t *testing.T, name string) {
	t.Helper()
	t.Logf("%-28s goodput %5.1f %%  paid shed %5.1f %%  low shed %5.1f %%  p99 paid %4.0f ms (%.1fx)  low %4.0f ms (%.1fx)  mixed seconds %d  after: shed %d, p99 %.1fx",
		name, 100*r.goodput, 100*r.paid.loss(), 100*r.low.loss(),
		ms(p99(r.paid.latency)), ratio(p99(r.paid.latency), r.unloaded), ms(p99(r.low.latency)), ratio(p99(r.low.latency), r.unloaded),
		r.badSeconds, r.late.shed, ratio(p99(r.late.latency), r.unloaded))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(1, b)) }

// TestOverloadTable is O1, O1b and O4: how much of the capacity is answered in
// time, who is refused, how long it takes, and how soon it is over.
func TestOverloadTable(t *testing.T) {
	t.Parallel()
	for _, paid := range []float64{.1, .2} {
		for _, times := range []float64{2, 5, 10} {
			for _, none := range []bool{true, false} {
				name := fmt.Sprintf("%2.0fx, paid %2.0f %%", times, 100*paid)
				if none {
					name += ", no gate"
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := newSim(1, nil)
					s.none = none
					r := play(s, .7, phase{length: length(6*time.Second, 31*time.Second), load: times, shares: mixed(paid)}, length(4*time.Second, 30*time.Second))
					r.row(t, name)
					if none {
						if r.goodput > .2 {
							t.Errorf("without a gate the goodput is %.2f: the load is none", r.goodput)
						}
						return
					}
					checkOverload(t, r, times, paid)
				})
			}
		}
	}
}

func checkOverload(t *testing.T, r *result, times, paid float64) {
	t.Helper()
	if r.low.shed < 1000 {
		t.Errorf("only %d refusals", r.low.shed)
	}
	if r.goodput < .95 {
		t.Errorf("goodput %.3f of capacity, want .95", r.goodput)
	}
	switch share := times * paid; {
	case share < 1 && r.paid.shed+r.first.shed > 0:
		t.Errorf("%d paid requests were refused, %d of them in the first second", r.paid.shed+r.first.shed, r.first.shed)
	case share == 1 && r.paid.loss() > .02:
		t.Errorf("%.3f of paid requests were refused, want .02 at most", r.paid.loss())
	case share > 1 && r.lows > 0:
		t.Errorf("%d lower requests were admitted while paid ones fill the capacity twice", r.lows)
	case share > 1 && float64(r.paid.good) < .95*float64(r.paid.offered)/share:
		t.Errorf("%d of %d paid requests in time", r.paid.good, r.paid.offered)
	}
	if q := ratio(p99(r.paid.latency), r.unloaded); q > 3 {
		t.Errorf("p99 of paid requests is %.1f times the unloaded one, want 3", q)
	}
	if q := ratio(p99(r.low.latency), r.unloaded); q > 5 {
		t.Errorf("p99 of admitted lower requests is %.1f times the unloaded one, want 5", q)
	}
	if q := ratio(p99(r.late.latency), r.unloaded); r.late.shed > 0 || q > 2 || r.late.offered < 1000 {
		t.Errorf("a second after the load: %d of %d refused, p99 %.1f times the unloaded one", r.late.shed, r.late.offered, q)
	}
}

// TestStep is O3: from half the capacity to ten times it in one moment.
func TestStep(t *testing.T) {
	t.Parallel()
	r := play(newSim(2, nil), .5, phase{length: length(6*time.Second, 30*time.Second), load: 10, shares: mixed(.08)}, 2*time.Second)
	r.row(t, "step .5x to 10x")
	if r.first.shed > 0 || r.first.offered < 1000 {
		t.Errorf("%d of %d paid requests were refused in the first second", r.first.shed, r.first.offered)
	}
	settled := r.limits[20:]
	if v := variation(settled); v > .25 {
		t.Errorf("two seconds after the step the limit still moves by %.0f %%: %v", 100*v, settled)
	}
	checkOverload(t, r, 10, .08)
}

// TestStability is O5.
func TestStability(t *testing.T) {
	t.Parallel()
	s := newSim(3, nil)
	r := play(s, .7, phase{length: length(60*time.Second, 10*time.Minute), load: 3, shares: mixed(.1)}, 2*time.Second)
	r.row(t, "3x, long")
	v := variation(r.entered[10:])
	t.Logf("admitted per %s: coefficient of variation %.1f %%; limit %d to %d", Interval, 100*v, minOf(r.limits[20:]), maxOf(r.limits[20:]))
	if v > .1 {
		t.Errorf("admitted per %s varies by %.3f, want .1", Interval, v)
	}
	if run := longestAt(r.limits, 4, 4096); run > 10 {
		t.Errorf("the limit stood at its floor or ceiling for %d intervals", run)
	}
}

// TestDrift is O6: a back end that gets ten times slower in ten minutes teaches
// the limit nothing.
func TestDrift(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		drift(t, seed)
	}
}

func drift(t *testing.T, seed uint64) {
	t.Helper()
	s := newSim(seed, nil)
	s.run(phase{length: 20 * time.Second, load: .7, shares: mixed(.1)})
	begin := s.gate.Limit()
	n := len(s.limits)
	s.run(phase{length: length(time.Minute, 10*time.Minute), load: .7, shares: mixed(.1), slow: 10})
	for i, l := range s.limits[n:] {
		if l > begin {
			t.Fatalf("seed %d: %d intervals into the drift the limit rose from %d to %d", seed, i, begin, l)
		}
	}
	if lowest := minOf(s.limits[n:]); s.gate.Limit() > 2*lowest {
		t.Errorf("the limit rose from %d to %d in the drift", lowest, s.gate.Limit())
	}
	if s.gate.refusals() < 1000 {
		t.Errorf("only %d refusals", s.gate.refusals())
	}
	if normal := s.gate.Status().Normal; normal > s.gate.cfg.TargetWait {
		t.Errorf("%s came to be normal", normal)
	}
	t.Logf("limit %d before, %d at the end, lowest %d; normal %s", begin, s.gate.Limit(), minOf(s.limits[n:]), s.gate.Status().Normal)
}

func minOf(xs []int) int {
	m := xs[0]
	for _, x := range xs {
		m = min(m, x)
	}
	return m
}

func maxOf(xs []int) int {
	m := xs[0]
	for _, x := range xs {
		m = max(m, x)
	}
	return m
}

// longestAt is the longest run at one of two values.
func longestAt(xs []int, low, high int) (longest int) {
	run := 0
	for _, x := range xs {
		run++
		if x > low && x < high {
			run = 0
		}
		longest = max(longest, run)
	}
	return longest
}
