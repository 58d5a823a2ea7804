package iforest

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
)

// random is the stream of one tree. Every tree has its own, so that it does not
// matter who grows which. Only normal leans on rand.Rand: the rest is spelled out,
// because only the generators' raw output is promised to stay the same.
type random struct{ source *rand.ChaCha8 }

func newRandom(seed uint64, tree int) random {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(tree))
	copy(key[16:], "isolation forest")
	return random{rand.NewChaCha8(key)}
}

// below returns an integer in [0, n); its bias is n/2^64.
func (r random) below(n int) int {
	high, _ := bits.Mul64(r.source.Uint64(), uint64(n))
	return int(high)
}

// between returns a number in [low, high].
func (r random) between(low, high float64) float64 {
	u := float64(r.source.Uint64()>>11) * (1.0 / (1 << 53))
	return low + float64(u*(high-low))
}

func (r random) normal() float64 { return rand.New(r.source).NormFloat64() }

// sample returns k of the numbers below n, without repeats (Floyd's algorithm).
func (r random) sample(n, k int) []int32 {
	out := make([]int32, 0, k)
	seen := make(map[int32]bool, k)
	for j := n - k; j < n; j++ {
		pick := int32(r.below(j + 1))
		if seen[pick] {
			pick = int32(j)
		}
		seen[pick] = true
		out = append(out, pick)
	}
	return out
}
