package iforest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"clickgate/gateway/click"
)

// pointerNode is how isolation forests in Go are usually kept: a pointer per
// child, float64, a branch per cut. It is a fair peer: 32 bytes a node, no
// interface, no recursion, leaf values computed beforehand.
type pointerNode struct {
	left, right *pointerNode
	value       float64 // the cut; of a leaf, the path length
	column      int32
}

func pointerTree(n *refNode) *pointerNode {
	if n.left == nil {
		return &pointerNode{value: n.path}
	}
	return &pointerNode{pointerTree(n.left), pointerTree(n.right), n.cut, int32(n.column)}
}

func pointerScore(trees []*pointerNode, c float64, x []float64) float64 {
	sum := 0.0
	for _, n := range trees {
		for n.left != nil {
			if x[n.column] < n.value {
				n = n.left
			} else {
				n = n.right
			}
		}
		sum += n.value
	}
	return math.Exp2(-sum / float64(len(trees)) / c)
}

// BenchmarkScore scores rows never seen before, so that no branch is learned by
// heart. It races the pointer tree in turns of one run and reports the median
// ratio of the rounds.
func BenchmarkScore(b *testing.B) {
	for _, features := range []int{12, click.VectorSize} {
		b.Run(fmt.Sprintf("features=%d", features), func(b *testing.B) {
			train, rows := normalRows(2000, features, 1), normalRows(4096, features, 2)
			model := must(Train(train, Config{Seed: 1}))
			peer := refTrain(train, Config{Seed: 1})
			var trees []*pointerNode
			for _, t := range peer.trees {
				trees = append(trees, pointerTree(t))
			}
			wide := float64Rows(rows)
			var ours, theirs []float64
			b.ReportAllocs()
			const turn = 256
			for at := 0; b.Loop(); at = (at + turn) % len(rows) {
				timePer(turn, func(i int) { sink += model.Score(rows[at+i]) }, &ours)
				timePer(turn, func(i int) { sink += pointerScore(trees, peer.c, wide[at+i]) }, &theirs)
			}
			ratios := make([]float64, len(ours))
			for i := range ours {
				ratios[i] = theirs[i] / ours[i]
			}
			b.ReportMetric(0, "ns/op") // of a round; what follows is of a score
			b.ReportMetric(median(ours), "ns/score")
			b.ReportMetric(slices.Min(ours), "best-ns/score")
			b.ReportMetric(median(theirs), "pointer-ns/score")
			b.ReportMetric(median(ratios), "x-faster")
		})
	}
}

var sink float64

// timePer appends the nanoseconds of one call, as n calls in a row take.
func timePer(n int, f func(int), to *[]float64) {
	start := time.Now()
	for i := range n {
		f(i)
	}
	*to = append(*to, float64(time.Since(start).Nanoseconds())/float64(n))
}

func BenchmarkScoreExtended(b *testing.B) {
	rows := normalRows(4096, click.VectorSize, 2)
	for _, extension := range []int{1, FullExtension} {
		b.Run(fmt.Sprintf("extension=%d", extension), func(b *testing.B) {
			model := must(Train(rows, Config{Seed: 1, Extension: extension}))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				sink += model.Score(rows[i%len(rows)])
			}
		})
	}
}

func BenchmarkScoreWide(b *testing.B) {
	rows := normalRows(4096, 274, 2)
	model := must(Train(rows, Config{Seed: 1}))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		sink += model.Score(rows[i%len(rows)])
	}
}

func BenchmarkContributions(b *testing.B) {
	rows := normalRows(4096, click.VectorSize, 2)
	model := must(Train(rows, Config{Seed: 1}))
	dst := make([]Length, click.VectorSize)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		model.Contributions(dst, rows[i%len(rows)])
	}
}

func BenchmarkTrain(b *testing.B) {
	rows := normalRows(100_000, click.VectorSize, 2)
	b.ReportAllocs()
	for b.Loop() {
		must(Train(rows, Config{Seed: 1}))
	}
}

func BenchmarkOpenVerify(b *testing.B) {
	file := must(Train(normalRows(1000, click.VectorSize, 2), Config{Seed: 1})).Bytes()
	b.Run("open", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		for b.Loop() {
			must(Open(file))
		}
	})
	b.Run("verify", func(b *testing.B) {
		model := must(Open(file))
		for b.Loop() {
			if err := model.Verify(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func normalRows(n, features int, seed uint64) [][]float32 {
	r := rand.New(rand.NewPCG(seed, seed))
	rows := make([][]float32, n)
	for i := range rows {
		rows[i] = make([]float32, features)
		for j := range rows[i] {
			rows[i][j] = float32(r.NormFloat64())
		}
	}
	return rows
}

func float64Rows(rows [][]float32) [][]float64 {
	out := make([][]float64, len(rows))
	for i, row := range rows {
		for _, x := range row {
			out[i] = append(out[i], float64(x))
		}
	}
	return out
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
