package gateway

import (
	"net/netip"
	"slices"
	"strings"

	"clickgate/gateway/click"
	"clickgate/gateway/edge"
	"clickgate/gateway/rawlog"
)

// fault says why input is no click: a stable code, the field and a message that
// never repeats what was sent.
type fault = edge.Error

// Codes of faults that package edge does not know.
const (
	codeClickMismatch  = "click_mismatch"
	codeAddress        = "bad_ip"
	codeAdvertiser     = "advertiser_mismatch"
	codeEmpty          = "empty_body"
	codeLandingMissing = "landing_missing"
	codeLandingOther   = "landing_mismatch"
	codeNotJSON        = "not_json"
	codeTimeMismatch   = "time_mismatch"
	codeTokenTenant    = "token_tenant"
	codeUnknownField   = "unknown_field"
)

// Codes documents the codes of malformed clicks, sorted by code.
func Codes() []edge.CodeDoc {
	docs := append(slices.Concat(edge.Codes(), rawlog.Codes()),
		edge.CodeDoc{Code: codeClickMismatch, Meaning: "an impression or conversion names one opportunity by click_id and another by its token", Remedy: "send one of the two"},
		edge.CodeDoc{Code: codeAddress, Meaning: "ip is no plain IPv4 or IPv6 address of a client", Remedy: "send it without port, brackets and zone"},
		edge.CodeDoc{Code: codeAdvertiser, Meaning: "the campaign belongs to another advertiser", Remedy: "leave the advertiser out, or send the campaign's"},
		edge.CodeDoc{Code: codeToken, Meaning: "the token does not open", Remedy: "send t exactly as it was in the click URL"},
		edge.CodeDoc{Code: codeEmpty, Meaning: "the body is empty", Remedy: "send a JSON array of items or one item per line"},
		edge.CodeDoc{Code: codeLandingMissing, Meaning: "a click URL names no landing", Remedy: "seal it into the token, or add u"},
		edge.CodeDoc{Code: codeLandingOther, Meaning: "u is not the landing that the token was made for", Remedy: "send the landing unchanged, percent-encoded once"},
		edge.CodeDoc{Code: codeNotJSON, Meaning: "no part of the body is a JSON object", Remedy: "send a JSON array of items or one item per line"},
		edge.CodeDoc{Code: codeSampled, Meaning: "a log line says that the log holds a sample only", Remedy: "set the sample rate of the log to 1; a sample cannot be billed"},
		edge.CodeDoc{Code: codeTimeMismatch, Meaning: "event_time and the id's own time are more than 1 s apart", Remedy: "make the id when the click happens"},
		edge.CodeDoc{Code: codeTokenTenant, Meaning: "the token belongs to another tenant than the API key", Remedy: "send each tenant's clicks with its own key"},
		edge.CodeDoc{Code: codeUnknownField, Meaning: "an item has no such field", Remedy: "see the fields in the message"},
	)
	slices.SortFunc(docs, func(a, b edge.CodeDoc) int { return strings.Compare(a.Code, b.Code) })
	return docs
}

// item is one click of a batch as its fields said it. Strings alias the body or
// the parser's scratch.
type item struct {
	id        string
	eventID   click.ID
	eventTime int64 // Unix microseconds; 0 when absent
	token     string
	ip        netip.Addr

	userAgent, referer, acceptLanguage, country, landingURL string
	hierarchy
}

// itemField reads one field of an item.
type itemField struct {
	name string
	read func(*item, edge.Value) *fault
}

// itemFields are all fields of an item; any other is an error, because a
// misspelt field would silently lose what it means.
var itemFields = [...]itemField{
	{"id", func(it *item, v edge.Value) *fault { return it.readID(v) }},
	{"event_time", func(it *item, v edge.Value) *fault { return it.readTime(v) }},
	{"token", func(it *item, v edge.Value) *fault { return readText(&it.token, v) }},
	{"ip", func(it *item, v edge.Value) *fault { return it.readIP(v) }},
	{"user_agent", func(it *item, v edge.Value) *fault { return readText(&it.userAgent, v) }},
	{"referer", func(it *item, v edge.Value) *fault { return readText(&it.referer, v) }},
	{"accept_language", func(it *item, v edge.Value) *fault { return readText(&it.acceptLanguage, v) }},
	{"advertiser_id", func(it *item, v edge.Value) *fault { return readEntity(&it.advertiser, "advertiser_id", v) }},
	{"campaign_id", func(it *item, v edge.Value) *fault { return readEntity(&it.campaign, "campaign_id", v) }},
	{"ad_group_id", func(it *item, v edge.Value) *fault { return readEntity(&it.adGroup, "ad_group_id", v) }},
	{"creative_id", func(it *item, v edge.Value) *fault { return readEntity(&it.creative, "creative_id", v) }},
	{"publisher_id", func(it *item, v edge.Value) *fault { return readEntity(&it.publisher, "publisher_id", v) }},
	{"placement_id", func(it *item, v edge.Value) *fault { return it.readPlacement(v) }},
	{"country", func(it *item, v edge.Value) *fault { return it.readCountry(v) }},
	{"landing_url", func(it *item, v edge.Value) *fault { return readText(&it.landingURL, v) }},
}

var itemFieldByName = func() map[string]*itemField {
	m := make(map[string]*itemField, len(itemFields))
	for i := range itemFields {
		m[itemFields[i].name] = &itemFields[i]
	}
	return m
}()

var unknownField = func() string {
	names := make([]string, len(itemFields))
	for i, f := range itemFields {
		names[i] = f.name
	}
	return "a click has no such field; its fields are " + strings.Join(names, ", ")
}()

