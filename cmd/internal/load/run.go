package load

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Modes of a report.
const (
	openLoop   = "open"
	closedLoop = "closed"
)

// run is a run under way.
type run struct {
	*Config
	material *material
	source   source
	recorder *recorder
	acks     *ackLog
	began    time.Time
	cut      atomic.Int64 // when the run was cut short, since it began

	corpus    []Case
	raw       [][][]byte // of the corpus, by target
	provoked  atomic.Uint64
	provokers chan struct{} // one for each malformed request under way
	malformed sync.WaitGroup
	casesMu   sync.Mutex
	cases     []CaseReport
}

// Run sends what cfg describes and returns the account of it. It ends by itself,
// at most Drain + Timeout after the profile; ctx cuts it short, and the report then
// covers what was offered until then.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r, err := newRun(&cfg)
	if err != nil {
		return nil, err
	}
	if a, ok := r.source.(*attackSource); ok {
		defer a.stop()
	}
	workers, err := r.workers()
	if err != nil {
		return nil, err
	}
	r.connect(ctx, workers)
	started := cfg.Now()
	r.began = started
	defer context.AfterFunc(ctx, func() { r.cut.Store(int64(r.elapsed())) })()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var helpers sync.WaitGroup
	helpers.Go(func() { r.rollEverySecond(background) })
	slowly := r.slowly(ctx, background, &helpers)
	var sending sync.WaitGroup
	for _, w := range workers {
		sending.Go(func() { w.work(ctx) })
	}
	sending.Wait()
	elapsed := r.elapsed()
	r.malformed.Wait() // some wait for the gateway's patience to end
	stop()
	helpers.Wait()
	r.recorder.roll(r.elapsed())
	return r.report(started, elapsed, ctx.Err() != nil, slowly), r.acks.flush()
}

func newRun(cfg *Config) (*run, error) {
	r := &run{
		Config: cfg, acks: newAckLog(cfg.AckLog),
		material:  &material{sender: cfg.Sender, people: crowd(cfg.Seed, cfg.Sender), items: cfg.Items},
		recorder:  newRecorder(min(cfg.Connections, 2*runtime.GOMAXPROCS(0)), cfg.Late),
		provokers: make(chan struct{}, cfg.Provokers),
	}
	end := cfg.Profile.Duration()
	switch {
	case cfg.Attack != nil:
		r.source = newAttackSource(cfg.Attack, end, cfg.Drain)
	case cfg.Closed:
		r.source = newClosedSource(cfg.Seed, cfg.Mix, end)
	default:
		r.source = &openSource{schedule: NewSchedule(cfg.Seed, cfg.Profile, cfg.Process, cfg.Mix), end: end + cfg.Drain}
	}
	if cfg.Mix[Reused]+cfg.Mix[Malformed] > 0 && cfg.Sender.Key != nil {
		w, err := newWriter(r.material, "", cfg.Entropy, cfg.Now)
		if err != nil {
			return nil, err
		}
		if r.material.reused, err = w.mint(cfg.Tokens); err != nil {
			return nil, fmt.Errorf("minting tokens: %w", err)
		}
	}
	if cfg.Mix[Malformed] > 0 {
		r.fillCorpus()
	}
	return r, nil
}

func (r *run) fillCorpus() {
	r.corpus = Corpus()
	for _, c := range r.corpus {
		r.cases = append(r.cases, CaseReport{Name: c.Name, Outcomes: map[string]int64{}})
	}
	for _, t := range r.Targets {
		var raw [][]byte
		for i := range r.corpus {
			raw = append(raw, r.corpus[i].filled(t.Host, r.material))
		}
		r.raw = append(r.raw, raw)
	}
}

// worker is one connection.
type worker struct {
	*run
	number int
	target *Target
	client client
	writer *writer
	timer  *time.Timer
}

