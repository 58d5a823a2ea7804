package aggregate

import (
	"context"

	"clickgate/gateway/click"
)

// VectorReader reads the evidence vectors of stored clicks, to train models on.
// Both stores implement it.
type VectorReader interface {
	// Vectors calls f for every click that the query selects, in no particular
	// order, and ends with the first error of f. The row is valid during the call.
	Vectors(ctx context.Context, q VectorQuery, f func(*VectorRow) error) error
}

// VectorQuery selects clicks that have a vector.
type VectorQuery struct {
	TenantID string        // empty: all
	From, To int64         // event time, Unix microseconds, [From, To); 0 means open
	Version  uint32        // of the vector: slots of another one mean something else
	Without  []click.State // clicks in these states are left out
}

// VectorRow is the vector of one click.
type VectorRow struct {
	EventKey
	Version   uint32 // of the vector
	Vector    click.Vector
	ModelHash uint64 // of the model that scored it; 0: none
}

// Verdict returns what the row says of a verdict: vector and model.
func (r *VectorRow) Verdict() click.Verdict {
	return click.Verdict{VectorVersion: r.Version, Vector: r.Vector, ModelHash: r.ModelHash}
}
