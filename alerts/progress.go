package alerts

import (
	"time"

	"clickgate/aggregate"
)

// progress tells how far the store is, from the marks of the gateways: a mark of a
// time that every partition has stored says that everything its gateway took until
// then is stored as well. Counts cannot say it. An aggregator that lags looks like
// a dip in all campaigns, and one click of a clock that runs fast looks like the
// minutes to come.
//
// A gateway that has said goodbye has sent everything. One that says nothing while
// others do for some patience is gone, and what it does not send is missing
// indeed. While nobody says anything, nothing is known: the aggregator may be away.
type progress struct {
	patience time.Duration
	gateways map[string]*gatewayProgress
	until    int64 // what the store has of every gateway; 0 while nothing is known
}

type gatewayProgress struct {
	boot   uint64
	at     int64         // of its newest mark that is stored everywhere
	silent time.Duration // how long others moved and it did not
}

// leftBehind is how far apart in time marks of gateways are that are not read from
// one place in the log any more.
const leftBehind = int64(time.Hour / time.Microsecond)

func newProgress(patience time.Duration) *progress {
	return &progress{patience: patience}
}

// take reads the stored marks, passed since the last time by a clock that nobody
// sets. The first time shows only who there is, the second who moves.
func (p *progress) take(marks []aggregate.StoredMark, passed time.Duration) {
	newest := make(map[string]uint64)
	for i := range marks {
		m := &marks[i].Mark
		newest[m.Gateway] = max(newest[m.Gateway], m.Boot)
	}
	proven := aggregate.Proven(marks)
	before := p.gateways
	p.gateways = make(map[string]*gatewayProgress, len(newest))
	moved := make(map[string]bool)
	for name, boot := range newest {
		mark, ok := proven[aggregate.BootID{Gateway: name, Boot: boot}]
		if ok && mark.Final {
			continue
		}
		g := before[name]
		if g == nil || g.boot != boot {
			g = &gatewayProgress{boot: boot}
		}
		p.gateways[name] = g
		if ok && mark.At > g.at {
			g.at, moved[name] = mark.At, true
		}
	}
	if before == nil {
		p.begin()
		return
	}
	p.settle(moved, passed)
}

// begin takes gateways for gone that stopped long before the others did; those who
// are not will move.
func (p *progress) begin() {
	last := int64(0)
	for _, g := range p.gateways {
		last = max(last, g.at)
	}
	for _, g := range p.gateways {
		if last-g.at > leftBehind {
			g.silent = p.patience
		}
	}
}

// settle finds who is gone, and how far the others are.
func (p *progress) settle(moved map[string]bool, passed time.Duration) {
	p.until = 0
	first := true
	for name, g := range p.gateways {
		switch {
		case moved[name]:
			g.silent = 0
		case len(moved) > 0:
			g.silent += passed
		}
		if g.silent < p.patience && (first || g.at < p.until) {
			first, p.until = false, g.at
		}
	}
}
