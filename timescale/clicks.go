package timescale

import (
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// clickColumns are the columns of clicks in the order of encodeClick and
// clickScan; ingested_at has a default.
const clickColumns = `tenant_id, event_id, id_time, event_time, received_at, source_id, entry,
  click_id, repeat_key, flags, advertiser_id, campaign_id, ad_group_id, creative_id, publisher_id,
  placement_id, landing_host, referer_host, country, price_micros, currency, pricing, rate_card,
  ip_key, agent_key, key_epoch, ip_prefix, asn, agent_family, state, reasons, score, vector_version,
  vector, lists_hash, policy_hash, model_hash, model_slot, gateway, boot, seq, partition, rec_offset`

var clickCount = strings.Count(clickColumns, ",") + 1

// encodeClick appends one row for COPY, without n.
func encodeClick(c *copyBuf, r *aggregate.ClickRow) {
	v := &r.Verdict
	c.text(r.TenantID)
	c.bytes(r.EventID[:])
	c.time(r.IDTime)
	c.time(r.EventTime)
	c.time(r.ReceivedAt)
	c.text(r.SourceID)
	c.int2(uint8(r.Entry))
	if r.ClickID.IsZero() {
		c.null()
	} else {
		c.bytes(r.ClickID[:])
	}
	c.int8(r.RepeatKey)
	c.int4(int32(r.Flags))
	for _, s := range [...]string{
		r.AdvertiserID, r.CampaignID, r.AdGroupID, r.CreativeID, r.PublisherID,
		r.PlacementID, r.LandingHost, r.RefererHost, r.Country,
	} {
		c.text(s)
	}
	c.int8(r.PriceMicros)
	c.text(r.Currency)
	c.int2(uint8(r.Pricing))
	c.text(r.RateCard)
	c.bytes(r.IPKey[:])
	c.bytes(r.AgentKey[:])
	c.int4(int32(r.KeyEpoch))
	c.text(r.IPPrefix)
	c.int8(int64(r.ASN))
	c.text(r.AgentFamily)
	encodeVerdict(c, v)
	c.text(r.Ingest.Gateway)
	c.int8(int64(r.Ingest.Boot))
	c.int8(int64(r.Ingest.Seq))
	c.int4(r.Partition)
	c.int8(r.Offset)
}

func encodeVerdict(c *copyBuf, v *click.Verdict) {
	c.int2(uint8(v.State))
	c.int8(int64(v.Reasons))
	c.float8(v.Score)
	c.int4(int32(v.VectorVersion))
	if v.VectorVersion == 0 {
		c.null()
	} else {
		at := len(c.b)
		c.size(0)
		c.b = v.Vector.Append(c.b)
		binary.BigEndian.PutUint32(c.b[at:], uint32(len(c.b)-at-4))
	}
	c.int8(int64(v.ListsHash))
	c.int8(int64(v.PolicyHash))
	c.int8(int64(v.ModelHash))
	c.int2(uint8(v.ModelSlot))
}

// InsertClicks implements aggregate.Tx. Rows that the table has are looked for first,
// and the others go straight into it by COPY, which is twice as fast as by way of the
// staging table. Should a row have come in between, the staging table sorts it out.
func (t *tx) InsertClicks(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	if err := t.ready(idTimes(rows)); err != nil {
		return nil, err
	}
	fresh, err := t.copyFresh(ctx, rows)
	if taken(err) {
		fresh, err = t.insertStaged(ctx, rows)
	}
	if err != nil {
		return nil, err
	}
	return fresh, t.insertEvidence(ctx, rows, fresh)
}

// errUnordered says that rows are not in strict key order: some may be equal.
var errUnordered = errors.New("rows are not in key order")

// taken reports whether err says that COPY met a key that exists.
func taken(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, errUnordered) || errors.As(err, &pg) && pg.Code == "23505"
}

const storedKeysSQL = `
SELECT k.n - 1
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS k (tenant_id, event_id, id_time, n)
CROSS JOIN LATERAL (
  SELECT FROM clicks AS c
  WHERE c.tenant_id = k.tenant_id AND c.event_id = k.event_id AND c.id_time = k.id_time
    AND c.id_time BETWEEN $4::timestamptz AND $5::timestamptz
  LIMIT 1) AS c`

const copyClicksSQL = `COPY clicks (` + clickColumns + `) FROM STDIN (FORMAT binary)`

// copyFresh copies the rows that are not stored, in an attempt of its own.
func (t *tx) copyFresh(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	if t.store.alwaysStage {
		return nil, errUnordered
	}
	keys := make([]aggregate.EventKey, len(rows))
	for i := range rows {
		keys[i] = aggregate.KeyOf(rows[i].Click)
		if i > 0 && aggregate.CompareKeys(keys[i-1], keys[i]) >= 0 {
			return nil, errUnordered
		}
	}
	fresh, err := t.unstored(ctx, keys)
	if err != nil {
		return nil, err
	}
	some := make([]*aggregate.ClickRow, 0, len(rows))
	for i := range rows {
		if fresh[i] {
			some = append(some, &rows[i])
		}
	}
	return fresh, t.Attempt(ctx, func() error {
		return t.copyIn(ctx, "clicks", copyClicksSQL, len(some), func(c *copyBuf, i int) {
			c.row(clickCount)
			encodeClick(c, some[i])
		})
	})
}

