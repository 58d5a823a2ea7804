package fraudeval

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
)

// Goals that the lower bounds of recall and the upper bounds of false positives are
// held to.
const (
	GoalLoud  = 0.95
	GoalSlow  = 0.80
	GoalFalse = 0.001
	GoalCrowd = 0.003  // NAT and flash crowds
	RelayLess = 10_000 // users of a relay who must be seen, none of them taken for fraud
)

// Report is the whole outcome.
type Report struct {
	Seeds     []uint64  `json:"seeds"`
	Training  []uint64  `json:"training_seeds,omitempty"`
	Hours     int       `json:"hours"`
	Rate      float64   `json:"rate"`
	Model     string    `json:"model"` // hash, or none
	Lists     string    `json:"lists"`
	Policy    string    `json:"policy"`
	ElapsedS  float64   `json:"elapsed_s"`
	Clicks    int64     `json:"clicks"`
	Families  []Attack  `json:"families"`
	People    []Segment `json:"people"`
	Routine   []Routine `json:"routine"`
	RelayUser RelayUser `json:"relay_users"`
	Money     Money     `json:"money"`
	Goals     []Goal    `json:"goals"`
	Worlds    []Drawing `json:"worlds"`
}

// Attack is the row of a family. Recall is the share that ends as givt or sivt.
type Attack struct {
	Family   string           `json:"family"`
	Loud     bool             `json:"loud"`
	Seeds    int              `json:"seeds"` // in which it had clicks
	Recall   Rate             `json:"recall_clicks"`
	Money    Rate             `json:"recall_money"`
	Unbilled Rate             `json:"unbilled_money"` // with duplicates and undecidable ones
	AtEdge   Rate             `json:"recall_at_edge"`
	Detected int              `json:"detected"` // seeds in which the edge flagged a click of it
	TimeS    *float64         `json:"median_s_to_detection"`
	Clicks   *float64         `json:"median_clicks_to_detection"`
	States   map[string]int64 `json:"states"`
	Reasons  map[string]int64 `json:"reasons"`
	Forest   *Forest          `json:"forest,omitempty"`
	Missed   *Missed          `json:"missed,omitempty"`
}

// Forest is what an isolation forest alone finds, at a threshold that takes 0.1 % of
// people's clicks in the training seeds.
type Forest struct {
	With    float64 `json:"recall_with"`    // trained on all families
	Without float64 `json:"recall_without"` // trained on all but this one
	False   float64 `json:"false_without"`  // of people's clicks in the seeds reported
}

// Missed says what of a family is not caught, and why.
type Missed struct {
	Clicks int64            `json:"clicks"`
	Micros int64            `json:"micros"`
	States map[string]int64 `json:"states"`
	Best   separation       `json:"best_feature"`
	Why    string           `json:"why"`
}

// Segment is the row of people of a segment. A false positive is a person's click that
// the edge flags, suspicion included, or that is not valid in the end.
type Segment struct {
	Segment  string           `json:"segment"`
	Clicks   int64            `json:"clicks"`
	False    Rate             `json:"false_positives"`
	Unbilled Rate             `json:"unbilled"` // not valid in the end
	Withheld int64            `json:"withheld_micros"`
	States   map[string]int64 `json:"states"`
	Reasons  map[string]int64 `json:"reasons"`
}

// Routine is the row of clicks that are neither a person's nor an attack's: ought are
// how many ended as they should.
type Routine struct {
	Label  string           `json:"label"`
	Clicks int64            `json:"clicks"`
	Ought  string           `json:"ought"`
	Right  Rate             `json:"right"`
	States map[string]int64 `json:"states"`
}

// RelayUser counts people behind privacy relays, once per seed.
type RelayUser struct {
	Users int `json:"users"`
	Wrong int `json:"wrong"` // at least one of their clicks was flagged or not billed
}

