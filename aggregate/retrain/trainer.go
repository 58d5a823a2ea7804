package retrain

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/scoring"

	"github.com/prometheus/client_golang/prometheus"
)

// Store is what a trainer needs of a store.
type Store interface {
	aggregate.Models
	ListIncidents(ctx context.Context, q aggregate.IncidentQuery) ([]aggregate.Incident, error)
}

// TrainerDependencies are what a trainer works with.
type TrainerDependencies struct {
	Store      Store
	Owner      string // names this process in the lease; no two processes may share one
	Version    string // of clickgate
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for none
}

// Trainer trains candidates at the configured times. Any number may work on one store:
// the training lease lets one of them train, and a fence keeps one that was overtaken
// from writing.
type Trainer struct {
	cfg  scoring.RetrainConfig
	dep  TrainerDependencies
	desk *Desk
	runs *prometheus.CounterVec
	last prometheus.Gauge

	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	// Author stands where a person would, on what a trainer does.
	Author = "retrain"
	// trainTTL bounds how long one that died keeps the others from training.
	trainTTL = time.Hour
	// tick is how often the schedule is looked at.
	tick = time.Minute
)

// NewTrainer returns a trainer that does nothing before Start or RunOnce.
func NewTrainer(cfg scoring.RetrainConfig, dep TrainerDependencies) *Trainer {
	t := &Trainer{cfg: cfg, dep: dep, desk: &Desk{Store: dep.Store, Now: dep.Now, Who: Author},
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clickgate_training_runs_total", Help: "Scheduled trainings of the isolation forest: proposed as shadow, refused by the guard, or failed.",
		}, []string{"outcome"}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "clickgate_training_last_timestamp_seconds", Help: "When this process last ended a training; 0 before the first.",
		}),
	}
	for _, outcome := range []string{"proposed", "refused", "failed"} {
		t.runs.WithLabelValues(outcome) // an increase from nothing is none to Prometheus
	}
	if dep.Registerer != nil {
		dep.Registerer.MustRegister(t.runs, t.last)
	}
	return t
}

