package crash

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

// harm is what was done to a process.
type harm struct{ kills, stops int }

// harms carries out a schedule of faults and keeps account of what was really done.
type harms struct {
	*world
	began    time.Time
	progress func(format string, args ...any)

	mu     sync.Mutex
	faults map[string]int
	wires  map[string]int
	done   map[string]*harm // by process
	broken map[*Proxy]int   // wires being broken, which overlap

	// zombie is held while an aggregator is stopped: until it comes back the other
	// one must live, or nobody takes its partitions away from it.
	zombie sync.Mutex
	// quorum is held while one of several brokers is down: with copies on three and
	// acks of two, one may be.
	quorum sync.Mutex
	// illness is held while Redis is ill, and clocks while one is wrong.
	illness, clocks sync.Mutex
	weather

	acked      func() int // ids by now
	storeless  int        // ids acknowledged while the store was away; guarded by mu
	quorumless int        // and while there was no quorum
}

func newHarms(w *world, began time.Time, progress func(string, ...any)) *harms {
	return &harms{
		world: w, began: began, progress: progress,
		faults: make(map[string]int), wires: make(map[string]int), done: make(map[string]*harm), broken: make(map[*Proxy]int),
	}
}

// play plays a schedule and returns when everything is mended.
func (h *harms) play(ctx context.Context, plan []Fault) {
	var under sync.WaitGroup
	for i := range plan {
		f := &plan[i]
		select {
		case <-time.After(f.At - time.Since(h.began)):
			under.Go(func() { h.inflict(ctx, f) })
		case <-ctx.Done():
		}
	}
	under.Wait()
	for _, p := range h.proxies() {
		p.Set(Open)
	}
	if h.toRedis != nil {
		h.toRedis.Set(Open)
	}
}

func (h *harms) inflict(ctx context.Context, f *Fault) {
	switch f.Kind {
	case KillRedis, StopRedis, SlowRedis, ReadOnlyRedis, FullRedis:
		h.harmRedis(ctx, f)
		return
	case JumpClock: // clients feel nothing of it
		h.jump(ctx, f)
		return
	}
	switch f.Kind {
	case KillAggregator, KillStore, StopAggregator, LoseStore, CutCommits: // nor of these
	default:
		defer h.disturbed(f)()
	}
	switch f.Kind {
	case KillGateway:
		h.kill(f, pick(h.gateways, f))
	case KillAggregator:
		h.zombie.Lock()
		defer h.zombie.Unlock()
		h.kill(f, pick(h.aggregators, f))
	case KillBroker:
		h.downBroker(ctx, f, func(b *process) { h.kill(f, b) })
	case KillStore:
		h.killStore(ctx, f)
	case StopGateway:
		h.stop(ctx, f, pick(h.gateways, f))
	case StopAggregator:
		h.zombie.Lock()
		defer h.zombie.Unlock()
		a := pick(h.aggregators, f)
		h.awaitOwner(ctx, a)
		h.stop(ctx, f, a)
		rest(ctx, time.Second) // it must live to do harm
	case StopBroker:
		h.downBroker(ctx, f, func(b *process) { h.stop(ctx, f, b) })
	case BreakLine:
		h.breakLine(ctx, f)
	case MoveLeaders:
		h.tellBroker(ctx, f, "leaders")
	case RefuseRecords:
		h.tellBroker(ctx, f, "refuse")
	case Doubt:
		h.tellBroker(ctx, f, "doubt")
	case Storm:
		h.storm(ctx, f)
	case LoseStore:
		f.Lasts = h.cfg.StoreAway
		h.note(f, "store")
		h.counting(&h.storeless, func() { h.breakWire(ctx, f, h.toStore, Cut) })
	case CutCommits:
		h.note(f, "store")
		h.breakWire(ctx, f, h.toStore, AtCommit)
	case NoQuorum:
		h.counting(&h.quorumless, func() { h.noQuorum(ctx, f) })
	}
}

// counting adds to n the ids that were acknowledged during a fault.
func (h *harms) counting(n *int, fault func()) {
	before := h.acked()
	fault()
	h.mu.Lock()
	defer h.mu.Unlock()
	*n += h.acked() - before
}

// pick gives everybody a turn: the low byte of a draw counts up over the faults of
// its kind.
func pick[T any](of []T, f *Fault) T { return of[f.Draw&0xff%uint64(len(of))] }

func (h *harms) note(f *Fault, name string) {
	h.mu.Lock()
	h.faults[f.Kind.String()]++
	h.mu.Unlock()
	h.progress("%s: %s for %s", f.Kind, name, f.Lasts.Round(time.Millisecond))
}

func (h *harms) of(p *process) *harm {
	d := h.done[p.name]
	if d == nil {
		d = &harm{}
		h.done[p.name] = d
	}
	return d
}

