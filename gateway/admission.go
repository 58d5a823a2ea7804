package gateway

import (
	"sync/atomic"

	"golang.org/x/sys/cpu"
)

// decision is what admission says of a request.
type decision uint8

const (
	admitted decision = iota
	shedInFlight
	numDecisions
)

// reasons are the values of the metric's label.
var decisionNames = [numDecisions]string{"admitted", "in_flight"}

func (d decision) String() string { return decisionNames[d] }

// decide says whether one more request may come in, inFlight counting it. It is
// a pure function of its arguments.
func decide(inFlight, limit int64) decision {
	if inFlight > limit {
		return shedInFlight
	}
	return admitted
}

// admission gives out permits. A permit is taken before the rest of the body is
// read and returned after the answer is set, so it bounds everything in between.
// (The server has read the first 8 KiB of a body before any handler runs; that
// much is bounded by the number of connections.)
type admission struct {
	_        cpu.CacheLinePad // every request writes inFlight: keep neighbours off its line
	inFlight atomic.Int64
	_        cpu.CacheLinePad
	limit    int64
}

// enter takes a permit if the decision is admitted.
func (a *admission) enter() decision {
	d := decide(a.inFlight.Add(1), a.limit)
	if d != admitted {
		a.inFlight.Add(-1)
	}
	return d
}

// leave returns a permit.
func (a *admission) leave() { a.inFlight.Add(-1) }
