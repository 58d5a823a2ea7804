package alerts

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// row counts clicks of a tenant's campaign at one publisher, at 0.25 EUR each.
func row(campaign, publisher string, valid, invalid int64) aggregate.MinuteCount {
	return aggregate.MinuteCount{
		TenantID: "acme", SourceID: "edge", CampaignID: campaign, PublisherID: publisher, Currency: "EUR",
		Counts: [click.NumStates]int64{click.Valid: valid, click.SIVT: invalid}, Micros: 250_000 * (valid + invalid),
	}
}

// history judges minutes one after the other and keeps what comes of them.
type history struct {
	t       *testing.T
	engine  *Engine
	tracker *tracker
	minute  int64
	opened  []string // ids, in order of their first page
	pages   []string // "minute trigger id", "minute resolve id"
	last    map[string]aggregate.Incident
}

func newHistory(t *testing.T) *history {
	cfg := DefaultConfig()
	return &history{
		t: t, engine: NewEngine(cfg), tracker: newTracker(cfg, nil), minute: day0.UnixMicro(), last: map[string]aggregate.Incident{},
	}
}

// pass judges n minutes with the same rows.
func (h *history) pass(n int, rows ...aggregate.MinuteCount) {
	for range n {
		now := slices.Clone(rows)
		for i := range now {
			now[i].Minute = h.minute
		}
		for _, p := range h.tracker.take(h.engine.Judge(h.minute, now)) {
			h.last[p.ID] = p.Incident
			if p.Page == nil {
				continue
			}
			if !slices.Contains(h.opened, p.ID) {
				h.opened = append(h.opened, p.ID)
			}
			what := [...]string{aggregate.PageTrigger: "trigger", aggregate.PageResolve: "resolve"}[p.Page.Action]
			h.pages = append(h.pages, fmt.Sprintf("%d %s %d", (h.minute-day0.UnixMicro())/minuteMicros, what, slices.Index(h.opened, p.ID)))
		}
		h.minute += minuteMicros
	}
}

// want holds the pages so far to a list.
func (h *history) want(what string, pages ...string) {
	h.t.Helper()
	if !slices.Equal(h.pages, pages) {
		h.t.Errorf("%s: pages %q, want %q", what, h.pages, pages)
	}
}

var usual = []aggregate.MinuteCount{row("spring", "news", 600, 6), row("spring", "weather", 400, 4), row("autumn", "news", 300, 3)}

// attacked is usual with some fields of one row changed.
func attacked(n int, valid, invalid int64) []aggregate.MinuteCount {
	rows := slices.Clone(usual)
	rows[n] = row(rows[n].CampaignID, rows[n].PublisherID, rows[n].Counts[click.Valid]+valid, rows[n].Counts[click.SIVT]+invalid)
	return rows
}

// TestOneAttackOneIncident: source, campaign and publisher turn strange by volume
// and by share, and there is one incident, with updates at most every five minutes.
func TestOneAttackOneIncident(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(60, usual...)
	h.pass(12, attacked(0, 0, 9000)...)
	h.pass(20, usual...)
	h.want("attack", "60 trigger 0", "65 trigger 0", "70 trigger 0", "76 resolve 0")
	i := h.last[h.opened[0]]
	have := map[string]bool{}
	for _, s := range i.Series {
		have[s.Dimension+" "+s.Key+" "+s.Kind] = true
		if s.From != day0.UnixMicro()+60*minuteMicros || s.To == 0 || s.Events == 0 || s.Excess == 0 || s.Peak < 6 {
			t.Errorf("series %+v", s)
		}
	}
	for _, want := range []string{"source edge volume", "campaign spring volume", "publisher news volume", "source edge invalid_share", "campaign spring invalid_share", "publisher news invalid_share"} {
		if !have[want] {
			t.Errorf("the incident lacks %s, has %v", want, have)
		}
	}
	if len(have) != 6 {
		t.Errorf("series %v", have)
	}
	// Twelve minutes with 9000 clicks at 0.25 EUR beyond the usual, counted once;
	// what is usual after the attack is not at risk.
	if eur := i.Money["EUR"] / microsPerUnit; eur < 25_000 || eur > 28_000 || i.Severity != aggregate.SeverityCritical {
		t.Errorf("%d EUR at risk, %s", eur, i.Severity)
	}
	if i.Open() || i.TenantID != "acme" || len(i.ID) != 32 {
		t.Errorf("%+v", i)
	}
}

