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
			sig.Policy = source
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
	sig.Policy = &click.SourcePolicy{AppsAreTools: &no}
	if n := testing.AllocsPerRun(1000, func() {
		c.Verdict = click.Verdict{}
		c.EventTime += 1000
		s.Score(&c, &sig)
	}); n != 0 {
		t.Errorf("scoring by a source's policy allocates %v times", n)
	}
}
