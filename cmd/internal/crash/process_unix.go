//go:build unix

package crash

import (
	"os"
	"syscall"
)

// Signals that stop a process and let it go on.
var (
	sigStop os.Signal = syscall.SIGSTOP
	sigCont os.Signal = syscall.SIGCONT
)
