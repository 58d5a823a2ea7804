package alerts

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"clickgate/scoring/zscore"
)

// State is what a detector holds of its series.
type State uint8

// States.
const (
	// NoBaseline says that the series is too young to be judged; the score means
	// nothing.
	NoBaseline State = iota
	Calm
	Strange
)

// String returns the state's name.
func (s State) String() string {
	return [...]string{"no baseline yet", "calm", "strange"}[min(s, Strange)]
}

// DetectorConfig sets a detector. Scores are in spreads of the baseline, as in
// package zscore.
type DetectorConfig struct {
	Window int // points of the recent past, 3 to 1440
	Warmup int // points before the first judgement, 3 to Window

	Open   float64 // a point is strange from this score on
	Need   int     // and the series is when Need
	Of     int     // of the last Of points are, Of up to 64
	AtOnce float64 // or at the first point from this score on
	Close  float64 // a point is calm below this score,
	Calm   int     // and the series is after so many in a row

	Unit  float64       // what one event adds, see zscore.CountFloor; 0: the smallest step seen
	Dips  bool          // falling is strange too, once a whole window has had events
	Hours bool          // compare with the same hours of earlier days and weeks
	Step  time.Duration // between points; 0 is a minute
}

// DefaultDetector returns the configuration of minute counts.
func DefaultDetector() DetectorConfig {
	return DetectorConfig{
		Window: 60, Warmup: 15, Open: 6, Need: 2, Of: 3, AtOnce: 12, Close: 3, Calm: 5,
		Unit: 1, Dips: true, Hours: true,
	}
}

// Validate reports the first impossible value.
func (c *DetectorConfig) Validate() error {
	finite := func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }
	switch {
	case c.Window < zscore.MinBaseline || c.Window > 1440:
		return fmt.Errorf("window: %d is out of range; use %d to 1440 points", c.Window, zscore.MinBaseline)
	case c.Warmup < zscore.MinBaseline || c.Warmup > c.Window:
		return fmt.Errorf("warmup: %d is out of range; use %d to Window", c.Warmup, zscore.MinBaseline)
	case !(c.Close > 0) || !(c.Open > c.Close) || !(c.AtOnce >= c.Open) || !finite(c.AtOnce):
		return fmt.Errorf("scores %v to close, %v to open and %v to open at once do not rise from above 0", c.Close, c.Open, c.AtOnce)
	case c.Need < 1 || c.Of < c.Need || c.Of > 64:
		return fmt.Errorf("%d of %d points cannot open; use 1 to Of, up to 64", c.Need, c.Of)
	case c.Calm < 1 || c.Calm > 1440:
		return fmt.Errorf("calm: %d is out of range; use 1 to 1440 points", c.Calm)
	case !finite(c.Unit) || c.Unit < 0 || c.Step < 0:
		return fmt.Errorf("unit %v or step %s is negative or no number", c.Unit, c.Step)
	}
	return nil
}

// Detector judges one series, point by point. It knows nothing of stores and
// clocks: the same points give the same scores, so it runs over any recorded series
// as well. It is not safe for concurrent use.
//
// The score is a robust z-score: distance from the median of the last Window points
// in spreads, the spread being the median absolute deviation (times 1.4826), and at
// least what a Poisson count of that median scatters by. Where there are earlier
// days, a point has to be strange for its hour of the week too (or of the day, while
// there are too few weeks), so that neither a morning nor a quiet night rings.
//
// What was far off enters the baseline only as far as the point where it would be
// strange. So an attack that lasts does not become its own yardstick soon, while
// a level that really changed is taken for usual after an hour or two. Who creeps up
// slowly enough for the recent past is found by the mean of that past, measured
// against the hours of other days; half of that score counts by itself, until it has
// been told for a window: what stays after that is the new level, although it will
// be weeks before the other days say so.
type Detector struct {
	cfg   DetectorConfig
	past  []float64 // ring
	next  int
	hits  uint64 // bit n: the point n before the last one was strange
	quiet int    // calm points in a row
	open  bool
	hours *hours
	grown int // points on which the other days alone kept it strange; Window of them: told

	sorted []float64 // scratch
	// Of the last point, for evidence.
	Expected float64
}

