package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"clickgate/gateway/click"
)

// Bounds of what a run waits for, besides its load.
const (
	buildLimit = 2 * time.Minute
	drainLimit = 4 * time.Minute
	closeLimit = 2 * time.Minute
)

// Run builds a world, loads and harms it, mends it, waits until everything is read,
// and checks. An error says that the run could not be made; what it found stands in
// the report. Everything it started has ended when it returns.
func Run(ctx context.Context, cfg Config) (rep *Report, err error) {
	building, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	w, err := build(building, &cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.end(context.WithoutCancel(ctx))) }()
	r := &run{world: w, ledger: NewLedger(gateways), meters: newMeters(), began: time.Now()}
	r.harms = newHarms(w, r.began, r.progress)
	r.harms.acked = r.ledger.Acked
	return r.do(ctx)
}

// run is one run in its world.
type run struct {
	*world
	ledger  *Ledger
	senders *senders
	harms   *harms
	meters  *meters
	venom   []*Venom
	began   time.Time
	unruly  []Failure // ends that were not orderly
}

func (r *run) do(ctx context.Context) (*Report, error) {
	var targets []string
	for _, p := range r.toGateway {
		targets = append(targets, "http://"+p.Addr())
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], r.cfg.Seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(time.Now().UnixNano())) // ids are new in every run
	var err error
	if r.senders, err = newSenders(r.ledger, targets, r.apiKey, r.token, seed); err != nil {
		return nil, err
	}
	r.senders.watch.weather = &r.harms.weather
	if err := r.harmWhileLoaded(ctx); err != nil {
		return nil, err
	}
	loaded := time.Now()
	r.progress("the load ends with %d ids acknowledged; draining", r.ledger.Acked())
	unread, err := r.drain(ctx)
	if err != nil {
		return nil, err
	}
	drained := time.Now()
	if err := r.closeHours(ctx); err != nil {
		return nil, err
	}
	closed := time.Now()
	rep, err := r.judge(ctx, unread)
	if err != nil {
		return nil, err
	}
	rep.LoadSeconds, rep.DrainSeconds, rep.CloseSeconds = loaded.Sub(r.began).Seconds(), drained.Sub(loaded).Seconds(), closed.Sub(drained).Seconds()
	return rep, nil
}

// harmWhileLoaded plays both schedules to their ends.
func (r *run) harmWhileLoaded(ctx context.Context) error {
	poisoner, err := r.newPoisoner()
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	var under sync.WaitGroup
	under.Go(func() { r.meters.follow(watching, r.admins[:1]) })
	var harmed sync.WaitGroup
	harmed.Go(func() { poisoner.run(ctx, r.cfg.Seed, r.cfg.Lasts) })
	harmed.Go(func() {
		r.harms.play(ctx, Plan(r.cfg.Seed, r.cfg.Deck, r.cfg.Lasts, 2*r.cfg.Session+2*time.Second))
	})
	r.senders.run(ctx, r.cfg.Seed, r.cfg.Rate, r.cfg.Lasts)
	harmed.Wait()
	stop()
	under.Wait()
	flushing, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	r.venom, err = poisoner.end(flushing)
	return err
}

