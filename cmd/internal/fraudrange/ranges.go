package fraudrange

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// Range is what a parameter is drawn from, once per seed: uniformly, or uniformly in
// its logarithm where Log is set.
type Range struct {
	Name      string
	Low, High float64
	Log       bool
	Unit      string
	// Source is where the range comes from; "ours" where nothing published fixes it.
	Source string
}

// Drawn is a parameter's value in one world.
type Drawn struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// String writes the value to three digits.
func (d Drawn) String() string { return fmt.Sprintf("%s %.3g %s", d.Name, d.Value, d.Unit) }

func (g *Range) draw(r *rand.Rand) float64 {
	x := r.Float64()
	if g.Log {
		return g.Low * math.Pow(g.High/g.Low, x)
	}
	return g.Low + x*(g.High-g.Low)
}

// find panics on a name that is not there: both are written in this package, and a
// test draws every one.
func find(ranges []Range, name string) *Range {
	for i := range ranges {
		if ranges[i].Name == name {
			return &ranges[i]
		}
	}
	panic("fraudrange: no range " + name)
}

// draw draws a parameter of people or crowds and keeps what came out.
func (w *World) draw(r *rand.Rand, ranges []Range, name string) float64 {
	g := find(ranges, name)
	v := g.draw(r)
	w.Drawn = append(w.Drawn, Drawn{name, v, g.Unit})
	return v
}

// Sources that several ranges share.
const (
	pixalate   = "Pixalate, Click Fraud Benchmarks Q3 2024: 23 % of clicks invalid on desktop web, 11 % in apps, 7 % on mobile web; 45 % (desktop) and 59 % (mobile) of them from data centres"
	cloudflare = "Cloudflare, One IP address, many users (2025): hundreds to thousands of users behind one address"
	clickbot   = "Daswani and Stoppelman, The Anatomy of Clickbot.A (HotBots 2007): at most 20 clicks a bot, 15 minutes apart"
	scripts    = "vendors' descriptions: a script makes hundreds of clicks a minute, a person a few an hour"
	ours       = "ours"
)

// PeopleRanges are the ranges of everything that is no attack.
var PeopleRanges = []Range{
	{"price_usd", 0.3, 0.9, true, "USD", "median price; WordStream's average click of the Google display network, 0.63 USD"},
	{"publisher_zipf", 0.8, 1.2, false, "exponent", "Breslau and others, Web Caching and Zipf-like Distributions (INFOCOM 1999); up to a site's rank by size"},
	{"mobile_share", 0.25, 0.40, false, "of clicks", "StatCounter: six of ten page views come from phones; about half of those in a carrier's network"},
	{"office_share", 0.08, 0.15, false, "of clicks", ours},
	{"campus_share", 0.02, 0.05, false, "of clicks", ours},
	{"relay_share", 0.01, 0.04, false, "of clicks", "ours, around public estimates of a few per cent of Safari's traffic"},
	{"vpn_share", 0.005, 0.02, false, "of clicks", ours},
	{"users_per_address", 200, 2000, true, "people", cloudflare},
	{"mobile_ipv6", 0.4, 0.8, false, "of phones", "Google and APNIC: about half of all users, most in carriers' networks"},
	{"home_ipv6", 0.35, 0.55, false, "of homes", "Google, IPv6 statistics: near half of users"},
	{"double_clickers", 0.05, 0.12, false, "of people", "Baymard Institute, Users continue to double-click online: around 10 % of test subjects"},
	{"crawler_share", 0.005, 0.02, false, "of clicks of people", "TAG, 2020 US benchmark: 1.05 % invalid in certified channels"},
	{"prefetch_share", 0.002, 0.01, false, "of clicks of people", ours},
	{"flash_share", 0.01, 0.04, false, "of clicks of people", "a front-page link lasts hours (reports of the Slashdot effect); size ours"},
	{"flash_ramp", 2, 15, true, "minutes", "Ari and others, Managing flash crowds on the Internet (MASCOTS 2003): steep rise, slow fall"},
	{"flash_fall", 20, 180, true, "minutes to 1/e", "the same, and reports of the Slashdot effect"},
	{"stadium_people", 500, 3000, true, "people behind one address", "alireza0/x-ui#1632, mas-bandwidth/netcode#1: one address, many people"},
	{"stadium_minutes", 10, 40, false, "minutes", ours},
	{"invalid_share", 0.07, 0.23, false, "of clicks, all families together", pixalate},
}

