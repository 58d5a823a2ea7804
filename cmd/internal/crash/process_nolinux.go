//go:build !linux

package crash

import "syscall"

// orphans is nothing here: a harness that is killed leaves its processes behind.
func orphans() *syscall.SysProcAttr { return nil }
