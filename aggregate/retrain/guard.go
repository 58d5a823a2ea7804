package retrain

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// Limits say what the guard lets pass.
type Limits struct {
	MaxForeign float64 // share of clicks of another kind than the reference's, by score and sender
	MaxShift   float64 // by single features, which drift with ordinary traffic
	MaxGrowth  float64 // valid clicks against the usual of the same hours of the week
}

// times widens the limits.
func (l Limits) times(x float64) Limits {
	return Limits{l.MaxForeign * x, l.MaxShift * x, l.MaxGrowth * x}
}

// broken is the first finding beyond its limit, nil for none.
func (l Limits) broken(findings []Finding) *Finding {
	for i := range findings {
		limit := l.MaxForeign
		if findings[i].Kind == kindNames[kindFeature] {
			limit = l.MaxShift
		}
		if findings[i].Foreign > limit {
			return &findings[i]
		}
	}
	return nil
}

// Reference is an accepted model with the profile of its sample.
type Reference struct {
	Model   *iforest.Model
	Beyond  float64
	Profile Profile
}

// Finding is what one comparison shows of a source.
type Finding struct {
	Source  string  `json:"source"`
	Kind    string  `json:"kind"` // score, feature or who
	What    string  `json:"what"`
	Was     float64 `json:"was"`
	Is      float64 `json:"is"`
	Foreign float64 `json:"foreign"` // share of the source's clicks that is of another kind, at least
}

// String says it in a sentence.
func (f *Finding) String() string {
	return fmt.Sprintf("%s: %s is %.4g, was %.4g: at least %.1f%% of the clicks are of another kind", f.Source, f.What, f.Is, f.Was, 100*f.Foreign)
}

// Report is what the guard found; it stands in the manifest.
type Report struct {
	Reference string    `json:"reference"` // hash of the model that was compared with; empty for none
	Refused   string    `json:"refused"`   // why the candidate must not be used; empty for a sound one
	Worst     []Finding `json:"worst"`     // the greatest of every source and kind, at most 16
	Growth    []Finding `json:"growth"`    // sources beyond the limit of growth
	New       []string  `json:"new"`       // sources that were not learned from, because the reference does not know them

	// Shares beyond the threshold: of held-out valid clicks, and of those of the window
	// that are invalid, by the candidate and by the reference.
	HeldOut       float64 `json:"held_out_beyond"`
	HeldOutBefore float64 `json:"held_out_beyond_before"`
	Caught        float64 `json:"invalid_beyond"`
	CaughtBefore  float64 `json:"invalid_beyond_before"`
	Invalid       int     `json:"invalid"` // how many invalid clicks that is of
}

const (
	// noise is how many standard errors a share must rise above before it counts: about
	// a thousand shares are compared, so that chance alone passes it once in thirty
	// comparisons of independent clicks.
	noise = 4
	// maxWorst findings are kept.
	maxWorst = 16
	// lostCatch is by how much less of the invalid clicks than the reference a candidate
	// may find beyond its threshold, and minInvalid of how many that is said.
	lostCatch, minInvalid = 0.1, 50
)

// foreign is the least share of another kind when the share of an event rose from p,
// seen in m clicks, to q, seen in n; 0 when chance explains it. The whole bound is
// (q-p)/(1-p). It is used without its denominator: what is almost all clicks rises by
// little when a crowd that was there the last time is not there now, which is no attack,
// and the denominator would make much of it.
func foreign(p float64, m int, q float64, n int) float64 {
	// One click more on either side, so that shares of 0 have an error too.
	variance := func(p float64, n int) float64 {
		p = (p*float64(n) + 1) / float64(n+2)
		return p * (1 - p) / float64(n)
	}
	return max(0, q-p-noise*math.Sqrt(variance(p, m)+variance(q, n)))
}

// compare holds a sample against a reference and returns the worst finding of every
// kind of every source both know, the greatest first.
func compare(ref *Reference, s *Sample, known []string) (worst []Finding) {
	groups := map[string][]*Row{All: s.rows(known)}
	for _, name := range known {
		groups[name] = s.strata[name].valid.sorted()
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		was := ref.Profile[name]
		if rows := groups[name]; was != nil && min(len(rows), was.Rows) >= scoring.MinRowsPerSource {
			c := comparison{source: name, was: was, rows: rows}
			c.all(ref.Model)
			worst = append(worst, c.worst[:]...)
		}
	}
	slices.SortStableFunc(worst, func(a, b Finding) int {
		switch {
		case a.Foreign > b.Foreign:
			return -1
		case a.Foreign < b.Foreign:
			return 1
		}
		return 0
	})
	return worst
}

// comparison is that of one source.
type comparison struct {
	source string
	was    *SourceProfile
	rows   []*Row
	worst  [numKinds]Finding
}

// Kinds of events, each with a limit of its own.
const (
	kindScore kind = iota
	kindFeature
	kindWho
	numKinds
)

type kind int

var kindNames = [numKinds]string{"score", "feature", "who"}

