package admit

import (
	"context"
	"time"
)

// Status is what the controller saw and decided last.
type Status struct {
	Limit    int
	Open     Class         // classes below it are let in
	Pressure float64       // 0 to 1
	Wait     time.Duration // smoothed mean wait before the flush
	Normal   time.Duration // what of it was learned as normal
	Signals  Signals
}

// controller turns signals into terms.
type controller struct {
	cfg     *Config
	limit   limit
	last    Signals
	refused uint64
	open    Class
	ticks   int
	trouble bool // somebody was refused in this second
}

func newController(cfg *Config, most int) controller {
	return controller{cfg: cfg, limit: newLimit(cfg, most), open: NumClasses}
}

// pressure is the fullest of all that must not run full.
func (s *Signals) pressure() float64 { return max(s.Buffered, s.Memory, s.Spool, s.Files) }

// reopen is how far the pressure must fall below a threshold before what it shut
// opens again.
const reopen = .02

// openClasses returns how many classes are let in at a pressure, given how many
// are now. It is a pure function.
func (c *Config) openClasses(pressure float64, now Class) Class {
	open := func(p float64) Class {
		switch {
		case p >= c.PaidOnly:
			return Paid + 1
		case p >= c.LowOff:
			return Organic + 1
		}
		return NumClasses
	}
	return min(open(pressure), max(now, open(pressure+reopen)))
}

// Run moves the limit until ctx ends. It is called once.
func (g *Gate) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	g.control.last = g.signals()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.tick(g.signals())
		}
	}
}

// tick thinks the terms over. Only one goroutine may call it.
func (g *Gate) tick(s Signals) {
	c := &g.control
	i := between(&c.last, &s)
	c.last = s
	refused := g.refusals()
	i.inFlight = g.InFlight()
	i.contended = refused != c.refused || g.Waiting() > 0
	c.trouble = c.trouble || i.contended
	c.refused = refused
	c.limit.step(&i)
	c.open = g.cfg.openClasses(s.pressure(), c.open)
	t := newTerms(c.limit.permits(), c.open)
	g.setTerms(t)
	g.callCalm(!i.contended, t)
	g.status.Store(&Status{
		Limit: c.limit.permits(), Open: c.open, Pressure: s.pressure(),
		Wait: time.Duration(c.limit.wait), Normal: time.Duration(c.limit.normal), Signals: s,
	})
	if c.ticks++; c.ticks%int(time.Second/Interval) == 0 {
		g.publishers.roll(c.trouble)
		c.trouble = false
	}
}

// Status returns what the controller saw and decided last.
func (g *Gate) Status() Status { return *g.status.Load() }

// refusals counts all refusals.
func (g *Gate) refusals() (n uint64) {
	for c := range g.shed {
		for d := range g.shed[c] {
			n += g.shed[c][d].Load()
		}
	}
	return n
}
