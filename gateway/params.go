package gateway

import "clickgate/gateway/edge"

// Known parameters of click URLs, by index. All others are data that only the
// sealed evidence keeps.
const (
	paramToken = iota
	paramSource
	paramLanding
	paramCampaign
	paramAdGroup
	paramCreative
	paramPublisher
	paramPlacement
	paramAdvertiser
)

var (
	knownParams    = []string{"t", "s", "u", "cmp", "adg", "crt", "pub", "plc", "adv"}
	identityParams = knownParams[:paramSource+1]
)

// hierarchy is where an ad stands, as a URL or an item says it.
type hierarchy struct {
	advertiser, campaign, adGroup, creative, publisher, placement string
}

// params are the known parameters of a click URL; absent and empty are the same.
type params struct {
	token, source, landing string
	hierarchy
	ambiguous bool // the fault leaves open whose click it is
}

// read parses a query. With a fault that concerns another parameter than token
// and source, those two are still set, so that the tenant is known.
func (p *params) read(query []byte, q *edge.Query) *fault {
	f := q.Parse(query, knownParams)
	if f != nil {
		identity := q.Parse(query, identityParams)
		p.ambiguous = identity != nil && identity.Field != ""
	}
	p.token, _ = q.Get(paramToken)
	p.source, _ = q.Get(paramSource)
	if f != nil {
		return f
	}
	p.landing, _ = q.Get(paramLanding)
	p.campaign, _ = q.Get(paramCampaign)
	p.adGroup, _ = q.Get(paramAdGroup)
	p.creative, _ = q.Get(paramCreative)
	p.publisher, _ = q.Get(paramPublisher)
	p.placement, _ = q.Get(paramPlacement)
	p.advertiser, _ = q.Get(paramAdvertiser)
	return nil
}

// check judges the ids. What cannot be an id is a fault in an unverified click;
// in a verified one it is left out, because a token that opens is enough and a
// paid click is not lost over an ornament. The evidence keeps the query anyhow.
func (p *params) check(verified bool) *fault {
	for _, id := range [...]struct {
		name  string
		value *string
	}{
		{"cmp", &p.campaign}, {"adg", &p.adGroup}, {"crt", &p.creative}, {"pub", &p.publisher}, {"adv", &p.advertiser},
	} {
		if *id.value == "" {
			continue
		}
		if f := edge.CheckID(id.name, *id.value); f != nil {
			if !verified {
				return f
			}
			*id.value = ""
		}
	}
	f := edge.CheckText("plc", p.placement, edge.MaxIDBytes)
	if f != nil && verified {
		p.placement, f = "", nil
	}
	return f
}

// setHierarchy fills what the token leaves open, and holds the advertiser
// against the campaign's: an advertiser that anybody may write must not be
// billed for another's campaign.
func (e *event) setHierarchy(h *hierarchy) *fault {
	c, sealed := &e.click, e.click.AdvertiserID != ""
	fillIn(&c.CampaignID, h.campaign)
	fillIn(&c.AdGroupID, h.adGroup)
	fillIn(&c.CreativeID, h.creative)
	fillIn(&c.PublisherID, h.publisher)
	fillIn(&c.PlacementID, h.placement)
	fillIn(&c.AdvertiserID, h.advertiser)
	campaign := e.source.Tenant.Campaign(c.CampaignID)
	if sealed || campaign == nil || c.AdvertiserID == "" || c.AdvertiserID == campaign.AdvertiserID {
		return nil
	}
	if e.verified {
		c.AdvertiserID = campaign.AdvertiserID
		return nil
	}
	return &fault{Code: codeAdvertiser, Field: "advertiser_id", Message: "the campaign belongs to another advertiser; leave advertiser_id out or send the campaign's"}
}

func fillIn(dst *string, s string) {
	if *dst == "" {
		*dst = s
	}
}
