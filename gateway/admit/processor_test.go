package admit

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// costs are what requests cost a server that is bound by its processor, in virtual
// time: one core that serves its run queue in order. Reading a request and refusing it
// cost a part of what an answer costs, and requests come on connections, one at a time
// on each, so that who is not read sends nothing.
type costs struct {
	capacity                   float64       // of simCapacity, from the sum of the others
	read, refuse, work, answer time.Duration // read is parsing too
	hop                        time.Duration // of a group of records, three times
	record                     time.Duration // of one in it
}

const us = time.Microsecond

// As measured, a little rounded: the handler with 500 us of work, where a refusal costs
// a sixteenth of a click, and as shipped, where it is nearly a half; see
// docs/performance.md.
var (
	dearCosts  = costs{1, 20 * us, 10 * us, 430 * us, 20 * us, 20 * us, 5 * us}
	plainCosts = costs{8, 12 * us, 15 * us, 20 * us, 15 * us, 20 * us, 5 * us}
)

type processor struct {
	*sim
	cost     costs
	runnable []task
	busy     bool
	lines    [2]simLine // paid, others
	outside  map[*waiter]*simConn
	calls    []*waiter // called in, and not yet acted on
	logged   []*call
	flushing bool

	atOnce bool // everybody comes in at the end of a calm Interval, instead of being called
	held   []*simConn
	seen   uint64 // refusals at the last tick

	answered, refusals int
	working, refusing  time.Duration
}

// task is one turn of a goroutine on the processor.
type task struct {
	cost time.Duration
	then func()
}

// simConn is one client's connection.
type simConn struct {
	line   *simLine
	unread bool
	next   *call // sent, and not read
}

// simLine is what one kind of clients sends, and on what.
type simLine struct {
	free    []*simConn
	pending []*call // waits for a free connection, at the client
}

func newProcessor(s *sim, cost costs) *processor {
	p := &processor{sim: s, cost: cost, outside: map[*waiter]*simConn{}}
	for i, n := range []int{512, 2048} {
		for range n {
			p.lines[i].free = append(p.lines[i].free, &simConn{line: &p.lines[i]})
		}
	}
	s.cpu = p
	s.gate.outside.told = func(w *waiter) { p.calls = append(p.calls, w) }
	return p
}

func (p *processor) run(cost time.Duration, then func()) {
	p.runnable = append(p.runnable, task{cost, then})
	p.turn()
}

func (p *processor) turn() {
	if p.busy || len(p.runnable) == 0 {
		return
	}
	t := p.runnable[0]
	p.runnable, p.busy = p.runnable[1:], true
	p.working += t.cost
	p.after(t.cost, func() {
		p.busy = false
		t.then()
		p.turn()
	})
}

// send is a client's: it waits for a free connection of its kind.
func (p *processor) send(c *call) {
	l := &p.lines[min(c.class, 1)]
	l.pending = append(l.pending, c)
	p.dispatch(l)
}

func (p *processor) dispatch(l *simLine) {
	for len(l.pending) > 0 && len(l.free) > 0 {
		c, conn := l.pending[0], l.free[0]
		l.pending, l.free = l.pending[1:], l.free[1:]
		if c.conn = conn; conn.unread {
			conn.next = c
		} else {
			p.read(c)
		}
	}
}

// giveUp is what the clients do at the end of a phase with all that was not read.
func (p *processor) giveUp() {
	for i := range p.lines {
		p.lines[i].pending = nil
	}
	drop := func(conn *simConn) {
		if conn.next != nil {
			conn.next = nil
			conn.line.free = append(conn.line.free, conn)
		}
	}
	for _, conn := range p.outside {
		drop(conn)
	}
	for _, conn := range p.held {
		drop(conn)
	}
}

func (p *processor) read(c *call) { p.run(p.cost.read, func() { p.arrive(c) }) }

