package zscore

import "math"

const (
	weekHours  = 7 * 24
	weeksKept  = 4
	hourMicros = 3_600_000_000
	hourParts  = 60 // an hour's pace is mixed by the minute
)

// Week remembers how many events each hour of the last four weeks had, and says how unusual the present pace is for
// the hour: against the same hour of the week, and against the same hour of the last seven days. The zero value is
// ready; it holds no pointers and allocates nothing. Not safe for concurrent use.
//
// Hours before the one before the newest are kept to a sixteenth, in two bytes each. After a week of silence it begins
// anew: what was usual then is not known to be so now.
type Week struct {
	first       uint32 // hour of the first event, which is not whole
	hour        uint32 // newest hour; 0 is no event yet
	now, before uint32 // events in it, and in the hour before it
	minute      uint32 // that the baselines are of; 0: of none
	sameHour    hourly // of the week
	sameOfDay   hourly // of the last seven days

	counts [weeksKept * weekHours]uint16 // bins of the hours before those two, hour h at h % len
}

// hourly is median and MAD of the same hour's pace, in 60ths of an event, and of how many hours. Fewer than
// MinBaseline are none.
type hourly struct {
	median, mad float64
	hours       uint32
}

// Surprise is how unusual a pace is for the hour.
type Surprise struct {
	Z     float64 // robust score, never below 0: what is quiet is no click's fault
	Hours float64 // earlier hours that it rests on, at most 11; 0 is no opinion
}

// Observe counts an event at event time t, in microseconds since the epoch, and scores the pace: the events of the
// last 60 minutes. An event of the hour before the newest is counted, an older one is not; neither has an opinion.
func (w *Week) Observe(t int64, pace float64) Surprise {
	if t < hourMicros || t > maxTime {
		return Surprise{}
	}
	hour := uint32(t / hourMicros)
	if hour > w.hour {
		w.roll(hour)
	}
	switch hour {
	case w.hour:
		w.now = add1(w.now)
		return w.surprise(uint32(t/minuteMicros), pace)
	case w.hour - 1:
		w.before = add1(w.before)
		w.first = min(w.first, hour)
	}
	return Surprise{}
}

func add1(n uint32) uint32 {
	if n == math.MaxUint32 {
		return n
	}
	return n + 1
}

// roll makes an hour the newest.
func (w *Week) roll(hour uint32) {
	if w.hour == 0 || hour-w.hour > weekHours {
		*w = Week{first: hour, hour: hour}
		return
	}
	for ; w.hour < hour; w.hour++ {
		w.counts[(w.hour-1)%uint32(len(w.counts))] = uint16(bin(w.before))
		w.before, w.now = w.now, 0
	}
}

// surprise scores a pace in a minute of the newest hour. Of the two baselines the one counts that finds less: what is
// usual on Mondays, or has been usual these days, is no surprise.
func (w *Week) surprise(minute uint32, pace float64) (s Surprise) {
	if minute != w.minute {
		w.minute = minute
		w.sameHour = w.measure(minute, weekHours, weeksKept)
		w.sameOfDay = w.measure(minute, 24, 7)
	}
	for _, b := range [...]*hourly{&w.sameHour, &w.sameOfDay} {
		if b.hours < MinBaseline {
			continue
		}
		// Days differ by more than chance, and counts are kept to a sixteenth.
		floor := max(CountFloor(b.median, hourParts), float64(b.median/8))
		z := max(0, Robust(float64(pace*hourParts), b.median, b.mad, floor))
		if s.Hours == 0 || z < s.Z {
			s.Z = z
		}
		s.Hours += float64(b.hours)
	}
	return s
}

// measure is the baseline of the newest hour and of those up to times before it, step hours apart. The last 60 minutes
// are part of the newest hour and part of the one before it, so each value is mixed of two hours in the same parts.
func (w *Week) measure(minute, step, times uint32) (b hourly) {
	var values [7]float64
	of := uint64(minute%hourParts) + 1
	for i := uint32(1); i <= times; i++ {
		at := w.hour - i*step
		if at > w.hour || at-1 <= w.first {
			break // before the first whole hour
		}
		values[b.hours] = float64(of*w.of(at) + (hourParts-of)*w.of(at-1))
		b.hours++
	}
	b.median, b.mad, _ = MedianMAD(values[:b.hours])
	return b
}

// of is the events of an hour that is in the ring.
func (w *Week) of(hour uint32) uint64 { return binValue(int(w.counts[hour%uint32(len(w.counts))])) }
