package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

// File is the control file's content. Unknown keys are errors.
type File struct {
	Tenants []TenantEntry `yaml:"tenants"`
}

// TenantEntry describes a tenant.
type TenantEntry struct {
	ID           string          `yaml:"id"`
	LandingHosts []string        `yaml:"landing_hosts"`
	TokenKeys    []TokenKeyEntry `yaml:"token_keys"`
	Sources      []SourceEntry   `yaml:"sources"`
	Campaigns    []CampaignEntry `yaml:"campaigns"`
	// Lists name agents and addresses that are accepted or invalid, whatever other lists say.
	Lists *click.OwnLists `yaml:"lists"`
	// Policy holds thresholds of scoring.policy that are others for this tenant.
	Policy *click.SourcePolicy `yaml:"policy"`
}

// TokenKeyEntry is a token key: 32 bytes in base64, or the path of a file that
// holds them.
type TokenKeyEntry struct {
	ID      uint32    `yaml:"id"`
	Key     string    `yaml:"key"`
	KeyFile string    `yaml:"key_file"`
	Retired time.Time `yaml:"retired"`
}

// SourceEntry describes a source.
type SourceEntry struct {
	ID       string        `yaml:"id"`
	PublicID string        `yaml:"public_id"`
	Grace    time.Duration `yaml:"grace"`
	Backfill bool          `yaml:"backfill"`
	APIKeys  []APIKeyEntry `yaml:"api_keys"`
	Log      *LogEntry     `yaml:"log"` // sources that send logs
	// Policy holds thresholds of scoring.policy that are others for this source. They win
	// over the tenant's.
	Policy *click.SourcePolicy `yaml:"policy"`
}

// APIKeyEntry names an API key by its SHA-256, so that the file holds no secret.
type APIKeyEntry struct {
	SHA256 string `yaml:"sha256"`
	Test   bool   `yaml:"test"`
}

// CampaignEntry describes a campaign and its rate card.
type CampaignEntry struct {
	ID           string      `yaml:"id"`
	AdvertiserID string      `yaml:"advertiser_id"`
	Test         bool        `yaml:"test"`
	Rates        []RateEntry `yaml:"rates"`
	// Policy holds thresholds of scoring.policy that are others for this campaign, at
	// whatever source. They win over the source's and the tenant's.
	Policy *click.SourcePolicy `yaml:"policy"`
}

// RateEntry is one effective-dated price.
type RateEntry struct {
	Version     string    `yaml:"version"`
	From        time.Time `yaml:"from"`
	PriceMicros int64     `yaml:"price_micros"`
	Currency    string    `yaml:"currency"`
	Pricing     string    `yaml:"pricing"`
}

// EdgeSource is the id of the source that /c and /b clicks with a token belong
// to; every tenant has it.
const EdgeSource = "edge"

// DefaultGrace is how long an hour waits for a direct source.
const DefaultGrace = 15 * time.Minute

// Load reads a control file.
func Load(path string) (*Snapshot, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("control.file: %w; name an existing control file", err)
	}
	s, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("control file %s: %w", path, err)
	}
	return s, nil
}

// Parse reads a control file's content.
func Parse(b []byte) (*Snapshot, error) {
	var f File
	if err := edge.UnmarshalYAML(b, &f); err != nil {
		return nil, err
	}
	return f.snapshot(sha256.Sum256(b))
}

func (f *File) snapshot(sum [sha256.Size]byte) (*Snapshot, error) {
	s := &Snapshot{
		Version: hex.EncodeToString(sum[:8]),
		tenants: map[string]*Tenant{},
		tokens:  map[uint32]*token.Key{},
		keys:    map[[sha256.Size]byte]*APIKey{},
		public:  map[string]*Source{},
	}
	if len(f.Tenants) == 0 {
		return nil, errors.New("tenants: is empty; describe at least one tenant")
	}
	for i := range f.Tenants {
		if err := s.addTenant(&f.Tenants[i]); err != nil {
			return nil, fmt.Errorf("tenants[%d] (%q): %w", i, f.Tenants[i].ID, err)
		}
	}
	return s, nil
}

