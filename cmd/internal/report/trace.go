package report

import (
	"encoding/hex"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
	"clickgate/gateway/stream"
	"clickgate/scoring"
)

// Stored is one stored copy of an event, as it passed every stage. Pointers are
// nil where a copy has no such stage.
type Stored struct {
	What     string    `json:"what"` // click, redelivery or dead letter
	Tenant   string    `json:"tenant"`
	Edge     Edge      `json:"edge"`
	Stream   Stream    `json:"stream"`
	Store    Store     `json:"store"`
	Event    *Event    `json:"event,omitempty"`
	Price    *Price    `json:"price,omitempty"`
	Verdict  *Judged   `json:"verdict,omitempty"`
	Rejected *Rejected `json:"rejected,omitempty"`
	// Later is what was said of a click after it was stored, oldest first.
	Later       []Later          `json:"later,omitempty"`
	Adjustments []adjustmentLine `json:"adjustments,omitempty"`
	// Personal is set after unmasking alone.
	Personal *Personal `json:"personal,omitempty"`
}

// Edge is what the gateway that took the copy says.
type Edge struct {
	ReceivedAt string `json:"received_at"`
	Source     string `json:"source"`
	Entry      string `json:"entry"` // c, b, batch or log
	Gateway    string `json:"gateway"`
	Boot       uint64 `json:"boot"`
	Seq        uint64 `json:"seq"`
}

// Stream is the copy's place in Kafka; Partition and Offset are nil where the
// store does not keep them.
type Stream struct {
	Topic     string `json:"topic"`
	Partition *int32 `json:"partition"`
	Offset    *int64 `json:"offset"`
}

// Store says when the row was written.
type Store struct {
	IngestedAt  string `json:"ingested_at"`
	DelayMicros int64  `json:"delay_micros"` // from receipt; the two clocks may differ
}

// Event is the click without personal data: keyed pseudonyms and the prefix that
// tables hold.
type Event struct {
	EventTime   string   `json:"event_time"`
	IDTime      string   `json:"id_time"`
	ClickID     string   `json:"click_id,omitempty"`
	Flags       []string `json:"flags"`
	Advertiser  string   `json:"advertiser"`
	Campaign    string   `json:"campaign"`
	AdGroup     string   `json:"ad_group"`
	Creative    string   `json:"creative"`
	Publisher   string   `json:"publisher"`
	Placement   string   `json:"placement"`
	LandingHost string   `json:"landing_host"`
	RefererHost string   `json:"referer_host"`
	Country     string   `json:"country"`
	IPKey       string   `json:"ip_key"`
	AgentKey    string   `json:"agent_key"`
	KeyEpoch    uint32   `json:"key_epoch"`
	IPPrefix    string   `json:"ip_prefix"`
	ASN         uint32   `json:"asn"`
	AgentFamily string   `json:"agent_family"`
}

// Price is what the click costs if it is valid, and who says so.
type Price struct {
	Micros   int64  `json:"micros"`
	Currency string `json:"currency"`
	Shown    string `json:"shown"`
	Pricing  string `json:"pricing"`
	From     string `json:"from"` // "token", or the rate card's version
	Billed   bool   `json:"billed"`
}

// Judged is a verdict with all that is needed to recompute it.
type Judged struct {
	State         string   `json:"state"`
	Score         float64  `json:"score"`
	Reasons       []Reason `json:"reasons"`
	VectorVersion uint32   `json:"vector_version"`
	Vector        []Slot   `json:"vector"`                // empty without a vector that can be read
	VectorNote    string   `json:"vector_note,omitempty"` // why a vector cannot be read
	Lists         string   `json:"lists_hash"`
	Policy        string   `json:"policy_hash"`
	Model         string   `json:"model_hash"`
	ModelSlot     string   `json:"model_slot"`
}

// Slot is one feature.
type Slot struct {
	Slot  int     `json:"slot"`
	Name  string  `json:"name"`
	Value float32 `json:"value"`
}

// Reason explains a verdict.
type Reason struct {
	Code  string `json:"code"`
	Class string `json:"class"`
	Text  string `json:"text"`
}

// Later is a revision of the verdict.
type Later struct {
	Revision int      `json:"revision"`
	At       string   `json:"at"`
	From     string   `json:"from"`
	State    string   `json:"state"`
	Score    float64  `json:"score"`
	Reasons  []Reason `json:"reasons"`
	Cause    string   `json:"cause"`
	Decision string   `json:"decision"`
	Who      string   `json:"who"`
	Why      string   `json:"why"`
}

