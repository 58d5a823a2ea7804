package alerts

import (
	"math"
	"time"

	"clickgate/scoring/zscore"
)

const (
	weekHours = 7 * 24
	weeks     = 4
	// slack is the least spread against other days, as a part of their level:
	// within an hour a level rises and falls by that much.
	slack = 0.1
)

// hours keeps the mean level of a series in each hour of the last four weeks.
type hours struct {
	levels [weeks * weekHours]float32 // NaN: not known
	step   time.Duration

	current int64 // hour since 1970 that is being added up
	sum     float64
	points  int
}

func newHours(step time.Duration) *hours {
	if step == 0 {
		step = time.Minute
	}
	h := &hours{step: step, current: -1}
	for i := range h.levels {
		h.levels[i] = float32(math.NaN())
	}
	return h
}

func hourOf(t time.Time) int64 { return t.Unix() / 3600 }

func (h *hours) place(hour int64) *float32 { return &h.levels[hour%int64(len(h.levels))] }

// take adds a point. An hour counts once it is over and has had at least half of
// its points.
func (h *hours) take(t time.Time, value float64) {
	if hour := hourOf(t); hour != h.current {
		if h.current >= 0 && time.Duration(h.points)*h.step >= 30*time.Minute {
			h.set(h.current, h.sum/float64(h.points))
		}
		h.current, h.sum, h.points = hour, 0, 0
	}
	h.sum += value
	h.points++
}

// set keeps the level of an hour, which forgets that of four weeks before.
func (h *hours) set(hour int64, level float64) {
	*h.place(hour) = float32(level)
}

// at returns what is usual at t: by the same hour of the week when three weeks are
// known, else by the same hour of the days. ok is false without three of either.
func (h *hours) at(t time.Time) (median, spread float64, ok bool) {
	hour := hourOf(t)
	var levels [weeks * 7]float64
	collect := func(every int64, times int) []float64 {
		out := levels[:0]
		for n := int64(1); n <= int64(times); n++ {
			if past := hour - n*every; past >= 0 {
				if l := float64(*h.place(past)); !math.IsNaN(l) {
					out = append(out, l)
				}
			}
		}
		return out
	}
	known := collect(weekHours, weeks-1)
	if len(known) < zscore.MinBaseline {
		known = collect(24, weeks*7-1)
	}
	median, mad, ok := zscore.MedianMAD(known)
	return median, max(madSigma*mad, slack*math.Abs(median)), ok
}
