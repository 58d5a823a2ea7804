package console

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const (
	incidentDays = 14 // how far back resolved incidents are listed
	pagesShown   = 50
	casesShown   = 20
	// What is read around an incident: its first hours, with some of the time before
	// and after, where its series were calm.
	leadMinutes  = 30
	trailMinutes = 10
	windowLimit  = 4 * 60 // minutes
)

// incidentsPage lists incidents.
type incidentsPage struct {
	Open, Resolved []incidentRow
	AllResolved    int
	Days           int
}

// incidentRow is an incident as lists show it.
type incidentRow struct {
	aggregate.Incident
	Path   string
	Lasted string
	AtRisk []moneyAmount
}

type moneyAmount struct {
	Currency string
	Micros   int64
}

func (s *Server) incidentList(w http.ResponseWriter, r *http.Request, v *visit) error {
	now := s.dep.Now()
	var list []aggregate.Incident
	err := s.query(r.Context(), func(ctx context.Context) (err error) {
		list, err = v.incidents(ctx, aggregate.IncidentQuery{Since: now.AddDate(0, 0, -incidentDays).UnixMicro()})
		return err
	})
	if err != nil {
		return err
	}
	view := &incidentsPage{Days: incidentDays}
	for i := range list {
		row := newIncidentRow(&list[i], now)
		if list[i].Open() {
			view.Open = append(view.Open, row)
		} else {
			view.Resolved = append(view.Resolved, row)
		}
	}
	worstOpen(view.Open)
	view.AllResolved = len(view.Resolved)
	view.Resolved = view.Resolved[:min(len(view.Resolved), rowsShown)]
	return s.show(w, v, http.StatusOK, "incidents", &page{Title: "Incidents", Path: "/incidents", Body: view})
}

// worstOpen puts the gravest first, of equal ones the newest.
func worstOpen(rows []incidentRow) {
	slices.SortStableFunc(rows, func(a, b incidentRow) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.OpenedAt, a.OpenedAt))
	})
}

func newIncidentRow(i *aggregate.Incident, now time.Time) incidentRow {
	end := i.ResolvedAt
	if i.Open() {
		end = now.UnixMicro()
	}
	row := incidentRow{Incident: *i, Path: "/incidents/" + url.PathEscape(i.ID), Lasted: lasted(end - i.OpenedAt)}
	for _, currency := range slices.Sorted(maps.Keys(i.Money)) {
		row.AtRisk = append(row.AtRisk, moneyAmount{currency, i.Money[currency]})
	}
	return row
}

// lasted is a time in whole minutes, as people say it.
func lasted(micros int64) string {
	minutes := max(0, micros) / minuteMicros
	switch {
	case minutes < 60:
		return fmt.Sprintf("%d min", minutes)
	case minutes < 48*60:
		return fmt.Sprintf("%d h %02d min", minutes/60, minutes%60)
	}
	return fmt.Sprintf("%d days", minutes/(24*60))
}

// incidentPage is one incident with its evidence.
type incidentPage struct {
	incidentRow
	Rows      []seriesRow
	Minutes   []incidentMinute // of the series that it is named after
	Bars      []minuteBar
	Ticks     []string // times below the drawing
	Most      int64    // events of the busiest minute
	Cut       bool     // it went on for longer than is shown
	Campaigns []campaignHarm
	MayReview bool
	Cases     []aggregate.QueueItem
	AllCases  int
	Queue     string // address of the queue
	Pages     []pageRow
}

// seriesRow is a series against what was expected of it.
type seriesRow struct {
	aggregate.IncidentSeries
	What               string
	Observed, Expected string // with their unit
	Unit               string
}

// incidentMinute counts the events of the leading series.
type incidentMinute struct {
	At                              int64
	Valid, Invalid, Repeated, Other int64
	Total                           int64
	Strange                         bool
}

// minuteBar is a part of a column of the drawing, which is 1000 wide and 100 high.
type minuteBar struct {
	Kind                string // of the colour
	X, Y, Width, Height float64
	Text                string
}

// campaignHarm is what an incident did to a campaign: all its events in the strange
// minutes that belong to a series of the incident.
type campaignHarm struct {
	Campaign, Currency              string
	Events, Valid, Invalid, Repeats int64
	Micros                          int64
}

type pageRow struct {
	aggregate.PageRecord
	What, Status, Class string
}

func (s *Server) incidentPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	id := r.PathValue("id")
	now := s.dep.Now()
	view := &incidentPage{MayReview: forTraffic.Has(v.role)}
	err := s.query(r.Context(), func(ctx context.Context) error {
		i, found, err := v.incident(ctx, id)
		if err != nil {
			return err
		}
		if !found {
			return &problem{http.StatusNotFound, "there is no such incident; see the list of incidents"}
		}
		view.incidentRow = newIncidentRow(&i, now)
		return s.readIncident(ctx, v, view, now)
	})
	if err != nil {
		return err
	}
	return s.show(w, v, http.StatusOK, "incident", &page{Title: "Incident", Path: "/incidents", Body: view})
}

