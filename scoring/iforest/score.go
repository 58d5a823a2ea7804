package iforest

// Score returns how anomalous x is: 0.5 for a row like all others, towards 1 for
// anomalies, in (0, 1). x has the values of a row in training's order; what stands
// behind the last feature is ignored, so that a click.Vector fits a model of its
// first slots. Score allocates nothing. It panics when x is shorter than Features.
func (m *Model) Score(x []float32) float64 { return m.scoreOf(m.PathLength(x)) }

// scoreOf is 2^(-E/c), E being total/trees.
func (m *Model) scoreOf(total Length) float64 { return exp2(-float64(total) / m.unit) }

// PathLength returns the path lengths of x summed over the trees; the fewer, the
// more anomalous. It treats x as Score does.
func (m *Model) PathLength(x []float32) Length {
	x = x[:m.Features():len(x)]
	switch {
	case m.small:
		return m.pathSmall(x)
	case m.terms > 0:
		return m.pathSlanted(x)
	}
	return m.pathWide(x)
}

func (m *Model) pathWide(x []float32) Length {
	var probes [MaxFeatures]int64
	for i, v := range x {
		probes[i&(MaxFeatures-1)] = probe(v, m.bits)
	}
	return m.walk(probes[:len(x)], 0)
}

// walk is the plain walk through the trees, those before first left out.
func (m *Model) walk(probes []int64, first int) (sum Length) {
	mask := uint32(1)<<m.bits - 1
	for base := first << m.height; base < len(m.nodes); base += 1 << m.height {
		tree := m.nodes[base : base+1<<m.height]
		i := 1
		for range m.height {
			node := tree[i]
			i = 2*i + int(right(node, probes[node&mask]))
		}
		sum += m.paths[m.leaves[base+i-1<<m.height]]
	}
	return sum
}

// right is 1 when node < probe, 0 otherwise, without a branch: which way a row
// goes is what the processor cannot guess.
func right(node uint32, probe int64) uint64 { return uint64(int64(node)-probe) >> 63 }
