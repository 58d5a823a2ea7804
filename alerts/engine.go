package alerts

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const minuteMicros = 60 * 1_000_000

// Dimensions of series, in the order in which incidents name them.
const (
	byCampaign  = "campaign"
	byPublisher = "publisher"
	bySource    = "source"
)

// Kinds of series.
const (
	volume        = "volume"
	invalidShare  = "invalid_share"  // givt and sivt of what was scored
	repeatedShare = "repeated_share" // redelivered and duplicate of all
)

var kinds = [...]string{volume, invalidShare, repeatedShare}

// A share is judged before it has a past of its own, so that an attack in the first
// minutes rings: against a tolerated share, and a spread that is as large. For
// invalid traffic that is the sophisticated part only, since how much declared
// crawlers make up differs from one site to the next.
const (
	tolerated       = 0.05
	toleratedSpread = 0.05
	// riseSpread is the least spread of a share with a past: at a score of 6 it has
	// to rise by 15 points of a hundred.
	riseSpread = 0.025
)

// SeriesKey names what is counted.
type SeriesKey struct {
	Tenant    string
	Dimension string
	ID        string // empty for events that name none
}

func (k SeriesKey) compare(o SeriesKey) int {
	return cmp.Or(cmp.Compare(k.Tenant, o.Tenant), cmp.Compare(k.Dimension, o.Dimension), cmp.Compare(k.ID, o.ID))
}

// Finding is one series that is strange in a minute.
type Finding struct {
	SeriesKey
	Kind     string
	Score    float64
	Observed float64 // events, or a share
	Expected float64
	Events   int64
	Excess   int64            // events beyond what was expected; of a dip, 0
	Money    map[string]int64 // micros of the excess by currency
}

// Judgement is what a minute shows.
type Judgement struct {
	Minute   int64     // Unix microseconds
	Findings []Finding // by series and kind
	cells    map[cell]int64
}

// cell is the finest thing that is counted.
type cell struct{ tenant, source, campaign, publisher string }

func (c cell) keys() [3]SeriesKey {
	return [3]SeriesKey{{c.tenant, byCampaign, c.campaign}, {c.tenant, byPublisher, c.publisher}, {c.tenant, bySource, c.source}}
}

// Engine turns minutes of counts into findings. It is not safe for concurrent use.
type Engine struct {
	cfg    Config
	series map[SeriesKey]*series
	cells  map[cell]int64 // events of late, older ones for less: a silence has no clicks to share
	cut    int64          // series that found no room
}

// series is one line of counts with its detectors.
type series struct {
	detectors [len(kinds)]*Detector
	seen      int64 // the last minute with events

	minute counts // of the minute that is being judged
}

// counts of a series in one minute.
type counts struct {
	states [click.NumStates]int64
	micros map[string]int64 // by currency
}

// NewEngine returns an engine of a valid configuration, without any past.
func NewEngine(cfg Config) *Engine {
	return &Engine{cfg: cfg, series: map[SeriesKey]*series{}, cells: map[cell]int64{}}
}

// Judge takes in one minute. Minutes come in order, each once, also those without
// any counts; rows of other minutes are a mistake of the caller.
func (e *Engine) Judge(minute int64, rows []aggregate.MinuteCount) Judgement {
	j := Judgement{Minute: minute, cells: e.cells}
	for c, n := range e.cells {
		if e.cells[c] = n * 9 / 10; n < 2 {
			delete(e.cells, c)
		}
	}
	e.fill(minute, rows)
	at := time.UnixMicro(minute).UTC()
	for _, key := range slices.SortedFunc(maps.Keys(e.series), SeriesKey.compare) {
		s := e.series[key]
		j.Findings = append(j.Findings, e.judge(key, s, at)...)
		s.minute = counts{}
	}
	e.forget(minute)
	return j
}

// fill spreads rows over the series they belong to.
func (e *Engine) fill(minute int64, rows []aggregate.MinuteCount) {
	for i := range rows {
		r := &rows[i]
		c := cell{r.TenantID, r.SourceID, r.CampaignID, r.PublisherID}
		e.cells[c] += sum(&r.Counts)
		for _, key := range c.keys() {
			s := e.of(key)
			if s == nil {
				continue
			}
			s.seen = minute
			s.minute.add(r)
		}
	}
}

func (c *counts) add(r *aggregate.MinuteCount) {
	for state, n := range r.Counts {
		c.states[state] += n
	}
	if r.Micros != 0 {
		if c.micros == nil {
			c.micros = map[string]int64{}
		}
		c.micros[r.Currency] += r.Micros
	}
}

// of returns the series of a key, nil when there is no room for another.
func (e *Engine) of(key SeriesKey) *series {
	if s := e.series[key]; s != nil {
		return s
	}
	if len(e.series) >= e.cfg.MaxSeries {
		e.cut++
		return nil
	}
	s := &series{}
	cfg := e.cfg.detector()
	s.detectors[0] = NewDetector(cfg)
	cfg.Dips, cfg.Hours = false, false
	s.detectors[1], s.detectors[2] = NewDetector(cfg), NewDetector(cfg)
	e.series[key] = s
	return s
}

// forgetAfter is how long a series without events is kept: as long as its hours of
// earlier weeks mean anything.
const forgetAfter = weeks * weekHours * 60 * minuteMicros

