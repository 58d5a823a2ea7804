package iforest

import "slices"

// grower grows one tree.
type grower struct {
	random
	rows    [][]float32
	height  int
	bits    int // of a node that name its column
	terms   int // of a slanted cut; 0: standard forest
	nodes   []uint32
	sizes   []uint16
	cuts    cuts
	columns []int // in the order drawn, an arrangement that goes on from node to node
	low     []float32
	high    []float32
}

// grow grows node and what is below it from part, which it reorders.
func (g *grower) grow(node, depth int, part []int32) {
	if depth < g.height && len(part) > 1 {
		if cut, split := g.cut(part); cut != 0 {
			g.nodes[node] = cut
			g.grow(2*node, depth+1, part[:split])
			g.grow(2*node+1, depth+1, part[split:])
			return
		}
	}
	g.sizes[rightmost(node, g.height-depth)-len(g.nodes)] = uint16(len(part))
}

// rightmost is the heap index of the leaf that a node without a cut leads to.
func rightmost(node, levels int) int { return (node+1)<<levels - 1 }

// cut chooses a cut and partitions part by it; node 0 when all rows are equal.
func (g *grower) cut(part []int32) (node uint32, split int) {
	if g.terms > 0 {
		return g.slantedCut(part)
	}
	for k := range g.columns {
		column := g.draw(k)
		g.span(column, part)
		low, high := sortable(g.low[column])>>g.bits, sortable(g.high[column])>>g.bits
		if low == high {
			continue
		}
		at := float32(g.between(float64(g.low[column]), float64(g.high[column])))
		// Both sides get a row: the cut is above the lowest and at most the highest.
		cut := min(max(sortable(at)>>g.bits, low+1), high)
		node = pack(column, cut, g.bits)
		return node, partition(part, func(row int32) bool {
			return int64(node) >= probe(g.rows[row][column], g.bits)
		})
	}
	return 0, 0
}

// draw returns the k-th column of a random order, of which only as much is made
// up as is asked for: a uniform choice among the columns not drawn before.
func (g *grower) draw(k int) int {
	j := k + g.below(len(g.columns)-k)
	g.columns[k], g.columns[j] = g.columns[j], g.columns[k]
	return g.columns[k]
}

func (g *grower) span(column int, part []int32) {
	low := g.rows[part[0]][column]
	high := low
	for _, row := range part[1:] {
		x := g.rows[row][column]
		low, high = min(low, x), max(high, x)
	}
	g.low[column], g.high[column] = low, high
}

// slantedCut chooses a hyperplane with a normal direction through a uniform point
// of the part's bounding box (Hariri et al., algorithm 2). One side may be empty,
// as it may there. Differing from it, columns that vary are chosen before constant
// ones, so that a cut over few columns is no wasted level.
func (g *grower) slantedCut(part []int32) (node uint32, split int) {
	chosen := g.chooseTerms(part)
	if chosen == nil {
		return 0, 0
	}
	for _, column := range chosen {
		weight := float32(0)
		for weight == 0 {
			weight = float32(g.normal())
		}
		origin := float32(g.between(float64(g.low[column]), float64(g.high[column])))
		g.cuts = append(g.cuts, term{uint32(column), origin, weight})
	}
	node = uint32(len(g.cuts) / g.terms)
	cut := g.cuts.of(node, g.terms)
	return node, partition(part, func(row int32) bool { return cut.right(g.rows[row]) == 0 })
}

// chooseTerms returns columns in rising order; nil when none varies.
func (g *grower) chooseTerms(part []int32) []int {
	chosen, constant := make([]int, 0, g.terms), []int{}
	for k := 0; k < len(g.columns) && len(chosen) < g.terms; k++ {
		column := g.draw(k)
		g.span(column, part)
		if g.low[column] < g.high[column] {
			chosen = append(chosen, column)
		} else {
			constant = append(constant, column)
		}
	}
	if len(chosen) == 0 {
		return nil
	}
	chosen = append(chosen, constant[:g.terms-len(chosen)]...)
	slices.Sort(chosen)
	return chosen
}

// partition moves the rows that go left to the front and returns their number.
func partition(part []int32, left func(row int32) bool) int {
	n := 0
	for i, row := range part {
		if left(row) {
			part[i], part[n] = part[n], row
			n++
		}
	}
	return n
}
