package entity

import (
	"math"
	"math/bits"
)

const registers = 64

// Distinct counts how many different keys it saw, to about 13 %: HyperLogLog (Flajolet
// and others, 2007) of 64 registers, with linear counting below 160. The zero value is
// empty.
type Distinct [registers]uint8

// Add notes a key by its hash, which must scatter all 64 bits.
func (d *Distinct) Add(hash uint64) {
	r := &d[hash>>58]
	*r = max(*r, uint8(bits.LeadingZeros64(hash<<6|1<<5))+1)
}

// Count is the estimate, a whole number.
func (d *Distinct) Count() float64 {
	const alpha = 0.709 // Flajolet's for 64 registers
	sum, empty := 0.0, 0
	for _, r := range d {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			empty++
		}
	}
	estimate := float64(alpha*registers*registers) / sum
	if estimate <= 2.5*registers && empty > 0 {
		estimate = float64(registers * math.Log(registers/float64(empty)))
	}
	return math.Round(estimate)
}

// Cells is how many cells a Marks has.
const Cells = 256

// Marks is a set of cells into which keys fall by hash: an occupancy sketch (Whang,
// Vander-Zanden, Taylor 1990). The zero value is empty.
type Marks [Cells / 64]uint64

// Cell is the cell of a key by its hash.
func Cell(hash uint64) uint8 { return uint8(hash >> 56) }

// Add marks a cell.
func (m *Marks) Add(cell uint8) { m[cell>>6] |= 1 << (cell & 63) }

// Occupied is how many cells are marked.
func (m *Marks) Occupied() int {
	n := 0
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}

// Distinct is how many keys make so many marks, by linear counting; it saturates near
// 1,400.
func (m *Marks) Distinct() float64 {
	free := Cells - m.Occupied()
	return math.Round(Cells * math.Log(Cells/max(0.99, float64(free))))
}

// Population is how often keys fall into each cell, among those that are to be compared
// with. The zero value is empty.
type Population struct {
	counts [Cells]uint32
	total  uint64
}

// Add counts a key in its cell.
func (p *Population) Add(cell uint8) {
	p.counts[cell]++
	p.total++
}

// Size is how many keys were counted.
func (p *Population) Size() uint64 { return p.total }

// Expect is how many cells n keys occupy that are drawn from the population, and a bound
// of the standard deviation: the cells as if they were independent, though one key
// occupies one cell only, which makes the true one smaller.
func (p *Population) Expect(n float64) (mean, deviation float64) {
	if p.total == 0 {
		return 0, 0
	}
	variance := 0.0
	for _, c := range p.counts {
		if c == 0 {
			continue
		}
		missed := math.Pow(1-float64(c)/float64(p.total), n)
		mean += 1 - missed
		variance += float64(missed * (1 - missed))
	}
	return mean, math.Sqrt(variance)
}

// Recent counts different keys of a clock hour and the one before it, up to about 250.
// The zero value is empty.
type Recent struct {
	hour        uint32
	now, before uint64
}

// Add notes a key by its hash in an hour, a number that rises by one an hour. What is
// older than the hour before counts with it.
func (r *Recent) Add(hour uint32, hash uint64) {
	if hour > r.hour {
		if hour == r.hour+1 {
			r.before = r.now
		} else {
			r.before = 0
		}
		r.now, r.hour = 0, hour
	}
	if hour == r.hour {
		r.now |= 1 << (hash >> 58)
	} else {
		r.before |= 1 << (hash >> 58)
	}
}

// Count is the estimate by linear counting, a whole number.
func (r *Recent) Count() float64 {
	free := 64 - bits.OnesCount64(r.now|r.before)
	return math.Round(64 * math.Log(64/max(0.99, float64(free))))
}
