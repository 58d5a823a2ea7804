package scoring

import (
	"fmt"
	"testing"

	"clickgate/gateway/click"
)

// home is another address for every number.
func home(i int) string { return fmt.Sprintf("198.%d.%d.%d", 100+i/62_500, i/250%250, i%250+1) }

// rotate lets a program click through another home every time, on publisher pub6 or else
// on campaign cam9, as one of so many agents, common and rare.
func rotate(w *town, clicks, agents int, onCampaign bool) {
	pool := make([]string, agents)
	for i := range pool {
		pool[i] = w.agents[i*len(w.agents)/agents]
	}
	for i := range clicks {
		publisher, campaign := "pub6", w.campaign()
		if onCampaign {
			publisher, campaign = w.publisher(), "cam9"
		}
		w.add("attack", w.within(60, 120), home(i), pool[w.rng.IntN(agents)], "en-US,en;q=0.9", publisher, campaign)
	}
}

// Who rents homes and has a dozen agents and more is found on a publisher and on a campaign
// but for the agent that a fifth of all people have, and people beside him are spared as by
// the other rules. One fingerprint at a time, half to three quarters of it are found.
func TestPoolsOfAgentsAreFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		clicks, agents int
		onCampaign     bool
	}{
		"a dozen agents on a publisher":  {2000, 12, false},
		"twenty agents on a publisher":   {3000, 20, false},
		"a dozen agents on a campaign":   {2000, 12, true},
		"twenty agents slower than that": {1200, 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(7, 6000)
			rotate(w, tc.clicks, tc.agents, tc.onCampaign)
			r := w.judge(t)
			if r.total["attack"] < 1000 || r.share("attack") < 0.9 || r.reasons["attack"][click.ReasonAddressRotation.String()] < 900 {
				t.Errorf("%d of %d clicks found: %v", r.bad["attack"], r.total["attack"], r.reasons["attack"])
			}
			if r.total["people"] < 3000 || r.bad["people"]*bystanders > r.bad["attack"] {
				t.Errorf("%d of %d clicks of people are not billed: %v", r.bad["people"], r.total["people"], r.reasons["people"])
			}
		})
	}
}

// The nearest honest neighbours: an audience of one language, of one kind of device, of a
// language and a kind that few others have, all of them on a publisher that has hardly
// anybody else; and a crowd that follows a link.
func TestAudiencesAreNoPools(t *testing.T) {
	t.Parallel()
	phones := func(w *town) string { return w.agents[4*w.zipf(20)+2] }
	for name, tc := range map[string]struct {
		agent    func(*town) string
		language string
		once     bool // nobody clicks a second ad
	}{
		"of one language":                    {(*town).agent, "fr-FR", false},
		"of one language, who come once":     {(*town).agent, "fr-FR", true},
		"of one kind of device":              {phones, "", false},
		"of one kind of device, once":        {phones, "", true},
		"of telephones and a language":       {phones, "es-ES,es;q=0.9", false},
		"of a language that nobody else has": {(*town).agent, "fi", false},
		"a crowd that follows a link":        {(*town).agent, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTown(8, 6000)
			for i := range 1500 {
				language, at, agent := tc.language, w.within(0, 110), tc.agent(w)
				if language == "" {
					language = w.language()
				}
				clicks := 1
				if !tc.once {
					clicks += w.few()
				}
				for range clicks {
					w.press("audience", at, home(i), agent, language, "pub8", w.campaign())
					at += w.rng.Int64N(10 * minuteTown)
				}
			}
			r := w.judge(t)
			for _, who := range []string{"audience", "people"} {
				if r.total[who] < 500 || r.share(who) > 0.003 {
					t.Errorf("%d of %d clicks of %s are not billed: %v", r.bad[who], r.total[who], who, r.reasons[who])
				}
			}
		})
	}
}

// Each bound of the rule at its value and just below it.
func TestPoolAtItsBounds(t *testing.T) {
	t.Parallel()
	p := DefaultConfig().Policy
	at := map[int]float32{
		SlotFacts: factsKnown | factsPool, SlotGroup: 400, SlotGroupAddresses: manySeats, SlotGroupElsewhere: 0.25,
		SlotScope: 500, SlotGroupAgain: 0.03, SlotAgain: 0.3, SlotGroupZ: 6,
	}
	for name, tc := range map[string]struct {
		slot  int
		value float32
		holds bool
	}{
		"as it is":                       {SlotGroupZ, 6, true},
		"no pool":                        {SlotFacts, factsKnown, false},
		"too few addresses":              {SlotGroupAddresses, manySeats - 1, false},
		"a tenth and more may be people": {SlotScope, 530, false},
		"what half of all people have":   {SlotGroupElsewhere, 0.51, false},
		"they come again":                {SlotGroupAgain, 0.031, false},
		"nobody comes again":             {SlotAgain, 0, false},
		"no finding":                     {SlotGroupZ, 5.9, false},
	} {
		var v click.Vector
		for slot, value := range at {
			v[slot] = value
		}
		v[tc.slot] = tc.value
		if got := Decide(&p, 0, &v).Reasons.Has(click.ReasonAddressRotation); got != tc.holds {
			t.Errorf("%s: the rule holds: %v", name, got)
		}
	}
	var v click.Vector
	for slot, value := range at {
		v[slot] = value
	}
	v[SlotRanges] = rangeRelay
	if Decide(&p, 0, &v).Reasons.Has(click.ReasonAddressRotation) {
		t.Error("a relay's users are taken for a pool")
	}
}