// TestTwoAttacksTwoIncidents: what shares no clicks is not joined.
func TestTwoAttacksTwoIncidents(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	other := row("bikes", "sports", 500, 5)
	other.TenantID = "other"
	h.pass(60, append(slices.Clone(usual), other)...)
	both := attacked(0, 0, 9000)
	flood := row("bikes", "sports", 500, 5000)
	flood.TenantID = "other"
	h.pass(3, append(both, flood)...)
	h.pass(10, append(slices.Clone(usual), other)...)
	if len(h.opened) != 2 || h.last[h.opened[0]].TenantID == h.last[h.opened[1]].TenantID {
		t.Errorf("%d incidents, pages %q", len(h.opened), h.pages)
	}
	for _, i := range h.last {
		if i.Open() {
			t.Errorf("still open: %+v", i)
		}
	}
}

// TestCalmSeriesJoinNothing: a series that was part of an attack and is calm again
// draws nothing new into its incident; one that is still strange does.
func TestCalmSeriesJoinNothing(t *testing.T) {
	t.Parallel()
	for calmSince, want := range map[int64]int{0: 1, day0.UnixMicro(): 2} {
		tr := newTracker(DefaultConfig(), []aggregate.Incident{{
			ID: "1", TenantID: "acme", OpenedAt: day0.UnixMicro(), Series: []aggregate.IncidentSeries{
				{Dimension: byCampaign, Key: "spring", Kind: volume, To: calmSince}, {Dimension: byPublisher, Key: "news", Kind: volume},
			},
		}})
		j := Judgement{Minute: day0.UnixMicro() + minuteMicros, cells: map[cell]int64{{"acme", "edge", "spring", "blog"}: 500}}
		for _, key := range []SeriesKey{{"acme", byPublisher, "news"}, {"acme", byPublisher, "blog"}} {
			j.Findings = append(j.Findings, Finding{SeriesKey: key, Kind: volume, Score: 9, Events: 500, Excess: 400})
		}
		if puts := tr.take(j); len(puts) != want {
			t.Errorf("calm since %d: %d incidents, want %d", calmSince, len(puts), want)
		}
	}
}

// TestSmallCampaignsOfOneSource: two small campaigns at publishers of their own are
// attacked at once while the source hardly feels it.
func TestSmallCampaignsOfOneSource(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	rows := []aggregate.MinuteCount{row("huge", "portal", 1_000_000, 20_000), row("a", "pa", 200, 2), row("b", "pb", 200, 2)}
	h.pass(60, rows...)
	rows = []aggregate.MinuteCount{rows[0], row("a", "pa", 200, 900), row("b", "pb", 200, 900)}
	h.pass(3, rows...)
	if len(h.opened) != 2 {
		t.Errorf("%d incidents, pages %q", len(h.opened), h.pages)
	}
}

// TestStormIsOneIncident: more new incidents in a minute than allowed become one.
func TestStormIsOneIncident(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	storm := func(invalid int64) (rows []aggregate.MinuteCount) {
		rows = append(rows, row("huge", "portal", 10_000_000, 200_000))
		for n := range 30 {
			rows = append(rows, row(fmt.Sprint("c", n), fmt.Sprint("p", n), 200, invalid))
		}
		return rows
	}
	h.pass(60, storm(2)...)
	h.pass(2, storm(900)...)
	if len(h.opened) != 1 || len(h.last[h.opened[0]].Series) < 60 {
		t.Errorf("%d incidents, pages %q", len(h.opened), h.pages)
	}
}

// TestAttackInTheFirstMinutes: no baseline yet, and an attack rings by its share;
// it does not become the baseline either.
func TestAttackInTheFirstMinutes(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(1, usual...)
	h.pass(2, attacked(0, 0, 9000)...)
	h.pass(9, usual...)
	h.want("young attack", "1 trigger 0", "7 resolve 0")
	h.pass(30, usual...)
	h.pass(1, attacked(0, 0, 9000)...)
	if len(h.pages) != 3 {
		t.Errorf("second attack: pages %q", h.pages)
	}
}

// TestComesBack: soon after its end the same incident goes on, and stays open
// longer each time; much later it is another one.
func TestComesBack(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(60, usual...)
	for range 3 {
		h.pass(2, attacked(0, 0, 9000)...)
		h.pass(13, usual...)
	}
	h.pass(40, usual...)
	h.want("flapping", "60 trigger 0", "66 resolve 0", "75 trigger 0", "86 resolve 0", "90 trigger 0", "106 resolve 0")
	if i := h.last[h.opened[0]]; i.Reopened != 2 {
		t.Errorf("reopened %d times", i.Reopened)
	}
	h.pass(60, usual...)
	h.pass(2, attacked(0, 0, 9000)...)
	if len(h.opened) != 2 {
		t.Errorf("an hour later: pages %q", h.pages)
	}
}

