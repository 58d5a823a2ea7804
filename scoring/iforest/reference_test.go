package iforest

import "math"

// refNode is the textbook's tree: pointers, float64, one row at a time.
type refNode struct {
	left, right *refNode
	column      int
	cut         float64   // standard: left when below
	terms       []refTerm // extended: left when their sum is below 0
	path        float64   // of a leaf: depth + c(size)
}

type refTerm struct {
	column         int
	origin, weight float64
}

// refForest is an isolation forest written for its reader: the tests hold the
// engine against it, and the benchmark races it.
type refForest struct {
	trees []*refNode
	c     float64
}

// refTrainer draws from the random stream what the engine's draws, in that order.
type refTrainer struct {
	random
	cfg     Config
	columns []int
}

func refTrain(rows [][]float32, cfg Config) *refForest {
	cfg = cfg.withDefaults(len(rows), len(rows[0]))
	f := &refForest{c: refAverage(cfg.Sample)}
	for t := range cfg.Trees {
		r := &refTrainer{random: newRandom(cfg.Seed, t), cfg: cfg}
		for i := range rows[0] {
			r.columns = append(r.columns, i)
		}
		var part [][]float32
		for _, i := range r.sample(len(rows), cfg.Sample) {
			part = append(part, rows[i])
		}
		f.trees = append(f.trees, r.grow(part, 0))
	}
	return f
}

func refAverage(n int) float64 {
	if n < 2 {
		return 0
	}
	h := 0.0
	for i := 1; i < n; i++ {
		h += 1 / float64(i)
	}
	return 2*h - 2*float64(n-1)/float64(n)
}

func (r *refTrainer) grow(part [][]float32, depth int) *refNode {
	n := &refNode{path: float64(depth) + refAverage(len(part))}
	if float64(depth) >= math.Ceil(math.Log2(float64(r.cfg.Sample))) || len(part) < 2 || !r.choose(n, part) {
		return n
	}
	var left, right [][]float32
	for _, row := range part {
		if n.goesLeft(row) {
			left = append(left, row)
		} else {
			right = append(right, row)
		}
	}
	n.left, n.right = r.grow(left, depth+1), r.grow(right, depth+1)
	return n
}

func (r *refTrainer) choose(n *refNode, part [][]float32) bool {
	want := r.cfg.Extension + 1
	var vary, constant []int
	for k := 0; k < len(r.columns) && len(vary) < want; k++ {
		j := k + r.below(len(r.columns)-k)
		r.columns[k], r.columns[j] = r.columns[j], r.columns[k]
		column := r.columns[k]
		low, high := refSpan(part, column)
		switch {
		case r.cfg.Extension > 0 && low == high:
			constant = append(constant, column)
		case r.cfg.Extension > 0:
			vary = append(vary, column)
		case r.onGrid(low) == r.onGrid(high):
		default:
			n.column, n.cut = column, r.onGrid(float32(r.between(float64(low), float64(high))))
			if n.cut <= r.onGrid(low) {
				n.cut = r.nextOnGrid(low)
			}
			return true
		}
	}
	if len(vary) == 0 {
		return false
	}
	use := map[int]bool{}
	for _, c := range append(vary, constant...)[:want] {
		use[c] = true
	}
	for c := range r.columns {
		if use[c] {
			low, high := refSpan(part, c)
			weight := float64(float32(r.normal()))
			n.terms = append(n.terms, refTerm{c, float64(float32(r.between(float64(low), float64(high)))), weight})
		}
	}
	return true
}

func refSpan(part [][]float32, column int) (low, high float32) {
	low, high = part[0][column], part[0][column]
	for _, row := range part {
		low, high = min(low, row[column]), max(high, row[column])
	}
	return low, high
}

// onGrid rounds down to the floats that a packed node can hold.
func (r *refTrainer) onGrid(x float32) float64 {
	b := columnBits(len(r.columns))
	return unsortable(sortable(x) >> b << b)
}

func (r *refTrainer) nextOnGrid(x float32) float64 {
	b := columnBits(len(r.columns))
	return unsortable((sortable(x)>>b + 1) << b)
}

// unsortable is the inverse of sortable.
func unsortable(u uint32) float64 {
	if u>>31 == 1 {
		return float64(math.Float32frombits(u &^ (1 << 31)))
	}
	return float64(math.Float32frombits(^u))
}

func (n *refNode) goesLeft(x []float32) bool {
	if n.terms == nil {
		return float64(x[n.column]) < n.cut
	}
	sum := 0.0
	for _, t := range n.terms {
		sum += t.weight * (float64(x[t.column]) - t.origin)
	}
	return sum < 0
}

func (f *refForest) score(x []float32) float64 {
	sum := 0.0
	for _, n := range f.trees {
		for n.left != nil {
			if n.goesLeft(x) {
				n = n.left
			} else {
				n = n.right
			}
		}
		sum += n.path
	}
	return math.Pow(2, -sum/float64(len(f.trees))/f.c)
}