func (r *run) workers() ([]*worker, error) {
	var all []*worker
	for i := range r.Connections {
		t := r.Targets[i%len(r.Targets)]
		w := &worker{
			run: r, number: i, target: t,
			client: client{dial: r.Dial, address: t.Address, timeout: r.Timeout},
			timer:  time.NewTimer(time.Hour),
		}
		w.timer.Stop()
		var err error
		if w.writer, err = newWriter(r.material, t.Host, r.Entropy, r.Now); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

// connect opens all connections before the clock starts. What fails here is tried
// again, and counted, when there is something to send.
func (r *run) connect(ctx context.Context, workers []*worker) {
	var all sync.WaitGroup
	const atOnce = 64
	for first := range min(atOnce, len(workers)) {
		all.Go(func() {
			for i := first; i < len(workers); i += atOnce {
				_ = workers[i].client.ready(ctx, r.Now())
			}
		})
	}
	all.Wait()
}

func (r *run) elapsed() time.Duration { return r.Now().Sub(r.began) }

// rollEverySecond makes the rows of the series.
func (r *run) rollEverySecond(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			row := r.recorder.roll(r.elapsed())
			if r.Progress != nil {
				r.Progress(row)
			}
		case <-ctx.Done():
			return
		}
	}
}

// slowly starts the slow connections, which live for as long as the profile.
func (r *run) slowly(ctx, background context.Context, helpers *sync.WaitGroup) *slow {
	if r.Slow.Connections == 0 {
		return nil
	}
	s := &slow{cfg: r.Slow, dial: r.Dial, targets: r.Targets, now: r.Now}
	helpers.Go(func() {
		limited, cancel := context.WithTimeout(background, r.Profile.Duration())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		s.run(limited)
	})
	return s
}

// work sends one arrival after the other.
func (w *worker) work(ctx context.Context) {
	defer w.client.shut()
	// A request that has begun is not given up when the run is cut short: its
	// answer may be an acknowledgement.
	lasting := context.WithoutCancel(ctx)
	for {
		a, ok := w.source.take(w.elapsed())
		if !ok {
			return
		}
		if !w.await(ctx, a.At) {
			if a.At > w.elapsed() { // was not due, so it was not offered
				w.source.giveBack(a)
			}
			return
		}
		if a.Class == Malformed {
			w.provoke(lasting, a)
		} else {
			w.send(lasting, a)
		}
		// What the server has closed is opened now, not when somebody waits.
		if w.client.conn == nil && ctx.Err() == nil {
			_ = w.client.ready(ctx, w.Now())
		}
	}
}

// await returns at an instant of the run, or false when ctx ended before it.
func (w *worker) await(ctx context.Context, at time.Duration) bool {
	d := at - w.elapsed()
	if d <= 0 {
		return ctx.Err() == nil
	}
	w.timer.Reset(d)
	select {
	case <-w.timer.C:
		return true
	case <-ctx.Done():
		w.timer.Stop()
		return false
	}
}

// send sends one request and records what became of it. It allocates nothing in
// steady state.
func (w *worker) send(ctx context.Context, a Arrival) {
	start := w.Now()
	res := result{class: a.Class, late: start.Sub(w.began) - a.At}
	answer, err := w.exchange(ctx, a, start)
	end := w.Now()
	res.latency = end.Sub(w.began) - a.At
	if res.failure = failureOf(err); res.failure == answered {
		ids, n := acknowledged(a.Class, &answer, w.writer.sent, w.writer.clicks)
		res.status, res.close, res.acked = answer.status, answer.close, n
		w.acks.write(end, a.Class, ids)
	}
	w.recorder.put(w.number, &res)
}

func (w *worker) exchange(ctx context.Context, a Arrival, now time.Time) (answer, error) {
	request, err := w.request(&a)
	if err != nil {
		return answer{}, errProtocol // not reached: what is minted was minted before
	}
	if err := w.client.ready(ctx, now); err != nil {
		return answer{}, err
	}
	return w.client.do(request, now)
}

