package scoring

import (
	"math"
	"testing"

	"clickgate/gateway/click"

	"pgregory.net/rapid"
)

// What a source may set is what the process may set, and stays valid whatever the
// process has set.
func TestSourcePolicyStaysValid(t *testing.T) {
	t.Parallel()
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.SampledFrom([]float64{-1, 0, 0.5, 1, 2, 3, 6, 12, 30, 36, 60, 61, math.Inf(1), math.NaN()})
		all := [8]float64{}
		for i := range all {
			all[i] = number.Draw(t, "value")
		}
		apps := rapid.Bool().Draw(t, "apps")
		source := click.SourcePolicy{
			ZSuspect: &all[0], ZInvalid: &all[1], ZAddress: &all[2], ZInexcusable: &all[3],
			MinClicks: &all[4], SelfMinutes: &all[5], PriorMedian: &all[6], ModelSuspect: &all[7], AppsAreTools: &apps,
		}
		process := DefaultConfig()
		own := Config{Policy: process.Policy.For(&source), MaxKeys: process.MaxKeys}
		if a, b := source.Validate(), own.Validate(); (a == nil) != (b == nil) {
			t.Fatalf("a source: %v; the process: %v", a, b)
		}
		partly := source
		for _, f := range []**float64{&partly.MinClicks, &partly.SelfMinutes, &partly.PriorMedian, &partly.ModelSuspect} {
			if rapid.Bool().Draw(t, "left out") {
				*f = nil
			}
		}
		if rapid.Bool().Draw(t, "z left out") {
			partly.ZSuspect, partly.ZInvalid, partly.ZAddress, partly.ZInexcusable = nil, nil, nil, nil
		}
		own.Policy = process.Policy.For(&partly)
		if err := own.Validate(); partly.Validate() == nil && err != nil {
			t.Fatalf("%+v is accepted, and makes %+v: %v", partly, own.Policy, err)
		}
		if source.Validate() == nil || partly.Validate() == nil {
			accepted++
		}
	})
	if accepted < 5 {
		t.Errorf("only %d policies were accepted", accepted)
	}
}

// A source's clicks are judged by its policy, others are not, and each verdict can
// be recomputed from the policy that its hash names.
func TestSourcePolicyDecides(t *testing.T) {
	t.Parallel()
	s := newScorer(t)
	no, least := false, 2.0
	six, twelve := 3.0, 4.0
	app := &click.SourcePolicy{AppsAreTools: &no}
	strict := &click.SourcePolicy{ZSuspect: &six, ZInvalid: &twelve, ZAddress: &twelve, ZInexcusable: &twelve, MinClicks: &least}
	policies := map[uint64]Policy{}
	for _, p := range []*click.SourcePolicy{nil, app, strict} {
		own := s.policy.For(p)
		policies[own.Hash()] = own
	}
	if len(policies) != 3 {
		t.Fatalf("three policies have %d hashes", len(policies))
	}
	states := map[*click.SourcePolicy]map[click.State]int{nil: {}, app: {}, strict: {}}
	for i := range 60 {
		for source, count := range states {
			agent, ip := "okhttp/4.12.0", "203.0.113.7"
			if source == strict {
				agent, ip = browser, "203.0.113.8"
			}
			c, sig := visit(ip, agent, start+int64(i)*4_000_000)
			sig.Policies = &click.Policies{Source: source}
			s.Score(&c, &sig)
			count[c.Verdict.State]++
			named, ok := policies[c.Verdict.PolicyHash]
			if want := s.policy.For(source); !ok || named != want {
				t.Fatalf("the hash %016x names %+v, the click was judged by %+v", c.Verdict.PolicyHash, named, want)
			}
			if d := Decide(&named, c.Flags, &c.Verdict.Vector); d.State != c.Verdict.State || d.Reasons != c.Verdict.Reasons || d.Score != c.Verdict.Score {
				t.Fatalf("recomputed %+v, stored %+v", d, c.Verdict)
			}
		}
	}
	if states[nil][click.GIVT] != 60 || states[app][click.GIVT] != 0 || states[strict][click.SIVT] == 0 {
		t.Errorf("without a policy %v, with apps %v, strict %v", states[nil], states[app], states[strict])
	}
}

func TestSourcePolicyAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("allocation counts are not meaningful under the race detector")
	}
	s := newScorer(t)
	c, sig := visit("203.0.113.9", browser, start)
	no := false
	only := &click.SourcePolicy{AppsAreTools: &no}
	c.CampaignID, sig.Policies = "cam", &click.Policies{Tenant: only, Source: only, Campaigns: map[string]*click.SourcePolicy{"cam": only}}
	if n := testing.AllocsPerRun(1000, func() {
		c.Verdict = click.Verdict{}
		c.EventTime += 1000
		s.Score(&c, &sig)
	}); n != 0 {
		t.Errorf("scoring by a source's policy allocates %v times", n)
	}
}

// Whatever valid policies a tenant, a source and a campaign set, the policy of their
// clicks is valid, and each threshold is that of the most specific who sets it.
func TestPolicyLayers(t *testing.T) {
	t.Parallel()
	mixed := 0
	rapid.Check(t, func(t *rapid.T) {
		layer := func(name string) *click.SourcePolicy {
			if rapid.Bool().Draw(t, name+" is nil") {
				return nil
			}
			p := new(click.SourcePolicy)
			for key, f := range map[string]struct {
				to          **float64
				least, most float64
			}{"min_clicks": {&p.MinClicks, 2, 40}, "self_minutes": {&p.SelfMinutes, 3, 60}, "heavy_clicks": {&p.HeavyClicks, 12, 90}} {
				if rapid.Bool().Draw(t, name+" "+key) {
					*f.to = new(rapid.Float64Range(f.least, f.most).Draw(t, key))
				}
			}
			if rapid.Bool().Draw(t, name+" z") {
				z := rapid.Float64Range(1, 50).Draw(t, "z")
				p.ZSuspect, p.ZInvalid, p.ZAddress, p.ZInexcusable = new(z), new(2*z), new(z), new(2*z)
			}
			return p
		}
		own := &click.Policies{Tenant: layer("tenant"), Source: layer("source"), Campaigns: map[string]*click.SourcePolicy{}}
		if c := layer("campaign"); c != nil {
			own.Campaigns["cam"] = c
		}
		process := DefaultConfig()
		for campaign, layers := range map[string][]*click.SourcePolicy{"cam": {own.Campaigns["cam"], own.Source, own.Tenant}, "other": {own.Source, own.Tenant}} {
			got := Config{Policy: process.Policy.of(own, campaign), MaxKeys: process.MaxKeys}
			if err := got.Validate(); err != nil {
				t.Fatalf("%+v makes %+v: %v", own, got.Policy, err)
			}
			for _, f := range []struct {
				got  float64
				of   func(*click.SourcePolicy) *float64
				base float64
			}{
				{got.Policy.MinClicks, func(p *click.SourcePolicy) *float64 { return p.MinClicks }, process.Policy.MinClicks},
				{got.Policy.HeavyClicks, func(p *click.SourcePolicy) *float64 { return p.HeavyClicks }, process.Policy.HeavyClicks},
				{got.Policy.ZSuspect, func(p *click.SourcePolicy) *float64 { return p.ZSuspect }, process.Policy.ZSuspect},
			} {
				want := f.base
				for i, l := range layers {
					if l != nil && f.of(l) != nil {
						want = *f.of(l)
						mixed += i
						break
					}
				}
				if f.got != want {
					t.Fatalf("campaign %s: %v, want %v of %+v", campaign, f.got, want, own)
				}
			}
		}
	})
	if mixed < 20 {
		t.Errorf("only %d thresholds came from below", mixed)
	}
}

