package synth

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/scoring/givt"

	"pgregory.net/rapid"
)

// busy is an hour that holds a day, with everything in it.
func busy() Params {
	p := DefaultParams()
	p.Duration, p.Day, p.Peak, p.People = time.Hour, time.Hour, 8, 10_000
	p.Campaigns = []Share{{"a", 3}, {"b", 1}}
	p.Families = []Family{
		Flood{Start: 10 * time.Minute, Lasts: 5 * time.Minute, Addresses: 12, Rate: 30, Campaign: "a"},
		Crowd{Start: 20 * time.Minute, Lasts: 2 * time.Minute, People: 2000, Rate: 15},
	}
	return p
}

func traffic(t testing.TB, seed uint64, p Params) []Click {
	t.Helper()
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	return slices.Collect(Traffic(seed, p))
}

func wantActivity(t testing.TB, clicks []Click, least int) {
	t.Helper()
	if len(clicks) < least {
		t.Fatalf("only %d clicks, at least %d are needed to prove anything", len(clicks), least)
	}
}

// check reports what is wrong with traffic, "" when nothing.
func check(clicks []Click, p *Params) string {
	doubled := map[uint64]Click{}
	for i, c := range clicks {
		switch {
		case i > 0 && c.At < clicks[i-1].At:
			return "not in order"
		case c.At < 0 || p.Duration > 0 && c.At >= p.Duration:
			return "outside the duration"
		case !c.IP.IsValid() || c.Agent == "" || c.Campaign == "" || c.Publisher == "" || c.Placement == "" || c.Family == "":
			return "a field is empty"
		}
		first, again := doubled[c.Opportunity]
		if again != (c.Label == DoubleClick) {
			return "an opportunity comes twice without being a double click, or the other way round"
		}
		if again {
			if gap := c.At - first.At; gap <= 0 || gap >= time.Second {
				return "a double click is not within a second"
			}
			first.At, first.Label = c.At, c.Label
			if first != c {
				return "a double click differs from the first one"
			}
		}
		doubled[c.Opportunity] = c
	}
	return ""
}

func TestOrderAndDeterminism(t *testing.T) {
	t.Parallel()
	total := 0
	rapid.Check(t, func(t *rapid.T) {
		p := busy()
		p.Duration = time.Duration(rapid.Int64Range(int64(time.Minute), int64(2*time.Minute)).Draw(t, "duration"))
		p.Day = time.Duration(rapid.Int64Range(int64(time.Second), int64(24*time.Hour)).Draw(t, "day"))
		p.Opening = time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "opening"))
		p.Peak = rapid.SampledFrom([]float64{0, 0.1, 1, 5, 20}).Draw(t, "peak")
		p.DoubleClicks = rapid.Float64Range(0, 1).Draw(t, "double clicks")
		p.Families = []Family{Flood{Start: p.Duration / 3, Lasts: time.Minute, Addresses: 3, Rate: 5}}
		seed := rapid.Uint64().Draw(t, "seed")
		clicks := slices.Collect(Traffic(seed, p))
		if wrong := check(clicks, &p); wrong != "" {
			t.Fatal(wrong)
		}
		if !slices.Equal(clicks, slices.Collect(Traffic(seed, p))) {
			t.Fatal("the same seed made other traffic")
		}
		shorter := p
		shorter.Duration /= 2
		if shorter.Duration > 0 {
			start := slices.Collect(Traffic(seed, shorter))
			if len(start) > len(clicks) || !slices.Equal(start, clicks[:len(start)]) {
				t.Fatal("a shorter duration did not only cut")
			}
		}
		total += len(clicks)
	})
	if total < 10_000 {
		t.Fatalf("all runs together had %d clicks, too few to prove anything", total)
	}
}

