//go:build !race

package rawlog

const raceEnabled = false