func (c *comparison) all(model *iforest.Model) {
	for k := range c.worst {
		c.worst[k] = Finding{Source: c.source, Kind: kindNames[k], What: "nothing"}
	}
	if model != nil {
		c.bins(kindScore, "score of the accepted model", c.was.Scores, scores(model, c.rows))
	}
	for i, slot := range scoring.Slots[:scoring.Features] {
		if bins, known := c.was.Features[slot.Name]; known {
			c.bins(kindFeature, slot.Name, bins, column(c.rows, i))
		}
	}
	c.named("publisher", c.was.Publishers, func(r *Row) string { return r.Publisher }, true)
	c.named("network", c.was.Networks, func(r *Row) string { return r.Network }, false)
	c.named("agent family", c.was.Agents, func(r *Row) string { return r.Agent }, true)
}

// bins compares every bin, and everything from an edge on and below it.
func (c *comparison) bins(k kind, what string, was Bins, values []float64) {
	slices.Sort(values)
	is := was.sharesOf(values)
	p, q := 0.0, 0.0
	for i := len(is) - 1; i >= 0; i-- {
		p, q = p+was.Shares[i], q+is[i]
		c.event(k, fmt.Sprintf("share with %s from %.4g", what, was.Edges[i]), p, q)
		c.event(k, fmt.Sprintf("share with %s below %.4g", what, was.Edges[i]), 1-p, 1-q)
		c.event(k, fmt.Sprintf("share with %s in the bin from %.4g", what, was.Edges[i]), was.Shares[i], is[i])
	}
}

// named compares who has most clicks now; who was not among the first then had no more
// than the least of them.
func (c *comparison) named(what string, was map[string]float64, of func(*Row) string, tell bool) {
	least := 0.0
	if len(was) == maxTops {
		least = 1
		for _, share := range was {
			least = min(least, share)
		}
	}
	for name, q := range sharesBy(c.rows, of) {
		p, known := was[name]
		if !known {
			p = least
		}
		label := "share of one " + what
		if tell {
			label = fmt.Sprintf("share of %s %q", what, name)
		}
		c.event(kindWho, label, p, q)
	}
}

func (c *comparison) event(k kind, what string, p, q float64) {
	f := Finding{Source: c.source, Kind: kindNames[k], What: what, Was: p, Is: q, Foreign: foreign(p, c.was.Rows, q, len(c.rows))}
	if w := &c.worst[k]; f.Foreign > w.Foreign || f.Foreign == w.Foreign && f.Foreign > 0 && f.What < w.What {
		*w = f
	}
}

// grown compares valid clicks with the usual of the same hours of the week.
func grown(ref *Reference, s *Sample, limit float64) (out []Finding) {
	for _, name := range s.names() {
		was := ref.Profile[name]
		if was == nil || len(was.Usual) != hoursOfWeek {
			continue
		}
		usual, seen := 0.0, 0.0
		for hour, n := range s.strata[name].hours {
			if u := was.Usual[slotOf(hour)]; u >= 0 {
				usual, seen = usual+u, seen+float64(n)
			}
		}
		// Four standard errors of a count, so that a few clicks more of a small source pass.
		if seen > limit*usual+4*math.Sqrt(limit*usual+1) {
			out = append(out, Finding{Source: name, What: "valid clicks in the hours that both saw", Was: usual, Is: seen, Foreign: 1 - usual/seen})
		}
	}
	return out
}

// share of rows that a model finds beyond a threshold.
func share(m *iforest.Model, beyond float64, rows []*Row) float64 {
	if m == nil || len(rows) == 0 {
		return 0
	}
	n := 0
	for _, score := range scores(m, rows) {
		if score >= beyond {
			n++
		}
	}
	return float64(n) / float64(len(rows))
}

// slowly is by how much the limits are wider against the model before the live one: who
// comes in small steps, each below the limit, has made two of them by then.
const slowly = 1.5

// judge fills the report of a candidate.
func (r *Report) judge(l Limits, ref, older *Reference, c *Candidate, s *Sample, held []*Row) {
	invalid := s.invalid()
	r.Invalid, r.HeldOut, r.Caught = len(invalid), share(c.Model, c.Manifest.Beyond, held), share(c.Model, c.Manifest.Beyond, invalid)
	if ref == nil {
		return
	}
	r.Reference = hex16(ref.Model.Hash())
	r.HeldOutBefore, r.CaughtBefore = share(ref.Model, ref.Beyond, held), share(ref.Model, ref.Beyond, invalid)
	findings := compare(ref, s, c.Manifest.Sources)
	r.Worst, r.Growth = findings[:min(len(findings), maxWorst)], grown(ref, s, l.MaxGrowth)
	broken := l.broken(findings)
	switch {
	case broken != nil:
		r.Refused = broken.String()
	case len(r.Growth) > 0:
		g := r.Growth[0]
		r.Refused = fmt.Sprintf("%s: %.0f valid clicks where %.0f are usual in the same hours of the week", g.Source, g.Is, g.Was)
	case r.Invalid >= minInvalid && r.Caught < r.CaughtBefore-lostCatch:
		r.Refused = fmt.Sprintf("the candidate finds %.1f%% of the invalid clicks beyond its threshold, the accepted model %.1f%%", 100*r.Caught, 100*r.CaughtBefore)
	}
	if older == nil || r.Refused != "" {
		return
	}
	if f := l.times(slowly).broken(compare(older, s, c.Manifest.Sources)); f != nil {
		r.Refused = "against the model before: " + f.String()
	}
}
