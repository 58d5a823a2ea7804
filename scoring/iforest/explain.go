package iforest

import "math"

// Contributions says which features made x's path short or long. It overwrites
// dst, which has Features elements, and returns the path length to be expected:
//
//	expected - PathLength(x) == sum of dst, exactly
//
// A positive contribution made the row look anomalous. Lengths are summed over the
// trees; divide by Info().Trees for cuts per tree.
//
// Every node has an expected path length, the mean over the sample's rows below
// it, and every cut changes it by sending x to one side. The change belongs to the
// cut's column. A slanted cut shares it among its columns in the proportion
// of |weight (x - origin)|, the last of them taking the remainder; in equal
// parts where that is no proportion. It allocates nothing.
func (m *Model) Contributions(dst []Length, x []float32) (expected Length) {
	x, dst = x[:m.Features():len(x)], dst[:m.Features()]
	clear(dst)
	for base := 0; base < len(m.nodes); base += 1 << m.height {
		m.explainTree(dst, x, base)
	}
	return m.expected
}

func (m *Model) explainTree(dst []Length, x []float32, base int) {
	tree := m.nodes[base : base+1<<m.height]
	i, at := 1, m.means[base+1]
	for depth := 1; depth <= m.height && tree[i] != 0; depth++ {
		node := tree[i]
		i = 2*i + m.sideOf(node, x)
		var mean Length
		if depth < m.height {
			mean = m.means[base+i]
		} else {
			mean = m.paths[m.leaves[base+i-1<<m.height]]
		}
		m.credit(dst, node, x, at-mean)
		at = mean
	}
}

// sideOf is 0 for left, 1 for right.
func (m *Model) sideOf(node uint32, x []float32) int {
	if m.terms == 0 {
		return int(right(node, probe(x[node&(1<<m.bits-1)], m.bits)))
	}
	return m.cuts.of(node, m.terms).right(x)
}

func (m *Model) credit(dst []Length, node uint32, x []float32, change Length) {
	if m.terms == 0 {
		dst[node&(1<<m.bits-1)] += change
		return
	}
	cut := m.cuts.of(node, m.terms)
	total, rest, last := cut.total(x), change, len(cut)-1
	for i := range cut[:last] {
		share := 1 / float64(len(cut))
		if total > 0 {
			share = math.Abs(cut[i].at(x)) / total
		}
		part := Length(float64(change) * share)
		dst[cut[i].column] += part
		rest -= part
	}
	dst[cut[last].column] += rest
}
