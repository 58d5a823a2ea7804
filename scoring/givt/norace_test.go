//go:build !race

package givt

const raceEnabled = false
