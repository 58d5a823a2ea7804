//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package gateway

import "math"

// fileLimit returns how many connections the process may hold: here no bound is
// known.
func fileLimit() float64 { return math.Inf(1) }
