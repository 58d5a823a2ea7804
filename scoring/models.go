package scoring

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"clickgate/gateway/click"
	"clickgate/scoring/iforest"

	"github.com/prometheus/client_golang/prometheus"
)

// Forest is an isolation forest with its own scale: two forests of the same traffic do
// not give the same scores.
type Forest struct {
	Model *iforest.Model // nil for none
	// Beyond is the score from which a click is unlike the traffic that the model was
	// trained on, of its manifest; 0 where nobody has measured it.
	Beyond float64
}

// Models are the isolation forests of a process. The live one's score is part of every
// verdict. The shadow scores the same clicks, and no verdict depends on it: what it
// would say is counted. Both are swapped at once, under goroutines that score. Counting
// allocates nothing for a source that was met before.
type Models struct {
	inForce atomic.Pointer[forests]
	seen    *shadowMetrics
}

// forests are those of one moment.
type forests struct{ live, shadow Forest }

// newModels returns models without a forest. pass is edge for a gateway and hour for the
// second pass: both may share a registry.
func newModels(pass string) *Models {
	m := &Models{seen: newShadowMetrics(pass)}
	m.inForce.Store(&forests{})
	return m
}

// Set puts forests in force for the clicks that follow. A model of other vectors is
// refused and changes nothing: it would score one thing as another.
func (m *Models) Set(live, shadow Forest) error {
	for _, f := range []Forest{live, shadow} {
		if err := f.Model.Fits(Features, VectorVersion); err != nil {
			return err
		}
	}
	m.inForce.Store(&forests{live, shadow})
	return nil
}

// Hashes name the models in force, 0 for none.
func (m *Models) Hashes() (live, shadow uint64) {
	f := m.inForce.Load()
	return hashOf(f.live.Model), hashOf(f.shadow.Model)
}

func hashOf(m *iforest.Model) uint64 {
	if m == nil {
		return 0
	}
	return m.Hash()
}

// Register exposes what the shadow says; nil registers nothing.
func (m *Models) Register(reg prometheus.Registerer) {
	if reg != nil {
		reg.MustRegister(m.seen.clicks, m.seen.scores[liveScore], m.seen.scores[shadowScore])
	}
}

// ask adds the live forest's score to a vector that is filled but for it.
func (f *forests) ask(v *click.Verdict) {
	v.Vector[SlotModel], v.ModelHash, v.ModelSlot = 0, 0, click.ModelNone
	if m := f.live.Model; m != nil {
		v.Vector[SlotModel] = float32(m.Score(v.Vector[:Features]))
		v.ModelHash, v.ModelSlot = m.Hash(), click.ModelLive
	}
}

// watch lets the shadow score a click whose verdict is made, and counts whether both
// forests would call it unlike the others. suspect is the policy's threshold; where it
// is 0 each forest goes by its own.
func (m *Models) watch(f *forests, c *click.Click, v *click.Verdict, suspect float64) {
	if f.shadow.Model == nil {
		return
	}
	live, shadow := float64(v.Vector[SlotModel]), f.shadow.Model.Score(v.Vector[:Features])
	m.seen.scores[shadowScore].Observe(shadow)
	if f.live.Model == nil {
		m.seen.of(c).count(false, f.shadow.beyond(shadow, suspect))
		return
	}
	m.seen.scores[liveScore].Observe(live)
	m.seen.of(c).count(f.live.beyond(live, suspect), f.shadow.beyond(shadow, suspect))
}

func (f *Forest) beyond(score, suspect float64) bool {
	if suspect == 0 {
		suspect = f.Beyond
	}
	return suspect > 0 && float32(score) >= float32(suspect)
}

const (
	liveScore = iota
	shadowScore
	numScores
)

// Outcomes of a click under both forests.
const (
	neither = iota
	liveOnly
	shadowOnly
	both
	numOutcomes
)

var outcomeNames = [numOutcomes]string{"neither", "live_only", "shadow_only", "both"}

// maxShadowSources bounds the label; clicks of sources beyond share the label other.
const maxShadowSources = 256