// Money is in micros of the range's currency.
type Money struct {
	Fraud    int64 `json:"fraud"`    // what all clicks of attacks would cost
	Saved    int64 `json:"saved"`    // of it not charged
	Lost     int64 `json:"lost"`     // of it charged
	People   int64 `json:"people"`   // what people's clicks cost
	Withheld int64 `json:"withheld"` // of it not charged
}

// Goal is one of the numbers that were set, and whether the bound keeps it.
type Goal struct {
	What  string  `json:"what"`
	Bound float64 `json:"bound"`
	Goal  float64 `json:"goal"`
	Met   bool    `json:"met"`
}

// Drawing is what a seed drew.
type Drawing struct {
	Seed    uint64             `json:"seed"`
	Start   time.Time          `json:"start"`
	Drawn   []fraudrange.Drawn `json:"drawn"`
	Attacks []AttackDrawing    `json:"attacks"`
}

// AttackDrawing is one attack as a seed drew it.
type AttackDrawing struct {
	Family   string             `json:"family"`
	StartS   float64            `json:"start_s"`
	LastsS   float64            `json:"lasts_s"`
	Machines int                `json:"machines"`
	Drawn    []fraudrange.Drawn `json:"drawn"`
}

// Run evaluates. It is a function of opt but for ElapsedS. Memory holds one seed's open
// hours and samples of all; ctx ends it early with an error.
func Run(ctx context.Context, opt Options) (*Report, error) {
	if err := opt.validate(); err != nil {
		return nil, err
	}
	began := opt.Now()
	training, err := opt.trials(ctx, opt.Training)
	if err != nil {
		return nil, err
	}
	results, err := opt.trials(ctx, opt.Seeds)
	if err != nil {
		return nil, err
	}
	rep := newReport(&opt, results)
	if len(training) > 0 {
		if err := rep.forests(training, results, opt.Families); err != nil {
			return nil, err
		}
	}
	rep.ElapsedS = opt.Now().Sub(began).Seconds()
	return rep, nil
}

func (opt *Options) validate() error {
	switch {
	case len(opt.Seeds) == 0:
		return errors.New("seeds: there is none")
	case opt.Lists == nil || opt.Now == nil:
		return errors.New("fraudeval: Lists or Now is missing")
	}
	all := slices.Concat(opt.Seeds, opt.Training)
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		return errors.New("seeds: one stands twice, or is trained on and reported")
	}
	return nil
}

func (opt *Options) trials(ctx context.Context, seeds []uint64) (all []*seedResult, err error) {
	for _, seed := range seeds {
		t, err := newTrial(opt, seed)
		if err != nil {
			return nil, err
		}
		if err := t.run(ctx); err != nil {
			return nil, err
		}
		all = append(all, t.result)
	}
	return all, nil
}

func newReport(opt *Options, results []*seedResult) *Report {
	rep := &Report{
		Seeds: opt.Seeds, Training: opt.Training, Hours: opt.Hours, Rate: opt.Rate, Model: "none",
		Lists: fmt.Sprintf("%016x", opt.Lists.Hash()), Policy: fmt.Sprintf("%016x", opt.Scoring.Policy.Hash()),
	}
	if opt.Model != nil {
		rep.Model = fmt.Sprintf("%016x", opt.Model.Hash())
	}
	for _, f := range opt.Families {
		rep.Families = append(rep.Families, attackRow(results, f))
	}
	for s := fraudrange.Ordinary; s < fraudrange.NumSegments; s++ {
		rep.People = append(rep.People, segmentRow(results, s))
	}
	rep.Routine = []Routine{
		routineRow(results, fraudrange.DoubleClick, click.Duplicate),
		routineRow(results, fraudrange.Prefetch, click.GIVT),
		routineRow(results, fraudrange.Crawler, click.GIVT),
	}
	for _, r := range results {
		rep.sum(r)
	}
	rep.setGoals(results)
	return rep
}