func (r *run) progress(format string, args ...any) {
	if r.cfg.Progress != nil {
		fmt.Fprintf(r.cfg.Progress, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// drain ends the gateways in order, so that all they have is in Kafka, waits until
// the store has read to the end, and ends the aggregators. What stays unread is
// returned. Idleness would prove nothing: a group may rest for seconds.
func (r *run) drain(ctx context.Context) (unread []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := r.db.await(ctx); err != nil {
		return nil, err
	}
	for _, group := range [][]*process{r.brokers, r.aggregators, r.gateways} {
		if err := awaitAll(ctx, group); err != nil {
			return nil, err
		}
	}
	for _, g := range r.gateways {
		if err := r.stopGateway(ctx, g); err != nil {
			return nil, err
		}
	}
	if unread, err = r.awaitRead(ctx); err != nil {
		return nil, err
	}
	for _, a := range r.aggregators {
		if err := a.stop(ctx); err != nil {
			r.unruly = append(r.unruly, Failure{Rule: Account, Text: fmt.Sprintf("%s did not end in order: %v; see %s", a.name, err, a.log.Name())})
		}
	}
	return unread, nil
}

// stopGateway ends a gateway in order. One whose backlog does not go out within its
// own patience says so and is started again, which is what an operator would do.
func (r *run) stopGateway(ctx context.Context, g *process) error {
	for {
		err := g.stop(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s did not drain: %w; see %s", g.name, err, g.log.Name())
		}
		r.progress("%s left something on its disk; it starts again", g.name)
		again, err := launch(g.name, g.log.Name(), g.command, g.ready)
		if err != nil {
			return err
		}
		again.lives, again.stumbles = g.lives+again.lives, g.stumbles
		for i := range r.gateways {
			if r.gateways[i] == g {
				r.gateways[i] = again
			}
		}
		g = again
		if err := g.awaitReady(ctx); err != nil {
			return err
		}
		time.Sleep(2 * time.Second)
	}
}

// closeHours closes what is open, late clicks included.
func (r *run) closeHours(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	for {
		// A lease that a killed closer left ends by itself.
		out, err := r.world.run(ctx, "hours", "close", "--close-now", "--why", "a crash run ends", "--set", "store.dsn="+r.db.dsn)
		switch {
		case err == nil:
			continue // once more: it tells when nothing is left
		case strings.Contains(out, "no open hour"):
			return nil
		case ctx.Err() != nil:
			return err
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// judge reads everything and makes the report.
func (r *run) judge(ctx context.Context, unread []string) (*Report, error) {
	if err := r.find(ctx, r.venom); err != nil {
		return nil, err
	}
	stored, err := r.db.read(ctx, r.keys)
	if err != nil {
		return nil, fmt.Errorf("reading what is stored: %w", err)
	}
	stored.Unread, stored.Venom, stored.Felt = unread, r.venom, r.senders.watch.felt()
	verdict, unknown, err := r.db.books(ctx)
	if err != nil {
		return nil, err
	}
	stored.Books = verdict
	names, err := r.gatewayNames()
	if err != nil {
		return nil, err
	}
	for i, open := range r.ledger.Unanswered() {
		stored.Unknown = append(stored.Unknown, Unknown{names[i], unknown[names[i]], int64(open)})
	}
	failures := Check(r.ledger.Entries(), stored)
	failures = append(failures, r.strange()...)
	rep := r.report(stored, failures)
	if rep.Activity.Late, err = r.db.count(ctx, "SELECT count(*) FROM late_clicks"); err != nil {
		return nil, err
	}
	if rep.Activity.Wrong, err = r.db.count(ctx, wrongSQL); err != nil {
		return nil, err
	}
	rep.Void = rep.Activity.lacks(r.least())
	r.explain(ctx, rep)
	return rep, nil
}

// gatewayNames are those in ingest ids, from the spools' folders.
func (r *run) gatewayNames() ([]string, error) {
	var names []string
	for _, dir := range r.spools {
		id, err := os.ReadFile(filepath.Join(dir, "gateway-id"))
		if err != nil {
			return nil, err
		}
		names = append(names, "crash/"+strings.TrimSpace(string(id)))
	}
	return names, nil
}

// strange are answers and ends that no program should give or have.
func (r *run) strange() []Failure {
	failures := r.unruly
	if text := r.senders.surprise.Load(); text != nil {
		failures = append(failures, Failure{Rule: Account, Text: fmt.Sprintf("%d answers that no gateway should give, the first: %s", r.senders.unexpected.Load(), *text)})
	}
	for _, p := range r.processes() {
		if n := occurrences(p.log.Name(), "panic: ", "fatal error: ", "DATA RACE"); n > 0 {
			failures = append(failures, Failure{Rule: BrokeDown, Text: fmt.Sprintf("%s broke down %d times; see %s", p.name, n, p.log.Name())})
		}
	}
	return failures
}

// occurrences counts lines of a log that hold one of some texts.
func occurrences(name string, texts ...string) (n int64) {
	f, err := os.Open(name)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		for _, text := range texts {
			if strings.Contains(lines.Text(), text) {
				n++
				break
			}
		}
	}
	return n
}

// wrongSQL counts clicks that were stamped by a clock that was wrong: a server's own
// time stands beside them.
const wrongSQL = `SELECT count(*) FROM clicks WHERE abs(extract(epoch FROM ingested_at - received_at)) > 180`

// least is what must have happened at the least, without what the run went without.
func (r *run) least() *Activity {
	least := r.cfg.Least
	if r.redis == nil {
		least.Redis, least.Hints = 0, 0
	}
	return &least
}

const examples = 3 // of each rule

func (r *run) report(s *Stored, failures []Failure) *Report {
	rep := &Report{
		Seed: r.cfg.Seed, Form: r.cfg.Form, Mistake: r.cfg.Mistake, Faults: r.harms.faults, Wires: r.harms.wires, Unknown: s.Unknown,
		Felt: s.Felt, Without: r.without,
		Failures: make(map[string]int),
		Stored:   map[string]int64{"clicks": int64(len(s.Clicks)), "redeliveries": int64(len(s.Redelivered)), "dead_letters": int64(len(s.Letters))},
	}
	for _, f := range failures {
		if rep.Failures[f.Rule]++; rep.Failures[f.Rule] <= examples {
			rep.Examples = append(rep.Examples, f)
		}
	}
	a := &rep.Activity
	a.Acked, a.Unsent = int64(r.ledger.Acked()), r.senders.unsent.Load()
	a.Resent, a.Retries = r.senders.resent.Load(), r.senders.retries.Load()
	a.Redelivery, a.Letters = int64(len(s.Redelivered)), int64(len(s.Letters))
	for i := range s.Clicks {
		switch s.Clicks[i].State {
		case click.Valid:
			a.Valid++
		case click.Duplicate:
			a.Duplicates++
		}
	}
	for _, n := range r.harms.wires {
		a.Lines += int64(n)
	}
	for _, v := range s.Venom {
		if v.Acked {
			a.Poison++
		}
	}
	a.Refused = int64(len(s.PoisonLetters))
	r.lives(rep)
	return rep
}

// lives reports what became of each process.
func (r *run) lives(rep *Report) {
	a := &rep.Activity
	stores := r.harms.faults[KillStore.String()]
	a.Kills, a.EachKilled = int64(stores), int64(stores)
	for _, p := range r.processes() {
		h := r.harms.of(p)
		lives, stumbles := p.counts()
		rep.Processes = append(rep.Processes, ProcessReport{p.name, h.kills, h.stops, lives, stumbles})
		a.Kills += int64(h.kills)
		a.EachKilled = min(a.EachKilled, int64(h.kills))
	}
	rep.Processes = append(rep.Processes, ProcessReport{Name: "store", Kills: stores, Lives: 1 + stores})
	for _, p := range r.aggregators {
		a.Fenced += occurrences(p.log.Name(), "owned by another aggregator")
	}
	a.Zombies = int64(r.harms.faults[StopAggregator.String()])
	a.Diverted = r.meters.sum("clickgate_durable_produce_errors_total")
	a.Spooled = r.meters.sum("clickgate_spool_records_total")
	a.Hints = r.meters.sum(`clickgate_hints_ids_total{answer="first"}`) + r.meters.sum(`clickgate_hints_ids_total{answer="repeated"}`)
	a.Storeless, a.Quorumless, a.Commits = int64(r.harms.storeless), int64(r.harms.quorumless), int64(r.toStore.Commits())
	a.Jumps = 2 * int64(r.harms.faults[JumpClock.String()])
	a.Redis = int64(r.harms.faults[redisFaults[0].String()])
	for _, kind := range redisFaults[1:] {
		a.Redis = min(a.Redis, int64(r.harms.faults[kind.String()]))
	}
}

// explain adds to the examples what the program itself knows of the event.
func (r *run) explain(ctx context.Context, rep *Report) {
	for i := range rep.Examples {
		f := &rep.Examples[i]
		if f.ID.IsZero() {
			continue
		}
		out, err := r.world.run(ctx, "trace", f.ID.String(), "--set", "store.dsn="+r.db.dsn)
		if err != nil {
			out = "no event has this id"
		}
		f.Text += "; clickgate trace: " + strings.Join(strings.Fields(out), " ")
	}
}
