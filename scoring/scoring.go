// Package scoring gives every click its verdict: a provisional one while it passes,
// from lists of general invalid traffic (package givt), robust z-scores of rates
// (package zscore) and what is remembered of its entities (package entity); and a
// final one in the second pass, which looks at the whole hour first (Judge). A policy
// turns the evidence into a state with reasons. The evidence is stored with the click
// as a vector; Recompute makes the verdict again from it.
package scoring

import (
	"sync/atomic"

	"clickgate/gateway/click"
	"clickgate/scoring/entity"
	"clickgate/scoring/givt"
	"clickgate/scoring/iforest"

	"github.com/prometheus/client_golang/prometheus"
)

// Scorer implements gateway.Scorer. It is safe for concurrent use and allocates
// nothing per click. Given the same clicks in the same order from one goroutine,
// and the same seed, it makes the same verdicts.
type Scorer struct {
	policy     Policy
	policyHash uint64
	lists      atomic.Pointer[givt.Timeline]
	agents     *agents
	models     *Models
	entities   *entities
	live       *live
}

// New returns a scorer. The seed scatters entities over the tables: keep it
// secret from senders, and keep it the same for a replay.
func New(cfg Config, lists *givt.Lists, seed uint64, reg prometheus.Registerer) (*Scorer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Scorer{policy: cfg.Policy, policyHash: cfg.Policy.Hash(), agents: newAgents(seed)}
	s.SwapLists(givt.Always(lists))
	s.models = newModels("edge")
	s.models.Register(reg)
	var err error
	if s.entities, err = newEntities(entity.Config{Entries: cfg.MaxKeys, Seed: seed}); err != nil {
		return nil, err
	}
	if s.live, err = newLive(entity.Config{Entries: cfg.MaxKeys, Seed: seed}); err != nil {
		return nil, err
	}
	registerMetrics(s, reg)
	return s, nil
}

// SwapLists puts other lists in force for the clicks that follow; each is judged by
// those of its event time.
func (s *Scorer) SwapLists(lists *givt.Timeline) {
	s.lists.Store(lists)
	s.agents.forget()
}

// SwapModel puts another isolation forest in force for the clicks that follow, nil
// for none, and takes the shadow away. A model of other vectors is refused and changes nothing.
func (s *Scorer) SwapModel(m *iforest.Model) error { return s.models.Set(Forest{Model: m}, Forest{}) }

// Models are the forests that score.
func (s *Scorer) Models() *Models { return s.models }

// Score fills c.Verdict and c.AgentFamily. It keeps no part of c and sig; of the agent's text it
// may keep a copy, in memory alone, see agents.
func (s *Scorer) Score(c *click.Click, sig *click.Signals) {
	lists := s.lists.Load().At(c.EventTime)
	agent := s.agents.spell(lists, sig.UserAgent)
	match, listsHash := lists.MatchOf(agent.match, sig.IP), lists.Hash()
	if sig.Lists != nil {
		own := givt.OwnOf(sig.Lists)
		own.Apply(&match, sig.UserAgent, sig.IP)
		listsHash = own.Hash(listsHash)
	}
	v := &c.Verdict
	v.VectorVersion = VectorVersion
	fillLists(&v.Vector, &match)
	fillHeaders(&v.Vector, c, sig, match.Agent)
	// Of a proxy that hides its client the address is there and means nobody.
	s.entities.observe(&v.Vector, c, sig.IP.IsValid() && addressKnown(c))
	s.live.observe(&v.Vector, c, sig, match.Agent, &agent)
	forests := s.models.inForce.Load()
	forests.ask(v)
	policy, policyHash := s.policy, s.policyHash
	if sig.Policies != nil {
		policy = s.policy.of(sig.Policies, c.CampaignID)
		policyHash = policy.Hash()
	}
	d := Decide(&policy, c.Flags, &v.Vector)
	v.State, v.Reasons, v.Score = d.State, v.Reasons|d.Reasons, d.Score
	v.ListsHash, v.PolicyHash = listsHash, policyHash
	s.models.watch(forests, c, v, policy.ModelSuspect)
	if match.Agent == givt.None {
		c.AgentFamily = agent.family
	}
}
