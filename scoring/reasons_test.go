package scoring

import (
	"math"
	"os"
	"strings"
	"testing"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"
)

// pair is a click that earns a reason, and its nearest neighbour that does not: one
// slot, or the flags, are others.
type pair struct {
	flags   click.Flags
	vector  click.Vector
	slot    int // -1: the flags
	instead float32
	without click.Flags
}

// slotPair is a click with these slots, of which one is another in the neighbour.
func slotPair(slot int, value, instead float32, others ...float32) pair {
	p := pair{slot: slot, instead: instead}
	for i := 0; i+1 < len(others); i += 2 {
		p.vector[int(others[i])] = others[i+1]
	}
	p.vector[slot] = value
	return p
}

func flagPair(f click.Flags) pair { return pair{flags: f, slot: -1} }

func below(x float32) float32 { return math.Nextafter32(x, 0) }
func above(x float32) float32 { return math.Nextafter32(x, 2*x) }

// reasonPairs are those that Decide gives. The numbers are the policy's defaults.
var reasonPairs = map[click.Reason]pair{
	click.ReasonCrawler:         slotPair(SlotAgent, float32(givt.Crawler), float32(givt.None)),
	click.ReasonCrawlerVerified: slotPair(SlotRanges, rangeVerified, 0, SlotAgent, float32(givt.Crawler)),
	click.ReasonCrawlerSpoofed:  slotPair(SlotRanges, rangeSpoofed, 0, SlotAgent, float32(givt.Crawler)),
	click.ReasonToolAgent:       slotPair(SlotAgent, float32(givt.Tool), float32(givt.None)),
	click.ReasonHeadless:        slotPair(SlotAgent, float32(givt.Headless), float32(givt.None)),
	click.ReasonUnknownAgent:    slotPair(SlotAgent, float32(givt.Unlisted), float32(givt.None)),
	click.ReasonListed:          slotPair(SlotRanges, rangeRobot, 0),
	click.ReasonDataCentre:      slotPair(SlotRanges, rangeDataCentre, rangeDataCentre|rangeRelay),
	click.ReasonPrefetch:        flagPair(click.FlagPrefetch),
	click.ReasonHeadRequest:     flagPair(click.FlagHead),
	click.ReasonTokenExpired:    flagPair(click.FlagTokenExpired),
	click.ReasonNoAgent:         slotPair(SlotAgent, float32(givt.NoAgent), float32(givt.None)),
	click.ReasonAddressUnknown:  flagPair(click.FlagAddressUnknown),
	click.ReasonTest:            flagPair(click.FlagTest),
	click.ReasonTimeFallback:    flagPair(click.FlagTimeFallback),
	click.ReasonTimeCoarse:      flagPair(click.FlagTimeCoarse),
	click.ReasonTruncated:       flagPair(click.FlagTruncated),
	click.ReasonRelay:           slotPair(SlotRanges, rangeRelay, 0),
	click.ReasonVPN:             slotPair(SlotRanges, rangeVPN, 0),
	click.ReasonTor:             slotPair(SlotRanges, rangeTor, 0),
	click.ReasonModel:           slotPair(SlotModel, 0.7, below(0.7)),

	click.ReasonRateIPAgent: slotPair(SlotPairZPeers, 6, below(6), SlotPair1m, 12, SlotBaselines, hasPairPeers),
	click.ReasonRateIP:      slotPair(SlotAddressZPeers, 30, below(30), SlotAddress1m, 12, SlotBaselines, hasAddressPeers),
	click.ReasonCrowd: slotPair(SlotAddressEven, mixed, above(mixed), SlotPair1m, 12, SlotPairZPeers, 6, SlotBaselines, hasPairPeers,
		SlotAddress1h, 36, SlotPair1h, 12, SlotAddressAgents, rotated),

	click.ReasonFloodTail:     slotPair(SlotHourPair, 24, 25, SlotFacts, factsKnown, SlotHourFlood, 12),
	click.ReasonRegular:       slotPair(SlotHourOctaves, 0.5, above(0.5), SlotFacts, factsKnown, SlotHourGaps, 11, SlotHourGap, slowest),
	click.ReasonOneTarget:     slotPair(SlotHourFocus, 6, below(6), SlotFacts, factsKnown, SlotHourPair, 12),
	click.ReasonSweep:         slotPair(SlotHourSweep, 6, below(6), SlotFacts, factsKnown, SlotHourPair, 12),
	click.ReasonHeavy:         slotPair(SlotHourPair, 60, 59, SlotFacts, factsKnown, SlotHourAgents, 1),
	click.ReasonAgentRotation: slotPair(SlotHourAgents, rotated, rotated-1, SlotFacts, factsKnown, SlotHourAddress, 12, SlotHourAddrFocus, 6),
	click.ReasonClickFarm: slotPair(SlotGroupZ, 6, below(6), SlotFacts, factsKnown, SlotGroup, 30, SlotGroupAddresses, fewSeats, SlotGroupShare, 0.5,
		SlotGroupElsewhere, 0.0625, SlotGroupAgain, 0.75, SlotAgain, 0.25, SlotHourPair, oftenTwice),
	click.ReasonAddressRotation: slotPair(SlotGroupAddresses, manySeats, manySeats-1, SlotFacts, factsKnown, SlotGroup, 30, SlotGroupZ, 4, SlotGroupShare, 0.5,
		SlotGroupElsewhere, 0.03125, SlotScopeOneZ, 6),
	click.ReasonCollusion: slotPair(SlotLoyalZ, 6, below(6), SlotFacts, factsKnown, SlotHourPair, oftenTwice, SlotHourPairHere, 0.875, SlotHourAgents, 1),
	click.ReasonTooFast:   slotPair(SlotTokenAge, 0.5, above(0.5), SlotFacts, factsKnown),

	click.ReasonNoDisplay:     slotPair(SlotUnseenZ, 6, below(6), SlotFacts, factsKnown|factsDisplay, SlotHourAgents, 1),
	click.ReasonBeforeDisplay: slotPair(SlotDisplayGap, -displaySkew, below(-displaySkew), SlotFacts, factsKnown|factsDisplay),
}

