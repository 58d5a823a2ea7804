package command

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"fmt"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/iforest/eval"

	"github.com/cespare/xxhash/v2"
)

// leftOut are clicks that a model never has to judge: tests, and what the lists and
// parameter checks stop at the edge already. Trained on them, the forest would find
// crawlers ordinary and spend its cuts on what is decided without it.
var leftOut = []click.State{click.Test, click.GIVT}

// drawn is a random sample of stored clicks of fixed size: those whose keys have
// the smallest hashes under the seed. So every click has the same chance, the
// store's order does not matter, and both stores give the same sample. It is a heap
// with the greatest hash on top.
type drawn struct {
	seed uint64
	size int
	seen int
	rows []drawnRow
	key  []byte
}

type drawnRow struct {
	hash     uint64
	id       click.ID // of equal hashes the smaller id stays
	features [scoring.Features]float32
}

func (a *drawnRow) compare(b *drawnRow) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), bytes.Compare(a.id[:], b.id[:]))
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (d *drawn) Len() int           { return len(d.rows) }
func (d *drawn) Less(i, j int) bool { return d.rows[i].compare(&d.rows[j]) > 0 }
func (d *drawn) Swap(i, j int)      { d.rows[i], d.rows[j] = d.rows[j], d.rows[i] }
func (d *drawn) Push(x any)         { d.rows = append(d.rows, x.(drawnRow)) }
func (d *drawn) Pop() any {
	last := d.rows[len(d.rows)-1]
	d.rows = d.rows[:len(d.rows)-1]
	return last
}

func (d *drawn) add(r *aggregate.VectorRow) {
	d.seen++
	d.key = binary.LittleEndian.AppendUint64(d.key[:0], d.seed)
	d.key = append(append(append(d.key, r.TenantID...), 0), r.EventID[:]...)
	d.key = binary.LittleEndian.AppendUint64(d.key, uint64(r.IDTime))
	row := drawnRow{hash: xxhash.Sum64(d.key), id: r.EventID, features: [scoring.Features]float32(r.Vector[:scoring.Features])}
	switch {
	case len(d.rows) < d.size:
		heap.Push(d, row)
	case row.compare(&d.rows[0]) < 0:
		d.rows[0] = row
		heap.Fix(d, 0)
	}
}

// table is the sample in order of the hashes.
func (d *drawn) table() *eval.Table {
	slices.SortFunc(d.rows, func(a, b drawnRow) int { return a.compare(&b) })
	t := &eval.Table{}
	for _, slot := range scoring.Slots[:scoring.Features] {
		t.Names = append(t.Names, slot.Name)
	}
	for i := range d.rows {
		t.Rows = append(t.Rows, d.rows[i].features[:])
	}
	return t
}

// draw reads the vectors of stored clicks.
func (c *trainCmd) draw(s *session) (table *eval.Table, seen int, err error) {
	from, to, err := c.bounds(s.Now())
	if err != nil {
		return nil, 0, err
	}
	if c.Rows < c.Sample {
		return nil, 0, usage(fmt.Errorf("train --rows %d: is less than a tree sees; draw at least --sample (%d)", c.Rows, c.Sample))
	}
	d := &drawn{seed: c.Seed, size: c.Rows}
	q := aggregate.VectorQuery{TenantID: c.Tenant, From: from, To: to, Version: scoring.VectorVersion, Without: leftOut}
	err = s.withReports(func(r reader) error {
		return r.Vectors(s.ctx, q, func(row *aggregate.VectorRow) error { d.add(row); return nil })
	})
	switch {
	case err != nil:
		return nil, 0, err
	case d.seen < c.Sample:
		return nil, 0, negative(fmt.Errorf("train --from-store: only %d stored clicks fit, and a tree wants %d: widen --from and --to, leave out --tenant, "+
			"wait for more traffic, or lower --sample; clicks that are test or givt, and those of another vector version, are left out", d.seen, c.Sample))
	}
	return d.table(), d.seen, nil
}
