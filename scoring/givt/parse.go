package givt

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/netip"
	"strings"
)

// Widest prefixes a list may hold: a wider one is a slip that would take whole continents with it.
const (
	minBits4 = 8
	minBits6 = 16
)

func errTooManyExpressions(n int) error {
	return fmt.Errorf("givt: %d patterns need their expression, at most %d may: write them as plain literals", n, maxExpressions)
}

// lines gives number and text of each line that is neither empty nor a comment.
func lines(data []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.SplitSeq(string(data), "\n") {
			n++
			line = strings.TrimSpace(line)
			if line != "" && line[0] != '#' && !yield(n, line) {
				return
			}
		}
	}
}

// LineError is a line of a list that cannot be used.
type LineError struct {
	List string
	Line int // from 1
	Err  error
}

// Error implements error.
func (e *LineError) Error() string {
	return fmt.Sprintf("givt: list %s, line %d: %s", e.List, e.Line, e.Err)
}

// Unwrap returns what is wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }

func lineError(name string, line int, err error) error { return &LineError{name, line, err} }

// parseUpstream reads the JSON of crawler-user-agents: an array of objects with pattern, url and tags.
func parseUpstream(name string, data []byte) ([]Pattern, error) {
	var entries []struct {
		Pattern string
		URL     string
		Tags    []string
	}
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("givt: list %s: not the JSON of crawler-user-agents: %w", name, err)
	}
	patterns := make([]Pattern, len(entries))
	for i, e := range entries {
		p := Pattern{Class: Crawler, Text: e.Pattern, URL: e.URL, List: name}
		for _, tag := range e.Tags {
			switch tag {
			case "http-library":
				p.Class = Tool
			case "browser-automation":
				p.Class = Headless
			}
		}
		if _, err := compile(p.Text); err != nil {
			return nil, fmt.Errorf("givt: list %s, entry %d: %w", name, i+1, err)
		}
		patterns[i] = p
	}
	return patterns, nil
}

// parseAgents reads lines of class, owner (or -), pattern, reason, set apart by tabs.
func parseAgents(name string, data []byte, owners *ownerBits) ([]Pattern, error) {
	var patterns []Pattern
	for n, line := range lines(data) {
		p, err := parseAgent(line, owners)
		if err != nil {
			return nil, lineError(name, n, err)
		}
		p.List = name
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func parseAgent(line string, owners *ownerBits) (Pattern, error) {
	f := strings.Split(line, "\t")
	if len(f) != 4 {
		return Pattern{}, fmt.Errorf("want class, owner or -, pattern and reason, set apart by tabs; got %d fields", len(f))
	}
	p := Pattern{Text: f[2]}
	switch f[0] {
	case "crawler":
		p.Class = Crawler
	case "tool":
		p.Class = Tool
	case "app-library":
		p.Class, p.InApp = Tool, true
	case "headless":
		p.Class = Headless
	case "invalid":
		p.Class = Listed
	case "accepted": // matches and says nothing, so that no later pattern does
	default:
		return Pattern{}, fmt.Errorf("class %q is none of crawler, tool, app-library, headless, invalid, accepted", f[0])
	}
	if f[1] != "-" {
		var err error
		if p.owner, err = owners.bit(f[1]); err != nil {
			return Pattern{}, err
		}
	}
	_, err := compile(p.Text)
	return p, err
}

// parseDrops reads lines of pattern and reason, set apart by a tab.
func parseDrops(name string, data []byte) ([]string, error) {
	var drops []string
	for n, line := range lines(data) {
		pattern, reason, ok := strings.Cut(line, "\t")
		if !ok || reason == "" {
			return nil, lineError(name, n, fmt.Errorf("want pattern and reason, set apart by a tab"))
		}
		drops = append(drops, pattern)
	}
	return drops, nil
}

// parsePhrases reads one phrase a line.
func parsePhrases(name string, data []byte) ([]string, error) {
	var phrases []string
	for n, line := range lines(data) {
		if len(line) < minLiteral || len(line) > MaxAgent {
			return nil, lineError(name, n, fmt.Errorf("a phrase has %d to %d bytes, not %d", minLiteral, MaxAgent, len(line)))
		}
		phrases = append(phrases, fold(line))
	}
	return phrases, nil
}

// parsePrefixes reads one prefix or address a line.
func parsePrefixes(name string, data []byte) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for n, line := range lines(data) {
		p, err := parsePrefix(line)
		if err != nil {
			return nil, lineError(name, n, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q is neither a prefix nor an address", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a prefix", s)
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s has bits set past its length; %s is what it would cover", p, p.Masked())
	}
	return p, checkWidth(p)
}

func checkWidth(p netip.Prefix) error {
	least := minBits6
	if p.Addr().Is4() {
		least = minBits4
	}
	if p.Bits() < least {
		return fmt.Errorf("%s is wider than /%d, which no list of machines is", p, least)
	}
	return nil
}

// parseRanges reads lines of first address, last address and anything, set apart by commas.
func parseRanges(name string, data []byte) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for n, line := range lines(data) {
		first, rest, _ := strings.Cut(line, ",")
		last, _, _ := strings.Cut(rest, ",")
		from, err1 := netip.ParseAddr(strings.TrimSpace(first))
		to, err2 := netip.ParseAddr(strings.TrimSpace(last))
		from, to = from.Unmap(), to.Unmap()
		if err1 != nil || err2 != nil || from.BitLen() != to.BitLen() || to.Less(from) || from.Zone()+to.Zone() != "" {
			return nil, lineError(name, n, fmt.Errorf("want first address, last address; got %q", first+","+last))
		}
		for p := range prefixes(from, to) {
			if err := checkWidth(p); err != nil {
				return nil, lineError(name, n, err)
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// prefixes gives the fewest prefixes that cover from to to exactly, in order.
func prefixes(from, to netip.Addr) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for {
			p := netip.PrefixFrom(from, from.BitLen())
			for p.Bits() > 0 {
				wider := netip.PrefixFrom(from, p.Bits()-1)
				if wider.Masked().Addr() != from || to.Less(lastOf(wider)) {
					break
				}
				p = wider
			}
			last := lastOf(p)
			if !yield(p) || last == to {
				return
			}
			from = last.Next()
		}
	}
}

// lastOf is the highest address of a masked prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := range b {
		if free := 8*(i+1) - bits; free >= 8 {
			b[i] = 0xff
		} else if free > 0 {
			b[i] |= 1<<free - 1
		}
	}
	if p.Addr().Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}
