package app

import "clickgate/scoring/iforest"

// OpenModel opens what scoring.model names, as a gateway does: nil for an empty name.
func OpenModel(name string) (*iforest.Model, error) { return openModel(name) }
