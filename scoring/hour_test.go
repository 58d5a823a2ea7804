package scoring

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"clickgate/gateway/click"
)

// town is two hours of clicks, drawn from plain distributions: people click by chance,
// once or twice, on publishers and campaigns of which few are popular, with agents of
// which few are common. Who attacks it is added click by click, with its name.
type town struct {
	rng    *rand.Rand
	clicks []town1
	agents []string
}

type town1 struct {
	click.Click
	sig  click.Signals
	name string
}

const (
	townStart  = start / hourMicros * hourMicros
	minuteTown = 60 * 1_000_000
	publishers = 9
	campaigns  = 14
)

func newTown(seed uint64, people int) *town {
	w := &town{rng: rand.New(rand.NewPCG(seed, 1))}
	for i := range 80 {
		os := [...]string{"Windows NT 10.0; Win64; x64", "Macintosh; Intel Mac OS X 10_15_7", "Linux; Android 10; K", "X11; Linux x86_64"}[i%4]
		w.agents = append(w.agents, fmt.Sprintf("Mozilla/5.0 (%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36", os, 100+i))
	}
	for i := range people {
		ip := fmt.Sprintf("203.%d.%d.%d", i/60_000, i/250%240, i%250+1)
		agent, language := w.agent(), w.language()
		at := w.within(0, 120)
		for range 1 + w.few() {
			w.press("people", at, ip, agent, language, w.publisher(), w.campaign())
			at += w.rng.Int64N(20 * minuteTown)
		}
	}
	return w
}

// zipf is one of n, the first the most common.
func (w *town) zipf(n int) int {
	total := 0.0
	for i := range n {
		total += 1 / float64(i+1)
	}
	x := w.rng.Float64() * total
	for i := range n {
		if x -= 1 / float64(i+1); x < 0 {
			return i
		}
	}
	return n - 1
}

