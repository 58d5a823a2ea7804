package click

import (
	"errors"
	"fmt"
	"math"
)

// Policies are what a tenant, a source of its and its campaigns decide about clicks
// otherwise than the process. The most specific wins, threshold by threshold: that of
// the campaign before the source's before the tenant's. Immutable once it is in force; a
// nil one decides nothing.
type Policies struct {
	Tenant, Source *SourcePolicy
	Campaigns      map[string]*SourcePolicy // by the campaign's id, of those that decide anything
}

// Of returns the policies of a campaign's clicks, the least specific first, nil where
// there is none. It allocates nothing.
func (p *Policies) Of(campaignID string) (own [3]*SourcePolicy) {
	if p != nil {
		own = [...]*SourcePolicy{p.Tenant, p.Source, p.Campaigns[campaignID]}
	}
	return own
}

// SourcePolicy is what a source, a tenant or a campaign decides otherwise than the
// process: thresholds of scoring.Policy by the same names, nil where those of the less
// specific hold. It stands here because sources are the gateway's and thresholds are
// scoring's, and neither imports the other. Immutable once it is in force.
type SourcePolicy struct {
	ZSuspect     *float64 `yaml:"z_suspect" json:"z_suspect,omitempty"`
	ZInvalid     *float64 `yaml:"z_invalid" json:"z_invalid,omitempty"`
	ZAddress     *float64 `yaml:"z_address" json:"z_address,omitempty"`
	ZInexcusable *float64 `yaml:"z_inexcusable" json:"z_inexcusable,omitempty"`
	MinClicks    *float64 `yaml:"min_clicks" json:"min_clicks,omitempty"`
	SelfMinutes  *float64 `yaml:"self_minutes" json:"self_minutes,omitempty"`
	PriorMedian  *float64 `yaml:"prior_median" json:"prior_median,omitempty"`
	ModelSuspect *float64 `yaml:"model_suspect" json:"model_suspect,omitempty"`
	EntityClicks *float64 `yaml:"entity_clicks" json:"entity_clicks,omitempty"`
	GapOctaves   *float64 `yaml:"gap_octaves" json:"gap_octaves,omitempty"`
	ZFocus       *float64 `yaml:"z_focus" json:"z_focus,omitempty"`
	HeavyClicks  *float64 `yaml:"heavy_clicks" json:"heavy_clicks,omitempty"`
	GroupClicks  *float64 `yaml:"group_clicks" json:"group_clicks,omitempty"`
	ZGroup       *float64 `yaml:"z_group" json:"z_group,omitempty"`
	FastSeconds  *float64 `yaml:"fast_seconds" json:"fast_seconds,omitempty"`
	AppsAreTools *bool    `yaml:"apps_are_tools" json:"apps_are_tools,omitempty"`
}

// Validate reports the first impossible value, by key and remedy. Thresholds of
// z-scores are ordered, so they are set together: whether one of them fits must
// not depend on the process that scores the click.
func (p *SourcePolicy) Validate() error {
	if *p == (SourcePolicy{}) {
		return errors.New("is empty; leave it out, or set what is to be other than in scoring.policy")
	}
	if err := p.validateZ(); err != nil {
		return err
	}
	for _, f := range [...]struct {
		key         string
		value       *float64
		least, most float64
		remedy      string
	}{
		{"min_clicks", p.MinClicks, 2, math.MaxFloat64, "use at least 2"},
		{"self_minutes", p.SelfMinutes, 3, 60, "use 3 to 60"},
		{"prior_median", p.PriorMedian, 1, math.MaxFloat64, "use at least 1"},
		{"model_suspect", p.ModelSuspect, 0, math.Nextafter(1, 0), "use above 0.5 and below 1, or 0 for evidence only"},
	} {
		if f.value != nil && !(*f.value >= f.least && *f.value <= f.most) {
			return fmt.Errorf("%s: %v is out of range; %s", f.key, *f.value, f.remedy)
		}
	}
	return p.ValidateHour()
}

// ValidateCampaign is Validate for a campaign's policy. Fingerprints and publishers of a
// source are compared with each other whatever campaign their clicks are of, so one
// campaign cannot set their bounds.
func (p *SourcePolicy) ValidateCampaign() error {
	for _, f := range [...]struct {
		key   string
		value *float64
	}{{"group_clicks", p.GroupClicks}, {"z_group", p.ZGroup}} {
		if f.value != nil {
			return fmt.Errorf("%s: is about a source's publishers and fingerprints over all campaigns; set it in the policy of the source or the tenant", f.key)
		}
	}
	return p.Validate()
}

// ValidateHour reports the first impossible bound of the second pass, which sees whole
// hours. They do not depend on each other; 0 turns a rule off.
func (p *SourcePolicy) ValidateHour() error {
	for _, f := range [...]struct {
		key         string
		value       *float64
		least, most float64
	}{
		{"entity_clicks", p.EntityClicks, 4, 1e6},
		{"gap_octaves", p.GapOctaves, 0.05, 1.5},
		{"z_focus", p.ZFocus, 3, 1e6},
		{"heavy_clicks", p.HeavyClicks, 12, 1e6},
		{"group_clicks", p.GroupClicks, 10, 1e6},
		{"z_group", p.ZGroup, 3, 1e6},
		{"fast_seconds", p.FastSeconds, 0.05, 10},
	} {
		if f.value != nil && *f.value != 0 && !(*f.value >= f.least && *f.value <= f.most) {
			return fmt.Errorf("%s: %v is out of range; use %v to %v, or 0 to turn its rule off", f.key, *f.value, f.least, f.most)
		}
	}
	return nil
}

func (p *SourcePolicy) validateZ() error {
	z := [...]struct {
		key   string
		value *float64
	}{{"z_suspect", p.ZSuspect}, {"z_invalid", p.ZInvalid}, {"z_address", p.ZAddress}, {"z_inexcusable", p.ZInexcusable}}
	for _, f := range z {
		switch {
		case (f.value == nil) != (p.ZSuspect == nil):
			return errors.New("z_suspect: z_suspect, z_invalid, z_address and z_inexcusable are set together, as their order matters; set all four or none")
		case f.value != nil && !(*f.value > 0 && *f.value <= math.MaxFloat64):
			return fmt.Errorf("%s: %v is out of range; use a number above 0", f.key, *f.value)
		}
	}
	if p.ZSuspect == nil {
		return nil
	}
	for _, f := range [...]struct {
		key, than    string
		value, least float64
	}{
		{"z_invalid", "z_suspect", *p.ZInvalid, *p.ZSuspect},
		{"z_address", "z_suspect", *p.ZAddress, *p.ZSuspect},
		{"z_inexcusable", "z_invalid", *p.ZInexcusable, *p.ZInvalid},
	} {
		if f.value < f.least {
			return fmt.Errorf("%s: %v is out of range; use at least %s (%v)", f.key, f.value, f.than, f.least)
		}
	}
	return nil
}