// forget drops series that have had no events for long, and when there is hardly
// room, those that had none for a window and are not strange.
func (e *Engine) forget(minute int64) {
	keep := int64(forgetAfter)
	if len(e.series) > e.cfg.MaxSeries*9/10 {
		keep = int64(e.cfg.WindowMinutes) * minuteMicros
	}
	maps.DeleteFunc(e.series, func(_ SeriesKey, s *series) bool {
		for _, d := range s.detectors {
			if d.open {
				return false
			}
		}
		return minute-s.seen > keep
	})
}

// judge moves the detectors of one series and returns what is strange.
func (e *Engine) judge(key SeriesKey, s *series, at time.Time) (out []Finding) {
	c := &s.minute
	for i, kind := range kinds {
		f := Finding{SeriesKey: key, Kind: kind}
		var state State
		switch kind {
		case volume:
			f.Events = c.total()
			state = e.judgeVolume(s.detectors[i], at, &f)
		case invalidShare:
			f.Events = c.scored()
			state = e.judgeShare(s.detectors[i], at, &f, c.states[click.GIVT]+c.states[click.SIVT], c.states[click.SIVT])
		case repeatedShare:
			n := c.states[click.Redelivered] + c.states[click.Duplicate]
			f.Events = c.scored() + c.states[click.Redelivered]
			state = e.judgeShare(s.detectors[i], at, &f, n, n)
		}
		if state == Strange {
			f.Money = c.money(f.Excess, f.Events)
			out = append(out, f)
		}
	}
	return out
}

// total is how many events came: malformed ones have no campaign and redelivered
// ones were counted before, and both are somebody's traffic.
func (c *counts) total() int64 { return sum(&c.states) }

// sum adds the events of all states.
func sum(states *[click.NumStates]int64) (n int64) {
	for _, k := range states {
		n += k
	}
	return n
}

// scored is how many clicks had a verdict.
func (c *counts) scored() int64 {
	s := &c.states
	return s[click.GIVT] + s[click.SIVT] + s[click.Undecidable] + s[click.Suspect] + s[click.Duplicate] + s[click.Valid]
}

// money returns the part of all micros that belongs to an excess.
func (c *counts) money(excess, events int64) map[string]int64 {
	if excess <= 0 || events <= 0 {
		return nil
	}
	out := map[string]int64{}
	for currency, micros := range c.micros {
		out[currency] = int64(math.Min(float64(micros)*min(1, float64(excess)/float64(events)), math.MaxInt64/2))
	}
	return out
}

func (e *Engine) judgeVolume(d *Detector, at time.Time, f *Finding) State {
	f.Observed = float64(f.Events)
	median, _ := d.level()
	big := math.Abs(f.Observed-median) >= float64(e.cfg.MinClicks)
	var state State
	f.Score, state = d.observe(at, f.Observed, point{judged: big})
	f.Expected = d.Expected
	f.Excess = max(0, int64(f.Observed-f.Expected))
	return state
}

// judgeShare judges n of the finding's events; cold of them count before the series
// has a baseline.
func (e *Engine) judgeShare(d *Detector, at time.Time, f *Finding, n, cold int64) State {
	enough := f.Events >= int64(e.cfg.MinClicks)
	events := float64(f.Events)
	var state State
	switch median, known := d.level(); {
	case !enough:
		// Too few to be a point of the baseline, and calm as far as they go.
		d.judge(0)
		state = d.State()
	case known:
		f.Observed = float64(n) / events
		p := min(max(median, 0.01), 0.99)
		floor := max(riseSpread, math.Sqrt(float64(p*(1-p))/events))
		f.Score, state = d.observe(at, f.Observed, point{judged: true, floor: floor, rises: true})
		f.Expected = d.Expected
	default:
		f.Observed, f.Expected = float64(cold)/events, tolerated
		f.Score, state = d.cold(at, f.Observed, float64(n)/events)
	}
	f.Excess = max(0, int64(float64(f.Observed-f.Expected)*events))
	return state
}

// rememberHours gives the volumes of past hours to their series; rows are as
// aggregate.Incidents.HourCounts returns them.
func (e *Engine) rememberHours(rows []aggregate.MinuteCount) {
	type hourKey struct {
		SeriesKey
		hour int64
	}
	totals := make(map[hourKey]int64)
	for i := range rows {
		r := &rows[i]
		n := sum(&r.Counts)
		for _, key := range (cell{r.TenantID, r.SourceID, r.CampaignID, r.PublisherID}).keys() {
			totals[hourKey{key, hourOf(time.UnixMicro(r.Minute))}] += n
		}
	}
	for k, n := range totals {
		if s := e.of(k.SeriesKey); s != nil {
			s.detectors[0].hours.set(k.hour, float64(n)/60)
			s.seen = max(s.seen, k.hour*60*minuteMicros)
		}
	}
}

// restore makes exactly the series of open incidents strange: after a restart the
// store says what is open, not the minutes that were read again. These say how long
// a series has been calm, or else frequent restarts would keep an incident open.
func (e *Engine) restore(open []*aggregate.Incident) {
	for _, s := range e.series {
		for _, d := range s.detectors {
			if d.open {
				d.open, d.hits = false, 0
			}
		}
	}
	for _, i := range open {
		for _, m := range i.Series {
			s := e.of(SeriesKey{i.TenantID, m.Dimension, m.Key})
			if k := slices.Index(kinds[:], m.Kind); s != nil && k >= 0 && m.To == 0 {
				s.detectors[k].open = true
			}
		}
	}
}
