package command

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/fraudeval"
	"clickgate/cmd/internal/fraudrange"
	"clickgate/cmd/internal/report"
	"clickgate/scoring/givt"
)

type evalFraudCmd struct {
	Seeds    string  `help:"Seeds: N, FIRST-LAST, with commas between. 1-99 are for tuning, 1000-1019 for reporting." default:"1000-1019" placeholder:"LIST"`
	Families string  `help:"Attacks, with commas between; all, loud, slow." default:"all" placeholder:"LIST"`
	Hours    int     `help:"How long each seed lasts. Below 6 hours the slow attacks have no time to be slow." default:"24" placeholder:"N"`
	Rate     float64 `help:"Clicks of people per second, on average." default:"4" placeholder:"N"`
	Training string  `help:"Seeds on which isolation forests are trained, with and without each family; none leaves the columns out." default:"97-99" placeholder:"LIST"`
	Require  bool    `help:"Exit status 1 when a goal is not met."`
	JSON     bool    `help:"Write JSON."`
}

func (c *evalFraudCmd) Run(s *session) error {
	opt, err := c.options(s)
	if err != nil {
		return err
	}
	progress := newProgress(s.Stderr)
	defer progress.end()
	all := len(opt.Seeds) + len(opt.Training)
	done, last := 0, uint64(0)
	opt.Progress = func(seed uint64, hours int) {
		if done == 0 || seed != last {
			done, last = done+1, seed
		}
		progress.show("seed %d (%d/%d), hour %d/%d", seed, done, all, hours, opt.Hours)
	}
	rep, err := fraudeval.Run(s.ctx, *opt)
	if err != nil {
		return err
	}
	progress.end()
	if c.JSON {
		err = report.WriteJSON(s.Stdout, rep)
	} else {
		err = rep.WriteText(s.Stdout)
	}
	if err == nil && c.Require && !rep.Met() {
		return negative(nil)
	}
	return err
}

// options are those of the flags, with the scoring and closing of the configuration.
func (c *evalFraudCmd) options(s *session) (*fraudeval.Options, error) {
	cfg, err := s.load(config.ForControl)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.Scoring.Validate(), cfg.Aggregate.Close.Validate()); err != nil {
		return nil, usage(err)
	}
	opt := &fraudeval.Options{
		Hours: c.Hours, Rate: c.Rate, Scoring: cfg.Scoring, Close: cfg.Aggregate.Close, Now: s.Now,
	}
	if opt.Seeds, err = parseSeeds(c.Seeds); err != nil {
		return nil, usage(fmt.Errorf("eval fraud --seeds: %w", err))
	}
	if c.Training != "none" {
		if opt.Training, err = parseSeeds(c.Training); err != nil {
			return nil, usage(fmt.Errorf("eval fraud --training: %w", err))
		}
	}
	for _, seed := range opt.Training {
		if seed < fraudrange.FirstTuning || seed > fraudrange.LastTuning || slices.Contains(opt.Seeds, seed) {
			return nil, usage(fmt.Errorf("eval fraud --training: seed %d; use seeds of %d to %d that are not reported", seed, fraudrange.FirstTuning, fraudrange.LastTuning))
		}
	}
	if opt.Families, err = fraudrange.ParseFamilies(c.Families); err != nil {
		return nil, usage(fmt.Errorf("eval fraud --families: %w", err))
	}
	world := fraudrange.Config{Hours: c.Hours, Rate: c.Rate}
	if err := world.Validate(); err != nil {
		return nil, usage(fmt.Errorf("eval fraud: %w", err))
	}
	if opt.Lists, err = givt.Embedded(); err != nil {
		return nil, err
	}
	opt.Model, err = app.OpenModel(cfg.Scoring.Model)
	return opt, err
}

// maxSeeds bounds an evaluation; a hundred seeds of a day take the better part of one.
const maxSeeds = 1000

// parseSeeds reads N and FIRST-LAST with commas between.
func parseSeeds(text string) (seeds []uint64, err error) {
	for part := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		first, err1 := strconv.ParseUint(low, 10, 32)
		last, err2 := strconv.ParseUint(high, 10, 32)
		if errors.Join(err1, err2) != nil || first > last || last-first >= maxSeeds || len(seeds) >= maxSeeds {
			return nil, fmt.Errorf("%q is no seed and no range of at most %d; write 7 or 1000-1019", part, maxSeeds)
		}
		for seed := first; seed <= last; seed++ {
			if slices.Contains(seeds, seed) {
				return nil, fmt.Errorf("seed %d stands twice", seed)
			}
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}
