package retrain

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/scoring"
	"clickgate/scoring/iforest"

	"github.com/prometheus/client_golang/prometheus"
)

// Slot is a model in force, as a follower needs it.
type Slot struct {
	Hash   string  `json:"hash"` // 16 hexadecimal digits; empty for none
	Beyond float64 `json:"beyond"`
}

// InForce says which models are in force at a version of the book.
type InForce struct {
	Version int64 `json:"version"`
	Live    Slot  `json:"live"`
	Shadow  Slot  `json:"shadow"`
}

// Source says what is in force and has the files. Its methods are called by one goroutine
// at a time.
type Source interface {
	InForce(ctx context.Context) (InForce, error)
	File(ctx context.Context, hash string) ([]byte, error)
}

// StoreSource is the book itself, for processes that have the store.
type StoreSource struct {
	Store aggregate.Models
	seen  map[uint64]*Manifest // of models that were in force
}

// NewStoreSource returns a source that reads a store.
func NewStoreSource(store aggregate.Models) *StoreSource {
	return &StoreSource{store, map[uint64]*Manifest{}}
}

// InForce implements Source.
func (s *StoreSource) InForce(ctx context.Context) (InForce, error) {
	b, err := s.Store.ModelBook(ctx)
	if err != nil {
		return InForce{}, err
	}
	out := InForce{Version: b.Version}
	for hash, slot := range map[uint64]*Slot{b.Live: &out.Live, b.Shadow: &out.Shadow} {
		if hash == 0 {
			continue
		}
		if s.seen[hash] == nil {
			if s.seen[hash], err = ManifestOf(ctx, s.Store, hash); err != nil {
				return InForce{}, err
			}
			s.seen[hash].Profile = nil // the large part
		}
		*slot = Slot{hex16(hash), s.seen[hash].Beyond}
	}
	return out, nil
}

// File implements Source.
func (s *StoreSource) File(ctx context.Context, hash string) ([]byte, error) {
	h, err := parse16(hash)
	if err != nil {
		return nil, err
	}
	return s.Store.ModelFile(ctx, h)
}

func parse16(text string) (n uint64, err error) {
	_, err = fmt.Sscanf(text, "%16x", &n)
	return n, err
}

// FollowerConfig is what a Follower works with.
type FollowerConfig struct {
	Source     Source
	Every      time.Duration
	Set        []*scoring.Models // all get the same forests
	Cache      string            // file that stands in for the source at a start; empty for none
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for no metrics
}

// Follower keeps forests in force at what a source says, while clicks are scored. What
// cannot be read whole is refused, and the forests before stay. A source that is away
// never stops a process: until it is read, the cache says what is in force, or no model
// is. The second pass scores every click again.
type Follower struct {
	cfg     FollowerConfig
	inForce InForce
	read    bool
	failing string // the last error, logged once

	refused prometheus.Counter
	version prometheus.Gauge
	stop    context.CancelFunc
	done    sync.WaitGroup
}

// NewFollower returns a follower that does nothing before Start or Poll.
func NewFollower(cfg FollowerConfig) *Follower {
	f := &Follower{cfg: cfg,
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "clickgate_scoring_models_refused_total", Help: "Readings of what models are in force that failed or were refused; the models before stayed in force."}),
		version: prometheus.NewGauge(prometheus.GaugeOpts{Name: "clickgate_scoring_models_version", Help: "Version of the book of models that is in force; 0 before it was read."}),
	}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(f.refused, f.version)
	}
	return f
}

// Start puts what the cache says in force, then follows the source until Stop.
func (f *Follower) Start() {
	if f.cfg.Cache != "" {
		if err := f.readCache(); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.cfg.Logger.Warn("the cache of models is refused", "cache", f.cfg.Cache, "error", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	f.done.Go(func() {
		for {
			if err := f.Poll(ctx); err != nil && ctx.Err() == nil && err.Error() != f.failing {
				f.failing = err.Error()
				f.cfg.Logger.Error("models cannot be read; those before stay in force", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(f.cfg.Every):
			}
		}
	})
}

// Stop ends following; the forests in force stay.
func (f *Follower) Stop() {
	if f.stop != nil {
		f.stop()
		f.done.Wait()
	}
}

// Poll reads the source once. An error leaves the forests in force.
func (f *Follower) Poll(ctx context.Context) error {
	now, err := f.cfg.Source.InForce(ctx)
	// An older version is that of a publisher which was overtaken; the newer comes again.
	if err == nil && f.read && now.Version <= f.inForce.Version {
		return nil
	}
	files := map[string][]byte{}
	for _, slot := range []Slot{now.Live, now.Shadow} {
		if err == nil && slot.Hash != "" {
			files[slot.Hash], err = f.cfg.Source.File(ctx, slot.Hash)
		}
	}
	if err == nil {
		err = f.put(now, files)
	}
	if err != nil {
		f.refused.Inc()
		return err
	}
	f.read, f.failing = true, ""
	f.cfg.Logger.Info("models are in force", "version", now.Version, "live", now.Live.Hash, "shadow", now.Shadow.Hash)
	if f.cfg.Cache != "" {
		if err := writeCache(f.cfg.Cache, now, files); err != nil {
			f.cfg.Logger.Error("the cache of models cannot be written", "cache", f.cfg.Cache, "error", err)
		}
	}
	return nil
}

func (f *Follower) put(now InForce, files map[string][]byte) error {
	var forests [2]scoring.Forest
	for i, slot := range []Slot{now.Live, now.Shadow} {
		if slot.Hash == "" {
			continue
		}
		m, err := openNamed(slot.Hash, files[slot.Hash])
		if err != nil {
			return err
		}
		forests[i] = scoring.Forest{Model: m, Beyond: slot.Beyond}
	}
	for _, models := range f.cfg.Set {
		if err := models.Set(forests[0], forests[1]); err != nil {
			return err
		}
	}
	f.inForce = now
	f.version.Set(float64(now.Version))
	return nil
}

func openNamed(hash string, file []byte) (*iforest.Model, error) {
	m, err := iforest.Open(file)
	if err == nil {
		err = m.Verify()
	}
	if err == nil && hex16(m.Hash()) != hash {
		err = fmt.Errorf("its content is that of model %016x", m.Hash())
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", hash, err)
	}
	return m, nil
}

// cached is the cache file; the models prove themselves by their checksums.
type cached struct {
	InForce
	Files map[string]string `json:"files"` // base64 by hash
}

func (f *Follower) readCache() error {
	content, err := os.ReadFile(f.cfg.Cache)
	if err != nil {
		return err
	}
	var c cached
	if err := json.Unmarshal(content, &c); err != nil {
		return err
	}
	files := map[string][]byte{}
	for hash, text := range c.Files {
		if files[hash], err = base64.StdEncoding.DecodeString(text); err != nil {
			return err
		}
	}
	return f.put(c.InForce, files)
}

// writeCache replaces the cache in one step. It need not survive a loss of power: the
// next reading writes it again.
func writeCache(path string, now InForce, files map[string][]byte) error {
	c := cached{now, map[string]string{}}
	for hash, file := range files {
		c.Files[hash] = base64.StdEncoding.EncodeToString(file)
	}
	content, err := json.Marshal(&c)
	if err == nil {
		err = os.WriteFile(path+".tmp", content, 0o600)
	}
	if err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
