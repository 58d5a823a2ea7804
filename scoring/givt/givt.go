package givt

import "net/netip"

// AgentClass is what an agent says it is.
type AgentClass uint8

const (
	None     AgentClass = iota // nothing on any list
	NoAgent                    // absent, empty or "-": not invalid by list, and never plain valid either
	Crawler                    // names itself a crawler, monitor, preview or other robot
	Tool                       // an HTTP library or command line client
	Headless                   // a browser run by a program
	Unlisted                   // on no list of browsers and apps, where such a list is in force (IAB include list)
	Listed                     // on the operator's or tenant's own list of invalid agents
)

func (c AgentClass) String() string {
	return [...]string{"none", "no agent", "crawler", "tool", "headless", "unlisted", "listed"}[min(c, Listed)]
}

// Reason is why a click is general invalid traffic; the empty one is that the lists do not say so.
type Reason string

const (
	VerifiedCrawler   Reason = "CRAWLER_VERIFIED"   // verified crawler: its address is in its owner's published ranges
	UnverifiedCrawler Reason = "CRAWLER_UNVERIFIED" // declared crawler, address not verified
	ToolAgent         Reason = "TOOL"
	HeadlessAgent     Reason = "HEADLESS"
	UnlistedAgent     Reason = "UNKNOWN_AGENT"
	ListedAgent       Reason = "LISTED_AGENT"   // the agent is on the operator's own list
	ListedAddress     Reason = "LISTED_ADDRESS" // the address is on a list of robots' addresses
	DataCentreAddress Reason = "DATA_CENTRE"
)

// Match is the evidence of the lists about one click.
type Match struct {
	Agent   AgentClass
	Pattern int32 // for Lists.Pattern; -1 when none matched
	InApp   bool  // Agent is Tool, of a library that apps also carry: policy may take it for an app
	Long    bool  // the agent is longer than MaxAgent and was read up to there

	DataCentre bool // the lists hold the address as a data centre's, whatever else they say
	Relay      bool // Apple private relay and its like
	VPN        bool
	Tor        bool // Tor exit
	Accepted   bool // the operator accepts the address: no address rule applies
	Robot      bool // the address is on a list of robots' addresses, which no relay suspends
	Verified   bool // Agent is Crawler, and the address is in the published ranges of an owner it names
	// Spoofed: Agent is Crawler, and every owner it names who publishes ranges has the known address in none of them.
	Spoofed bool
}

// AgentInvalid reports whether the agent alone makes the click general invalid traffic. appsAreTools decides about
// libraries that apps also carry.
func (m Match) AgentInvalid(appsAreTools bool) bool {
	return m.Agent >= Crawler && (appsAreTools || !m.InApp)
}

// AddressInvalid reports whether the address alone does: a robot's, or a data centre's unless a relay, VPN or Tor list
// suspends that rule; never one that the operator accepts.
func (m Match) AddressInvalid() bool {
	return !m.Accepted && (m.Robot || m.DataCentre && !(m.Relay || m.VPN || m.Tor))
}

// Reason is the first reason, agent before address, or "".
func (m Match) Reason(appsAreTools bool) Reason {
	switch {
	case m.AgentInvalid(appsAreTools) && m.Agent == Crawler && m.Verified:
		return VerifiedCrawler
	case m.AgentInvalid(appsAreTools) && m.Agent == Crawler:
		return UnverifiedCrawler
	case m.AgentInvalid(appsAreTools) && m.Agent == Tool:
		return ToolAgent
	case m.AgentInvalid(appsAreTools) && m.Agent == Headless:
		return HeadlessAgent
	case m.AgentInvalid(appsAreTools) && m.Agent == Unlisted:
		return UnlistedAgent
	case m.AgentInvalid(appsAreTools):
		return ListedAgent
	case m.AddressInvalid() && m.Robot:
		return ListedAddress
	case m.AddressInvalid():
		return DataCentreAddress
	}
	return ""
}

// Match looks agent and address up. The zero Addr is an unknown address; an IPv4-mapped one is read as IPv4, and a zone
// does not count. It allocates nothing and is safe for concurrent use.
func (l *Lists) Match(agent string, ip netip.Addr) Match { return l.MatchOf(l.Agent(agent), ip) }

// AgentMatch is what lists say of an agent alone, whatever its address. It holds no part of the agent, and is for the
// lists that made it.
type AgentMatch struct {
	match  Match
	owners uint16 // of all patterns it holds
}

// Agent looks an agent up, which is most of the work of Match. It allocates nothing and is safe for concurrent use.
func (l *Lists) Agent(agent string) AgentMatch {
	m := AgentMatch{match: Match{Pattern: -1}}
	if agent = trim(agent); agent == "" || agent == "-" {
		m.match.Agent = NoAgent
	} else if m.match.Pattern, m.owners = l.agents.match(agent); m.match.Pattern >= 0 {
		p := &l.agents.patterns[m.match.Pattern]
		m.match.Agent, m.match.InApp = p.Class, p.InApp
	} else if l.browsers != nil && !l.browsers.holds(agent) {
		m.match.Agent = Unlisted
	}
	m.match.Long = len(agent) > MaxAgent
	return m
}

// MatchOf is Match of an agent that was looked up in the same lists.
func (l *Lists) MatchOf(agent AgentMatch, ip netip.Addr) Match {
	m := agent.match
	if !ip.IsValid() {
		return m
	}
	f, _ := l.addresses.Lookup(ip.Unmap().WithZone(""))
	m.DataCentre, m.Relay, m.VPN = f&inDataCentre != 0, f&inRelay != 0, f&inVPN != 0
	m.Tor, m.Accepted, m.Robot = f&inTor != 0, f&isAccepted != 0, f&isRobot != 0
	if published := agent.owners & l.published; m.Agent == Crawler && published != 0 {
		m.Verified = uint16(f>>ownerShift)&published != 0
		m.Spoofed = !m.Verified
	}
	return m
}

// Pattern returns the entry that Match.Pattern names.
func (l *Lists) Pattern(i int32) (Pattern, bool) {
	if i < 0 || int(i) >= len(l.agents.patterns) {
		return Pattern{}, false
	}
	return l.agents.patterns[i], true
}
