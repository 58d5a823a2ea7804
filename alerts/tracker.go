package alerts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"clickgate/aggregate"
	"clickgate/alerts/pagerduty"
)

// related is the part of the smaller series' events that two series must have in
// common to belong to one incident.
const related = 0.2

// tracker makes incidents of findings: series that share clicks are one incident,
// from its first strange minute until every series is calm. It is a function of what
// it is given and holds what is open. It is not safe for concurrent use.
type tracker struct {
	cfg      Config
	open     []*aggregate.Incident // in order of opening
	resolved []*aggregate.Incident // of the last ReopenWithin, newest first
}

// newTracker goes on with incidents of the store, newest first.
func newTracker(cfg Config, known []aggregate.Incident) *tracker {
	t := &tracker{cfg: cfg}
	for i := range known {
		known[i] = clone(&known[i])
		if known[i].Open() {
			t.open = append(t.open, &known[i])
		} else {
			t.resolved = append(t.resolved, &known[i])
		}
	}
	slices.Reverse(t.open)
	return t
}

// take judges one minute and returns the incidents that changed, with the pages
// about them.
func (t *tracker) take(j Judgement) []aggregate.IncidentPut {
	before := make(map[*aggregate.Incident]aggregate.Severity, len(t.open))
	for _, i := range t.open {
		before[i] = i.Severity
	}
	findings := byWeight(j.Findings)
	of := t.assign(findings, &j)
	var puts []aggregate.IncidentPut
	still := t.open[:0]
	for _, i := range t.open {
		loud := t.evidence(i, of[i], j.Minute)
		t.end(i, j.Minute)
		was, known := before[i]
		put := aggregate.IncidentPut{Page: t.page(i, known, loud, was, j.Minute)}
		put.Incident = clone(i)
		puts = append(puts, put)
		if i.Open() {
			still = append(still, i)
		} else {
			t.resolved = append([]*aggregate.Incident{i}, t.resolved...)
		}
	}
	t.open = still
	t.resolved = slices.DeleteFunc(t.resolved, func(i *aggregate.Incident) bool {
		return j.Minute-i.ResolvedAt > t.cfg.ReopenWithin.Microseconds()
	})
	return puts
}

// byWeight sorts findings by how many events they are about, most first, so that an
// incident is named after what matters.
func byWeight(findings []Finding) []Finding {
	sorted := slices.Clone(findings)
	slices.SortStableFunc(sorted, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(b.Excess, a.Excess), cmp.Compare(math.Abs(b.Score), math.Abs(a.Score)),
			a.compare(b.SeriesKey), cmp.Compare(a.Kind, b.Kind))
	})
	return sorted
}

// seriesName names a series within a tenant.
type seriesName struct{ dimension, id, kind string }

func nameOf(f *Finding) seriesName { return seriesName{f.Dimension, f.ID, f.Kind} }

// assign gives each finding to an incident: the one that has its series, one whose
// strange series share its clicks, one that ended shortly before, or a new one.
func (t *tracker) assign(findings []Finding, j *Judgement) map[*aggregate.Incident][]*Finding {
	owners := make(map[SeriesKey]owner)
	for n, i := range t.open {
		for s := range i.Series {
			x := &i.Series[s]
			key := SeriesKey{i.TenantID, x.Dimension, x.Key}
			owners[key] = owner{n, owners[key].strange || x.To == 0}
		}
	}
	kin := j.kin(findings, owners)
	opened := make(map[string][]int) // places in t.open, by tenant
	places := make([]int, len(findings))
	for n := range findings {
		f := &findings[n]
		places[n] = t.place(f, owners, kin[f.SeriesKey], j.Minute, opened)
		owners[f.SeriesKey] = owner{places[n], true}
	}
	storms := t.joinStorms(opened)
	of := make(map[*aggregate.Incident][]*Finding)
	for n, place := range places {
		i := t.open[place]
		if to, ok := storms[i]; ok {
			i = to
		}
		of[i] = append(of[i], &findings[n])
	}
	t.open = slices.DeleteFunc(t.open, func(i *aggregate.Incident) bool { return storms[i] != nil })
	return of
}

// owner is the open incident that has a series.
type owner struct {
	place   int // in tracker.open
	strange bool
}

// kin returns, for each series that is strange now, the series of open incidents and
// findings with which it has enough of the latest clicks in common.
func (j *Judgement) kin(findings []Finding, owners map[SeriesKey]owner) map[SeriesKey][]SeriesKey {
	wanted := make(map[SeriesKey]bool)
	for key := range owners {
		wanted[key] = true
	}
	for i := range findings {
		wanted[findings[i].SeriesKey] = true
	}
	sizes := make(map[SeriesKey]int64)
	common := make(map[[2]SeriesKey]int64)
	for c, n := range j.cells {
		keys := c.keys()
		for x, a := range keys {
			if !wanted[a] {
				continue
			}
			sizes[a] += n
			for _, b := range keys[x+1:] {
				if wanted[b] {
					common[[2]SeriesKey{a, b}] += n
				}
			}
		}
	}
	kin := make(map[SeriesKey][]SeriesKey)
	for pair, n := range common {
		a, b := pair[0], pair[1]
		if n > 0 && float64(n) >= related*float64(min(sizes[a], sizes[b])) {
			kin[a], kin[b] = append(kin[a], b), append(kin[b], a)
		}
	}
	return kin
}

