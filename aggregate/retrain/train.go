package retrain

import (
	"fmt"
	"slices"

	"clickgate/scoring"
	"clickgate/scoring/iforest"
)

// Manifest says where a model comes from and what is known of it. It is kept for good.
type Manifest struct {
	SHA256        string   `json:"sha256"`
	VectorVersion uint32   `json:"vector_version"`
	From          int64    `json:"from"`    // training window, Unix microseconds, [From, To)
	To            int64    `json:"to"`      //
	Clicks        int64    `json:"clicks"`  // valid ones of the window
	Rows          int      `json:"rows"`    // trained on
	Sources       []string `json:"sources"` // learned from
	LeftOut       int64    `json:"left_out"`
	Data          string   `json:"data"` // where the clicks come from
	Seed          uint64   `json:"seed"`
	Who           string   `json:"who"`
	Why           string   `json:"why"`
	CreatedBy     string   `json:"created_by"`
	// Beyond is the score from which a click is unlike the training traffic: of two hundred
	// sampled valid clicks one is.
	Beyond  float64 `json:"beyond"`
	Guard   *Report `json:"guard,omitempty"`   // nil for a model that was not trained here
	Profile Profile `json:"profile,omitempty"` // nil as well
}

// ordinary is the share of held-out valid clicks up to the threshold.
const ordinary = 0.995

// Candidate is a trained model with its manifest.
type Candidate struct {
	Model    *iforest.Model
	Manifest Manifest
}

// Settings of a training.
type Settings struct {
	Limits
	Older     *Reference // the model before the reference; nil for none
	Seed      uint64
	CreatedBy string
	// Unguarded trains without a reference, and from sources that it would not know: to
	// measure what the guard is worth.
	Unguarded bool
}

// Train trains a candidate from a sample and holds it against a reference, nil for the
// first model. A candidate that the guard refuses is returned too, with the reason in
// its report; an error says that nothing could be trained.
func Train(s *Sample, ref *Reference, set Settings) (*Candidate, error) {
	if set.Unguarded {
		ref, set.Older = nil, nil
	}
	known, fresh := s.known(ref)
	var training, held []*Row
	for _, r := range s.rows(known) {
		if r.held() {
			held = append(held, r)
		} else {
			training = append(training, r)
		}
	}
	if len(training) < scoring.MinRowsPerSource || len(held) == 0 {
		return nil, &TooFewError{len(training)}
	}
	cfg := iforest.Config{Names: scoring.FeatureNames(), Seed: set.Seed, VectorVersion: scoring.VectorVersion, CreatedBy: set.CreatedBy}
	features := make([][]float32, len(training))
	for i, r := range training {
		features[i] = r.Features[:]
	}
	model, err := iforest.Train(features, cfg)
	if err != nil {
		return nil, err
	}
	c := &Candidate{Model: model, Manifest: Manifest{
		SHA256: fmt.Sprintf("%x", model.Checksum()), VectorVersion: scoring.VectorVersion, Clicks: s.Seen(), Rows: len(training),
		Sources: known, Seed: set.Seed, CreatedBy: set.CreatedBy, Beyond: quantile(scores(model, s.rows(known)), ordinary),
		Guard: &Report{New: fresh}, Profile: profile(s, known, model),
	}}
	c.Manifest.Guard.judge(set.Limits, ref, set.Older, c, s, held)
	return c, nil
}

// TooFewError says that there is too little to learn from.
type TooFewError struct{ Rows int }

func (e *TooFewError) Error() string {
	return fmt.Sprintf("training: %d clicks to learn from, %d at least; widen scoring.retrain.window, or wait until hours without incidents are closed",
		e.Rows, scoring.MinRowsPerSource)
}

// known splits the sources into those that the reference knows and the others, which are
// only looked at: a source begins to be learned from when it was seen for a window. The
// sources beyond the first are learned from as one.
func (s *Sample) known(ref *Reference) (known, fresh []string) {
	for _, name := range s.names() {
		switch {
		case ref == nil || ref.Profile == nil || ref.Profile[name] != nil:
			known = append(known, name)
		default:
			fresh = append(fresh, name)
		}
	}
	return known, fresh
}

// quantile is the least value with a share p of all at or below it.
func quantile(values []float64, p float64) float64 {
	slices.Sort(values)
	return values[min(len(values)-1, int(p*float64(len(values))))]
}
