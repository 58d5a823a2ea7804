package scoring

import (
	"math"

	"clickgate/gateway/click"
)

// Bounds of the hour's rules that are no matter of taste; docs/scoring.md says where
// each comes from.
const (
	slowest    = 5.0   // s: gaps that are shorter are a rate's business, and whole seconds blur them
	rotated    = 6.0   // agents from which an address shows many
	diverse    = 50.0  // clicks from which the number of its agents says something by itself
	alone      = 2.0   // agents up to which nobody else is seen behind an address
	oftenTwice = 3.0   // clicks in both hours from which a visitor comes again and again
	pause      = 900.0 // s between two visits of bots that mean to look like two readers (Clickbot.A)
	noneIn20   = 3.0   // expected, of which chance makes none once in twenty: ln 20
	mostly     = 0.8   // share of an entity's clicks that makes a publisher or campaign its own
	manySeats  = 20.0  // addresses from which a group is spread
	fewSeats   = 5.0   // addresses from which a group is a farm and no household
	lift       = 10.0  // times its share elsewhere from which at most one click in ten of a group is anybody's
	farmLift   = 5.0
	farmAgain  = 0.6     // share of clicks by visitors who came before, from which they come again and again
	crowdSize  = 100.0   // clicks from which a crowd can be told from a list of agents
	crowdSoFar = 200.0   // clicks of which a crowd must have pressed one twice, while they pass
	listed     = 0.85    // evenness from which agents are a list that is gone through
	mixed      = 0.75    // evenness up to which they are a crowd's, of which few are common
	reused     = 3.0     // clicks per agent from which evenness says anything
	crowdShare = 1 / 3.0 // share of a crowd's clicks up to which an agent is one of many
	crowdMost  = 10.0    // times z_address up to which a crowd excuses a rate
	fastCommon = 0.2     // share of fast clicks from which tokens are made out at the click
)

// beyond is the strength from which a finding is not told from a stronger one: only what
// the lists know is certain, and has score 1.
const beyond = 99

// finding is a rule that holds. Strength is 1 where it begins to, and at most beyond.
type finding struct {
	reason   click.Reason
	strength float64
	suspect  bool // not beyond doubt
}

// hour is the evidence of a whole hour. Its rules hold nothing in the first pass, whose
// vectors have nothing in these slots.
type hour struct {
	p     *Policy
	v     *click.Vector
	facts int
	many  bool // one address is many people

	crowded bool // the address is busy as a crowd is
}

func (h *hour) at(slot int) float64 { return float64(h.v[slot]) }

// findings calls f for every rule that holds.
func (h *hour) findings(f func(finding)) {
	if h.facts&factsKnown == 0 {
		return
	}
	h.crowded = h.crowd()
	for _, rule := range [...]func() (click.Reason, float64){
		h.floodTail, h.regular, h.oneTarget, h.replay, h.sweep, h.agentRotation, h.group, h.collusion, h.coalition, h.faithful, h.tooFast, h.quick, h.beforeDisplay,
	} {
		if reason, strength := rule(); strength >= 1 {
			f(finding{reason: reason, strength: min(strength, beyond)})
		}
	}
	if reason, strength := h.noDisplay(); strength >= 1 {
		f(finding{reason, min(strength, beyond), true})
	}
	n, agents := h.at(SlotHourPair), h.at(SlotHourAgents)
	if h.p.HeavyClicks > 0 && n >= h.p.HeavyClicks && agents >= 1 && agents <= alone && !h.many {
		f(finding{click.ReasonHeavy, min(n/h.p.HeavyClicks, beyond), true})
	}
}

// floodTail: most of what the pair did in both hours was a flood.
func (h *hour) floodTail() (click.Reason, float64) {
	flood := h.at(SlotHourFlood)
	if flood < h.p.MinClicks || h.crowded {
		return 0, 0
	}
	return click.ReasonFloodTail, float64(2*flood) / max(1, h.at(SlotHourPair))
}

// regular: no crowd and no person is as even, see entity.Gaps.
func (h *hour) regular() (click.Reason, float64) {
	return click.ReasonRegular, h.even(SlotHourGaps)
}

// even is how much more even than the bound the gaps are, from three slots: how many,
// their spread and their mean.
func (h *hour) even(slot int) float64 {
	least := h.p.EntityClicks - 1
	if h.many {
		least *= 2 // many people may be as even by chance, once in a while
	}
	if h.p.EntityClicks == 0 || h.at(slot) < least || h.at(slot+2) < slowest {
		return 0
	}
	return over(h.p.GapOctaves, max(0.05, h.at(slot+1)))
}

// oneTarget: a person's clicks, and a crowd's, go where the population's go.
// In a crowd only who goes elsewhere than the crowd is told from it.
func (h *hour) oneTarget() (click.Reason, float64) {
	if h.crowded && h.at(SlotHourAddrFocus) > 0 {
		return 0, 0
	}
	return click.ReasonOneTarget, h.entity(SlotHourPair, SlotHourFocus)
}