func (p *processor) refuse(c *call, d Decision) {
	p.refusals++
	p.refusing += p.cost.read + p.cost.refuse
	p.run(p.cost.refuse, func() {
		p.count(c, d)
		if c.class != Paid {
			p.hold(c.conn, c.class)
		}
		p.done(c.conn)
	})
}

// done frees the connection of an answered request.
func (p *processor) done(conn *simConn) {
	conn.line.free = append(conn.line.free, conn)
	p.dispatch(conn.line)
}

// hold leaves a connection unread, as the door does.
func (p *processor) hold(conn *simConn, class Class) {
	conn.unread = true
	if p.atOnce {
		p.held = append(p.held, conn)
		p.after(time.Second, func() { p.release(conn) })
		return
	}
	w := newWaiter()
	w.rank = rankOf(class, false)
	p.outside[w] = conn
	p.after(p.gate.outside.enter(w, p.gate.cfg.Pause), func() {
		if p.gate.outside.quit(w) {
			delete(p.outside, w)
			p.release(conn)
		}
	})
}

func (p *processor) release(conn *simConn) {
	conn.unread = false
	if c := conn.next; c != nil {
		conn.next = nil
		p.read(c)
	}
}

// called lets those in whom the gate has called.
func (p *processor) called() {
	for len(p.calls) > 0 {
		w := p.calls[0]
		p.calls = p.calls[1:]
		conn := p.outside[w]
		delete(p.outside, w)
		p.release(conn)
	}
}

// ticked follows the controller.
func (p *processor) ticked() {
	p.called()
	if n := p.gate.refusals(); n != p.seen || p.gate.Waiting() > 0 {
		p.seen = n
		return
	}
	for _, conn := range p.held {
		p.release(conn)
	}
	p.held = nil
}

// work is what an admitted request does until it is handed to the log.
func (p *processor) work(c *call) {
	p.run(p.cost.work, func() {
		c.enqueued = p.now
		p.logged = append(p.logged, c)
		p.flush()
	})
}

// flush writes all that is logged; client and broker share the processor.
func (p *processor) flush() {
	if p.flushing || len(p.logged) == 0 {
		return
	}
	p.flushing = true
	p.run(p.cost.hop, func() {
		group, begun := p.logged, p.now
		p.logged = nil
		p.run(p.cost.hop+time.Duration(len(group))*p.cost.record, func() {
			p.run(p.cost.hop, func() { p.flushed(group, begun) })
		})
	})
}

func (p *processor) flushed(group []*call, begun time.Duration) {
	p.flushing = false
	for _, c := range group {
		p.signals.Flushed++
		p.signals.Flushes++
		p.signals.Waits++
		p.signals.Wait += begun - c.enqueued
		p.signals.Flush += p.now - begun
		p.run(p.cost.answer, func() {
			p.answered++
			p.count(c, Admitted)
			p.gate.Leave()
			p.settle()
			p.called()
			p.done(c.conn)
		})
	}
	p.flush()
}

// used is what a processor did with a stretch of time, in shares of it.
type used struct{ answered, refusing, working float64 }

// playProcessor plays .6 of the capacity, times the capacity, a tenth of it paid, and
// a load that it bears, and returns what the clients saw and what the processor did.
func playProcessor(seed uint64, cost costs, times float64, atOnce bool) (*result, used) {
	s := newSim(seed, nil)
	p := newProcessor(s, cost)
	p.atOnce = atOnce
	load := phase{
		length: length(time.Duration(float64(6*time.Second)/math.Sqrt(cost.capacity)), 20*time.Second),
		load:   times * cost.capacity, shares: [NumClasses]float64{Paid: .1, Organic: .9},
	}
	var before processor
	var u used
	s.after(10*time.Second+grace, func() { before = *p })
	s.after(10*time.Second+load.length, func() {
		d := (load.length - grace).Seconds()
		u = used{
			answered: float64(p.answered-before.answered) / d / (simCapacity * cost.capacity),
			refusing: (p.refusing - before.refusing).Seconds() / d,
			working:  (p.working - before.working).Seconds() / d,
		}
	})
	return play(s, .6*cost.capacity, load, 4*time.Second), u
}