// field takes one member of an item's object.
func (it *item) field(key string, v edge.Value) *fault {
	f := itemFieldByName[key]
	if f == nil {
		unknown := fault{Code: codeUnknownField, Message: unknownField}
		return unknown.In(key)
	}
	return f.read(it, v)
}

func readText(dst *string, v edge.Value) *fault {
	s, f := v.String()
	*dst = s
	return f
}

// readEntity reads an id of the ad hierarchy; an empty text says the same as an
// absent field.
func readEntity(dst *string, name string, v edge.Value) *fault {
	s, f := v.String()
	if f != nil || s == "" {
		return f
	}
	*dst = s
	return edge.CheckID(name, s)
}

func (it *item) readPlacement(v edge.Value) *fault {
	s, f := v.String()
	if f != nil {
		return f
	}
	it.placement = s
	return edge.CheckText("placement_id", s, edge.MaxIDBytes)
}

func (it *item) readCountry(v edge.Value) *fault {
	s, f := v.String()
	if f != nil || s == "" {
		return f
	}
	it.country = s
	return edge.CheckCountry("country", s)
}

func (it *item) readID(v edge.Value) *fault {
	s, f := v.String()
	if f != nil {
		return f
	}
	id, err := click.ParseSenderID(s)
	if err != nil {
		return &fault{Code: edge.CodeBadID, Field: "id", Message: err.Error()}
	}
	it.id, it.eventID = s, id
	return nil
}

func (it *item) readTime(v edge.Value) (f *fault) {
	it.eventTime, f = edge.EventTime(v)
	return f
}

func (it *item) readIP(v edge.Value) *fault {
	s, f := v.String()
	if f != nil {
		return f
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() {
		return &fault{Code: codeAddress, Field: "ip", Message: "the client's IPv4 or IPv6 address is wanted, without port, brackets or zone"}
	}
	it.ip = ip.Unmap()
	return nil
}

// fill turns the parsed item into the event, or says why it is no click.
func (s *Server) fill(b *batch) *fault {
	it, c := &b.item, &b.click
	if it.id == "" {
		return &fault{Code: edge.CodeMissing, Field: "id", Message: "every click needs its own id, a UUIDv7 or ULID, so that a repeat can be told"}
	}
	if !it.ip.IsValid() {
		return &fault{Code: edge.CodeMissing, Field: "ip", Message: "every click needs the address of the client"}
	}
	f := b.setTime()
	s.metrics.skew.observe(c.TenantID, c.SourceID, c.ReceivedAt-c.EventTime)
	if f != nil {
		return f
	}
	if it.token != "" {
		if f := s.openSent(b.event, it.token, "token", c.EventTime); f != nil {
			return f
		}
	}
	if f := b.setTexts(); f != nil {
		return f
	}
	c.Country = it.country
	if f := b.setHierarchy(&it.hierarchy); f != nil {
		return f
	}
	if b.key.Test {
		c.Flags |= click.FlagTest
	}
	b.complete(true)
	return nil
}

// maxTimeGap is how far the stated time may be from the id's own, in
// microseconds. The id decides which event it is; two times far apart mean that
// one of them is wrong.
const maxTimeGap = 1_000_000

func (b *batch) setTime() *fault {
	c, it := &b.click, &b.item
	c.EventID, c.IDTime, c.EventTime = it.eventID, it.eventID.Time(), it.eventTime
	if c.EventTime == 0 {
		c.EventTime = c.IDTime
	}
	if _, f := edge.ParseMillis(c.IDTime / 1000); f != nil {
		return &fault{Code: f.Code, Field: "id", Message: "the id's own time is not in the years 2000 to 2099"}
	}
	if gap := c.EventTime - c.IDTime; gap > maxTimeGap || gap < -maxTimeGap {
		return &fault{Code: codeTimeMismatch, Field: "event_time", Message: "event_time and the id's own time are more than 1 s apart; make the id when the click happens"}
	}
	return edge.CheckWindow(c.EventTime, c.ReceivedAt, b.source.Backfill)
}

// openSent takes over a token that an authenticated sender sent in field, which
// must belong to the sender's tenant. Its expiry is judged at t, Unix microseconds.
func (s *Server) openSent(e *event, text, field string, t int64) *fault {
	if !e.open(text, s.dep.Control.Current(), s.dep.Now()) {
		return &fault{Code: codeToken, Field: field, Message: "the token does not open; send the value of t exactly as it was in the click URL"}
	}
	if e.token.TenantID != e.source.Tenant.ID {
		return &fault{Code: codeTokenTenant, Field: field, Message: "the token belongs to another tenant than the API key"}
	}
	e.verify(t)
	return nil
}

// setTexts takes what describes the client.
func (b *batch) setTexts() *fault {
	it := &b.item
	b.setClient(it.ip, it.userAgent, it.referer, it.acceptLanguage)
	if it.landingURL == "" {
		return nil
	}
	var f *fault
	_, b.click.LandingHost, f = edge.CheckUnlisted(it.landingURL)
	return f.In("landing_url")
}

// setClient takes what a sender says of the client. Too long texts are cut, so
// that nobody's agent can cost a click.
func (e *event) setClient(ip netip.Addr, agent, referer, language string) {
	sig := &e.signals
	sig.IP = ip
	var cut [3]bool
	sig.UserAgent, cut[0] = mend(agent, maxAgent)
	sig.Referer, cut[1] = mend(referer, maxReferer)
	sig.AcceptLanguage, cut[2] = mend(language, maxLanguage)
	if cut[0] || cut[1] || cut[2] {
		e.click.Flags |= click.FlagTruncated
	}
}
