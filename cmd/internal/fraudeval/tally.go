package fraudeval

import (
	"fmt"
	"math/rand/v2"
	"time"

	"clickgate/cmd/internal/fraudrange"
	"clickgate/gateway/click"
	"clickgate/scoring"
)

// tally counts clicks of one kind by what became of them.
type tally struct {
	clicks, micros           int64
	caught, caughtMicros     int64 // givt or sivt in the end
	unbilled, unbilledMicros int64 // anything but valid in the end
	flagged                  int64 // at the edge or in the end: givt, sivt or suspect
	wrong                    int64 // flagged, or not valid in the end
	edge, final              [click.NumStates]int64
	reasons                  [click.NumReasons]int64 // in the end
}

func (t *tally) add(e *entry) {
	price := e.PriceMicros
	t.clicks++
	t.micros += price
	if caught(e.State) {
		t.caught++
		t.caughtMicros += price
	}
	if e.State != click.Valid {
		t.unbilled++
		t.unbilledMicros += price
	}
	atEdge := e.Verdict.State
	if flagged(atEdge) || flagged(e.State) {
		t.flagged++
	}
	if flagged(atEdge) || e.State != click.Valid {
		t.wrong++
	}
	t.edge[atEdge]++
	t.final[e.State]++
	e.Reasons.Each(func(r click.Reason) {
		if r < click.NumReasons {
			t.reasons[r]++
		}
	})
}

// detection is when an attack was first seen for one at the edge.
type detection struct {
	began   time.Duration // first click of it
	clicks  int64         // of it that arrived, the detected one included
	found   bool
	through time.Duration // from first click to the first flagged one
	missed  int64         // clicks before that
}

// seedResult is the outcome of one seed.
type seedResult struct {
	seed       uint64
	world      *fraudrange.World
	families   [fraudrange.NumFamilies]tally
	segments   [fraudrange.NumSegments]tally
	labels     [fraudrange.NumLabels]tally
	detections [fraudrange.NumFamilies]detection
	arrivals   [fraudrange.NumLabels]int64
	relayUsers map[uint64]bool // true: one of their clicks was taken for fraud
	samples    samples
}

func newSeedResult(w *fraudrange.World) *seedResult {
	return &seedResult{seed: w.Seed, world: w, relayUsers: map[uint64]bool{}}
}

// arrived notes a click when the gateway has its first verdict.
func (r *seedResult) arrived(c *fraudrange.Click, s click.State) {
	r.arrivals[c.Label]++
	if c.Label != fraudrange.Fraud {
		return
	}
	d := &r.detections[c.Family]
	if d.clicks == 0 {
		d.began = c.At
	}
	d.clicks++
	if !d.found && flagged(s) {
		d.found, d.through, d.missed = true, c.At-d.began, d.clicks-1
	}
}

// final notes a click when its hour has closed.
func (r *seedResult) final(e *entry, random *rand.Rand) {
	r.labels[e.truth.label].add(e)
	switch e.truth.label {
	case fraudrange.Fraud:
		r.families[e.truth.family].add(e)
	case fraudrange.Person:
		r.segments[e.truth.segment].add(e)
		if e.truth.segment == fraudrange.Relay {
			r.relayUsers[e.truth.actor] = r.relayUsers[e.truth.actor] || flagged(e.Verdict.State) || e.State != click.Valid
		}
	}
	r.samples.add(e, random)
}

// complete checks that every click that arrived got a final verdict, once.
func (r *seedResult) complete() error {
	for l := range r.labels {
		got := int64(0)
		for _, n := range r.labels[l].final {
			got += n
		}
		if got != r.arrivals[l] {
			return fmt.Errorf("fraudeval: seed %d: %d clicks of label %s arrived, %d have a verdict", r.seed, r.arrivals[l], fraudrange.Label(l), got)
		}
	}
	return nil
}

// samples are vectors of people and of each family, drawn evenly (reservoir sampling,
// Vitter's algorithm R).
type samples struct {
	groups [fraudrange.NumFamilies]sample // people under NoFamily
	missed [fraudrange.NumFamilies]sample // of attacks: those not caught
	nat    sample                         // of people, those behind a NAT
}

type sample struct {
	seen int64
	rows [][]float32
}

// Sizes of a sample of one seed.
const (
	peopleRows = 4000
	natRows    = 1000
	familyRows = 400
)

func (s *samples) add(e *entry, r *rand.Rand) {
	switch e.truth.label {
	case fraudrange.Person:
		s.groups[fraudrange.NoFamily].add(e, peopleRows, r)
		if e.truth.segment == fraudrange.NAT {
			s.nat.add(e, natRows, r)
		}
	case fraudrange.Fraud:
		s.groups[e.truth.family].add(e, familyRows, r)
		if !caught(e.State) {
			s.missed[e.truth.family].add(e, familyRows, r)
		}
	}
}

func (s *sample) add(e *entry, size int, r *rand.Rand) {
	s.seen++
	place := int64(len(s.rows))
	if len(s.rows) == size {
		if place = r.Int64N(s.seen); place >= int64(size) {
			return
		}
	} else {
		s.rows = append(s.rows, nil)
	}
	s.rows[place] = append(s.rows[place][:0], e.Verdict.Vector[:scoring.Features]...)
}
