// Package eval measures isolation forests on labelled data sets: tables with a label in the last column, which the
// forests never see. It reports the area under the ROC curve and the average precision over several seeds, for the
// standard and the fully extended forest, beside the values that Liu, Ting and Zhou published.
package eval
