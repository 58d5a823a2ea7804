//go:build race

package fraudeval

const raceEnabled = true
