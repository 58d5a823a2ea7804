package givt

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

const (
	minLiteral  = 3  // a shorter literal would propose the pattern on every second click
	maxVariants = 32 // a pattern with more spellings keeps its expression
)

// variant is one spelling of a pattern. When re is nil, the literal with its anchors is all there is to it.
type variant struct {
	pattern    int32
	literal    string // exact bytes; the automaton holds it folded
	folded     bool   // (?i): the automaton's find is enough
	start, end bool   // must lie at the text's start, end
	re         *regexp.Regexp
	reIndex    int // bit in the set of expressions already tried on this text
}

// holds reports whether the variant, proposed by the automaton as text[from:to], really is there. whole is false when
// the text was cut, so that its end is not the agent's.
func (v *variant) holds(text string, from, to int, whole bool) bool {
	if v.re != nil {
		return v.re.MatchString(text)
	}
	return (!v.start || from == 0) && (!v.end || whole && to == len(text)) &&
		(v.folded || text[from:to] == v.literal)
}

// compile splits a pattern into variants. The error says what makes a pattern unusable.
func compile(pattern string) ([]variant, error) {
	if len(pattern) > MaxAgent {
		return nil, fmt.Errorf("pattern of %d bytes: no agent is read past %d", len(pattern), MaxAgent)
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	if vs := expand(tree.Simplify()); vs != nil && longEnough(vs) {
		return vs, nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	need := required(tree)
	if shortest(need) < minLiteral {
		return nil, fmt.Errorf("pattern %q: every match must hold a literal of at least %d bytes", pattern, minLiteral)
	}
	vs := make([]variant, len(need))
	for i, lit := range need {
		vs[i] = variant{literal: lit, re: re}
	}
	return vs, nil
}

func longEnough(vs []variant) bool {
	for _, v := range vs {
		if len(v.literal) < minLiteral {
			return false
		}
	}
	return true
}

// expand gives all spellings of a small expression, or nil when they are too many or not mere literals.
func expand(re *syntax.Regexp) []variant {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []variant{{}}
	case syntax.OpBeginText:
		return []variant{{start: true}}
	case syntax.OpEndText:
		return []variant{{end: true}}
	case syntax.OpCapture:
		return expand(re.Sub[0])
	case syntax.OpLiteral:
		lit, ok := literal(re)
		switch {
		case !ok:
			return nil
		case re.Flags&syntax.FoldCase == 0 || !hasLetter(lit):
			return []variant{{literal: lit}}
		case len(lit) <= 2: // the parser's form of [pP]: spelt out, it joins with literals that keep their case
			return spellings(lit)
		}
		return []variant{{literal: lit, folded: true}}
	case syntax.OpCharClass:
		return expandClass(re.Rune)
	case syntax.OpAlternate:
		var all []variant
		for _, sub := range re.Sub {
			vs := expand(sub)
			if all = append(all, vs...); vs == nil || len(all) > maxVariants {
				return nil
			}
		}
		return all
	case syntax.OpConcat:
		all := []variant{{}}
		for _, sub := range re.Sub {
			if all = product(all, expand(sub)); all == nil {
				return nil
			}
		}
		return all
	}
	return nil
}

// spellings gives lit with every choice of case.
func spellings(lit string) []variant {
	all := []variant{{}}
	for i := range len(lit) {
		letter := []variant{{literal: strings.ToLower(lit[i : i+1])}}
		if up := strings.ToUpper(lit[i : i+1]); up != letter[0].literal {
			letter = append(letter, variant{literal: up})
		}
		all = product(all, letter)
	}
	return all
}

// literal is the text of an OpLiteral. Invalid UTF-8 in an agent reads as U+FFFD to regexp and not to us, and beyond
// ASCII folding is not ours either: such literals are left to the expression.
func literal(re *syntax.Regexp) (string, bool) {
	lit := string(re.Rune)
	if re.Flags&syntax.FoldCase != 0 {
		for i := range len(lit) {
			if lit[i] >= utf8.RuneSelf {
				return "", false
			}
		}
	}
	return lit, !strings.ContainsRune(lit, utf8.RuneError)
}

func expandClass(ranges []rune) []variant {
	var all []variant
	for i := 0; i+1 < len(ranges); i += 2 {
		if ranges[i+1]-ranges[i] >= maxVariants || ranges[i] <= utf8.RuneError && utf8.RuneError <= ranges[i+1] {
			return nil
		}
		for r := ranges[i]; r <= ranges[i+1]; r++ {
			if all = append(all, variant{literal: string(r)}); len(all) > maxVariants {
				return nil
			}
		}
	}
	return all
}

func product(left, right []variant) []variant {
	if right == nil || len(left)*len(right) > maxVariants {
		return nil
	}
	var all []variant
	for _, l := range left {
		for _, r := range right {
			v, ok := join(l, r)
			if !ok {
				return nil
			}
			all = append(all, v)
		}
	}
	return all
}

func join(l, r variant) (variant, bool) {
	switch {
	case l.end || r.start && (l.literal != "" || l.start):
		return variant{}, false // an anchor inside: rare, left to the expression
	case l.folded != r.folded && hasLetter(l.literal) && hasLetter(r.literal):
		return variant{}, false
	}
	return variant{literal: l.literal + r.literal, folded: l.folded || r.folded, start: l.start || r.start, end: r.end}, true
}

func hasLetter(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' })
}

// required gives literals of which every match holds at least one, the choice whose shortest is longest; nil is none.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if lit, ok := literal(re); ok {
			return []string{lit}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if r := required(sub); shortest(r) > shortest(best) {
				best = r
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			r := required(sub)
			if r == nil {
				return nil
			}
			all = append(all, r...)
		}
		return all
	}
	return nil
}

func shortest(literals []string) int {
	n := 0
	for i, lit := range literals {
		if i == 0 || len(lit) < n {
			n = len(lit)
		}
	}
	return n
}
