package iforest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shapes are forests of every kind that the engine tells apart.
var shapes = []struct {
	rows, features int
	cfg            Config
	coarse         bool // few distinct values: many ties, equal rows, constant nodes
}{
	{rows: 2000, features: 12},
	{rows: 2000, features: 16, cfg: Config{Seed: 9}},
	{rows: 300, features: 1},
	{rows: 300, features: 15, coarse: true},
	{rows: 256, features: 3, coarse: true},
	{rows: 40, features: 5},
	{rows: 2, features: 2},
	{rows: 500, features: 17},
	{rows: 300, features: 120, cfg: Config{Trees: 23}},
	{rows: 900, features: 8, cfg: Config{Trees: 7, Sample: 64}},
	{rows: 5000, features: 4, cfg: Config{Trees: 4, Sample: 4096}},
	{rows: 500, features: 6, cfg: Config{Trees: 3, Sample: 2}},
	{rows: 500, features: 12, cfg: Config{Extension: 1}},
	{rows: 500, features: 12, cfg: Config{Extension: FullExtension}},
	{rows: 500, features: 40, cfg: Config{Extension: 7, Trees: 20}},
	{rows: 300, features: 6, cfg: Config{Extension: 2}, coarse: true},
	{rows: 30, features: 2, cfg: Config{Extension: FullExtension}, coarse: true},
}

func eachShape(t *testing.T, f func(t *testing.T, rows [][]float32, cfg Config)) {
	for _, s := range shapes {
		name := fmt.Sprintf("%dx%d,trees=%d,sample=%d,extension=%d,coarse=%v", s.rows, s.features, s.cfg.Trees, s.cfg.Sample, s.cfg.Extension, s.coarse)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := normalRows(s.rows, s.features, 5)
			if s.coarse {
				for _, row := range rows {
					for j := range row {
						row[j] = float32(math.Round(float64(row[j]) * float64(j%3)))
					}
				}
			}
			f(t, rows, s.cfg)
		})
	}
}

func TestAgainstReference(t *testing.T) {
	t.Parallel()
	eachShape(t, func(t *testing.T, rows [][]float32, cfg Config) {
		model, ref := must(Train(rows, cfg)), refTrain(rows, cfg)
		probes := append(normalRows(200, len(rows[0]), 6), rows[:min(200, len(rows))]...)
		distinct := map[float64]bool{}
		for _, x := range probes {
			got, want := model.Score(x), ref.score(x)
			if math.Abs(got-want) > 1e-12 {
				t.Fatalf("score of %v: %v, the reference says %v", x, got, want)
			}
			distinct[got] = true
		}
		if len(distinct) < 2 && model.Info().Sample > 2 { // two rows are equally odd
			t.Error("every row has the same score; nothing was compared")
		}
	})
}

func TestVerifyAndRoundTrip(t *testing.T) {
	t.Parallel()
	eachShape(t, func(t *testing.T, rows [][]float32, cfg Config) {
		cfg.CreatedBy, cfg.VectorVersion = "test", 7
		model := must(Train(rows, cfg))
		if err := model.Verify(); err != nil {
			t.Fatal(err)
		}
		again, err := Open(model.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := again.Verify(); err != nil {
			t.Error(err)
		}
		if string(again.Bytes()) != string(model.Bytes()) || again.Hash() != model.Hash() || fmt.Sprint(again.Info()) != fmt.Sprint(model.Info()) {
			t.Error("the file does not give the model back")
		}
		for _, x := range rows[:min(100, len(rows))] {
			if again.PathLength(x) != model.PathLength(x) {
				t.Fatalf("%v: another path length after Open", x)
			}
		}
	})
}

func TestContributionsSumExactly(t *testing.T) {
	t.Parallel()
	eachShape(t, func(t *testing.T, rows [][]float32, cfg Config) {
		model := must(Train(rows, cfg))
		dst := make([]Length, model.Features())
		nonzero := 0
		for _, x := range append(odd(len(rows[0])), append(normalRows(100, len(rows[0]), 8), rows[:min(100, len(rows))]...)...) {
			expected := model.Contributions(dst, x)
			sum := Length(0)
			for _, d := range dst {
				sum += d
				if d != 0 {
					nonzero++
				}
			}
			if sum != expected-model.PathLength(x) {
				t.Fatalf("%v: contributions sum to %d, expected %d - length %d", x, sum, expected, model.PathLength(x))
			}
		}
		if nonzero < 100 && model.Info().Sample > 2 {
			t.Errorf("only %d contributions were not zero", nonzero)
		}
	})
}

// odd are rows that training refuses and scoring takes.
func odd(features int) (rows [][]float32) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, x := range []float32{nan, -nan, inf, -inf, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, 0} {
		row := make([]float32, features)
		for j := range row {
			row[j] = x
		}
		mixed := make([]float32, features)
		mixed[features/2] = x
		rows = append(rows, row, mixed)
	}
	return rows
}