func (w *worker) request(a *Arrival) ([]byte, error) {
	if a.attack != nil {
		return w.writer.attack(w.Attack, a.attack)
	}
	return w.writer.request(a.Class, a.Draw)
}

// provoke sends a malformed request beside the worker's own connection, because
// some are only answered when the gateway's patience ends.
func (w *worker) provoke(ctx context.Context, a Arrival) {
	select {
	case w.provokers <- struct{}{}:
	default:
		return // counted as offered, and so as unsent
	}
	i := int((w.provoked.Add(1) - 1) % uint64(len(w.corpus)))
	raw := w.raw[w.number%len(w.Targets)][i]
	w.malformed.Go(func() {
		defer func() { <-w.provokers }()
		start := w.Now()
		answer, err := provoke(ctx, w.Dial, w.target.Address, raw, w.Timeout, start)
		end := w.Now()
		w.recorder.put(w.number, &result{
			class: Malformed, failure: failureOf(err), status: answer.status, close: answer.close,
			latency: end.Sub(w.began) - a.At, late: start.Sub(w.began) - a.At,
		})
		w.casesMu.Lock()
		defer w.casesMu.Unlock()
		w.cases[i].Sent++
		w.cases[i].Outcomes[outcome(answer, err)]++
	})
}

func (r *run) report(started time.Time, elapsed time.Duration, interrupted bool, slowly *slow) *Report {
	rep := &Report{
		Started: started, Mode: openLoop, Mix: r.Mix.String(), Seed: r.Seed, Connections: r.Connections,
		ElapsedS: elapsed.Seconds(), Interrupted: interrupted, Malformed: r.cases, Series: r.recorder.rows,
	}
	if r.Attack != nil {
		rep.Attack = r.Attack.String()
	}
	for _, t := range r.Targets {
		rep.Targets = append(rep.Targets, t.URL)
	}
	until := MaxDuration // all of the schedule
	if interrupted {
		until = time.Duration(r.cut.Load())
	}
	r.fillClasses(rep, r.source.offered(until), elapsed)
	if slowly != nil {
		rep.Slow = &slowly.report
	}
	if r.Closed {
		rep.Mode = closedLoop
		return rep
	}
	rep.Rate = r.Profile.String()
	r.judge(rep)
	return rep
}

func (r *run) fillClasses(rep *Report, offered [numClasses]int64, elapsed time.Duration) {
	total := &classRecord{good: newHistogram(), refused: newHistogram()}
	all := int64(0)
	for i := range r.recorder.total.classes {
		c := &r.recorder.total.classes[i]
		if offered[i] == 0 {
			continue
		}
		rep.Classes = append(rep.Classes, classReport(Class(i).String(), c, offered[i], elapsed))
		total.counts.add(&c.counts)
		merge(total.good, c.good)
		merge(total.refused, c.refused)
		all += offered[i]
	}
	rep.Total = classReport("total", total, all, elapsed)
}

// judge tells whether the run kept its schedule.
func (r *run) judge(rep *Report) {
	t := r.recorder.total
	rep.Late = Late{LimitMS: float64(r.Late.Microseconds()) / 1000, Behind: t.behind, Unsent: rep.Total.Unsent, Latency: latencyOf(t.late)}
	if rep.Total.Offered > 0 {
		rep.Late.Share = float64(t.behind+rep.Late.Unsent) / float64(rep.Total.Offered)
	}
	if rep.Late.Share > r.MaxBehind {
		rep.Void = true
		rep.Reasons = append(rep.Reasons, fmt.Sprintf(
			"%.2f %% of arrivals started more than %s late or never, more than the %.2f %% that are allowed: the load on the gateway was not what was asked for; use more connections, a lower rate or a machine of its own for the generator",
			100*rep.Late.Share, r.Late, 100*r.MaxBehind))
	}
}
