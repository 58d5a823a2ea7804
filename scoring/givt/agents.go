package givt

import (
	"slices"
	"strings"
)

// MaxAgent is how many bytes of an agent are read. The longest real one known to the tests has 492; the bound keeps
// the cost of a hostile one near that of a usual one.
const MaxAgent = 640

const maxExpressions = 512 // patterns that keep their expression; bounds the set of those tried on one agent

// Pattern is one entry of the agent lists.
type Pattern struct {
	Class AgentClass
	InApp bool   // a library that apps also carry: policy decides
	Text  string // RE2
	URL   string // where its owner describes it, when known
	List  string // name of the list it comes from

	owner  uint16   // bits of owners whose published addresses verify it
	plain  bool     // Text is no expression but a text to find, ASCII letters folded
	start  bool     // plain, and only at the agent's start
	except []string // folded; an agent that holds one of these does not match (IAB exclude list)
}

func (p *Pattern) variants() ([]variant, error) {
	if p.plain {
		return []variant{{literal: fold(p.Text), folded: true, start: p.start}}, nil
	}
	return compile(p.Text)
}

// excused reports whether the agent holds an exception of the pattern.
func (p *Pattern) excused(agent string) bool {
	return slices.ContainsFunc(p.except, func(e string) bool { return containsFold(agent, e) })
}

// agents answers what an agent says about itself. Immutable.
type agents struct {
	patterns []Pattern
	variants [][]variant // by literal of words
	words    *automaton
	handsets *automaton
	phrases  []string // by literal of handsets
}

// newAgents compiles the patterns, in order of precedence, and the handset phrases.
func newAgents(patterns []Pattern, phrases []string) (*agents, error) {
	a := &agents{patterns: patterns, phrases: phrases}
	var literals []string
	index, expressions := map[string]int{}, 0
	for id, p := range patterns {
		vs, err := p.variants()
		if err != nil {
			return nil, err
		}
		for _, v := range vs {
			v.pattern, v.reIndex = int32(id), expressions
			key := fold(v.literal)
			at, ok := index[key]
			if !ok {
				at = len(literals)
				index[key] = at
				literals, a.variants = append(literals, key), append(a.variants, nil)
			}
			a.variants[at] = append(a.variants[at], v)
		}
		if vs[0].re != nil {
			expressions++
		}
	}
	if expressions > maxExpressions {
		return nil, errTooManyExpressions(expressions)
	}
	var err error
	if a.words, err = newAutomaton(literals); err != nil {
		return nil, err
	}
	a.handsets, err = newAutomaton(phrases)
	return a, err
}

// match returns the first pattern in order of precedence that the agent holds, or -1, and the owners of all it holds.
func (a *agents) match(agent string) (pattern int32, owners uint16) {
	text, whole := agent, true
	if len(text) > MaxAgent {
		text, whole = text[:MaxAgent], false
	}
	pattern = -1
	var tried [maxExpressions / 64]uint64 // an expression is run once on an agent, however often it is proposed
	var covered [MaxAgent/64 + 1]uint64   // bytes inside handset phrases, marked when the first proposal comes
	marked := false
	for pos, state := a.words.advance(text, 0, 0); pos >= 0; pos, state = a.words.advance(text, pos, state) {
		if !marked {
			a.cover(text, &covered)
			marked = true
		}
		for lit, node := a.words.literals(state); lit >= 0; lit, node = a.words.nextLiteral(node) {
			for i := range a.variants[lit] {
				v := &a.variants[lit][i]
				from := pos - len(v.literal)
				if isCovered(&covered, from, pos) || v.re != nil && !first(&tried, v.reIndex) || !v.holds(text, from, pos, whole) {
					continue
				}
				if a.patterns[v.pattern].excused(text) {
					continue
				}
				owners |= a.patterns[v.pattern].owner
				if pattern < 0 || v.pattern < pattern {
					pattern = v.pattern
				}
			}
		}
	}
	return pattern, owners
}

// holds reports whether any pattern matches.
func (a *agents) holds(agent string) bool {
	pattern, _ := a.match(agent)
	return pattern >= 0
}

// cover marks the bytes of handset phrases that stand as whole words, with the separator that follows, which patterns
// such as "bot " take in.
func (a *agents) cover(text string, covered *[MaxAgent/64 + 1]uint64) {
	for pos, state := a.handsets.advance(text, 0, 0); pos >= 0; pos, state = a.handsets.advance(text, pos, state) {
		for lit, node := a.handsets.literals(state); lit >= 0; lit, node = a.handsets.nextLiteral(node) {
			from := pos - len(a.phrases[lit])
			if from > 0 && isLetter(text[from-1]) && isLetter(text[from]) ||
				pos < len(text) && isLetter(text[pos]) && isLetter(text[pos-1]) {
				continue
			}
			for i := from; i <= pos; i++ {
				covered[i>>6] |= 1 << (i & 63)
			}
		}
	}
}

func isCovered(covered *[MaxAgent/64 + 1]uint64, from, to int) bool {
	for i := from; i < to; i++ {
		if covered[i>>6]&(1<<(i&63)) == 0 {
			return false
		}
	}
	return true
}

// containsFold reports whether text holds a folded literal, ASCII letters folded.
func containsFold(text, literal string) bool {
	for from := 0; from+len(literal) <= len(text); from++ {
		n := 0
		for n < len(literal) && foldByte(text[from+n]) == literal[n] {
			n++
		}
		if n == len(literal) {
			return true
		}
	}
	return false
}

func first(tried *[maxExpressions / 64]uint64, i int) bool {
	bit := uint64(1) << (i & 63)
	was := tried[i>>6] & bit
	tried[i>>6] |= bit
	return was == 0
}

func isLetter(b byte) bool { b = foldByte(b); return 'a' <= b && b <= 'z' }

// trim takes off what loggers and careless senders put around an agent.
func trim(agent string) string { return strings.Trim(agent, " \t\r\n\"'") }
