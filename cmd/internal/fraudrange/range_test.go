package fraudrange

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"clickgate/scoring/givt"

	"pgregory.net/rapid"
)

func newWorld(t testing.TB, seed uint64, hours int, rate float64, families []Family) *World {
	t.Helper()
	w, err := New(Config{Seed: seed, Hours: hours, Rate: rate, Families: families})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func wantActivity(t testing.TB, what string, n, least int) {
	t.Helper()
	if n < least {
		t.Fatalf("%s: %d, at least %d are needed to prove anything", what, n, least)
	}
}

// checker holds clicks to what their labels say. It sees one after the other.
type checker struct {
	w     *World
	last  time.Duration
	ads   map[uint64]Click         // the newest click of each opportunity
	drops map[uint64]time.Duration // drip: the newest click of each machine
	done  map[uint64]int           // and how many
}

func newChecker(w *World) *checker {
	return &checker{w: w, ads: map[uint64]Click{}, drops: map[uint64]time.Duration{}, done: map[uint64]int{}}
}

// check returns what is wrong with a click, "" when nothing.
func (k *checker) check(c *Click) string {
	defer func() { k.last, k.ads[c.Opportunity] = c.At, *c }()
	machine := c.Actor>>numberBits >= streamAttacks
	before, again := k.ads[c.Opportunity]
	switch {
	case c.At < k.last || c.At < 0 || c.At >= k.w.end():
		return "is out of order or outside the run"
	case !c.IP.IsValid() || c.Agent == "" || c.Campaign == "" || c.Publisher == "" || c.Placement == "" || c.PriceMicros <= 0:
		return "lacks a field"
	case c.Shown >= c.Event:
		return "comes before its ad was shown"
	case machine != (c.Label == Fraud) || machine != (c.Family != NoFamily):
		return "of an attack's machine is not labelled as fraud, or the other way round"
	case (c.Label == Person) != (c.Segment != NoSegment):
		return "of a person has no segment, or of somebody else has one"
	case (c.Label == Prefetch) != c.Prefetch || c.Batch != (c.Family == Skew) || (c.Forwarded != "") != (c.Family == Spoof):
		return "is marked as what it is not"
	case !c.Batch && c.Event != c.At || c.Batch && (c.At-c.Event > 14*time.Minute || c.Event-c.At > 4*time.Minute):
		return "has a time of its own"
	case again && !shares(&before, c):
		return "shares an ad with a click it should not"
	case c.Label == DoubleClick && (!again || c.At-before.At > doubleLast):
		return "is a double click of nothing"
	case c.Family == Injection && c.Event-c.Shown > 3*time.Second:
		return "was not injected"
	}
	return k.drip(c)
}

// shares reports whether two clicks may be of one opportunity.
func shares(before, c *Click) bool {
	same := before.IP == c.IP && before.Agent == c.Agent && before.Placement == c.Placement && before.Campaign == c.Campaign
	switch {
	case before.Family == Replay && c.Family == Replay:
		return before.Placement == c.Placement && before.Campaign == c.Campaign && before.PriceMicros == c.PriceMicros
	case before.Label == Prefetch:
		return same && c.Label == Person
	case before.Label == Person:
		return same && c.Label == DoubleClick
	}
	return false
}

func (k *checker) drip(c *Click) string {
	if c.Family != Drip {
		return ""
	}
	last, ok := k.drops[c.Actor]
	k.drops[c.Actor] = c.At
	if k.done[c.Actor]++; k.done[c.Actor] > 20 {
		return "is a bot's 21st"
	}
	if ok && c.At-last < 15*time.Minute {
		return "comes before a quarter of an hour is over"
	}
	return ""
}

func checkAll(w *World, clicks []Click) string {
	k := newChecker(w)
	for i := range clicks {
		if wrong := k.check(&clicks[i]); wrong != "" {
			return fmt.Sprintf("click %d (%s %s at %s) %s", i, clicks[i].Label, clicks[i].Family, clicks[i].At, wrong)
		}
	}
	return ""
}

func TestClicksAreWhatTheyAreLabelled(t *testing.T) {
	t.Parallel()
	total := 0
	for seed := range uint64(4) {
		w := newWorld(t, 1+seed, 6, 0.5, Families())
		clicks := slices.Collect(w.Clicks())
		if wrong := checkAll(w, clicks); wrong != "" {
			t.Errorf("seed %d: %s", 1+seed, wrong)
		}
		total += len(clicks)
	}
	wantActivity(t, "clicks", total, 20_000)
}

// The checker finds what a generator could get wrong.
func TestCheckerFindsMistakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 5, 8, 1, Families())
	clicks := slices.Collect(w.Clicks())
	if wrong := checkAll(w, clicks); wrong != "" {
		t.Fatal(wrong)
	}
	at := func(which func(*Click) bool) *Click {
		i := slices.IndexFunc(clicks, func(c Click) bool { return which(&c) })
		if i < 0 {
			t.Fatal("there is no such click")
		}
		return &clicks[i]
	}
	family := func(f Family) *Click { return at(func(c *Click) bool { return c.Family == f }) }
	label := func(l Label) *Click { return at(func(c *Click) bool { return c.Label == l }) }
	for name, spoil := range map[string]func() *Click{
		"attack as a person":      func() *Click { c := family(Drip); c.Label, c.Family, c.Segment = Person, NoFamily, Ordinary; return c },
		"attack without a family": func() *Click { c := family(Farm); c.Family = NoFamily; return c },
		"person as an attack":     func() *Click { c := label(Person); c.Label, c.Segment, c.Family = Fraud, NoSegment, Flood; return c },
		"person without segment":  func() *Click { c := label(Person); c.Segment = NoSegment; return c },
		"double click as person":  func() *Click { c := label(DoubleClick); c.Label, c.Segment = Person, Ordinary; return c },
		"order":                   func() *Click { clicks[100], clicks[900] = clicks[900], clicks[100]; return &clicks[100] },
		"price":                   func() *Click { c := label(Person); c.PriceMicros = 0; return c },
		"skew too far":            func() *Click { c := family(Skew); c.Event = c.At + time.Hour; return c },
		"injection that waits":    func() *Click { c := family(Injection); c.Shown = c.At - time.Minute; return c },
		"drip in haste": func() *Click {
			first := family(Drip)
			c := at(func(c *Click) bool {
				return c.Family == Drip && c.Actor != first.Actor && c.At-first.At < 10*time.Minute
			})
			c.Actor = first.Actor
			return c
		},
		"a person's ad": func() *Click { c := family(Flood); c.Opportunity = label(Person).Opportunity; return c },
	} {
		kept := slices.Clone(clicks)
		spoil()
		if checkAll(w, clicks) == "" {
			t.Errorf("%s: the mistake was not found", name)
		}
		copy(clicks, kept)
	}
}