// place returns where in t.open the incident of a finding is.
func (t *tracker) place(f *Finding, owners map[SeriesKey]owner, kin []SeriesKey, minute int64, opened map[string][]int) int {
	if o, ok := owners[f.SeriesKey]; ok {
		return o.place
	}
	akin := len(t.open)
	for _, key := range kin {
		if o, ok := owners[key]; ok && o.strange {
			akin = min(akin, o.place) // the oldest
		}
	}
	if akin < len(t.open) {
		return akin
	}
	if i := t.reopen(f); i != nil {
		t.open = append(t.open, i)
		return len(t.open) - 1
	}
	t.open = append(t.open, &aggregate.Incident{
		ID: incidentID(f, minute), TenantID: f.Tenant, Severity: aggregate.SeverityWarning, OpenedAt: minute, Money: map[string]int64{},
	})
	opened[f.Tenant] = append(opened[f.Tenant], len(t.open)-1)
	return len(t.open) - 1
}

// reopen goes on with an incident of the same series that ended a short while ago.
func (t *tracker) reopen(f *Finding) *aggregate.Incident {
	for n, i := range t.resolved {
		if i.TenantID != f.Tenant || !slices.ContainsFunc(i.Series, func(x aggregate.IncidentSeries) bool {
			return x.Dimension == f.Dimension && x.Key == f.ID
		}) {
			continue
		}
		t.resolved = slices.Delete(t.resolved, n, n+1)
		i.ResolvedAt, i.QuietSince, i.ToldAt = 0, 0, 0
		i.Reopened++
		return i
	}
	return nil
}

// joinStorms says which of a tenant's new incidents are another one because they are
// too many at once: a storm is one incident.
func (t *tracker) joinStorms(opened map[string][]int) map[*aggregate.Incident]*aggregate.Incident {
	storms := make(map[*aggregate.Incident]*aggregate.Incident)
	for _, places := range opened {
		if len(places) <= t.cfg.MaxNew {
			continue
		}
		for _, p := range places[1:] {
			storms[t.open[p]] = t.open[places[0]]
		}
	}
	return storms
}

