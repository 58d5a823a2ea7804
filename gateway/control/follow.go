package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"clickgate/gateway/seal"

	"github.com/prometheus/client_golang/prometheus"
)

// Feed is the control topic as a Follower reads it. The first answer without an
// error holds all there is; later ones what came since, and none after a while of
// silence, which says that nothing came. Read is called by one goroutine at a time.
type Feed interface {
	Read(ctx context.Context) ([]Record, error)
}

// FollowerConfig is what a Follower works with.
type FollowerConfig struct {
	Feed       Feed
	Cache      string        // path of the file that stands in for Kafka at a start; empty for none
	FirstRead  time.Duration // how long Kafka may take before the cache is used
	Ring       *seal.Ring    // opens token keys
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for no metrics
}

// Follower keeps a Set at what the control topic says: every version from its
// activation time on. What is not valid is refused, and the version before stays.
type Follower struct {
	cfg     FollowerConfig
	set     *Set
	book    *book
	metrics *metrics
	whole   bool // book holds the topic, not the cache
	failing bool // the last reading failed, and that is logged

	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	retryPause = time.Second
	// longestWait bounds how late a clock that was set forward is noticed.
	longestWait = time.Minute
)

// NewFollower reads the topic, or the cache while Kafka is away, and returns with
// the entries in force. Nothing runs before Start.
func NewFollower(ctx context.Context, cfg FollowerConfig) (*Follower, error) {
	f := &Follower{cfg: cfg, set: &Set{}, book: newBook(cfg.Ring), metrics: newMetrics(cfg.Registerer, cfg.Now)}
	reading, cancel := context.WithTimeout(ctx, cfg.FirstRead)
	defer cancel()
	records, err := cfg.Feed.Read(reading)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil {
		f.take(records)
		if f.set.Current() != nil {
			return f, nil
		}
		err = errors.New("it holds no tenant; write some with `clickgate control apply FILE`")
	}
	if cacheErr := f.startFromCache(); cacheErr != nil {
		return nil, fmt.Errorf("control topic: %w (and no cache stands in: %w)", err, cacheErr)
	}
	f.failed(err)
	return f, nil
}

func (f *Follower) startFromCache() error {
	if f.cfg.Cache == "" {
		return errors.New("none is kept")
	}
	b, readAt, err := readCache(f.cfg.Cache, f.cfg.Ring)
	if b == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return errors.New("this gateway has not read the topic before")
		}
		return fmt.Errorf("%s: %w", f.cfg.Cache, err)
	}
	if err != nil {
		f.cfg.Logger.Warn("part of the control cache is refused", "cache", f.cfg.Cache, "error", err)
	}
	f.book, f.whole = b, false
	f.metrics.current.Store(readAt.UnixNano())
	f.activate()
	if f.set.Current() == nil {
		return fmt.Errorf("%s: holds no valid tenant", f.cfg.Cache)
	}
	f.cfg.Logger.Warn("control entries come from the cache", "cache", f.cfg.Cache, "read_at", readAt)
	return nil
}

// Set returns the set that follows the topic.
func (f *Follower) Set() *Set { return f.set }

// Start follows the topic until Stop.
func (f *Follower) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	readings := make(chan reading)
	f.done.Go(func() { f.read(ctx, readings) })
	f.done.Go(func() { f.run(ctx, readings) })
}

// Stop ends following; the entries in force stay.
func (f *Follower) Stop() {
	if f.stop != nil {
		f.stop()
		f.done.Wait()
	}
}

type reading struct {
	records []Record
	err     error
}

func (f *Follower) read(ctx context.Context, out chan<- reading) {
	for {
		records, err := f.cfg.Feed.Read(ctx)
		select {
		case out <- reading{records, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			select {
			case <-time.After(retryPause):
			case <-ctx.Done():
				return
			}
		}
	}
}

func (f *Follower) run(ctx context.Context, in <-chan reading) {
	timer := time.NewTimer(f.wait())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-in:
			if r.err != nil {
				f.failed(r.err)
			} else {
				f.take(r.records)
			}
		case <-timer.C:
			f.activate()
		}
		timer.Reset(f.wait())
	}
}

// wait is the time to the next activation.
func (f *Follower) wait() time.Duration {
	now := f.cfg.Now()
	next := f.book.next(now)
	if next.IsZero() {
		return longestWait
	}
	return min(next.Sub(now), longestWait)
}

// failed tells of a failure once, until a reading succeeds.
func (f *Follower) failed(err error) {
	f.metrics.readErrors.Inc()
	if !f.failing {
		f.cfg.Logger.Warn("the control topic cannot be read; the entries in force stay", "error", err)
	}
	f.failing = true
}

// take brings what was read into the book. The first reading replaces what the
// cache said, unless there is nothing in it: then the topic was lost, and the
// cache is all there is.
func (f *Follower) take(records []Record) {
	b := f.book
	if !f.whole {
		b = newBook(f.cfg.Ring)
		b.inForce = f.book.inForce
	}
	for _, r := range records {
		if err := b.add(r); err != nil {
			f.refuse(err)
		}
	}
	if !f.whole && len(b.tenants) == 0 {
		f.failed(errors.New("it holds no tenant; write them again with `clickgate control apply FILE`"))
		return
	}
	if f.failing {
		f.cfg.Logger.Info("the control topic is read again")
	}
	first := !f.whole
	f.book, f.whole, f.failing = b, true, false
	f.metrics.current.Store(f.cfg.Now().UnixNano())
	if len(records) > 0 || first {
		f.activate()
		f.keep()
	}
}

func (f *Follower) refuse(err error) {
	f.metrics.refused.Inc()
	f.cfg.Logger.Error("a control entry is refused; the version before stays in force", "error", err)
}

// activate swaps in the snapshot of this moment when it is another one.
func (f *Follower) activate() {
	s, refused := f.book.activate(f.cfg.Now())
	for _, r := range refused {
		f.refuse(fmt.Errorf("tenant %s, version %d: %w", r.entry.Tenant.ID, r.entry.Version, r.err))
	}
	f.book.forget()
	old := f.set.Current()
	if s == nil || old != nil && old.Version == s.Version {
		return
	}
	f.set.Swap(s)
	f.metrics.inForce(s.Version, f.cfg.Now())
	f.cfg.Logger.Info("control entries are in force", "version", s.Version, "tenants", len(s.tenants))
}

// keep writes the cache. A failure costs the next start without Kafka, no more.
func (f *Follower) keep() {
	if f.cfg.Cache == "" {
		return
	}
	if err := writeCache(f.cfg.Cache, f.book, f.cfg.Now()); err != nil {
		f.cfg.Logger.Error("the control cache cannot be written", "cache", f.cfg.Cache, "error", err)
	}
}