// TestGoesOnAfterRestart: a tracker and an engine made from what is stored, in the
// middle of an attack, end where the first ones would have.
func TestGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(60, usual...)
	h.pass(3, attacked(0, 0, 9000)...)
	var stored []aggregate.Incident
	for _, i := range h.tracker.open {
		stored = append(stored, clone(i))
	}
	h.tracker = newTracker(h.engine.cfg, stored)
	h.engine = NewEngine(h.engine.cfg)
	for n := range int64(60) {
		rows := slices.Clone(usual)
		if n >= 57 {
			rows = attacked(0, 0, 9000)
		}
		h.engine.Judge(h.minute-(60-n)*minuteMicros, rows)
	}
	h.engine.restore(h.tracker.open)
	h.pass(3, attacked(0, 0, 9000)...)
	h.pass(10, usual...)
	h.want("restart", "60 trigger 0", "65 trigger 0", "70 resolve 0")
}

// TestSilence: everything stops, and that is one incident for each tenant; a
// campaign that was small stops without one.
func TestSilence(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(70, append(slices.Clone(usual), row("tiny", "news", 20, 0))...)
	h.pass(10)
	if len(h.opened) != 1 || h.last[h.opened[0]].Money["EUR"] != 0 {
		t.Errorf("silence: pages %q, %+v", h.pages, h.last)
	}
	quiet := newHistory(t)
	quiet.pass(70, append(slices.Clone(usual), row("tiny", "blog", 20, 0))...)
	quiet.pass(10, usual...)
	quiet.want("a tiny campaign ends")
}

// TestRepeats: a sender that sends everything again rings.
func TestRepeats(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(30, usual...)
	again := slices.Clone(usual)
	for i := range again {
		again[i].Counts[click.Redelivered] = again[i].Counts[click.Valid]
	}
	h.pass(4, again...)
	if len(h.opened) != 1 || !strings.Contains(h.last[h.opened[0]].Title, "repeated") && !strings.Contains(h.last[h.opened[0]].Title, "events a minute") {
		t.Errorf("pages %q: %+v", h.pages, h.last)
	}
	if !slices.ContainsFunc(h.last[h.opened[0]].Series, func(s aggregate.IncidentSeries) bool { return s.Kind == repeatedShare }) {
		t.Error("no share of repeats among the series")
	}
}

// TestCampaignEnds: a large campaign that ends is one incident, named after what
// fell, that is over when the end is usual, and is not told again.
func TestCampaignEnds(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.pass(90, append(slices.Clone(usual), row("winter", "blog", 500, 5))...)
	h.pass(6*60, usual...)
	if len(h.opened) != 1 {
		t.Fatalf("pages %q", h.pages)
	}
	i := h.last[h.opened[0]]
	if i.Open() {
		t.Fatalf("it is open for good: pages %q", h.pages)
	}
	if lasted := (i.ResolvedAt - i.OpenedAt) / minuteMicros; lasted < 10 || lasted > 180 || i.Money["EUR"] != 0 {
		t.Errorf("it lasted %d minutes, money %v", lasted, i.Money)
	}
}

// TestCampaignBegins: a series that appears for the first time has no past to be
// strange against, and those that hardly feel it stay calm.
func TestCampaignBegins(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	big := []aggregate.MinuteCount{row("huge", "portal", 100_000, 1000)}
	h.pass(90, big...)
	h.pass(90, append(slices.Clone(big), row("new", "blog", 600, 6))...)
	h.want("a campaign begins")
	h.pass(2, append(slices.Clone(big), row("new", "blog", 600, 3000))...)
	if len(h.opened) != 1 {
		t.Errorf("an attack on the new campaign: pages %q", h.pages)
	}
}

// TestSmallTraffic: a few clicks, however they jump, and none at all ring nobody.
func TestSmallTraffic(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for n := range 600 {
		valid, invalid := []int64{0, 1, 0, 30, 2, 0, 90, 5}[n%8], []int64{0, 0, 9, 0}[n%4]
		if n%100 < 40 { // whole pauses, with rows and without
			h.pass(1)
			continue
		}
		h.pass(1, row("tiny", "blog", valid, invalid))
	}
	h.pass(600)
	h.want("small traffic")
	if len(h.engine.series) == 0 {
		t.Error("nothing was watched")
	}
}