func (s *Snapshot) addTenant(e *TenantEntry) error {
	if err := checkID("id", e.ID); err != nil {
		return err
	}
	if s.tenants[e.ID] != nil {
		return errors.New("id: appears twice; tenant ids are unique")
	}
	landing, err := edge.NewAllowList(e.LandingHosts)
	if err != nil {
		return fmt.Errorf("landing_hosts: %w", err)
	}
	t := &Tenant{ID: e.ID, Landing: landing, Lists: e.Lists, campaigns: map[string]*Campaign{}}
	if e.Lists != nil {
		if err := e.Lists.Validate(); err != nil {
			return fmt.Errorf("lists.%w", err)
		}
	}
	for i := range e.TokenKeys {
		if err := s.addTokenKey(t, &e.TokenKeys[i]); err != nil {
			return fmt.Errorf("token_keys[%d]: %w", i, err)
		}
	}
	slices.SortStableFunc(t.tokenKeys, func(a, b *token.Key) int { return a.Retired.Compare(b.Retired) })
	if err := s.addSources(t, e.Sources); err != nil {
		return err
	}
	for i := range e.Campaigns {
		if err := t.addCampaign(&e.Campaigns[i]); err != nil {
			return fmt.Errorf("campaigns[%d] (%q): %w", i, e.Campaigns[i].ID, err)
		}
	}
	if err := t.addPolicies(e); err != nil {
		return err
	}
	s.tenants[t.ID] = t
	return nil
}

// addPolicies gives every source what holds for its clicks.
func (t *Tenant) addPolicies(e *TenantEntry) error {
	if e.Policy != nil {
		if err := e.Policy.Validate(); err != nil {
			return fmt.Errorf("policy.%w", err)
		}
	}
	campaigns := map[string]*click.SourcePolicy{}
	for i := range e.Campaigns {
		c := &e.Campaigns[i]
		if c.Policy == nil {
			continue
		}
		if err := c.Policy.ValidateCampaign(); err != nil {
			return fmt.Errorf("campaigns[%d] (%q): policy.%w", i, c.ID, err)
		}
		campaigns[c.ID] = c.Policy
	}
	for _, source := range t.sources {
		source.Policies = &click.Policies{Tenant: e.Policy, Campaigns: campaigns}
		if own := e.Source(source.ID); own != nil {
			source.Policies.Source = own.Policy
		}
		if e.Policy == nil && source.Policies.Source == nil && len(campaigns) == 0 {
			source.Policies = nil
		}
	}
	return nil
}

func (s *Snapshot) addTokenKey(t *Tenant, e *TokenKeyEntry) error {
	text := e.Key
	if e.KeyFile != "" {
		b, err := os.ReadFile(e.KeyFile)
		if err != nil {
			return fmt.Errorf("key_file: %w", err)
		}
		text = string(b)
	}
	secret, err := base64.StdEncoding.DecodeString(trimSpace(text))
	if err != nil {
		return fmt.Errorf("key: is not base64; write 32 random bytes, for example the output of `openssl rand -base64 32`")
	}
	k, err := token.NewKey(e.ID, t.ID, secret, e.Retired)
	if err != nil {
		return err
	}
	if e.ID == 0 || s.tokens[e.ID] != nil {
		return fmt.Errorf("id: %d is 0 or taken; token key ids are unique over all tenants", e.ID)
	}
	s.tokens[e.ID] = k
	t.tokenKeys = append(t.tokenKeys, k)
	return nil
}

func (s *Snapshot) addSources(t *Tenant, entries []SourceEntry) error {
	t.Edge = &Source{ID: EdgeSource, Tenant: t, Grace: DefaultGrace}
	t.sources = []*Source{t.Edge}
	seen := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		if err := checkID("id", e.ID); err != nil {
			return fmt.Errorf("sources[%d]: %w", i, err)
		}
		if seen[e.ID] {
			return fmt.Errorf("sources[%d]: id %q appears twice; source ids are unique per tenant", i, e.ID)
		}
		seen[e.ID] = true
		src := t.source(e)
		if err := s.addSource(src, e); err != nil {
			return fmt.Errorf("sources[%d] (%q): %w", i, e.ID, err)
		}
	}
	return nil
}

