package standalone

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"clickgate/cmd/internal/config"
	"clickgate/cmd/internal/demo"
)

// Demo says whether and how standalone feeds itself.
type Demo struct {
	On    bool
	Seed  uint64
	Speed float64       // 1 is real time
	For   time.Duration // stop feeding after this; 0: until the end
}

// Prepare completes a data folder: the master key, and a control file with the
// demo's tenants, are made when they are missing. It never touches existing ones.
func Prepare(cfg *config.Config) error {
	if _, err := os.Stat(cfg.Keys.MasterFile); errors.Is(err, fs.ErrNotExist) {
		if err := config.CreateMasterKeys(cfg.Keys.MasterFile, rand.Reader); err != nil {
			return err
		}
	}
	if _, err := os.Stat(cfg.Control.File); errors.Is(err, fs.ErrNotExist) {
		if _, err := demo.Prepare(cfg.Control.File, rand.Reader); err != nil {
			return err
		}
	}
	return nil
}

// feed is the running demo; without one it is nil, and its methods do nothing.
type feed struct {
	feed   *demo.Feed
	cancel context.CancelFunc
	done   sync.WaitGroup
	err    error // of Run, once done
}

func (s *process) startDemo(ctx context.Context) (*feed, error) {
	if !s.opt.Demo.On {
		return nil, nil
	}
	setup, err := demo.Prepare(s.cfg.Control.File, rand.Reader)
	if err != nil {
		return nil, err
	}
	cfg := demo.DefaultConfig()
	cfg.EdgeURL = "http://" + s.gateway.Server.Addr().String()
	cfg.APIKey, cfg.TokenKey, cfg.OtherKey = setup.APIKey, setup.TokenKey, setup.OtherKey
	cfg.Seed, cfg.Speed, cfg.Duration = s.opt.Demo.Seed, s.opt.Demo.Speed, s.opt.Demo.For
	f := &feed{}
	if f.feed, err = demo.New(cfg); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	f.done.Go(func() { f.err = f.feed.Run(ctx) })
	return f, nil
}

// stop ends feeding and waits for the answers that are still out.
func (f *feed) stop() {
	if f == nil {
		return
	}
	f.cancel()
	f.done.Wait()
}

// print shows what the feed sent and what it was answered, to be held against the
// books.
func (f *feed) print(w io.Writer) {
	if f == nil {
		return
	}
	tally := f.feed.Tally()
	fmt.Fprintf(w, "\nwhat the demo sent, by its own count:\n%s\n", tally.String())
	if f.err != nil && !errors.Is(f.err, context.Canceled) {
		fmt.Fprintf(w, "the demo ended early: %v\n", f.err)
	}
}
