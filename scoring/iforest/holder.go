package iforest

import (
	"fmt"
	"sync/atomic"
)

// Holder holds the model in force and swaps it under goroutines that score.
type Holder struct {
	features      int
	vectorVersion uint32
	model         atomic.Pointer[Model]
}

// NewHolder returns a holder for models of vectors of this version and with up to
// this many features. It is empty at first.
func NewHolder(features int, vectorVersion uint32) *Holder {
	return &Holder{features: features, vectorVersion: vectorVersion}
}

// Load returns the model in force; nil when there is none. Load once per click, so
// that score, hash and contributions are of one model.
func (h *Holder) Load() *Model { return h.model.Load() }

// Swap puts m in force for the clicks that follow, nil for none, and returns the
// model before. A model of other vectors is refused and changes nothing: it would
// score one thing as another.
func (h *Holder) Swap(m *Model) (before *Model, err error) {
	if err := m.Fits(h.features, h.vectorVersion); err != nil {
		return nil, err
	}
	return h.model.Swap(m), nil
}

// Fits returns an error that says why a model must not score vectors of this version with
// so many features: it would score one thing as another. No model, nil, fits all.
func (m *Model) Fits(features int, vectorVersion uint32) error {
	if m != nil && (m.info.VectorVersion != vectorVersion || m.Features() > features) {
		return fmt.Errorf("iforest: model %016x is of %d features of vector version %d; here vectors are of version %d with %d; train it on those",
			m.Hash(), m.Features(), m.info.VectorVersion, vectorVersion, features)
	}
	return nil
}
