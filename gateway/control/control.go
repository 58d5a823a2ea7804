// Package control holds what operators decide and may change while clickgate
// runs: tenants, their token keys, sources and API keys, campaigns, rate cards
// and landing hosts. A Snapshot is immutable; Set swaps snapshots atomically, so
// one request sees one version from start to end.
package control

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

// Snapshot is one version of all control entries. It is safe for concurrent use.
type Snapshot struct {
	Version string // hash of the content, 16 hex digits

	tenants map[string]*Tenant
	tokens  map[uint32]*token.Key
	keys    map[[sha256.Size]byte]*APIKey
	public  map[string]*Source
}

// Tenant is one customer; nothing of one tenant is visible to another.
type Tenant struct {
	ID      string
	Landing *edge.AllowList // hosts that untokened clicks may be sent to
	// Edge is the source of /c and /b clicks whose token names the tenant.
	Edge *Source
	// Lists are its own lists of agents and addresses; nil: none.
	Lists *click.OwnLists

	campaigns map[string]*Campaign
	sources   []*Source
	tokenKeys []*token.Key
}

// Source is one sender of clicks; counts, grace and marks are per source.
type Source struct {
	ID       string
	Tenant   *Tenant
	PublicID string        // names the source in untokened click URLs; not a secret
	Grace    time.Duration // how long after the hour its clicks may still come
	Backfill bool          // accepts clicks of any age
	Log      *Log          // how its logs are read, nil when it sends none
	// Policies are how its clicks are judged otherwise than others: by what the tenant,
	// the source and the tenant's campaigns set; nil: not at all.
	Policies *click.Policies
}

// APIKey lets a sender post batches as one source.
type APIKey struct {
	Source *Source
	Test   bool // all clicks sent with it are test clicks
}

// Campaign is an advertiser's campaign and its prices over time.
type Campaign struct {
	ID           string
	AdvertiserID string
	Test         bool
	rates        []Rate // by From, newest first
}

// Rate is one effective-dated entry of a rate card.
type Rate struct {
	Version     string
	From        int64 // Unix microseconds, inclusive
	PriceMicros int64
	Currency    string
	Pricing     click.Pricing
}

// Tenant returns a tenant, nil when unknown.
func (s *Snapshot) Tenant(id string) *Tenant { return s.tenants[id] }

// Tenants returns all tenants in order of their ids.
func (s *Snapshot) Tenants() []*Tenant {
	all := make([]*Tenant, 0, len(s.tenants))
	for _, t := range s.tenants {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *Tenant) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// TokenKey implements token.Keyring.
func (s *Snapshot) TokenKey(id uint32) *token.Key { return s.tokens[id] }

// APIKey finds the key a sender presented. The look-up is by hash, so its time
// tells nothing about the stored keys.
func (s *Snapshot) APIKey(presented string) *APIKey {
	return s.keys[sha256.Sum256(bytesOf(presented))]
}

// PublicSource finds the source of an untokened click URL, nil when unknown.
func (s *Snapshot) PublicSource(id string) *Source { return s.public[id] }

// Sources returns the tenant's sources in file order, Edge first.
func (t *Tenant) Sources() []*Source { return t.sources }

// TokenKeys returns the tenant's token keys, live ones first.
func (t *Tenant) TokenKeys() []*token.Key { return t.tokenKeys }

// Campaign returns a campaign, nil when unknown.
func (t *Tenant) Campaign(id string) *Campaign { return t.campaigns[id] }

// Campaigns returns all campaigns in order of their ids.
func (t *Tenant) Campaigns() []*Campaign {
	all := make([]*Campaign, 0, len(t.campaigns))
	for _, c := range t.campaigns {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Campaign) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// RateAt returns the rate in force at t, Unix microseconds; ok is false before
// the first one.
func (c *Campaign) RateAt(t int64) (r Rate, ok bool) {
	for i := range c.rates {
		if c.rates[i].From <= t {
			return c.rates[i], true
		}
	}
	return Rate{}, false
}

// Set holds the snapshot in force.
type Set struct{ current atomic.Pointer[Snapshot] }

// NewSet returns a set that starts with s.
func NewSet(s *Snapshot) *Set {
	set := &Set{}
	set.current.Store(s)
	return set
}

// Current returns the snapshot in force.
func (s *Set) Current() *Snapshot { return s.current.Load() }

// Swap puts a new snapshot in force.
func (s *Set) Swap(next *Snapshot) { s.current.Store(next) }