// TestProcessor is O2 without a machine: whoever is refused costs the processor a
// part of an answer, so refused senders must neither come again too often nor leave
// it idle. All coming in at once shows what that is worth.
func TestProcessor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                     string
		cost                     costs
		times                    float64
		seeds                    uint64
		answered, refusing, shed float64 // what is held
		mistake                  float64 // so much is answered at once at most; 0: it may be harmless
	}{
		{"500 us a click", dearCosts, 2, 2, .97, .05, 0, 0},
		{"500 us a click", dearCosts, 5, 3, .97, .05, 0, .8},
		{"500 us a click", dearCosts, 10, 3, .97, .05, .02, .9}, // paid ones are all of the capacity
		{"as shipped", plainCosts, 2, 1, .9, .25, 0, .9},
	} {
		for seed := range c.seeds {
			name := fmt.Sprintf("%s, %.0fx, seed %d", c.name, c.times, seed)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r, u := playProcessor(seed, c.cost, c.times, false)
				u.row(t, name+", called in", r)
				old, was := playProcessor(seed, c.cost, c.times, true)
				was.row(t, name+", at once", old)
				if u.answered < c.answered || u.refusing > c.refusing || u.refusing == 0 {
					t.Errorf("%.3f of the capacity answered, %.3f of the processor refuses", u.answered, u.refusing)
				}
				checkProcessor(t, r, c.shed)
				if c.mistake > 0 && was.answered > c.mistake {
					t.Errorf("at once %.3f of the capacity are answered: the mistake shows nothing", was.answered)
				}
			})
		}
	}
}

func (u *used) row(t *testing.T, name string, r *result) {
	t.Helper()
	t.Logf("%-40s answered %5.1f %% of capacity  refusing %4.1f %%  idle %4.1f %%  paid shed %4.1f %%  p99 %3.0f ms (%.1fx)  after: shed %d, p99 %.1fx",
		name, 100*u.answered, 100*u.refusing, 100*math.Abs(1-u.working), 100*r.paid.loss(),
		ms(p99(r.paid.latency)), ratio(p99(r.paid.latency), r.unloaded), r.late.shed, ratio(p99(r.late.latency), r.unloaded))
}

func checkProcessor(t *testing.T, r *result, most float64) {
	t.Helper()
	if r.paid.loss() > most || r.paid.offered < 1000 {
		t.Errorf("%d of %d paid requests were refused", r.paid.shed, r.paid.offered)
	}
	if r.late.shed > 0 || r.late.offered < 1000 {
		t.Errorf("a second after the load %d of %d were refused", r.late.shed, r.late.offered)
	}
}

func TestCalled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		inFlight, waiting, limit, want int
	}{
		{0, 0, 4, 1},
		{3, 0, 4, 1},
		{4, 0, 4, 0}, // the limit has fallen meanwhile
		{3, 1, 4, 0}, // somebody inside is next
	} {
		if got := called(word(c.inFlight+c.waiting*oneWaiting), newTerms(c.limit, NumClasses)); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	terms := newTerms(10, NumClasses)
	n := 0
	for i, want := range []int{10, 20, 40, 80} {
		if n = calledAfter(n, true, terms); n != want {
			t.Errorf("calm interval %d: %d, want %d", i, n, want)
		}
	}
	if got := calledAfter(n, true, newTerms(10, Bulk)); got != 10 {
		t.Errorf("while bulk is shut out: %d, want 10", got)
	}
	if most := calledAfter(math.MaxInt32/2, true, terms); calledAfter(n, false, terms) != 0 || most != math.MaxInt32/2 {
		t.Errorf("somebody is called in trouble, or %d, more than there can be", most)
	}
}
