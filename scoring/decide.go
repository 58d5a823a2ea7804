package scoring

import (
	"clickgate/gateway/click"
	"clickgate/scoring/givt"
)

// Decision is what Decide makes of the evidence.
type Decision struct {
	State   click.State
	Reasons click.Reasons // beside those that were there before
	Score   float64       // 0 ordinary .. 1 certainly invalid
}

// Decide is the verdict: a pure function of what is stored with the click, so
// that anybody can recompute it bit for bit. The order is that of click.State:
// the first state with a reason wins, and the reasons of later ones stay visible.
func Decide(p *Policy, flags click.Flags, v *click.Vector) Decision {
	var d Decision
	ranges := int(v[SlotRanges])
	given := givtReasons(p, flags, v, ranges)
	unknown := undecidableReasons(flags, v)
	z, rate, suspicion := rates(p, v, ranges)
	d.Reasons = given | unknown | rate | suspicion | info(flags, ranges)
	d.Score = float64(z / (z + p.ZInvalid))
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
	case class == int(givt.Headless):
		r = r.Set(click.ReasonHeadless)
	case class == int(givt.Tool), class == int(givt.Tool)+agentInApp && p.AppsAreTools:
		r = r.Set(click.ReasonToolAgent)
	}
	if ranges&rangeDataCentre != 0 && ranges&(rangeRelay|rangeVPN|rangeTor|rangeAccepted) == 0 {
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

// rates judges how often address and agent click. z is the score that counts
// most; invalid and suspicion are the reasons it gives.
func rates(p *Policy, v *click.Vector, ranges int) (z float64, invalid, suspicion click.Reasons) {
	baselines := int(v[SlotBaselines])
	pair := against(v[SlotPairZSelf], v[SlotPairZPeers], baselines&hasPairSelf != 0, baselines&hasPairPeers != 0)
	if float64(v[SlotPair1m]) < p.MinClicks {
		pair = 0
	}
	switch {
	case pair >= p.ZInvalid:
		invalid = invalid.Set(click.ReasonRateIPAgent)
	case pair >= p.ZSuspect:
		suspicion = suspicion.Set(click.ReasonRateIPAgent)
	}
	address := against(v[SlotAddressZSelf], v[SlotAddressZPeers], baselines&hasAddressSelf != 0, baselines&hasAddressPeers != 0)
	// Behind a relay, VPN or Tor exit an address says nothing about one person.
	if float64(v[SlotAddress1m]) >= p.MinClicks && address >= p.ZAddress && ranges&(rangeRelay|rangeVPN|rangeTor) == 0 {
		suspicion = suspicion.Set(click.ReasonRateIP)
	}
	return pair, invalid, suspicion
}

// against joins the two baselines: what is usual for the entity itself is no
// anomaly, however busy its peers find it, and what is usual among peers is none
// either. Without any baseline nothing is anomalous yet.
func against(self, peers float32, hasSelf, hasPeers bool) float64 {
	switch {
	case hasSelf && hasPeers:
		return float64(min(self, peers))
	case hasSelf:
		return float64(self)
	case hasPeers:
		return float64(peers)
	}
	return 0
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
