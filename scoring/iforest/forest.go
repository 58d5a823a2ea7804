package iforest

import (
	"fmt"
	"math"
)

// Info is what a model says of itself.
type Info struct {
	Rows          int // trained from
	Trees         int
	Sample        int // rows per tree
	Seed          uint64
	Extension     int // 0: standard forest
	Names         []string
	VectorVersion uint32
	CreatedBy     string
}

// terms is the number of columns of a slanted cut; 0 for the standard forest.
func (i *Info) terms() int {
	if i.Extension == 0 {
		return 0
	}
	return i.Extension + 1
}

// forest is what a model file holds.
type forest struct {
	Info
	height int
	nodes  []uint32 // trees << height; see "Layout"; in the extended forest, numbers of cuts
	sizes  []uint16 // trees << height; rows of the sample in each leaf, 0 in slots that no path leads to
	cuts   cuts
}

func newForest(rows int, cfg Config) *forest {
	return &forest{
		Info: Info{
			Rows: rows, Trees: cfg.Trees, Sample: cfg.Sample, Seed: cfg.Seed, Extension: cfg.Extension,
			Names: cfg.Names, VectorVersion: cfg.VectorVersion, CreatedBy: cfg.CreatedBy,
		},
		height: height(cfg.Sample),
	}
}

func (f *forest) grower(rows [][]float32, tree int) *grower {
	features := len(f.Names)
	g := &grower{
		random: newRandom(f.Seed, tree), rows: rows, height: f.height,
		bits: columnBits(features), terms: f.terms(),
		nodes: make([]uint32, 1<<f.height), sizes: make([]uint16, 1<<f.height),
		columns: make([]int, features), low: make([]float32, features), high: make([]float32, features),
	}
	for i := range g.columns {
		g.columns[i] = i
	}
	return g
}

// adopt appends a grown tree; its cuts are numbered on from those before.
func (f *forest) adopt(g *grower) {
	if f.Extension > 0 {
		before := uint32(len(f.cuts) / f.terms())
		for i, n := range g.nodes {
			if n > 0 {
				g.nodes[i] += before
			}
		}
	}
	f.nodes, f.sizes = append(f.nodes, g.nodes...), append(f.sizes, g.sizes...)
	f.cuts = append(f.cuts, g.cuts...)
}

// model derives what scoring needs, and checks everything that scoring relies on.
func (f *forest) model() (*Model, error) {
	features := len(f.Names)
	average := averageLengths(f.Sample)
	m := &Model{
		info: f.Info, height: f.height, bits: columnBits(features), terms: f.terms(),
		nodes: f.nodes, leaves: make([]uint16, len(f.nodes)), means: make([]Length, len(f.nodes)),
		cuts: f.cuts, unit: float64(f.Trees) * float64(average[f.Sample]),
	}
	m.small = m.terms == 0 && m.height == smallHeight && features <= smallWidth
	p := planter{forest: f, m: m, average: average, classes: make([]uint16, (f.height+1)*(f.Sample+1))}
	p.class(0, 0) // unused slots
	for t := range f.Trees {
		mean, err := p.plant(t)
		if err != nil {
			return nil, err
		}
		m.expected += mean
	}
	m.seal()
	return m, nil
}

// planter fills the leaves and means of a model tree by tree.
type planter struct {
	*forest
	m       *Model
	average []Length
	classes []uint16 // by depth and size: index into m.paths, plus 1
	base    int      // of the tree, in nodes
	cut     int      // nodes of the tree that are cut
}

func (p *planter) plant(tree int) (mean Length, err error) {
	p.base, p.cut = tree<<p.height, 0
	size, mean, err := p.node(1, 0)
	if err != nil {
		return 0, err
	}
	all, splits := 0, 0
	for i := range 1 << p.height {
		all += int(p.sizes[p.base+i])
		if p.nodes[p.base+i] != 0 {
			splits++
		}
	}
	switch {
	case size != p.Sample:
		return 0, p.problem(p.base+1, "tree %d has %d rows in its leaves, the sample has %d", tree, size, p.Sample)
	case all != size || splits != p.cut:
		return 0, p.problem(p.base+1, "tree %d has nodes or leaves that no path leads to", tree)
	}
	return mean, nil
}

// node returns how many rows are below a node and how deep they are on average.
func (p *planter) node(node, depth int) (size int, mean Length, err error) {
	if depth == p.height || p.nodes[p.base+node] == 0 {
		return p.leaf(node, depth)
	}
	p.cut++
	if err := p.checkCut(node); err != nil {
		return 0, 0, err
	}
	nl, left, err := p.node(2*node, depth+1)
	if err != nil {
		return 0, 0, err
	}
	nr, right, err := p.node(2*node+1, depth+1)
	if err != nil {
		return 0, 0, err
	}
	size = nl + nr
	if size == 0 {
		return 0, 0, p.problem(p.base+node, "a cut with no rows on either side")
	}
	mean = (Length(nl)*left + Length(nr)*right) / Length(size)
	p.m.means[p.base+node] = mean
	return size, mean, nil
}

func (p *planter) leaf(node, depth int) (size int, path Length, err error) {
	slot := p.base + rightmost(node, p.height-depth) - 1<<p.height
	size = int(p.sizes[slot])
	if size > p.Sample {
		return 0, 0, p.problem(p.base+node, "a leaf of %d rows, the sample has %d", size, p.Sample)
	}
	class := p.class(depth, size)
	p.m.leaves[slot] = class
	path = p.m.paths[class]
	if depth < p.height {
		p.m.means[p.base+node] = path
	}
	return size, path, nil
}

// class returns the index of the path length of leaves of this depth and size.
func (p *planter) class(depth, size int) uint16 {
	known := &p.classes[depth*(p.Sample+1)+size]
	if *known == 0 {
		p.m.paths = append(p.m.paths, Length(depth)<<fraction+p.average[size])
		p.m.sizes = append(p.m.sizes, uint16(size))
		*known = uint16(len(p.m.paths))
	}
	return *known - 1
}

func (p *planter) checkCut(node int) error {
	n := p.nodes[p.base+node]
	if p.Extension == 0 {
		if column := n & (1<<p.m.bits - 1); int(column) >= len(p.Names) {
			return p.problem(p.base+node, "a cut in column %d of %d", column, len(p.Names))
		}
		return nil
	}
	if int(n) > p.splits() {
		return p.problem(p.base+node, "slanted cut %d of %d", n, p.splits())
	}
	for i, t := range p.cuts.of(n, p.terms()) {
		if int(t.column) >= len(p.Names) || !finite(t.origin) || !finite(t.weight) || t.weight == 0 {
			return p.problem(p.base+node, "slanted cut %d, term %d: column %d of %d, origin %v, weight %v", n, i, t.column, len(p.Names), t.origin, t.weight)
		}
	}
	return nil
}

func finite(x float32) bool { return math.Abs(float64(x)) <= math.MaxFloat32 }

// problem is an error about a node of all trees' nodes.
func (f *forest) problem(node int, format string, args ...any) error {
	return &FormatError{Offset: f.nodeOffset(node), Problem: fmt.Sprintf(format, args...)}
}
