package fraudrange

import (
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
)

// browser is a template of agents: V stands for the version, M for a model.
type browser struct {
	weight   float64
	template string
	newest   int
	models   bool
}

// Shares follow StatCounter's of desktops and of mobile devices, rounded.
var (
	desktops = []browser{
		{48, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150, false},
		{13, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150, false},
		{3, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150, false},
		{13, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36 Edg/V.0.0.0", 150, false},
		{5, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:V.0) Gecko/20100101 Firefox/V.0", 151, false},
		{2, "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:V.0) Gecko/20100101 Firefox/V.0", 151, false},
		{3, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36 OPR/135.0.0.0", 150, false},
	}
	safariDesktop = []browser{{9, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Safari/605.1.15", 26, false}}
	safariMobile  = []browser{
		{23, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Mobile/15E148 Safari/604.1", 26, false},
		{2, "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Mobile/15E148 Safari/604.1", 26, false},
	}
	mobiles = []browser{
		{58, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Mobile Safari/537.36", 150, false},
		{4, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/V.0 Chrome/136.0.0.0 Mobile Safari/537.36", 30, false},
		{3, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/V.0.7444.77 Mobile/15E148 Safari/604.1", 150, false},
		{1, "Mozilla/5.0 (Android 15; Mobile; rv:V.0) Gecko/V.0 Firefox/V.0", 151, false},
	}
	// Pages inside apps still tell the model of the phone.
	webviews = []browser{{12, "Mozilla/5.0 (Linux; Android 15; M Build/AP3A.240905.015; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/V.0.7444.102 Mobile Safari/537.36", 150, true}}
)

// models are of phones that sell well.
var models = []string{
	"SM-S921B", "SM-A556B", "SM-A155F", "SM-A256B", "SM-G991B", "Pixel 8", "Pixel 7a", "Pixel 9", "2312DRA50G", "23106RN0DA",
	"23129RAA4G", "CPH2669", "CPH2591", "RMX3941", "V2352", "moto g54 5G", "moto g84 5G", "TECNO KL4", "Infinix X6725", "CUBOT KINGKONG 9",
}

// safaris have jumped from 18 to 26, so age counts in steps through this list.
var safaris = []int{26, 18, 17, 16, 15}

// versions tells how the share of a version falls with its age, in releases.
var versions = []float64{0.50, 0.22, 0.11, 0.06, 0.04, 0.03, 0.02, 0.01, 0.01}

// choice draws one of many by weight.
type choice[T any] struct {
	items []T
	upTo  []float64 // sums of weights
}

func (c *choice[T]) add(item T, weight float64) {
	sum := weight
	if n := len(c.upTo); n > 0 {
		sum += c.upTo[n-1]
	}
	c.items, c.upTo = append(c.items, item), append(c.upTo, sum)
}

func (c *choice[T]) index(r *rand.Rand) int {
	x := r.Float64() * c.upTo[len(c.upTo)-1]
	return min(sort.SearchFloat64s(c.upTo, x), len(c.items)-1)
}

func (c *choice[T]) pick(r *rand.Rand) T { return c.items[c.index(r)] }

// agents are all agents by the device that has them.
type agents struct {
	desktop, phone, webview, safari choice[string]
	tail                            []string // old and rare ones
	crawlers                        []string
}

func newAgents() *agents {
	a := &agents{tail: lines(handsetsFile), crawlers: lines(crawlersFile)}
	for _, b := range [][]browser{desktops, safariDesktop} {
		fill(&a.desktop, b)
	}
	for _, b := range [][]browser{mobiles, safariMobile, webviews} {
		fill(&a.phone, b)
	}
	fill(&a.webview, webviews)
	for _, b := range [][]browser{safariDesktop, safariMobile} {
		fill(&a.safari, b)
	}
	return a
}

func fill(c *choice[string], browsers []browser) {
	for _, b := range browsers {
		for age, share := range versions {
			agent := strings.ReplaceAll(b.template, "V.", fmt.Sprint(b.version(age))+".")
			if !b.models {
				c.add(agent, b.weight*share)
				continue
			}
			for _, m := range models {
				c.add(strings.Replace(agent, " M ", " "+m+" ", 1), b.weight*share/float64(len(models)))
			}
		}
	}
}

func (b *browser) version(age int) int {
	switch {
	case strings.Contains(b.template, "Version/V"):
		return safaris[min(age, len(safaris)-1)]
	case strings.Contains(b.template, "SamsungBrowser"):
		return b.newest - min(age, 6)
	}
	return b.newest - age
}

// rare is the share of people with an agent that hardly anybody has.
const rare = 0.03

func (a *agents) ofPhone(r *rand.Rand) string {
	if r.Float64() < rare {
		return a.tail[r.IntN(len(a.tail))]
	}
	return a.phone.pick(r)
}

var languages = func() (c choice[string]) {
	for _, l := range []struct {
		text   string
		weight float64
	}{
		{"en-US,en;q=0.9", 40}, {"en-GB,en;q=0.9", 12}, {"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", 14}, {"es-ES,es;q=0.9,en;q=0.8", 12},
		{"fr-FR,fr;q=0.9,en;q=0.8", 10}, {"it-IT,it;q=0.9,en;q=0.8", 6}, {"tr-TR,tr;q=0.9,de;q=0.8", 2}, {"en-US,en;q=0.5", 4},
	} {
		c.add(l.text, l.weight)
	}
	return c
}()