// readIncident reads what stands around an incident.
func (s *Server) readIncident(ctx context.Context, v *visit, view *incidentPage, now time.Time) error {
	i := &view.Incident
	end := now.UnixMicro()
	if !i.Open() {
		end = min(end, i.ResolvedAt+trailMinutes*minuteMicros)
	}
	from := i.OpenedAt - leadMinutes*minuteMicros
	to := max(from, min(end, from+windowLimit*minuteMicros))
	view.Cut = to < end
	counts, err := v.minuteCounts(ctx, i.TenantID, from, to)
	if err != nil {
		return err
	}
	view.Rows = seriesRows(i.Series)
	view.Campaigns = harm(i, counts)
	if len(i.Series) > 0 {
		view.Minutes = leadMinutesOf(&i.Series[0], i, counts)
		view.Bars, view.Most = drawMinutes(view.Minutes)
		view.Ticks = ticks(view.Minutes)
	}
	records, err := v.incidentPages(ctx, i.ID, pagesShown)
	if err != nil {
		return err
	}
	view.Pages = pageRows(records)
	if view.MayReview {
		return readCases(ctx, v, view)
	}
	return nil
}

// readCases finds the flagged clicks behind an incident that nobody decided.
func readCases(ctx context.Context, v *visit, view *incidentPage) error {
	i := &view.Incident
	to := int64(0)
	if !i.Open() {
		to = i.ResolvedAt + minuteMicros
	}
	groups, err := v.flagged(ctx, aggregate.FlaggedQuery{TenantID: i.TenantID, From: i.OpenedAt, To: to})
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g aggregate.FlaggedGroup) bool {
		return !slices.ContainsFunc(view.Campaigns, func(c campaignHarm) bool { return c.Campaign == g.CampaignID })
	})
	view.Cases = aggregate.Queue(groups, 0)
	view.AllCases = len(view.Cases)
	view.Cases = view.Cases[:min(len(view.Cases), casesShown)]
	q := url.Values{}
	if v.AllTenants() {
		q.Set("tenant", i.TenantID)
	}
	if len(view.Campaigns) == 1 {
		q.Set("campaign", view.Campaigns[0].Campaign)
	}
	view.Queue = strings.TrimSuffix("/review?"+q.Encode(), "?")
	return nil
}

// Kinds of series, as package alerts writes them.
const (
	kindVolume   = "volume"
	kindInvalid  = "invalid_share"
	kindRepeated = "repeated_share"
)

var kindTexts = map[string]string{kindVolume: "volume", kindInvalid: "share of invalid clicks", kindRepeated: "share of repeats"}

func seriesRows(series []aggregate.IncidentSeries) []seriesRow {
	rows := make([]seriesRow, 0, len(series))
	for _, x := range series {
		row := seriesRow{IncidentSeries: x, What: kindTexts[x.Kind]}
		if row.What == "" {
			row.What = x.Kind
		}
		if x.Kind == kindVolume {
			row.Unit = "events a minute"
			row.Observed, row.Expected = grouped(strconv.FormatFloat(x.Observed, 'f', 0, 64)), grouped(strconv.FormatFloat(x.Expected, 'f', 0, 64))
		} else {
			row.Unit = "of clicks"
			row.Observed, row.Expected = percent(x.Observed), percent(x.Expected)
		}
		rows = append(rows, row)
	}
	return rows
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 1, 64) + " %" }

// belongs reports whether counts are of a series.
func belongs(c *aggregate.MinuteCount, x *aggregate.IncidentSeries) bool {
	switch x.Dimension {
	case "campaign":
		return c.CampaignID == x.Key
	case "publisher":
		return c.PublisherID == x.Key
	case "source":
		return c.SourceID == x.Key
	}
	return false
}

// during reports whether a minute lies in the strange time of a series.
func during(minute int64, x *aggregate.IncidentSeries) bool {
	return minute >= x.From && (x.To == 0 || minute < x.To)
}

func (m *incidentMinute) add(c *aggregate.MinuteCount) {
	for state, n := range c.Counts {
		switch click.State(state) {
		case click.Valid:
			m.Valid += n
		case click.GIVT, click.SIVT:
			m.Invalid += n
		case click.Duplicate, click.Redelivered:
			m.Repeated += n
		default:
			m.Other += n
		}
		m.Total += n
	}
}