func (w *town) agent() string     { return w.agents[w.zipf(len(w.agents))] }
func (w *town) publisher() string { return fmt.Sprint("pub", w.zipf(publishers)) }
func (w *town) campaign() string  { return fmt.Sprint("cam", w.zipf(campaigns)) }
func (w *town) language() string {
	return []string{"en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "fr-FR", "es-ES,es;q=0.9", "pl"}[w.zipf(5)]
}

// few is how many more clicks a person makes: mostly none.
func (w *town) few() (n int) {
	for n < 4 && w.rng.IntN(6) == 0 {
		n++
	}
	return n
}

// within is a time in the given minutes.
func (w *town) within(from, to int64) int64 {
	return townStart + from*minuteTown + w.rng.Int64N((to-from)*minuteTown)
}

func (w *town) add(name string, at int64, ip, agent, language, publisher, campaign string) *town1 {
	c, sig := visit(ip, agent, at)
	n := uint64(len(w.clicks))
	c.EventID = click.ID{0: 1, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
	c.ClickID = c.EventID
	c.SourceID, c.Entry, c.PublisherID, c.CampaignID, c.PlacementID = "shop", click.EntryClick, publisher, campaign, fmt.Sprint(publisher, w.rng.IntN(3))
	if addr := netip.MustParseAddr(ip); addr.Is4() {
		prefix, _ := addr.Prefix(24)
		c.IPPrefix = prefix.String()
	}
	sig.AcceptLanguage = language
	sig.IssuedAt = at - 1_000_000 - w.rng.Int64N(60*1_000_000)
	w.clicks = append(w.clicks, town1{c, sig, name})
	return &w.clicks[len(w.clicks)-1]
}

// press is a click of a person's: one in fifty is pressed twice.
func (w *town) press(name string, at int64, ip, agent, language, publisher, campaign string) {
	c := *w.add(name, at, ip, agent, language, publisher, campaign)
	if w.rng.IntN(50) == 0 {
		again := w.add(name, at+200_000+w.rng.Int64N(400_000), ip, agent, language, publisher, campaign)
		again.ClickID, again.PlacementID, again.sig.IssuedAt = c.ClickID, c.PlacementID, c.sig.IssuedAt
	}
}

// tally is how many clicks of each name in the last hour were of each state, and which
// reasons they had.
type tally struct {
	total, bad map[string]int
	reasons    map[string]map[string]int
}

func (r tally) share(name string) float64 {
	if r.total[name] == 0 {
		return 0
	}
	return float64(r.bad[name]) / float64(r.total[name])
}

// judge scores the clicks in order and judges the last hour; everything that is not
// valid at the end of its hour is bad. Each verdict must come out of its evidence again.
func (w *town) judge(t *testing.T) tally {
	t.Helper()
	return w.judgeBy(t, DefaultConfig())
}

// sort puts the clicks in the order of a pass.
func (w *town) sort() {
	slices.SortFunc(w.clicks, func(a, b town1) int {
		if a.EventTime != b.EventTime {
			return int(a.EventTime - b.EventTime)
		}
		return slices.Compare(a.EventID[:], b.EventID[:])
	})
}

func (w *town) judgeBy(t *testing.T, cfg Config) tally {
	t.Helper()
	w.sort()
	w.clicks = slices.DeleteFunc(w.clicks, func(c town1) bool { return c.EventTime >= townStart+120*minuteTown })
	live := newScorer(t)
	j, err := NewJudge(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, look, judge, err := j.Begin("demo", "shop", townStart+60*minuteTown)
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.clicks {
		live.Score(&w.clicks[i].Click, &w.clicks[i].sig)
		look(&w.clicks[i].Click)
	}
	r := tally{map[string]int{}, map[string]int{}, map[string]map[string]int{}}
	for i := range w.clicks {
		c := &w.clicks[i]
		v := judge(&c.Click)
		if d, err := Recompute(&cfg.Policy, c.Flags, &v); err != nil || d.State != v.State || d.Reasons != v.Reasons || d.Score != v.Score {
			t.Fatalf("recomputed %+v, judged %+v", d, v)
		}
		if c.EventTime < townStart+60*minuteTown {
			continue
		}
		r.total[c.name]++
		if v.State != click.Valid {
			r.bad[c.name]++
		}
		for _, code := range v.Reasons.Codes() {
			if r.reasons[c.name] == nil {
				r.reasons[c.name] = map[string]int{}
			}
			r.reasons[c.name][code]++
		}
	}
	t.Logf("of %v not billed %v, reasons %v", r.total, r.bad, r.reasons)
	return r
}

// bystanders is how many clicks of an attack must be found for each of people who were
// at the same place by chance; see lift.
const bystanders = 30

// Each kind of attack, made from what defines it, is found by its own rule, and at most
// one click in a thousand of the people beside it goes with it, or one for thirty found.
func TestHourFindsAttacks(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	rented := func(i int) string { return fmt.Sprintf("198.%d.%d.%d", 20+i/62_500, i/250%250, i%250+1) }
	for name, tc := range map[string]struct {
		attack func(w *town)
		reason click.Reason
		least  float64
	}{
		"the quiet part of a flood": {func(w *town) {
			for i := range int64(600) {
				w.add("attack", townStart+70*minuteTown+i*500_000, "198.51.100.7", browser, "en", w.publisher(), w.campaign())
			}
			for range 60 {
				w.add("attack", w.within(60, 120), "198.51.100.7", browser, "en", w.publisher(), w.campaign())
			}
		}, click.ReasonFloodTail, 0.99},
		"a drip": {func(w *town) {
			for i := range int64(30) {
				w.add("attack", townStart+i*4*minuteTown+w.rng.Int64N(80_000_000), "198.51.100.7", browser, "en", w.publisher(), w.campaign())
			}
		}, click.ReasonRegular, 0.99},
		"a competitor drains a campaign": {func(w *town) {
			for range 40 {
				w.add("attack", w.within(0, 120), "198.51.100.7", browser, "en", w.publisher(), "cam4")
			}
		}, click.ReasonOneTarget, 0.99},
		"a busy machine that mimics the town": {func(w *town) {
			for range 700 {
				w.add("attack", w.within(0, 120), "198.51.100.7", browser, "en", w.publisher(), w.campaign())
			}
		}, click.ReasonHeavy, 0.99},
		"a crawler with a browser's agent": {func(w *town) {
			for i := range 300 {
				c := w.add("attack", w.within(0, 120), "198.51.100.7", browser, "en", fmt.Sprint("pub", i%publishers), fmt.Sprint("cam", i%campaigns))
				c.PlacementID = fmt.Sprint("place", i)
			}
		}, click.ReasonSweep, 0.99},
		"agents change at one address": {func(w *town) {
			for i := range 120 {
				w.add("attack", w.within(0, 120), "198.51.100.7", w.agents[i%40], w.language(), "pub5", w.campaign())
			}
		}, click.ReasonAgentRotation, 0.99},
		"agents change at random, at the rate of a stadium": {func(w *town) {
			for range 2400 {
				w.add("attack", w.within(70, 90), "198.51.100.7", w.agents[w.rng.IntN(30)], w.language(), w.publisher(), w.campaign())
			}
		}, click.ReasonAgentRotation, 0.99},
		"agents as common as people's, on one publisher, at the rate of a stadium": {func(w *town) {
			for range 2400 {
				w.add("attack", w.within(70, 90), "198.51.100.7", w.agent(), w.language(), "pub7", "cam9")
			}
		}, click.ReasonAgentRotation, 0.99},
		"equal telephones behind an address that people have too": {func(w *town) {
			for range 1500 {
				w.press("people", w.within(0, 120), "198.51.100.7", w.agent(), w.language(), w.publisher(), w.campaign())
			}
			for phone := range 40 {
				for range 50 {
					w.add("attack", w.within(0, 120), "198.51.100.7", w.agents[60+w.zipf(12)], w.language(), "pub6", fmt.Sprint("cam", phone%campaigns))
				}
			}
		}, click.ReasonOneTarget, 0.95},
		"agents change without end": {func(w *town) {
			for i := range 300 {
				agent := strings.Replace(browser, "127.0.0.0", fmt.Sprintf("%d.0.%d.%d", 90+i%40, 1000+i, i%90), 1)
				w.add("attack", w.within(0, 120), "198.51.100.7", agent, w.language(), w.publisher(), w.campaign())
			}
		}, click.ReasonAgentRotation, 0.99},
		"a click farm": {func(w *town) {
			for range 400 {
				phone := w.rng.IntN(50)
				w.add("attack", w.within(0, 120), rented(phone), "Mozilla/5.0 (Linux; Android 9; FARM1) Chrome/80.0.0.0 Mobile", "vi-VN", "pub6", w.campaign())
			}
		}, click.ReasonClickFarm, 0.8},
		"a click farm that clicks everywhere": {func(w *town) {
			for range 600 {
				phone := w.rng.IntN(60)
				w.add("attack", w.within(0, 120), rented(phone), "Mozilla/5.0 (Linux; Android 9; FARM1) Chrome/80.0.0.0 Mobile", "vi-VN", w.publisher(), w.campaign())
			}
		}, click.ReasonClickFarm, 0.8},
		"rented addresses": {func(w *town) {
			for i := range 500 {
				w.add("attack", w.within(0, 120), rented(i*3), "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/149.0.1.2 Safari/537.36", "en-GB", "pub6", w.campaign())
			}
		}, click.ReasonAddressRotation, 0.8},
		"a publisher's own circle": {func(w *town) {
			for range 700 {
				friend := w.rng.IntN(120)
				w.add("attack", w.within(0, 120), rented(friend), w.agents[friend%len(w.agents)], "en", "pub4", w.campaign())
			}
		}, click.ReasonCollusion, 0.8},
		"a pool of machines for three publishers": {func(w *town) {
			for machine := range 120 {
				at := w.within(40, 110)
				for i := range 6 {
					w.add("attack", at, rented(machine*3), w.agents[machine%len(w.agents)], "en", fmt.Sprint("pub", 6+i%3), w.campaign())
					at += w.rng.Int64N(8 * minuteTown)
				}
			}
		}, click.ReasonCollusion, 0.8},
		"clicks injected at once": {func(w *town) {
			for i := range 300 {
				c := w.add("attack", w.within(60, 120), rented(i), w.agent(), w.language(), w.publisher(), w.campaign())
				c.sig.IssuedAt = c.EventTime - 80_000
			}
		}, click.ReasonTooFast, 0.99},
		"one token, sent again and again from homes": {func(w *town) {
			first := w.add("attack", townStart+60*minuteTown, rented(0), browser, "en", "pub3", "cam3").Click
			for i := range 400 {
				c := w.add("attack", w.within(60, 120), rented(i%20), browser, "en", "pub3", "cam3")
				c.ClickID, c.PlacementID = first.ClickID, first.PlacementID
			}
		}, click.ReasonOneTarget, 0.99},
		"clicks injected on a publisher, after a moment": {func(w *town) {
			for i := range 600 {
				c := w.add("attack", w.within(0, 120), rented(i), w.agent(), w.language(), "pub6", w.campaign())
				c.sig.IssuedAt = c.EventTime - 100_000 - w.rng.Int64N(1_800_000)
			}
		}, click.ReasonTooFast, 0.99},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(7, 6000)
			tc.attack(w)
			r := w.judge(t)
			if r.total["attack"] < 12 || r.share("attack") < tc.least || r.reasons["attack"][tc.reason.String()] < 10 {
				t.Errorf("%d of %d clicks found, with reasons %v; want %v of them, by %s",
					r.bad["attack"], r.total["attack"], r.reasons["attack"], tc.least, tc.reason)
			}
			if r.total["people"] < 3000 || r.share("people") > 0.001 && r.bad["people"]*bystanders > r.bad["attack"] {
				t.Errorf("%d of %d clicks of people are not billed: %v", r.bad["people"], r.total["people"], r.reasons["people"])
			}
		})
	}
}

// Crowds are none of it: an office, a university and a mobile network behind one address
// each, a crowd that a broadcast sends to one publisher, an audience of one device, a
// family, and ordinary people, in several towns.
func TestHourLeavesCrowdsAlone(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	for seed := range uint64(3) {
		w := newTown(100+seed, 6000)
		phones := w.agents[20:50]
		for _, nat := range []struct {
			name   string
			clicks int
		}{{"office", 60}, {"university", 400}, {"mobile network", 3000}} {
			ip := map[string]string{"office": "192.0.2.1", "university": "192.0.2.2", "mobile network": "192.0.2.3"}[nat.name]
			for range nat.clicks {
				w.press(nat.name, w.within(0, 120), ip, w.agent(), w.language(), w.publisher(), w.campaign())
			}
		}
		for i := range 1500 {
			ip := fmt.Sprintf("198.18.%d.%d", i/250, i%250+1)
			w.press("flash", w.within(80, 90), ip, w.agent(), w.language(), "pub3", w.campaign())
		}
		for range 2400 { // a stadium's telephones, within twenty minutes
			w.press("stadium", w.within(70, 90), "192.0.2.4", phones[w.zipf(len(phones))], w.language(), w.publisher(), w.campaign())
		}
		for range 1200 { // an arena's, all on what is played there, which nobody else looks at
			w.press("arena", w.within(70, 100), "192.0.2.5", phones[w.zipf(len(phones))], w.language(), "pub7", "cam9")
		}
		for range 900 { // people behind a network's address where a rack of other telephones clicks
			w.press("beside a rack", w.within(0, 120), "192.0.2.6", w.agents[4+w.zipf(40)], w.language(), w.publisher(), w.campaign())
		}
		for range 1500 {
			w.add("rack", w.within(60, 120), "192.0.2.6", w.agents[3], "vi", "pub8", w.campaign())
		}
		for i := range 10 { // people who press till something happens
			ip, at := fmt.Sprintf("198.16.0.%d", i+1), w.within(60, 119)
			c := w.add("impatient", at, ip, w.agent(), w.language(), w.publisher(), w.campaign()).Click
			for press := range int64(5) {
				again := w.add("impatient", at+(press+1)*1_000_000, ip, browser, "en", c.PublisherID, c.CampaignID)
				again.AgentKey, again.ClickID, again.PlacementID, again.sig = c.AgentKey, c.ClickID, c.PlacementID, w.clicks[len(w.clicks)-2].sig
			}
		}
		for i := range 400 { // an app's, who are quicker by half than others, and not all as machines are
			c := w.add("quick", w.within(0, 120), fmt.Sprintf("198.17.%d.%d", i/250, i%250+1), w.agent(), w.language(), "pub5", w.campaign())
			c.sig.IssuedAt = c.EventTime - 700_000 - w.rng.Int64N(15_000_000)
		}
		for i := range 400 { // readers of two sister papers
			ip, agent, at := fmt.Sprintf("198.19.%d.%d", 1+i/250, i%250+1), w.agent(), w.within(0, 110)
			for range 1 + w.few() {
				w.press("sisters", at, ip, agent, "en", fmt.Sprint("pub", 6+w.rng.IntN(2)), w.campaign())
				at += w.rng.Int64N(10 * minuteTown)
			}
		}
		for i := range 40 {
			ip, language := fmt.Sprintf("198.19.0.%d", i+1), w.language()
			devices := [3]string{w.agent(), w.agent(), w.agent()}
			for range 8 {
				w.press("family", w.within(0, 120), ip, devices[w.rng.IntN(3)], language, w.publisher(), w.campaign())
			}
		}
		r := w.judge(t)
		for _, name := range []string{"people", "flash"} {
			if r.total[name] < 1000 || r.share(name) > 0.001 {
				t.Errorf("town %d: %d of %d clicks of %s are not billed: %v", seed, r.bad[name], r.total[name], name, r.reasons[name])
			}
		}
		if r.total["rack"] < 1000 || r.share("rack") < 0.95 {
			t.Errorf("town %d: %d of %d clicks of the rack were found", seed, r.bad["rack"], r.total["rack"])
		}
		for _, name := range []string{"office", "university", "mobile network", "stadium", "arena", "beside a rack", "quick", "impatient", "sisters", "family"} {
			if r.total[name] < 20 || r.share(name) > 0.003 {
				t.Errorf("town %d: %d of %d clicks of %s are not billed: %v", seed, r.bad[name], r.total[name], name, r.reasons[name])
			}
		}
		if r.reasons["stadium"]["CROWD"] < 1000 {
			t.Errorf("town %d: the stadium was not busy: %v", seed, r.reasons["stadium"])
		}
	}
}

// Ten thousand ordinary users of a privacy relay, few agents among them and few exits,
// are left alone to the last.
func TestHourLeavesRelaysAlone(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	w := newTown(5, 6000)
	safari := []string{
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.4 Mobile/15E148 Safari/604.1",
	}
	for range 10_000 {
		c := w.add("relay", w.within(0, 120), fmt.Sprintf("104.28.28.%d", w.rng.IntN(60)), safari[w.zipf(3)], w.language(), w.publisher(), w.campaign())
		c.PlacementID += "r"
	}
	r := w.judge(t)
	if r.reasons["relay"]["RELAY"] < 1000 {
		t.Fatalf("the exits are on no list any more: %v", r.reasons["relay"])
	}
	if r.bad["relay"] != 0 {
		t.Errorf("%d of %d clicks through a relay are not billed: %v", r.bad["relay"], r.total["relay"], r.reasons["relay"])
	}
}

// Whoever raises a rate so slowly that it is always usual for itself is not excused by
// that: the hour counts, and no past of its own counts there. Of the rise's last hour at
// most one click in five is billed.
func TestHourResistsSlowPoisoning(t *testing.T) {
	t.Parallel()
	w := newTown(11, 6000)
	for m := range int64(120) {
		for range 1 + m*30/120 { // to 30 a minute, which a minute's rules let pass
			w.add("attack", w.within(m, m+1), "198.51.100.7", browser, "en", w.publisher(), w.campaign())
		}
	}
	r := w.judge(t)
	if r.total["attack"] < 1000 || r.share("attack") < 0.8 {
		t.Errorf("%d of %d clicks of a slow rise are found: %v", r.bad["attack"], r.total["attack"], r.reasons["attack"])
	}
	if r.share("people") > 0.001 {
		t.Errorf("%d of %d clicks of people are not billed", r.bad["people"], r.total["people"])
	}
}

// A bound of 0 turns its rule off, and the others stay.
func TestHourRulesTurnOff(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]func(*Policy){
		"REGULAR_GAPS": func(p *Policy) { p.GapOctaves = 0 },
		"ONE_TARGET":   func(p *Policy) { p.ZFocus = 0 },
		"HEAVY":        func(p *Policy) { p.HeavyClicks = 0 },
		"TOO_FAST":     func(p *Policy) { p.FastSeconds = 0 },
		"CLICK_FARM":   func(p *Policy) { p.ZGroup = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(13, 2500)
			for i := range int64(40) {
				w.add("attack", townStart+i*3*minuteTown, "198.51.100.7", browser, "en", w.publisher(), w.campaign())
				w.add("attack", w.within(0, 120), "198.51.100.8", browser, "en", "pub7", w.campaign())
				c := w.add("attack", w.within(0, 120), fmt.Sprintf("198.52.0.%d", 1+i), w.agent(), "en", w.publisher(), w.campaign())
				c.sig.IssuedAt = c.EventTime - 50_000
			}
			for range 100 {
				w.add("attack", w.within(0, 120), "198.51.100.9", browser, "en", w.publisher(), w.campaign())
			}
			for range 400 {
				w.add("attack", w.within(0, 120), fmt.Sprintf("198.53.0.%d", 1+w.rng.IntN(50)), "Mozilla/5.0 (Linux; Android 9; FARM1)", "vi-VN", "pub6", w.campaign())
			}
			cfg := DefaultConfig()
			off(&cfg.Policy)
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			r := w.judgeBy(t, cfg)
			for _, code := range []string{"REGULAR_GAPS", "ONE_TARGET", "HEAVY", "TOO_FAST", "CLICK_FARM"} {
				if n := r.reasons["attack"][code]; (n == 0) != (code == name) {
					t.Errorf("without %s, %s stands on %d clicks", name, code, n)
				}
			}
		})
	}
}

