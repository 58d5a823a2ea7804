package scoring

import (
	"clickgate/gateway/click"
	"clickgate/scoring/entity"
	"clickgate/scoring/iforest"
)

// Judge makes the verdicts of the second pass, when an hour is whole: from what is
// stored with the clicks, in order of event time, so that it does not matter which
// gateway saw a click when. Safe for concurrent use.
type Judge struct {
	policy  Policy
	sources func(tenantID, sourceID string) *click.SourcePolicy
	model   *iforest.Model
	maxKeys int
	memory  *memory
}

// judgeSeed scatters entities over the tables of a pass. It may be known, unlike a
// gateway's seed: the keys are pseudonyms already, which no sender can choose.
const judgeSeed = 1

// kept are the reasons of a stored verdict that its evidence does not tell again.
const kept = click.Reasons(1 << click.ReasonNoPrice)

// NewJudge returns the judge of a policy, of what sources set otherwise (a nil
// function: nothing), and of a model, nil for none. It refuses a model of other
// vectors.
func NewJudge(cfg Config, model *iforest.Model, sources func(tenantID, sourceID string) *click.SourcePolicy) (*Judge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if _, err := iforest.NewHolder(Features, VectorVersion).Swap(model); err != nil {
		return nil, err
	}
	if sources == nil {
		sources = func(string, string) *click.SourcePolicy { return nil }
	}
	return &Judge{policy: cfg.Policy, sources: sources, model: model, maxKeys: cfg.MaxKeys, memory: newMemory(dayHours * cfg.MaxKeys)}, nil
}

// Hashes name the policy of a source and the model, 0 for none.
func (j *Judge) Hashes(tenantID, sourceID string) (policy, model uint64) {
	if j.model != nil {
		model = j.model.Hash()
	}
	own := j.policy.For(j.sources(tenantID, sourceID))
	return own.Hash(), model
}

// Begin starts a pass over the clicks of one source in an hour, given by its beginning in
// Unix microseconds. Both functions take clicks in order of event time and id, from one
// goroutine, and keep nothing of them: first those from the hour of from on go to look,
// which notes what the hours say of their entities, then those of the hour before and of
// the hour itself to judge, which returns their verdicts. from is the hour before, or
// earlier, at most 23 hours, when this judge does not remember who came in those: what it
// remembers is what it would read again, so verdicts do not depend on it. What lists and
// headers said of a click is kept as it was stored; rates, facts of the hour and model
// score are worked out again. A pass that does not look judges by the clicks before alone.
// A click without a vector, or with one of a version that is not known, is not counted and
// keeps its verdict.
func (j *Judge) Begin(tenantID, sourceID string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error) {
	policy := j.policy.For(j.sources(tenantID, sourceID))
	seen, err := newEntities(j.tables())
	if err != nil {
		return 0, nil, nil, err
	}
	at := hour / hourMicros
	view, err := newSurvey(&policy, j.tables(), at)
	if err != nil {
		return 0, nil, nil, err
	}
	hash := policy.Hash()
	past := pastOf{tenantID, sourceID, hash}
	from = j.memory.recall(past, view.day) * hourMicros
	look = func(c *click.Click) {
		if v := c.Verdict; modern(&v) {
			view.look(c, &v.Vector)
		}
	}
	judge = func(c *click.Click) click.Verdict {
		v := c.Verdict
		if !modern(&v) {
			return v
		}
		if !view.settled {
			view.settle()
			if view.looked {
				j.memory.keep(past, view.day)
			}
		}
		clear(v.Vector[SlotFacts:])
		seen.observe(&v.Vector, c, addressKnown(c))
		askModel(&v, j.model)
		view.fill(&v.Vector, c)
		d := Decide(&policy, c.Flags, &v.Vector)
		v.State, v.Score, v.PolicyHash = d.State, d.Score, hash
		v.Reasons = v.Reasons&kept | d.Reasons
		return v
	}
	return from, look, judge, nil
}

// tables are those of one pass. Most passes are over few clicks: reserving what a
// gateway does would take hundreds of megabytes for each. One goroutine needs one shard.
func (j *Judge) tables() entity.Config {
	return entity.Config{Entries: j.maxKeys, Seed: judgeSeed, Shards: 1, Grow: true}
}
