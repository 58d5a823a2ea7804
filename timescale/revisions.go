package timescale

import (
	"context"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

const reviseSQL = `
INSERT INTO verdict_revisions (tenant_id, event_id, id_time, revision, source_id, hour, at, from_state, state, reasons,
  score, vector_version, vector, lists_hash, policy_hash, model_hash, model_slot, cause, decision, who, why)
SELECT r.tenant_id, r.event_id, r.id_time,
  coalesce(last.revision, 0) + row_number() OVER (PARTITION BY r.tenant_id, r.event_id, r.id_time ORDER BY r.n),
  $1, $2, r.at, r.from_state, r.state, r.reasons, r.score, r.vector_version, r.vector, r.lists_hash, r.policy_hash,
  r.model_hash, r.model_slot, r.cause, r.decision, r.who, r.why
FROM unnest($3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::smallint[], $8::smallint[], $9::bigint[],
  $10::double precision[], $11::integer[], $12::bytea[], $13::bigint[], $14::bigint[], $15::bigint[], $16::smallint[],
  $17::smallint[], $18::smallint[], $19::text[], $20::text[]) WITH ORDINALITY
  AS r (tenant_id, event_id, id_time, at, from_state, state, reasons, score, vector_version, vector, lists_hash,
    policy_hash, model_hash, model_slot, cause, decision, who, why, n)
LEFT JOIN LATERAL (
  SELECT v.revision FROM verdict_revisions AS v
  WHERE v.tenant_id = r.tenant_id AND v.event_id = r.event_id AND v.id_time = r.id_time
  ORDER BY v.revision DESC LIMIT 1) AS last ON true`

// Revise implements aggregate.ClosingTx. Revisions of one click are all of one
// unit, which the transaction holds, so their numbers cannot collide.
func (t *closingTx) Revise(ctx context.Context, revisions []aggregate.Revision) error {
	type row = aggregate.Revision
	if len(revisions) == 0 {
		return nil
	}
	if err := aggregate.CheckUnit(t.held, "revisions", revisions, func(r *row) aggregate.Unit {
		return aggregate.Unit{TenantID: r.TenantID, SourceID: r.Unit.SourceID, Hour: r.Unit.Hour}
	}); err != nil {
		return err
	}
	num := func(f func(*row) int64) []int64 { return column(revisions, f) }
	small := func(f func(*row) int16) []int16 { return column(revisions, f) }
	tenants, events, times := keyColumns(revisions, func(r *row) *aggregate.EventKey { return &r.EventKey })
	_, err := t.exec(ctx, "revisions", reviseSQL, t.held.SourceID, micros(t.held.Hour), tenants, events, times,
		column(revisions, func(r *row) micros { return micros(r.At) }),
		small(func(r *row) int16 { return int16(r.From) }),
		small(func(r *row) int16 { return int16(r.Verdict.State) }),
		num(func(r *row) int64 { return int64(r.Verdict.Reasons) }),
		column(revisions, func(r *row) float64 { return r.Verdict.Score }),
		column(revisions, func(r *row) int32 { return int32(r.Verdict.VectorVersion) }),
		column(revisions, func(r *row) []byte { return packVector(&r.Verdict) }),
		num(func(r *row) int64 { return int64(r.Verdict.ListsHash) }),
		num(func(r *row) int64 { return int64(r.Verdict.PolicyHash) }),
		num(func(r *row) int64 { return int64(r.Verdict.ModelHash) }),
		small(func(r *row) int16 { return int16(r.Verdict.ModelSlot) }),
		small(func(r *row) int16 { return int16(r.Cause) }),
		small(func(r *row) int16 { return int16(r.Decision) }),
		column(revisions, func(r *row) string { return r.Who }),
		column(revisions, func(r *row) string { return r.Why }))
	return err
}

// packVector is nil (NULL) when no vector was computed.
func packVector(v *click.Verdict) []byte {
	if v.VectorVersion == 0 {
		return nil
	}
	return v.Vector.Append(make([]byte, 0, 4*click.VectorSize))
}

const adjustSQL = `
INSERT INTO adjustments (tenant_id, event_id, id_time, revision, source_id, hour, at, advertiser_id, campaign_id,
  ad_group_id, publisher_id, currency, from_state, state, clicks, micros, cause, who, why, waived)
SELECT a.tenant_id, a.event_id, a.id_time,
  (SELECT max(v.revision) FROM verdict_revisions AS v
   WHERE v.tenant_id = a.tenant_id AND v.event_id = a.event_id AND v.id_time = a.id_time),
  $1, $2, a.at, a.advertiser_id, a.campaign_id, a.ad_group_id, a.publisher_id, a.currency, a.from_state, a.state,
  a.clicks, a.micros, a.cause, a.who, a.why, a.waived
FROM unnest($3::text[], $4::uuid[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[],
  $11::text[], $12::smallint[], $13::smallint[], $14::bigint[], $15::bigint[], $16::smallint[], $17::text[], $18::text[],
  $19::text[])
  AS a (tenant_id, event_id, id_time, at, advertiser_id, campaign_id, ad_group_id, publisher_id, currency, from_state,
    state, clicks, micros, cause, who, why, waived)`

// Adjust implements aggregate.ClosingTx.
func (t *closingTx) Adjust(ctx context.Context, adjustments []aggregate.Adjustment) error {
	type row = aggregate.Adjustment
	if len(adjustments) == 0 {
		return nil
	}
	if err := aggregate.CheckUnit(t.held, "adjustments", adjustments, func(a *row) aggregate.Unit {
		return aggregate.Unit{TenantID: a.TenantID, SourceID: a.Unit.SourceID, Hour: a.Unit.Hour}
	}); err != nil {
		return err
	}
	if err := t.wantClosed(ctx); err != nil {
		return err
	}
	text := func(f func(*row) string) []string { return column(adjustments, f) }
	tenants, events, times := keyColumns(adjustments, func(a *row) *aggregate.EventKey { return &a.EventKey })
	_, err := t.exec(ctx, "adjustments (one for a revision that is there)", adjustSQL,
		t.held.SourceID, micros(t.held.Hour), tenants, events, times,
		column(adjustments, func(a *row) micros { return micros(a.At) }),
		text(func(a *row) string { return a.AdvertiserID }),
		text(func(a *row) string { return a.CampaignID }),
		text(func(a *row) string { return a.AdGroupID }),
		text(func(a *row) string { return a.PublisherID }),
		text(func(a *row) string { return a.Currency }),
		column(adjustments, func(a *row) int16 { return int16(a.From) }),
		column(adjustments, func(a *row) int16 { return int16(a.To) }),
		column(adjustments, func(a *row) int64 { return a.Clicks }),
		column(adjustments, func(a *row) int64 { return a.Micros }),
		column(adjustments, func(a *row) int16 { return int16(a.Cause) }),
		text(func(a *row) string { return a.Who }),
		text(func(a *row) string { return a.Why }),
		text(func(a *row) string { return a.Waived }))
	return err
}

// wantClosed returns an error when the unit is still open or sealed.
func (t *closingTx) wantClosed(ctx context.Context) error {
	var state aggregate.UnitState
	u := t.held
	err := t.tx.tx.QueryRow(ctx, "SELECT state"+unitSQL, u.TenantID, u.SourceID, micros(u.Hour)).Scan(&state)
	if err == nil && state != aggregate.UnitClosed {
		err = fmt.Errorf("adjustments: the unit of %v is not closed", u)
	}
	return err
}

const settleSQL = `
UPDATE late_clicks AS l SET settled = true
FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS k (tenant_id, event_id, id_time)
WHERE l.tenant_id = k.tenant_id AND l.event_id = k.event_id AND l.id_time = k.id_time AND NOT l.settled`

// SettleLate implements aggregate.ClosingTx.
func (t *closingTx) SettleLate(ctx context.Context, keys []aggregate.EventKey) error {
	if len(keys) == 0 {
		return nil
	}
	tenants, events, times := keyColumns(keys, func(k *aggregate.EventKey) *aggregate.EventKey { return k })
	_, err := t.exec(ctx, "late clicks", settleSQL, tenants, events, times)
	return err
}
