package eval

import (
	"slices"

	"gonum.org/v1/gonum/integrate"
	"gonum.org/v1/gonum/stat"
)

// Rank returns how well scores put anomalies above the rest: the area under the
// ROC curve (0.5 by chance) and the average precision, the mean over the
// anomalies of the precision at their score (the anomaly rate by chance). Equal
// scores count as one threshold. There must be labels of both kinds. It sorts
// copies.
func Rank(scores []float64, anomaly []bool) (auroc, precision float64) {
	scores, anomaly = slices.Clone(scores), slices.Clone(anomaly)
	stat.SortWeightedLabeled(scores, anomaly, nil)
	tpr, fpr, _ := stat.ROC(nil, scores, anomaly, nil)
	return integrate.Trapezoidal(fpr, tpr), averagePrecision(scores, anomaly)
}

// averagePrecision takes scores in rising order.
func averagePrecision(scores []float64, anomaly []bool) float64 {
	found, sum := 0, 0.0
	for end := len(scores); end > 0; {
		start, hits := end, 0
		for start > 0 && scores[start-1] == scores[end-1] {
			start--
			if anomaly[start] {
				hits++
			}
		}
		found += hits
		sum += float64(hits) * float64(found) / float64(len(scores)-start)
		end = start
	}
	return sum / float64(found)
}
