// Package zscore finds rates that stand out: from an entity's own past and from its peers, in bounded memory.
//
// Scores are robust z-scores, z = (x - median) / max(1.4826 MAD, floor), MAD being the median absolute deviation
// (Hampel, 1974; Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993, who flag |z| > 3.5). Median and MAD
// stay put until half the baseline is anomalous, so a flood does not become its own yardstick. The floor is what a
// Poisson count of that median scatters by anyway: without it a series that never moves has spread 0, and then either
// nothing or everything is an anomaly.
//
// Time is event time, in microseconds since the Unix epoch, and state depends on the order of events alone: replaying
// one order with one goroutine gives equal bits. Counts and medians are integers, and products are converted to float64
// explicitly so that no platform fuses them into another rounding.
package zscore
