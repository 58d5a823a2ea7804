package scoring

import (
	"clickgate/gateway/click"
	"clickgate/scoring/iforest"
	"clickgate/scoring/zscore"
)

// Judge makes the verdicts of the second pass, when an hour is whole: from what is
// stored with the clicks, in order of event time, so that it does not matter which
// gateway saw a click when. Safe for concurrent use.
type Judge struct {
	policy  Policy
	sources func(tenantID, sourceID string) *click.SourcePolicy
	model   *iforest.Model
	maxKeys int
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
	return &Judge{policy: cfg.Policy, sources: sources, model: model, maxKeys: cfg.MaxKeys}, nil
}

// Hashes name the policy of a source and the model, 0 for none.
func (j *Judge) Hashes(tenantID, sourceID string) (policy, model uint64) {
	if j.model != nil {
		model = j.model.Hash()
	}
	own := j.policy.For(j.sources(tenantID, sourceID))
	return own.Hash(), model
}

// Begin starts a pass over the clicks of one source with nothing remembered. The
// function it returns takes them in order of event time and id, from one goroutine,
// and returns their verdicts: what lists said of agent and address is kept as it was
// stored, rates and model score are worked out again. A click with a vector of
// another version, or none, is not counted and keeps its verdict.
func (j *Judge) Begin(tenantID, sourceID string) (func(*click.Click) click.Verdict, error) {
	seen, err := j.entities()
	if err != nil {
		return nil, err
	}
	policy := j.policy.For(j.sources(tenantID, sourceID))
	hash := policy.Hash()
	return func(c *click.Click) click.Verdict {
		v := c.Verdict
		if v.VectorVersion != VectorVersion {
			return v
		}
		seen.observe(&v.Vector, c, addressKnown(c))
		askModel(&v, j.model)
		d := Decide(&policy, c.Flags, &v.Vector)
		v.State, v.Score, v.PolicyHash = d.State, d.Score, hash
		v.Reasons = v.Reasons&kept | d.Reasons
		return v
	}, nil
}

// entities returns the memory of one pass. Most passes are over few clicks: reserving
// what a gateway does would take hundreds of megabytes for each. One goroutine needs
// one shard.
func (j *Judge) entities() (*entities, error) {
	return newEntities(zscore.Config{Entries: j.maxKeys, Seed: judgeSeed, Shards: 1, Grow: true})
}