// unstored tells which keys are of no click that is stored.
func (t *tx) unstored(ctx context.Context, keys []aggregate.EventKey) ([]bool, error) {
	fresh := make([]bool, len(keys))
	for i := range fresh {
		fresh[i] = true
	}
	tenants, events, times := keyColumns(keys, func(k *aggregate.EventKey) *aggregate.EventKey { return k })
	lo, hi := bounds(times)
	err := t.query(ctx, "stored clicks", storedKeysSQL, func(r pgx.Rows) error {
		var n int
		err := r.Scan(&n)
		fresh[n] = false
		return err
	}, tenants, events, times, lo, hi)
	return fresh, err
}

// insertStaged inserts rows by way of the staging table.
func (t *tx) insertStaged(ctx context.Context, rows []aggregate.ClickRow) ([]bool, error) {
	if err := t.stage(ctx, rows); err != nil {
		return nil, err
	}
	got := make([]aggregate.EventKey, 0, len(rows))
	err := t.query(ctx, "clicks", insertClicksSQL, func(r pgx.Rows) error {
		var k aggregate.EventKey
		err := r.Scan(&k.TenantID, (*[16]byte)(&k.EventID), (*micros)(&k.IDTime))
		got = append(got, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	return inserted(func(i int) aggregate.EventKey { return aggregate.KeyOf(rows[i].Click) }, len(rows), got), nil
}

func idTimes(rows []aggregate.ClickRow) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for i := range rows {
			if !yield(rows[i].IDTime) {
				return
			}
		}
	}
}

const evidenceSQL = `COPY click_evidence (tenant_id, event_id, id_time, received_at, evidence) FROM STDIN (FORMAT binary)`

// insertEvidence keeps the sealed part of the clicks that are new. They are new
// in this transaction, so nothing can be in the way of a plain COPY.
func (t *tx) insertEvidence(ctx context.Context, rows []aggregate.ClickRow, fresh []bool) error {
	some := make([]*aggregate.ClickRow, 0, len(rows))
	for i := range rows {
		if fresh[i] && len(rows[i].Evidence) > 0 {
			some = append(some, &rows[i])
		}
	}
	if len(some) == 0 {
		return nil
	}
	return t.copyIn(ctx, "click evidence", evidenceSQL, len(some), func(c *copyBuf, i int) {
		c.row(5)
		c.text(some[i].TenantID)
		c.bytes(some[i].EventID[:])
		c.time(some[i].IDTime)
		c.time(some[i].ReceivedAt)
		c.bytes(some[i].Evidence)
	})
}

// clickScan receives the columns of one row of clicks.
type clickScan struct {
	row               aggregate.ClickRow
	ip, agent, vector []byte
}

func newClickScan() *clickScan {
	return &clickScan{row: aggregate.ClickRow{Click: new(click.Click)}}
}

// targets are the destinations of clickColumns.
func (s *clickScan) targets() []any {
	c := s.row.Click
	v := &c.Verdict
	return []any{
		&c.TenantID, (*[16]byte)(&c.EventID), (*micros)(&c.IDTime), (*micros)(&c.EventTime), (*micros)(&c.ReceivedAt), &c.SourceID, &c.Entry,
		(*optional)(&c.ClickID), &s.row.RepeatKey, (*bits32)(&c.Flags), &c.AdvertiserID, &c.CampaignID, &c.AdGroupID, &c.CreativeID, &c.PublisherID,
		&c.PlacementID, &c.LandingHost, &c.RefererHost, &c.Country, &c.PriceMicros, &c.Currency, &c.Pricing, &c.RateCard,
		&s.ip, &s.agent, (*bits32)(&c.KeyEpoch), &c.IPPrefix, &c.ASN, &c.AgentFamily, &v.State, (*bits64)(&v.Reasons), &v.Score, (*bits32)(&v.VectorVersion),
		&s.vector, (*bits64)(&v.ListsHash), (*bits64)(&v.PolicyHash), (*bits64)(&v.ModelHash), &v.ModelSlot, &c.Ingest.Gateway, (*bits64)(&c.Ingest.Boot), (*bits64)(&c.Ingest.Seq),
		&s.row.Partition, &s.row.Offset,
	}
}

// finish returns the row with what had to be unpacked.
func (s *clickScan) finish() aggregate.ClickRow {
	c := s.row.Click
	copy(c.IPKey[:], s.ip)
	copy(c.AgentKey[:], s.agent)
	unpackVector(s.vector, &c.Verdict.Vector)
	return s.row
}

// unpackVector reads little-endian float32 slots.
func unpackVector(packed []byte, v *click.Vector) {
	for i := 0; 4*i+4 <= len(packed) && i < len(v); i++ {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(packed[4*i:]))
	}
}
