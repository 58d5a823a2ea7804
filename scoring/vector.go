package scoring

import (
	"errors"
	"fmt"

	"clickgate/gateway/click"
	"clickgate/scoring/givt"
	"clickgate/scoring/zscore"
)

// VectorVersion names the meaning of the slots below. A changed meaning is a new
// version; stored vectors keep theirs, and Recompute reads those of every release.
// Version 2 is of no release: builds wrote it in two layouts that nothing tells apart.
const VectorVersion = 3

const (
	firstVersion = 1
	mixedVersion = 2
)

// Slots of the feature vector. Counts are clicks; z-scores are robust, without
// unit, never negative unless it says so; see package zscore.
const (
	// What the clicks before say, as they pass.

	SlotAddress10s     = iota // clicks of the address in the last 5 to 10 s
	SlotAddress1m             // in the last 55 to 60 s
	SlotAddress1h             // in the current minute and the 59 before it
	SlotAddressZSelf          // this minute against the address's own past
	SlotAddressZPeers         // this minute against all active addresses
	SlotPair10s               // the same five for address and agent together
	SlotPair1m                //
	SlotPair1h                //
	SlotPairZSelf             //
	SlotPairZPeers            //
	SlotBaselines             // bit set: which of the four z-scores have a baseline
	SlotAgent                 // class of the agent: givt.AgentClass, +16 when apps carry it too
	SlotRanges                // bit set: what the address lists say
	SlotAddressMinutes        // closed minutes of the address's own past, at most 60
	SlotPairMinutes           // the same of address and agent together
	SlotPrefix1m              // clicks of the /24 or /48
	SlotPrefix1h              //
	SlotPrefixZPeers          //
	SlotPublisher1m           // clicks of the publisher
	SlotPublisher1h           //
	SlotPublisherZSelf        //
	SlotCampaign1m            // clicks of the campaign
	SlotCampaign1h            //
	SlotCampaignZSelf         //
	SlotAddressAgents         // different agents of the address, this hour and the last
	SlotPairTargets           // different placements that address and agent clicked, this hour and the last
	SlotPairGaps              // gaps that the next slot rests on
	SlotPairOctaves           // how evenly address and agent click
	SlotHeaders               // bit set: what is strange in the request's headers
	SlotTokenAge              // seconds from the token to the click; 0 is not known
	SlotFingerprint           // 10 bits of a hash of agent and language
	SlotModel                 // score of the isolation forest, 0 .. 1; 0 without a model
	SlotAddressEven           // how evenly the address uses its agents, so far
	SlotAddressTwice          // its clicks pressed or sent twice, so far
	SlotAddressFence          // this minute of the address past the upper quartile of all active addresses
	SlotPairFence             // the same of address and agent together
	SlotPublisherWeek         // this hour of the publisher against the same hour of other weeks and days, as the gateway knew them
	SlotWeekHours             // hours that it rests on

	// What a whole hour and the one before say, known in the second pass only.

	SlotFacts          // bit set: what the slots behind rest on
	SlotHourPair       // clicks of address and agent in both hours
	SlotHourFlood      // of these, how many were beyond z_invalid
	SlotHourGaps       // gaps between them
	SlotHourOctaves    // how evenly they came
	SlotHourGap        // their typical gap
	SlotHourFocus      // z: on the publisher or campaign of this click, against the population
	SlotHourSweep      // z: more different placements than the population's
	SlotHourAddress    // clicks of the address in both hours
	SlotHourAgents     // its different agents
	SlotHourAgentsZ    // z: against as many clicks of the population; below 0 is fewer
	SlotHourAddrFocus  // z of the address, as SlotHourFocus
	SlotHourAddrGaps   // gaps of the address
	SlotHourAddrOctave // how evenly they came
	SlotHourAddrGap    // their typical gap
	SlotGroup          // clicks of the fingerprint on the publisher, or the campaign, in the hour
	SlotGroupAddresses // from so many addresses
	SlotGroupShare     // its share of the publisher's clicks
	SlotGroupElsewhere // its share of all other clicks
	SlotGroupBefore    // its share of the publisher's clicks in the hour before
	SlotGroupZ         // z: its share against that on the peers
	SlotGroupOdd       // share of its clicks with strange headers, less that of the publisher's others
	SlotScope          // the publisher's, or the campaign's, clicks in the hour
	SlotScopeBefore    // in the hour before
	SlotScopeOne       // chance that two of its clicks have one fingerprint
	SlotScopeOneZ      // z: against its peers
	SlotLoyal          // share of the publisher's clicks by the same few
	SlotLoyalZ         // z: against its peers
	SlotHourPairHere   // share of the pair's clicks that are the publisher's
	SlotGroupAgain     // share of the group's clicks by visitors who came before
	SlotAgain          // the same of everybody else's
	SlotFastShare      // share of the source's clicks with a token that are too fast
	SlotHourAgentsEven // how evenly the address uses its agents
	SlotAllyVisitors   // visitors that the publisher has in common with another of this visitor's
	SlotAllyExpected   // how many by chance
	SlotAllied         // share of this visitor's publishers that are in it together
	SlotHourTwice      // clicks of the address, or its publisher, that were pressed or sent twice
	SlotTwice          // how many would be of people
	SlotDisplayGap     // seconds from the display of its ad to the click; below 0 it came first
	SlotUnseenZ        // z: clicks of this visitor whose displays are missing, against everybody's
	SlotDayVisits      // visits of address and agent in the day before the hour ends
	SlotDayHere        // share of them that are the publisher's, or the campaign's
	SlotDayLoyal       // visitors who return to it so, and go nowhere else
	SlotDayExpected    // how many would
	SlotQuick          // clicks of the publisher that came as soon after their ads
	SlotQuickExpected  // how many would of people
	SlotHourReplays    // how often the pair sent this click's opportunity a third time and more
	numSlots
)

