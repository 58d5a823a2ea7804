// Package click defines the click event: its identity, its verdict and its
// binary form. It is a leaf that every stage imports, so it holds plain data and
// pure functions only.
package click

import "net/netip"

// Entry is the path by which an event came in; values are those of click.proto.
type Entry uint8

// Entries.
const (
	EntryUnspecified Entry = iota
	EntryClick             // GET /c
	EntryBeacon            // GET or POST /b
	EntryBatch             // POST /v1/clicks
	EntryLog               // a CDN or access log line
)

var entryNames = [...]string{"", "c", "b", "batch", "log"}

// String returns the short name stored in reports: c, b, batch or log.
func (e Entry) String() string {
	if int(e) < len(entryNames) {
		return entryNames[e]
	}
	return ""
}

// Pricing is the pricing model of a click; only CPC clicks cost money one by one.
type Pricing uint8

// Pricing models.
const (
	PricingNone Pricing = iota // nobody says what the click costs: not billable
	PricingCPC
	PricingCPM
	PricingCPA
	PricingFlat
)

var pricingNames = [...]string{"none", "cpc", "cpm", "cpa", "flat"}

// String returns the lower-case name of the pricing model.
func (p Pricing) String() string {
	if int(p) < len(pricingNames) {
		return pricingNames[p]
	}
	return "none"
}

// ParsePricing is the inverse of String; ok is false for an unknown name.
func ParsePricing(s string) (p Pricing, ok bool) {
	for i, n := range pricingNames {
		if n == s {
			return Pricing(i), true
		}
	}
	return PricingNone, false
}

// MaxPriceMicros is the greatest price of a click: one million units of its
// currency. A minute count adds up prices in 64 bits, and nine million clicks at
// this price still fit one; without a bound a single click could stop the books.
const MaxPriceMicros = 1_000_000_000_000

// Flags are facts about how a click arrived, a bit each.
type Flags uint32

// Flag bits. Numbers are on the wire: append only.
const (
	FlagTest           Flags = 1 << iota // sealed flag, test key or test campaign
	FlagPrefetch                         // prefetch or prerender header
	FlagHead                             // HEAD request
	FlagTokenExpired                     // token expired at event_time
	FlagAddressUnknown                   // the client address could not be told
	FlagSealedToken                      // an opened token names the opportunity
	FlagTimeFallback                     // event_time from another field than the documented one
	FlagTimeCoarse                       // event_time is precise to whole seconds only
	FlagTruncated                        // a text was cut to its documented limit
)

// IngestID marks one copy of an event: which gateway boot took it, and the
// sequence assigned at the durable write. Two copies of one event with equal
// IngestID are our own copies (spool and Kafka), not redeliveries.
type IngestID struct {
	Gateway string // "region/gateway id"
	Boot    uint64 // Unix microseconds of the boot, strictly rising per gateway
	Seq     uint64 // from 1
}

// Key is a keyed pseudonym of an address or agent.
type Key [16]byte

// Click is one click event. All times are Unix microseconds UTC.
//
// On the hot path its strings alias request and token buffers: a Click is valid
// until the handler that filled it returns, and AppendClick is the one place
// that copies it. Clicks from DecodeClick alias the decoded bytes.
type Click struct {
	TenantID   string
	SourceID   string
	EventID    ID
	IDTime     int64 // a function of EventID alone
	EventTime  int64 // sets the billing hour
	ReceivedAt int64
	Entry      Entry
	ClickID    ID // zero without a token
	Flags      Flags

	AdvertiserID string
	CampaignID   string
	AdGroupID    string
	CreativeID   string
	PublisherID  string
	PlacementID  string
	LandingHost  string // ASCII
	RefererHost  string // ASCII
	Country      string // ISO 3166-1 alpha-2

	PriceMicros int64  // integer micros of Currency
	Currency    string // ISO 4217
	Pricing     Pricing
	RateCard    string // version that set the price; empty: the token did

	IPKey       Key // IPv6 by its /64
	AgentKey    Key
	KeyEpoch    uint32
	IPPrefix    string // /24 or /48
	ASN         uint32
	AgentFamily string

	Evidence []byte // sealed; see package seal

	Verdict Verdict
	Ingest  IngestID

	// ShownAt is when the ad of ClickID was displayed, as the feed of impressions says:
	// Unix microseconds, ShownNever, or 0 where nobody asked. It stands on no wire and in
	// no row of the click: the second pass sets it.
	ShownAt int64
}

// ShownNever says that the feed of impressions is whole and does not have the click's.
const ShownNever = -1

// Reset empties c for reuse.
func (c *Click) Reset() { *c = Click{} }

// Billable reports whether the click costs money when its verdict is Valid.
func (c *Click) Billable() bool { return c.Pricing == PricingCPC && c.Currency != "" }

// ClientHints are the hints that browsers send unasked, as they came: Sec-CH-UA,
// Sec-CH-UA-Mobile and Sec-CH-UA-Platform. Only requests of visitors have them, no logs.
type ClientHints struct{ Brands, Mobile, Platform string }

// Signals are the clear facts of a request that scoring needs and storage must
// not hold. Strings alias request buffers; nothing may keep them.
type Signals struct {
	IP             netip.Addr // unmapped; invalid when unknown
	UserAgent      string
	Referer        string
	AcceptLanguage string
	Query          string
	Hints          ClientHints
	HeaderOrder    uint32 // see edge.HeaderOrder; 0 where nobody saw the request's headers
	IssuedAt       int64  // when the click's token was made out, Unix microseconds; 0 without a token

	Policies *Policies // of the click's tenant, source and campaigns; nil: that of the process
	Lists    *OwnLists // of the click's tenant; nil: none
}
