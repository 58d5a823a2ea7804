package aggregate_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// timeline plays a history as time goes by: gateways that lose Kafka for hours and
// send their spool later, marks, and a closer that looks all the while. What must come
// out is worked out beside it, by other means.
type timeline struct {
	*desk
	rng      *rand.Rand
	h        *history
	late     []*click.Click
	gateways []*spooling
	closer   *aggregate.Closer
	waited   int // rounds in which an hour was held after it was due
}

// spooling is a gateway with its scorer, its spool, and when it has no Kafka.
type spooling struct {
	name     string
	scorer   *scoring.Scorer
	from, to int64 // of the outage
	clicks   []*click.Click
	seq      uint64
}

const step = 20 * minute

// newTimeline draws what happens; the mistake is built into store and judge.
func newTimeline(t testing.TB, seed uint64, gateways int, outages bool, m *mistake) *timeline {
	t.Helper()
	w := &timeline{desk: newDesk(t), rng: rand.New(rand.NewPCG(seed, uint64(gateways))), h: newHistory(rand.New(rand.NewPCG(seed, 1)))}
	w.h.borders()
	for i := range gateways {
		g := &spooling{name: fmt.Sprint("eu/g", i), scorer: newScorer(w.desk, w.rng.Uint64())}
		if outages && i > 0 {
			g.from = aggregate.TestTime + 50*minute + w.rng.Int64N(15*minute)
			g.to = g.from + hour + w.rng.Int64N(4*hour)
		}
		w.gateways = append(w.gateways, g)
	}
	cfg := scoring.DefaultConfig()
	cfg.MaxKeys = 4096
	judge, err := scoring.NewJudge(cfg, nil, nil)
	w.must(err)
	closing := aggregate.DefaultConfig().Close
	closing.Batch = 97
	w.closer, err = aggregate.NewCloser(closing, aggregate.CloserDependencies{
		Store: mistaken{w.store, m}, Judge: mistakenJudge{judge, m}, Owner: "one", Version: "test", Logger: slog.New(slog.DiscardHandler),
		Now:   func() time.Time { return w.clock },
		Terms: func(string, string) aggregate.SourceTerms { return aggregate.SourceTerms{Grace: 15 * minute} },
	})
	w.must(err)
	return w
}

func newScorer(d *desk, seed uint64) *scoring.Scorer {
	d.Helper()
	l, err := lists()
	d.must(err)
	cfg := scoring.DefaultConfig()
	cfg.MaxKeys = 4096
	s, err := scoring.New(cfg, l, seed, nil)
	d.must(err)
	return s
}

// borders adds pairs exactly two seconds apart, a microsecond less, and over an hour's
// border.
func (h *history) borders() {
	n := uint64(100_000)
	for i, at := range []int64{50 * minute, 52 * minute, hour - second, 62 * minute} {
		for j, apart := range []int64{2 * second, 2*second - 1} {
			addr := netip.AddrFrom4([4]byte{203, 0, 120, byte(10*i + j)})
			for _, t := range []int64{at, at + apart} {
				n++
				c := aggregate.NewClick(n, aggregate.TestTime+t, func(c *click.Click) {
					c.IPKey, c.AgentKey, c.PlacementID = click.Key(addr.As16()), click.Key{1}, "place"
					c.Verdict = click.Verdict{}
				})
				h.clicks = append(h.clicks, c)
				h.sig[c.EventID] = click.Signals{IP: addr, UserAgent: browser}
			}
		}
	}
}

