package sqlite

import (
	"context"
	"database/sql"

	"clickgate/aggregate"
)

const (
	billedClickSQL = `
SELECT event_id, id_time, event_time, source_id, hour FROM billed_clicks WHERE tenant_id = ? AND click_id = ?`

	billedRepeatSQL = `
SELECT event_id, id_time, event_time, source_id, hour FROM billed_repeats
WHERE tenant_id = ?1 AND repeat_key = ?2 AND event_time > ?3 - ?4 AND event_time < ?3 + ?4
ORDER BY event_time, event_id LIMIT 1`

	billClickSQL = `
INSERT INTO billed_clicks (tenant_id, click_id, event_id, id_time, event_time, source_id, hour) VALUES (?, ?, ?, ?, ?, ?, ?)`

	billRepeatSQL = `
INSERT INTO billed_repeats (tenant_id, repeat_key, event_id, id_time, event_time, source_id, hour) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

// Bill implements aggregate.ClosingTx.
func (t *closingTx) Bill(ctx context.Context, rows []aggregate.Billing) ([]aggregate.Billed, error) {
	if err := aggregate.CheckBillings(t.held, rows); err != nil {
		return nil, err
	}
	out := make([]aggregate.Billed, len(rows))
	for i := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		if out[i], err = t.bill(&rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bill enters one click, or returns the one that has its identity.
func (t *tx) bill(b *aggregate.Billing) (aggregate.Billed, error) {
	find, enter, identity := billedClickSQL, billClickSQL, any(b.ClickID[:])
	args := []any{b.TenantID, identity}
	if b.ClickID.IsZero() {
		find, enter, identity = billedRepeatSQL, billRepeatSQL, b.RepeatKey
		args = []any{b.TenantID, identity, b.EventTime, int64(aggregate.DoubleClickWindow)}
	}
	var have aggregate.Billed
	found := false
	err := t.query("billable clicks", find, func(r *sql.Rows) error {
		found = true
		var event []byte
		err := r.Scan(&event, &have.IDTime, &have.EventTime, &have.SourceID, &have.Hour)
		have.TenantID = b.TenantID
		copy(have.EventID[:], event)
		return err
	}, args...)
	switch {
	case err != nil:
		return aggregate.Billed{}, err
	case found && have.EventKey == b.EventKey:
		return aggregate.Billed{}, nil
	case found:
		return have, nil
	}
	_, err = t.exec("billable clicks", enter, b.TenantID, identity, b.EventID[:], b.IDTime, b.EventTime, b.SourceID, b.Hour)
	return aggregate.Billed{}, err
}

// The click's own row tells its identity, by which the billable ones are kept.
const (
	unbillClickSQL = `
DELETE FROM billed_clicks WHERE (tenant_id, click_id) IN (
  SELECT tenant_id, click_id FROM clicks WHERE tenant_id = ?1 AND event_id = ?2 AND id_time = ?3)
AND event_id = ?2 AND id_time = ?3`

	unbillRepeatSQL = `
DELETE FROM billed_repeats WHERE (tenant_id, repeat_key, event_time) IN (
  SELECT tenant_id, repeat_key, event_time FROM clicks WHERE tenant_id = ?1 AND event_id = ?2 AND id_time = ?3)
AND event_id = ?2 AND id_time = ?3`
)

// Unbill implements aggregate.ClosingTx.
func (t *closingTx) Unbill(ctx context.Context, keys []aggregate.EventKey) error {
	for i := range keys {
		k := &keys[i]
		for _, query := range [...]string{unbillClickSQL, unbillRepeatSQL} {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := t.exec("billable clicks", query, k.TenantID, k.EventID[:], k.IDTime); err != nil {
				return err
			}
		}
	}
	return nil
}