// incidentID is a hash of what began it, so that it holds no names, stays through
// renames and restarts, and two incidents never have one.
func incidentID(f *Finding, minute int64) string {
	h := sha256.New()
	for _, s := range [...]string{f.Tenant, f.Dimension, f.ID, f.Kind, strconv.FormatInt(minute, 10)} {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// evidence notes a minute's findings in their incident, and which series are calm. It
// reports whether any is strange in this very minute, instead of waiting for enough
// calm ones.
func (t *tracker) evidence(i *aggregate.Incident, findings []*Finding, minute int64) (loud bool) {
	at := make(map[seriesName]int, len(i.Series))
	for n := range i.Series {
		at[seriesName{i.Series[n].Dimension, i.Series[n].Key, i.Series[n].Kind}] = n
	}
	strange := make(map[int]bool, len(findings))
	risk := atRisk{}
	for _, f := range findings {
		n, ok := at[nameOf(f)]
		if !ok {
			n = len(i.Series)
			i.Series = append(i.Series, aggregate.IncidentSeries{Dimension: f.Dimension, Key: f.ID, Kind: f.Kind, From: minute})
			at[nameOf(f)] = n
		}
		strange[n] = true
		loud = loud || math.Abs(f.Score) >= t.cfg.CloseScore
		x := &i.Series[n]
		x.To, x.Events, x.Excess = 0, x.Events+f.Events, x.Excess+f.Excess
		if x.PeakAt == 0 || math.Abs(f.Score) > math.Abs(x.Peak) {
			x.Peak, x.PeakAt, x.Observed, x.Expected = f.Score, minute, f.Observed, f.Expected
		}
		risk.add(f)
	}
	for n := range i.Series {
		if x := &i.Series[n]; !strange[n] && x.To == 0 {
			x.To = minute
		}
	}
	for currency, micros := range risk.money() {
		i.Money[currency] = addMoney(i.Money[currency], micros)
	}
	i.Severity = max(i.Severity, t.severity(i.Money))
	switch {
	case len(strange) > 0:
		i.QuietSince = 0
	case i.QuietSince == 0:
		i.QuietSince = minute
	}
	return loud
}

// atRisk gathers the money of a minute. One click counts in a source, a campaign
// and a publisher, and may be beyond what was expected as volume and as invalid: so
// the largest kind of each series counts, and the largest dimension of all.
type atRisk map[SeriesKey]map[string]int64

func (r atRisk) add(f *Finding) {
	for currency, micros := range f.Money {
		if r[f.SeriesKey] == nil {
			r[f.SeriesKey] = map[string]int64{}
		}
		r[f.SeriesKey][currency] = max(r[f.SeriesKey][currency], micros)
	}
}

func (r atRisk) money() map[string]int64 {
	sums := map[string]map[string]int64{} // by dimension and currency
	for key, money := range r {
		if sums[key.Dimension] == nil {
			sums[key.Dimension] = map[string]int64{}
		}
		for currency, micros := range money {
			sums[key.Dimension][currency] = addMoney(sums[key.Dimension][currency], micros)
		}
	}
	out := map[string]int64{}
	for _, money := range sums {
		for currency, micros := range money {
			out[currency] = max(out[currency], micros)
		}
	}
	return out
}

// addMoney adds without leaving 64 bits.
func addMoney(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (t *tracker) severity(money map[string]int64) aggregate.Severity {
	most := int64(0)
	for _, micros := range money {
		most = max(most, micros)
	}
	switch {
	case most >= t.cfg.CriticalMoney*microsPerUnit:
		return aggregate.SeverityCritical
	case most >= t.cfg.ErrorMoney*microsPerUnit:
		return aggregate.SeverityError
	}
	return aggregate.SeverityWarning
}

// end resolves an incident whose series are all calm: the detectors have waited for
// calm minutes already. One that came back stays open longer each time, or else it
// would ring as often as it flaps.
func (t *tracker) end(i *aggregate.Incident, minute int64) {
	i.UpdatedAt = minute
	i.Title = title(i)
	if i.QuietSince != 0 && minute-i.QuietSince >= t.hold(i) {
		i.ResolvedAt = minute
	}
}

// longestHold bounds how long an incident that came back stays open after its end.
const longestHold = 60 * minuteMicros

func (t *tracker) hold(i *aggregate.Incident) int64 {
	if i.Reopened == 0 {
		return 0
	}
	return min(int64(t.cfg.CalmMinutes)*minuteMicros<<min(i.Reopened-1, 10), longestHold)
}

// page returns what to tell about an incident in this minute, nil for nothing.
func (t *tracker) page(i *aggregate.Incident, known, loud bool, was aggregate.Severity, minute int64) *aggregate.NewPage {
	action := aggregate.PageTrigger
	switch {
	case !i.Open():
		action = aggregate.PageResolve
	case !known, i.Severity > was, loud && minute-i.ToldAt >= t.cfg.UpdateEvery.Microseconds():
	default:
		return nil
	}
	i.ToldAt = minute
	payload, err := json.Marshal(t.event(i, action))
	if err != nil {
		// Texts and finite numbers always encode; without details it still rings.
		payload = []byte(`{"action":"trigger"}`)
	}
	return &aggregate.NewPage{Action: action, Payload: payload}
}

// event is the page without its dedup key, which follows from the incident.
func (t *tracker) event(i *aggregate.Incident, action aggregate.PageAction) pagerduty.Event {
	if action == aggregate.PageResolve {
		return pagerduty.Event{Action: pagerduty.Resolve}
	}
	e := pagerduty.Event{
		Action: pagerduty.Trigger, Summary: i.Title, Source: "clickgate", Severity: pagerduty.Severity(i.Severity.String()),
		Time: time.UnixMicro(i.OpenedAt), Group: i.TenantID, Class: i.Series[0].Kind, Component: i.Series[0].Dimension,
		Client: "clickgate", Details: map[string]any{"tenant": i.TenantID, "opened_at": clock(i.OpenedAt), "money_at_risk_micros": i.Money},
	}
	if t.cfg.CaseURL != "" {
		e.Link = t.cfg.CaseURL + i.ID
	}
	for n := range i.Series {
		e.Items = append(e.Items, &i.Series[n])
	}
	return e
}

func clock(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339) }

// title names the series that weighs most, what was seen and what was expected.
func title(i *aggregate.Incident) string {
	x := &i.Series[0]
	name := x.Key
	if name == "" {
		name = "(none)"
	}
	var what string
	switch x.Kind {
	case volume:
		what = fmt.Sprintf("%.0f events a minute, %.0f expected", x.Observed, x.Expected)
	case invalidShare:
		what = fmt.Sprintf("%.0f %% of clicks invalid, %.0f %% expected", 100*x.Observed, 100*x.Expected)
	default:
		what = fmt.Sprintf("%.0f %% of clicks repeated, %.0f %% expected", 100*x.Observed, 100*x.Expected)
	}
	if more := len(i.Series) - 1; more > 0 {
		what += fmt.Sprintf("; %d more series", more)
	}
	return fmt.Sprintf("%s %s of tenant %s: %s", x.Dimension, name, i.TenantID, what)
}

func clone(i *aggregate.Incident) aggregate.Incident {
	c := *i
	c.Series, c.Money = slices.Clone(i.Series), maps.Clone(i.Money)
	if c.Money == nil {
		c.Money = map[string]int64{}
	}
	return c
}