// TestMorningRamp: campaigns that wake up and fall asleep every day ring on no day
// from the fourth on, through the engine and the hours that a restart reads.
func TestMorningRamp(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	level := func(n int) float64 { return 300 + 280*math.Sin((float64(n%1440)/60-9)*math.Pi/12) }
	noisy := func(n int) int64 { return int64(max(0, level(n)+r.NormFloat64()*math.Sqrt(level(n)))) }
	h := newHistory(t)
	var past []aggregate.MinuteCount
	for n := range 4 * 1440 {
		one := row("spring", "news", noisy(n), 3)
		one.Minute = h.minute - h.minute%(60*minuteMicros)
		past = append(past, one)
		h.minute += minuteMicros
	}
	h.engine.rememberHours(past)
	for n := range 2 * 1440 {
		h.pass(1, row("spring", "news", noisy(n), 3))
	}
	h.want("mornings")
	h.pass(2, row("spring", "news", 6000, 3)) // midnight
	if len(h.opened) != 1 {
		t.Errorf("an attack at night: pages %q", h.pages)
	}
}

// TestStormIsCheap: all series that are watched turn strange at once. The work is
// that of the counts, not of each pair of series: it would take hours.
func TestStormIsCheap(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	storm := func(invalid int64) (rows []aggregate.MinuteCount) {
		for n := range 2000 {
			rows = append(rows, row(fmt.Sprint("c", n), fmt.Sprint("p", n), 200, invalid))
		}
		return rows
	}
	h.pass(16, storm(2)...)
	h.pass(3, storm(900)...)
	if len(h.opened) != 1 || len(h.last[h.opened[0]].Series) < 4000 {
		t.Errorf("%d incidents", len(h.opened))
	}
}

// TestIncidentIDs: names that share a long beginning, or are empty, stay apart.
func TestIncidentIDs(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	seen := map[string]string{}
	for _, f := range []Finding{
		{SeriesKey: SeriesKey{"acme", byCampaign, long + "a"}, Kind: volume}, {SeriesKey: SeriesKey{"acme", byCampaign, long + "b"}, Kind: volume},
		{SeriesKey: SeriesKey{"acme", byCampaign, ""}, Kind: volume}, {SeriesKey: SeriesKey{"acme", byPublisher, ""}, Kind: volume},
		{SeriesKey: SeriesKey{"acme", byPublisher, ""}, Kind: invalidShare}, {SeriesKey: SeriesKey{"acm", "e" + byPublisher, ""}, Kind: volume},
	} {
		for _, minute := range []int64{0, minuteMicros} {
			key := DedupKey(incidentID(&f, minute))
			if other, ok := seen[key]; ok || len(key) > 255 {
				t.Errorf("%+v at %d has the key of %s: %s", f, minute, other, key)
			}
			seen[key] = fmt.Sprint(f.SeriesKey)
			if again := DedupKey(incidentID(&f, minute)); again != key {
				t.Errorf("%s, then %s", key, again)
			}
		}
	}
}

// TestMaxSeries: no more series than allowed, and idle ones make room.
func TestMaxSeries(t *testing.T) {
	t.Parallel()
	cfg := DefaultConfig()
	cfg.MaxSeries = 20
	e := NewEngine(cfg)
	minute := day0.UnixMicro()
	for n := range 200 {
		e.Judge(minute, []aggregate.MinuteCount{row(fmt.Sprint("c", n), "news", 200, 2)})
		minute += minuteMicros
		if len(e.series) > 20 {
			t.Fatalf("%d series", len(e.series))
		}
	}
	if e.cut == 0 || e.series[SeriesKey{"acme", bySource, "edge"}] == nil {
		t.Errorf("%d found no room", e.cut)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for key, spoil := range map[string]func(*Config){
		"settle":         func(c *Config) { c.Settle = -1 },
		"update_every":   func(c *Config) { c.UpdateEvery = time.Minute },
		"min_clicks":     func(c *Config) { c.MinClicks = 0 },
		"open_score":     func(c *Config) { c.OpenScore = 2 },
		"at_once_score":  func(c *Config) { c.AtOnceScore = 5 },
		"close_score":    func(c *Config) { c.CloseScore = 0 },
		"warmup_minutes": func(c *Config) { c.WarmupMinutes = 61 },
		"error_money":    func(c *Config) { c.ErrorMoney = 1001 },
		"case_url":       func(c *Config) { c.CaseURL = "console" },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "alerts."+key+": ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
