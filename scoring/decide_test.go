package scoring

import (
	"math"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"

	"pgregory.net/rapid"
)

// busy is the vector of a pair and an address with the given rates and scores,
// both with peers and no past.
func busy(pair1m, pairZ, address1m, addressZ float32) (v click.Vector) {
	v[SlotPair1m], v[SlotPairZPeers] = pair1m, pairZ
	v[SlotAddress1m], v[SlotAddressZPeers] = address1m, addressZ
	v[SlotBaselines] = hasAddressPeers | hasPairPeers
	return v
}

func with(v click.Vector, slot int, value float32) click.Vector {
	v[slot] = value
	return v
}

// Each reason: a click that earns it, and its nearest neighbour that does not.
func TestDecide(t *testing.T) {
	t.Parallel()
	p := DefaultConfig().Policy
	model := p
	model.ModelSuspect = 0.7
	noApps := p
	noApps.AppsAreTools = false
	reasons := func(rs ...click.Reason) (s click.Reasons) {
		for _, r := range rs {
			s = s.Set(r)
		}
		return s
	}
	var quiet click.Vector
	// self is a pair that its peers find strange and that is usual for itself.
	self := busy(30, 29, 0, 0)
	self[SlotBaselines] = hasPairSelf | hasPairPeers
	self[SlotPairZSelf], self[SlotPairMinutes] = 1, 30
	// start is a pair before anybody has a baseline.
	start := func(clicks float32) click.Vector { return with(busy(clicks, 0, 0, 0), SlotBaselines, 0) }
	for name, tc := range map[string]struct {
		policy  *Policy
		flags   click.Flags
		vector  click.Vector
		state   click.State
		reasons click.Reasons
	}{
		"ordinary": {vector: quiet, state: click.Valid},

		"crawler":          {vector: with(quiet, SlotAgent, float32(givt.Crawler)), state: click.GIVT, reasons: reasons(click.ReasonCrawler)},
		"verified crawler": {vector: with(with(quiet, SlotAgent, float32(givt.Crawler)), SlotRanges, rangeVerified), state: click.GIVT, reasons: reasons(click.ReasonCrawlerVerified)},
		"spoofed crawler": {
			vector: with(with(quiet, SlotAgent, float32(givt.Crawler)), SlotRanges, rangeSpoofed),
			state:  click.GIVT, reasons: reasons(click.ReasonCrawler, click.ReasonCrawlerSpoofed),
		},
		"unlisted agent":      {vector: with(quiet, SlotAgent, float32(givt.Unlisted)), state: click.GIVT, reasons: reasons(click.ReasonUnknownAgent)},
		"listed agent":        {vector: with(quiet, SlotAgent, float32(givt.Listed)), state: click.GIVT, reasons: reasons(click.ReasonListed)},
		"robot's address":     {vector: with(quiet, SlotRanges, rangeRobot|rangeRelay), state: click.GIVT, reasons: reasons(click.ReasonListed, click.ReasonRelay)},
		"headless":            {vector: with(quiet, SlotAgent, float32(givt.Headless)), state: click.GIVT, reasons: reasons(click.ReasonHeadless)},
		"tool":                {vector: with(quiet, SlotAgent, float32(givt.Tool)), state: click.GIVT, reasons: reasons(click.ReasonToolAgent)},
		"app library":         {vector: with(quiet, SlotAgent, float32(givt.Tool)+agentInApp), state: click.GIVT, reasons: reasons(click.ReasonToolAgent)},
		"app library, as app": {policy: &noApps, vector: with(quiet, SlotAgent, float32(givt.Tool)+agentInApp), state: click.Valid},
		"tool, apps allowed":  {policy: &noApps, vector: with(quiet, SlotAgent, float32(givt.Tool)), state: click.GIVT, reasons: reasons(click.ReasonToolAgent)},

		"data centre":          {vector: with(quiet, SlotRanges, rangeDataCentre), state: click.GIVT, reasons: reasons(click.ReasonDataCentre)},
		"data centre, relay":   {vector: with(quiet, SlotRanges, rangeDataCentre|rangeRelay), state: click.Valid, reasons: reasons(click.ReasonRelay)},
		"data centre, VPN":     {vector: with(quiet, SlotRanges, rangeDataCentre|rangeVPN), state: click.Valid, reasons: reasons(click.ReasonVPN)},
		"data centre, Tor":     {vector: with(quiet, SlotRanges, rangeDataCentre|rangeTor), state: click.Valid, reasons: reasons(click.ReasonTor)},
		"data centre, allowed": {vector: with(quiet, SlotRanges, rangeDataCentre|rangeAccepted), state: click.Valid},

		"prefetch": {flags: click.FlagPrefetch, state: click.GIVT, reasons: reasons(click.ReasonPrefetch)},
		"HEAD":     {flags: click.FlagHead, state: click.GIVT, reasons: reasons(click.ReasonHeadRequest)},
		"expired":  {flags: click.FlagTokenExpired, state: click.GIVT, reasons: reasons(click.ReasonTokenExpired)},

		"pair rate":             {vector: busy(12, 12, 0, 0), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent)},
		"pair rate, few clicks": {vector: busy(11, 12, 0, 0), state: click.Valid},
		"pair rate, suspect":    {vector: busy(12, 11.9, 0, 0), state: click.Suspect, reasons: reasons(click.ReasonRateIPAgent)},
		"pair rate, below":      {vector: busy(12, 5.9, 0, 0), state: click.Valid},
		"pair usual for itself": {vector: self, state: click.Valid},
		"pair new for itself":   {vector: with(self, SlotPairZSelf, 30), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent)},
		"pair of a short past":  {vector: with(self, SlotPairMinutes, 29), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent)},
		"pair beyond excuse":    {vector: with(self, SlotPairZPeers, 36), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent)},

		"start, flood":   {vector: start(28), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent)},
		"start, busy":    {vector: start(27), state: click.Suspect, reasons: reasons(click.ReasonRateIPAgent)},
		"start, suspect": {vector: start(16), state: click.Suspect, reasons: reasons(click.ReasonRateIPAgent)},
		"start, usual":   {vector: start(15), state: click.Valid},

		"address rate":         {vector: busy(1, 0, 12, 30), state: click.Suspect, reasons: reasons(click.ReasonRateIP)},
		"address rate, below":  {vector: busy(1, 0, 12, 29.9), state: click.Valid},
		"address rate, relay":  {vector: with(busy(1, 0, 12, 30), SlotRanges, rangeRelay), state: click.Valid, reasons: reasons(click.ReasonRelay)},
		"no agent":             {vector: with(quiet, SlotAgent, float32(givt.NoAgent)), state: click.Undecidable, reasons: reasons(click.ReasonNoAgent)},
		"address unknown":      {flags: click.FlagAddressUnknown, state: click.Undecidable, reasons: reasons(click.ReasonAddressUnknown)},
		"test before all":      {flags: click.FlagTest | click.FlagHead, vector: busy(12, 12, 0, 0), state: click.Test, reasons: reasons(click.ReasonTest, click.ReasonHeadRequest, click.ReasonRateIPAgent)},
		"givt before sivt":     {flags: click.FlagHead, vector: busy(12, 12, 0, 0), state: click.GIVT, reasons: reasons(click.ReasonHeadRequest, click.ReasonRateIPAgent)},
		"sivt before no agent": {vector: with(busy(12, 12, 0, 0), SlotAgent, float32(givt.NoAgent)), state: click.SIVT, reasons: reasons(click.ReasonRateIPAgent, click.ReasonNoAgent)},
		"no agent, suspect":    {vector: with(busy(12, 11, 0, 0), SlotAgent, float32(givt.NoAgent)), state: click.Undecidable, reasons: reasons(click.ReasonRateIPAgent, click.ReasonNoAgent)},

		"model":           {policy: &model, vector: with(quiet, SlotModel, 0.7), state: click.Suspect, reasons: reasons(click.ReasonModel)},
		"model, below":    {policy: &model, vector: with(quiet, SlotModel, 0.69), state: click.Valid},
		"model, evidence": {vector: with(quiet, SlotModel, 0.99), state: click.Valid},

		"time":      {flags: click.FlagTimeCoarse | click.FlagTimeFallback, state: click.Valid, reasons: reasons(click.ReasonTimeCoarse, click.ReasonTimeFallback)},
		"truncated": {flags: click.FlagTruncated, state: click.Valid, reasons: reasons(click.ReasonTruncated)},
	} {
		policy := &p
		if tc.policy != nil {
			policy = tc.policy
		}
		got := Decide(policy, tc.flags, &tc.vector)
		if got.State != tc.state || got.Reasons != tc.reasons {
			t.Errorf("%s: %s %v, want %s %v", name, got.State, got.Reasons.Codes(), tc.state, tc.reasons.Codes())
		}
	}
}