// Features is how many slots the isolation forest looks at: what every click has,
// and has alike in the second pass.
const Features = SlotHeaders

// FeatureNames are the names of those slots, in order: the columns of a model.
func FeatureNames() []string {
	names := make([]string, Features)
	for i := range names {
		names[i] = Slots[i].Name
	}
	return names
}

// modelV1 is where version 1 kept the model's score. Its other slots are the first
// of the present version.
const modelV1 = 15

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
	SlotBaselines:      {"baselines", "bit set", "Which of the z-scores have a baseline: 1 address self, 2 address peers, 4 pair self, 8 pair peers; 16 and 32: half of the peers of address and pair have one count."},
	SlotAgent:          {"agent_class", "code", "0 ordinary, 1 none, 2 crawler, 3 tool, 4 headless, 5 on no list of browsers, 6 on an own list; +16 when apps carry the library too."},
	SlotRanges:         {"address_ranges", "bit set", "1 data centre, 2 relay, 4 VPN, 8 Tor, 16 accepted, 32 in the crawler's published ranges, 64 in none of them, 128 a robot's."},
	SlotAddressMinutes: {"address_minutes", "minutes", "How much of its own past the address has, at most an hour."},
	SlotPairMinutes:    {"pair_minutes", "minutes", "How much of their own past address and agent together have, at most an hour."},
	SlotPrefix1m:       {"prefix_clicks_1m", "clicks", "Clicks of the /24 or /48 in the last minute."},
	SlotPrefix1h:       {"prefix_clicks_1h", "clicks", "Clicks of the /24 or /48 in the last hour."},
	SlotPrefixZPeers:   {"prefix_z_peers", "robust z", "The last minute of the /24 or /48 against all active ones."},
	SlotPublisher1m:    {"publisher_clicks_1m", "clicks", "Clicks of the publisher in the last minute."},
	SlotPublisher1h:    {"publisher_clicks_1h", "clicks", "Clicks of the publisher in the last hour."},
	SlotPublisherZSelf: {"publisher_z_self", "robust z", "The last minute of the publisher against its own last hour."},
	SlotCampaign1m:     {"campaign_clicks_1m", "clicks", "Clicks of the campaign in the last minute."},
	SlotCampaign1h:     {"campaign_clicks_1h", "clicks", "Clicks of the campaign in the last hour."},
	SlotCampaignZSelf:  {"campaign_z_self", "robust z", "The last minute of the campaign against its own last hour."},
	SlotAddressAgents:  {"address_agents", "agents", "Different agents of the address, this clock hour and the last."},
	SlotPairTargets:    {"pair_targets", "placements", "Different placements that address and agent clicked, this clock hour and the last."},
	SlotPairGaps:       {"pair_gaps", "gaps", "Gaps between clicks of address and agent, at most 256, without silences of two hours."},
	SlotPairOctaves:    {"pair_gap_octaves", "octaves", "Standard deviation of the gaps' binary logarithm: 1.85 by chance, 0 of a clock."},
	SlotHeaders:        {"headers", "bit set", "1 headers are known, 2 a browser without a language, 4 language unreadable, 8 the agent contradicts itself, 16 language of another country, 32 client hints are there; they name 64 another platform, 128 another kind of device, 256 another browser, 512 one without a screen; unlike the source's other clicks 1024 no hints, 2048 the order of headers."},
	SlotTokenAge:       {"token_age", "s", "From the token's making to the click; 0 is not known."},
	SlotFingerprint:    {"fingerprint", "code", "Ten bits of a hash of agent and language."},
	SlotModel:          {"model_score", "score", "Isolation forest over the slots before headers: about 0.5 ordinary, towards 1 easily set apart."},
	SlotAddressEven:    {"address_agents_even", "ratio", "How many equally common agents would meet as often as those of the address did so far, this clock hour and the last, per agent it has."},
	SlotAddressTwice:   {"address_twice", "clicks", "Clicks of the address so far, this clock hour and the last, that were pressed or sent twice."},
	SlotAddressFence:   {"address_fence", "IQR", "How many interquartile ranges the last minute of the address is past the upper quartile of all active addresses; beyond 3 is far out."},
	SlotPairFence:      {"pair_fence", "IQR", "The same of address and agent together against all active pairs."},
	SlotPublisherWeek:  {"publisher_surprise", "robust z", "The publisher's last 60 minutes against the same hour of the last four weeks, or of the last seven days where that is less, as the gateway knew them."},
	SlotWeekHours:      {"publisher_surprise_hours", "hours", "How many earlier hours that rests on; 0 is no opinion."},
	SlotFacts:          {"hour_facts", "bit set", "1 the hour was looked at, 2 the group is the campaign's and not the publisher's, 4 it has peers, 8 the population's spread is known, 16 the group is the whole source's, 32 the feed of displays can be believed, 64 so can how soon after them people click, 128 who returns in a day is the campaign's and not the publisher's, 256 the group is several fingerprints together."},
	SlotHourPair:       {"hour_pair_clicks", "clicks", "Clicks of address and agent in the hour and the one before, those pressed or sent twice once."},
	SlotHourFlood:      {"hour_pair_flood", "clicks", "How many came at a rate beyond z_invalid, those pressed or sent twice too."},
	SlotHourGaps:       {"hour_pair_gaps", "gaps", "Gaps between clicks of address and agent in both hours, at most 256."},
	SlotHourOctaves:    {"hour_pair_gap_octaves", "octaves", "Standard deviation of their binary logarithm."},
	SlotHourGap:        {"hour_pair_gap", "s", "Their geometric mean."},
	SlotHourFocus:      {"hour_pair_focus_z", "z", "How unlike chance it is that they meet the publisher, or the campaign, of this click in 8 of 10."},
	SlotHourSweep:      {"hour_pair_sweep_z", "z", "How many more different placements they met than as many clicks of the population."},
	SlotHourAddress:    {"hour_address_clicks", "clicks", "Clicks of the address in the hour and the one before."},
	SlotHourAgents:     {"hour_address_agents", "agents", "Its different agents."},
	SlotHourAgentsZ:    {"hour_address_agents_z", "z", "How many more of them than as many clicks of the population have; below 0 fewer."},
	SlotHourAddrFocus:  {"hour_address_focus_z", "z", "As hour_pair_focus_z, of the address over all its agents."},
	SlotHourAddrGaps:   {"hour_address_gaps", "gaps", "Gaps between clicks of the address in both hours, at most 256."},
	SlotHourAddrOctave: {"hour_address_gap_octaves", "octaves", "Standard deviation of their binary logarithm."},
	SlotHourAddrGap:    {"hour_address_gap", "s", "Their geometric mean."},
	SlotGroup:          {"group_clicks", "clicks", "Clicks with the fingerprint on the publisher, or on the campaign, in the hour."},
	SlotGroupAddresses: {"group_addresses", "addresses", "From how many addresses they came."},
	SlotGroupShare:     {"group_share", "share", "Their share of the publisher's, or the campaign's, clicks."},
	SlotGroupElsewhere: {"group_share_elsewhere", "share", "The fingerprint's share of the source's other clicks."},
	SlotGroupBefore:    {"group_share_before", "share", "Their share in the hour before."},
	SlotGroupZ:         {"group_z", "robust z", "Their share against the fingerprint's share on the other publishers, or campaigns; of the whole source's group, how often visitors come again, against other fingerprints."},
	SlotGroupOdd:       {"group_odd", "share", "How much more often their headers are strange than those of the publisher's other clicks."},
	SlotScope:          {"scope_clicks", "clicks", "Clicks of the publisher, or the campaign, in the hour."},
	SlotScopeBefore:    {"scope_clicks_before", "clicks", "In the hour before."},
	SlotScopeOne:       {"scope_concentration", "chance", "That two of its clicks have one fingerprint (Simpson)."},
	SlotScopeOneZ:      {"scope_concentration_z", "robust z", "Against its peers."},
	SlotLoyal:          {"publisher_loyal", "share", "Share of the publisher's clicks in both hours by those who clicked three times and more, and 8 of 10 times here."},
	SlotLoyalZ:         {"publisher_loyal_z", "robust z", "Against the other publishers."},
	SlotHourPairHere:   {"hour_pair_here", "share", "How many of the clicks of address and agent were at least on the publisher, when most were."},
	SlotGroupAgain:     {"group_again", "share", "Share of the group's clicks by visitors, address and agent together, who clicked before in both hours."},
	SlotAgain:          {"again_elsewhere", "share", "The same of the source's other clicks."},
	SlotHourAgentsEven: {"hour_address_agents_even", "ratio", "How many equally common agents would meet as often as its own do, per agent it has: 1 of a list gone through, less of a crowd."},
	SlotAllyVisitors:   {"ally_visitors", "visitors", "Visitors in both hours that the publisher has in common with another publisher of this visitor, that with which it has most beyond chance."},
	SlotAllyExpected:   {"ally_expected", "visitors", "How many of them chance brings to both, by the source's other publishers."},
	SlotAllied:         {"ally_share", "share", "Share of this visitor's publishers that are this one or have ten times as many visitors in common with it as chance brings."},
	SlotHourTwice:      {"hour_address_twice", "clicks", "Clicks of the address in both hours that were pressed or sent twice; of the publisher where the address has none and too few clicks to tell."},
	SlotTwice:          {"hour_twice_usual", "clicks", "How many it would be of as many first clicks of all addresses."},
	SlotDisplayGap:     {"display_gap", "s", "From the display of the click's ad to the click, where displays are fed; below 0 the click came first; 0 is not known."},
	SlotUnseenZ:        {"undisplayed_z", "z", "How many more displays of the clicks of address and agent are missing than chance loses of everybody's; 0 where this one's is there."},
	SlotDayVisits:      {"day_visits", "visits", "Visits of address and agent in the hour and the 23 before it, with a quarter of an hour and more between them; 0 of one visit."},
	SlotDayHere:        {"day_here", "share", "How many of them at least were on the publisher, or on the campaign, when most were."},
	SlotDayLoyal:       {"day_returning", "visitors", "Visitors of the publisher, or the campaign, in those hours who came back as this one, twice or three times and more, and nine of ten times to the publisher, or three of four to the campaign."},
	SlotDayExpected:    {"day_returning_usual", "visitors", "How many they would be: by chance, or by the upper quartile of its peers, whichever is more."},
	SlotQuick:          {"publisher_quick", "clicks", "Clicks of the publisher in both hours that came as soon after their tokens as this one, to fast_seconds; 0 from four times that on."},
	SlotQuickExpected:  {"publisher_quick_usual", "clicks", "How many they would be beside its slower ones: as the source's others, or the upper quartile of its peers, whichever is more."},
	SlotHourReplays:    {"hour_pair_replays", "clicks", "How often at least address and agent sent this click's token a third time and more in both hours, when most that they sent so were it."},
	SlotFastShare:      {"fast_share", "share", "Share of the source's clicks with a token that are sooner than fast_seconds."},
}

