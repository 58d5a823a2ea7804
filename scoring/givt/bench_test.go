package givt

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var benchAgents = map[string]string{
	"browser":  ordinary + "Chrome/128.0.0.0 Safari/537.36",
	"handset":  chrome("CUBOT KINGKONG 9 Build/TP1A"),
	"crawler":  googlebot,
	"4kDigits": strings.Replace(chrome("CUBOT KINGKONG 9"), "Chrome/", "Chrome/"+strings.Repeat("7", 4000), 1),
	"hostile":  strings.Repeat("AdsBot-Google-x ", 300),
}

func BenchmarkMatch(b *testing.B) {
	l := listsOf(b)
	ip := netip.MustParseAddr("52.95.110.1")
	for name, agent := range benchAgents {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Match(agent, ip)
			}
		})
	}
}

func BenchmarkMatchCorpus(b *testing.B) {
	l, corpus := listsOf(b), agentsOf(b)
	ip := netip.MustParseAddr("52.95.110.1")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		l.Match(corpus[i%len(corpus)].agent, ip)
		i += 7
	}
}

// BenchmarkAgainstEachPattern shows what looking for all patterns at once is worth: the same agents by one pass, and by
// trying every expression until one matches.
func BenchmarkAgainstEachPattern(b *testing.B) {
	patterns := listsOf(b).agents.patterns
	a, err := newAgents(patterns, nil)
	if err != nil {
		b.Fatal(err)
	}
	each := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		each[i] = regexp.MustCompile(p.Text)
	}
	var sample []string
	for i, c := range agentsOf(b) {
		if i%997 == 0 {
			sample = append(sample, trim(c.agent))
		}
	}
	pass, tries := time.Duration(0), time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		for _, agent := range sample {
			start := time.Now()
			got, _ := a.match(agent)
			pass += time.Since(start)
			start = time.Now()
			want := int32(slices.IndexFunc(each, func(re *regexp.Regexp) bool { return re.MatchString(agent) }))
			tries += time.Since(start)
			if got != want {
				b.Fatalf("%q: pattern %d, trying each says %d", agent, got, want)
			}
		}
	}
	b.ReportMetric(float64(tries)/float64(pass), "times-slower-each")
	b.ReportMetric(float64(pass.Nanoseconds())/float64(b.N*len(sample)), "ns/agent")
}

func BenchmarkEmbedded(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Embedded(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMatchAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	l := listsOf(t)
	ip := netip.MustParseAddr("2600:1f00::1")
	for name, agent := range benchAgents {
		if n := testing.AllocsPerRun(100, func() { l.Match(agent, ip) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
