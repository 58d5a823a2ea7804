package givt

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// codes lists findings as severity code count.
func codes(findings []Finding) (all []string) {
	for _, f := range findings {
		all = append(all, fmt.Sprintf("%s %s %d", f.Severity, f.Code, f.Count))
	}
	return all
}

func people(t testing.TB) []string {
	t.Helper()
	p, err := Devices()
	if err != nil || len(p) < 3000 {
		t.Fatalf("%d devices, %v", len(p), err)
	}
	return p
}

// Each mistake is told once, and its nearest neighbour not at all.
func TestCheckFindsMistakes(t *testing.T) {
	t.Parallel()
	agents := Source{Name: "agents", Kind: KindAgents, Data: []byte("crawler\tgoogle\tGooglebot\tx\n")}
	dc := Source{Name: "dc", Kind: KindDataCentres, Data: []byte("185.10.0.0/16\n")}
	of := func(kind Kind, data string) Source {
		return Source{Name: "new", Kind: kind, Owner: "google", Data: []byte(data)}
	}
	for name, c := range map[string]struct {
		list Source
		want []string
	}{
		"all is well":          {of(KindDataCentres, "185.11.0.0/16\n2a00:1450::/29\n"), nil},
		"everybody":            {of(KindDataCentres, "0.0.0.0/0\n185.11.0.0/16\n"), []string{"error line 0"}},
		"the rest of bad ones": {of(KindVPNs, "x\n10.1.0.0/16\n"), []string{"error line 0", "warning special 1"}},
		"many bad lines":       {of(KindVPNs, strings.Repeat("x\n", 30)), slices.Repeat([]string{"error line 0"}, 21)},
		"every bad line":       {of(KindVPNs, "0.0.0.0/0\n185.11.0.0/16\n::/0\nx\n"), []string{"error line 0", "error line 0", "error line 0"}},
		"wide":                 {of(KindDataCentres, "16.0.0.0/8\n180.0.0.0/9\n186.0.0.0/10\n"), []string{"warning wide 2"}},
		"no client has it":     {of(KindDataCentres, "10.1.0.0/16\n100.64.0.0/16\n192.168.1.1\n2001:db8::/40\nfe80::/64\n"), []string{"warning special 5"}},
		"inside another":       {of(KindDataCentres, "185.11.0.0/16\n185.11.3.0/24\n185.11.3.0/24\n"), []string{"note shadowed 2"}},
		"inside other lists":   {of(KindVPNs, "185.10.3.0/24\n185.9.0.0/24\n"), []string{"note overlap 1"}},
		"the same said twice":  {of(KindDataCentres, "185.10.3.0/24\n"), nil},
		"empty":                {of(KindTorExits, "# nothing\n"), []string{"warning empty 0"}},
		"own range":            {of(KindCrawlerRanges, "66.249.64.0/27\n"), nil},
		"nobody's range":       {Source{Name: "new", Kind: KindCrawlerRanges, Owner: "bing", Data: []byte("66.249.64.0/27\n")}, []string{"warning verifies nobody 0"}},
		"drops nothing":        {of(KindDrops, "Kitebot\twhy\n"), []string{"warning drops nothing 1"}},
		"shadowed":             {of(KindAgents, "crawler\t-\tGooglebot-Image\tx\ncrawler\t-\t(?i)googlebot\tx\ncrawler\t-\tKitebot\tx\n"), []string{"note shadowed 1"}},
		"a browser":            {of(KindAgents, "tool\t-\tSafari/537\tx\n"), []string{"error people 1"}},
		"an accepted browser":  {of(KindAgents, "accepted\t-\tSafari/537\tx\n"), nil},
		"some people":          {of(KindAgents, "tool\t-\tKFTT\tx\n"), []string{"warning people 1"}},
		"common phrase":        {of(KindHandsets, "like Gecko\n"), []string{"warning common phrase 1"}},
		"handset":              {of(KindHandsets, "Kite bot\n"), nil},
		"few browsers":         {of(KindIABInclude, "opera|1|0\n"), []string{"warning people 1"}},
		"bad flag":             {of(KindIABExclude, "kitebot|1\nkite|maybe\n"), []string{"error line 0"}},
		"no JSON":              {of(KindCrawlers, "x"), []string{"error unreadable 0"}},
		"short pattern":        {of(KindAgents, "tool\t-\tab\tx\n"), []string{"error line 0", "warning empty 0"}},
	} {
		got := codes(Check([]Source{agents, dc, c.list}, people(t)))
		for i := range got { // of people only that there are some
			if strings.Contains(got[i], " people ") || strings.Contains(got[i], " common phrase ") {
				got[i] = got[i][:strings.LastIndexByte(got[i], ' ')] + " 1"
			}
		}
		if strings.Join(got, "; ") != strings.Join(c.want, "; ") {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What is shipped has no error and no warning about people.
func TestCheckOfShippedLists(t *testing.T) {
	t.Parallel()
	sources, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(sources, people(t)) {
		t.Logf("%s: %s %s: %s (%d) %q", f.List, f.Severity, f.Code, f.Text, f.Count, f.Examples)
		if f.Severity == Error || f.Code == "people" {
			t.Errorf("%+v", f)
		}
	}
}

func TestChanged(t *testing.T) {
	t.Parallel()
	of := func(kind Kind, data string) Source {
		return Source{Name: "x", Kind: kind, Owner: "o", Data: []byte(data)}
	}
	for _, c := range []struct {
		a, b           Source
		added, removed string
	}{
		{of(KindVPNs, "192.0.2.0/24\n198.51.100.7\n"), of(KindVPNs, "# other\n198.51.100.7/32\n203.0.113.0/24\n"), "203.0.113.0/24", "192.0.2.0/24"},
		{of(KindDataCentreRanges, "192.0.2.0,192.0.2.255,x\n"), of(KindDataCentreRanges, "192.0.2.0,192.0.2.127,y\n192.0.2.128,192.0.2.255,z\n"), "192.0.2.0/25,192.0.2.128/25", "192.0.2.0/24"},
		{Source{}, of(KindAgents, "app-library\t-\tokhttp\tx\n"), "app-library\tokhttp", ""},
		{of(KindAgents, "tool\t-\tokhttp\tx\n"), of(KindAgents, "crawler\t-\tokhttp\tx\n"), "crawler\tokhttp", "tool\tokhttp"},
		{of(KindIABExclude, "bot|1|robotics\n"), of(KindIABExclude, "bot|1\n"), "crawler\tbot", "crawler\tbot\tunless robotics"},
		{of(KindHandsets, "CUBOT\n"), Source{}, "", "cubot"},
	} {
		added, removed, err := Changed(c.a, c.b)
		if err != nil || strings.Join(added, ",") != c.added || strings.Join(removed, ",") != c.removed {
			t.Errorf("added %q, removed %q, %v; want %q and %q", added, removed, err, c.added, c.removed)
		}
	}
	if _, _, err := Changed(of(KindVPNs, "x"), Source{}); err == nil {
		t.Error("an unreadable list has changes")
	}
}

func TestComparisonCountsVerdicts(t *testing.T) {
	t.Parallel()
	before := load(t, Source{Name: "a", Kind: KindAgents, Data: []byte("crawler\t-\tKitebot\tx\ntool\t-\tcurl/\tx\n")})
	after := load(t, Source{Name: "a", Kind: KindAgents, Data: []byte("headless\t-\tKitebot\tx\ntool\t-\tHarrier/\tx\n")})
	c := &Comparison{Before: before, After: after}
	for _, agent := range []string{"Kitebot/1", "Kitebot/2", "Kitebot/2", "curl/8", "Harrier/1", "Mozilla/5.0", ""} {
		c.Add(agent, home)
	}
	got := fmt.Sprint(c.Changes())
	want := "[{CRAWLER_UNVERIFIED HEADLESS 3 [Kitebot/1 Kitebot/2]} {TOOL none 1 [curl/8]} {none TOOL 1 [Harrier/1]}]"
	if got != want || c.Clicks != 7 {
		t.Errorf("%s of %d clicks, want %s", got, c.Clicks, want)
	}
}
