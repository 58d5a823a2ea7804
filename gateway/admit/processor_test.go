package admit

import (
	"fmt"
	"os"
	"testing"
	"time"
)

const (
	costRead   = 20 * time.Microsecond
	costRefuse = 10 * time.Microsecond
	costWork   = 430 * time.Microsecond
	costAnswer = 20 * time.Microsecond
	costHop    = 20 * time.Microsecond
	costRecord = 5 * time.Microsecond
)

type task struct {
	ready, cost time.Duration
	then        func()
}

type processor struct {
	*sim
	runnable          []task
	busy              bool
	stolen            bool
	free              [2][]*simConn // lower, paid
	pending           [2][]*call
	outside           map[*waiter]*simConn
	logged            []*call
	inFlush           bool
	calls             []*waiter
	waits             []time.Duration
	used, refusing    time.Duration
	refused, accepted int
}

type simConn struct {
	held   bool
	turned int
	next   *call
}

func newProcessor(s *sim) *processor {
	p := &processor{sim: s, outside: map[*waiter]*simConn{}}
	for range 2048 {
		p.free[0] = append(p.free[0], &simConn{})
	}
	for range 512 {
		p.free[1] = append(p.free[1], &simConn{})
	}
	s.cpu = p
	s.gate.outside.told = func(w *waiter) { p.calls = append(p.calls, w) }
	return p
}

func (p *processor) run(cost time.Duration, then func()) {
	p.runnable = append(p.runnable, task{p.now, cost, then})
	p.next()
}

func (p *processor) next() {
	if p.busy || p.stolen || len(p.runnable) == 0 {
		return
	}
	t := p.runnable[0]
	p.runnable = p.runnable[1:]
	p.busy = true
	p.waits = append(p.waits, p.now-t.ready)
	p.used += t.cost
	p.after(t.cost, func() {
		p.busy = false
		t.then()
		p.next()
	})
}

func kind(c Class) int {
	if c == Paid {
		return 1
	}
	return 0
}

func (p *processor) send(c *call) {
	k := kind(c.class)
	p.pending[k] = append(p.pending[k], c)
	p.dispatch(k)
}

func (p *processor) dispatch(k int) {
	for len(p.pending[k]) > 0 && len(p.free[k]) > 0 {
		c, n := p.pending[k][0], p.free[k][0]
		p.pending[k], p.free[k] = p.pending[k][1:], p.free[k][1:]
		c.conn = n
		if n.held {
			n.next = c
		} else {
			p.read(c)
		}
	}
}

func (p *processor) read(c *call) { p.run(costRead, func() { p.arrive(c) }) }

func (p *processor) done(c *call) {
	k := kind(c.class)
	p.free[k] = append(p.free[k], c.conn)
	p.dispatch(k)
}

func (p *processor) refuse(c *call, d Decision) {
	p.refused++
	p.refusing += costRead + costRefuse
	p.run(costRefuse, func() {
		p.count(c, d)
		if n := c.conn; c.class != Paid {
			n.held = true
			w := newWaiter()
			w.rank = rankOf(c.class, false)
			p.outside[w] = n
			n.turned++
			d := p.gate.outside.enter(w, p.gate.cfg.PauseAfter(n.turned))
			p.after(d, func() {
				if p.gate.outside.quit(w) {
					delete(p.outside, w)
					p.release(n)
				}
			})
		}
		p.done(c)
	})
}

func (p *processor) release(n *simConn) {
	n.held = false
	if c := n.next; c != nil {
		n.next = nil
		p.read(c)
	}
}

// calmed lets those in whom the gate has called.
func (p *processor) calmed() {
	for _, w := range p.calls {
		n := p.outside[w]
		delete(p.outside, w)
		p.release(n)
	}
	p.calls = p.calls[:0]
}

func (p *processor) work(c *call) {
	p.run(costWork, func() {
		c.enqueued = p.now
		p.logged = append(p.logged, c)
		p.flush()
	})
}

func (p *processor) flush() {
	if p.inFlush || len(p.logged) == 0 {
		return
	}
	p.inFlush = true
	p.run(costHop, func() {
		group := p.logged
		p.logged = nil
		begun := p.now
		p.run(costHop+time.Duration(len(group))*costRecord, func() {
			p.run(costHop, func() {
				p.inFlush = false
				for _, c := range group {
					p.signals.Flushed++
					p.signals.Flushes++
					p.signals.Waits++
					p.signals.Wait += begun - c.enqueued
					p.signals.Flush += p.now - begun
					p.run(costAnswer, func() {
						p.accepted++
						c.conn.turned = 0
						p.count(c, Admitted)
						p.gate.Leave()
						p.settle()
						p.calmed()
						p.done(c)
					})
				}
				p.flush()
			})
		})
	})
}

func (p *processor) tick() {
	if os.Getenv("HTRACE") != "" {
		fmt.Printf("%v run %d waits %d p10 %v p50 %v limit %d inflight %d waiting %d wait %v shed %v pend %d %d held %d refused %d\n", p.now, len(p.runnable), len(p.waits), quant(p.waits, .1), quant(p.waits, .5), p.gate.Limit(), p.gate.InFlight(), p.gate.Waiting(), p.gate.Status().Wait, p.gate.refusals(), len(p.pending[0]), len(p.pending[1]), len(p.outside), p.refused)
	}
	p.waits = p.waits[:0]
}

func quant(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	p99(ds)
	return ds[int(q*float64(len(ds)-1))]
}

func TestProcessor(t *testing.T) {
	for _, times := range []float64{2, 5, 10} {
		s := newSim(1, nil)
		newProcessor(s)
		var acc, lowRef int
		var u0, ur0 time.Duration
		s.after(11*time.Second, func() { acc, lowRef, u0, ur0 = s.cpu.accepted, s.cpu.refused, s.cpu.used, s.cpu.refusing })
		s.after(16*time.Second, func() {
			c := s.cpu
			t.Logf("%vx: accepted %d/s = %.1f %% of 2000, refused %d/s, busy %.1f %%, refusing %.1f %%", times, (c.accepted-acc)/5, float64(c.accepted-acc)/100, (c.refused-lowRef)/5, (c.used-u0).Seconds()*20, (c.refusing-ur0).Seconds()*20)
		})
		r := play(s, .6, phase{length: 6 * time.Second, load: times, shares: [NumClasses]float64{.1, .9}}, 4*time.Second)
		r.row(t, fmt.Sprintf("%vx", times))
		t.Logf("unloaded %v paid %d/%d first %d/%d offered low %d refused %d", r.unloaded, r.paid.shed, r.paid.offered, r.first.shed, r.first.offered, r.low.offered, s.cpu.refused)
	}
}
