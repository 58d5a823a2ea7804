package scoring

import (
	"fmt"
	"math"

	"clickgate/gateway/click"
)

// Config is the verdict policy and the size of what scoring remembers.
type Config struct {
	Policy Policy `yaml:"policy"`
	// Model is the isolation forest that scores every click: a file that
	// `clickgate train` made, "embedded" for the demo's, "managed" for the one that
	// `clickgate model promote` made live, or empty for none.
	Model string `yaml:"model"`
	// Retrain says when the next model is trained, and from what.
	Retrain RetrainConfig `yaml:"retrain"`
	// Lists is a folder of lists of general invalid traffic with a lists.yaml, which
	// is followed while gateways run; empty for the embedded ones.
	Lists string `yaml:"lists"`
	// MaxKeys bounds the entities remembered per table; about 400 bytes each,
	// reserved at the start and touched as they fill.
	MaxKeys int `yaml:"max_keys"`
}

// Policy holds the thresholds of Decide. Its hash stands on every verdict, so
// that the verdict can be recomputed under the thresholds it was made with.
type Policy struct {
	// ZSuspect and ZInvalid are robust z-scores of the clicks that an address
	// and agent together made in a minute.
	ZSuspect float64 `yaml:"z_suspect"`
	ZInvalid float64 `yaml:"z_invalid"`
	// ZAddress is the z-score from which the rate of an address over all its
	// agents makes a click suspect. It is higher, because people share addresses.
	ZAddress float64 `yaml:"z_address"`
	// MinClicks is the count in a minute below which no rate is anomalous.
	MinClicks float64 `yaml:"min_clicks"`
	// SelfMinutes is how long an entity's own past must be to excuse a rate that
	// its peers find strange, and ZInexcusable the score from which nothing does.
	SelfMinutes  float64 `yaml:"self_minutes"`
	ZInexcusable float64 `yaml:"z_inexcusable"`
	// PriorMedian stands in for the peers' clicks in a minute until there are any.
	PriorMedian float64 `yaml:"prior_median"`
	// ModelSuspect is the score of the isolation forest from which a click is
	// suspect; 0 keeps the score as evidence only, until a model is measured.
	ModelSuspect float64 `yaml:"model_suspect"`
	// What follows are bounds of the second pass, which sees a whole hour and the one
	// before. 0 turns the rule off that a bound belongs to.

	// EntityClicks is how many clicks an address, or address and agent together, must
	// have in both hours before how they come and where they go says anything.
	EntityClicks float64 `yaml:"entity_clicks"`
	// GapOctaves is the spread of gaps up to which their pace is a machine's.
	GapOctaves float64 `yaml:"gap_octaves"`
	// ZFocus is the z-score from which clicks meet one publisher or campaign, ever new
	// targets, or ever new agents, more often than chance brings a crowd to.
	ZFocus float64 `yaml:"z_focus"`
	// HeavyClicks is how many clicks in both hours no person means to make.
	HeavyClicks float64 `yaml:"heavy_clicks"`
	// GroupClicks is the least number of clicks in an hour from which one fingerprint,
	// or one publisher, is compared with others, and ZGroup the robust z-score from
	// which it differs.
	GroupClicks float64 `yaml:"group_clicks"`
	ZGroup      float64 `yaml:"z_group"`
	// FastSeconds is how soon after its token was made out nobody can click.
	FastSeconds float64 `yaml:"fast_seconds"`
	// AppsAreTools says that HTTP libraries which apps carry too, such as okhttp,
	// are tools. Turn it off for sources whose clicks come from apps.
	AppsAreTools bool `yaml:"apps_are_tools"`
}

// DefaultConfig returns the defaults; docs/scoring.md says where they come from.
func DefaultConfig() Config {
	return Config{
		Policy: Policy{
			ZSuspect: 6, ZInvalid: 12, ZAddress: 30, MinClicks: 12,
			SelfMinutes: 30, ZInexcusable: 36, PriorMedian: 4, AppsAreTools: true,
			EntityClicks: 12, GapOctaves: 0.5, ZFocus: 6, HeavyClicks: 60, GroupClicks: 30, ZGroup: 12, FastSeconds: 0.5,
		},
		MaxKeys: 1 << 18,
		Retrain: defaultRetrain(),
	}
}

// Validate reports the first impossible value, by key and remedy.
func (c *Config) Validate() error {
	p := &c.Policy
	switch {
	case !(p.ZSuspect > 0) || math.IsInf(p.ZSuspect, 0):
		return fmt.Errorf("scoring.policy.z_suspect: %v is out of range; use a number above 0", p.ZSuspect)
	case !(p.ZInvalid >= p.ZSuspect) || math.IsInf(p.ZInvalid, 0):
		return fmt.Errorf("scoring.policy.z_invalid: %v is out of range; use at least scoring.policy.z_suspect (%v)", p.ZInvalid, p.ZSuspect)
	case !(p.ZAddress >= p.ZSuspect) || math.IsInf(p.ZAddress, 0):
		return fmt.Errorf("scoring.policy.z_address: %v is out of range; use at least scoring.policy.z_suspect (%v)", p.ZAddress, p.ZSuspect)
	case !(p.MinClicks >= 2) || math.IsInf(p.MinClicks, 0):
		return fmt.Errorf("scoring.policy.min_clicks: %v is out of range; use at least 2", p.MinClicks)
	case !(p.SelfMinutes >= 3 && p.SelfMinutes <= 60):
		return fmt.Errorf("scoring.policy.self_minutes: %v is out of range; use 3 to 60", p.SelfMinutes)
	case !(p.ZInexcusable >= p.ZInvalid) || math.IsInf(p.ZInexcusable, 0):
		return fmt.Errorf("scoring.policy.z_inexcusable: %v is out of range; use at least scoring.policy.z_invalid (%v)", p.ZInexcusable, p.ZInvalid)
	case !(p.PriorMedian >= 1) || math.IsInf(p.PriorMedian, 0):
		return fmt.Errorf("scoring.policy.prior_median: %v is out of range; use at least 1", p.PriorMedian)
	case !(p.ModelSuspect >= 0 && p.ModelSuspect < 1):
		return fmt.Errorf("scoring.policy.model_suspect: %v is out of range; use above 0.5 and below 1, or 0 for evidence only", p.ModelSuspect)
	}
	if err := p.ofHour().ValidateHour(); err != nil {
		return fmt.Errorf("scoring.policy.%w", err)
	}
	if c.MaxKeys < 1024 || c.MaxKeys > 1<<26 {
		return fmt.Errorf("scoring.max_keys: %d is out of range; use 1024 to 67108864", c.MaxKeys)
	}
	if c.Retrain.At != "" && c.Model != ManagedModel {
		return fmt.Errorf("scoring.retrain.at: %q trains models that scoring.model %q would never use; set scoring.model: %s", c.Retrain.At, c.Model, ManagedModel)
	}
	if c.Retrain == (RetrainConfig{}) { // made without the defaults: nothing is ever trained
		return nil
	}
	return c.Retrain.Validate()
}

// ofHour are the bounds of the second pass, as a source would set them.
func (p *Policy) ofHour() *click.SourcePolicy {
	return &click.SourcePolicy{
		EntityClicks: &p.EntityClicks, GapOctaves: &p.GapOctaves, ZFocus: &p.ZFocus, HeavyClicks: &p.HeavyClicks,
		GroupClicks: &p.GroupClicks, ZGroup: &p.ZGroup, FastSeconds: &p.FastSeconds,
	}
}
