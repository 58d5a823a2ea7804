//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package gateway

import (
	"math"
	"syscall"
)

// filesApart are descriptors that are no client connections: listeners, the
// spool, Kafka.
const filesApart = 64

// fileLimit returns how many connections the process may hold.
func fileLimit() float64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.Inf(1)
	}
	return max(1, float64(l.Cur)-filesApart)
}
