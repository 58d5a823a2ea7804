package sqlite

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"
)

const reviseSQL = `
INSERT INTO verdict_revisions (tenant_id, event_id, id_time, revision, source_id, hour, at, from_state, state, reasons,
  score, vector_version, vector, lists_hash, policy_hash, model_hash, model_slot, cause, decision, who, why)
VALUES (?1, ?2, ?3,
  (SELECT coalesce(max(revision), 0) + 1 FROM verdict_revisions WHERE tenant_id = ?1 AND event_id = ?2 AND id_time = ?3),
  ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)`

// Revise implements aggregate.ClosingTx.
func (t *closingTx) Revise(ctx context.Context, revisions []aggregate.Revision) error {
	type row = aggregate.Revision
	if err := aggregate.CheckUnit(t.held, "revisions", revisions, func(r *row) aggregate.Unit {
		return aggregate.Unit{TenantID: r.TenantID, SourceID: r.Unit.SourceID, Hour: r.Unit.Hour}
	}); err != nil {
		return err
	}
	_, err := insertEach(ctx, t.tx, "revisions", reviseSQL, revisions, func(r *row) []any {
		v := &r.Verdict
		return []any{
			r.TenantID, r.EventID[:], r.IDTime, r.Unit.SourceID, r.Unit.Hour, r.At, int64(r.From), int64(v.State),
			int64(v.Reasons), v.Score, int64(v.VectorVersion), packVector(v), int64(v.ListsHash), int64(v.PolicyHash),
			int64(v.ModelHash), int64(v.ModelSlot), int64(r.Cause), int64(r.Decision), r.Who, r.Why,
		}
	})
	return err
}

const adjustSQL = `
INSERT INTO adjustments (tenant_id, event_id, id_time, revision, source_id, hour, at, advertiser_id, campaign_id,
  ad_group_id, publisher_id, currency, from_state, state, clicks, micros, cause, who, why, waived)
VALUES (?1, ?2, ?3,
  (SELECT max(revision) FROM verdict_revisions WHERE tenant_id = ?1 AND event_id = ?2 AND id_time = ?3),
  ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)`

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
	if x, err := t.unit(t.held); err != nil || x.state != aggregate.UnitClosed {
		return errors.Join(err, fmt.Errorf("adjustments: the unit of %v is not closed", t.held))
	}
	_, err := insertEach(ctx, t.tx, "adjustments (one for a revision that is there)", adjustSQL, adjustments, func(a *row) []any {
		return []any{
			a.TenantID, a.EventID[:], a.IDTime, a.Unit.SourceID, a.Unit.Hour, a.At, a.AdvertiserID, a.CampaignID,
			a.AdGroupID, a.PublisherID, a.Currency, int64(a.From), int64(a.To), a.Clicks, a.Micros, int64(a.Cause),
			a.Who, a.Why, a.Waived,
		}
	})
	return err
}

const settleSQL = `
UPDATE late_clicks SET settled = 1 WHERE tenant_id = ? AND event_id = ? AND id_time = ? AND settled = 0`

// SettleLate implements aggregate.ClosingTx.
func (t *closingTx) SettleLate(ctx context.Context, keys []aggregate.EventKey) error {
	for i := range keys {
		if err := ctx.Err(); err != nil {
			return err
		}
		k := &keys[i]
		if _, err := t.exec("late clicks", settleSQL, k.TenantID, k.EventID[:], k.IDTime); err != nil {
			return err
		}
	}
	return nil
}