func (h *harms) kill(f *Fault, p *process) {
	// A process that is not there is waited for: a fault that did nothing is none.
	for range 100 {
		if p.kill(f.Lasts) {
			h.note(f, p.name)
			h.mu.Lock()
			h.of(p).kills++
			h.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (h *harms) stop(ctx context.Context, f *Fault, p *process) {
	if !p.signal(sigStop) {
		return
	}
	h.note(f, p.name)
	h.mu.Lock()
	h.of(p).stops++
	h.mu.Unlock()
	rest(ctx, f.Lasts)
	p.signal(sigCont)
}

// ownerPatience bounds the wait for a group that other faults keep busy.
const ownerPatience = 8 * time.Second

// awaitOwner waits until an aggregator has partitions: one that has none is no
// zombie when it comes back.
func (h *harms) awaitOwner(ctx context.Context, a *process) {
	ctx, cancel := context.WithTimeout(ctx, ownerPatience)
	defer cancel()
	for ctx.Err() == nil {
		n, err := h.db.count(ctx, fmt.Sprintf("SELECT count(*) FROM positions WHERE owner LIKE '%%pid %d'", a.pid()))
		if err == nil && n > 0 {
			rest(ctx, 300*time.Millisecond) // and reads them
			return
		}
		rest(ctx, 100*time.Millisecond)
	}
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// inSyncPause is how long a broker of several needs, after it serves again, to have
// what it missed.
const inSyncPause = 5 * time.Second

// downBroker harms one broker, and no other until it has come back.
func (h *harms) downBroker(ctx context.Context, f *Fault, harm func(*process)) {
	b := pick(h.brokers, f)
	if len(h.brokers) == 1 {
		harm(b)
		return
	}
	h.quorum.Lock()
	defer h.quorum.Unlock()
	harm(b)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if b.awaitReady(ctx) == nil {
		rest(ctx, inSyncPause)
	}
}

// killStore ends the sessions of the store; every other time, where the server is
// the run's own, it kills one of the server's processes, after which the server
// recovers from its log.
func (h *harms) killStore(ctx context.Context, f *Fault) {
	if h.cfg.OwnServer && f.Draw&1 == 0 {
		pid, err := h.db.backend(ctx)
		if p, e := os.FindProcess(pid); err == nil && pid > 0 && e == nil && p.Signal(syscall.SIGKILL) == nil {
			h.note(f, "server")
			return
		}
	}
	if err := h.db.killSessions(ctx); err == nil {
		h.note(f, "sessions")
	}
}

// breakLine breaks one of the lines, in one of the ways.
func (h *harms) breakLine(ctx context.Context, f *Fault) {
	lines := h.proxies()
	p := lines[f.Draw>>8%uint64(len(lines))]
	wire := Wire(1 + f.Draw&0xff%uint64(Half))
	h.note(f, h.lineName(p)+" "+wire.String())
	h.mu.Lock()
	h.wires[h.lineName(p)+" "+wire.String()]++
	h.mu.Unlock()
	h.breakWire(ctx, f, p, wire)
}

// breakWire breaks a line for a while; where faults overlap, until the last is over.
func (h *harms) breakWire(ctx context.Context, f *Fault, p *Proxy, wire Wire) {
	h.mu.Lock()
	h.broken[p]++
	p.Set(wire)
	h.mu.Unlock()
	rest(ctx, f.Lasts)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.broken[p]--; h.broken[p] == 0 {
		p.Set(Open)
	}
}

func (h *harms) lineName(p *Proxy) string {
	for i, g := range h.toGateway {
		if g == p {
			return fmt.Sprintf("clients to gateway %d", i+1)
		}
	}
	if p == h.toStore {
		return "store"
	}
	return "broker"
}

// tellBroker makes a broker that can be told to misbehave do so.
func (h *harms) tellBroker(ctx context.Context, f *Fault, what string) {
	if len(h.controls) == 0 {
		return
	}
	for range 50 { // it may be dead just now
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.controls[0]+"/"+what, http.NoBody)
		if err != nil {
			return
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			if _ = res.Body.Close(); res.StatusCode == http.StatusOK {
				h.note(f, what)
				return
			}
		}
		rest(ctx, 50*time.Millisecond)
	}
}

// noQuorum leaves writes without enough replicas: a broker of one process says so, of
// several so many stand still.
func (h *harms) noQuorum(ctx context.Context, f *Fault) {
	if len(h.controls) > 0 {
		h.tellBroker(ctx, f, fmt.Sprintf("quorum?for=%s", f.Lasts))
		rest(ctx, f.Lasts)
		return
	}
	h.quorum.Lock()
	defer h.quorum.Unlock()
	h.note(f, "all brokers but one stand still")
	for _, b := range h.brokers[1:] {
		b.signal(sigStop)
	}
	rest(ctx, f.Lasts)
	for _, b := range h.brokers[1:] {
		b.signal(sigCont)
	}
	rest(ctx, inSyncPause)
}

// storm stops all brokers, and kills the gateways one after the other while they
// live on their disks.
func (h *harms) storm(ctx context.Context, f *Fault) {
	h.note(f, "brokers stand still")
	for _, b := range h.brokers {
		b.signal(sigStop)
	}
	for i, g := range h.gateways {
		rest(ctx, f.Lasts/3)
		kill := Fault{Kind: KillGateway, Draw: uint64(i), Lasts: 50 * time.Millisecond}
		h.kill(&kill, g)
	}
	rest(ctx, f.Lasts/3)
	for _, b := range h.brokers {
		b.signal(sigCont)
	}
}
