package gateway

import (
	"clickgate/gateway/click"
	"clickgate/gateway/control"
	"clickgate/gateway/durable"
	"clickgate/gateway/edge"
	"clickgate/gateway/seal"
	"clickgate/gateway/stream"
)

// complete fills in what the tenant's control entries say of the click:
// advertiser, test campaign and price. trusted says that the campaign was named
// by an opened token or an authenticated sender; only then may a rate card price
// the click, because anybody can write a campaign into a URL.
func (e *event) complete(trusted bool) {
	c := &e.click
	campaign := e.source.Tenant.Campaign(c.CampaignID)
	if campaign != nil {
		if c.AdvertiserID == "" {
			c.AdvertiserID = campaign.AdvertiserID
		}
		if campaign.Test {
			c.Flags |= click.FlagTest
		}
	}
	if !trusted {
		campaign = nil
	}
	e.price(campaign)
}

// price sets the token's price, else the campaign's rate at event time. With
// neither the click is not billable.
func (e *event) price(campaign *control.Campaign) {
	c, t := &e.click, &e.token
	if e.verified && t.Pricing != click.PricingNone && t.Currency != "" {
		c.PriceMicros, c.Currency, c.Pricing = t.PriceMicros, t.Currency, t.Pricing
		return
	}
	if campaign != nil {
		if rate, ok := campaign.RateAt(c.EventTime); ok {
			c.PriceMicros, c.Currency, c.Pricing, c.RateCard = rate.PriceMicros, rate.Currency, rate.Pricing, rate.Version
		}
	}
	if c.Pricing == click.PricingNone {
		c.Verdict.Reasons = c.Verdict.Reasons.Set(click.ReasonNoPrice)
	}
}

// finish turns a filled event into pseudonyms, a provisional verdict and a
// record, and gives it to the log. It returns an error when nothing was given,
// which only a failure of the entropy source can cause.
func (s *Server) finish(e *event, o *outcome) error {
	c, sig := &e.click, &e.signals
	c.KeyEpoch = seal.Epoch(c.EventTime)
	evidence := click.Evidence{
		UserAgent: sig.UserAgent, Referer: sig.Referer, Query: sig.Query, AcceptLanguage: sig.AcceptLanguage,
	}
	if sig.IP.IsValid() {
		c.IPKey = s.dep.Pseudonyms.Address(c.TenantID, c.KeyEpoch, sig.IP)
		e.address = sig.IP.AppendTo(e.address[:0])
		n := len(e.address)
		e.address = seal.Prefix(sig.IP).AppendTo(e.address)
		evidence.IP, c.IPPrefix = view(e.address[:n]), view(e.address[n:])
	} else {
		c.Flags |= click.FlagAddressUnknown
	}
	if sig.UserAgent != "" {
		c.AgentKey = s.dep.Pseudonyms.Agent(c.TenantID, c.KeyEpoch, sig.UserAgent)
	}
	if sig.Referer != "" {
		c.RefererHost, _ = edge.HostOf(sig.Referer) // a referer without one is still a referer
	}
	s.dep.Scorer.Score(c, sig)

	e.plain = click.AppendEvidence(e.plain[:0], &evidence)
	var err error
	if e.sealed, err = s.dep.Sealer.Seal(e.sealed[:0], c.TenantID, c.EventID, c.ReceivedAt, e.plain); err != nil {
		return err
	}
	c.Evidence = e.sealed
	// The one place where bytes of the request are copied.
	e.value = click.AppendClick(e.value[:0], c)
	e.record = durable.Record{
		Kind: stream.KindClick, TenantID: c.TenantID, SourceID: c.SourceID, ID: c.EventID,
		EventTime: c.EventTime, ReceivedAt: c.ReceivedAt, Value: e.value,
	}
	o.record(&e.record)
	return nil
}

// maxRaw bounds the raw bytes of one dead letter, so that with its seal it fits
// every record limit on its way (1,000,000 bytes in Kafka's client). Longer ones
// are cut, and the letter's message says so.
const maxRaw = 960 << 10

// bury makes a dead letter of what source sent: raw bytes as they came, sealed.
func (s *Server) bury(e *event, o *outcome, f *fault, raw []byte) error {
	c := &e.click
	id := s.ids.New(c.ReceivedAt)
	message := f.Message
	if len(raw) > maxRaw {
		raw, message = raw[:maxRaw], message+"; the raw bytes kept here are cut"
	}
	var err error
	if e.sealed, err = s.dep.Sealer.Seal(e.sealed[:0], e.source.Tenant.ID, id, c.ReceivedAt, raw); err != nil {
		return err
	}
	e.value = click.AppendDeadLetter(e.value[:0], &click.DeadLetter{
		TenantID: e.source.Tenant.ID, SourceID: e.source.ID, Entry: c.Entry, ReceivedAt: c.ReceivedAt,
		Code: f.Code, Field: f.Field, Message: message, Raw: e.sealed, LetterID: id,
	})
	e.record = durable.Record{
		Kind: stream.KindDeadLetter, TenantID: e.source.Tenant.ID, SourceID: e.source.ID, ID: id,
		EventTime: c.ReceivedAt, ReceivedAt: c.ReceivedAt, Value: e.value,
	}
	o.record(&e.record)
	s.metrics.malformed.WithLabelValues(f.Code).Inc()
	return nil
}