// SlotsOf describes the vector of a version, by slot. The error says why there is
// nothing to describe; the click's verdict stands all the same.
func SlotsOf(version uint32) ([]SlotInfo, error) {
	switch version {
	case VectorVersion:
		return Slots[:], nil
	case firstVersion:
		return append(append([]SlotInfo(nil), Slots[:modelV1]...), Slots[SlotModel]), nil
	}
	return nil, unreadable(version)
}

// unreadable says why the vector of a version cannot be read.
func unreadable(version uint32) error {
	switch version {
	case 0:
		return errors.New("there is no vector: the click was not scored")
	case mixedVersion:
		return errors.New("vector version 2 cannot be read: builds before a release wrote it in two layouts that nothing tells apart; " +
			"state, reasons and score stand as they were stored")
	}
	return fmt.Errorf("vector version %d is not known to this build, which reads %d and %d; ask the build that wrote it",
		version, firstVersion, VectorVersion)
}

const (
	hasAddressSelf = 1 << iota
	hasAddressPeers
	hasPairSelf
	hasPairPeers
	flatAddressPeers // half of the peers have one count: the z-score rests on its floor, and the fence is asked
	flatPairPeers
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

// rangeShared are the ranges behind which one address is many people.
const rangeShared = rangeRelay | rangeVPN | rangeTor

const agentInApp = 16

const (
	headersKnown = 1 << iota
	headersNoLanguage
	headersBadLanguage
	headersBadAgent
	headersForeign
	headersHints    // client hints are there, and the next four compare them with the agent
	headersPlatform // another operating system
	headersMobile   // a telephone and no telephone
	headersVersion  // another version of Chromium, or an agent that is no Chromium
	headersHeadless // a browser without a screen
	headersBare     // learned of the source's clicks: this one has no client hints, others of its kind do
	headersOrder    // learned as well: its headers come in an order that others of its engine do not have
)

// headersOdd are the strange ones that no ordinary browser shows. What a gateway learned
// is not among them: another one may have learned something else.
const headersOdd = headersNoLanguage | headersBadLanguage | headersBadAgent | headersPlatform | headersMobile | headersVersion | headersHeadless

const (
	factsKnown = 1 << iota
	factsCampaign
	factsPeers
	factsPopulation
	factsSource
	factsDisplay
	factsPace
	factsDayCampaign
	factsPool
)

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

// fillRates writes the slots that depend on how often address and pair clicked before.
func fillRates(v *click.Vector, address, pair *zscore.Rates) {
	fillRate(v[SlotAddress10s:], address)
	fillRate(v[SlotPair10s:], pair)
	v[SlotAddressMinutes], v[SlotPairMinutes] = float32(address.Minutes), float32(pair.Minutes)
	v[SlotBaselines] = bits(
		flag{address.HasSelf, hasAddressSelf}, flag{address.HasPeers, hasAddressPeers},
		flag{pair.HasSelf, hasPairSelf}, flag{pair.HasPeers, hasPairPeers},
		flag{address.Flat, flatAddressPeers}, flag{pair.Flat, flatPairPeers})
	v[SlotAddressFence], v[SlotPairFence] = float32(address.Fence), float32(pair.Fence)
}

func fillRate(v []float32, r *zscore.Rates) {
	v[0], v[1], v[2] = float32(r.Count10s), float32(r.Count1m), float32(r.Count1h)
	v[3], v[4] = float32(r.ZSelf), float32(r.ZPeers)
}

// modern turns a verdict's vector into one of the present version, with nothing in
// the slots that its own did not have. It reports whether it could; see unreadable.
func modern(v *click.Verdict) bool {
	switch v.VectorVersion {
	case VectorVersion:
		return true
	case firstVersion:
		v.Vector[SlotModel] = v.Vector[modelV1]
		v.Vector[modelV1] = 0
		v.VectorVersion = VectorVersion
		return true
	}
	return false
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
