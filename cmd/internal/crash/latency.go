package crash

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// watch notes how long answers took, and which requests were turned away, apart for
// the times when Redis was ill and nothing else was, and when nothing was.
type watch struct {
	weather *weather

	mu     sync.Mutex
	well   answers
	ill    answers
	beside int // answers while something else was wrong
}

// answers are those of one weather.
type answers struct {
	times  []time.Duration // of acks
	turned int             // requests that were refused for load
}

// state is the weather when a request leaves.
type state struct{ ill, busy bool }

func (w *watch) now() state {
	if w.weather == nil {
		return state{busy: true}
	}
	ill := w.weather.ill.Load()
	return state{ill, w.weather.busy.Load() > 0 || !ill && w.weather.healing.Load() > 0}
}

// answered notes an answer to a request that left at an instant; an ack or a refusal.
// One during which the weather changed belongs to neither side.
func (w *watch) answered(left state, took time.Duration, ack bool) {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	if left != now || now.busy {
		w.beside++
		return
	}
	side := &w.well
	if now.ill {
		side = &w.ill
	}
	if ack {
		side.times = append(side.times, took)
	} else {
		side.turned++
	}
}

// Felt is what clients felt of an ill Redis: printed, and never judged, but for
// refusals, of which there must be none because of it.
type Felt struct {
	Acks       [2]int     `json:"acks"` // while Redis was well, and while it was ill
	P50Seconds [2]float64 `json:"p50_seconds"`
	P99Seconds [2]float64 `json:"p99_seconds"`
	Refused    [2]int     `json:"refused"`
}

// felt sums up. It is called when nothing is sent any more.
func (w *watch) felt() Felt {
	var f Felt
	for i, side := range []*answers{&w.well, &w.ill} {
		slices.Sort(side.times)
		f.Acks[i], f.Refused[i] = len(side.times), side.turned
		f.P50Seconds[i], f.P99Seconds[i] = quantile(side.times, 0.50), quantile(side.times, 0.99)
	}
	return f
}

// quantile of sorted times, by nearest rank, in seconds; 0 of none.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Seconds()
}

// fewAnswers is below what a ratio of two p99 says anything.
const fewAnswers = 100

// String says what an ill Redis did to the p99.
func (f *Felt) String() string {
	if min(f.Acks[0], f.Acks[1]) < fewAnswers {
		return fmt.Sprintf("too few answers with nothing else wrong to say: %d while it was well, %d while it was ill", f.Acks[0], f.Acks[1])
	}
	return fmt.Sprintf("p99 %.1f ms while it was ill, %.1f ms while it was well (x %.2f; p50 %.1f and %.1f ms; %d and %d acks, %d and %d refused)",
		1e3*f.P99Seconds[1], 1e3*f.P99Seconds[0], f.P99Seconds[1]/max(f.P99Seconds[0], 1e-9),
		1e3*f.P50Seconds[1], 1e3*f.P50Seconds[0], f.Acks[1], f.Acks[0], f.Refused[1], f.Refused[0])
}

// Bounds of refusals that an ill Redis is blamed for. A busy machine refuses for load,
// in either weather alike; a gateway that refuses because it lacks hints refuses nearly
// all.
const (
	leastRefused = 20
	shareIll     = 0.25
	shareWell    = 0.05
)

// blames reports whether requests were refused because Redis was ill.
func (f *Felt) blames() bool {
	share := func(i int) float64 { return float64(f.Refused[i]) / float64(max(1, f.Refused[i]+f.Acks[i])) }
	return f.Refused[1] >= leastRefused && share(1) > shareIll && share(0) < shareWell
}
