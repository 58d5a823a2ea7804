package scoring

import (
	"clickgate/gateway/click"
	"clickgate/scoring/givt"
	"clickgate/scoring/zscore"
)

// Decision is what Decide makes of the evidence.
type Decision struct {
	State   click.State
	Reasons click.Reasons // beside those that were there before
	Score   float64       // 0 ordinary .. 1 certainly invalid
}

// Recompute makes the decision of a stored verdict again, from its vector of whatever
// version and the policy that it was made under, HashOf of which is its policy hash. The
// error says why a vector cannot be read: there is none, or its version is not known or
// meant two things.
func Recompute(p *Policy, flags click.Flags, v *click.Verdict) (Decision, error) {
	own := *v
	if !modern(&own) {
		return Decision{}, unreadable(v.VectorVersion)
	}
	return Decide(p, flags, &own.Vector), nil
}

// Decide is the verdict: a pure function of what is stored with the click, so
// that anybody can recompute it bit for bit; see Recompute for older vectors. The order is that of click.State:
// the first state with a reason wins, and the reasons of later ones stay visible.
func Decide(p *Policy, flags click.Flags, v *click.Vector) Decision {
	var d Decision
	ranges := int(v[SlotRanges])
	given := givtReasons(p, flags, v, ranges)
	unknown := undecidableReasons(flags, v)
	h := hour{p: p, v: v, facts: int(v[SlotFacts]), many: ranges&rangeShared != 0}
	score, rate, suspicion, excuse := rates(p, v, ranges, &h)
	h.findings(func(f finding) {
		if f.suspect {
			suspicion = suspicion.Set(f.reason)
		} else {
			rate = rate.Set(f.reason)
		}
		score = max(score, share(f.strength, 1))
	})
	if model := v[SlotModel]; p.ModelSuspect > 0 && model >= float32(p.ModelSuspect) {
		suspicion = suspicion.Set(click.ReasonModel)
		score = max(score, float64(model))
	}
	d.Reasons = given | unknown | rate | suspicion | excuse | info(flags, ranges)
	d.Score = score
	switch {
	case flags&click.FlagTest != 0:
		d.State = click.Test
		d.Reasons = d.Reasons.Set(click.ReasonTest)
	case given != 0:
		d.State, d.Score = click.GIVT, 1
	case rate != 0:
		d.State = click.SIVT
	case unknown != 0:
		d.State = click.Undecidable
	case suspicion != 0:
		d.State = click.Suspect
	default:
		d.State = click.Valid
	}
	return d
}

func givtReasons(p *Policy, flags click.Flags, v *click.Vector, ranges int) (r click.Reasons) {
	switch class := int(v[SlotAgent]); {
	case class == int(givt.Crawler) && ranges&rangeVerified != 0:
		r = r.Set(click.ReasonCrawlerVerified)
	case class == int(givt.Crawler):
		r = r.Set(click.ReasonCrawler)
		if ranges&rangeSpoofed != 0 {
			r = r.Set(click.ReasonCrawlerSpoofed)
		}
	case class == int(givt.Headless), int(v[SlotHeaders])&headersHeadless != 0:
		r = r.Set(click.ReasonHeadless)
	case class == int(givt.Tool), class == int(givt.Tool)+agentInApp && p.AppsAreTools:
		r = r.Set(click.ReasonToolAgent)
	case class == int(givt.Unlisted):
		r = r.Set(click.ReasonUnknownAgent)
	case class == int(givt.Listed):
		r = r.Set(click.ReasonListed)
	}
	if ranges&rangeRobot != 0 {
		r = r.Set(click.ReasonListed)
	}
	if ranges&rangeDataCentre != 0 && ranges&(rangeShared|rangeAccepted) == 0 {
		r = r.Set(click.ReasonDataCentre)
	}
	if flags&click.FlagPrefetch != 0 {
		r = r.Set(click.ReasonPrefetch)
	}
	if flags&click.FlagHead != 0 {
		r = r.Set(click.ReasonHeadRequest)
	}
	if flags&click.FlagTokenExpired != 0 {
		r = r.Set(click.ReasonTokenExpired)
	}
	return r
}

func undecidableReasons(flags click.Flags, v *click.Vector) (r click.Reasons) {
	if int(v[SlotAgent]) == int(givt.NoAgent) {
		r = r.Set(click.ReasonNoAgent)
	}
	if flags&click.FlagAddressUnknown != 0 {
		r = r.Set(click.ReasonAddressUnknown)
	}
	return r
}

