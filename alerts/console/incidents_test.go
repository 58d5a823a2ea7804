package console

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"golang.org/x/net/html"
)

// TestLiveShowsIncidents: the gravest first, and failing ones never keep the counts
// away.
func TestLiveShowsIncidents(t *testing.T) {
	t.Parallel()
	f := books()
	grave := attack("t1", "camp")
	grave.Title, grave.OpenedAt = "<b>flood</b>", hour7
	f.alerts = nil
	for range incidentsShown {
		lesser := attack("t1", "camp")
		lesser.Severity, lesser.OpenedAt = aggregate.SeverityWarning, hour7+minuteMicros
		f.alerts = append(f.alerts, lesser)
	}
	f.alerts = append(f.alerts, grave)
	s := newSite(t, f)
	got := textOf(s.get("/", 200))
	if !strings.Contains(got, "Open incidents all incidents critical <b>flood</b> since 2026-11-25 07:00, at risk 1,234.50 EUR") || !strings.Contains(got, "and 1 more") {
		t.Error(got)
	}
	f.alerts = nil
	if got := textOf(s.get("/", 200)); !strings.Contains(got, "Open incidents all incidents None.") {
		t.Error(got)
	}
	f.away = errors.New("away")
	if got := textOf(s.get("/", 200)); !strings.Contains(got, "Incidents cannot be read") || !strings.Contains(got, "1,220") {
		t.Error(got)
	}
}

// TestIncidentList: open and resolved ones, those of long ago left out.
func TestIncidentList(t *testing.T) {
	t.Parallel()
	f := books()
	over, old := attack("t2", "c1"), attack("t1", "c1")
	over.ID, over.ResolvedAt, over.Severity = "aa", over.OpenedAt+72*minuteMicros, aggregate.SeverityWarning
	old.ID, old.ResolvedAt = "bb", hour7-15*24*hourMicros
	f.alerts = append(f.alerts, over, old)
	s := newSite(t, f)
	doc := s.get("/incidents", 200)
	open, resolved := table(t, doc, "Open incidents"), table(t, doc, "Resolved incidents")
	want := []string{"critical", attack("t1", "camp").Title, "t1", "2026-11-25 06:58", "3 min", "1,234.50 EUR", "2"}
	if len(open) != 2 || !slices.Equal(open[1], want) {
		t.Errorf("open: %q", open)
	}
	if len(resolved) != 2 || resolved[1][0] != "warning" || resolved[1][2] != "t2" || resolved[1][4] != "1 h 12 min" {
		t.Errorf("resolved: %q", resolved)
	}
	s.add("ana", "t2", "analyst")
	doc = s.get("/incidents", 200)
	if got := table(t, doc, "Open incidents"); len(got) != 2 || !strings.HasPrefix(got[1][0], "None.") {
		t.Errorf("another tenant's incident: %q", got)
	}
	if got := table(t, doc, "Resolved incidents"); len(got) != 2 || got[1][2] != "t2" {
		t.Errorf("the own incident: %q", got)
	}
	s.get("/incidents/0123456789abcdef0123456789abcdef", 404)
}

// minutesOf is an attack of two minutes on camp, beside quiet campaigns.
func minutesOf() []aggregate.MinuteCount {
	count := func(at int64, campaign string, valid, sivt, repeated, micros int64) aggregate.MinuteCount {
		return aggregate.MinuteCount{
			TenantID: "t1", SourceID: "edge", CampaignID: campaign, PublisherID: "pub", Currency: "EUR", Minute: at, Micros: micros,
			Counts: [click.NumStates]int64{click.Valid: valid, click.SIVT: sivt, click.Duplicate: repeated},
		}
	}
	at := hour7 - 2*minuteMicros
	other := count(at, "camp", 5, 5, 5, 5)
	other.TenantID = "t2"
	return []aggregate.MinuteCount{
		count(at-2*minuteMicros, "camp", 100, 0, 0, 25_000_000), // before
		count(at, "camp", 100, 600, 20, 180_000_000), count(at, "quiet", 40, 1, 0, 10_000_000), other,
		count(at+minuteMicros, "camp", 90, 300, 0, 97_500_000), count(at+minuteMicros, "quiet", 50, 0, 0, 12_500_000),
	}
}

