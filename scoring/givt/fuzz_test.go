package givt

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func FuzzAutomaton(f *testing.F) {
	f.Add("he\nshe\nhis\nhers", "uSHErs")
	f.Add("a\naa\naaa", "aaAa")
	f.Add("abc\nbc\nc", "xabcabx")
	f.Fuzz(func(t *testing.T, list, text string) {
		if len(list) > 2000 {
			t.Skip("longer than any list of the automaton's literals has to be")
		}
		var literals []string
		for lit := range strings.SplitSeq(fold(list), "\n") {
			if lit != "" && !slices.Contains(literals, lit) && len(literals) < 50 {
				literals = append(literals, lit)
			}
		}
		a, err := newAutomaton(literals)
		if err != nil {
			t.Skip("refused")
		}
		got := finds(a, len(literals), text)
		for i, lit := range literals {
			if want := strings.Contains(fold(text), lit); got[i] != want {
				t.Errorf("%q in %q: %t, naive %t", lit, text, got[i], want)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	f.Add("[pP]ingdom", "xPingdom")
	f.Add("(^| )PTST\\/", "a PTST/1")
	f.Add("AdsBot-Google([^-]|$)", "AdsBot-Google")
	f.Add("abc$|^abd|x[0-9]+yzz", "abc")
	f.Add("Spider[\\s\\S]*spider\\.com", "Spider spider.com")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if strings.Contains(pattern, "(?") || len(text) > MaxAgent || len(pattern) > 200 {
			t.Skip("folding beyond ASCII differs by contract; long agents are cut")
		}
		a, err := newAgents([]Pattern{{Text: pattern, Class: Crawler}}, nil)
		if err != nil {
			t.Skip("refused")
		}
		got, _ := a.match(text)
		if want := regexp.MustCompile(pattern).MatchString(text); (got == 0) != want {
			t.Errorf("%q in %q: %d, expression %t", pattern, text, got, want)
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add(uint8(KindDataCentres), "192.0.2.0/24\n2001:db8::/32\n")
	f.Add(uint8(KindDataCentreRanges), "192.0.2.0,192.0.2.9,x\n::1,::ff,y")
	f.Add(uint8(KindAgents), "crawler\tgoogle\tGoogle[bB]ot\tx\n")
	f.Add(uint8(KindDrops), "abc\twhy")
	f.Add(uint8(KindHandsets), "CUBOT\nM bot")
	f.Add(uint8(KindRobots), "192.0.2.0/24")
	f.Add(uint8(KindIABAddresses), "192.0.2.7/24")
	f.Add(uint8(KindIABInclude), "mozilla/|1|1\nkite|0|0|01/31/2026\n")
	f.Add(uint8(KindIABExclude), "robot|1|cubot, robotics||2|0|\n")
	f.Add(uint8(KindCrawlers), `[{"pattern":"abc","tags":["http-library"]}]`)
	f.Fuzz(func(t *testing.T, kind uint8, data string) {
		l, err := Load([]Source{{Name: "fuzz", Kind: Kind(kind), Owner: "o", Data: []byte(data)}})
		if err != nil {
			if l != nil {
				t.Error("an error with lists")
			}
			return
		}
		for p := range l.addresses.All() {
			if p != p.Masked() || p.Addr().Is4In6() {
				t.Errorf("%s is not canonical", p)
			}
			if m := l.Match(data, p.Addr()); !(m.DataCentre || m.Relay || m.VPN || m.Tor || m.Accepted || m.Robot || kind == uint8(KindCrawlerRanges)) {
				t.Errorf("%s is in no list", p)
			}
		}
		l.Match(data, netip.Addr{})
	})
}
