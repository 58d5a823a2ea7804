package sqlite

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// clickColumns are the columns of clicks in the order of clickArgs and
// clickTargets.
const clickColumns = `tenant_id, event_id, id_time, event_time, received_at, ingested_at, source_id, entry,
  click_id, repeat_key, flags, advertiser_id, campaign_id, ad_group_id, creative_id, publisher_id,
  placement_id, landing_host, referer_host, country, price_micros, currency, pricing, rate_card,
  ip_key, agent_key, key_epoch, ip_prefix, asn, agent_family, state, reasons, score, vector_version,
  vector, lists_hash, policy_hash, model_hash, model_slot, gateway, boot, seq, partition, rec_offset`

var clickCount = strings.Count(clickColumns, ",") + 1

var insertClickSQL = "INSERT INTO clicks (" + clickColumns + ") VALUES (?" +
	strings.Repeat(", ?", clickCount-1) + ") ON CONFLICT DO NOTHING"

// clickArgs appends the values of one row.
func clickArgs(a []any, r *aggregate.ClickRow, now int64) []any {
	v := &r.Verdict
	return append(a, r.TenantID, r.EventID[:], r.IDTime, r.EventTime, r.ReceivedAt, now, r.SourceID, int64(r.Entry),
		optionalID(&r.ClickID), r.RepeatKey, int64(r.Flags), r.AdvertiserID, r.CampaignID, r.AdGroupID, r.CreativeID, r.PublisherID,
		r.PlacementID, r.LandingHost, r.RefererHost, r.Country, r.PriceMicros, r.Currency, int64(r.Pricing), r.RateCard,
		r.IPKey[:], r.AgentKey[:], int64(r.KeyEpoch), r.IPPrefix, int64(r.ASN), r.AgentFamily, int64(v.State), int64(v.Reasons), v.Score, int64(v.VectorVersion),
		packVector(v), int64(v.ListsHash), int64(v.PolicyHash), int64(v.ModelHash), int64(v.ModelSlot), r.Ingest.Gateway, int64(r.Ingest.Boot), int64(r.Ingest.Seq), int64(r.Partition), r.Offset)
}

// clickScan receives one row of clicks with its evidence.
type clickScan struct {
	score                                               sql.NullFloat64
	click                                               click.Click
	repeatKey, reasons, lists, policy, model, boot, seq int64
	event, clickID, ip, agent, vector, evidence         []byte
	partition                                           int32
	offset, ingestedAt                                  int64
}

// targets are the destinations of clickColumns followed by evidence.
func (s *clickScan) targets() []any {
	c := &s.click
	v := &c.Verdict
	return []any{
		&c.TenantID, &s.event, &c.IDTime, &c.EventTime, &c.ReceivedAt, &s.ingestedAt, &c.SourceID, &c.Entry,
		&s.clickID, &s.repeatKey, &c.Flags, &c.AdvertiserID, &c.CampaignID, &c.AdGroupID, &c.CreativeID, &c.PublisherID,
		&c.PlacementID, &c.LandingHost, &c.RefererHost, &c.Country, &c.PriceMicros, &c.Currency, &c.Pricing, &c.RateCard,
		&s.ip, &s.agent, &c.KeyEpoch, &c.IPPrefix, &c.ASN, &c.AgentFamily, &v.State, &s.reasons, &s.score, &v.VectorVersion,
		&s.vector, &s.lists, &s.policy, &s.model, &v.ModelSlot, &c.Ingest.Gateway, &s.boot, &s.seq, &s.partition, &s.offset,
		&s.evidence,
	}
}

// row finishes what Scan filled.
func (s *clickScan) row() aggregate.TraceRow {
	c := &s.click
	copy(c.EventID[:], s.event)
	copy(c.ClickID[:], s.clickID)
	copy(c.IPKey[:], s.ip)
	copy(c.AgentKey[:], s.agent)
	c.Evidence = s.evidence
	c.Verdict.Reasons = click.Reasons(s.reasons)
	if c.Verdict.Score = s.score.Float64; !s.score.Valid {
		c.Verdict.Score = math.NaN()
	}
	c.Verdict.ListsHash, c.Verdict.PolicyHash, c.Verdict.ModelHash = uint64(s.lists), uint64(s.policy), uint64(s.model)
	unpackVector(s.vector, &c.Verdict.Vector)
	c.Ingest.Boot, c.Ingest.Seq = uint64(s.boot), uint64(s.seq)
	return aggregate.TraceRow{What: "click", Click: c, Partition: s.partition, Offset: s.offset, IngestedAt: s.ingestedAt}
}

// optionalID is nil (NULL) for an absent id.
func optionalID(id *click.ID) any {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// packVector is nil (NULL) when no vector was computed.
func packVector(v *click.Verdict) any {
	if v.VectorVersion == 0 {
		return nil
	}
	return v.Vector.Append(make([]byte, 0, 4*click.VectorSize))
}

// unpackVector reads little-endian float32 slots; those that were left off are 0.
func unpackVector(b []byte, v *click.Vector) {
	*v = click.Vector{}
	for i := 0; 4*i+4 <= len(b) && i < len(v); i++ {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

// checkText refuses what PostgreSQL refuses too, so that a record is good or bad
// whatever the store: text must be UTF-8 without NUL. SQLite itself would keep it.
func checkText(what string, row int, args []any) error {
	for i, a := range args {
		s, ok := a.(string)
		if ok && (!utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0) {
			return &textError{what, row, i + 1}
		}
	}
	return nil
}

// textError says which value of which row is no text.
type textError struct {
	what       string
	row, value int
}

func (e *textError) Error() string {
	return fmt.Sprintf("%s: row %d, value %d: text is not UTF-8 or holds a NUL byte", e.what, e.row, e.value)
}
