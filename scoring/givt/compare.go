package givt

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Entries returns what a list says, entry by entry, in a form in which equal entries are equal. Sorted, each once.
func Entries(s Source) ([]string, error) {
	b := builder{names: map[string]bool{}}
	if _, err := b.add(s); err != nil {
		return nil, err
	}
	var all []string
	for _, p := range slices.Concat(b.patterns, b.browsers) {
		text := fmt.Sprintf("%s\t%s", p.label(), p.Text)
		if p.start {
			text += "\tat the start"
		}
		for _, e := range p.except {
			text += "\tunless " + e
		}
		all = append(all, text)
	}
	all = append(append(all, b.drops...), b.phrases...)
	for _, e := range b.entries {
		all = append(all, e.prefix.String())
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (p *Pattern) label() string {
	switch {
	case p.InApp:
		return "app-library"
	case p.Class == None:
		return "accepted"
	case p.Class == Listed:
		return "invalid"
	}
	return p.Class.String()
}

// Changed returns the entries that only b has and those that only a has; a zero Source has none.
// Equal lists are not read, so what is wrong with them is no error here.
func Changed(a, b Source) (added, removed []string, err error) {
	if a.Kind == b.Kind && bytes.Equal(a.Data, b.Data) {
		return nil, nil, nil // most lists of two sets are the same, and large
	}
	var before, after []string
	if a.Kind != 0 {
		if before, err = Entries(a); err != nil {
			return nil, nil, err
		}
	}
	if b.Kind != 0 {
		if after, err = Entries(b); err != nil {
			return nil, nil, err
		}
	}
	return without(after, before), without(before, after), nil
}

// without returns the entries of sorted a that sorted b does not have.
func without(a, b []string) (rest []string) {
	for _, e := range a {
		if _, found := slices.BinarySearch(b, e); !found {
			rest = append(rest, e)
		}
	}
	return rest
}

// Change is a verdict of lists that becomes another one.
type Change struct {
	From     string   `json:"from"` // reason, "no agent" or "none"
	To       string   `json:"to"`
	Count    int      `json:"count"`
	Examples []string `json:"examples,omitempty"`
}

// Comparison counts what other lists would say of the same clicks. Not safe for concurrent use.
type Comparison struct {
	Before, After *Lists
	Clicks        int
	changes       map[[2]string]*Change
}

// Add judges one click by both.
func (c *Comparison) Add(agent string, ip netip.Addr) {
	c.Clicks++
	key := [2]string{said(c.Before, agent, ip), said(c.After, agent, ip)}
	if key[0] == key[1] {
		return
	}
	if c.changes == nil {
		c.changes = map[[2]string]*Change{}
	}
	change := c.changes[key]
	if change == nil {
		change = &Change{From: key[0], To: key[1]}
		c.changes[key] = change
	}
	if change.Count++; len(change.Examples) < maxExamples && !slices.Contains(change.Examples, agent) {
		change.Examples = append(change.Examples, agent)
	}
}

// said is what lists say of a click, apps being tools.
func said(l *Lists, agent string, ip netip.Addr) string {
	m := l.Match(agent, ip)
	if r := m.Reason(true); r != "" {
		return string(r)
	}
	if m.Agent == NoAgent {
		return m.Agent.String()
	}
	return None.String()
}

// Changes returns what differs, the most frequent first.
func (c *Comparison) Changes() []Change {
	all := make([]Change, 0, len(c.changes))
	for _, key := range slices.SortedFunc(maps.Keys(c.changes), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		all = append(all, *c.changes[key])
	}
	slices.SortStableFunc(all, func(a, b Change) int { return b.Count - a.Count })
	return all
}