// AttackRanges are the ranges of attacks, by family. The number of clicks comes from
// invalid_share: every family has an equal part.
var AttackRanges = [NumFamilies][]Range{
	Flood: {
		{"machines", 1, 8, true, "addresses", ours},
		{"clicks_per_minute", 100, 600, true, "all machines", scripts},
		{"listed", 0.45, 0.59, false, "of machines in listed data centres", pixalate},
	},
	Replay: {
		{"tokens", 1, 50, true, "tokens", "Pixalate, Click Fraud Benchmarks Q3 2024: duplicates are 55 % of invalid clicks in apps"},
		{"machines", 1, 30, true, "addresses", ours},
		{"clicks_per_minute", 30, 300, true, "all machines", scripts},
	},
	Rotation: {
		{"machines", 1, 10, true, "addresses", ours},
		{"agents", 20, 500, true, "agents", "a user's report to PostHog: near half Chrome on Windows, half on macOS, ids seen once"},
		{"clicks_per_minute", 60, 600, true, "all machines", scripts},
	},
	Spoof: {
		{"machines", 1, 5, true, "addresses", "everruns/everruns#2643, goauthentik/authentik#25679: whoever reads the left end believes the client"},
		{"clicks_per_minute", 60, 600, true, "all machines", scripts},
	},
	DeclaredBot: {
		{"machines", 1, 64, true, "addresses", ours},
		{"clicks_per_minute", 5, 120, true, "all machines", "crawlers ask for pages every few seconds (Crawl-delay in robots.txt)"},
	},
	MaskedBot: {
		{"machines", 1, 20, true, "addresses", ours},
		{"clicks_per_minute", 10, 120, true, "all machines", "as declared crawlers, faster because nobody complains"},
		{"listed", 0.45, 0.59, false, "of machines in listed data centres", pixalate},
	},
	Injection: {
		{"clicks_per_device", 1, 4, false, "clicks", ours},
		{"shown_before", 0.1, 2, true, "seconds at most", "adsafee: below 2 s; AppsFlyer: a glut in the first 3 to 10 s"},
	},
	Drip: {
		{"clicks_per_bot", 6, 20, false, "clicks", clickbot},
		{"pause", 15, 45, false, "minutes at least", clickbot},
	},
	Farm: {
		{"phones", 20, 200, true, "phones", "press photographs of racks"},
		{"pause", 30, 180, true, "seconds between a phone's clicks", ours},
		{"addresses", 1, 4, true, "of a carrier", ours},
		{"shift", 8, 12, false, "hours at most", "Cracked, Working at an overseas click farm: up to 12 hours"},
	},
	Residential: {
		{"clicks_per_minute", 5, 60, true, "all together", ours},
		{"agents", 1, 20, true, "agents", "Mi and others, Resident Evil (IEEE S&P 2019): millions of homes, another one per request"},
	},
	Collusion: {
		{"publishers", 2, 6, false, "publishers", "Metwally and others, Detectives (WWW 2007): coalitions share machines"},
		{"visits", 1, 3, false, "clicks of a machine on each", "the same: each publisher's share stays below what one alone would need"},
	},
	Poisoning: {
		{"machines", 1, 10, true, "addresses", ours},
		{"first_rate", 0.2, 0.5, true, "clicks a minute of a machine", "as a busy person"},
		{"last_rate", 30, 120, true, "clicks a minute of a machine", scripts},
		{"growth_hours", 2, 6, false, "hours", "Rubinstein and others, ANTIDOTE (IMC 2009): boiling frog, a few per cent at a time"},
	},
	Skew: {
		{"machines", 1, 8, true, "addresses", ours},
		{"clicks_per_minute", 60, 600, true, "all machines", scripts},
		{"behind", 8, 14, false, "minutes at most", "within the grace of 15 minutes in which an hour waits; PostHog/posthog#13579"},
		{"ahead", 1, 4, false, "minutes at most", "below the 5 minutes that a gateway takes"},
	},
}

// MarkdownRanges writes all ranges as the tables of docs/fraud-range.md.
func MarkdownRanges() string {
	var b strings.Builder
	table := func(title string, ranges []Range) {
		fmt.Fprintf(&b, "**%s**\n\n| parameter | from | to | drawn | unit | source |\n|---|---|---|---|---|---|\n", title)
		for _, g := range ranges {
			drawn := "evenly"
			if g.Log {
				drawn = "evenly in the logarithm"
			}
			fmt.Fprintf(&b, "| %s | %g | %g | %s | %s | %s |\n", g.Name, g.Low, g.High, drawn, g.Unit, g.Source)
		}
		b.WriteByte('\n')
	}
	table("people and crowds", PeopleRanges)
	for _, f := range Families() {
		table(f.String(), AttackRanges[f])
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