// replay: a token is for one ad shown once. People press it twice, and where nothing
// seems to happen they press it some more; a dozen times beyond that is a program's.
func (h *hour) replay() (click.Reason, float64) {
	if h.many {
		return 0, 0
	}
	return click.ReasonOneTarget, over(h.at(SlotHourReplays), h.p.EntityClicks)
}

// sweep: nobody clicks ever new ads and never comes back, but who follows links.
func (h *hour) sweep() (click.Reason, float64) {
	return click.ReasonSweep, h.entity(SlotHourPair, SlotHourSweep)
}

// entity is how far a z-score is beyond ZFocus, of who has enough clicks and is not
// many people behind one address.
func (h *hour) entity(clicks, z int) float64 {
	if h.many || h.p.EntityClicks == 0 || h.at(clicks) < h.p.EntityClicks {
		return 0
	}
	return over(h.at(z), h.p.ZFocus)
}

// agentRotation: many agents are no crowd when they all go to one place, come by the
// clock, are more different than the population's, or are all as common as each other.
func (h *hour) agentRotation() (click.Reason, float64) {
	if h.many || h.crowded || h.p.EntityClicks == 0 || h.at(SlotHourAgents) < rotated {
		return 0, 0
	}
	strength := max(h.entity(SlotHourAddress, SlotHourAddrFocus), h.even(SlotHourAddrGaps))
	if n := h.at(SlotHourAddress); n >= crowdSize && n >= float64(reused*h.at(SlotHourAgents)) {
		strength = max(strength, over(h.at(SlotHourAgentsEven), listed))
	}
	if h.at(SlotHourAddress) >= diverse {
		strength = max(strength, over(h.at(SlotHourAgentsZ), 2*h.p.ZFocus))
	}
	return click.ReasonAgentRotation, strength
}

// group: one fingerprint from many addresses. Of a farm the devices come again and
// again. Of rented addresses each comes about once, and all crowd one publisher or
// campaign; then a second sign is asked for, because audiences differ in their devices.
// A relay gives its people ever new addresses too, and they are left alone.
func (h *hour) group() (click.Reason, float64) {
	if h.many || h.p.GroupClicks == 0 || h.at(SlotGroup) < h.p.GroupClicks {
		return 0, 0
	}
	if h.facts&factsPool != 0 {
		if h.pooled() {
			return click.ReasonAddressRotation, over(h.at(SlotGroupZ), h.p.ZGroup/2)
		}
		return 0, 0
	}
	z, seats := over(h.at(SlotGroupZ), h.p.ZGroup), h.at(SlotGroupAddresses)
	share, elsewhere := h.at(SlotGroupShare), h.at(SlotGroupElsewhere)
	source := h.facts&factsSource != 0
	again := h.at(SlotGroupAgain)
	if seats >= fewSeats && (source || share >= farmLift*elsewhere) && again >= farmAgain && again >= 2.5*h.at(SlotAgain) &&
		h.at(SlotHourPair) >= oftenTwice {
		if source { // nothing but coming again sets it apart
			return click.ReasonClickFarm, z
		}
		return click.ReasonClickFarm, float64(2 * z)
	}
	if source || seats < manySeats || share < lift*elsewhere {
		return 0, 0
	}
	if over(h.at(SlotScopeOneZ), h.p.ZGroup/2) >= 1 || h.grown() || h.at(SlotGroupOdd) >= 0.5 || h.once() {
		return click.ReasonAddressRotation, float64(3 * z)
	}
	return 0, 0
}

// once: fewer of the group's visitors came before than of everybody else's, by more than
// four deviations of a binomial count.
func (h *hour) once() bool {
	n, usual := h.at(SlotGroup), h.at(SlotAgain)
	return float64(n*usual)-float64(n*h.at(SlotGroupAgain)) >= 4*math.Sqrt(max(0.25, float64(n*usual*(1-usual))))
}

// grown: the publisher's clicks rose within an hour, and the group's share with them.
func (h *hour) grown() bool {
	before := h.at(SlotScopeBefore)
	return before >= h.p.GroupClicks && h.at(SlotScope) >= 1.3*before && h.at(SlotGroupShare) >= 3*h.at(SlotGroupBefore)
}

// collusion: a good part of the publisher's clicks are those of the same few who come
// again and again, and only here. All others are left alone.
func (h *hour) collusion() (click.Reason, float64) {
	if h.p.GroupClicks == 0 || !returns(h.at(SlotHourPair), h.at(SlotHourGap)) || h.at(SlotHourPairHere) < mostly || !h.single() {
		return 0, 0
	}
	return click.ReasonCollusion, over(h.at(SlotLoyalZ), h.p.ZGroup/2)
}

// returns: a visitor comes again and again, by clicks in both hours and their typical gap
// in seconds: three times, or twice with a pause in which others have long gone.
func returns(clicks, gap float64) bool {
	return clicks >= oftenTwice || clicks >= oftenTwice-1 && gap >= pause
}

