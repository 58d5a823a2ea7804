package givt

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

// Severity says what a finding is worth.
type Severity string

// Severities. A list with an error must not go into force.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Note    Severity = "note"
)

// Finding is one thing about a list that an operator should know before it goes into force.
type Finding struct {
	List     string   `json:"list"`
	Severity Severity `json:"severity"`
	Code     string   `json:"code"`
	Text     string   `json:"text"`
	Count    int      `json:"count,omitempty"` // entries, or agents
	Examples []string `json:"examples,omitempty"`
}

const (
	maxExamples  = 3
	maxBadLines  = 20
	deviceErrors = 0.001 // share of people's agents from which a pattern is an error
	wideBits4    = 9     // prefixes as wide as these are rare even among the largest clouds
	wideBits6    = 20
)

// tell counts what a finding is about and keeps the first few as examples.
func (f *Finding) tell(example string) {
	if f.Count++; len(f.Examples) < maxExamples {
		f.Examples = append(f.Examples, example)
	}
}

// Check looks at lists in their order of precedence, before they are loaded. people are agents of people's devices,
// which no list should call invalid (Devices); a pattern that does so to one in a thousand is an error.
func Check(sources []Source, people []string) []Finding {
	c := &checker{people: people, all: builder{names: map[string]bool{}}, addresses: &bart.Table[flags]{}}
	for _, s := range sources {
		if s.Kind < KindDataCentres {
			_, _ = c.all.add(s) // what cannot be read is told by badLines
		}
	}
	for _, s := range sources {
		if b, n, ok := c.badLines(s); ok {
			c.content(s, b, n)
		}
	}
	if !slices.ContainsFunc(c.findings, isError) {
		if _, err := Load(sources); err != nil {
			c.add(Finding{List: "(all)", Severity: Error, Code: "load", Text: err.Error()})
		}
	}
	return c.findings
}

func isError(f Finding) bool { return f.Severity == Error }

// checker goes through the lists and remembers those it saw.
type checker struct {
	people    []string
	all       builder   // agents, drops and phrases of all lists, which refer to each other
	patterns  []Pattern // of the lists before
	addresses *bart.Table[flags]
	findings  []Finding
}

func (c *checker) add(f Finding) {
	if f.Text != "" {
		c.findings = append(c.findings, f)
	}
}

// found adds a finding that counted something.
func (c *checker) found(f Finding) {
	if f.Count > 0 {
		c.add(f)
	}
}

// badLines tells every line that cannot be used, where the kind has lines, by taking out one after the other, and
// returns the list without them as it was read, and its number of entries.
func (c *checker) badLines(s Source) (b *builder, entries int, ok bool) {
	rest := s
	for range maxBadLines {
		b = &builder{names: map[string]bool{}}
		entries, err := b.add(rest)
		if err == nil {
			return b, entries, true
		}
		var line *LineError
		if !errors.As(err, &line) {
			c.add(Finding{List: s.Name, Severity: Error, Code: "unreadable", Text: err.Error()})
			return nil, 0, false
		}
		c.add(Finding{List: s.Name, Severity: Error, Code: "line", Text: fmt.Sprintf("line %d: %s", line.Line, line.Err)})
		all := bytes.Split(rest.Data, []byte("\n"))
		all[line.Line-1] = nil
		rest.Data = bytes.Join(all, []byte("\n"))
	}
	c.add(Finding{List: s.Name, Severity: Error, Code: "line", Text: fmt.Sprintf("and more; only %d lines are told", maxBadLines)})
	return nil, 0, false
}

// content looks at a list as badLines read it.
func (c *checker) content(s Source, b *builder, entries int) {
	if entries == 0 {
		c.add(Finding{List: s.Name, Severity: Warning, Code: "empty", Text: "holds no entry"})
	}
	switch s.Kind {
	case KindDrops:
		c.drops(s.Name, b.drops)
	case KindIABInclude:
		c.browsers(s.Name, b.browsers)
	case KindHandsets:
		c.phrases(s.Name, b.phrases)
	case KindCrawlers, KindAgents, KindIABExclude:
		b.drops = c.all.drops
		c.agents(s.Name, b.kept())
	default:
		c.owner(s)
		c.prefixes(s, b.entries)
	}
}

// agents looks for patterns that hit people, and for those that can never be the first to match.
func (c *checker) agents(name string, patterns []Pattern) {
	all := append(slices.Clone(c.patterns), patterns...)
	c.patterns = all
	a, err := newAgents(all, nil)
	if err != nil {
		c.add(Finding{List: name, Severity: Error, Code: "patterns", Text: err.Error()})
		return
	}
	shadowed := Finding{List: name, Severity: Note, Code: "shadowed", Text: "patterns that an earlier one always precedes"}
	for i := len(all) - len(patterns); i < len(all); i++ {
		if vs, err := all[i].variants(); err == nil && len(vs) == 1 && vs[0].re == nil && len(all[i].except) == 0 {
			text := vs[0].literal
			if at, _ := a.match(text); at >= 0 && int(at) < i && precedes(&all[at], vs[0].folded) {
				shadowed.tell(fmt.Sprintf("%s, by %s of %s", all[i].Text, all[at].Text, all[at].List))
			}
		}
	}
	c.found(shadowed)
	c.hits(name, patterns)
}

// precedes reports whether a pattern that matches a part of an agent matches the whole of it, too, in whatever case if
// the part may have any.
func precedes(p *Pattern, folded bool) bool {
	vs, err := p.variants()
	return err == nil && len(p.except) == 0 &&
		!slices.ContainsFunc(vs, func(v variant) bool { return v.re != nil || v.start || v.end || folded && !v.folded })
}

