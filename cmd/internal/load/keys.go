package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"clickgate/cmd/internal/demo"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/token"
)

// Sender is what a generator has to know of a control file to send clicks that a
// gateway takes.
type Sender struct {
	Tenant     string
	Key        *token.Key // a live one
	Campaign   string     // priced by its rate card
	Advertiser string
	Landing    string // that tokens and click URLs lead to

	PublicID string // of a source, for organic clicks; empty for none

	APIKey        string // for batches; empty for none
	BatchCampaign string // of the API key's tenant
}

// NewSender finds a sender in a control file: the first tenant with a live token
// key and a paid campaign, as `clickgate token mint` does, or the tenant named.
func NewSender(path, tenant string, now time.Time) (*Sender, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("control.file: %w; `clickgate standalone` creates one in its data folder", err)
	}
	file, snapshot, err := control.ParseFile(content)
	if err != nil {
		return nil, err
	}
	for _, t := range snapshot.Tenants() {
		key, campaign := liveKey(t), paidCampaign(t, now)
		if tenant != "" && t.ID != tenant || key == nil || campaign == nil {
			continue
		}
		s := &Sender{Tenant: t.ID, Key: key, Campaign: campaign.ID, Advertiser: campaign.AdvertiserID}
		for _, source := range t.Sources() {
			if s.PublicID == "" {
				s.PublicID = source.PublicID
			}
		}
		return s, s.land(file)
	}
	if tenant != "" {
		return nil, fmt.Errorf("control.file: tenant %s is not there, or has no live token key and paid campaign; name another with --tenant", tenant)
	}
	return nil, errors.New("control.file: no tenant has a live token key and a paid campaign; add them there")
}

// land takes the root page of the tenant's first landing host.
func (s *Sender) land(file *control.File) error {
	hosts := file.Tenant(s.Tenant).LandingHosts
	if len(hosts) == 0 {
		return fmt.Errorf("control.file: tenant %s has no landing_hosts; add one", s.Tenant)
	}
	s.Landing = hosts[0] + "/"
	if !strings.Contains(hosts[0], "://") {
		s.Landing = "https://" + s.Landing
	}
	return nil
}

// ReadAPIKey takes the API key for batches from a file; with an empty name from
// the demo's, beside the control file, if it is there.
func (s *Sender) ReadAPIKey(name, controlPath string, now time.Time) error {
	wanted := name != ""
	if !wanted {
		name = filepath.Join(filepath.Dir(controlPath), demo.KeyName)
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) && !wanted {
		return nil
	}
	if err != nil {
		return fmt.Errorf("api key: %w", err)
	}
	snapshot, err := control.Load(controlPath)
	if err != nil {
		return err
	}
	secret := strings.TrimSpace(string(text))
	key := snapshot.APIKey(secret)
	if key == nil {
		return fmt.Errorf("api key: %s: the control file does not know this key; name the file of another with --api-key-file", name)
	}
	s.APIKey = secret
	if c := paidCampaign(key.Source.Tenant, now); c != nil {
		s.BatchCampaign = c.ID
	}
	return nil
}

// serves reports what the sender lacks for a mix.
func (s *Sender) serves(m *Mix) error {
	switch {
	case s.Key == nil && m[Paid]+m[Reused] > 0:
		return errors.New("mix: paid and reused clicks need a token key; see --data and --control")
	case s.PublicID == "" && m[Organic] > 0:
		return fmt.Errorf("mix: organic clicks need a source with a public_id; tenant %s has none in the control file", s.Tenant)
	case s.APIKey == "" && m[Batch] > 0:
		return errors.New("mix: batches need an API key; name its file with --api-key-file")
	}
	return nil
}

func liveKey(t *control.Tenant) *token.Key {
	for _, k := range t.TokenKeys() {
		if k.Retired.IsZero() {
			return k
		}
	}
	return nil
}

func paidCampaign(t *control.Tenant, now time.Time) *control.Campaign {
	for _, c := range t.Campaigns() {
		r, ok := c.RateAt(now.UnixMicro())
		if ok && !c.Test && r.PriceMicros > 0 && r.Pricing == click.PricingCPC {
			return c
		}
	}
	return nil
}
