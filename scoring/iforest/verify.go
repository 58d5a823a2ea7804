package iforest

import "crypto/sha256"

// Verify checks what Train guarantees and scoring does not rely on, in time
// proportional to the model. Run it before a model from elsewhere goes live: a file
// can be intact and still be no forest. Errors are *FormatError.
//
//   - The content has the checksum it was opened with.
//   - Only nodes of two rows and more are cut.
//   - A cut of the standard forest can send a value to either side, after all the
//     cuts above it, and has a row of the sample on each.
//   - Slanted cuts are in the order of their nodes, each used once, and name
//     different columns in rising order.
func (m *Model) Verify() error {
	v := &verifier{
		forest: m.forest(), m: m,
		low: make([]uint32, m.Features()), high: make([]uint32, m.Features()),
	}
	for i := range v.high {
		v.high[i] = 1<<(32-m.bits) - 1
	}
	if body := v.appendBody(nil); sha256.Sum256(body) != m.hash {
		return wrong(len(body), "the model in memory is not the one that was opened")
	}
	for t := range m.info.Trees {
		v.base = t << m.height
		if _, err := v.node(1, 0); err != nil {
			return err
		}
	}
	if all := v.splits(); v.seen != all {
		return wrong(48, "%d slanted cuts, %d of them used", all, v.seen)
	}
	return nil
}

type verifier struct {
	*forest
	m         *Model
	base      int
	seen      int      // slanted cuts
	low, high []uint32 // by column: what a packed value can be at the node
}

// node returns the number of rows below a node.
func (v *verifier) node(node, depth int) (rows int, err error) {
	if depth == v.height || v.nodes[v.base+node] == 0 {
		rows = int(v.sizes[v.base+rightmost(node, v.height-depth)-1<<v.height])
		if rows == 0 && v.Extension == 0 {
			return 0, v.problem(v.base+node, "a leaf without rows")
		}
		return rows, nil
	}
	n := v.nodes[v.base+node]
	if v.Extension > 0 {
		rows, err = v.slanted(node, depth, n)
	} else {
		rows, err = v.straight(node, depth, n)
	}
	if err == nil && rows < 2 {
		err = v.problem(v.base+node, "a cut through %d rows", rows)
	}
	return rows, err
}

func (v *verifier) straight(node, depth int, n uint32) (rows int, err error) {
	column, cut := n&(1<<v.m.bits-1), n>>v.m.bits
	low, high := v.low[column], v.high[column]
	if cut <= low || cut > high {
		return 0, v.problem(v.base+node, "a cut of column %d (%s) that sends nothing to one side", column, v.Names[column])
	}
	v.high[column] = cut - 1
	left, err := v.node(2*node, depth+1)
	v.high[column] = high
	if err != nil {
		return 0, err
	}
	v.low[column] = cut
	right, err := v.node(2*node+1, depth+1)
	v.low[column] = low
	return left + right, err
}

func (v *verifier) slanted(node, depth int, n uint32) (rows int, err error) {
	v.seen++
	if int(n) != v.seen {
		return 0, v.problem(v.base+node, "slanted cut %d, the next unused one is %d", n, v.seen)
	}
	cut := v.cuts.of(n, v.terms())
	for i := 1; i < len(cut); i++ {
		if cut[i].column <= cut[i-1].column {
			return 0, v.problem(v.base+node, "slanted cut %d: column %d after %d", n, cut[i].column, cut[i-1].column)
		}
	}
	left, err := v.node(2*node, depth+1)
	if err != nil {
		return 0, err
	}
	right, err := v.node(2*node+1, depth+1)
	return left + right, err
}