// coalition: two publishers have visitors in common whom chance did not bring to both, at
// most one in ten of them; and this is one, who goes to hardly anybody else.
func (h *hour) coalition() (click.Reason, float64) {
	common, expected := h.at(SlotAllyVisitors), h.at(SlotAllyExpected)
	if h.p.GroupClicks == 0 || common < h.p.GroupClicks/3 || common < float64(lift*expected) || h.at(SlotAllied) < mostly || !h.single() {
		return 0, 0
	}
	return click.ReasonCollusion, over(beyondChance(common, expected), h.p.ZGroup/2)
}

// faithful: the visitors of a publisher or campaign who come back to it for a day, after
// pauses, and go nowhere else, are ten times as many as chance and its peers make; and
// this is one. Before he has come back nobody can tell him from others.
func (h *hour) faithful() (click.Reason, float64) {
	reason, kind := click.ReasonCollusion, ofPublisher
	if h.facts&factsDayCampaign != 0 {
		reason, kind = click.ReasonOneTarget, ofCampaign
	}
	loyal, expected := h.at(SlotDayLoyal), h.at(SlotDayExpected)
	if h.p.GroupClicks == 0 || h.at(SlotDayVisits) < firstTier || h.v[SlotDayHere] < float32(faithfully[kind]) ||
		loyal < h.p.GroupClicks/3 || loyal < float64(lift*expected) || !h.single() {
		return 0, 0
	}
	return reason, over(beyondChance(loyal, expected), h.p.ZGroup/2)
}

// tooFast: where tokens are made out when the ad is shown, nobody clicks at once, and
// nobody does after its display.
func (h *hour) tooFast() (click.Reason, float64) {
	age, strength := h.at(SlotTokenAge), h.fastDisplay()
	if age > 0 && h.at(SlotFastShare) <= fastCommon {
		strength = max(strength, over(h.p.FastSeconds, age))
	}
	return click.ReasonTooFast, strength
}

// quick: of the publisher's clicks ten times as many come soon after their ads as people
// make, and so does this one. What a relay lets through is left alone, as in all that
// people may do by chance.
func (h *hour) quick() (click.Reason, float64) {
	n, expected := h.at(SlotQuick), h.at(SlotQuickExpected)
	if h.many || h.p.GroupClicks == 0 || h.at(SlotTokenAge) <= 0 || h.at(SlotFastShare) > fastCommon ||
		n < h.p.GroupClicks || n < float64(lift*expected) {
		return 0, 0
	}
	return click.ReasonTooFast, over(beyondChance(n, expected), h.p.ZGroup/2)
}

// single: address and agent are one visitor as far as can be told.
func (h *hour) single() bool { return !h.many && h.at(SlotHourAgents) < rotated }

// crowd reports whether the address is busy as a crowd is: with no more different agents
// than the population, of which few are common and none prevails, and no clock where gaps
// are long enough to tell. Of one kind of people, as with telephones only, the agents are
// fewer than the population's. Where they click says nothing: a stadium is there for one
// thing, and looks at one page. But people press twice now and then, and a crowd of them
// about as often as everybody: a program that clicks in its place does not. While clicks
// pass, a busy address of many agents is presumed a crowd until that fails to show.
func (h *hour) crowd() bool {
	const known = factsKnown | factsPopulation
	if h.facts&factsKnown == 0 {
		n, agents := h.at(SlotAddress1h), h.at(SlotAddressAgents)
		return h.p.ZFocus > 0 && agents >= rotated && h.at(SlotAddressEven) > 0 && h.at(SlotAddressEven) <= mixed &&
			h.at(SlotPair1h) <= float64(crowdShare*n) && h.at(SlotAddressTwice) >= math.Floor(n/crowdSoFar)
	}
	n := h.at(SlotHourAddress)
	return h.facts&known == known && h.p.ZFocus > 0 && n >= crowdSize && h.at(SlotHourAgents) >= rotated &&
		n >= float64(reused*h.at(SlotHourAgents)) && h.at(SlotHourAgentsEven) <= mixed && h.at(SlotHourAgentsZ) <= h.p.ZFocus/2 &&
		h.at(SlotHourPair) <= float64(crowdShare*n) &&
		(h.at(SlotHourAddrOctave) > 1 || h.at(SlotHourAddrGap) < slowest) && h.human()
}

// human: the address's aim is everybody's, or not this click's; or of its clicks about as
// many were pressed twice as of the population's: not fewer than half, as habits differ
// from place to place, by more than two and a half deviations, nor four times as many,
// and none at all only where people would press none more often than once in twenty.
func (h *hour) human() bool {
	if h.at(SlotHourAddrFocus) < h.p.ZFocus/2 {
		return true
	}
	usual, seen := h.at(SlotTwice), h.at(SlotHourTwice)
	return seen >= min(usual-float64(2.5*math.Sqrt(usual)), usual/2) && seen <= max(4, 4*usual) && (seen > 0 || usual <= noneIn20)
}

// over is how many times a value is as great as its bound; 0 where the bound is 0.
func over(value, bound float64) float64 {
	if !(bound > 0) {
		return 0
	}
	return float64(value / bound)
}
