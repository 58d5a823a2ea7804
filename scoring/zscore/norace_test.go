//go:build !race

package zscore

const raceEnabled = false
