//go:build !unix

package crash

import "os"

// Where there are no such signals, processes cannot be stopped for a while; Signal
// then returns an error, and a run counts no stops and is void.
var sigStop, sigCont os.Signal = os.Interrupt, os.Interrupt
