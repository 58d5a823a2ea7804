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
	strange := make(map[string]map[seriesName]bool) // by incident id
	opened := make(map[string]int)                  // by tenant
	for _, f := range byWeight(j.Findings) {
		i := t.place(&f, &j, opened)
		if strange[i.ID] == nil {
			strange[i.ID] = map[seriesName]bool{}
		}
		strange[i.ID][nameOf(&f)] = true
		t.add(i, &f, j.Minute)
	}
	var puts []aggregate.IncidentPut
	still := t.open[:0]
	for _, i := range t.open {
		t.end(i, strange[i.ID], j.Minute)
		was, known := before[i]
		put := aggregate.IncidentPut{Page: t.page(i, known, was, j.Minute)}
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

// place returns the incident that a finding belongs to: the one that has its series,
// one whose series share its clicks, one that ended shortly before, or a new one.
func (t *tracker) place(f *Finding, j *Judgement, opened map[string]int) *aggregate.Incident {
	var akin *aggregate.Incident
	for _, i := range t.open {
		if i.TenantID != f.Tenant {
			continue
		}
		for s := range i.Series {
			x := &i.Series[s]
			if x.Dimension == f.Dimension && x.Key == f.ID {
				return i
			}
			if akin == nil && x.To == 0 && j.share(f.SeriesKey, SeriesKey{f.Tenant, x.Dimension, x.Key}) >= related {
				akin = i
			}
		}
	}
	if akin != nil {
		return akin
	}
	if i := t.reopen(f); i != nil {
		return i
	}
	if opened[f.Tenant] >= t.cfg.MaxNew {
		// A storm of incidents of one tenant is one incident: the last one takes it.
		for _, i := range slices.Backward(t.open) {
			if i.TenantID == f.Tenant {
				return i
			}
		}
	}
	opened[f.Tenant]++
	i := &aggregate.Incident{
		ID: incidentID(f, j.Minute), TenantID: f.Tenant, Severity: aggregate.SeverityWarning, OpenedAt: j.Minute, Money: map[string]int64{},
	}
	t.open = append(t.open, i)
	return i
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
		t.open = append(t.open, i)
		return i
	}
	return nil
}

// share returns the part of the smaller series' events that both have in common.
func (j *Judgement) share(a, b SeriesKey) float64 {
	smaller := min(j.sizes[a], j.sizes[b])
	if smaller <= 0 {
		return 0
	}
	common := int64(0)
	for c, n := range j.cells {
		keys := c.keys()
		if slices.Contains(keys[:], a) && slices.Contains(keys[:], b) {
			common += n
		}
	}
	return float64(common) / float64(smaller)
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

// add notes a strange minute of a series.
func (t *tracker) add(i *aggregate.Incident, f *Finding, minute int64) {
	n := slices.IndexFunc(i.Series, func(x aggregate.IncidentSeries) bool {
		return seriesName{x.Dimension, x.Key, x.Kind} == nameOf(f)
	})
	if n < 0 {
		n = len(i.Series)
		i.Series = append(i.Series, aggregate.IncidentSeries{Dimension: f.Dimension, Key: f.ID, Kind: f.Kind, From: minute})
	}
	x := &i.Series[n]
	x.To, x.Events, x.Excess = 0, x.Events+f.Events, x.Excess+f.Excess
	if math.Abs(f.Score) >= math.Abs(x.Peak) {
		x.Peak, x.PeakAt, x.Observed, x.Expected = f.Score, minute, f.Observed, f.Expected
	}
	if n == 0 { // the money of the series that it is named after; the others count the same clicks
		for currency, micros := range f.Money {
			i.Money[currency] = min(i.Money[currency]+micros, math.MaxInt64/2)
		}
	}
	i.Severity = max(i.Severity, t.severity(i.Money))
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

// end notes which series are calm, and resolves the incident when all are: the
// detectors have waited for calm minutes already.
func (t *tracker) end(i *aggregate.Incident, strange map[seriesName]bool, minute int64) {
	i.UpdatedAt, i.QuietSince = minute, minute
	for n := range i.Series {
		x := &i.Series[n]
		if strange[seriesName{x.Dimension, x.Key, x.Kind}] {
			i.QuietSince = 0
		} else if x.To == 0 {
			x.To = minute
		}
	}
	i.Title = title(i)
	if i.QuietSince != 0 {
		i.ResolvedAt = minute
	}
}

// page returns what to tell about an incident in this minute, nil for nothing.
func (t *tracker) page(i *aggregate.Incident, known bool, was aggregate.Severity, minute int64) *aggregate.NewPage {
	action := aggregate.PageTrigger
	switch {
	case !i.Open():
		action = aggregate.PageResolve
	case !known, i.Severity > was, minute-i.ToldAt >= t.cfg.UpdateEvery.Microseconds():
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
	return c
}