// source makes the source of an entry; an entry with the edge source's id sets
// that one.
func (t *Tenant) source(e *SourceEntry) *Source {
	src := t.Edge
	if e.ID != EdgeSource {
		src = &Source{ID: e.ID, Tenant: t}
		t.sources = append(t.sources, src)
	}
	src.PublicID, src.Backfill, src.Grace = e.PublicID, e.Backfill, cmp.Or(e.Grace, DefaultGrace)
	return src
}

func (s *Snapshot) addSource(src *Source, e *SourceEntry) error {
	if e.Grace < 0 || e.Grace > 48*time.Hour {
		return fmt.Errorf("grace: %s is out of range; use 0 to 48h", e.Grace)
	}
	if e.PublicID != "" {
		if s.public[e.PublicID] != nil {
			return fmt.Errorf("public_id: %q is taken; public ids are unique over all tenants", e.PublicID)
		}
		s.public[e.PublicID] = src
	}
	if e.Log != nil {
		var err error
		if src.Log, err = e.Log.log(); err != nil {
			return fmt.Errorf("log.%w", err)
		}
	}
	if e.Policy != nil {
		if err := e.Policy.Validate(); err != nil {
			return fmt.Errorf("policy.%w", err)
		}
	}
	for i, k := range e.APIKeys {
		sum, err := hex.DecodeString(k.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("api_keys[%d].sha256: is not 64 hex digits; use `printf %%s KEY | sha256sum`", i)
		}
		hash := [sha256.Size]byte(sum)
		if s.keys[hash] != nil {
			return fmt.Errorf("api_keys[%d].sha256: is taken; every key belongs to one source", i)
		}
		s.keys[hash] = &APIKey{Source: src, Test: k.Test}
	}
	return nil
}

func (t *Tenant) addCampaign(e *CampaignEntry) error {
	if err := checkID("id", e.ID); err != nil {
		return err
	}
	if err := checkID("advertiser_id", e.AdvertiserID); err != nil {
		return err
	}
	if t.campaigns[e.ID] != nil {
		return errors.New("id: appears twice; campaign ids are unique per tenant")
	}
	c := &Campaign{ID: e.ID, AdvertiserID: e.AdvertiserID, Test: e.Test}
	for i := range e.Rates {
		r, err := e.Rates[i].rate()
		if err != nil {
			return fmt.Errorf("rates[%d]: %w", i, err)
		}
		c.rates = append(c.rates, r)
	}
	slices.SortFunc(c.rates, func(a, b Rate) int { return cmp.Compare(b.From, a.From) })
	for i := 1; i < len(c.rates); i++ {
		if c.rates[i].From == c.rates[i-1].From {
			return fmt.Errorf("rates: versions %q and %q start at the same time; give each its own", c.rates[i].Version, c.rates[i-1].Version)
		}
	}
	t.campaigns[e.ID] = c
	return nil
}

func (e *RateEntry) rate() (Rate, error) {
	pricing, ok := click.ParsePricing(cmp.Or(e.Pricing, "cpc"))
	switch {
	case e.Version == "":
		return Rate{}, errors.New("version: is empty; it is stored with every click it prices")
	case e.From.IsZero():
		return Rate{}, errors.New("from: is missing; write the time the price starts, as 2026-01-01T00:00:00Z")
	case e.PriceMicros < 0:
		return Rate{}, fmt.Errorf("price_micros: %d is negative", e.PriceMicros)
	case e.PriceMicros > click.MaxPriceMicros:
		return Rate{}, fmt.Errorf("price_micros: %d is above %d, one million units; a click cannot cost that much",
			e.PriceMicros, int64(click.MaxPriceMicros))
	case !ok:
		return Rate{}, fmt.Errorf("pricing: %q is unknown; use cpc, cpm, cpa or flat", e.Pricing)
	}
	if err := edge.CheckCurrency("currency", e.Currency); err != nil {
		return Rate{}, err
	}
	return Rate{e.Version, e.From.UnixMicro(), e.PriceMicros, e.Currency, pricing}, nil
}

// checkID returns a plain nil: a nil *edge.Error in an error would not be nil.
func checkID(field, id string) error {
	if err := edge.CheckID(field, id); err != nil {
		return err
	}
	return nil
}

// trimSpace takes off the line end that editors put behind a key.
func trimSpace(s string) string { return strings.TrimRight(s, "\r\n ") }

// bytesOf views s as bytes that nobody writes to.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
