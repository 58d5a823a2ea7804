package click

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// State is the one state every received event ends in. The numeric order is the
// order of precedence: the first that applies wins.
type State uint8

// States in order of precedence; Unscored alone is transient.
const (
	Unscored    State = iota
	Malformed         // could not be read as a click; a dead letter, not a click row
	Redelivered       // an event already stored, under another ingest id
	Test              // sealed test flag, test key or test campaign
	GIVT              // general invalid traffic: lists and standard parameter checks
	SIVT              // sophisticated invalid traffic: models
	Undecidable       // not enough information to decide; never billed
	Suspect           // open until its hour closes
	Duplicate         // a repeat of a billable click
	Valid
	NumStates
)

var stateNames = [...]string{
	"unscored", "malformed", "redelivered", "test", "givt", "sivt",
	"undecidable", "suspect", "duplicate", "valid",
}

// String returns the lower-case name used in reports and columns.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// ParseState is the inverse of String.
func ParseState(name string) (State, bool) {
	for i, n := range stateNames {
		if n == name {
			return State(i), true
		}
	}
	return Unscored, false
}

// Class is the MRC class a reason belongs to (MRC Invalid Traffic Detection and
// Filtration Standards, 2020).
type Class uint8

// Classes. Info reasons explain and never decide.
const (
	ClassInfo Class = iota
	ClassGIVT
	ClassSIVT
	ClassMeasurement // click measurement guideline: repeats, tests, undecidable
)

var classNames = [...]string{"info", "givt", "sivt", "measurement"}

// String returns the lower-case class name.
func (c Class) String() string { return classNames[c] }

// Reason says why an event has its state. Numbers are stored: append only.
type Reason uint8

// Reasons.
const (
	ReasonNone Reason = iota
	ReasonCrawler
	ReasonCrawlerVerified
	ReasonToolAgent
	ReasonHeadless
	ReasonDataCentre
	ReasonPrefetch
	ReasonHeadRequest
	ReasonTokenExpired
	ReasonNoAgent
	ReasonAddressUnknown
	ReasonRateIPAgent
	ReasonRateIP
	ReasonDoubleClick
	ReasonRepeat
	ReasonSameClick
	ReasonTest
	ReasonNoPrice
	ReasonRelay
	ReasonVPN
	ReasonTor
	ReasonBudget
	ReasonTimeFallback
	ReasonTimeCoarse
	ReasonTruncated
	ReasonModel
	ReasonConfirmed
	ReasonReleased
	ReasonFloodTail
	ReasonRegular
	ReasonOneTarget
	ReasonSweep
	ReasonHeavy
	ReasonAgentRotation
	ReasonClickFarm
	ReasonAddressRotation
	ReasonCollusion
	ReasonTooFast
	ReasonCrowd
	ReasonCrawlerSpoofed
	ReasonUnknownAgent
	ReasonListed
	ReasonNoDisplay
	ReasonBeforeDisplay
	NumReasons
)

// ReasonInfo describes a reason to analysts and auditors.
type ReasonInfo struct {
	Code  string // stable name in reports and exports
	Class Class
	Text  string // one sentence
}