func TestCheckFindsMistakes(t *testing.T) {
	t.Parallel()
	p := busy()
	clicks := traffic(t, 1, p)
	wantActivity(t, clicks, 10_000)
	double := slices.IndexFunc(clicks, func(c Click) bool { return c.Label == DoubleClick })
	for name, spoil := range map[string]func(c []Click){
		"order":            func(c []Click) { c[10], c[500] = c[500], c[10] },
		"after the end":    func(c []Click) { c[len(c)-1].At = p.Duration },
		"field":            func(c []Click) { c[7].Placement = "" },
		"label":            func(c []Click) { c[double].Label = Ordinary },
		"double elsewhere": func(c []Click) { c[double].IP = netip.MustParseAddr("198.18.0.1") },
		"shared ad":        func(c []Click) { c[9].Opportunity = c[8].Opportunity },
	} {
		spoiled := slices.Clone(clicks)
		if spoil(spoiled); check(spoiled, &p) == "" {
			t.Errorf("%s: the mistake was not found", name)
		}
	}
	if slices.Equal(clicks, traffic(t, 2, p)) {
		t.Error("another seed made the same traffic")
	}
}

// Whoever evaluates scoring compares a day with an attack to the same day without.
func TestAttacksLeaveOthersAlone(t *testing.T) {
	t.Parallel()
	with := busy()
	without := busy()
	without.Families = nil
	rest := slices.DeleteFunc(traffic(t, 3, with), func(c Click) bool { return c.Family == "flood" || c.Family == "crowd" })
	wantActivity(t, rest, 10_000)
	if !slices.Equal(rest, traffic(t, 3, without)) {
		t.Error("people click otherwise when there is an attack")
	}
}

// within reports whether a Poisson count is within five deviations of its mean,
// where visits of several clicks widen the spread.
func within(got int, mean float64) bool { return math.Abs(float64(got)-mean) < 5*math.Sqrt(2*mean) }

func TestSharesAndRates(t *testing.T) {
	t.Parallel()
	p := busy()
	p.DoubleClicks, p.Crawlers = 0.02, 0.03
	clicks := traffic(t, 4, p)
	wantActivity(t, clicks, 25_000)
	var labels [Labels]int
	family, campaign, publisher := map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range clicks {
		labels[c.Label]++
		family[c.Family]++
		if c.Family == "people" {
			campaign[c.Campaign]++
			publisher[c.Publisher]++
		}
	}
	people := p.Peak * meanShape() * p.Duration.Seconds()
	for _, w := range []struct {
		what string
		got  int
		mean float64
	}{
		{"people", family["people"], people},
		{"double clicks", labels[DoubleClick], people * 0.02 / 1.02},
		{"crawlers", labels[Crawler], people * 0.03},
		{"attack", labels[Attack], 30 * 300},
		{"crowd", family["crowd"], 15 * 120},
		{"campaign a", campaign["a"], people * 3 / 4},
		{"publisher news.example", publisher["news.example"], people / 2},
		{"publisher recipes.example", publisher["recipes.example"], people / 5},
	} {
		if !within(w.got, w.mean) {
			t.Errorf("%s: %d clicks, about %.0f were ordered", w.what, w.got, w.mean)
		}
	}
	if labels[Attack] != family["flood"] || labels[Crawler] != family["crawlers"] {
		t.Errorf("labels %v do not fit families %v", labels, family)
	}
}

func TestDayHasItsShape(t *testing.T) {
	t.Parallel()
	if s := shape(3); s > 0.2 || s <= 0 {
		t.Errorf("at 03:00 the activity is %v of the peak", s)
	}
	if day := min(shape(10), shape(20)); day < 0.9 || shape(15) > day-0.2 {
		t.Errorf("no peaks: 10:00 %v, 15:00 %v, 20:00 %v", shape(10), shape(15), shape(20))
	}
	p := busy()
	p.Families, p.Opening = nil, 6*time.Hour
	var hours [24]int
	for c := range Traffic(5, p) {
		hours[(int(c.At*24/p.Day)+6)%24]++
	}
	for h, n := range hours {
		mean := 0.0
		for m := range 60 {
			mean += shape(float64(h)+float64(m)/60) / 60
		}
		// Later clicks of a visit trail its start, so neighbouring hours blur.
		if want := mean * p.Peak * p.Day.Seconds() / 24; math.Abs(float64(n)-want) > 5*math.Sqrt(2*want)+0.1*want {
			t.Errorf("hour %d has %d clicks, about %.0f were ordered", h, n, want)
		}
	}
}