// Rejected says why a dead letter is no click.
type Rejected struct {
	Code    string `json:"code"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Personal is unsealed evidence or, of a dead letter, the raw bytes.
type Personal struct {
	Evidence *click.Evidence `json:"evidence,omitempty"`
	Raw      []byte          `json:"raw,omitempty"` // base64 in JSON
}

// NewStored turns a trace row into its printed form, without personal data.
func NewStored(row *aggregate.TraceRow) Stored {
	s := Stored{What: row.What, Stream: Stream{Topic: stream.ClicksTopic}}
	if row.Offset >= 0 {
		s.Stream.Partition, s.Stream.Offset = &row.Partition, &row.Offset
	}
	var received int64
	switch {
	case row.Click != nil:
		c := row.Click
		s.Tenant, received = c.TenantID, c.ReceivedAt
		s.Edge = edgeOf(c.SourceID, c.Entry, received, c.Ingest)
		s.Event, s.Price, s.Verdict = eventOf(c), priceOf(c), judged(&c.Verdict)
		s.later(row)
	case row.Redelivery != nil:
		r := row.Redelivery
		s.Tenant, received = r.TenantID, r.ReceivedAt
		s.Edge = edgeOf(r.SourceID, r.Entry, received, r.Ingest)
	case row.DeadLetter != nil:
		d := row.DeadLetter
		s.Tenant, received = d.TenantID, d.ReceivedAt
		s.Stream.Topic = stream.DeadLettersTopic
		s.Edge = edgeOf(d.SourceID, d.Entry, received, d.Ingest)
		s.Rejected = &Rejected{d.Code, d.Field, d.Message}
	}
	s.Store = Store{instant(row.IngestedAt), row.IngestedAt - received}
	return s
}

// later adds the revisions, and says whether the click is billed after them.
func (s *Stored) later(row *aggregate.TraceRow) {
	for i := range row.Revisions {
		r := &row.Revisions[i]
		s.Later = append(s.Later, Later{
			r.Number, instant(r.At), r.From.String(), r.Verdict.State.String(), r.Verdict.Score,
			reasonsOf(r.Verdict.Reasons), r.Cause.String(), r.Decision.String(), r.Who, r.Why,
		})
		s.Price.Billed = row.Click.Billable() && r.Verdict.State == click.Valid
	}
	for i := range row.Adjustments {
		s.Adjustments = append(s.Adjustments, adjustmentOf(&row.Adjustments[i]))
	}
}

func edgeOf(source string, entry click.Entry, received int64, in click.IngestID) Edge {
	return Edge{instant(received), source, entry.String(), in.Gateway, in.Boot, in.Seq}
}

func eventOf(c *click.Click) *Event {
	e := &Event{
		EventTime: instant(c.EventTime), IDTime: instant(c.IDTime), Flags: flagNames(c.Flags),
		Advertiser: c.AdvertiserID, Campaign: c.CampaignID, AdGroup: c.AdGroupID, Creative: c.CreativeID,
		Publisher: c.PublisherID, Placement: c.PlacementID, LandingHost: c.LandingHost, RefererHost: c.RefererHost,
		Country: c.Country, IPKey: hex.EncodeToString(c.IPKey[:]), AgentKey: hex.EncodeToString(c.AgentKey[:]),
		KeyEpoch: c.KeyEpoch, IPPrefix: c.IPPrefix, ASN: c.ASN, AgentFamily: c.AgentFamily,
	}
	if !c.ClickID.IsZero() {
		e.ClickID = c.ClickID.String()
	}
	return e
}

func flagNames(f click.Flags) []string {
	names := []string{}
	for _, x := range [...]struct {
		flag click.Flags
		name string
	}{
		{click.FlagTest, "test"}, {click.FlagPrefetch, "prefetch"}, {click.FlagHead, "head"},
		{click.FlagTokenExpired, "token_expired"}, {click.FlagAddressUnknown, "address_unknown"},
		{click.FlagSealedToken, "sealed_token"}, {click.FlagTimeFallback, "time_fallback"},
		{click.FlagTimeCoarse, "time_coarse"}, {click.FlagTruncated, "truncated"},
	} {
		if f&x.flag != 0 {
			names = append(names, x.name)
		}
	}
	return names
}

func priceOf(c *click.Click) *Price {
	p := &Price{
		Micros: c.PriceMicros, Currency: c.Currency, Shown: Amount(c.PriceMicros, c.Currency),
		Pricing: c.Pricing.String(), From: c.RateCard, Billed: c.Billable() && c.Verdict.State == click.Valid,
	}
	if p.From == "" && c.Currency != "" {
		p.From = "token"
	}
	return p
}

func judged(v *click.Verdict) *Judged {
	vector, note := slots(v)
	j := &Judged{
		State: v.State.String(), Score: v.Score, Reasons: reasonsOf(v.Reasons),
		VectorVersion: v.VectorVersion, Vector: vector, VectorNote: note,
		Lists: hash(v.ListsHash), Policy: hash(v.PolicyHash), Model: hash(v.ModelHash), ModelSlot: "none",
	}
	switch v.ModelSlot {
	case click.ModelLive:
		j.ModelSlot = "live"
	case click.ModelShadow:
		j.ModelSlot = "shadow"
	}
	return j
}

func reasonsOf(set click.Reasons) []Reason {
	out := []Reason{}
	set.Each(func(r click.Reason) {
		info := r.Info()
		out = append(out, Reason{info.Code, info.Class.String(), info.Text})
	})
	return out
}

// slots are those of a vector, without what the second pass alone fills where it did
// not. The note says why a vector cannot be read.
func slots(v *click.Verdict) (out []Slot, note string) {
	out = []Slot{}
	if v.VectorVersion == 0 {
		return out, ""
	}
	names, err := scoring.SlotsOf(v.VectorVersion)
	if err != nil {
		return out, err.Error()
	}
	for i := range names {
		if x := v.Vector[i]; i < scoring.SlotFacts || x != 0 {
			out = append(out, Slot{Slot: i, Name: names[i].Name, Value: x})
		}
	}
	return out, ""
}

func hash(h uint64) string { return fmt.Sprintf("%016x", h) }