// rates judges how often address and agent click. The score is one half where a
// z-score reaches its threshold; invalid and suspicion are the reasons it gives, and
// excuse what took one away.
func rates(p *Policy, v *click.Vector, ranges int, h *hour) (score float64, invalid, suspicion, excuse click.Reasons) {
	baselines := int(v[SlotBaselines])
	pair := p.pairStrangeness(v)
	address := p.strangeness(v[SlotAddress10s:], v[SlotAddressMinutes], baselines&hasAddressSelf != 0, baselines&hasAddressPeers != 0)
	// Behind a relay, VPN or Tor exit an address says nothing about one person.
	if ranges&rangeShared != 0 {
		address = 0
	}
	if (pair >= p.ZSuspect || address >= p.ZAddress) && address < crowdMost*p.ZAddress && h.crowd() {
		pair, address, excuse = 0, 0, excuse.Set(click.ReasonCrowd)
	}
	switch {
	case pair >= p.ZInvalid && !p.within(v, pair):
		invalid = invalid.Set(click.ReasonRateIPAgent)
	case pair >= p.ZSuspect:
		suspicion = suspicion.Set(click.ReasonRateIPAgent)
	}
	if address >= p.ZAddress {
		suspicion = suspicion.Set(click.ReasonRateIP)
	}
	return max(share(pair, p.ZInvalid), share(address, p.ZAddress)), invalid, suspicion, excuse
}

// within reports whether a z-score of address and agent together is not beyond doubt:
// half of the peers have one count, so that it was measured in what chance scatters by and
// not in what peers do, and a quarter of the peers come near. Far beyond, that is no
// excuse.
func (p *Policy) within(v *click.Vector, z float64) bool {
	return int(v[SlotBaselines])&flatPairPeers != 0 && float64(v[SlotPairFence]) <= zscore.FarOut && z < p.ZInexcusable
}

// flood reports whether the rate of address and agent together is a machine's.
func (p *Policy) flood(v *click.Vector) bool {
	z := p.pairStrangeness(v)
	return z >= p.ZInvalid && !p.within(v, z)
}

// share maps a z-score to 0 .. 1, one half at its threshold.
func share(z, threshold float64) float64 { return float64(z / (z + threshold)) }

// pairStrangeness is that of address and agent together.
func (p *Policy) pairStrangeness(v *click.Vector) float64 {
	baselines := int(v[SlotBaselines])
	return p.strangeness(v[SlotPair10s:], v[SlotPairMinutes], baselines&hasPairSelf != 0, baselines&hasPairPeers != 0)
}

// strangeness is the z-score that the policy goes by, from the five rate slots of
// an entity and the length of its own past.
//
// Peers are the measure; before there are any, a prior takes their place, so that
// a flood right after a start does not pass. An entity's own past excuses what is
// usual for itself, as for many people behind one address, but only a long past,
// which a flood has not, and only within bounds, which a flood exceeds: otherwise
// whoever floods for a few minutes would become his own yardstick.
func (p *Policy) strangeness(rate []float32, minutes float32, hasSelf, hasPeers bool) float64 {
	const lastMinute, zSelf, zPeers = SlotAddress1m, SlotAddressZSelf, SlotAddressZPeers
	count := float64(rate[lastMinute])
	if count < p.MinClicks {
		return 0
	}
	z := float64(rate[zPeers])
	if !hasPeers {
		z = max(0, zscore.Robust(count, p.PriorMedian, 0, zscore.CountFloor(p.PriorMedian, 1)))
	}
	if hasSelf && float64(minutes) >= p.SelfMinutes && z < p.ZInexcusable {
		z = min(z, float64(rate[zSelf]))
	}
	return z
}

func info(flags click.Flags, ranges int) (r click.Reasons) {
	for _, f := range [...]struct {
		set    bool
		reason click.Reason
	}{
		{ranges&rangeRelay != 0, click.ReasonRelay},
		{ranges&rangeVPN != 0, click.ReasonVPN},
		{ranges&rangeTor != 0, click.ReasonTor},
		{flags&click.FlagTimeFallback != 0, click.ReasonTimeFallback},
		{flags&click.FlagTimeCoarse != 0, click.ReasonTimeCoarse},
		{flags&click.FlagTruncated != 0, click.ReasonTruncated},
	} {
		if f.set {
			r = r.Set(f.reason)
		}
	}
	return r
}
