package givt

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/gaissmai/bart"
)

// Kind says how a list is read and what membership means.
type Kind uint8

const (
	KindCrawlers         Kind = iota + 1 // JSON of crawler-user-agents
	KindAgents                           // lines: class, owner or -, pattern, reason, set apart by tabs
	KindDrops                            // lines: a pattern of a KindCrawlers list that shall not count, reason
	KindHandsets                         // lines: a phrase inside which no pattern counts (the exclude list)
	KindDataCentres                      // lines: prefix or address
	KindDataCentreRanges                 // lines: first address, last address, anything
	KindRelays                           // lines: prefix or address, as all below
	KindVPNs
	KindTorExits
	KindCrawlerRanges // published by Source.Owner
	KindAccepted      // the operator's own: no address rule applies
	KindRobots        // addresses of robots: invalid, whatever else the lists say
	// The three files of the IAB/ABC International Spiders and Bots List, which is licensed and not shipped.
	KindIABInclude   // agents of browsers and apps: pattern|active|start of string|inactive date
	KindIABExclude   // agents of robots: pattern|active|exceptions|-|impact|start of string|inactive date
	KindIABAddresses // prefixes and addresses of robots
	numKinds
)

var kindNames = [numKinds]string{"", "crawlers", "agents", "drops", "handsets", "data_centres", "data_centre_ranges",
	"relays", "vpns", "tor_exits", "crawler_ranges", "accepted", "robots", "iab_include", "iab_exclude", "iab_addresses"}

// String returns the name that a folder's lists.yaml and commands use.
func (k Kind) String() string {
	if k == 0 || k >= numKinds {
		return "unknown"
	}
	return kindNames[k]
}

// ParseKind is the inverse of String. The error names all kinds.
func ParseKind(name string) (Kind, error) {
	if i := slices.Index(kindNames[1:], name); i >= 0 {
		return Kind(i + 1), nil
	}
	return 0, fmt.Errorf("kind %q is none of %s", name, strings.Join(kindNames[1:], ", "))
}

var addressFlags = map[Kind]flags{KindDataCentres: inDataCentre, KindDataCentreRanges: inDataCentre,
	KindRelays: inRelay, KindVPNs: inVPN, KindTorExits: inTor, KindAccepted: isAccepted, KindRobots: isRobot,
	KindIABAddresses: isRobot}

// Source is one list as it is loaded.
type Source struct {
	Name    string // unique among the sources of a Load; errors name it
	Kind    Kind
	Owner   string // KindCrawlerRanges: whose, as KindAgents lists name it
	Version string
	Licence string // SPDX identifier
	Origin  string // where it comes from
	Data    []byte // unpacked
}

// Info describes a loaded list.
type Info struct {
	Name, Version, Licence string
	Kind                   Kind
	Hash                   uint64 // first 8 bytes, big endian, of the sha256 of its content
	Entries                int    // lines or objects, for ranges the prefixes they make
}

// Lists is a set of lists ready for Match. Immutable, safe for concurrent use.
type Lists struct {
	agents    *agents
	browsers  *agents // include lists; nil where none is in force
	published uint16  // owners whose ranges are loaded
	addresses *bart.Table[flags]
	info      []Info
	hash      uint64
}

// Hash covers name, kind, owner and content of every list, in order: equal hashes decide alike.
func (l *Lists) Hash() uint64 { return l.hash }

// Info returns a copy of the lists' descriptions, in the order they were loaded.
func (l *Lists) Info() []Info { return slices.Clone(l.info) }

// Load compiles the sources. Where two patterns match one agent, that of the earlier source is reported, so an
// operator's lists go before Builtin's. Errors name list and line.
func Load(sources []Source) (*Lists, error) {
	b := builder{names: map[string]bool{}}
	sum := sha256.New()
	l := &Lists{}
	for _, s := range sources {
		n, err := b.add(s)
		if err != nil {
			return nil, err
		}
		content := sha256.Sum256(s.Data)
		l.info = append(l.info, Info{Name: s.Name, Version: s.Version, Licence: s.Licence, Kind: s.Kind,
			Hash: binary.BigEndian.Uint64(content[:]), Entries: n})
		fmt.Fprintf(sum, "%q %d %q %x\n", s.Name, s.Kind, s.Owner, content)
	}
	l.hash = binary.BigEndian.Uint64(sum.Sum(nil))
	var err error
	if l.agents, err = newAgents(b.kept(), slices.Compact(slices.Sorted(slices.Values(b.phrases)))); err != nil {
		return nil, err
	}
	if len(b.browsers) > 0 {
		if l.browsers, err = newAgents(b.browsers, nil); err != nil {
			return nil, err
		}
	}
	l.addresses, l.published = newAddresses(b.entries), b.published
	return l, nil
}

