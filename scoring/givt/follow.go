package givt

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FollowerConfig is what a Follower works with.
type FollowerConfig struct {
	Folder     fs.FS // with a lists.yaml; nil: the embedded lists stay, and nothing is followed
	Every      time.Duration
	Swap       func(*Timeline) // puts lists in force
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for no metrics
}

// Follower keeps the lists in force at what a folder says, while clicks are judged. What cannot be read whole is
// refused, and the lists before stay: files are written first and the manifest last, so a reading in between fails by
// its SHA-256 and is tried again.
type Follower struct {
	cfg     FollowerConfig
	seen    string // sizes and times of the files that are in force, or were refused
	failing string // the last error, logged once

	refused prometheus.Counter
	read    prometheus.Gauge
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewFollower reads the folder and puts its lists in force. Nothing runs before Start.
func NewFollower(cfg FollowerConfig) (*Follower, error) {
	f := &Follower{cfg: cfg,
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "clickgate_scoring_lists_refused_total", Help: "Readings of the folder of lists that were refused; the lists before stayed in force."}),
		read:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "clickgate_scoring_lists_read_timestamp_seconds", Help: "When the lists in force were read from their folder; 0 with the embedded ones."}),
	}
	if err := f.Poll(); err != nil {
		return nil, err
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(f.refused, f.read)
	}
	return f, nil
}

// Poll reads the folder if it changed. An error leaves the lists in force.
func (f *Follower) Poll() error {
	if f.cfg.Folder == nil {
		return nil
	}
	state, err := folderState(f.cfg.Folder)
	if err == nil && state == f.seen {
		return nil
	}
	var line *Timeline
	if err == nil {
		line, err = readTimeline(f.cfg.Folder)
	}
	if err != nil {
		f.refused.Inc()
		return err
	}
	f.seen, f.failing = state, ""
	f.cfg.Swap(line)
	now := f.cfg.Now()
	f.read.Set(float64(now.Unix()))
	f.cfg.Logger.Info("lists are in force", "hash", fmt.Sprintf("%016x", line.At(now.UnixMicro()).Hash()), "times", len(line.from))
	return nil
}

func readTimeline(folder fs.FS) (*Timeline, error) {
	v, err := ReadFolder(folder)
	if err != nil {
		return nil, err
	}
	return v.Timeline()
}

// folderState changes when a file does.
func folderState(folder fs.FS) (string, error) {
	var b strings.Builder
	b.WriteString("files\n") // a folder without any is not the one before the first reading
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%q %d %d\n", name, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	return b.String(), err
}

// Start follows the folder until Stop.
func (f *Follower) Start() {
	if f.cfg.Folder == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.done.Go(func() {
		tick := time.NewTicker(f.cfg.Every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := f.Poll(); err != nil && err.Error() != f.failing {
				f.failing = err.Error()
				f.cfg.Logger.Error("the folder of lists is refused; the lists before stay in force", "error", err)
			}
		}
	})
}

// Stop ends following; the lists in force stay.
func (f *Follower) Stop() {
	if f.stop != nil {
		f.stop()
		f.done.Wait()
	}
}