// TestIncidentPage: the series against what was expected, the minutes, the
// campaigns that were hit, the cases behind it and what PagerDuty was told.
func TestIncidentPage(t *testing.T) {
	t.Parallel()
	f := books()
	f.minutes = minutesOf()
	f.told = []aggregate.PageRecord{
		{Seq: 3, Action: aggregate.PageResolve},
		{Seq: 2, Action: aggregate.PageTrigger, Attempts: 2, AttemptedAt: hour7, Outcome: aggregate.PageRefused, EndedAt: hour7, Error: "invalid key"},
		{Seq: 1, Action: aggregate.PageTrigger, Attempts: 1, AttemptedAt: hour7, Outcome: aggregate.PageSent, EndedAt: hour7},
	}
	s := newSite(t, f)
	path := "/incidents/" + f.alerts[0].ID
	doc := s.get(path, 200)
	series := table(t, doc, "Series")
	if got := find(t, series, "campaign", "camp"); !slices.Equal(got[2:], []string{"share of invalid clicks", "69.1 %", "5.0 %", "of clicks", "12.8", "9,000", "5,769", "2026-11-25 06:58", "strange"}) {
		t.Errorf("share: %q", got)
	}
	if got := find(t, series, "source", "edge"); !slices.Equal(got[2:6], []string{"volume", "9,100", "2,400", "events a minute"}) || got[10] != "2026-11-25 06:59" {
		t.Errorf("volume: %q", got)
	}
	// Of "quiet" only the minute counts in which the source was strange.
	campaigns := table(t, doc, "Campaigns")
	if got := find(t, campaigns, "camp"); !slices.Equal(got[1:], []string{"1,110", "190", "900", "81.1 %", "20", "277.50", "EUR"}) {
		t.Errorf("camp: %q", got)
	}
	if got := find(t, campaigns, "quiet"); !slices.Equal(got[1:], []string{"41", "40", "1", "2.4 %", "0", "10.00", "EUR"}) {
		t.Errorf("quiet: %q", got)
	}
	minutes := table(t, doc, "Minutes")
	if want := []string{"2026-11-25 06:58", "720", "100", "20", "600", "0", "strange"}; len(minutes) != 5 || !slices.Equal(minutes[3], want) || minutes[2][1] != "0" || minutes[2][6] != "" {
		t.Errorf("minutes: %q", minutes)
	}
	if got := textOf(doc); !strings.Contains(got, "1,234.50what the excess would cost") || !strings.Contains(got, "69.1 %share of invalid clicks, against 5.0 % expected") {
		t.Error(got)
	}
	if got := table(t, doc, "Cases"); len(got) != 2 || got[1][0] != "203.0.113.0/24" || got[1][2] != "0.25" {
		t.Errorf("cases: %q", got)
	}
	if !linksTo(doc, casePath) || !linksTo(doc, "/review?tenant=t1") {
		t.Error("no way to the clicks behind it")
	}
	pages := table(t, doc, "Pages")
	if len(pages) != 4 || !slices.Equal(pages[1], []string{"resolve", "pending", "0", "–", "–", "–"}) || pages[2][1] != "refused" || pages[2][5] != "invalid key" || pages[3][1] != "sent" {
		t.Errorf("pages: %q", pages)
	}

	s.add("bill", "t1", "billing")
	doc = s.get(path, 200)
	if got := textOf(doc); strings.Contains(got, "wait for a decision") || linksTo(doc, casePath) || !strings.Contains(got, "Campaigns hit") {
		t.Error("who may not review sees the cases, or nothing at all")
	}
}

func linksTo(doc *html.Node, path string) bool {
	return slices.ContainsFunc(elements(doc, "a"), func(a *html.Node) bool { return attr(a, "href") == path })
}

// TestIncidentWithoutAnything: no series, money, counts or pages.
func TestIncidentWithoutAnything(t *testing.T) {
	t.Parallel()
	f := books()
	f.alerts = []aggregate.Incident{{ID: "1", TenantID: "t9", Severity: aggregate.SeverityInfo, OpenedAt: hour7, ResolvedAt: hour7}}
	got := textOf(newSite(t, f).get("/incidents/1", 200))
	for _, want := range []string{"resolved", "0 min", "no click had a price", "No series.", "Nothing waits for a decision.", "None yet."} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}

// TestDrawMinutes: columns stay within the drawing and stand for all events.
func TestDrawMinutes(t *testing.T) {
	t.Parallel()
	minutes := leadMinutesOf(&attack("t1", "camp").Series[0], &aggregate.Incident{OpenedAt: hour7 - 2*minuteMicros}, minutesOf())
	bars, most := drawMinutes(minutes)
	if most != 735 || len(bars) != 6 { // with the other tenant's 15 events, which a desk would not read
		t.Fatalf("most %d, %d bars", most, len(bars))
	}
	height := 0.0
	for _, b := range bars {
		height += b.Height
		if b.X < 0 || b.X+b.Width > 1000 || b.Y < 0 || b.Y+b.Height > 100.001 || b.Height <= 0 {
			t.Errorf("bar %+v sticks out", b)
		}
	}
	if want := 100 * (100 + 735 + 390) / 735.0; height < want-0.01 || height > want+0.01 {
		t.Errorf("heights add up to %g, want %g", height, want)
	}
	if bars, most := drawMinutes(nil); bars != nil || most != 0 {
		t.Errorf("nothing: %v, %d", bars, most)
	}
}

// TestLongIncidentIsCut: what is read is bounded, and the page says so.
func TestLongIncidentIsCut(t *testing.T) {
	t.Parallel()
	f := books()
	i := attack("t1", "camp")
	i.OpenedAt -= 3 * 24 * hourMicros
	i.Series[0].From = i.OpenedAt
	f.alerts = []aggregate.Incident{i}
	for n := range int64(3 * 24 * 60) {
		f.minutes = append(f.minutes, aggregate.MinuteCount{TenantID: "t1", CampaignID: "camp", Minute: i.OpenedAt + n*minuteMicros, Counts: [click.NumStates]int64{click.SIVT: 1}})
	}
	doc := newSite(t, f).get("/incidents/"+i.ID, 200)
	if got := textOf(doc); !strings.Contains(got, "of the first hours") || !strings.Contains(got, "3 days") {
		t.Errorf("%.600s", got)
	}
	if rows := table(t, doc, "Minutes"); len(rows) != 1+windowLimit-leadMinutes {
		t.Errorf("%d minutes", len(rows)-1)
	}
}