var reasonTable = [NumReasons]ReasonInfo{
	ReasonNone:            {"NONE", ClassInfo, "No reason."},
	ReasonCrawler:         {"CRAWLER", ClassGIVT, "The agent declares a crawler; its address is not verified."},
	ReasonCrawlerVerified: {"CRAWLER_VERIFIED", ClassGIVT, "The agent declares a crawler and the address is in its published ranges."},
	ReasonToolAgent:       {"TOOL_AGENT", ClassGIVT, "The agent is a programming tool, not a browser or app."},
	ReasonHeadless:        {"HEADLESS", ClassGIVT, "The agent is a browser without a screen, driven by a program."},
	ReasonDataCentre:      {"DATA_CENTRE", ClassGIVT, "The address belongs to a data centre and to no relay, VPN or Tor exit."},
	ReasonPrefetch:        {"PREFETCH", ClassGIVT, "The browser fetched the link ahead of any click."},
	ReasonHeadRequest:     {"HEAD_REQUEST", ClassGIVT, "A HEAD request checks a link; nobody clicked."},
	ReasonTokenExpired:    {"EXPIRED", ClassGIVT, "The click token had expired at the time of the click."},
	ReasonNoAgent:         {"NO_AGENT", ClassMeasurement, "The request names no user agent, so it cannot be judged."},
	ReasonAddressUnknown:  {"ADDRESS_UNKNOWN", ClassMeasurement, "The client address could not be told, so the click cannot be judged."},
	ReasonRateIPAgent:     {"RATE_IP_AGENT", ClassSIVT, "Address and agent together click far more often than their own past and their peers."},
	ReasonRateIP:          {"RATE_IP", ClassSIVT, "The address clicks far more often than its own past and its peers."},
	ReasonDoubleClick:     {"DOUBLE_CLICK", ClassMeasurement, "The same click again in less than two seconds."},
	ReasonRepeat:          {"REPEAT", ClassMeasurement, "The same click opportunity was already billed."},
	ReasonSameClick:       {"SAME_CLICK", ClassMeasurement, "The same click by another path, after its hour was closed."},
	ReasonTest:            {"TEST", ClassMeasurement, "Sealed test flag, test key or test campaign."},
	ReasonNoPrice:         {"NO_PRICE", ClassInfo, "Neither token nor rate card says what the click costs; it is not billed."},
	ReasonRelay:           {"RELAY", ClassInfo, "The address is an exit of a privacy relay."},
	ReasonVPN:             {"VPN", ClassInfo, "The address is a VPN exit."},
	ReasonTor:             {"TOR", ClassInfo, "The address is a Tor exit."},
	ReasonBudget:          {"BUDGET", ClassInfo, "The scoring budget was used up; the second pass scores the click."},
	ReasonTimeFallback:    {"TIME_FALLBACK", ClassInfo, "The event time comes from a fallback field."},
	ReasonTimeCoarse:      {"TIME_COARSE", ClassInfo, "The event time is precise to whole seconds only."},
	ReasonModel:           {"MODEL", ClassSIVT, "The isolation forest sets the click easily apart from ordinary ones."},
	ReasonConfirmed:       {"CONFIRMED", ClassSIVT, "An analyst confirmed invalid traffic."},
	ReasonReleased:        {"RELEASED", ClassInfo, "An analyst released the click."},
	ReasonFloodTail:       {"FLOOD_TAIL", ClassSIVT, "Address and agent flooded in this hour; the click is of the flood's quieter part."},
	ReasonRegular:         {"REGULAR_GAPS", ClassSIVT, "Address and agent click at the even pace of a machine."},
	ReasonOneTarget:       {"ONE_TARGET", ClassSIVT, "Address and agent keep clicking on one publisher or one campaign, as no person and no crowd does."},
	ReasonSweep:           {"SWEEP", ClassSIVT, "Address and agent go from ad to ad without coming back, as a crawler does."},
	ReasonHeavy:           {"HEAVY", ClassSIVT, "Address and agent click for hours more often than a person can mean to, and nobody else is seen behind the address."},
	ReasonAgentRotation:   {"AGENT_ROTATION", ClassSIVT, "One address shows ever new agents, and not as people behind one address do."},
	ReasonClickFarm:       {"CLICK_FARM", ClassSIVT, "Many addresses with one fingerprint click again and again on one publisher or campaign."},
	ReasonAddressRotation: {"ADDRESS_ROTATION", ClassSIVT, "One fingerprint, or several together, come from ever new addresses and crowd one publisher or campaign."},
	ReasonCollusion:       {"PUBLISHER_COLLUSION", ClassSIVT, "The publisher's clicks come from the same few visitors, who come again and again or whom it shares with another, unlike its peers'."},
	ReasonTooFast:         {"TOO_FAST", ClassSIVT, "The click came sooner after its ad was made out or displayed than a person can see and press it."},
	ReasonCrowd:           {"CROWD", ClassInfo, "The address is busy, and its agents and publishers are those of a crowd; its rate alone is no reason."},
	ReasonCrawlerSpoofed:  {"CRAWLER_SPOOFED", ClassGIVT, "The agent declares a crawler whose owner publishes its addresses, and this is none of them."},
	ReasonUnknownAgent:    {"UNKNOWN_AGENT", ClassGIVT, "The agent is on no list of browsers and apps."},
	ReasonListed:          {"LISTED", ClassGIVT, "The operator's or tenant's own list, or a list of robots' addresses, names it."},
	ReasonNoDisplay:       {"NO_IMPRESSION", ClassSIVT, "Address and agent keep clicking ads whose display the feed of impressions does not know, though it knows nearly all others'."},
	ReasonBeforeDisplay:   {"CLICK_BEFORE_DISPLAY", ClassSIVT, "The click came before its ad was displayed."},
	ReasonTruncated:       {"TRUNCATED", ClassInfo, "A text was cut to its documented limit."},
}