// Start follows the schedule until Stop; without one it does nothing.
func (t *Trainer) Start() {
	if t.cfg.At == "" && t.cfg.PromoteAfter == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.stop = cancel
	t.done.Go(func() {
		for {
			if err := t.RunOnce(ctx); err != nil && ctx.Err() == nil {
				t.dep.Logger.Error("the model could not be trained; trying again", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(tick):
			}
		}
	})
}

// Stop ends the work of Start; a training under way is given up.
func (t *Trainer) Stop() {
	if t.stop != nil {
		t.stop()
		t.done.Wait()
	}
}

// RunOnce trains when a training is due and nobody else does, and promotes a shadow whose
// time has come.
func (t *Trainer) RunOnce(ctx context.Context) error {
	book, err := t.dep.Store.ModelBook(ctx)
	if err != nil {
		return err
	}
	now := t.dep.Now()
	due := t.cfg.Due(now)
	if due.IsZero() || book.TrainedAt >= due.UnixMicro() {
		return t.promote(ctx, &book, now)
	}
	fence, err := t.dep.Store.LeaseTraining(ctx, t.dep.Owner, now, trainTTL)
	if errors.Is(err, aggregate.ErrTraining) {
		return nil
	}
	if err != nil {
		return err
	}
	// Another may have trained between the look at the book and the lease.
	if book, err = t.dep.Store.ModelBook(ctx); err != nil || book.TrainedAt >= due.UnixMicro() {
		return err
	}
	return t.train(ctx, &book, due, fence)
}

func (t *Trainer) train(ctx context.Context, book *aggregate.ModelBook, due time.Time, fence int64) error {
	to := due.Truncate(time.Hour)
	c, err := t.Candidate(ctx, book, to.Add(-t.cfg.Window).UnixMicro(), to.UnixMicro())
	var few *TooFewError
	if errors.As(err, &few) {
		t.ended("failed")
		t.dep.Logger.Warn("no model is trained this time", "error", err)
		return t.desk.Trained(ctx, err.Error(), fence, due.UnixMicro())
	}
	if err != nil {
		t.runs.WithLabelValues("failed").Inc()
		return err
	}
	why := "trained as scheduled for " + due.UTC().Format(time.RFC3339)
	if err := t.desk.Propose(ctx, c, why, fence, due.UnixMicro()); err != nil {
		t.runs.WithLabelValues("failed").Inc()
		return err
	}
	if refused := c.Manifest.Guard.Refused; refused != "" {
		t.ended("refused")
		t.dep.Logger.Warn("the guard refused the trained model", "model", hex16(c.Model.Hash()), "why", refused)
		return nil
	}
	t.ended("proposed")
	t.dep.Logger.Info("a trained model is proposed as shadow", "model", hex16(c.Model.Hash()), "rows", c.Manifest.Rows)
	return nil
}

func (t *Trainer) ended(outcome string) {
	t.runs.WithLabelValues(outcome).Inc()
	t.last.Set(float64(t.dep.Now().Unix()))
}

// Candidate trains from the closed hours of [from, to), Unix microseconds, against the
// models of the book, and changes nothing.
func (t *Trainer) Candidate(ctx context.Context, book *aggregate.ModelBook, from, to int64) (*Candidate, error) {
	live, err := t.reference(ctx, book, book.Live)
	if err != nil {
		return nil, err
	}
	older, err := t.reference(ctx, book, book.Previous)
	if err != nil {
		return nil, err
	}
	attacked, err := t.attacked(ctx, from)
	if err != nil {
		return nil, err
	}
	s, leftOut := NewSample(t.cfg.Seed, t.cfg.RowsPerSource), int64(0)
	q := aggregate.TrainingQuery{From: from, To: to, Version: scoring.VectorVersion}
	err = t.dep.Store.TrainingClicks(ctx, q, func(c *aggregate.TrainingClick) error {
		if c.State == click.Valid && attacked.at(c.TenantID, c.EventTime) {
			leftOut++
			return nil
		}
		s.Add(c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c, err := Train(s, live, Settings{
		Limits: Limits{t.cfg.MaxForeign, t.cfg.MaxShift, t.cfg.MaxGrowth}, Older: older, Seed: t.cfg.Seed, CreatedBy: "clickgate " + t.dep.Version,
	})
	if err == nil {
		c.Manifest.From, c.Manifest.To, c.Manifest.LeftOut = from, to, leftOut
		c.Manifest.Data = "closed hours of the store"
	}
	return c, err
}

// reference opens a model with its profile; nil where there is none, or it was not
// trained here and nobody knows what its traffic was like.
func (t *Trainer) reference(ctx context.Context, book *aggregate.ModelBook, hash uint64) (*Reference, error) {
	if hash == 0 || book.Find(hash) == nil {
		return nil, nil
	}
	m, err := ManifestOf(ctx, t.dep.Store, hash)
	if err != nil || m.Profile == nil || m.VectorVersion != scoring.VectorVersion {
		return nil, err
	}
	model, err := open(ctx, t.dep.Store, hash)
	if err != nil {
		return nil, err
	}
	return &Reference{Model: model, Beyond: m.Beyond, Profile: m.Profile}, nil
}

// incidents are the hours of tenants in which one was open.
type incidents map[string]map[int64]bool

func (t *Trainer) attacked(ctx context.Context, from int64) (incidents, error) {
	list, err := t.dep.Store.ListIncidents(ctx, aggregate.IncidentQuery{Since: from})
	if err != nil {
		return nil, err
	}
	out := incidents{}
	for i := range list {
		n := &list[i]
		end := n.ResolvedAt
		if n.Open() {
			end = t.dep.Now().UnixMicro()
		}
		hours := out[n.TenantID]
		if hours == nil {
			hours = map[int64]bool{}
			out[n.TenantID] = hours
		}
		for hour := max(n.OpenedAt, from) / hourMicros; hour <= end/hourMicros; hour++ {
			hours[hour] = true
		}
	}
	return out, nil
}

func (n incidents) at(tenant string, eventTime int64) bool { return n[tenant][eventTime/hourMicros] }

// promote makes the shadow live when that is configured, its time is over, and the guard
// refused nothing since.
func (t *Trainer) promote(ctx context.Context, b *aggregate.ModelBook, now time.Time) error {
	if t.cfg.PromoteAfter == 0 || b.Shadow == 0 || now.Sub(time.UnixMicro(b.ShadowSince)) < t.cfg.PromoteAfter {
		return nil
	}
	for i := range b.Models {
		if m := &b.Models[i]; m.Refused != "" && m.At >= b.ShadowSince {
			return nil
		}
	}
	why := fmt.Sprintf("shadow for %s, and the guard refused nothing since", t.cfg.PromoteAfter)
	err := t.desk.Promote(ctx, b.Shadow, why, false)
	if errors.Is(err, aggregate.ErrModelsChanged) {
		return nil // by another trainer, or a person
	}
	if err == nil {
		t.dep.Logger.Info("the shadow is live", "model", hex16(b.Shadow), "why", why)
	}
	return err
}