func (rep *Report) sum(r *seedResult) {
	for l := range r.labels {
		rep.Clicks += r.labels[l].clicks
	}
	fraud, people := &r.labels[fraudrange.Fraud], &r.labels[fraudrange.Person]
	rep.Money.Fraud += fraud.micros
	rep.Money.Saved += fraud.unbilledMicros
	rep.Money.Lost += fraud.micros - fraud.unbilledMicros
	rep.Money.People += people.micros
	rep.Money.Withheld += people.unbilledMicros
	for _, wrong := range r.relayUsers {
		rep.RelayUser.Users++
		if wrong {
			rep.RelayUser.Wrong++
		}
	}
	d := Drawing{Seed: r.seed, Start: r.world.Start, Drawn: r.world.Drawn}
	for i := range r.world.Attacks {
		a := &r.world.Attacks[i]
		d.Attacks = append(d.Attacks, AttackDrawing{a.Family.String(), a.Start.Seconds(), a.Lasts.Seconds(), a.Machines, a.Parameters})
	}
	rep.Worlds = append(rep.Worlds, d)
}

// over makes a rate of what each seed says.
func over(results []*seedResult, of func(*seedResult) *tally, value func(*tally) (hits, of int64)) Rate {
	parts := make([]part, len(results))
	for i, r := range results {
		t := of(r)
		hits, all := value(t)
		parts[i] = part{float64(hits), float64(all), int(t.clicks)}
	}
	return rateOf(parts)
}

func attackRow(results []*seedResult, f fraudrange.Family) Attack {
	of := func(r *seedResult) *tally { return &r.families[f] }
	row := Attack{
		Family: f.String(), Loud: f.Loud(),
		Recall:   over(results, of, func(t *tally) (int64, int64) { return t.caught, t.clicks }),
		Money:    over(results, of, func(t *tally) (int64, int64) { return t.caughtMicros, t.micros }),
		Unbilled: over(results, of, func(t *tally) (int64, int64) { return t.unbilledMicros, t.micros }),
		AtEdge: over(results, of, func(t *tally) (int64, int64) {
			return t.edge[click.GIVT] + t.edge[click.SIVT] + t.edge[click.Suspect], t.clicks
		}),
	}
	var times, clicks []float64
	for _, r := range results {
		d := &r.detections[f]
		if d.clicks > 0 {
			row.Seeds++
		}
		if d.found {
			row.Detected++
			times, clicks = append(times, d.through.Seconds()), append(clicks, float64(d.missed))
		}
	}
	// An attack that is never seen takes for ever: the median is over all seeds.
	row.TimeS, row.Clicks = medianOf(times, row.Seeds), medianOf(clicks, row.Seeds)
	row.States, row.Reasons = tables(results, of)
	row.Missed = missed(results, f)
	return row
}

// medianOf is the lower median of n values of which those that are missing are
// infinite; nil when it is one of them.
func medianOf(values []float64, n int) *float64 {
	slices.Sort(values)
	if n == 0 || (n-1)/2 >= len(values) {
		return nil
	}
	return &values[(n-1)/2]
}

func tables(results []*seedResult, of func(*seedResult) *tally) (states, reasons map[string]int64) {
	states, reasons = map[string]int64{}, map[string]int64{}
	for _, r := range results {
		t := of(r)
		for s, n := range t.final {
			if n > 0 {
				states[click.State(s).String()] += n
			}
		}
		for i, n := range t.reasons {
			if n > 0 {
				reasons[click.Reason(i).String()] += n
			}
		}
	}
	return states, reasons
}

func segmentRow(results []*seedResult, s fraudrange.Segment) Segment {
	of := func(r *seedResult) *tally { return &r.segments[s] }
	row := Segment{
		Segment:  s.String(),
		False:    over(results, of, func(t *tally) (int64, int64) { return t.wrong, t.clicks }),
		Unbilled: over(results, of, func(t *tally) (int64, int64) { return t.unbilled, t.clicks }),
	}
	for _, r := range results {
		row.Clicks += of(r).clicks
		row.Withheld += of(r).unbilledMicros
	}
	row.States, row.Reasons = tables(results, of)
	return row
}

