package aggregate

import "clickgate/gateway/click"

// Judge makes the verdicts of the second pass, from what is stored and in order of
// event time, so that they do not depend on which gateway saw a click when.
// scoring.Judge is one.
type Judge interface {
	// Begin starts a pass over the clicks of one source in an hour, which begins at hour,
	// Unix microseconds. Both functions take clicks in order of event time and event id,
	// from one goroutine: first all from the hour of from on go to look, which finds out
	// what the hours say of their entities, then all of the hour before and of the hour to
	// judge. from is the hour before, or earlier where the judge must see more. It returns
	// the verdict of a click before repeats are told apart, from its stored flags, the
	// parts of its stored vector that depend on the click alone, what look found, and the
	// clicks that were judged before.
	Begin(tenantID, sourceID string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error)
	// Hashes name the policy of a source and the model (0: none).
	Hashes(tenantID, sourceID string) (policy, model uint64)
}
