package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func stopped() time.Time { return time.Time{} }

// TestPublishedValues holds the engine to the paper on three small sets. The
// paper's ionosphere has 32 columns: it leaves out the first, which is binary.
func TestPublishedValues(t *testing.T) {
	t.Parallel()
	for set, shape := range map[string][3]int{"breastw": {683, 9, 239}, "pima": {768, 8, 268}, "ionosphere": {351, 33, 126}} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			table, err := ReadFile(filepath.Join("testdata", set+".csv.gz"))
			if err != nil {
				t.Fatal(err)
			}
			if got := [3]int{len(table.Rows), len(table.Names), table.Anomalies}; got != shape {
				t.Fatalf("rows, features and anomalies %v, want %v", got, shape)
			}
			if set == "ionosphere" {
				table.Names = table.Names[1:]
				for i, row := range table.Rows {
					table.Rows[i] = row[1:]
				}
			}
			seeds, steps := 10, 0
			if raceEnabled {
				seeds = 4 // the detector slows the extended forest twentyfold
			}
			r, err := Evaluate(context.Background(), set, table, Options{Seeds: seeds, Now: stopped, Progress: func(string, int) { steps++ }})
			if err != nil {
				t.Fatal(err)
			}
			if steps != 2*seeds {
				t.Errorf("%d forests, want %d", steps, 2*seeds)
			}
			if r.Published == nil || !*r.Within {
				t.Errorf("standard forest %.4f ± %.4f, published %.4f", r.Standard.AUROC, r.Standard.AUROCError, published[set])
			}
			if r.Standard.AUROCError <= 0 || r.Extended.AUROC < r.Standard.AUROC-0.05 || r.Standard.Precision < r.Anomalies+0.1 {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// TestRank holds both measures against their definitions over pairs and ranks.
func TestRank(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "n")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		scores, anomaly := make([]float64, n), make([]bool, n)
		for i := range scores {
			scores[i], anomaly[i] = float64(r.IntN(8)), r.IntN(3) == 0
		}
		anomaly[0], anomaly[1] = true, false
		area, precision := Rank(scores, anomaly)
		wantArea, wantPrecision := byDefinition(scores, anomaly)
		if math.Abs(area-wantArea) > 1e-12 || math.Abs(precision-wantPrecision) > 1e-12 {
			t.Fatalf("%v %v: %v and %v, want %v and %v", scores, anomaly, area, precision, wantArea, wantPrecision)
		}
	})
}

func byDefinition(scores []float64, anomaly []bool) (area, precision float64) {
	pairs, anomalies := 0.0, 0.0
	for i := range scores {
		if !anomaly[i] {
			continue
		}
		anomalies++
		above, hits := 0.0, 0.0
		for j := range scores {
			if scores[j] >= scores[i] {
				above++
				if anomaly[j] {
					hits++
				}
			}
			if anomaly[j] {
				continue
			}
			pairs++
			if scores[i] > scores[j] {
				area++
			} else if scores[i] == scores[j] {
				area += 0.5
			}
		}
		precision += hits / above
	}
	return area / pairs, precision / anomalies
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mean, err float64
		want      bool
	}{{.909, 0, true}, {.911, 0, false}, {.911, .006, true}, {.889, .001, false}, {.919, .01, true}} {
		if got := Within(Quality{AUROC: c.mean, AUROCError: c.err}, .9); got != c.want {
			t.Errorf("%v ± %v of 0.9: %v", c.mean, c.err, got)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	table, err := Read(strings.NewReader("a,b,label\n1,2.5,0\n-3e2,4,1\n"))
	if err != nil || len(table.Rows) != 2 || table.Rows[1][0] != -300 || table.Rows[0][1] != 2.5 || table.Anomalies != 1 || !table.Labels[1] || len(table.Names) != 2 {
		t.Errorf("%+v, %v", table, err)
	}
	table, err = Read(strings.NewReader("a,b\n1,2\n"))
	if err != nil || table.Labels != nil || len(table.Names) != 2 {
		t.Errorf("without labels: %+v, %v", table, err)
	}
	if _, err := Evaluate(context.Background(), "x", table, Options{Seeds: 1, Now: stopped}); err == nil || !strings.Contains(err.Error(), "0 of 1 rows are labelled 1") {
		t.Errorf("without labels: %v", err)
	}
	for text, want := range map[string]string{
		"":                    "is empty",
		"1,2\n3,4\n":          `line 1, column 1: "1" is a number`,
		"label\n1\n":          "names no feature",
		"a,b\n1,x\n":          `line 2, column 2 (b): "x" is no number`,
		"a,b\n1,1e99\n":       `"1e99" is no number that a float32 holds`,
		"a,b\n1\n":            "wrong number of fields",
		"a,label\n1,0\n1,2\n": `line 3, column 2 (label): "2"; write 1`,
		"\x1f\x8bnot gzip":    "gzip",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
	if _, err := ReadFile("testdata/none.csv"); err == nil {
		t.Error("a file that is not there was read")
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	table, err := ReadFile("testdata/pima.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	seeds := 0
	_, err = Evaluate(ctx, "pima", table, Options{Seeds: 10, Now: stopped, Progress: func(string, int) { seeds++; cancel() }})
	if err == nil || seeds != 1 {
		t.Errorf("%d seeds, error %v", seeds, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("a,b,label\n1,2,0\n3,4,1\n"))
	f.Add([]byte("a\nNaN\n\"1\"\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := Read(strings.NewReader(string(text)))
		if err != nil {
			return
		}
		for _, row := range table.Rows {
			if len(row) != len(table.Names) || len(row) == 0 {
				t.Fatalf("a row of %d in a table of %d columns", len(row), len(table.Names))
			}
		}
		if table.Labels != nil && len(table.Labels) != len(table.Rows) {
			t.Fatal("rows without labels")
		}
	})
}
