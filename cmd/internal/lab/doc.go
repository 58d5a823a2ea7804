// Package lab measures clickgate's detectors on labelled data that others publish: the series detector over the files of
// the Numenta Anomaly Benchmark, the scorer over tables of labelled clicks. It knows no store and no network; the same
// input gives the same figures.
package lab