// builder gathers what the sources say.
type builder struct {
	names    map[string]bool
	owners   ownerBits
	patterns []Pattern
	upstream []bool // by pattern: a KindDrops list may take it out
	browsers []Pattern
	drops    []string
	phrases  []string
	entries  []flagged

	published uint16
}

func (b *builder) add(s Source) (entries int, err error) {
	if s.Name == "" || b.names[s.Name] {
		return 0, fmt.Errorf("givt: list %q: every list needs a name of its own", s.Name)
	}
	b.names[s.Name] = true
	switch s.Kind {
	case KindCrawlers, KindAgents:
		return b.addPatterns(s)
	case KindIABInclude:
		browsers, err := parseIAB(s.Name, s.Data, includeRecord)
		b.browsers = append(b.browsers, browsers...)
		return len(browsers), err
	case KindIABExclude:
		robots, err := parseIAB(s.Name, s.Data, excludeRecord)
		b.take(robots, false)
		return len(robots), err
	case KindDrops:
		drops, err := parseDrops(s.Name, s.Data)
		b.drops = append(b.drops, drops...)
		return len(drops), err
	case KindHandsets:
		phrases, err := parsePhrases(s.Name, s.Data)
		b.phrases = append(b.phrases, phrases...)
		return len(phrases), err
	}
	return b.addAddresses(s)
}

func (b *builder) addPatterns(s Source) (int, error) {
	var patterns []Pattern
	var err error
	if s.Kind == KindCrawlers {
		patterns, err = parseUpstream(s.Name, s.Data)
	} else {
		patterns, err = parseAgents(s.Name, s.Data, &b.owners)
	}
	b.take(patterns, s.Kind == KindCrawlers)
	return len(patterns), err
}

func (b *builder) take(patterns []Pattern, upstream bool) {
	b.patterns = append(b.patterns, patterns...)
	for range patterns {
		b.upstream = append(b.upstream, upstream)
	}
}

func (b *builder) addAddresses(s Source) (int, error) {
	f := addressFlags[s.Kind]
	if s.Kind == KindCrawlerRanges {
		if s.Owner == "" {
			return 0, fmt.Errorf("givt: list %s: ranges of a crawler need its owner", s.Name)
		}
		bit, err := b.owners.bit(s.Owner)
		if err != nil {
			return 0, fmt.Errorf("givt: list %s: %w", s.Name, err)
		}
		f = flags(bit) << ownerShift
		b.published |= bit
	}
	if f == 0 {
		return 0, fmt.Errorf("givt: list %s has the unknown kind %d", s.Name, s.Kind)
	}
	var list []netip.Prefix
	var err error
	switch s.Kind {
	case KindDataCentreRanges:
		list, err = parseRanges(s.Name, s.Data)
	case KindIABAddresses:
		list, err = parseIABAddresses(s.Name, s.Data)
	default:
		list, err = parsePrefixes(s.Name, s.Data)
	}
	for _, p := range list {
		b.entries = append(b.entries, flagged{p, f})
	}
	return len(list), err
}

func (b *builder) kept() []Pattern {
	var kept []Pattern
	for i, p := range b.patterns {
		if !b.upstream[i] || !slices.Contains(b.drops, p.Text) {
			kept = append(kept, p)
		}
	}
	return kept
}

// Set holds the lists in force. Safe for concurrent use.
type Set struct{ current atomic.Pointer[Lists] }

// NewSet starts with l, which must not be nil.
func NewSet(l *Lists) *Set {
	s := &Set{}
	s.current.Store(l)
	return s
}

// Lists returns those in force. A click is judged with one value throughout.
func (s *Set) Lists() *Lists { return s.current.Load() }

// Swap puts l, which must not be nil, in force and returns what was.
func (s *Set) Swap(l *Lists) *Lists { return s.current.Swap(l) }