// Only behaviour and agent may tell people from bots, never the lists of addresses.
func TestListsKnowCrawlersOnly(t *testing.T) {
	t.Parallel()
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	p := busy()
	p.Crawlers = 0.05
	agents := map[string]givt.Reason{}
	checked := map[Label]int{}
	for c := range Traffic(6, p) {
		m := lists.Match(c.Agent, c.IP)
		want := givt.Reason("")
		if c.Label == Crawler {
			want = givt.UnverifiedCrawler
		}
		if m.DataCentre || m.Relay || m.VPN || m.Tor {
			t.Fatalf("an address of family %s is on a list: %+v", c.Family, m)
		}
		if agents[c.Agent] = m.Reason(true); agents[c.Agent] != want {
			t.Fatalf("%s agent %q is %q to the lists, want %q", c.Label, c.Agent, agents[c.Agent], want)
		}
		checked[c.Label]++
	}
	if len(agents) < 60 || checked[Ordinary] < 10_000 || checked[Crawler] < 100 || checked[Attack] < 1000 {
		t.Fatalf("too little to prove anything: %d agents, clicks by label %v", len(agents), checked)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	p := busy()
	type who struct {
		ip       netip.Addr
		agent    string
		language string
	}
	people, clicksOf := map[uint64]who{}, map[uint64]int{}
	carrier, v6 := map[netip.Addr]map[uint64]bool{}, 0
	for c := range Traffic(7, p) {
		if c.Family != "people" {
			continue
		}
		w := who{c.IP, c.Agent, c.Language}
		if known, ok := people[c.Person]; ok && known != w {
			t.Fatal("a person changed address or agent")
		}
		people[c.Person] = w
		clicksOf[c.Person]++
		if c.IP.Is6() {
			v6++
		}
		if carrier[c.IP] == nil {
			carrier[c.IP] = map[uint64]bool{}
		}
		carrier[c.IP][c.Person] = true
	}
	if len(people) < 5000 || v6 < 1000 {
		t.Fatalf("only %d people and %d clicks over IPv6", len(people), v6)
	}
	most := 0
	for _, n := range clicksOf {
		most = max(most, n)
	}
	if most > 60 {
		t.Errorf("a person clicked %d times in a day", most)
	}
	if n := len(carrier[netip.MustParseAddr("203.0.113.7")]); n < 5 {
		t.Errorf("a carrier's address is shared by %d people", n)
	}
}

func TestEndlessTraffic(t *testing.T) {
	t.Parallel()
	p := busy()
	p.Duration = 0
	n := 0
	for c := range Traffic(8, p) {
		if n++; c.At > 2*p.Day {
			break
		}
	}
	if n < 40_000 {
		t.Errorf("two days of endless traffic have %d clicks", n)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Params){
		"Duration":     func(p *Params) { p.Duration = -1 },
		"Day":          func(p *Params) { p.Day = 0 },
		"Opening":      func(p *Params) { p.Opening = 25 * time.Hour },
		"Peak":         func(p *Params) { p.Peak = math.NaN() },
		"People":       func(p *Params) { p.People = 0 },
		"DoubleClicks": func(p *Params) { p.DoubleClicks = 1.1 },
		"Crawlers":     func(p *Params) { p.Crawlers = math.NaN() },
		"Campaigns":    func(p *Params) { p.Campaigns = nil },
		"Publishers":   func(p *Params) { p.Publishers = nil },
		"placements":   func(p *Params) { p.Publishers[0].Placements = []Share{{"x", 0}} },
		"Addresses":    func(p *Params) { p.Families = []Family{Flood{Lasts: 1, Rate: 1, Addresses: 255}} },
		"Flood of":     func(p *Params) { p.Families = []Family{Flood{Lasts: 1, Addresses: 1}} },
		"Crowd.People": func(p *Params) { p.Families = []Family{Crowd{Lasts: 1, Rate: 1}} },
		"Crowd of":     func(p *Params) { p.Families = []Family{Crowd{Start: -1, Lasts: 1, Rate: 1, People: 1}} },
	} {
		p := busy()
		spoil(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkTraffic(b *testing.B) {
	p := busy()
	p.Duration = 0
	b.ReportAllocs()
	n := 0
	for range Traffic(1, p) {
		if n++; n == b.N {
			break
		}
	}
}