// A town that never ends takes no more memory than was set.
func TestSurveyStaysBounded(t *testing.T) {
	t.Parallel()
	if largeTowns.Done(t) {
		return
	}
	keys := 500_000
	if testing.Short() {
		keys = 100_000
		t.Logf("the short form, of %d visitors", keys)
	}
	cfg := DefaultConfig()
	cfg.MaxKeys = 4096
	j, err := NewJudge(cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSurvey(cfg.Policy.rulebook(nil), j.tables(), townStart/hourMicros)
	if err != nil {
		t.Fatal(err)
	}
	bytes := func() int {
		return s.pairs.Stats().Bytes + s.seats.Stats().Bytes + s.scopes.Stats().Bytes + s.groups.Stats().Bytes +
			s.rates.addresses.Stats().Bytes + s.rates.pairs.Stats().Bytes
	}
	full := 0
	for i := range keys {
		c, _ := visit("203.0.113.9", browser, townStart+int64(i))
		c.IPKey, c.AgentKey = click.Key{byte(i), byte(i >> 8), byte(i >> 16), 1}, click.Key{byte(i >> 3), byte(i >> 11)}
		c.PublisherID, c.CampaignID = fmt.Sprint("p", i%5000), fmt.Sprint("c", i%70_000)
		v := click.Vector{}
		s.look(&c, &v)
		if i == 50_000 {
			full = bytes()
		}
	}
	if now := bytes(); now != full || full > 32<<20 {
		t.Errorf("%d bytes after 50,000 visitors, %d after %d", full, now, keys)
	}
	s.settle()
}

func BenchmarkPass(b *testing.B) {
	w := newTown(3, 6000)
	live := newScorer(b)
	slices.SortFunc(w.clicks, func(a, b town1) int { return int(a.EventTime - b.EventTime) })
	for i := range w.clicks {
		live.Score(&w.clicks[i].Click, &w.clicks[i].sig)
	}
	for name, looks := range map[string]bool{"judge": false, "look and judge": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			j, err := NewJudge(DefaultConfig(), nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				_, look, judge, err := j.Begin("demo", "shop", townStart+60*minuteTown)
				if err != nil {
					b.Fatal(err)
				}
				for i := range w.clicks {
					if looks {
						look(&w.clicks[i].Click)
					}
				}
				for i := range w.clicks {
					judge(&w.clicks[i].Click)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(w.clicks)), "ns/click")
		})
	}
}
