// Package iforest finds rows that are unlike the others: the isolation forest of Liu, Ting and Zhou (Isolation-based
// Anomaly Detection, ACM TKDD 6(1), 2012; first ICDM 2008) and its extension to slanted cuts by Hariri, Carrasco Kind
// and Brunner (Extended Isolation Forest, IEEE TKDE 33(4), 2021).
//
// A tree cuts a small random sample at random places until every row stands alone. Rows that stand alone after few
// cuts are anomalies. With E the mean over the trees of a row's path length and c the path length to be expected in a
// sample of n rows, the score is 2^(-E/c): 0.5 for a row like all others, towards 1 for an anomaly.
//
//	model, err := iforest.Train(rows, iforest.Config{Seed: 1}) // or Open, Verify
//	score := model.Score(row)                                  // allocates nothing
//
// # Same bits everywhere
//
// Path lengths are integers (Length), so neither the order of trees nor of additions matters, and contributions add up
// without a rounding. What is left in floating point is rounded operation by operation, so that no platform fuses two
// into another result. Training depends on rows and Config alone, not on the number of processors. On other platforms
// than the one a model was trained on, Score gives the same bits; retraining gives the same bytes for the standard
// forest, while the extended one draws normal variates, whose tails use the platform's logarithm.
//
// # Values that are no numbers
//
// Train refuses NaN and infinities and names row and column. Score takes them: -Inf is below and +Inf above every cut,
// NaN is above +Inf whatever its sign; a slanted cut sends a sum that is NaN to the right. Zeros of both signs are one value.
//
// # Layout
//
// A tree is a heap: node i has the children 2i and 2i+1, the root is 1. A node is four bytes, the column in the low
// bits and the cut in the high ones, as a float32 whose bits are mapped so that unsigned order is numeric order
// (sortable). Up to 16 columns leave 28 bits for the cut: 19 of the 23 bits of a float32's fraction; at most 1,024
// columns leave 13. Rows are partitioned by the packed cut in training already, so packing loses no exactness
// afterwards; but a column whose values differ only in the bits that are cut off counts as constant. Take a large
// offset, such as a date, out of a column first. Below a node without a cut all nodes are zero and lead right.
//
// # Concurrency
//
// A Model never changes after Train or Open; any number of goroutines may use it. A Holder swaps models under them.
package iforest
