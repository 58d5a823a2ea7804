package aggregate

import "clickgate/gateway/click"

// Judge makes the verdicts of the second pass, from what is stored and in order
// of event time, so that they do not depend on which gateway saw a click when.
type Judge interface {
	// Begin starts a pass over the clicks of one source with nothing remembered.
	Begin(tenantID, sourceID string) Pass
	// Hashes name the policy and the model (0: none) of this judge.
	Hashes() (policy, model uint64)
}

// Pass judges the clicks of one source in order of event time and event id. It is
// for one goroutine.
type Pass interface {
	// Judge returns the verdict of c before repeats are told apart, from its stored
	// flags, the parts of its stored vector that depend on the click alone, and the
	// clicks that this pass saw before.
	Judge(c *click.Click) click.Verdict
}
