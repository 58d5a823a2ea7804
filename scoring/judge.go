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
	policy   Policy
	policies func(tenantID, sourceID string) *click.Policies
	models   *Models
	fixed    *forests // nil: those in force
	maxKeys  int
	memory   *memory
}

// judgeSeed scatters entities over the tables of a pass. It may be known, unlike a
// gateway's seed: the keys are pseudonyms already, which no sender can choose.
const judgeSeed = 1

// kept are the reasons of a stored verdict that its evidence does not tell again.
const kept = click.Reasons(1 << click.ReasonNoPrice)

// NewJudge returns the judge of a policy, of what a source's tenant, the source and the
// tenant's campaigns set otherwise (a nil function: nothing), and of a model, nil for none. It refuses a model of other
// vectors.
func NewJudge(cfg Config, model *iforest.Model, policies func(tenantID, sourceID string) *click.Policies) (*Judge, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	models := newModels("hour")
	if err := models.Set(Forest{Model: model}, Forest{}); err != nil {
		return nil, err
	}
	if policies == nil {
		policies = func(string, string) *click.Policies { return nil }
	}
	return &Judge{policy: cfg.Policy, policies: policies, models: models, maxKeys: cfg.MaxKeys, memory: newMemory(dayHours * cfg.MaxKeys)}, nil
}

// Models are the forests that score; they may be changed between passes, and a pass
// goes by those of its beginning.
func (j *Judge) Models() *Models { return j.models }

// Fixed returns the judge with the forests of this moment: its passes and its Hashes are
// of one model, whatever is put in force meanwhile.
func (j *Judge) Fixed() *Judge {
	fixed := *j
	fixed.fixed = j.forests()
	return &fixed
}

func (j *Judge) forests() *forests {
	if j.fixed != nil {
		return j.fixed
	}
	return j.models.inForce.Load()
}

// Hashes name the policies of a source's clicks and the model, 0 for none. The first is
// the policy hash of its clicks where no campaign has a policy of its own, else a hash of
// all of them.
func (j *Judge) Hashes(tenantID, sourceID string) (policy, model uint64) {
	return j.policy.hashOfUnit(j.policies(tenantID, sourceID)), hashOf(j.forests().live.Model)
}

// named is a policy and its hash.
type named struct {
	Policy
	hash uint64
}

// rulebook is the policies of one pass, which stay as they were when it began: of the
// source's clicks, and of those of campaigns with a policy of their own.
type rulebook struct {
	source    named
	campaigns map[string]*named
}

func (p *Policy) rulebook(own *click.Policies) *rulebook {
	name := func(policy Policy) named { return named{policy, policy.Hash()} }
	r := &rulebook{source: name(p.of(own, ""))}
	if own != nil && len(own.Campaigns) > 0 {
		r.campaigns = make(map[string]*named, len(own.Campaigns))
		for id := range own.Campaigns {
			r.campaigns[id] = new(name(p.of(own, id)))
		}
	}
	return r
}

// of is the policy of a campaign's clicks.
func (r *rulebook) of(campaignID string) *named {
	if own := r.campaigns[campaignID]; own != nil {
		return own
	}
	return &r.source
}

// Begin starts a pass over the clicks of one source in an hour, given by its beginning in
// Unix microseconds. Both functions take clicks in order of event time and id, from one
// goroutine, and keep nothing of them: first those from the hour of from on go to look,
// which notes what the hours say of their entities, then those of the hour before and of
// the hour itself to judge, which returns their verdicts. from is the hour before, or
// earlier, at most 23 hours, when this judge does not remember who came in those: what it
// remembers is what it would read again, so verdicts do not depend on it. What lists,
// headers and the weeks of its publisher said of a click is kept as it was stored; rates,
// facts of the hour and model score are worked out again. A pass that does not look judges by the clicks before alone.
// A click without a vector, or with one of a version that is not known, is not counted and
// keeps its verdict.
func (j *Judge) Begin(tenantID, sourceID string, hour int64) (from int64, look func(*click.Click), judge func(*click.Click) click.Verdict, err error) {
	rules := j.policy.rulebook(j.policies(tenantID, sourceID))
	seen, err := newEntities(j.tables())
	if err != nil {
		return 0, nil, nil, err
	}
	at := hour / hourMicros
	view, err := newSurvey(rules, j.tables(), at)
	if err != nil {
		return 0, nil, nil, err
	}
	forests := j.forests()
	past := pastOf{tenantID, sourceID, rules.source.hash}
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
		forests.ask(&v)
		view.fill(&v.Vector, c)
		policy := rules.of(c.CampaignID)
		d := Decide(&policy.Policy, c.Flags, &v.Vector)
		v.State, v.Score, v.PolicyHash = d.State, d.Score, policy.hash
		v.Reasons = v.Reasons&kept | d.Reasons
		j.models.watch(forests, c, &v, policy.ModelSuspect)
		return v
	}
	return from, look, judge, nil
}

// tables are those of one pass. Most passes are over few clicks: reserving what a
// gateway does would take hundreds of megabytes for each. One goroutine needs one shard.
func (j *Judge) tables() entity.Config {
	return entity.Config{Entries: j.maxKeys, Seed: judgeSeed, Shards: 1, Grow: true}
}
