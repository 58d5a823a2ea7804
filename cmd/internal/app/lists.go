package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"clickgate/scoring"
	"clickgate/scoring/givt"
)

// listsPeriod is how often the folder of lists is looked at.
const listsPeriod = 5 * time.Second

// readLists puts a folder's lists in force; the embedded ones stay for "".
func readLists(folder string, scorer *scoring.Scorer) error {
	if folder == "" {
		return nil
	}
	v, err := givt.ReadFolder(os.DirFS(folder))
	if err != nil {
		return fmt.Errorf("scoring.lists: %s: %w; try it with `clickgate lists verify %s`", folder, err, folder)
	}
	line, err := v.Timeline()
	if err != nil {
		return fmt.Errorf("scoring.lists: %s: %w; try it with `clickgate lists verify %s`", folder, err, folder)
	}
	scorer.SwapLists(line)
	return nil
}

// followLists puts the folder's lists in force, and follows it from Start on.
func (g *Gateway) followLists(folder string, scorer *scoring.Scorer, opt Options) error {
	cfg := givt.FollowerConfig{Every: listsPeriod, Swap: scorer.SwapLists, Now: time.Now, Logger: opt.Logger, Registerer: opt.Registry}
	if folder != "" {
		cfg.Folder = os.DirFS(folder)
	}
	var err error
	if g.lists, err = givt.NewFollower(cfg); err != nil {
		return fmt.Errorf("scoring.lists: %s: %w", folder, err)
	}
	g.cleanup.add("lists follower", func(context.Context) error { g.lists.Stop(); return nil })
	return nil
}