// play lets the time pass, a step at a time, and closes what may close.
func (w *timeline) play() error {
	coming := make([]*click.Click, 0, len(w.h.clicks))
	for _, c := range w.h.clicks {
		own := *c
		own.ReceivedAt = c.EventTime + w.rng.Int64N(5*second)
		coming = append(coming, &own)
	}
	slices.SortFunc(coming, func(a, b *click.Click) int { return cmp.Compare(a.ReceivedAt, b.ReceivedAt) })
	for at := aggregate.TestTime + 40*minute; at <= aggregate.TestTime+7*hour; at += step {
		w.clock = time.UnixMicro(at)
		for len(coming) > 0 && coming[0].ReceivedAt < at {
			w.gateways[w.rng.IntN(len(w.gateways))].take(coming[0], w.h)
			coming = coming[1:]
		}
		for _, g := range w.gateways {
			w.forward(g, at)
		}
		if err := w.look(at); err != nil {
			return err
		}
	}
	return w.comeLate()
}

func (g *spooling) take(c *click.Click, h *history) {
	sig := h.sig[c.EventID]
	g.scorer.Score(c, &sig)
	g.seq++
	c.Ingest = click.IngestID{Gateway: g.name, Boot: 1, Seq: g.seq}
	g.clicks = append(g.clicks, c)
}

// forward sends what a gateway has, and its mark; after an outage only half of it at
// first, of which the mark tells.
func (w *timeline) forward(g *spooling, now int64) {
	if now >= g.from && now < g.to {
		return
	}
	w.rng.Shuffle(len(g.clicks), func(i, j int) { g.clicks[i], g.clicks[j] = g.clicks[j], g.clicks[i] })
	n := len(g.clicks)
	if g.from != 0 && now < g.to+step && now >= g.to {
		n /= 2
	}
	var batch []*click.Click
	for _, c := range g.clicks[:n] {
		batch = append(batch, c)
		if w.rng.IntN(10) == 0 { // our own copy, or the sender's
			again := *c
			again.Ingest.Seq += uint64(w.rng.IntN(2)) * 1_000_000
			batch = append(batch, &again)
		}
	}
	g.clicks = g.clicks[n:]
	w.put(batch...)
	w.mark(g.name, 1, now, func(m *click.Mark) { m.Oldest = oldest(g.clicks) })
}

func oldest(unsent []*click.Click) (out []click.SourceTime) {
	by := map[string]int64{}
	for _, c := range unsent {
		if at, ok := by[c.SourceID]; !ok || c.EventTime < at {
			by[c.SourceID] = c.EventTime
		}
	}
	for s, at := range by {
		out = append(out, click.SourceTime{TenantID: "acme", SourceID: s, OldestUnsent: at})
	}
	return out
}

func (w *timeline) look(now int64) error {
	plans, err := w.closer.Plan(w.Context())
	if err != nil {
		return err
	}
	if len(plans) > 0 && plans[0].Due <= now && plans[0].Hold != "" {
		w.waited++
	}
	_, err = w.closer.RunOnce(w.Context())
	return err
}

const lateClicks = 6

// comeLate brings clicks of closed hours, each of a person of its own.
func (w *timeline) comeLate() error {
	for i := range uint64(lateClicks) {
		c := w.click(200_000+i, aggregate.TestTime+55*minute+int64(i)*3*minute, person(byte(250+i%5)), func(c *click.Click) {
			c.AgentKey = click.Key{byte(i), 7}
			c.Verdict = click.Verdict{State: click.Valid, VectorVersion: scoring.VectorVersion}
		})
		w.late = append(w.late, c)
	}
	w.put(w.late...)
	_, err := w.closer.RunOnce(w.Context())
	return err
}

// problems compares what is stored with what must be.
func (w *timeline) problems() (out []string) {
	got, _ := w.states()
	want := w.want()
	for id, s := range want {
		if got[id] != s {
			out = append(out, fmt.Sprintf("click %s is %q, want %q", id, got[id], s))
		}
	}
	if len(got) != len(want) {
		out = append(out, fmt.Sprintf("%d clicks in closed hours, want %d", len(got), len(want)))
	}
	l, err := w.store.Ledger(w.Context(), aggregate.LedgerQuery{})
	w.must(err)
	for _, x := range l.Totals {
		if x.Rows != x.Minutes {
			out = append(out, fmt.Sprintf("%v: %d rows, %d in minute counts", x.State, x.Rows, x.Minutes))
		}
	}
	data, err := w.store.Statement(w.Context(), aggregate.BillingQuery{})
	w.must(err)
	if n := len(l.Closed) + len(w.lateUnits()); n > 0 || len(data.Adjustments) != lateClicks {
		out = append(out, fmt.Sprintf("%d unexplained or unsettled, %d adjustments, want %d", n, len(data.Adjustments), lateClicks))
	}
	return out
}

