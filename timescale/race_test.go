//go:build race

package timescale

const raceEnabled = true
