package aggregate

import "clickgate/gateway/click"

// Judge makes the verdicts of the second pass, from what is stored and in order of
// event time, so that they do not depend on which gateway saw a click when.
// scoring.Judge is one.
type Judge interface {
	// Begin starts a pass over the clicks of one source with nothing remembered. It
	// returns the function that judges them, in order of event time and event id,
	// from one goroutine: the verdict of a click before repeats are told apart, from
	// its stored flags, the parts of its stored vector that depend on the click
	// alone, and the clicks that the pass saw before.
	Begin(tenantID, sourceID string) (judge func(*click.Click) click.Verdict, err error)
	// Hashes name the policy of a source and the model (0: none).
	Hashes(tenantID, sourceID string) (policy, model uint64)
}
