package aggregate

import "clickgate/gateway/click"

// Judge makes the verdicts of the second pass, from what is stored and in order of
// event time, so that they do not depend on which gateway saw a click when.
// scoring.Judge is one.
type Judge interface {
	// Begin starts a pass over the clicks of one source, those of an hour and of the
	// one before it, with nothing remembered. Both functions take them in order of
	// event time and event id, from one goroutine: first all go to look, which finds
	// out what the hour says of its entities, then all to judge. It returns the verdict
	// of a click before repeats are told apart, from its stored flags, the parts of its
	// stored vector that depend on the click alone, what look found, and the clicks
	// that were judged before.
	Begin(tenantID, sourceID string) (look func(*click.Click), judge func(*click.Click) click.Verdict, err error)
	// Hashes name the policy of a source and the model (0: none).
	Hashes(tenantID, sourceID string) (policy, model uint64)
}