// want works out the final verdicts from the history alone: a fresh live scorer that
// sees the clicks in order, a judge that sees each source's hour with the one before it
// at once, then repeats in plain lists, unit by unit.
func (w *timeline) want() map[click.ID]string {
	clicks := make([]*click.Click, len(w.h.clicks))
	for i, c := range w.h.clicks {
		own := *c
		clicks[i] = &own
	}
	slices.SortFunc(clicks, func(a, b *click.Click) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), slices.Compare(a.EventID[:], b.EventID[:]))
	})
	scorer := newScorer(w.desk, 5)
	for _, c := range clicks {
		sig := w.h.sig[c.EventID]
		scorer.Score(c, &sig)
	}
	hourOf := func(c *click.Click) int64 { return c.EventTime / hour }
	w.judgeHours(clicks, hourOf)
	slices.SortStableFunc(clicks, func(a, b *click.Click) int {
		return cmp.Or(cmp.Compare(hourOf(a), hourOf(b)), cmp.Compare(a.SourceID, b.SourceID))
	})
	want, billed := map[click.ID]string{}, []*click.Click(nil)
	for _, c := range clicks {
		if c.Verdict.State == click.Suspect {
			c.Verdict.State = click.SIVT
		}
		if c.Verdict.State == click.Valid {
			if r := repeatOf(c, billed); r != click.ReasonNone {
				c.Verdict.State, c.Verdict.Reasons = click.Duplicate, c.Verdict.Reasons.Set(r)
			} else {
				billed = append(billed, c)
			}
		}
		want[c.EventID] = fmt.Sprint(c.Verdict.State, c.Verdict.Reasons.Codes())
	}
	return want
}

// judgeHours gives the clicks, which are in order, the verdicts of their hours.
func (w *timeline) judgeHours(clicks []*click.Click, hourOf func(*click.Click) int64) {
	cfg := scoring.DefaultConfig()
	cfg.MaxKeys = 4096
	judge, err := scoring.NewJudge(cfg, nil, nil)
	w.must(err)
	type unit struct {
		source string
		hour   int64
	}
	verdicts := map[*click.Click]click.Verdict{}
	for _, c := range clicks {
		u := unit{c.SourceID, hourOf(c)}
		if _, done := verdicts[c]; done {
			continue
		}
		from, look, decide, err := judge.Begin("", u.source, u.hour*hour)
		w.must(err)
		each := func(first int64, f func(*click.Click)) {
			for _, o := range clicks {
				if o.SourceID == u.source && hourOf(o) >= first && hourOf(o) <= u.hour {
					f(o)
				}
			}
		}
		each(from/hour, look)
		each(u.hour-1, func(o *click.Click) {
			if v := decide(o); hourOf(o) == u.hour {
				verdicts[o] = v
			}
		})
	}
	for c, v := range verdicts {
		c.Verdict = v
	}
}

func repeatOf(c *click.Click, billed []*click.Click) click.Reason {
	for _, b := range billed {
		near := max(c.EventTime-b.EventTime, b.EventTime-c.EventTime) < 2*second
		same := c.ClickID == b.ClickID
		if c.ClickID.IsZero() {
			same = same && near && aggregate.RepeatKey(c) == aggregate.RepeatKey(b)
		}
		switch {
		case !same:
		case b.SourceID != c.SourceID:
			return click.ReasonSameClick
		case near:
			return click.ReasonDoubleClick
		default:
			return click.ReasonRepeat
		}
	}
	return click.ReasonNone
}