// digest is a hash over every field of every click.
func digest(t testing.TB, w *World) (sum uint64, n int) {
	t.Helper()
	h := fnv.New64a()
	e := json.NewEncoder(h)
	for c := range w.Clicks() {
		if err := e.Encode(c); err != nil {
			t.Fatal(err)
		}
		n++
	}
	return h.Sum64(), n
}

func TestSeedDecidesEverything(t *testing.T) {
	t.Parallel()
	first, n := digest(t, newWorld(t, 11, 2, 0.5, Families()))
	wantActivity(t, "clicks", n, 2000)
	if again, _ := digest(t, newWorld(t, 11, 2, 0.5, Families())); again != first {
		t.Error("the same seed made other clicks")
	}
	w := newWorld(t, 11, 2, 0.5, Families())
	for range 2 { // a world is not used up
		if again, _ := digest(t, w); again != first {
			t.Error("the same world made other clicks")
		}
	}
	if other, _ := digest(t, newWorld(t, 12, 2, 0.5, Families())); other == first {
		t.Error("another seed made the same clicks")
	}
}

// Whoever leaves a family out, or looks at one alone, sees the same people and the same
// attack.
func TestFamiliesLeaveOthersAlone(t *testing.T) {
	t.Parallel()
	const seed, hours, rate = 13, 3, 0.5
	all := slices.Collect(newWorld(t, seed, hours, rate, Families()).Clicks())
	of := func(f Family) []Click {
		return slices.DeleteFunc(slices.Clone(all), func(c Click) bool { return c.Family != f })
	}
	people := of(NoFamily)
	wantActivity(t, "clicks of no attack", len(people), 3000)
	if !slices.Equal(people, slices.Collect(newWorld(t, seed, hours, rate, nil).Clicks())) {
		t.Error("people click otherwise when there are attacks")
	}
	for _, f := range Families() {
		alone := slices.DeleteFunc(slices.Collect(newWorld(t, seed, hours, rate, []Family{f}).Clicks()), func(c Click) bool { return c.Family != f })
		wantActivity(t, f.String(), len(alone), 20)
		if !slices.Equal(alone, of(f)) {
			t.Errorf("%s alone is another attack", f)
		}
	}
}

// near reports whether a count is within five deviations of a Poisson mean, of which
// visits of several clicks widen the spread.
func near(got int, mean float64) bool { return math.Abs(float64(got)-mean) < 5*math.Sqrt(2*mean)+1 }

func drawn(t testing.TB, w *World, name string) float64 {
	t.Helper()
	for _, d := range w.Drawn {
		if d.Name == name {
			return d.Value
		}
	}
	t.Fatalf("nothing was drawn for %s", name)
	return 0
}

