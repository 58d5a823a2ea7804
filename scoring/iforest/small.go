package iforest

// The shape of the default forest over at most 16 features, for which there is a
// walk of its own.
const (
	smallHeight = 8
	smallWidth  = 16
	smallBits   = 4
	smallTree   = 1 << smallHeight
	lanes       = 5
)

func (m *Model) pathSmall(x []float32) Length {
	var probes [smallWidth]int64
	for i, v := range x {
		probes[i&(smallWidth-1)] = probe(v, smallBits)
	}
	return m.walkSmall(&probes)
}

// walkSmall walks through several trees at once, because one walk waits for
// memory at every step.
func (m *Model) walkSmall(probes *[smallWidth]int64) (sum Length) {
	nodes, leaves, paths := m.nodes, m.leaves, m.paths
	tree := 0
	for ; len(nodes) >= lanes*smallTree; tree += lanes {
		a, b, c, d, e := descend((*[lanes * smallTree]uint32)(nodes), probes)
		l := (*[lanes * smallTree]uint16)(leaves)
		sum += paths[l[a]] + paths[l[int(b)+smallTree]] + paths[l[int(c)+2*smallTree]] +
			paths[l[int(d)+3*smallTree]] + paths[l[int(e)+4*smallTree]]
		nodes, leaves = nodes[lanes*smallTree:], leaves[lanes*smallTree:]
	}
	return sum + m.walk(probes[:], tree)
}

// descend returns the leaves that five trees side by side lead to. An index keeps
// its low byte: after the eighth step its ninth bit, which is always set, is cut
// off, and the rest is the number of the leaf. It is not inlined, so that its
// loop has all registers to itself: with four lanes inside walkSmall a score took
// 1.6 times as long.
//
//go:noinline
func descend(n *[lanes * smallTree]uint32, probes *[smallWidth]int64) (_, _, _, _, _ uint8) {
	var a, b, c, d, e uint64 = 1, 1, 1, 1, 1
	for range smallHeight {
		na, nb, nc := n[a%smallTree], n[b%smallTree+smallTree], n[c%smallTree+2*smallTree]
		nd, ne := n[d%smallTree+3*smallTree], n[e%smallTree+4*smallTree]
		a = 2*a + right(na, probes[na%smallWidth])
		b = 2*b + right(nb, probes[nb%smallWidth])
		c = 2*c + right(nc, probes[nc%smallWidth])
		d = 2*d + right(nd, probes[nd%smallWidth])
		e = 2*e + right(ne, probes[ne%smallWidth])
	}
	return uint8(a), uint8(b), uint8(c), uint8(d), uint8(e)
}
