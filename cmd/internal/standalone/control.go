package standalone

import (
	"context"
	"crypto/rand"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"

	"clickgate/cmd/internal/app"
	"clickgate/cmd/internal/config"
	"clickgate/gateway/control"
	"clickgate/gateway/stream"
)

// controlPoll is how often the control file is looked at, so that a change takes
// effect within two seconds.
const controlPoll = 500 * time.Millisecond

// controlFile is the control file that is watched while standalone runs: it is the
// truth, and what it says is brought into force.
type controlFile struct {
	store  *control.FileStore
	apply  func(context.Context, *control.FileState, control.AuditLine) error
	logger *slog.Logger

	seen    fs.FileInfo // what was taken last
	version string      // in force
	told    string      // the problem that was logged last

	stop context.CancelFunc
	done sync.WaitGroup
}

// prepareControl writes the control file into the in-memory broker's control
// topic, from where the gateway follows it as in a cluster. With a Kafka of its
// own the topic may be others' as well, so the file goes to the gateway directly.
func (s *process) prepareControl(ctx context.Context) error {
	if s.broker == nil {
		return nil
	}
	keys, err := config.LoadMasterKeys(s.cfg.Keys.MasterFile)
	if err != nil {
		return err
	}
	if err := stream.EnsureControl(ctx, s.backlog.admin, &s.cfg.Kafka); err != nil {
		return err
	}
	publisher := app.NewControlPublisher(s.cfg, keys, rand.Reader, time.Now)
	s.control = s.newControlFile(func(ctx context.Context, state *control.FileState, line control.AuditLine) error {
		return publishFile(ctx, publisher, state.File, control.Meta{Who: line.Who, Why: line.Why, Overtake: true})
	})
	s.cfg.Control.Topic = true
	return s.control.take(ctx)
}

// watchControl begins to watch the control file, unless the gateway follows a
// topic that is not this process's own.
func (s *process) watchControl() {
	if s.control == nil {
		if s.cfg.Control.Topic {
			return
		}
		s.control = s.newControlFile(func(_ context.Context, state *control.FileState, _ control.AuditLine) error {
			snapshot, err := control.Parse(state.Content)
			if err == nil {
				s.gateway.Control.Swap(snapshot)
			}
			return err
		})
		s.control.version = s.gateway.Control.Current().Version
	}
	s.control.start()
}

func (s *process) newControlFile(apply func(context.Context, *control.FileState, control.AuditLine) error) *controlFile {
	return &controlFile{
		store: &control.FileStore{Path: s.cfg.Control.File, Now: time.Now},
		apply: apply, logger: s.opt.Logger,
	}
}

// publishFile brings the topic to what a file says; tenants that it does not name
// are removed.
func publishFile(ctx context.Context, p *control.Publisher, file *control.File, m control.Meta) error {
	state, err := p.Read(ctx)
	if err != nil {
		return err
	}
	changes, err := control.Changes(state.File(), file)
	if err != nil || len(changes) == 0 {
		return err
	}
	_, err = p.Publish(ctx, state, changes, m)
	return err
}

// take brings the file's present content into force.
func (c *controlFile) take(ctx context.Context) error {
	state, line, err := c.store.Reload()
	if err != nil {
		return err
	}
	if state.Version == c.version {
		return nil
	}
	if err := c.apply(ctx, state, line); err != nil {
		return err
	}
	c.version = state.Version
	c.logger.Info("the control file is taken", "file", c.store.Path, "version", state.Version, "who", line.Who, "why", line.Why)
	return nil
}

func (c *controlFile) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	c.done.Go(func() {
		tick := time.NewTicker(controlPoll)
		defer tick.Stop()
		for {
			c.look(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

// look takes the file when it is another one than the one taken last. What cannot
// be taken is tried again at every look, and told once.
func (c *controlFile) look(ctx context.Context) {
	info, err := os.Stat(c.store.Path)
	if err == nil && c.seen != nil && os.SameFile(c.seen, info) && c.seen.ModTime().Equal(info.ModTime()) && c.seen.Size() == info.Size() {
		return
	}
	if err == nil {
		err = c.take(ctx)
	}
	switch {
	case err == nil:
		c.seen, c.told = info, ""
	case ctx.Err() == nil && c.told != err.Error():
		c.told = err.Error()
		c.logger.Error("the control file is refused; the entries in force stay", "error", err)
	}
}

// close ends watching; without a watched file it does nothing.
func (c *controlFile) close() {
	if c != nil && c.stop != nil {
		c.stop()
		c.done.Wait()
	}
}