// TestHoursCloseAsTimeGoesBy: with one gateway, with three, with outages of hours: the
// hours close with the verdicts and the hashes of the one that saw everything at once.
func TestHoursCloseAsTimeGoesBy(t *testing.T) {
	t.Parallel()
	const seed = 11
	var first []aggregate.ClosedUnit
	for _, way := range []struct {
		gateways int
		outages  bool
	}{{1, false}, {3, false}, {3, true}} {
		w := newTimeline(t, seed, way.gateways, way.outages, nil)
		w.must(w.play())
		for _, p := range w.problems() {
			t.Errorf("%+v: %s", way, p)
		}
		units := w.units()
		for i := range units {
			units[i].ClosedAt = 0
		}
		if first == nil {
			first = units
		}
		if !slices.Equal(units, first) || len(units) != 4 {
			t.Errorf("%+v: closed\n%+v, want\n%+v", way, units, first)
		}
		states, changed := w.states()
		demandActivity(w, states, changed)
		if way.outages != (w.waited >= 3) {
			t.Errorf("%+v: hours waited in %d rounds", way, w.waited)
		}
	}
}

// mistake is something that closing could do wrong.
type mistake struct {
	name string

	clicks func(ctx context.Context, tx aggregate.ClosingTx, held, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error)
	bill   func(ctx context.Context, tx aggregate.ClosingTx, rows []aggregate.Billing) ([]aggregate.Billed, error)
	// The rest are done or left out.
	noMarks, noLate, noDeltas, keepVerdicts bool
}

// TestMistakesInClosingAreFound: each seeded mistake shows in what the timeline
// compares, or the comparison proves nothing.
func TestMistakesInClosingAreFound(t *testing.T) {
	t.Parallel()
	if raceEnabled {
		t.Skip("SQLite is twenty times slower under the race detector; the mistakes are found without it, and the timeline itself runs with it")
	}
	type tx = aggregate.ClosingTx
	for _, m := range []*mistake{
		{name: "order of receipt", clicks: func(ctx context.Context, x tx, held, u aggregate.Unit, late bool, after aggregate.ClickPosition, _ int) ([]aggregate.StoredClick, error) {
			if after != (aggregate.ClickPosition{}) {
				return nil, nil
			}
			out, err := x.UnitClicks(ctx, u, late, after, 100_000)
			slices.SortFunc(out, func(a, b aggregate.StoredClick) int { return cmp.Compare(a.ReceivedAt, b.ReceivedAt) })
			return out, err
		}},
		{name: "no warm-up", clicks: func(ctx context.Context, x tx, held, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error) {
			if u != held {
				return nil, nil
			}
			return x.UnitClicks(ctx, u, late, after, limit)
		}},
		{name: "identities of one batch", bill: func(_ context.Context, _ tx, rows []aggregate.Billing) ([]aggregate.Billed, error) {
			return billInMemory(rows, false), nil
		}},
		{name: "two seconds included", bill: func(ctx context.Context, x tx, rows []aggregate.Billing) ([]aggregate.Billed, error) {
			out, err := x.Bill(ctx, rows)
			for i, b := range billInMemory(rows, true) {
				if err == nil && out[i].EventID.IsZero() && !b.EventID.IsZero() {
					out[i] = b
				}
			}
			return out, err
		}},
		{name: "each source bills for itself", bill: func(ctx context.Context, x tx, rows []aggregate.Billing) ([]aggregate.Billed, error) {
			own := slices.Clone(rows)
			for i := range own {
				own[i].ClickID[1] ^= own[i].SourceID[0]
			}
			return x.Bill(ctx, own)
		}},
		{name: "marks are not waited for", noMarks: true},
		{name: "late clicks are forgotten", noLate: true},
		{name: "counts do not move", noDeltas: true},
		{name: "provisional verdicts stand", keepVerdicts: true},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := newTimeline(t, 11, 3, true, m)
			err := w.play()
			found := w.problems()
			if len(found) > 0 {
				t.Logf("%d problems, such as: %s", len(found), found[0])
			}
			if err == nil && len(found) == 0 {
				t.Error("the mistake is not found")
			}
			if err != nil {
				t.Errorf("the mistake must show in the figures, not as %v", err)
			}
		})
	}
}

