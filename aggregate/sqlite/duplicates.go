package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// clickSpan is how far apart two clicks of one click_id may lie: a token lives 24
// hours. Package timescale has the same bound; there it keeps old chunks out of
// the search.
const clickSpan = 25 * 3600 * 1_000_000 // microseconds

// A lookup takes all probes of a tenant in one JSON array, because a statement
// per probe costs more than the search. json_each's key is the place in the array.
const (
	sameClickSQL = `
SELECT p.key, c.event_id, c.event_time
FROM json_each(?2) AS p CROSS JOIN clicks AS c INDEXED BY clicks_billable_click
WHERE c.tenant_id = ?1 AND c.click_id = unhex(p.value) AND c.state = 9`

	// A probe is a repeat key, filled up to 20 characters, and an event time.
	doubleClickSQL = `
SELECT p.key, c.event_id, c.event_time
FROM json_each(?2) AS p CROSS JOIN clicks AS c INDEXED BY clicks_billable_repeat
WHERE c.tenant_id = ?1 AND c.repeat_key = CAST(substr(p.value, 1, 20) AS INTEGER)
  AND c.event_time > CAST(substr(p.value, 21) AS INTEGER) - ?3
  AND c.event_time < CAST(substr(p.value, 21) AS INTEGER) + ?3
  AND c.click_id IS NULL AND c.state = 9`
)

// lookup gathers the probes of one tenant.
type lookup struct {
	clicks, repeats         []int // places among all probes
	clicksJSON, repeatsJSON []byte
}

// BillableBefore implements aggregate.Tx.
func (t *tx) BillableBefore(ctx context.Context, probes []aggregate.Probe) ([]aggregate.Match, error) {
	matches := make([]aggregate.Match, len(probes))
	for tenant, l := range lookups(probes) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := t.find(sameClickSQL, l.clicks, probes, matches, clickSpan, tenant, closed(l.clicksJSON)); err != nil {
			return nil, err
		}
		if err := t.find(doubleClickSQL, l.repeats, probes, matches, aggregate.DoubleClickWindow, tenant, closed(l.repeatsJSON),
			int64(aggregate.DoubleClickWindow)); err != nil {
			return nil, err
		}
	}
	return matches, nil
}

func lookups(probes []aggregate.Probe) map[string]*lookup {
	tenants := make(map[string]*lookup)
	for i := range probes {
		p := &probes[i]
		l := tenants[p.TenantID]
		if l == nil {
			l = new(lookup)
			tenants[p.TenantID] = l
		}
		if p.ClickID.IsZero() {
			l.repeats = append(l.repeats, i)
			l.repeatsJSON = fmt.Appendf(append(l.repeatsJSON, separator(l.repeatsJSON)...), "%20d%d\"", p.RepeatKey, p.EventTime)
			continue
		}
		l.clicks = append(l.clicks, i)
		l.clicksJSON = hex.AppendEncode(append(l.clicksJSON, separator(l.clicksJSON)...), p.ClickID[:])
		l.clicksJSON = append(l.clicksJSON, '"')
	}
	return tenants
}

func separator(json []byte) string {
	if len(json) == 0 {
		return `["`
	}
	return `,"`
}

func closed(json []byte) string { return string(append(json, ']')) }

// find runs one lookup and keeps the earliest match of each probe.
func (t *tx) find(query string, places []int, probes []aggregate.Probe, matches []aggregate.Match, span int64, args ...any) error {
	if len(places) == 0 {
		return nil
	}
	return t.query("earlier billable clicks", query, func(r *sql.Rows) error {
		var n int
		var raw []byte
		var eventTime int64
		if err := r.Scan(&n, &raw, &eventTime); err != nil {
			return err
		}
		i := places[n]
		if d := eventTime - probes[i].EventTime; d < -span || d > span {
			return nil
		}
		var id click.ID
		copy(id[:], raw)
		if m := &matches[i]; earlier(eventTime, id, m) {
			m.EventID, m.EventTime = id, eventTime
		}
		return nil
	}, args...)
}

func earlier(eventTime int64, id click.ID, m *aggregate.Match) bool {
	if m.EventID.IsZero() || eventTime != m.EventTime {
		return m.EventID.IsZero() || eventTime < m.EventTime
	}
	return bytes.Compare(id[:], m.EventID[:]) < 0
}