func routineRow(results []*seedResult, l fraudrange.Label, ought click.State) Routine {
	of := func(r *seedResult) *tally { return &r.labels[l] }
	row := Routine{
		Label: l.String(), Ought: ought.String(),
		Right: over(results, of, func(t *tally) (int64, int64) { return t.final[ought], t.clicks }),
	}
	row.Clicks = int64(row.Right.Of)
	row.States, _ = tables(results, of)
	return row
}

// missed explains what of a family is not caught: which feature tells it from people
// best, and at which price. nil when everything is caught.
func missed(results []*seedResult, f fraudrange.Family) *Missed {
	m := &Missed{States: map[string]int64{}}
	var rows, people, nat [][]float32
	for _, r := range results {
		t := &r.families[f]
		m.Clicks += t.clicks - t.caught
		m.Micros += t.micros - t.caughtMicros
		for s, n := range t.final {
			if n > 0 && !caught(click.State(s)) {
				m.States[click.State(s).String()] += n
			}
		}
		rows = append(rows, r.samples.missed[f].rows...)
		people = append(people, r.samples.groups[fraudrange.NoFamily].rows...)
		nat = append(nat, r.samples.nat.rows...)
	}
	if m.Clicks == 0 || len(people) == 0 {
		return nil
	}
	m.Best = separate(rows, people, nat)
	m.Why = m.Best.why()
	return m
}

// setGoals holds the bounds against what was set.
func (rep *Report) setGoals(results []*seedResult) {
	for i := range rep.Families {
		a := &rep.Families[i]
		goal := GoalSlow
		if a.Loud {
			goal = GoalLoud
		}
		rep.Goals = append(rep.Goals,
			Goal{"recall of " + a.Family + " by clicks", a.Recall.Low, goal, a.Recall.Low >= goal},
			Goal{"recall of " + a.Family + " by money", a.Money.Low, goal, a.Money.Low >= goal})
	}
	all := over(results, func(r *seedResult) *tally { return &r.labels[fraudrange.Person] }, func(t *tally) (int64, int64) { return t.wrong, t.clicks })
	rep.Goals = append(rep.Goals, Goal{"false positives of all people", all.High, GoalFalse, all.High <= GoalFalse})
	for i := range rep.People {
		p := &rep.People[i]
		if p.Segment == fraudrange.NAT.String() || p.Segment == fraudrange.Flash.String() {
			rep.Goals = append(rep.Goals, Goal{"false positives of " + p.Segment, p.False.High, GoalCrowd, p.False.High <= GoalCrowd})
		}
	}
	u := rep.RelayUser
	rep.Goals = append(rep.Goals, Goal{
		fmt.Sprintf("relay users taken for fraud, of %d (at least %d wanted)", u.Users, RelayLess),
		float64(u.Wrong), 0, u.Wrong == 0 && u.Users >= RelayLess,
	})
}

// Met reports whether every goal is kept.
func (rep *Report) Met() bool {
	return !slices.ContainsFunc(rep.Goals, func(g Goal) bool { return !g.Met })
}

// forests fills the columns of forests.
func (rep *Report) forests(training, results []*seedResult, families []fraudrange.Family) error {
	m := mix(training)
	with, err := train(m, fraudrange.NoFamily, training[0].seed)
	if err != nil {
		return err
	}
	for i, f := range families {
		without, err := train(m, f, training[0].seed)
		if err != nil {
			return err
		}
		var rows, people [][]float32
		for _, r := range results {
			rows = append(rows, r.samples.groups[f].rows...)
			people = append(people, r.samples.groups[fraudrange.NoFamily].rows...)
		}
		if len(rows) == 0 || len(people) == 0 {
			continue
		}
		n := float64(len(rows))
		rep.Families[i].Forest = &Forest{with.over(rows) / n, without.over(rows) / n, without.over(people) / float64(len(people))}
	}
	return nil
}
