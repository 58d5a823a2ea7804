package fraudrange

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Label is the truth about a click.
type Label uint8

// Labels.
const (
	Person      Label = iota // a person meant it: the only ones that ought to be billed
	DoubleClick              // the same person's second click on the same ad, within a second
	Prefetch                 // a browser fetched the link ahead of the click that follows
	Crawler                  // a robot that says so, and means no harm
	Fraud                    // made to be billed
	NumLabels
)

var labelNames = [NumLabels]string{"person", "double_click", "prefetch", "crawler", "fraud"}

// String returns the label's name.
func (l Label) String() string { return name(labelNames[:], l) }

// Segment is where a person comes from. False positives are counted by it, because
// rules fail on crowds long before they fail on homes.
type Segment uint8

// Segments. Clicks that no person made have NoSegment.
const (
	NoSegment Segment = iota
	Ordinary          // a home line, or a phone with an address of its own
	NAT               // one address for many: a carrier, a university, a stadium
	Office            // one address, and agents that are all alike
	Relay             // a privacy relay
	VPN               // a VPN
	Flash             // came with a crowd when a link went round
	NumSegments
)

var segmentNames = [NumSegments]string{"", "ordinary", "nat", "office", "relay", "vpn", "flash"}

// String returns the segment's name.
func (s Segment) String() string { return name(segmentNames[:], s) }

// Family is a family of attacks.
type Family uint8

// Families. Loud ones are all about volume or say what they are; slow ones hide in
// the noise. Clicks of no attack have NoFamily.
const (
	NoFamily    Family = iota
	Flood              // few addresses click as fast as they can
	Replay             // a few tokens, sent again and again
	Rotation           // few addresses, another agent for every click
	Spoof              // few addresses that write others into X-Forwarded-For
	DeclaredBot        // a crawler that says so, on paid links
	MaskedBot          // a crawler with a browser's agent
	Injection          // an app that clicks by itself the moment an ad is shown
	Drip               // a botnet of homes, a few clicks each, a quarter of an hour apart
	Farm               // people with racks of phones
	Residential        // another home's address for every click
	Collusion          // one pool of machines that clicks on several publishers' pages
	Poisoning          // a rate that grows so slowly that it becomes normal
	Skew               // a sender that spreads a flood by wrong times
	NumFamilies
)

var familyNames = [NumFamilies]string{
	"", "flood", "replay", "agent-rotation", "spoofed-ip", "declared-crawler", "masked-crawler", "click-injection",
	"drip", "click-farm", "residential-rotation", "publisher-collusion", "baseline-poisoning", "clock-skew",
}

// String returns the family's name, which commands use.
func (f Family) String() string { return name(familyNames[:], f) }

// Loud reports whether the family is one of the loud ones.
func (f Family) Loud() bool { return f >= Flood && f <= Injection }

// Families returns all families in their order.
func Families() []Family {
	all := make([]Family, 0, NumFamilies-1)
	for f := Flood; f < NumFamilies; f++ {
		all = append(all, f)
	}
	return all
}

// ParseFamilies reads names with commas between them; "all", "loud" and "slow" stand
// for several. The result is in order and holds each once.
func ParseFamilies(text string) ([]Family, error) {
	var out []Family
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		n := len(out)
		for _, f := range Families() {
			if part == "all" || part == "loud" && f.Loud() || part == "slow" && !f.Loud() || part == f.String() {
				out = append(out, f)
			}
		}
		if len(out) == n {
			return nil, fmt.Errorf("family %q is unknown; use %s, or loud, slow, all", part, strings.Join(familyNames[1:], ", "))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

func name[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return "unknown"
}

// Click is one request that asks for a click to be counted, and the truth about it.
type Click struct {
	At    time.Duration // arrival, since the start
	Event time.Duration // what the sender says when it was; differs from At for Batch only
	Shown time.Duration // when the ad was shown; may be before the start

	Actor     uint64 // one value per person, or per machine of an attack
	IP        netip.Addr
	Forwarded string // what the client itself wrote into X-Forwarded-For; mostly empty
	Agent     string
	Language  string // Accept-Language; many programs send none
	Referer   string

	Advertiser, Campaign, Publisher, Placement string
	PriceMicros                                int64 // of the click, in millionths of Currency

	// Opportunity numbers the shown ad, and so the token: double clicks, prefetches and
	// replays share one, all others have their own.
	Opportunity uint64

	Prefetch bool // with the header of a prefetch
	Head     bool // HEAD instead of GET
	Batch    bool // sent by a server with its own times, not by a browser

	Label   Label
	Segment Segment
	Family  Family
}

// Currency is that of all prices.
const Currency = "USD"
