package fraudeval

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"clickgate/aggregate"
	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/scoring"
	"clickgate/scoring/givt"
	"clickgate/scoring/iforest"
)

// Options say what to evaluate. Scoring, Close and Lists are as a gateway and an
// aggregator have them.
type Options struct {
	Seeds    []uint64
	Families []fraudrange.Family
	Hours    int
	Rate     float64 // clicks of people per second, on average

	Scoring scoring.Config
	Close   aggregate.CloseConfig
	Model   *iforest.Model // nil for none
	Lists   *givt.Lists

	// Training are the seeds on whose traffic forests are trained, with and without each
	// family; none leaves forests out. They must not be among Seeds.
	Training []uint64

	Now      func() time.Time
	Progress func(seed uint64, hours int) // simulated so far; nil for none
}

const (
	hourMicros = 3_600_000_000
	grace      = 15 * 60 * 1_000_000 // of a direct source, microseconds
)

// trial is one seed under way.
type trial struct {
	opt    *Options
	world  *fraudrange.World
	intake *intake
	hours  *hours
	closer *aggregate.Closer
	result *seedResult
	rand   *rand.Rand // of samples
	closed int64      // hours before it are closed
	now    int64
}

func newTrial(opt *Options, seed uint64) (*trial, error) {
	w, err := fraudrange.New(fraudrange.Config{Seed: seed, Hours: opt.Hours, Rate: opt.Rate, Families: opt.Families})
	if err != nil {
		return nil, err
	}
	t := &trial{opt: opt, world: w, result: newSeedResult(w), rand: rand.New(rand.NewPCG(seed, 1)), closed: w.Start.UnixMicro() - hourMicros}
	scorer, err := scoring.New(opt.Scoring, opt.Lists, seed, nil)
	if err != nil {
		return nil, err
	}
	if err := scorer.SwapModel(opt.Model); err != nil {
		return nil, err
	}
	if t.intake, err = newIntake(w, scorer); err != nil {
		return nil, err
	}
	judge, err := scoring.NewJudge(opt.Scoring, opt.Model, nil)
	if err != nil {
		return nil, err
	}
	t.hours = newHours(func(e *entry) { t.result.final(e, t.rand) })
	t.closer, err = aggregate.NewCloser(opt.Close, aggregate.CloserDependencies{
		Store: t.hours, Judge: judge, Owner: "range", Version: "range", Logger: slog.New(slog.DiscardHandler),
		Terms: func(string, string) aggregate.SourceTerms { return aggregate.SourceTerms{Grace: grace} },
		Now:   func() time.Time { return time.UnixMicro(t.now) },
	})
	return t, err
}

// run sends the world's clicks through gateway and closer.
func (t *trial) run(ctx context.Context) error {
	for c := range t.world.Clicks() {
		t.now = t.intake.start + c.At.Microseconds()
		if err := t.closeDue(ctx); err != nil {
			return err
		}
		out := t.intake.take(&c)
		t.result.arrived(&c, out.Verdict.State)
		if err := t.hours.insert(out, truth{c.Label, c.Segment, c.Family, c.Actor}); err != nil {
			return err
		}
	}
	t.now += 2 * hourMicros
	if err := t.close(ctx, 0); err != nil {
		return err
	}
	return t.result.complete()
}

// closeDue closes the hours whose grace is over.
func (t *trial) closeDue(ctx context.Context) error {
	before := t.now - grace
	before -= before % hourMicros
	if before <= t.closed {
		return nil
	}
	t.closed = before
	if t.opt.Progress != nil {
		t.opt.Progress(t.world.Seed, int((t.now-t.intake.start)/hourMicros))
	}
	return t.close(ctx, before)
}

func (t *trial) close(ctx context.Context, before int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := t.closer.CloseNow(ctx, tenant, "", before, "range", "its grace is over"); err != nil {
		return fmt.Errorf("seed %d: %w", t.world.Seed, err)
	}
	return nil
}

// caught reports whether a state says invalid, and so counts as found.
func caught(s click.State) bool { return s == click.GIVT || s == click.SIVT }

// flagged is caught or under suspicion.
func flagged(s click.State) bool { return caught(s) || s == click.Suspect }
