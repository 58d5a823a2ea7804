package scoring

import (
	"clickgate/gateway/click"
	"clickgate/scoring/givt"
	"clickgate/scoring/zscore"
)

// VectorVersion names the meaning of the slots below. A changed meaning is a new
// version; stored vectors keep theirs.
const VectorVersion = 1

// Slots of the feature vector. Counts are clicks; z-scores are robust, without
// unit, never negative; see package zscore.
const (
	SlotAddress10s    = iota // clicks of the address in the last 5 to 10 s
	SlotAddress1m            // in the last 55 to 60 s
	SlotAddress1h            // in the current minute and the 59 before it
	SlotAddressZSelf         // this minute against the address's own past
	SlotAddressZPeers        // this minute against all active addresses
	SlotPair10s              // the same five for address and agent together
	SlotPair1m
	SlotPair1h
	SlotPairZSelf
	SlotPairZPeers
	SlotBaselines      // bit set: which of the four z-scores have a baseline
	SlotAgent          // class of the agent: givt.AgentClass, +16 when apps carry it too
	SlotRanges         // bit set: what the address lists say
	SlotAddressMinutes // closed minutes of the address's own past, at most 60
	SlotPairMinutes    // the same of address and agent together
	SlotModel          // score of the isolation forest, 0 .. 1; 0 without a model
	numSlots
)

// Features is how many slots the isolation forest looks at: all in front of its
// own score.
const Features = SlotModel

// SlotInfo describes a slot to analysts.
type SlotInfo struct {
	Name string
	Unit string
	Text string
}

// Slots describes the vector, by slot.
var Slots = [numSlots]SlotInfo{
	SlotAddress10s:     {"address_clicks_10s", "clicks", "Clicks of the address in the last 10 seconds."},
	SlotAddress1m:      {"address_clicks_1m", "clicks", "Clicks of the address in the last minute."},
	SlotAddress1h:      {"address_clicks_1h", "clicks", "Clicks of the address in the last hour."},
	SlotAddressZSelf:   {"address_z_self", "robust z", "The last minute of the address against its own last hour."},
	SlotAddressZPeers:  {"address_z_peers", "robust z", "The last minute of the address against all active addresses."},
	SlotPair10s:        {"pair_clicks_10s", "clicks", "Clicks of address and agent together in the last 10 seconds."},
	SlotPair1m:         {"pair_clicks_1m", "clicks", "Clicks of address and agent together in the last minute."},
	SlotPair1h:         {"pair_clicks_1h", "clicks", "Clicks of address and agent together in the last hour."},
	SlotPairZSelf:      {"pair_z_self", "robust z", "The last minute of address and agent against their own last hour."},
	SlotPairZPeers:     {"pair_z_peers", "robust z", "The last minute of address and agent against all active pairs."},
	SlotBaselines:      {"baselines", "bit set", "Which of the z-scores have a baseline: 1 address self, 2 address peers, 4 pair self, 8 pair peers."},
	SlotAgent:          {"agent_class", "code", "0 ordinary, 1 none, 2 crawler, 3 tool, 4 headless, 5 on no list of browsers, 6 on an own list; +16 when apps carry the library too."},
	SlotRanges:         {"address_ranges", "bit set", "1 data centre, 2 relay, 4 VPN, 8 Tor, 16 accepted, 32 in the crawler's published ranges, 64 in none of them, 128 a robot's."},
	SlotAddressMinutes: {"address_minutes", "minutes", "How much of its own past the address has, at most an hour."},
	SlotModel:          {"model_score", "score", "Isolation forest over the slots before: about 0.5 ordinary, towards 1 easily set apart."},
	SlotPairMinutes:    {"pair_minutes", "minutes", "How much of their own past address and agent together have, at most an hour."},
}

const (
	hasAddressSelf = 1 << iota
	hasAddressPeers
	hasPairSelf
	hasPairPeers
)

const (
	rangeDataCentre = 1 << iota
	rangeRelay
	rangeVPN
	rangeTor
	rangeAccepted
	rangeVerified
	rangeSpoofed // this one and the next only on clicks that are givt by it, so that no model ever sees them
	rangeRobot
)

const agentInApp = 16

// fillLists writes the slots that depend on the click alone.
func fillLists(v *click.Vector, m *givt.Match) {
	v[SlotAgent] = float32(m.Agent)
	if m.InApp {
		v[SlotAgent] += agentInApp
	}
	v[SlotRanges] = bits(
		flag{m.DataCentre, rangeDataCentre}, flag{m.Relay, rangeRelay}, flag{m.VPN, rangeVPN},
		flag{m.Tor, rangeTor}, flag{m.Accepted, rangeAccepted}, flag{m.Verified, rangeVerified},
		flag{m.Spoofed, rangeSpoofed}, flag{m.Robot && !m.Accepted, rangeRobot})
}

// fillRates writes the slots that depend on the clicks before.
func fillRates(v *click.Vector, address, pair *zscore.Rates) {
	fillRate(v[SlotAddress10s:], address)
	fillRate(v[SlotPair10s:], pair)
	v[SlotAddressMinutes], v[SlotPairMinutes] = float32(address.Minutes), float32(pair.Minutes)
	v[SlotBaselines] = bits(
		flag{address.HasSelf, hasAddressSelf}, flag{address.HasPeers, hasAddressPeers},
		flag{pair.HasSelf, hasPairSelf}, flag{pair.HasPeers, hasPairPeers})
}

func fillRate(v []float32, r *zscore.Rates) {
	v[0], v[1], v[2] = float32(r.Count10s), float32(r.Count1m), float32(r.Count1h)
	v[3], v[4] = float32(r.ZSelf), float32(r.ZPeers)
}

type flag struct {
	set bool
	bit int
}

func bits(flags ...flag) float32 {
	n := 0
	for _, f := range flags {
		if f.set {
			n |= f.bit
		}
	}
	return float32(n)
}