// hits tries the list's patterns alone on people's agents.
func (c *checker) hits(name string, patterns []Pattern) {
	a, err := newAgents(patterns, slices.Compact(slices.Sorted(slices.Values(c.all.phrases))))
	if err != nil {
		return // told by agents
	}
	by := map[int32]*Finding{}
	for _, agent := range c.people {
		if at, _ := a.match(trim(agent)); at >= 0 && patterns[at].Class >= Crawler {
			if by[at] == nil {
				by[at] = &Finding{List: name, Severity: Warning, Code: "people", Text: fmt.Sprintf("pattern %s matches agents of people's devices", patterns[at].Text)}
			}
			by[at].tell(agent)
		}
	}
	for i := range patterns {
		if f := by[int32(i)]; f != nil {
			if float64(f.Count) >= deviceErrors*float64(len(c.people)) {
				f.Severity = Error
			}
			c.add(*f)
		}
	}
}

// browsers tells how many of people's agents an include list does not hold: each would be an unknown agent.
func (c *checker) browsers(name string, patterns []Pattern) {
	a, err := newAgents(patterns, nil)
	if err != nil {
		c.add(Finding{List: name, Severity: Error, Code: "patterns", Text: err.Error()})
		return
	}
	f := Finding{List: name, Severity: Warning, Code: "people", Text: "does not hold agents of people's devices, which become UNKNOWN_AGENT"}
	for _, agent := range c.people {
		if !a.holds(trim(agent)) {
			f.tell(agent)
		}
	}
	c.found(f)
}

func (c *checker) drops(name string, drops []string) {
	f := Finding{List: name, Severity: Warning, Code: "drops nothing", Text: "patterns that no crawler list holds"}
	for _, d := range drops {
		if !slices.ContainsFunc(c.all.patterns, func(p Pattern) bool { return p.Text == d }) {
			f.tell(d)
		}
	}
	c.found(f)
}

// phrases warns of phrases that are part of most agents: inside them no pattern counts.
func (c *checker) phrases(name string, phrases []string) {
	for _, phrase := range phrases {
		f := Finding{List: name, Severity: Warning, Code: "common phrase", Text: fmt.Sprintf("phrase %s stands in every tenth agent or more", phrase)}
		for _, agent := range c.people {
			if containsFold(agent, phrase) {
				f.tell(agent)
			}
		}
		if f.Count*10 >= len(c.people) && len(c.people) > 0 {
			c.add(f)
		}
	}
}

// owner warns of ranges that verify nobody.
func (c *checker) owner(s Source) {
	if s.Kind != KindCrawlerRanges || slices.Contains(c.all.owners.names, s.Owner) {
		return
	}
	c.add(Finding{List: s.Name, Severity: Warning, Code: "verifies nobody", Text: fmt.Sprintf("no agent list names the owner %s", s.Owner)})
}

// prefixes looks for entries that cover too much, and for those that say nothing new.
func (c *checker) prefixes(s Source, entries []flagged) {
	wide := Finding{List: s.Name, Severity: Warning, Code: "wide", Text: fmt.Sprintf("prefixes as wide as /%d (IPv4) or /%d (IPv6)", wideBits4, wideBits6)}
	special := Finding{List: s.Name, Severity: Warning, Code: "special", Text: "addresses that no public client has (private, shared, reserved, documentation)"}
	inside := Finding{List: s.Name, Severity: Note, Code: "shadowed", Text: "prefixes inside others of the list, or there twice"}
	others := Finding{List: s.Name, Severity: Note, Code: "overlap", Text: "prefixes inside those of other lists"}
	slices.SortFunc(entries, func(a, b flagged) int { // of one list: equal ones are the same
		return cmp.Or(cmp.Compare(a.prefix.Bits(), b.prefix.Bits()), a.prefix.Addr().Compare(b.prefix.Addr()))
	})
	own := &bart.Table[struct{}]{}
	for _, e := range entries {
		p := e.prefix
		if p.Addr().Is4() && p.Bits() <= wideBits4 || p.Addr().Is6() && p.Bits() <= wideBits6 {
			wide.tell(p.String())
		}
		if isSpecial(p) {
			special.tell(p.String())
		}
		if _, ok := own.LookupPrefix(p); ok {
			inside.tell(p.String())
		}
		own.Insert(p, struct{}{})
		if f, ok := c.addresses.LookupPrefix(p); ok && f&^e.flags != 0 {
			others.tell(fmt.Sprintf("%s: %s", p, f&^e.flags))
		}
	}
	for _, f := range []Finding{wide, special, inside, others} {
		c.found(f)
	}
	for _, e := range entries {
		wider, _ := c.addresses.LookupPrefix(e.prefix)
		c.addresses.Insert(e.prefix, wider|e.flags)
	}
}

// String names the lists of the flags.
func (f flags) String() string {
	var names []string
	for _, n := range []struct {
		bit  flags
		name string
	}{{inDataCentre, "data centre"}, {inRelay, "relay"}, {inVPN, "VPN"}, {inTor, "Tor"}, {isAccepted, "accepted"}, {isRobot, "robot"}} {
		if f&n.bit != 0 {
			names = append(names, n.name)
		}
	}
	if f>>ownerShift != 0 {
		names = append(names, "crawler")
	}
	return strings.Join(names, ", ")
}

// notPublic are prefixes without public clients that netip has no method for (RFC 6890 and its registries).
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("2001:db8::/32"),
}

func isSpecial(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() ||
		slices.ContainsFunc(notPublic, p.Overlaps)
}
