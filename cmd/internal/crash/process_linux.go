package crash

import "syscall"

// orphans makes a process end with the harness, however that ends.
func orphans() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