// leadMinutesOf counts the minutes of one series, those without events included.
func leadMinutesOf(x *aggregate.IncidentSeries, i *aggregate.Incident, counts []aggregate.MinuteCount) []incidentMinute {
	byMinute := map[int64]*incidentMinute{}
	first, last := i.OpenedAt, i.OpenedAt
	for n := range counts {
		c := &counts[n]
		if !belongs(c, x) {
			continue
		}
		m := byMinute[c.Minute]
		if m == nil {
			m = &incidentMinute{At: c.Minute, Strange: during(c.Minute, x)}
			byMinute[c.Minute] = m
		}
		m.add(c)
		first, last = min(first, c.Minute), max(last, c.Minute)
	}
	var out []incidentMinute
	for at := first; at <= last && len(out) <= windowLimit; at += minuteMicros {
		if m := byMinute[at]; m != nil {
			out = append(out, *m)
		} else {
			out = append(out, incidentMinute{At: at, Strange: during(at, x)})
		}
	}
	return out
}

// drawMinutes stacks the counts of each minute: valid below, then what is repeated,
// what is invalid, and the rest.
func drawMinutes(minutes []incidentMinute) (bars []minuteBar, most int64) {
	for i := range minutes {
		most = max(most, minutes[i].Total)
	}
	if most == 0 {
		return nil, 0
	}
	step := 1000 / float64(columnsOf(minutes))
	left := columnsOf(minutes) - len(minutes)
	for i := range minutes {
		m := &minutes[i]
		top := 100.0
		for _, part := range []struct {
			kind string
			n    int64
		}{{"valid", m.Valid}, {"duplicate", m.Repeated}, {"sivt", m.Invalid}, {"undecidable", m.Other}} {
			if part.n == 0 {
				continue
			}
			height := 100 * float64(part.n) / float64(most)
			top -= height
			bars = append(bars, minuteBar{
				Kind: part.kind, X: float64(left+i) * step, Y: math.Max(0, top), Width: step * 0.86, Height: height,
				Text: fmt.Sprintf("%s: %s %s", hour(m.At), grouped(strconv.FormatInt(part.n, 10)), barTexts[part.kind]),
			})
		}
	}
	return bars, most
}

// ticks are the times of the drawing's first, middle and last column.
func ticks(minutes []incidentMinute) (out []string) {
	if len(minutes) == 0 {
		return nil
	}
	last := minutes[len(minutes)-1].At
	for _, back := range []int{columnsOf(minutes) - 1, columnsOf(minutes) / 2, 0} {
		out = append(out, time.UnixMicro(last-int64(back)*minuteMicros).UTC().Format("15:04"))
	}
	return out
}

// columnsOf is how many columns the drawing has room for: those of a short incident
// are not as wide as a page. The last minute stands at the right edge.
func columnsOf(minutes []incidentMinute) int { return max(len(minutes), 30) }

var barTexts = map[string]string{"valid": "valid", "duplicate": "repeated", "sivt": "invalid", "undecidable": "other"}

// harm adds up, by campaign and currency, the counts of the strange minutes.
func harm(i *aggregate.Incident, counts []aggregate.MinuteCount) []campaignHarm {
	type key struct{ campaign, currency string }
	sums := map[key]*campaignHarm{}
	for n := range counts {
		c := &counts[n]
		if !slices.ContainsFunc(i.Series, func(x aggregate.IncidentSeries) bool { return belongs(c, &x) && during(c.Minute, &x) }) {
			continue
		}
		k := key{c.CampaignID, c.Currency}
		h := sums[k]
		if h == nil {
			h = &campaignHarm{Campaign: c.CampaignID, Currency: c.Currency}
			sums[k] = h
		}
		var m incidentMinute
		m.add(c)
		h.Events, h.Valid, h.Invalid, h.Repeats = h.Events+m.Total, h.Valid+m.Valid, h.Invalid+m.Invalid, h.Repeats+m.Repeated
		h.Micros += c.Micros
	}
	out := make([]campaignHarm, 0, len(sums))
	for _, h := range sums {
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b campaignHarm) int {
		return cmp.Or(cmp.Compare(b.Invalid, a.Invalid), cmp.Compare(b.Events, a.Events), cmp.Compare(a.Campaign, b.Campaign), cmp.Compare(a.Currency, b.Currency))
	})
	return out[:min(len(out), rowsShown)]
}

func pageRows(records []aggregate.PageRecord) []pageRow {
	rows := make([]pageRow, 0, len(records))
	for _, p := range records {
		row := pageRow{PageRecord: p, What: "trigger", Status: "pending", Class: "open"}
		if p.Action == aggregate.PageResolve {
			row.What = "resolve"
		}
		switch p.Outcome {
		case aggregate.PageSent:
			row.Status, row.Class = "sent", "done"
		case aggregate.PageCollapsed:
			row.Status, row.Class = "collapsed", ""
		case aggregate.PageRefused:
			row.Status, row.Class = "refused", "critical"
		}
		rows = append(rows, row)
	}
	return rows
}