func TestBaseRates(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 21, 24, 0.8, Families())
	labels, segments, families := map[Label]int{}, map[Segment]int{}, map[Family]int{}
	for c := range w.Clicks() {
		labels[c.Label]++
		segments[c.Segment]++
		families[c.Family]++
	}
	people := float64(labels[Person] - segments[Flash])
	wantActivity(t, "clicks of people", int(people), 50_000)
	invalid := drawn(t, w, "invalid_share")
	ordered := 0
	for _, a := range w.Attacks {
		ordered += a.Ordered
		if a.Family != Drip && !near(families[a.Family], float64(a.Ordered)) {
			t.Errorf("%s: %d clicks, %d were ordered", a.Family, families[a.Family], a.Ordered)
		}
	}
	for _, x := range []struct {
		what string
		got  int
		mean float64
	}{
		{"people", int(people), w.expected},
		{"flash crowd", segments[Flash], drawn(t, w, "flash_share") * w.expected},
		{"crawlers", labels[Crawler], drawn(t, w, "crawler_share") * w.expected},
		{"prefetches", labels[Prefetch], drawn(t, w, "prefetch_share") * float64(labels[Person])},
		{"double clicks", labels[DoubleClick], drawn(t, w, "double_clickers") * doubles * float64(labels[Person])},
	} {
		// A heavy clicker has habits: double clicks and whole visits cluster.
		if !near(x.got, x.mean) && math.Abs(float64(x.got)-x.mean) > 0.1*x.mean {
			t.Errorf("%s: %d clicks, about %.0f were ordered", x.what, x.got, x.mean)
		}
	}
	share := float64(labels[Fraud]) / (float64(labels[Fraud]) + w.expected)
	if share < 0.07*0.7 || share > 0.23 || math.Abs(share-invalid) > 0.3*invalid {
		t.Errorf("attacks are %.3f of clicks, %.3f were drawn (%d ordered)", share, invalid, ordered)
	}
	for s := Ordinary; s < NumSegments; s++ {
		wantActivity(t, s.String(), segments[s], 300)
	}
	for _, f := range Families() {
		wantActivity(t, f.String(), families[f], 300)
	}
}

// Every range is drawn from, and what comes out lies in it.
func TestDrawnValuesLieInTheirRanges(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		w, err := New(Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Hours: rapid.IntRange(1, 30).Draw(t, "hours"),
			Rate: rapid.SampledFrom([]float64{MinRate, 0.3, 2}).Draw(t, "rate"), Families: Families(),
		})
		if err != nil {
			t.Fatal(err)
		}
		in := func(owner string, ranges []Range, values []Drawn) {
			for _, d := range values {
				g := find(ranges, d.Name)
				if d.Value < g.Low || d.Value > g.High || math.IsNaN(d.Value) {
					t.Fatalf("%s %s is %v, outside %v to %v", owner, d.Name, d.Value, g.Low, g.High)
				}
				seen[owner+" "+d.Name]++
			}
		}
		in("people", PeopleRanges, w.Drawn)
		for _, a := range w.Attacks {
			in(a.Family.String(), AttackRanges[a.Family], a.Parameters)
			if a.Start < w.quiet() || a.Start+a.Lasts > w.end()+time.Minute || a.Ordered < 1 || a.Machines < 1 {
				t.Fatalf("%s of %d clicks begins at %s for %s in a run of %s", a.Family, a.Ordered, a.Start, a.Lasts, w.end())
			}
		}
		k, n := newChecker(w), 0
		for c := range w.Clicks() {
			if wrong := k.check(&c); wrong != "" {
				t.Fatalf("%s %s at %s %s", c.Label, c.Family, c.At, wrong)
			}
			if n++; n == 300 {
				break
			}
		}
	})
	for _, g := range PeopleRanges {
		wantActivity(t, "people "+g.Name, seen["people "+g.Name], 5)
	}
	for _, f := range Families() {
		for _, g := range AttackRanges[f] {
			wantActivity(t, f.String()+" "+g.Name, seen[f.String()+" "+g.Name], 5)
		}
	}
}

// The page lists every range as it is in the code.
func TestDocsListTheRanges(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/fraud-range.md")
	if err != nil {
		t.Fatal(err)
	}
	if want := MarkdownRanges(); !strings.Contains(string(page), want) {
		t.Errorf("docs/fraud-range.md does not hold the tables of ranges; they are\n%s", want)
	}
}