func TestScoreIsBetweenZeroAndOne(t *testing.T) {
	t.Parallel()
	p := DefaultConfig().Policy
	rapid.Check(t, func(t *rapid.T) {
		var v click.Vector
		for i := range v {
			v[i] = rapid.Float32Range(0, 1e6).Draw(t, "slot")
		}
		v[SlotAgent] = float32(rapid.IntRange(0, 20).Draw(t, "agent"))
		v[SlotRanges], v[SlotBaselines] = float32(rapid.IntRange(0, 63).Draw(t, "ranges")), float32(rapid.IntRange(0, 15).Draw(t, "baselines"))
		flags := click.Flags(rapid.Uint32().Draw(t, "flags"))
		d := Decide(&p, flags, &v)
		if !(d.Score >= 0 && d.Score <= 1) || math.IsNaN(d.Score) {
			t.Fatalf("score %v", d.Score)
		}
		if again := Decide(&p, flags, &v); again != d {
			t.Fatal("the same evidence gave another decision")
		}
		if (d.State == click.GIVT) != (d.Score == 1 && d.State != click.Test) && d.Score == 1 {
			t.Fatalf("state %s with score 1", d.State)
		}
	})
}

func TestPolicyHash(t *testing.T) {
	t.Parallel()
	seen := map[uint64]string{}
	base := DefaultConfig().Policy
	for name, change := range map[string]func(*Policy){
		"base": func(*Policy) {}, "suspect": func(p *Policy) { p.ZSuspect++ }, "invalid": func(p *Policy) { p.ZInvalid++ },
		"address": func(p *Policy) { p.ZAddress++ }, "clicks": func(p *Policy) { p.MinClicks++ }, "self": func(p *Policy) { p.SelfMinutes++ },
		"model":  func(p *Policy) { p.ModelSuspect = 0.7 },
		"excuse": func(p *Policy) { p.ZInexcusable++ }, "prior": func(p *Policy) { p.PriorMedian++ }, "apps": func(p *Policy) { p.AppsAreTools = false },
	} {
		p := base
		change(&p)
		if other, dup := seen[p.Hash()]; dup {
			t.Errorf("policies %s and %s share a hash", name, other)
		}
		seen[p.Hash()] = name
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	good := DefaultConfig()
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"suspect":  func(c *Config) { c.Policy.ZSuspect = 0 },
		"nan":      func(c *Config) { c.Policy.ZInvalid = math.NaN() },
		"infinite": func(c *Config) { c.Policy.ZInvalid = math.Inf(1) },
		"order":    func(c *Config) { c.Policy.ZInvalid = 1 },
		"address":  func(c *Config) { c.Policy.ZAddress = 1 },
		"clicks":   func(c *Config) { c.Policy.MinClicks = 1 },
		"self":     func(c *Config) { c.Policy.SelfMinutes = 61 },
		"excuse":   func(c *Config) { c.Policy.ZInexcusable = 1 },
		"prior":    func(c *Config) { c.Policy.PriorMedian = 0 },
		"model":    func(c *Config) { c.Policy.ModelSuspect = 1 },
		"keys":     func(c *Config) { c.MaxKeys = 10 },
	} {
		c := DefaultConfig()
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: an impossible value was taken", name)
		}
	}
}

func TestEverySlotIsDescribed(t *testing.T) {
	t.Parallel()
	for i, s := range Slots {
		if s.Name == "" || s.Unit == "" || s.Text == "" {
			t.Errorf("slot %d is not described", i)
		}
	}
}
