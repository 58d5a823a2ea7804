package iforest

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// Train grows a forest from rows of equal length. It keeps nothing of rows.
// It takes what data there is: constant columns are never cut, rows that are all
// equal score 0.5, fewer rows than Config.Sample are all used for every tree, and
// repeated rows count as often as they occur. A single row, rows of different
// lengths, NaN and infinities are errors.
func Train(rows [][]float32, cfg Config) (*Model, error) {
	if len(rows) < 2 {
		return nil, fmt.Errorf("iforest: %d rows; a forest needs 2 at least, and useful ones have hundreds", len(rows))
	}
	if uint64(len(rows)) > math.MaxInt32 {
		return nil, errors.New("iforest: more than 2^31 rows; train on a part of them, a tree sees a small sample anyway")
	}
	features := len(rows[0])
	cfg = cfg.withDefaults(len(rows), features)
	if err := cfg.validate(features); err != nil {
		return nil, err
	}
	if err := checkRows(rows, cfg.Names); err != nil {
		return nil, err
	}
	return grow(rows, cfg).model()
}

func checkRows(rows [][]float32, names []string) error {
	for i, row := range rows {
		if len(row) != len(names) {
			return fmt.Errorf("iforest: row %d has %d values, row 0 has %d", i, len(row), len(names))
		}
		for j, x := range row {
			if !finite(x) {
				return fmt.Errorf("iforest: row %d, column %d (%s) is %v; leave the row out or give the value a number", i, j, names[j], x)
			}
		}
	}
	return nil
}

// grow grows every tree on as many processors as there are.
func grow(rows [][]float32, cfg Config) *forest {
	f := newForest(len(rows), cfg)
	trees := make([]*grower, cfg.Trees)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), cfg.Trees) {
		workers.Go(func() {
			for t := int(next.Add(1) - 1); t < cfg.Trees; t = int(next.Add(1) - 1) {
				trees[t] = f.grower(rows, t)
				trees[t].grow(1, 0, trees[t].random.sample(len(rows), cfg.Sample))
			}
		})
	}
	workers.Wait()
	for _, g := range trees {
		f.adopt(g)
	}
	return f
}