// A campaign's clicks are judged by its policy, live and in the second pass alike, others
// of the same source are not, and each hash names the policy that recomputes the verdict.
func TestCampaignPolicyDecides(t *testing.T) {
	t.Parallel()
	own := &click.Policies{
		Tenant: &click.SourcePolicy{AppsAreTools: new(false)},
		Source: &click.SourcePolicy{MinClicks: new(20.0)},
		Campaigns: map[string]*click.SourcePolicy{
			"tools":  {AppsAreTools: new(true)},
			"strict": {ZSuspect: new(3.0), ZInvalid: new(4.0), ZAddress: new(4.0), ZInexcusable: new(4.0), MinClicks: new(2.0)},
		},
	}
	s, cfg := newScorer(t), DefaultConfig()
	j, err := NewJudge(cfg, nil, func(tenantID, sourceID string) *click.Policies {
		if tenantID != "demo" || sourceID != "shop" {
			t.Errorf("asked for %s of %s", sourceID, tenantID)
		}
		return own
	})
	if err != nil {
		t.Fatal(err)
	}
	_, look, judge, err := j.Begin("demo", "shop", start/hourMicros*hourMicros)
	if err != nil {
		t.Fatal(err)
	}
	policies := map[uint64]Policy{}
	var clicks []click.Click
	for i := range 80 {
		for _, x := range []struct{ campaign, agent, ip string }{
			{"tools", "okhttp/4.12.0", "203.0.113.7"}, {"other", "okhttp/4.12.0", "203.0.113.8"},
			{"strict", browser, "203.0.113.9"}, {"other", browser, "203.0.113.10"},
		} {
			c, sig := visit(x.ip, x.agent, start+int64(i)*3_500_000)
			c.SourceID, c.CampaignID, sig.Policies = "shop", x.campaign, own
			s.Score(&c, &sig)
			policy := s.policy.of(own, x.campaign)
			policies[policy.Hash()] = policy
			clicks = append(clicks, c)
		}
	}
	if len(policies) != 3 {
		t.Errorf("three policies have %d hashes", len(policies))
	}
	for i := range clicks {
		look(&clicks[i])
	}
	states := map[string]map[click.State]int{}
	for i := range clicks {
		c := &clicks[i]
		for pass, v := range map[string]click.Verdict{"live": c.Verdict, "second": judge(c)} {
			name := pass + " " + c.CampaignID
			if states[name] == nil {
				states[name] = map[click.State]int{}
			}
			states[name][v.State]++
			policy, known := policies[v.PolicyHash]
			if d, err := Recompute(&policy, c.Flags, &v); err != nil || !known || d.State != v.State || d.Reasons != v.Reasons || d.Score != v.Score {
				t.Fatalf("%s: recomputed %+v (%v), stored %+v", name, d, err, v)
			}
			if want := s.policy.of(own, c.CampaignID); v.PolicyHash != want.Hash() {
				t.Fatalf("%s: judged by another policy", name)
			}
		}
	}
	for _, pass := range []string{"live", "second"} {
		if n := states[pass+" tools"]; n[click.GIVT] != 80 {
			t.Errorf("%s: of the campaign for which apps are tools %v", pass, n)
		}
		if n := states[pass+" other"]; n[click.GIVT] != 0 {
			t.Errorf("%s: of other campaigns %v", pass, n)
		}
		if strict := states[pass+" strict"]; strict[click.SIVT] < 40 {
			t.Errorf("%s: of the strict campaign %v", pass, strict)
		}
	}
	if other := states["live other"]; other[click.Valid] != 160 {
		t.Errorf("live: of other campaigns %v", other)
	}
	unit, _ := j.Hashes("demo", "shop")
	if _, known := policies[unit]; known {
		t.Error("the unit's hash is that of one campaign's policy")
	}
	own = &click.Policies{Tenant: own.Tenant, Source: own.Source}
	if unit, _ = j.Hashes("demo", "shop"); unit != clicks[1].Verdict.PolicyHash {
		t.Errorf("without campaigns the unit's hash is %x", unit)
	}
}