// TestSmallWalkIsThePlainWalk covers what remains behind the last five trees too.
func TestSmallWalkIsThePlainWalk(t *testing.T) {
	t.Parallel()
	for trees := 1; trees <= 12; trees++ {
		for _, features := range []int{1, 12, 16} {
			rows := normalRows(400, features, uint64(trees))
			model := must(Train(rows, Config{Trees: trees, Seed: uint64(trees)}))
			if !model.small {
				t.Fatal("the small walk does not take the default forest")
			}
			for _, x := range append(odd(features), rows...) {
				if small, plain := model.PathLength(x), model.pathWide(x); small != plain {
					t.Fatalf("%d trees, %v: %d by the small walk, %d by the plain one", trees, x, small, plain)
				}
			}
		}
	}
}

func TestBatchIsSingle(t *testing.T) {
	t.Parallel()
	rows := normalRows(500, 12, 3)
	for _, cfg := range []Config{{}, {Extension: 3}} {
		model := must(Train(rows, cfg))
		dst := make([]float64, len(rows)+1)
		dst[len(rows)] = -1
		model.ScoreBatch(dst, rows)
		for i, x := range rows {
			if dst[i] != model.Score(x) {
				t.Fatalf("row %d: %v in the batch, %v alone", i, dst[i], model.Score(x))
			}
		}
		if dst[len(rows)] != -1 {
			t.Error("the batch wrote behind its rows")
		}
	}
}

// TestTrainingDependsOnSeedAlone runs alone: it changes the number of processors.
func TestTrainingDependsOnSeedAlone(t *testing.T) {
	rows := normalRows(1000, 12, 3)
	for _, extension := range []int{0, 2} {
		cfg := Config{Seed: 42, Extension: extension}
		files := map[string]bool{}
		for _, n := range []int{1, 2, 7} {
			before := runtime.GOMAXPROCS(n)
			files[string(must(Train(rows, cfg)).Bytes())] = true
			runtime.GOMAXPROCS(before)
		}
		if len(files) != 1 {
			t.Errorf("extension %d: %d different models of one seed", extension, len(files))
		}
		cfg.Seed++
		files[string(must(Train(rows, cfg)).Bytes())] = true
		if len(files) != 2 {
			t.Errorf("extension %d: two seeds give one model", extension)
		}
	}
}

// TestGolden holds model and scores to the bit, over versions of Go and platforms.
func TestGolden(t *testing.T) {
	t.Parallel()
	var rows [][]float32
	for i := range 1000 {
		row := make([]float32, 12)
		for j := range row {
			row[j] = float32((i*(j+3)*7919)%(101+j)) / 8
		}
		rows = append(rows, row)
	}
	model := must(Train(rows, Config{Seed: 7, CreatedBy: "golden"}))
	const hash, score = 0x1442fbb2e64d9415, 0x3fe08c1d0bd9c289
	if model.Hash() != hash {
		t.Errorf("hash %#x, want %#x", model.Hash(), uint64(hash))
	}
	if got := math.Float64bits(model.Score(rows[17])); got != score {
		t.Errorf("score %#x, want %#x", got, uint64(score))
	}
}

