//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package spool

import (
	"errors"
	"fmt"
	"os"
)

// flock refuses: without a lock that dies with its process two gateways could
// write one folder.
func flock(*os.File) error {
	return fmt.Errorf("spool: locking a folder on this operating system: %w", errors.ErrUnsupported)
}