// billInMemory knows the rows of one call alone; closed makes the window two seconds
// and not less.
func billInMemory(rows []aggregate.Billing, closed bool) []aggregate.Billed {
	out := make([]aggregate.Billed, len(rows))
	for i, r := range rows {
		for _, b := range rows[:i] {
			apart := max(r.EventTime-b.EventTime, b.EventTime-r.EventTime)
			token := !r.ClickID.IsZero() && r.ClickID == b.ClickID
			near := r.ClickID.IsZero() && r.RepeatKey == b.RepeatKey && b.ClickID.IsZero() && (apart < 2*second || closed && apart == 2*second)
			if near || token && !closed {
				out[i] = aggregate.Billed{EventKey: b.EventKey, EventTime: b.EventTime, SourceID: b.SourceID, Hour: b.Hour}
				break
			}
		}
	}
	return out
}

// mistaken is the closer's side of a store with a mistake in it.
type mistaken struct {
	aggregate.Closing
	m *mistake
}

func (s mistaken) StoredMarks(ctx context.Context) ([]aggregate.StoredMark, error) {
	marks, err := s.Closing.StoredMarks(ctx)
	for i := range marks {
		if s.m != nil && s.m.noMarks {
			marks[i].Mark.At, marks[i].Mark.Oldest = aggregate.TestTime+100*hour, nil
		}
	}
	return marks, err
}

func (s mistaken) LateUnits(ctx context.Context) ([]aggregate.Unit, error) {
	if s.m != nil && s.m.noLate {
		return nil, nil
	}
	return s.Closing.LateUnits(ctx)
}

func (s mistaken) InClosing(ctx context.Context, u aggregate.Unit, fence int64, f func(aggregate.ClosingTx) error) error {
	return s.Closing.InClosing(ctx, u, fence, func(tx aggregate.ClosingTx) error {
		if s.m == nil {
			return f(tx)
		}
		return f(mistakenTx{tx, s.m, u})
	})
}

type mistakenTx struct {
	aggregate.ClosingTx
	m    *mistake
	held aggregate.Unit
}

func (t mistakenTx) UnitClicks(ctx context.Context, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error) {
	if t.m.clicks != nil {
		return t.m.clicks(ctx, t.ClosingTx, t.held, u, late, after, limit)
	}
	return t.ClosingTx.UnitClicks(ctx, u, late, after, limit)
}

func (t mistakenTx) Bill(ctx context.Context, rows []aggregate.Billing) ([]aggregate.Billed, error) {
	if t.m.bill != nil {
		return t.m.bill(ctx, t.ClosingTx, rows)
	}
	return t.ClosingTx.Bill(ctx, rows)
}

func (t mistakenTx) AddMinutes(ctx context.Context, deltas []aggregate.MinuteDelta) error {
	if t.m.noDeltas {
		return nil
	}
	return t.ClosingTx.AddMinutes(ctx, deltas)
}

// mistakenJudge is a judge with a mistake in it.
type mistakenJudge struct {
	aggregate.Judge
	m *mistake
}

func (j mistakenJudge) Begin(tenant, source string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error) {
	from, look, judge, err = j.Judge.Begin(tenant, source, hour)
	if j.m != nil && j.m.keepVerdicts {
		return from, look, func(c *click.Click) click.Verdict { return c.Verdict }, err
	}
	return from, look, judge, err
}