func TestEdgesOfTraining(t *testing.T) {
	t.Parallel()
	same := func(n int, row ...float32) (rows [][]float32) {
		for range n {
			rows = append(rows, row)
		}
		return rows
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for name, c := range map[string]struct {
		rows [][]float32
		cfg  Config
		want string
	}{
		"none":          {nil, Config{}, "0 rows"},
		"one row":       {same(1, 1, 2), Config{}, "1 rows; a forest needs 2"},
		"no columns":    {same(3), Config{}, "0 features"},
		"NaN":           {append(same(3, 1, 2), []float32{1, nan}), Config{}, "row 3, column 1 (f1) is NaN"},
		"infinity":      {append(same(3, 1, 2), []float32{inf, 1}), Config{Names: []string{"clicks", "z"}}, "row 3, column 0 (clicks) is -Inf"},
		"ragged":        {append(same(3, 1, 2), []float32{1}), Config{}, "row 3 has 1 values, row 0 has 2"},
		"names":         {same(3, 1, 2), Config{Names: []string{"x"}}, "1 names for 2 features"},
		"long name":     {same(3, 1), Config{Names: []string{strings.Repeat("x", 256)}}, "text 1 of CreatedBy and Names"},
		"bad creator":   {same(3, 1), Config{CreatedBy: "\xff"}, "text 0 of CreatedBy and Names"},
		"trees":         {same(3, 1), Config{Trees: -1}, "-1 trees; choose 1 to 4096"},
		"sample":        {same(5000, 1), Config{Sample: 4097}, "a sample of 4097 rows"},
		"small sample":  {same(3, 1), Config{Sample: 1}, "a sample of 1 rows"},
		"extension":     {same(3, 1), Config{Extension: -2}, "extension level -2"},
		"many features": {[][]float32{make([]float32, 1025), make([]float32, 1025)}, Config{}, "1025 features"},
	} {
		if _, err := Train(c.rows, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	for _, extension := range []int{0, FullExtension} {
		flat := must(Train(same(1000, 3, 3, 3), Config{Extension: extension}))
		for _, x := range [][]float32{{3, 3, 3}, {-100, 0, 1e30}} {
			if got := flat.Score(x); got != 0.5 {
				t.Errorf("extension %d, all rows equal: %v scores %v, want 0.5", extension, x, got)
			}
		}
		if err := flat.Verify(); err != nil {
			t.Error(err)
		}
		two := must(Train([][]float32{{0, 1}, {1, 1}}, Config{Extension: extension}))
		if a, b := two.Score([]float32{0, 1}), two.Score([]float32{1, 1}); a != 0.5 || b != 0.5 {
			t.Errorf("extension %d, two rows: they score %v and %v, want 0.5, neither is odder", extension, a, b)
		}
		if info := two.Info(); info.Sample != 2 || info.Rows != 2 || info.Trees != 100 {
			t.Errorf("got %+v", info)
		}
	}
}

// TestOddValues holds the documented order: NaN above +Inf, one zero.
func TestOddValues(t *testing.T) {
	t.Parallel()
	model := must(Train(normalRows(1000, 2, 4), Config{}))
	at := func(x, y float64) Length { return model.PathLength([]float32{float32(x), float32(y)}) }
	nan, inf, zero := math.NaN(), math.Inf(1), 0.0
	for name, pair := range map[string][2]Length{
		"NaN is right of all, as +Inf is":   {at(nan, 0.25), at(inf, 0.25)},
		"NaN of both signs":                 {at(0.5, nan), at(0.5, math.Copysign(nan, -1))},
		"-Inf is left of all, as a low one": {at(-inf, 0.5), at(-1e30, 0.5)},
		"zero of both signs":                {at(zero, 1), at(-1*math.Copysign(0, 1), 1)},
		"negative zero":                     {at(math.Copysign(0, -1), 0.1), at(0, 0.1)},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: path lengths %v and %v", name, pair[0].Cuts(), pair[1].Cuts())
		}
	}
	if at(nan, 0) == at(-inf, 0) {
		t.Error("both ends of a column look alike")
	}
}

func TestRowsOfOtherLengths(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {Extension: 1}, {Sample: 16}} {
		rows := normalRows(300, 3, 1)
		model := must(Train(rows, cfg))
		longer := append(rows[0][:3:3], float32(math.NaN()), 7)
		if model.Score(longer) != model.Score(rows[0]) {
			t.Error("values behind the last feature change the score")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a short row has a score")
				}
			}()
			model.Score(append(make([]float32, 0, 8), rows[0][:2]...))
		}()
	}
}

