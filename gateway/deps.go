package gateway

import (
	"errors"
	"io"
	"log/slog"
	"time"

	"clickgate/gateway/admit"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/hints"
	"clickgate/gateway/seal"

	"github.com/prometheus/client_golang/prometheus"
)

// Scorer decides the provisional verdict: from c and s it fills state, score,
// vector and hashes of c.Verdict and adds to its reasons. It must not keep c or
// s, allocate or block. It is called from many goroutines.
type Scorer interface {
	Score(c *click.Click, s *click.Signals)
}

// Log makes events durable. It is called from many goroutines.
type Log interface {
	// Record queues one event and returns at once; r.Value is copied before it
	// returns. Without an error done.Done is called exactly once, possibly before
	// Record returns: with nil after the event is durable. With an error it is
	// never called.
	Record(r *durable.Record, done durable.Waiter) error
	// Shed counts an event of a known tenant that was refused for load.
	Shed(tenantID, sourceID string)
	// Unrecorded counts a redirect that left no durable record.
	Unrecorded(tenantID, sourceID string)
	// Ready reports why events would be refused now, nil when they would not.
	Ready() error
}

// Dependencies are what a Server works with. It owns none of them.
type Dependencies struct {
	Control    *control.Set
	Log        Log
	Scorer     Scorer
	Sealer     *seal.Sealer
	Pseudonyms *seal.Pseudonymizer
	Now        func() time.Time // wall clock; with time.Now the limits use its monotonic part
	Entropy    io.Reader        // seeds the ids of clicks and dead letters
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer // what /metrics shows
	// Signals tell how the log bears its load; see admit.Signals, of which Memory
	// and Files are the server's own. Nil leaves the limit of requests in flight
	// at its highest.
	Signals func() admit.Signals
	// Feeds says that impressions and conversions are taken: their topics exist.
	Feeds bool
	// Hints are what the gateways of a fleet know of each other; nil for one alone.
	Hints *hints.Hints
}

func (d *Dependencies) check() error {
	if d.Control == nil || d.Log == nil || d.Scorer == nil || d.Sealer == nil || d.Pseudonyms == nil ||
		d.Now == nil || d.Entropy == nil || d.Logger == nil || d.Registerer == nil || d.Gatherer == nil {
		return errors.New("gateway: a dependency is missing; set every field of Dependencies")
	}
	return nil
}