// reasonsElsewhere are those that others give, and the test with their pair.
var reasonsElsewhere = map[click.Reason][2]string{
	click.ReasonDoubleClick: {"../aggregate/reasons_test.go", "click.ReasonDoubleClick"},
	click.ReasonRepeat:      {"../aggregate/reasons_test.go", "click.ReasonRepeat"},
	click.ReasonSameClick:   {"../aggregate/reasons_test.go", "click.ReasonSameClick"},
	click.ReasonConfirmed:   {"../aggregate/reasons_test.go", "click.ReasonConfirmed"},
	click.ReasonReleased:    {"../aggregate/reasons_test.go", "click.ReasonReleased"},
	click.ReasonNoPrice:     {"../gateway/click_test.go", "Has(click.ReasonNoPrice) != tt.noPrice"},
	click.ReasonBudget:      {"../docs/scoring.md", "`BUDGET` is reserved: nothing sets it"},
}

// TestReasonPairs: each reason has a click that earns it and a nearest neighbour that
// does not. A reason without both fails.
func TestReasonPairs(t *testing.T) {
	t.Parallel()
	policy := DefaultConfig().Policy
	policy.ModelSuspect = 0.7
	for r := click.ReasonNone + 1; r < click.NumReasons; r++ {
		p, here := reasonPairs[r]
		place, elsewhere := reasonsElsewhere[r]
		switch {
		case here:
			neighbour := p.vector
			if p.slot >= 0 {
				neighbour[p.slot] = p.instead
			}
			with, without := Decide(&policy, p.flags, &p.vector), Decide(&policy, p.flags, &neighbour)
			if p.slot < 0 {
				without = Decide(&policy, p.without, &neighbour)
			}
			if !with.Reasons.Has(r) || without.Reasons.Has(r) {
				t.Errorf("%s: the click has %v, its neighbour %v", r, with.Reasons.Codes(), without.Reasons.Codes())
			}
		case elsewhere:
			text, err := os.ReadFile(place[0])
			if err != nil || !strings.Contains(string(text), place[1]) {
				t.Errorf("%s: %s does not have %q, %v", r, place[0], place[1], err)
			}
		default:
			t.Errorf("%s has no pair: add a click that earns it and its nearest neighbour that does not", r)
		}
	}
}
