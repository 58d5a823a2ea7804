//go:build !race

package fraudeval

const raceEnabled = false