// Info returns the description of r; unknown numbers from newer writers read as
// a reason without text.
func (r Reason) Info() ReasonInfo {
	if r < NumReasons {
		return reasonTable[r]
	}
	return ReasonInfo{Code: "UNKNOWN", Class: ClassInfo}
}

// String returns the stable code.
func (r Reason) String() string { return r.Info().Code }

// Reasons is a set of reasons, a bit each.
type Reasons uint64

// Set returns the set with r added.
func (s Reasons) Set(r Reason) Reasons { return s | 1<<r }

// Has reports whether r is in the set.
func (s Reasons) Has(r Reason) bool { return s&(1<<r) != 0 }

// Each calls f for every reason in rising order.
func (s Reasons) Each(f func(Reason)) {
	for b := uint64(s); b != 0; b &= b - 1 {
		f(Reason(bits.TrailingZeros64(b)))
	}
}

// Codes returns the codes of the set in rising order.
func (s Reasons) Codes() []string {
	codes := make([]string, 0, bits.OnesCount64(uint64(s)))
	s.Each(func(r Reason) { codes = append(codes, r.String()) })
	return codes
}

// VectorSize is the fixed number of features; VectorVersion says which meaning
// each slot has. Package scoring documents the slots. Older vectors are shorter:
// the slots behind them read as 0.
const VectorSize = 88

// Vector is the feature vector a verdict was computed from.
type Vector [VectorSize]float32

// minPacked is the least number of slots that are written: as many as the first
// version had.
const minPacked = 16

// packed is how many slots are written: zeros at the end are left out.
func (v *Vector) packed() int {
	n := VectorSize
	for n > minPacked && math.Float32bits(v[n-1]) == 0 {
		n--
	}
	return n
}

// Append appends the slots as little-endian float32, without the zeros at the end,
// but at least 16 of them. It is the form of wire and stores.
func (v *Vector) Append(b []byte) []byte {
	for _, f := range v[:v.packed()] {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// Unpack reads what Append wrote, of this version or an older one.
func (v *Vector) Unpack(b []byte) error {
	if len(b)%4 != 0 || len(b) < 4*minPacked || len(b) > 4*VectorSize {
		return fmt.Errorf("vector has %d bytes; want a multiple of 4 from %d to %d", len(b), 4*minPacked, 4*VectorSize)
	}
	*v = Vector{}
	for i := range len(b) / 4 {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return nil
}

// ModelSlot says which model scored a click.
type ModelSlot uint8

// Model slots.
const (
	ModelNone ModelSlot = iota
	ModelLive
	ModelShadow
)

// Verdict is a state with everything needed to check and recompute it.
type Verdict struct {
	State         State
	Reasons       Reasons
	Score         float64 // 0 ordinary .. 1 certainly invalid
	VectorVersion uint32  // 0: no vector
	Vector        Vector
	ListsHash     uint64
	PolicyHash    uint64
	ModelHash     uint64 // 0: no model took part
	ModelSlot     ModelSlot
}
