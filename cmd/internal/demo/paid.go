package demo

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"

	"clickgate/gateway/click"
	"clickgate/gateway/token"
	"clickgate/scoring/synth"

	"golang.org/x/sync/errgroup"
)

// tenantTraffic is the paid traffic of one tenant.
type tenantTraffic struct {
	synth.Params
	tenant, advertiser, landing string
	key                         *token.Key
	seed                        uint64
	feed                        string // its name in the tally, except for the attack
}

const priceMicros = 250_000 // 0.25 EUR

// traffics returns who clicks on paid ads.
func (c *Config) traffics() []tenantTraffic {
	p := synth.DefaultParams()
	p.Duration, p.Day, p.Opening = c.end(), c.Day, 8*time.Hour
	p.Peak, p.People = c.Peak, 8000
	p.Campaigns = []synth.Share{{ID: paidCampaign, Weight: 49}, {ID: testCampaign, Weight: 1}}
	if c.AttackFor > 0 {
		p.Families = []synth.Family{synth.Flood{
			Start: c.AttackAfter, Lasts: c.AttackFor, Addresses: c.Attackers, Rate: c.AttackRate, Campaign: paidCampaign,
		}}
	}
	all := []tenantTraffic{{p, Tenant, "acme", "https://shop.example/spring", c.TokenKey, c.Seed, paidFeedName}}
	if c.OtherKey != nil {
		p.Peak, p.People, p.Families = c.OtherPeak, 1000, nil
		p.Campaigns = []synth.Share{{ID: otherCampaign, Weight: 1}}
		all = append(all, tenantTraffic{p, OtherTenant, "bikes", "https://bikes.example/winter", c.OtherKey, c.Seed + 1, otherFeedName})
	}
	return all
}

// paidFeed clicks on a tenant's ads as browsers do, by GET /c.
type paidFeed struct {
	*Feed
	tenantTraffic
	clicks  iter.Seq[synth.Click]
	entropy *rand.ChaCha8
	ids     *click.IDSource
	dwell   *rand.Rand // how long an ad stood before the click
	recent  [1024]shown
	sent    *errgroup.Group
}

// shown is a token and the ad it was handed out with.
type shown struct {
	opportunity uint64
	token       string
}

func (f *Feed) newPaidFeed(t tenantTraffic) (*paidFeed, error) {
	entropy, err := f.entropy()
	if err != nil {
		return nil, err
	}
	ids, err := click.NewIDSource(entropy)
	return &paidFeed{
		Feed: f, tenantTraffic: t, clicks: synth.Traffic(t.seed, t.Params),
		entropy: entropy, ids: ids, dwell: rand.New(rand.NewPCG(t.seed, 0)), sent: f.senders(),
	}, err
}

func (f *paidFeed) run(ctx context.Context) error {
	for c := range f.clicks {
		at := f.clock.at(c.At)
		if !f.clock.wait(ctx, at) {
			break
		}
		text, err := f.token(&c, at)
		if err != nil {
			return err
		}
		f.sent.Go(func() error {
			f.send(ctx, &c, text)
			return nil
		})
	}
	return f.sent.Wait()
}

// token returns the token of the ad that c is a click on: for a double click the
// same as before, otherwise one issued when the ad was shown.
func (f *paidFeed) token(c *synth.Click, at time.Time) (string, error) {
	slot := &f.recent[c.Opportunity%uint64(len(f.recent))]
	if slot.opportunity == c.Opportunity {
		return slot.token, nil
	}
	issued := at.Add(-time.Second - time.Duration(f.dwell.ExpFloat64()*float64(15*time.Second))).UnixMicro()
	text, err := f.key.Seal(&token.Token{
		TenantID: f.tenant, ClickID: f.ids.New(issued),
		IssuedAt: issued, ExpiresAt: issued + token.Lifetime.Microseconds(),
		AdvertiserID: f.advertiser, CampaignID: c.Campaign, PublisherID: c.Publisher, PlacementID: c.Placement,
		LandingURL: f.landing, PriceMicros: priceMicros, Currency: "EUR", Pricing: click.PricingCPC,
	}, f.entropy)
	if err != nil {
		return "", fmt.Errorf("demo: minting a token: %w", err)
	}
	if c.Label == synth.Ordinary { // only people click twice on one ad
		*slot = shown{c.Opportunity, text}
	}
	return text, nil
}

// send clicks once: browsers do not try again.
func (f *paidFeed) send(ctx context.Context, c *synth.Click, text string) {
	header := http.Header{
		"X-Forwarded-For": {c.IP.String()},
		"User-Agent":      {c.Agent},
		"Referer":         {"https://" + c.Publisher + "/"},
	}
	if c.Language != "" {
		header.Set("Accept-Language", c.Language)
	}
	a, err := f.do(ctx, http.MethodGet, "/c?t="+text, nil, header)
	f.tally.paid(f.name(c.Label), f.tenant, c, err == nil && a.status == http.StatusFound)
}

func (f *paidFeed) name(l synth.Label) string {
	if l == synth.Attack {
		return attackFeedName
	}
	return f.feed
}
