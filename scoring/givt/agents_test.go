package givt

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/ahocorasick"
)

func chrome(device string) string {
	return "Mozilla/5.0 (Linux; Android 13; " + device +
		") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/127.0.0.0 Mobile Safari/537.36"
}

const (
	ordinary  = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
	googlebot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

func TestAgentClasses(t *testing.T) {
	t.Parallel()
	l := listsOf(t)
	for _, c := range []struct {
		name, agent string
		class       AgentClass
		inApp       bool
	}{
		{"Cubot", chrome("CUBOT KINGKONG 9 Build/TP1A"), None, false},
		{"M bot", chrome("M bot 55 Build/PPR1"), None, false},
		{"Titan", chrome("Titan P9000 Build/QP1A"), None, false},
		{"Octopus", chrome("OCTOPUS-CORE T9"), None, false},
		{"Doro", chrome("Doro 8210"), None, false},
		{"ruby", "NorthwindReader/4.2 (Android 13; Xiaomi; ruby; de_DE)", None, false},
		{"handset without more", "CUBOT", None, false},
		{"a crawler that names a handset", chrome("CUBOT X18") + " (compatible; Googlebot/2.1)", Crawler, false},
		{"a crawler with a handset's name inside its own", "SuperCubot/1.0", Crawler, false},
		{"Butterfly the handset", chrome("HTC Butterfly s Build/JDQ39"), None, false},
		{"Butterfly the crawler", "Mozilla/5.0 (compatible; Butterfly/1.0; +http://labs.example/)", Crawler, false},
		{"Android build number", chrome("CPH2557 Build/AP3A.240617.008"), None, false},
		{"Facebook in-app browser", chrome("Pixel 10 Pro XL") + " MetaIAB Facebook", None, false},
		{"headless Chrome", ordinary + "HeadlessChrome/128.0.0.0 Safari/537.36", Headless, false},
		{"PhantomJS", "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1", Headless, false},
		{"requests", "python-requests/2.32.0", Tool, false},
		{"curl", "curl/8.9.1", Tool, false},
		{"Go", "Go-http-client/2.0", Tool, false},
		{"okhttp", "okhttp/4.12.0", Tool, true},
		{"okhttp in an app's agent", "Northwind/3.1 (Android 14; okhttp/4.12.0)", None, false},
		{"quoted", "'DuckDuckBot-Https/1.1; (+https://duckduckgo.com/duckduckbot)'", Crawler, false},
		{"quoted, anchored pattern", `"curl/8.9.1"`, Tool, false},
		{"plain Chrome", ordinary + "Chrome/128.0.0.0 Safari/537.36", None, false},
		{"unknown bot", "Fetchy-Bot/0.1", Crawler, false},
		{"unknown, with a page about itself", "Novelty/0.3 (https://novelty.example/about)", Crawler, false},
		{"unknown, with an office's mailbox", "Novelty/0.3 (support@novelty.example)", Crawler, false},
		{"a person's mailbox in an app's agent", "(Android)(15)(ada.lovelace@mail.example)(HTC Desire C)(com.example.films)", None, false},
		{"unknown library", "Novelty-HTTPClient/0.3", Tool, true},
		{"unknown uptime check", ordinary + "Chrome/128.0.0.0 Safari/537.36 NoveltyUptime/2", Crawler, false},
		{"empty", "", NoAgent, false},
		{"dash", "-", NoAgent, false},
		{"quoted dash", `"-"`, NoAgent, false},
		{"spaces", " \t ", NoAgent, false},
		{"invalid UTF-8", "\xff\xfe\xfd", None, false},
	} {
		m := l.Match(c.agent, home)
		if m.Agent != c.class || m.InApp != c.inApp || m.AddressInvalid() {
			p, _ := l.Pattern(m.Pattern)
			t.Errorf("%s: got %v, in app %t, by %q; want %v, %t", c.name, m.Agent, m.InApp, p.Text, c.class, c.inApp)
		}
		if (m.Pattern >= 0) != (c.class >= Crawler) {
			t.Errorf("%s: class %v with pattern %d", c.name, m.Agent, m.Pattern)
		}
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	l := load(t, append(builtins(t, "agents.tsv", "crawler-user-agents.json", "words.tsv"),
		Source{Name: "published", Kind: KindCrawlerRanges, Owner: "google", Data: []byte("192.0.2.0/24\n")},
		Source{Name: "published2", Kind: KindCrawlerRanges, Owner: "bing", Data: []byte("198.18.0.0/24\n")})...)
	for _, c := range []struct {
		agent, ip string
		tools     bool
		want      Reason
	}{
		{googlebot, "198.51.100.66", true, UnverifiedCrawler},
		{googlebot, "192.0.2.15", true, VerifiedCrawler},
		{googlebot, "::ffff:192.0.2.15", true, VerifiedCrawler},
		{googlebot, "198.18.0.9", true, UnverifiedCrawler}, // another owner's address verifies nobody else
		{"curl/8.9.1", "192.0.2.15", true, ToolAgent},
		{"okhttp/4.12.0", "203.0.113.90", true, ToolAgent},
		{"okhttp/4.12.0", "203.0.113.90", false, ""},
		{"curl/8.9.1", "203.0.113.90", false, ToolAgent},
		{ordinary + "HeadlessChrome/128.0", "203.0.113.90", false, HeadlessAgent},
		{ordinary + "Chrome/128.0", "203.0.113.90", true, ""},
		{"", "203.0.113.90", true, ""},
	} {
		m := l.Match(c.agent, netip.MustParseAddr(c.ip))
		if got := m.Reason(c.tools); got != c.want {
			t.Errorf("%q from %s: %q, want %q", c.agent, c.ip, got, c.want)
		}
		if m.Verified != (c.want == VerifiedCrawler) {
			t.Errorf("%q from %s: verified %t", c.agent, c.ip, m.Verified)
		}
		if m.Spoofed != (c.want == UnverifiedCrawler) { // all of these name an owner who publishes
			t.Errorf("%q from %s: spoofed %t", c.agent, c.ip, m.Spoofed)
		}
	}
	if p, ok := l.Pattern(l.Match(googlebot, home).Pattern); !ok || p.Text != "Googlebot" || p.List != "agents.tsv" {
		t.Errorf("pattern of Googlebot: %+v, %t", p, ok)
	}
}

func builtins(t testing.TB, names ...string) []Source {
	t.Helper()
	all, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	var out []Source
	for _, name := range names {
		for _, s := range all {
			if s.Name == name {
				out = append(out, s)
			}
		}
	}
	if len(out) != len(names) {
		t.Fatalf("embedded lists: found %d of %v", len(out), names)
	}
	return out
}

func TestLongAgents(t *testing.T) {
	t.Parallel()
	l := listsOf(t)
	long := strings.Replace(chrome("CUBOT KINGKONG 9"), "Chrome/", "Chrome/"+strings.Repeat("7", 4000), 1)
	if m := l.Match(long, home); m.Agent != None || !m.Long {
		t.Errorf("4,000 digits: %+v", m)
	}
	if m := l.Match("Googlebot/"+strings.Repeat("7", 4000), home); m.Agent != Crawler || !m.Long {
		t.Errorf("crawler with 4,000 digits: %+v", m)
	}
	// An end anchor must not take the cut for the agent's end.
	if m := l.Match(strings.Repeat("x", MaxAgent-3)+"bot7", home); m.Agent != None {
		t.Errorf("cut after bot: %+v", m)
	}
	if m := l.Match(strings.Repeat("x", MaxAgent-3)+"bot", home); m.Agent != Crawler || m.Long {
		t.Errorf("bot at the end: %+v", m)
	}
}

// The cost of an agent made to cost: every word proposes a pattern with an expression that then fails.
func TestHostileAgentCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector changes cost")
	}
	l := listsOf(t)
	hostile := strings.Repeat("AdsBot-Google-x ", 300)
	once := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			l.Match(hostile, home)
		}
	})
	if d := time.Duration(once.NsPerOp()); d > time.Millisecond {
		t.Errorf("an agent of %d bytes took %v", len(hostile), d)
	}
}

