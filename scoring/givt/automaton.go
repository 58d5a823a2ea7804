package givt

import "fmt"

const maxTable = 1 << 31 // entries of a transition table

// automaton finds many literals in one pass over a text, ASCII letters folded. It is a complete transition table over
// classes of bytes: bytes that no literal holds share class 0, so the table stays small. States are numbered breadth
// first, so the shallow ones, where ordinary browsers spend their time, share cache lines; those that end a literal
// come after all others, so that one comparison tells them apart and each byte costs one look-up. Immutable.
type automaton struct {
	class  [256]uint8
	width  uint32   // classes in a row
	next   []uint32 // [state*width+class]: next state times width
	output uint32   // states times width from here on end a literal
	ends   []int32  // [state]: index of the literal that ends here, or -1
	link   []int32  // [state]: the next shorter suffix state that ends a literal, or -1
}

func foldByte(b byte) byte {
	if 'A' <= b && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

func fold(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = foldByte(b[i])
	}
	return string(b)
}

// newAutomaton builds the table for literals, which must be folded, distinct and not empty.
func newAutomaton(literals []string) (*automaton, error) {
	a := &automaton{width: 1}
	for _, lit := range literals {
		for i := range len(lit) {
			if c := lit[i]; a.class[c] == 0 {
				if a.width == 255 {
					return nil, fmt.Errorf("givt: literals use more than 254 different bytes")
				}
				a.class[c] = uint8(a.width)
				a.width++
			}
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[foldByte(byte(c))]
	}
	trie, ends, err := a.trie(literals)
	if err != nil {
		return nil, err
	}
	return a, a.complete(trie, ends)
}

// trie gives rows of child numbers (0 is none, as the root is nobody's child) and the literal each node ends.
func (a *automaton) trie(literals []string) ([]uint32, []int32, error) {
	rows, ends := make([]uint32, a.width), []int32{-1}
	for id, lit := range literals {
		if lit == "" || lit != fold(lit) {
			return nil, nil, fmt.Errorf("givt: literal %q is empty or not in lower case", lit)
		}
		node := uint32(0)
		for i := range len(lit) {
			edge := node*a.width + uint32(a.class[lit[i]])
			if rows[edge] == 0 {
				rows[edge] = uint32(len(ends))
				rows, ends = append(rows, make([]uint32, a.width)...), append(ends, -1)
			}
			node = rows[edge]
		}
		if ends[node] >= 0 {
			return nil, nil, fmt.Errorf("givt: literal %q is given twice", lit)
		}
		ends[node] = int32(id)
	}
	return rows, ends, nil
}

// complete turns the trie into the table: breadth first, each missing child is the child of the node's longest
// proper suffix, which by then is known.
func (a *automaton) complete(trie []uint32, ends []int32) error {
	n := len(ends)
	if uint64(n)*uint64(a.width) >= maxTable {
		return fmt.Errorf("givt: the literals need %d states, more than the table can number", n)
	}
	a.next, a.ends, a.link = make([]uint32, len(trie)), make([]int32, n), make([]int32, n)
	state := make([]uint32, n) // trie node -> state
	queue, suffix := []uint32{0}, []uint32{0}
	for s := 0; s < len(queue); s++ {
		node, fail := queue[s], suffix[s]
		a.ends[s], a.link[s] = ends[node], -1
		if s > 0 {
			a.link[s] = a.link[fail]
			if a.ends[fail] >= 0 {
				a.link[s] = int32(fail)
			}
		}
		for c := range a.width {
			child := trie[node*a.width+c]
			onFail := uint32(0)
			if s > 0 {
				onFail = a.next[fail*a.width+c] // still a plain state number here
			}
			if child == 0 {
				a.next[uint32(s)*a.width+c] = onFail
				continue
			}
			state[child] = uint32(len(queue))
			queue, suffix = append(queue, child), append(suffix, onFail)
			a.next[uint32(s)*a.width+c] = state[child]
		}
	}
	a.renumber()
	return nil
}

// renumber moves the states that end a literal behind the others, and numbers by rows of the table.
func (a *automaton) renumber() {
	n := len(a.ends)
	order := make([]int32, 0, n) // new number -> old
	for _, outputs := range []bool{false, true} {
		for s := range int32(n) {
			if (a.ends[s] >= 0 || a.link[s] >= 0) == outputs {
				order = append(order, s)
			}
		}
		if !outputs {
			a.output = uint32(len(order)) * a.width
		}
	}
	number := make([]int32, n) // old -> new
	for s, old := range order {
		number[old] = int32(s)
	}
	next, ends, link := make([]uint32, len(a.next)), make([]int32, n), make([]int32, n)
	for s, old := range order {
		for c := range a.width {
			next[uint32(s)*a.width+c] = uint32(number[a.next[uint32(old)*a.width+c]]) * a.width
		}
		ends[s], link[s] = a.ends[old], -1
		if a.link[old] >= 0 {
			link[s] = number[a.link[old]]
		}
	}
	a.next, a.ends, a.link = next, ends, link
}

// advance reads text from pos in the given state (0 at the start) up to the first byte that ends a literal. It returns
// the position after that byte and the state, or -1 at the end of the text. It allocates nothing.
func (a *automaton) advance(text string, pos int, state uint32) (int, uint32) {
	next, output := a.next, a.output
	for ; pos < len(text); pos++ {
		state = next[state+uint32(a.class[text[pos]])]
		if state >= output {
			return pos + 1, state
		}
	}
	return -1, state
}

// literals returns the longest literal that ends in the state; nextLiteral the next shorter one. -1 is none.
func (a *automaton) literals(state uint32) (literal, node int32) {
	return a.at(int32(state / a.width))
}

func (a *automaton) nextLiteral(node int32) (literal, at int32) { return a.at(a.link[node]) }

func (a *automaton) at(node int32) (int32, int32) {
	if node >= 0 && a.ends[node] < 0 {
		node = a.link[node]
	}
	if node < 0 {
		return -1, -1
	}
	return a.ends[node], node
}
