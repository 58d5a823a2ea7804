//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package control

import (
	"errors"
	"fmt"
	"os"
)

// lock refuses: without it two operators could overwrite each other.
func lock(*os.File) error {
	return fmt.Errorf("locking a file on this operating system: %w", errors.ErrUnsupported)
}
