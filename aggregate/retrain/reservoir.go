package retrain

import (
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"slices"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"

	"github.com/cespare/xxhash/v2"
)

// Row is a click as it is learned from.
type Row struct {
	hash      uint64
	id        click.ID // of equal hashes the smaller id stays
	Features  [scoring.Features]float32
	Publisher string
	Network   string // a hash of its prefix: which it is does not matter
	Agent     string
}

func (a *Row) compare(b *Row) int {
	return cmp.Or(cmp.Compare(a.hash, b.hash), bytes.Compare(a.id[:], b.id[:]))
}

// held reports a row that is not trained on.
func (a *Row) held() bool { return a.hash>>32%heldOut == 0 }

// lots draws a lot for each click.
type lots struct {
	seed uint64
	key  []byte
}

// draw returns a row with nothing but its lot: the hash of the click's key under the seed.
func (l *lots) draw(c *aggregate.EventKey) Row {
	l.key = binary.LittleEndian.AppendUint64(l.key[:0], l.seed)
	l.key = append(append(append(l.key, c.TenantID...), 0), c.EventID[:]...)
	l.key = binary.LittleEndian.AppendUint64(l.key, uint64(c.IDTime))
	return Row{hash: xxhash.Sum64(l.key), id: c.EventID}
}

// reservoir keeps the rows of the smallest hashes: a heap with the greatest on top.
type reservoir struct {
	size int
	seen int64
	heap []Row
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (r *reservoir) Len() int           { return len(r.heap) }
func (r *reservoir) Less(i, j int) bool { return r.heap[i].compare(&r.heap[j]) > 0 }
func (r *reservoir) Swap(i, j int)      { r.heap[i], r.heap[j] = r.heap[j], r.heap[i] }
func (r *reservoir) Push(x any)         { r.heap = append(r.heap, x.(Row)) }
func (r *reservoir) Pop() any {
	last := r.heap[len(r.heap)-1]
	r.heap = r.heap[:len(r.heap)-1]
	return last
}

// wants counts a row and reports whether it belongs into the sample.
func (r *reservoir) wants(row *Row) bool {
	r.seen++
	return len(r.heap) < r.size || row.compare(&r.heap[0]) < 0
}

func (r *reservoir) put(row Row) {
	if len(r.heap) < r.size {
		heap.Push(r, row)
		return
	}
	r.heap[0] = row
	heap.Fix(r, 0)
}

// sorted are the rows in order of hashes.
func (r *reservoir) sorted() []*Row {
	rows := make([]*Row, len(r.heap))
	for i := range r.heap {
		rows[i] = &r.heap[i]
	}
	slices.SortFunc(rows, func(a, b *Row) int { return a.compare(b) })
	return rows
}

// Draw is a random sample of clicks of fixed size, whatever their source: those whose keys
// have the smallest hashes under the seed. So every click has the same chance, the store's
// order does not matter, and both stores give the same sample.
type Draw struct {
	lots
	reservoir
}

// NewDraw returns an empty sample of up to size clicks, at least one.
func NewDraw(seed uint64, size int) *Draw {
	return &Draw{lots{seed: seed}, reservoir{size: size}}
}

// Add offers a click.
func (d *Draw) Add(c *aggregate.EventKey, v *click.Vector) {
	row := d.draw(c)
	if d.wants(&row) {
		row.Features = [scoring.Features]float32(v[:scoring.Features])
		d.put(row)
	}
}

// Seen is the number of clicks that were offered.
func (d *Draw) Seen() int { return int(d.seen) }

// Rows are the drawn ones, in order of hashes.
func (d *Draw) Rows() []*Row { return d.sorted() }
