package command

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"clickgate/cmd/internal/report"
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/edge"
	"clickgate/gateway/token"
)

type tokenMintCmd struct {
	Tenant      string        `help:"Tenant; the first one with a paid campaign and a live token key when left out." placeholder:"ID"`
	Campaign    string        `help:"Campaign; the tenant's first paid one when left out." placeholder:"ID"`
	Advertiser  string        `help:"Advertiser; the campaign's when left out." placeholder:"ID"`
	Publisher   string        `help:"Publisher." placeholder:"ID"`
	Placement   string        `help:"Placement." placeholder:"TEXT"`
	AdGroup     string        `help:"Ad group." placeholder:"ID"`
	Creative    string        `help:"Creative." placeholder:"ID"`
	Landing     string        `help:"Where the click leads; the tenant's first landing host when left out." placeholder:"URL"`
	Price       string        `help:"Price in units of the currency, such as 0.25; the rate card's when left out." placeholder:"N" xor:"price"`
	PriceMicros *int64        `help:"Price in millionths of the currency's unit." placeholder:"N" xor:"price"`
	Currency    string        `help:"ISO 4217 currency of the price; the rate card's when left out." placeholder:"EUR"`
	Pricing     string        `help:"Pricing model of the price: ${enum}." enum:"cpc,cpm,cpa,flat" default:"cpc"`
	TTL         time.Duration `help:"How long the token bills." default:"24h" name:"ttl"`
	Test        bool          `help:"Clicks of the token are test clicks."`
	ClickID     string        `help:"UUID or ULID of the ad opportunity; a new UUIDv7 when left out." placeholder:"ID"`
	JSON        bool          `help:"Write the token and its fields as JSON."`
}

func (c *tokenMintCmd) Run(s *session) error {
	file, snapshot, err := s.control()
	if err != nil {
		return err
	}
	tenant, err := c.pickTenant(snapshot, s.Now())
	if err != nil {
		return err
	}
	t, err := c.token(s, tenant)
	if err != nil {
		return err
	}
	if t.LandingURL == "" {
		if t.LandingURL, err = firstLanding(file, tenant.ID); err != nil {
			return err
		}
	}
	if _, _, bad := tenant.Landing.Check(t.LandingURL); bad != nil && c.Landing == "" {
		return fmt.Errorf("token mint: landing_hosts of tenant %s: %w; correct the control file or name --landing", tenant.ID, bad)
	}
	text, err := liveKey(tenant).Seal(t, s.Entropy)
	if err != nil {
		return usage(fmt.Errorf("token mint: %w", err))
	}
	if c.JSON {
		return report.WriteJSON(s.Stdout, struct {
			Token  string      `json:"token"`
			Fields tokenFields `json:"fields"`
		}{text, fieldsOf(t, s.Now())})
	}
	_, err = fmt.Fprintln(s.Stdout, text)
	return err
}

