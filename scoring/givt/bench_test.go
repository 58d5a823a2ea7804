package givt

import (
	"net/netip"
	"strings"
	"testing"
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
