package eval

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"clickgate/scoring/iforest"

	"gonum.org/v1/gonum/stat"
)

// published are areas under the ROC curve of the standard forest with 100 trees
// of 256 rows: Liu, Ting and Zhou, Isolation-based Anomaly Detection, ACM TKDD
// 6(1), 2012, and its versions of the data sets.
var published = map[string]float64{
	"annthyroid": .813, "arrhythmia": .806, "breastw": .986, "cardio": .928, "cover": .882, "http": .9997,
	"ionosphere": .844, "mammography": .865, "pima": .668, "satellite": .717, "shuttle": .997, "smtp": .910,
}

// tolerance is what a mean may differ from the published one, beside two standard
// errors.
const tolerance = 0.01

// Options say how to measure.
type Options struct {
	Seeds    int // 1 to Seeds are used
	Now      func() time.Time
	Progress func(forest string, seed int) // before every forest; nil for none
}

// Result is what one data set gave.
type Result struct {
	Set       string   `json:"set"`
	Rows      int      `json:"rows"`
	Features  int      `json:"features"`
	Anomalies float64  `json:"anomaly_rate"`
	Standard  Quality  `json:"standard"`
	Extended  Quality  `json:"extended"`
	Published *float64 `json:"published_auroc,omitempty"` // of the standard forest
	Within    *bool    `json:"within_tolerance,omitempty"`
}

// Quality are means over the seeds, with their standard errors, and the median
// time of a score in nanoseconds.
type Quality struct {
	AUROC          float64 `json:"auroc"`
	AUROCError     float64 `json:"auroc_standard_error"`
	Precision      float64 `json:"average_precision"`
	PrecisionError float64 `json:"average_precision_standard_error"`
	Nanos          float64 `json:"ns_per_score"`
}

// Evaluate trains on all rows without their labels, as the paper does, and ranks
// the same rows. A set's published value goes by its name.
func Evaluate(ctx context.Context, set string, t *Table, opts Options) (*Result, error) {
	if t.Labels == nil || t.Anomalies == 0 || t.Anomalies == len(t.Rows) {
		return nil, fmt.Errorf("%s: %d of %d rows are labelled 1; the last column must be %s, with both 0 and 1", set, t.Anomalies, len(t.Rows), labelColumn)
	}
	r := &Result{Set: set, Rows: len(t.Rows), Features: len(t.Names), Anomalies: float64(t.Anomalies) / float64(len(t.Rows))}
	var err error
	if r.Standard, err = measure(ctx, "standard", 0, t, opts); err != nil {
		return nil, fmt.Errorf("%s: %w", set, err)
	}
	if r.Extended, err = measure(ctx, "extended", iforest.FullExtension, t, opts); err != nil {
		return nil, fmt.Errorf("%s: %w", set, err)
	}
	if value, ok := published[set]; ok {
		within := Within(r.Standard, value)
		r.Published, r.Within = &value, &within
	}
	return r, nil
}

// Within tells whether a mean area is the published one, up to 0.01 or two
// standard errors, whichever is more.
func Within(q Quality, published float64) bool {
	return math.Abs(q.AUROC-published) <= max(tolerance, 2*q.AUROCError)
}

func measure(ctx context.Context, forest string, extension int, t *Table, opts Options) (Quality, error) {
	var areas, precisions, nanos []float64
	scores := make([]float64, len(t.Rows))
	for seed := 1; seed <= opts.Seeds; seed++ {
		if err := ctx.Err(); err != nil {
			return Quality{}, err
		}
		if opts.Progress != nil {
			opts.Progress(forest, seed)
		}
		model, err := iforest.Train(t.Rows, iforest.Config{Seed: uint64(seed), Extension: extension, Names: t.Names})
		if err != nil {
			return Quality{}, err
		}
		start := opts.Now()
		model.ScoreBatch(scores, t.Rows)
		nanos = append(nanos, float64(opts.Now().Sub(start).Nanoseconds())/float64(len(scores)))
		area, precision := Rank(scores, t.Labels)
		areas, precisions = append(areas, area), append(precisions, precision)
	}
	slices.Sort(nanos)
	q := Quality{Nanos: stat.Quantile(0.5, stat.Empirical, nanos, nil)}
	q.AUROC, q.AUROCError = meanError(areas)
	q.Precision, q.PrecisionError = meanError(precisions)
	return q, nil
}

// meanError returns the mean and its standard error, 0 for a single value.
func meanError(x []float64) (mean, standardError float64) {
	if len(x) == 1 {
		return x[0], 0
	}
	mean, deviation := stat.MeanStdDev(x, nil)
	return mean, stat.StdErr(deviation, float64(len(x)))
}