// NewDetector returns a detector of a valid configuration, which has seen nothing.
func NewDetector(cfg DetectorConfig) *Detector {
	d := &Detector{cfg: cfg, past: make([]float64, 0, cfg.Window)}
	if cfg.Hours {
		d.hours = newHours(cfg.Step)
	}
	return d
}

// State returns the state after the last point.
func (d *Detector) State() State {
	switch {
	case d.open:
		return Strange
	case len(d.past) < d.cfg.Warmup:
		return NoBaseline
	}
	return Calm
}

// Observe judges the point at t and takes it in. Points come in order of time, one
// for each step. The score is 0 for a value that equals the median, positive above
// it, and within ±zscore.Limit; it means nothing in state NoBaseline. A value that
// is no finite number is left out: it changes nothing.
func (d *Detector) Observe(t time.Time, value float64) (score float64, state State) {
	return d.observe(t, value, point{judged: true})
}

// point is what a caller knows about a value besides.
type point struct {
	judged bool    // enough events stand behind it to say anything
	floor  float64 // least spread; 0: that of a count
	rises  bool    // only rising is strange, whatever Dips says
}

func (d *Detector) observe(t time.Time, value float64, p point) (float64, State) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, d.State()
	}
	if len(d.past) < d.cfg.Warmup {
		d.Expected = value
		d.judge(0) // one that was strange before a restart has to find its end
		d.take(t, value)
		return 0, d.State()
	}
	median, spread := d.baseline(value, p.floor)
	score := robust(value, median, spread)
	d.Expected = median
	if d.hours != nil {
		score = d.seasonal(t, value, score, spread)
	}
	counted := d.counted(score, p)
	d.judge(counted)
	d.take(t, d.usual(value, median, spread, counted))
	return score, d.State()
}

// usual is what of a value enters the baseline. A fall that does not count enters
// whole, so that pauses are known as such.
func (d *Detector) usual(value, median, spread, counted float64) float64 {
	limit := d.cfg.Open * spread
	switch {
	case value > median+limit:
		return median + limit
	case value < median-limit && counted > 0:
		return median - limit
	}
	return value
}

// counted returns how strange a score is to this detector, 0 where it must not be.
func (d *Detector) counted(score float64, p point) float64 {
	switch {
	case !p.judged:
		return 0
	case score >= 0:
		return score
	case d.cfg.Dips && !p.rises && len(d.past) == d.cfg.Window && slices.Min(d.past) > 0:
		return -score
	case d.open:
		return -score // it fell while it was strange: not calm yet
	}
	return 0
}

// judge moves the state by one point.
func (d *Detector) judge(strange float64) {
	d.hits = d.hits << 1 & (1<<d.cfg.Of - 1)
	if strange >= d.cfg.Open {
		d.hits |= 1
	}
	if strange < d.cfg.Close {
		d.quiet++
	} else {
		d.quiet = 0
	}
	switch {
	case d.open && d.quiet >= d.cfg.Calm:
		d.open, d.hits = false, 0
	case !d.open && (strange >= d.cfg.AtOnce || bits.OnesCount64(d.hits) >= d.cfg.Need):
		d.open = true
	}
}

func (d *Detector) take(t time.Time, value float64) {
	if len(d.past) < d.cfg.Window {
		d.past = append(d.past, value)
	} else {
		d.past[d.next] = value
		d.next = (d.next + 1) % d.cfg.Window
	}
	if d.hours != nil {
		d.hours.take(t, value)
	}
}

// residue is how much of a value is rounding: sums of equal fractions differ by
// less.
const residue = 1e-9

