package series

import (
	"math"
	"slices"
)

// tail learns how large distances become, and tells after how many points one as large is to be expected. Large ones
// come in groups, so only the largest of a stretch counts.
type tail struct {
	apart int
	peak  float64 // of the stretch that runs
	in    int     // points in it

	peaks  []float64 // by time, a ring
	next   int
	sorted []float64 // the same, largest first

	base   float64 // logarithm of the smallest peak of the tail
	points float64 // after how many points the base is passed
	shape  float64 // 1/alpha: how much the logarithm rises beyond, in the mean
	floor  float64 // added to all distances: what is smaller is nothing
}

const (
	stretches = 512  // remembered
	young     = 5    // stretches without a judgement
	share     = 0.25 // of the stretches make the tail
	fine      = 0.1  // of a usual step of the series is nothing

	// What the tail is taken for before there are peaks, and for how many of them that counts.
	priorShape = 0.3
	priorPeaks = 4
)

func newTail(apart int) tail {
	return tail{apart: apart, peaks: make([]float64, 0, stretches), sorted: make([]float64, 0, stretches)}
}

// observe returns the return period of a distance in points, 0 where there is none yet, and takes the distance in. step
// is the usual step of the series.
func (t *tail) observe(distance, step float64) (period float64) {
	if t.points == 0 || t.floor == 0 {
		t.fit(step)
	}
	if t.points > 0 && distance > t.floor {
		period = t.points * math.Exp((math.Log(distance+t.floor)-t.base)/t.shape)
	}
	t.peak = max(t.peak, distance)
	if t.in++; t.in == t.apart {
		t.keep(t.peak)
		t.in, t.peak = 0, 0
		t.fit(step)
	}
	return period
}

// keep takes the largest distance of a stretch in, for the oldest one where there is no room.
func (t *tail) keep(peak float64) {
	if len(t.peaks) < stretches {
		t.peaks = append(t.peaks, peak)
	} else {
		at, _ := t.find(t.peaks[t.next])
		t.sorted = slices.Delete(t.sorted, at, at+1)
		t.peaks[t.next] = peak
		t.next = (t.next + 1) % stretches
	}
	at, _ := t.find(peak)
	t.sorted = slices.Insert(t.sorted, at, peak)
}

func (t *tail) find(peak float64) (int, bool) {
	return slices.BinarySearchFunc(t.sorted, peak, func(a, b float64) int {
		switch {
		case a > b:
			return -1
		case a < b:
			return 1
		}
		return 0
	})
}

// fit estimates the tail of the largest peaks by Hill's mean of logarithms, drawn towards the prior.
func (t *tail) fit(step float64) {
	if t.floor = fine * step; len(t.sorted) < young || t.floor == 0 {
		t.points = 0
		return
	}
	n := int(math.Ceil(share * float64(len(t.sorted))))
	t.base = math.Log(t.sorted[n-1] + t.floor)
	rise := priorShape * priorPeaks
	for _, peak := range t.sorted[:n] {
		rise += math.Log(peak+t.floor) - t.base
	}
	t.shape = rise / float64(n-1+priorPeaks)
	t.points = float64(t.apart*(len(t.sorted)+1)) / float64(n)
}