// pickTenant returns the tenant named, or the first that can mint a paid click.
func (c *tokenMintCmd) pickTenant(snapshot *control.Snapshot, now time.Time) (*control.Tenant, error) {
	if c.Tenant != "" {
		t := snapshot.Tenant(c.Tenant)
		switch {
		case t == nil:
			return nil, usage(fmt.Errorf("token mint: --tenant %s: is not in the control file; add it there or name another", c.Tenant))
		case liveKey(t) == nil:
			return nil, fmt.Errorf("token mint: tenant %s: has no live token key; add one under token_keys in the control file", c.Tenant)
		}
		return t, nil
	}
	for _, t := range snapshot.Tenants() {
		if liveKey(t) != nil && (c.Campaign != "" && t.Campaign(c.Campaign) != nil || c.Campaign == "" && paidCampaign(t, now) != nil) {
			return t, nil
		}
	}
	return nil, errors.New("token mint: no tenant in the control file has a live token key and such a campaign; name --tenant, or add them there")
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

func (c *tokenMintCmd) token(s *session, tenant *control.Tenant) (*token.Token, error) {
	now := s.Now()
	campaign := paidCampaign(tenant, now)
	if c.Campaign != "" {
		campaign = tenant.Campaign(c.Campaign)
	}
	if campaign == nil {
		return nil, usage(fmt.Errorf("token mint: tenant %s has no campaign %s; add it to the control file or name another", tenant.ID, cmp.Or(c.Campaign, "with a price")))
	}
	if c.TTL <= 0 {
		return nil, usage(fmt.Errorf("token mint: --ttl %s: is not positive; write for example 24h", c.TTL))
	}
	t := &token.Token{
		TenantID: tenant.ID, CampaignID: campaign.ID, AdvertiserID: cmp.Or(c.Advertiser, campaign.AdvertiserID),
		AdGroupID: c.AdGroup, CreativeID: c.Creative, PublisherID: c.Publisher, PlacementID: c.Placement,
		LandingURL: c.Landing, Test: c.Test,
		IssuedAt: now.UnixMicro(), ExpiresAt: now.Add(c.TTL).UnixMicro(),
	}
	if err := c.checkIDs(t); err != nil {
		return nil, err
	}
	if err := c.setClickID(s, t); err != nil {
		return nil, err
	}
	return t, c.setPrice(t, campaign)
}

func (c *tokenMintCmd) checkIDs(t *token.Token) error {
	for _, x := range [...]struct{ flag, id string }{
		{"--advertiser", t.AdvertiserID}, {"--ad-group", t.AdGroupID}, {"--creative", t.CreativeID}, {"--publisher", t.PublisherID},
	} {
		if x.id == "" {
			continue
		}
		if bad := edge.CheckID(x.flag, x.id); bad != nil {
			return usage(fmt.Errorf("token mint: %w", bad))
		}
	}
	return nil
}

func (c *tokenMintCmd) setClickID(s *session, t *token.Token) (err error) {
	if c.ClickID != "" {
		if t.ClickID, err = click.ParseID(c.ClickID); err != nil {
			return usage(fmt.Errorf("token mint: --click-id: %w", err))
		}
		return nil
	}
	ids, err := click.NewIDSource(s.Entropy)
	if err != nil {
		return err
	}
	t.ClickID = ids.New(t.IssuedAt)
	return nil
}

// setPrice seals a price only when one is named: otherwise the rate card in
// force at the click's time prices it.
func (c *tokenMintCmd) setPrice(t *token.Token, campaign *control.Campaign) error {
	switch {
	case c.Price != "":
		micros, err := report.ParsePrice(c.Price)
		if err != nil {
			return usage(fmt.Errorf("token mint: --price %q: %w", c.Price, err))
		}
		t.PriceMicros = micros
	case c.PriceMicros != nil && *c.PriceMicros < 0:
		return usage(fmt.Errorf("token mint: --price-micros %d: is negative; write a whole number from 0", *c.PriceMicros))
	case c.PriceMicros != nil:
		t.PriceMicros = *c.PriceMicros
	case c.Currency != "":
		return usage(errors.New("token mint: --currency: means nothing without a price; add --price"))
	default:
		return nil
	}
	rate, _ := campaign.RateAt(t.IssuedAt)
	t.Currency = cmp.Or(c.Currency, rate.Currency)
	if bad := edge.CheckCurrency("--currency", t.Currency); bad != nil {
		return usage(fmt.Errorf("token mint: %w; name it with --currency", bad))
	}
	t.Pricing, _ = click.ParsePricing(c.Pricing) // one of the enum
	return nil
}

// firstLanding is the root page of the tenant's first landing host.
func firstLanding(file *control.File, tenant string) (string, error) {
	for _, t := range file.Tenants {
		if t.ID == tenant && len(t.LandingHosts) > 0 {
			host := t.LandingHosts[0]
			if !strings.Contains(host, "://") {
				host = "https://" + host
			}
			return host + "/", nil
		}
	}
	return "", usage(fmt.Errorf("token mint: tenant %s has no landing_hosts; name --landing", tenant))
}
