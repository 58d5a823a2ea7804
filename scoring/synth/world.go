package synth

import "math/rand/v2"

// world is what all streams of one traffic share; it does not change.
type world struct {
	Params
	seed uint64
}

// Streams, the high bits of persons and opportunities too.
const (
	streamPeople uint64 = iota + 1
	streamCrawlers
	streamVisits
	streamHouseholds
	firstFamily
)

// numberBits is how many persons and opportunities a stream can number.
const numberBits = 48

// rand returns the random numbers of one member of a stream. Nothing else draws
// from them.
func (w *world) rand(stream, member uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, stream<<numberBits|member))
}

// serial numbers the opportunities of a stream.
type serial uint64

func newSerial(stream uint64) serial { return serial(stream << numberBits) }

func (s *serial) next() uint64 {
	*s++
	return uint64(*s)
}

// pick draws one of the shares by weight.
func pick(r *rand.Rand, shares []Share) string {
	return shares[pickIndex(r, len(shares), func(i int) float64 { return shares[i].Weight })].ID
}

func (w *world) pickPublisher(r *rand.Rand) *Publisher {
	return &w.Publishers[pickIndex(r, len(w.Publishers), func(i int) float64 { return w.Publishers[i].Weight })]
}

func pickIndex(r *rand.Rand, n int, weight func(int) float64) int {
	total := 0.0
	for i := range n {
		total += weight(i)
	}
	x := r.Float64() * total
	for i := range n - 1 {
		if x -= weight(i); x < 0 {
			return i
		}
	}
	return n - 1
}
