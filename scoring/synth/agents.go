package synth

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// browser is a template of an agent: V stands for the version. Since browsers
// freeze what they tell of the system, many people share one agent.
type browser struct {
	weight   float64
	template string
	newest   int // major version
}

var desktops = []browser{
	{38, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150},
	{12, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150},
	{3, "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36", 150},
	{15, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Safari/537.36 Edg/V.0.0.0", 150},
	{7, "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:V.0) Gecko/20100101 Firefox/V.0", 151},
	{2, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:V.0) Gecko/20100101 Firefox/V.0", 151},
	{2, "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:V.0) Gecko/20100101 Firefox/V.0", 151},
	{16, "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Safari/605.1.15", 26},
}

var mobiles = []browser{
	{46, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Mobile Safari/537.36", 150},
	{6, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/V.0 Chrome/136.0.0.0 Mobile Safari/537.36", 30},
	{2, "Mozilla/5.0 (Android 15; Mobile; rv:V.0) Gecko/V.0 Firefox/V.0", 151},
	{34, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Mobile/15E148 Safari/604.1", 26},
	{4, "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/V.1 Mobile/15E148 Safari/604.1", 26},
	{5, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/V.0.7444.77 Mobile/15E148 Safari/604.1", 150},
	{3, "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/V.0.0.0 Mobile Safari/537.36 EdgA/V.0.0.0", 150},
}

// safaris have jumped from 18 to 26, so age counts in steps through this list.
var safaris = []string{"26", "18", "17", "16", "15"}

// agent draws a browser and a version, of which the newest are the most common.
func agent(r *rand.Rand, of []browser) string {
	b := &of[pickIndex(r, len(of), func(i int) float64 { return of[i].weight })]
	age := min(int(r.ExpFloat64()*1.5), 20)
	version := fmt.Sprint(b.newest - age)
	if strings.Contains(b.template, "Version/") {
		version = safaris[min(age, len(safaris)-1)]
	} else if strings.Contains(b.template, "SamsungBrowser") {
		version = fmt.Sprint(b.newest - min(age, 6))
	}
	return strings.ReplaceAll(b.template, "V.", version+".")
}

var languages = []Share{
	{"de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7", 40}, {"es-ES,es;q=0.9,en;q=0.8", 20}, {"fr-FR,fr;q=0.9,en;q=0.8", 15},
	{"en-GB,en;q=0.9", 12}, {"it-IT,it;q=0.9,en;q=0.8", 8}, {"tr-TR,tr;q=0.9,de;q=0.8", 3}, {"en-US,en;q=0.5", 2},
}

// robots declare themselves; the names are those of real crawlers, because
// lists know only these.
var robots = []Share{
	{"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", 5},
	{"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", 4},
	{"Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", 3},
	{"Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", 3},
	{"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", 1},
}