// shadowMetrics count by source. The table is copied when a source is new, so that
// clicks read it without a lock.
type shadowMetrics struct {
	scores  [numScores]prometheus.Histogram
	clicks  *prometheus.CounterVec
	sources atomic.Pointer[map[sourceKey]*outcomes]
	mu      sync.Mutex // one adds at a time
}

type sourceKey struct{ tenant, source string }

// outcomes are the counters of one source.
type outcomes [numOutcomes]prometheus.Counter

func (o *outcomes) count(live, shadow bool) {
	i := neither
	if live {
		i |= liveOnly
	}
	if shadow {
		i |= shadowOnly
	}
	o[i].Inc()
}

func newShadowMetrics(pass string) *shadowMetrics {
	s := &shadowMetrics{clicks: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name:        "clickgate_scoring_shadow_clicks_total",
		Help:        "Clicks that live and shadow model both scored, by which of them found the click beyond its threshold. Sources beyond the first 256 share the label other.",
		ConstLabels: prometheus.Labels{"pass": pass},
	}, []string{"tenant", "source", "outcome"})}
	for i, slot := range [numScores]string{"live", "shadow"} {
		s.scores[i] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:        "clickgate_scoring_model_score",
			Help:        "Scores of the isolation forests while there is a shadow model: 0.5 is a click like all others.",
			ConstLabels: prometheus.Labels{"pass": pass, "slot": slot},
			Buckets:     []float64{0.35, 0.4, 0.425, 0.45, 0.475, 0.5, 0.525, 0.55, 0.575, 0.6, 0.65, 0.7, 0.8},
		})
	}
	s.sources.Store(&map[sourceKey]*outcomes{})
	return s
}

// of returns the counters of a click's source.
func (s *shadowMetrics) of(c *click.Click) *outcomes {
	if o := (*s.sources.Load())[sourceKey{c.TenantID, c.SourceID}]; o != nil {
		return o
	}
	return s.add(c)
}

// add keeps copies of the texts: a click's are only lent.
func (s *shadowMetrics) add(c *click.Click) *outcomes {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.sources.Load()
	key := sourceKey{strings.Clone(c.TenantID), strings.Clone(c.SourceID)}
	if len(known) >= maxShadowSources {
		key = sourceKey{"other", "other"}
	}
	if o := known[key]; o != nil {
		return o
	}
	o := new(outcomes)
	for i, name := range outcomeNames {
		o[i] = s.clicks.WithLabelValues(key.tenant, key.source, name)
	}
	next := maps.Clone(known)
	next[key] = o
	s.sources.Store(&next)
	return o
}

// ErrModelGone says that the model of a verdict is not kept any more, or never was.
var ErrModelGone = errors.New("the model that scored this click is not kept")

// Rescore makes the model's part of a stored verdict again: the score in its vector,
// bit for bit, by the model that it names, which find returns, nil where there is none.
// What Recompute does for the decision it does for the evidence. It returns ErrModelGone
// where the model is gone, and another error where the score is not the stored one. A
// verdict without a model has nothing to make again.
func Rescore(v *click.Verdict, find func(hash uint64) (*iforest.Model, error)) error {
	own := *v
	switch {
	case v.ModelHash == 0:
		return nil
	case !modern(&own):
		return fmt.Errorf("vector version %d is not known here", v.VectorVersion)
	}
	model, err := find(v.ModelHash)
	if err != nil {
		return err
	}
	if model == nil {
		return fmt.Errorf("model %016x: %w", v.ModelHash, ErrModelGone)
	}
	if model.Features() > Features || model.Info().VectorVersion != v.VectorVersion {
		return fmt.Errorf("model %016x is of vector version %d, the click of %d", v.ModelHash, model.Info().VectorVersion, v.VectorVersion)
	}
	if got, stored := float32(model.Score(own.Vector[:Features])), own.Vector[SlotModel]; got != stored {
		return fmt.Errorf("model %016x gives %v, the click says %v: vector or model is not what it was", v.ModelHash, got, stored)
	}
	return nil
}