// The automaton with its variants must find what trying every expression on every agent finds.
func TestAgainstEveryExpression(t *testing.T) {
	t.Parallel()
	patterns := listsOf(t).agents.patterns
	a, err := newAgents(patterns, nil)
	if err != nil {
		t.Fatal(err)
	}
	naive := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		naive[i] = regexp.MustCompile(p.Text)
	}
	stride := 2
	if raceEnabled {
		stride = 100
	}
	compared, hits := 0, 0
	for i, c := range agentsOf(t) {
		if i%stride != 0 {
			continue
		}
		agent, want := trim(c.agent), int32(-1)
		for id, re := range naive {
			if re.MatchString(agent) {
				want = int32(id)
				break
			}
		}
		if got, _ := a.match(agent); got != want {
			t.Errorf("%q: pattern %d, every expression says %d", agent, got, want)
		}
		compared++
		if want >= 0 {
			hits++
		}
	}
	if compared < 150 || hits < 25 {
		t.Errorf("compared %d agents with %d hits: too few to mean anything", compared, hits)
	}
}

// The automaton alone, against an independent one over the same folded literals.
func TestAgainstOtherAutomaton(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	var literals []string
	for _, vs := range listsOf(t).agents.variants {
		if lit := fold(vs[0].literal); !seen[lit] {
			seen[lit] = true
			literals = append(literals, lit)
		}
	}
	a, err := newAutomaton(literals)
	if err != nil {
		t.Fatal(err)
	}
	other := ahocorasick.NewStringMatcher(literals)
	hits := 0
	for i, c := range agentsOf(t) {
		if raceEnabled && i%8 != 0 {
			continue
		}
		got := finds(a, len(literals), c.agent)
		want := other.Match([]byte(fold(c.agent)))
		for _, id := range want {
			if !got[id] {
				t.Errorf("%q: did not find %q", c.agent, literals[id])
			}
		}
		n := 0
		for _, yes := range got {
			if yes {
				n++
			}
		}
		if n != len(want) {
			t.Errorf("%q: found %d literals, the other %d", c.agent, n, len(want))
		}
		hits += n
	}
	if hits < 500 {
		t.Errorf("only %d hits", hits)
	}
}

func finds(a *automaton, literals int, text string) []bool {
	got := make([]bool, literals)
	for pos, state := a.advance(text, 0, 0); pos >= 0; pos, state = a.advance(text, pos, state) {
		for lit, node := a.literals(state); lit >= 0; lit, node = a.nextLiteral(node) {
			got[lit] = true
		}
	}
	return got
}

func TestUnusablePatterns(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"", "ab", "[a-z]+", "a*b*", "(", "(?i)éé", "x|Googlebot", "^$", "\xff\xff\xff"} {
		if vs, err := compile(p); err == nil {
			t.Errorf("%q compiled to %d variants", p, len(vs))
		}
	}
	for p, variants := range map[string]int{"abc": 1, "[pP]ingdom": 2, "S[eE][mM]rushBot": 4, "Ahrefs(Bot|SiteAudit)": 2,
		"^curl": 1, "SSL Labs$": 1, `(^| )sentry\/`: 2} {
		vs, err := compile(p)
		if err != nil || len(vs) != variants || vs[0].re != nil {
			t.Errorf("%q: %d variants, %v; want %d literals", p, len(vs), err, variants)
		}
	}
}