// TestOutliersStandOut: an outlier scores above everything ordinary, and its column
// is the one that says so.
func TestOutliersStandOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		features := rapid.IntRange(2, 20).Draw(t, "features")
		column := rapid.IntRange(0, features-1).Draw(t, "column")
		cfg := Config{Trees: 40, Seed: rapid.Uint64().Draw(t, "seed"), Extension: rapid.SampledFrom([]int{0, 1}).Draw(t, "extension")}
		rows := normalRows(300, features, cfg.Seed)
		model := must(Train(rows, cfg))
		x := make([]float32, features)
		centre := model.Score(x)
		x[column] = float32(rapid.SampledFrom([]float64{-50, 50}).Draw(t, "value"))
		if got := model.Score(x); got <= centre || got <= 0 || got >= 1 {
			t.Fatalf("the outlier scores %v, the centre %v", got, centre)
		}
		if cfg.Extension > 0 {
			return
		}
		dst := make([]Length, features)
		model.Contributions(dst, x)
		for j, d := range dst {
			if j != column && d >= dst[column] {
				t.Fatalf("column %d contributes %v, the outlier's %d only %v", j, d.Cuts(), column, dst[column].Cuts())
			}
		}
	})
}

func TestSortable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := math.Float32frombits(rapid.Uint32().Draw(t, "a"))
		b := math.Float32frombits(rapid.Uint32().Draw(t, "b"))
		if a == a && b == b && (a < b) != (sortable(a) < sortable(b)) {
			t.Fatalf("%v and %v: %#x and %#x", a, b, sortable(a), sortable(b))
		}
		if a != a && sortable(a) < sortable(float32(math.Inf(1))) {
			t.Fatal("NaN is below +Inf")
		}
		column, bits := rapid.IntRange(0, 15).Draw(t, "column"), rapid.IntRange(4, 10).Draw(t, "bits")
		cut := max(sortable(b)>>bits, 1)
		node := pack(column, cut, bits)
		if isRight := sortable(a)>>bits >= cut; (right(node, probe(a, bits)) == 1) != isRight || node == 0 {
			t.Fatalf("%v against node %#x", a, node)
		}
	})
	if sortable(float32(math.Copysign(0, -1))) != sortable(0) {
		t.Error("there are two zeros")
	}
}

func TestAverageLengths(t *testing.T) {
	t.Parallel()
	c := averageLengths(MaxSample)
	for n, want := range map[int]float64{0: 0, 1: 0, 2: 1, 3: 5.0 / 3, 4: 13.0 / 6, 256: 10.248690} {
		if math.Abs(c[n].Cuts()-want) > 1e-6 {
			t.Errorf("c(%d) = %v, want %v", n, c[n].Cuts(), want)
		}
	}
	for n := range c {
		if math.Abs(c[n].Cuts()-refAverage(n)) > 1e-12 {
			t.Errorf("c(%d) = %v, want %v", n, c[n].Cuts(), refAverage(n))
		}
	}
}

func TestExp2(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 100_000 {
		x := -20 * r.Float64()
		if got, want := exp2(x), math.Exp2(x); math.Abs(got-want) > 4e-16*want {
			t.Fatalf("2^%v = %v, want %v", x, got, want)
		}
	}
	if exp2(-1) != 0.5 || exp2(0) != 1 || exp2(10) != 1024 {
		t.Error("whole powers are not exact")
	}
}

func TestNothingIsAllocated(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, c := range []struct{ features, extension int }{{12, 0}, {16, 0}, {274, 0}, {16, 3}} {
		rows := normalRows(300, c.features, 1)
		model := must(Train(rows, Config{Extension: c.extension}))
		dst, scores, i := make([]Length, c.features), make([]float64, 10), 0
		for name, f := range map[string]func(){
			"Score":         func() { sink += model.Score(rows[i]) },
			"ScoreBatch":    func() { model.ScoreBatch(scores, rows[:10]) },
			"Contributions": func() { model.Contributions(dst, rows[i]) },
		} {
			if n := testing.AllocsPerRun(100, func() { f(); i = (i + 1) % len(rows) }); n != 0 {
				t.Errorf("%d features, extension %d: %s allocates %v times", c.features, c.extension, name, n)
			}
		}
	}
}