// baseline returns median and spread of the past.
func (d *Detector) baseline(value, floor float64) (median, spread float64) {
	d.sorted = append(d.sorted[:0], d.past...)
	if floor == 0 && d.cfg.Unit == 0 {
		slices.Sort(d.sorted)
		floor = -smallestStep(d.sorted, value)
	}
	median, mad, _ := zscore.MedianMAD(d.sorted)
	switch {
	case floor < 0:
		floor = zscore.CountFloor(math.Abs(median), -floor)
	case floor == 0:
		floor = zscore.CountFloor(math.Abs(median), d.cfg.Unit)
	}
	return median, max(madSigma*mad, floor)
}

// madSigma makes a MAD a standard deviation, for a normal distribution.
const madSigma = 1.4826

// robust is zscore.Robust with the spread at hand, and blind to residues.
func robust(value, median, spread float64) float64 {
	if math.Abs(value-median) <= residue*max(math.Abs(value), math.Abs(median)) {
		return 0
	}
	return zscore.Robust(value, median, 0, spread)
}

// smallestStep is the least difference between 0, the value and sorted values that
// is no residue; 1 where nothing differs.
func smallestStep(sorted []float64, value float64) float64 {
	least, size := math.Inf(1), max(math.Abs(value), math.Abs(sorted[0]), math.Abs(sorted[len(sorted)-1]))
	step := func(a, b float64) {
		if s := math.Abs(a - b); s > residue*size && s < least {
			least = s
		}
	}
	last := sorted[0]
	step(last, 0)
	for _, v := range sorted {
		step(v, last)
		step(v, value)
		last = v
	}
	step(value, 0)
	if math.IsInf(least, 1) {
		return 1
	}
	return least
}

// creep is how much of the score of the recent mean counts by itself.
const creep = 0.5

// seasonal joins the score against the recent past with that against earlier days:
// the smaller one when they agree on a direction, and never less than half of how
// far the mean of the recent past is above the hours of earlier days.
func (d *Detector) seasonal(t time.Time, value, recent, spread float64) float64 {
	median, usual, ok := d.hours.at(t)
	if !ok {
		return recent
	}
	joined := 0.0
	if days := robust(value, median, max(usual, spread)); recent*days > 0 {
		joined = math.Copysign(min(math.Abs(recent), math.Abs(days)), days)
	}
	if slow := d.slow(t, median, usual); joined >= 0 && slow > joined {
		return slow
	}
	return joined
}

// slow is how far the recent past has crept above what earlier days had, 0 once that
// was told for long enough.
func (d *Detector) slow(t time.Time, median, usual float64) float64 {
	if len(d.past) < d.cfg.Window {
		return 0
	}
	// The window reaches into the hour before, which may be a busier one.
	if m, s, ok := d.hours.at(t.Add(-time.Hour)); ok && m > median {
		median, usual = m, s
	}
	floor := zscore.CountFloor(math.Abs(median), d.cfg.Unit)
	slow := creep * robust(mean(d.past), median, max(usual, floor))
	switch {
	case slow < d.cfg.Close:
		d.grown = 0
	case d.grown >= d.cfg.Window:
		return 0
	case d.open:
		d.grown++
	}
	return slow
}

func mean(values []float64) (m float64) {
	for _, v := range values {
		m += v / float64(len(values)) // parts first: the sum of huge values would overflow
	}
	return m
}

// level returns the median of the past, and whether it is a baseline.
func (d *Detector) level() (median float64, known bool) {
	if len(d.past) < d.cfg.Warmup {
		return 0, false
	}
	median, _ = d.baseline(0, 1)
	return median, true
}

// cold judges a share without a baseline against the tolerated one, and takes in
// the share that the baseline will be made of, unless it is strange: an attack from
// the first minute on must not become the yardstick.
func (d *Detector) cold(t time.Time, share, sample float64) (float64, State) {
	score := robust(share, tolerated, toleratedSpread)
	d.judge(max(0, score))
	if score < d.cfg.Open {
		d.take(t, sample)
	}
	d.Expected = tolerated
	return score, d.State()
}