func TestDayHasItsShape(t *testing.T) {
	t.Parallel()
	const monday, saturday = 0, 5 * 24
	for k, s := range shapes {
		if s.at(monday+3.5) > 0.4*s.weekPeak() {
			t.Errorf("kind %d is as active at night as by day", k)
		}
	}
	office := shapes[office]
	if office.at(saturday+11) > 0.2*office.at(monday+11) || office.at(monday+21) > 0.1*office.at(monday+11) {
		t.Error("an office works on Saturdays or in the evening")
	}
	if shapes[home].at(monday+20.5) < 1.5*shapes[home].at(monday+15) {
		t.Error("homes have no evening")
	}
	w := newWorld(t, 22, 24, 0.5, nil)
	var hours [24]int
	for c := range w.Clicks() {
		if c.Label == Person && c.Segment != Flash {
			hours[int(c.At/time.Hour)]++
		}
	}
	if night, evening := hours[3], hours[20]; night*3 > evening || evening < 500 {
		t.Errorf("%d clicks from 3:00, %d from 20:00", night, evening)
	}
}

// Only where it is the point are addresses on lists; agents of people are no robots'.
func TestListsKnowOnlyWhatTheyShould(t *testing.T) {
	t.Parallel()
	lists, err := givt.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 23, 3, 0.7, Families())
	reserved := netip.MustParsePrefix("240.0.0.0/4")
	documented := netip.MustParsePrefix("3fff::/20")
	seen := map[string]int{}
	robots, people := 0, 0
	for c := range w.Clicks() {
		m := lists.Match(c.Agent, c.IP)
		mayBeListed := c.Segment == Relay || c.Segment == VPN || c.Label != Person && c.Label != Fraud ||
			c.Family == Flood || c.Family == MaskedBot || c.Family == DeclaredBot
		if !reserved.Contains(c.IP) && !documented.Contains(c.IP) && !mayBeListed {
			t.Fatalf("%s %s comes from %s, which belongs to somebody", c.Label, c.Family, c.IP)
		}
		if (reserved.Contains(c.IP) || documented.Contains(c.IP)) && (m.DataCentre || m.Relay || m.VPN || m.Tor) {
			t.Fatalf("%s is on a list: %+v", c.IP, m)
		}
		if c.Segment == Relay {
			seen["relay"]++
			if !m.Relay {
				t.Fatalf("%s is no relay's exit", c.IP)
			}
		}
		if c.Label == Person {
			people++
			if m.Agent != givt.None {
				robots++
			}
		}
		if (c.Family == DeclaredBot || c.Label == Crawler) && m.Agent == givt.None {
			seen["unknown crawler"]++
		}
	}
	wantActivity(t, "clicks of people", people, 5000)
	wantActivity(t, "clicks from relays", seen["relay"], 50)
	if robots > people/1000 {
		t.Errorf("%d of %d people have a robot's agent", robots, people)
	}
	t.Logf("crawlers whose agents no list knows: %d clicks", seen["unknown crawler"])
}

// Many people share a carrier's address, offices share browsers, homes have both
// families of addresses.
func TestPeopleShareAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 24, 24, 0.6, nil)
	byAddress := map[netip.Addr]map[uint64]bool{}
	agents := map[string]bool{}
	v6 := 0
	for c := range w.Clicks() {
		if c.Label != Person {
			continue
		}
		agents[c.Agent] = true
		if c.IP.Is6() {
			v6++
		}
		if byAddress[c.IP] == nil {
			byAddress[c.IP] = map[uint64]bool{}
		}
		byAddress[c.IP][c.Actor] = true
	}
	most := map[byte]int{}
	for ip, people := range byAddress {
		if ip.Is4() {
			block := ip.As4()[0]
			most[block] = max(most[block], len(people))
		}
	}
	wantActivity(t, "people behind a carrier's address", most[blockMobile], 100)
	wantActivity(t, "people in an office", most[blockOffices], 10)
	wantActivity(t, "people in a stadium", most[blockEvents], 50)
	wantActivity(t, "clicks over IPv6", v6, 8_000)
	wantActivity(t, "agents", len(agents), 300)
	if most[blockHomes] > 6 {
		t.Errorf("a home has %d people", most[blockHomes])
	}
}

func TestParseFamilies(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]Family{
		"flood":             {Flood},
		"drip, flood,drip":  {Flood, Drip},
		"all":               Families(),
		"loud":              {Flood, Replay, Rotation, Spoof, DeclaredBot, MaskedBot, Injection},
		"slow":              {Drip, Farm, Residential, Collusion, Poisoning, Skew},
		"clock-skew,replay": {Replay, Skew},
	} {
		if got, err := ParseFamilies(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "floods", "flood,,drip"} {
		if _, err := ParseFamilies(text); err == nil || !strings.Contains(err.Error(), "publisher-collusion") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{
		"hours":    {Hours: 0, Rate: 1},
		"rate":     {Hours: 1, Rate: math.NaN()},
		"families": {Hours: 1, Rate: 1, Families: []Family{NumFamilies}},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func BenchmarkClicks(b *testing.B) {
	w := newWorld(b, 1, MaxHours, 100, Families())
	b.ReportAllocs()
	n := 0
	for range w.Clicks() {
		if n++; n >= b.N {
			break
		}
	}
}
