package timescale

import (
	"context"
	"strings"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// What was decided since a click was stored: its newest revision, and the newest
// decision that is no note.
const decidedSQL = `
LEFT JOIN LATERAL (
  SELECT r.revision, r.state, r.reasons FROM verdict_revisions AS r
  WHERE r.tenant_id = c.tenant_id AND r.event_id = c.event_id AND r.id_time = c.id_time
  ORDER BY r.revision DESC LIMIT 1) AS newest ON true
LEFT JOIN LATERAL (
  SELECT d.decision FROM verdict_revisions AS d
  WHERE d.tenant_id = c.tenant_id AND d.event_id = c.event_id AND d.id_time = c.id_time AND d.decision IN (1, 2)
    AND newest.revision IS NOT NULL
  ORDER BY d.revision DESC LIMIT 1) AS decided ON true`

var decidedColumns = qualified("c", clickColumns) + `,
  coalesce(newest.revision, 0), coalesce(newest.state, c.state), coalesce(newest.reasons, c.reasons),
  coalesce(decided.decision, 0)`

// Each click looks for itself among the late ones (LIMIT 1 makes sure of that):
// the planner would otherwise go through all of the tenant's for every page.
//
// Both read on from a place ($3, $4) in an index, in its order, to the end $5 of
// the hour. $6 and $7 bound id_time, which is at most a second from event_time, so
// that other days are left out.
var (
	unitClicksSQL = `
SELECT ` + decidedColumns + `
FROM (
  SELECT c.* FROM clicks AS c
  LEFT JOIN LATERAL (
    SELECT true AS late FROM late_clicks AS l
    WHERE l.tenant_id = c.tenant_id AND l.event_id = c.event_id AND l.id_time = c.id_time
    LIMIT 1) AS l ON true
  WHERE c.tenant_id = $1 AND c.source_id = $2 AND (c.event_time, c.event_id) > ($3::timestamptz, $4::uuid)
    AND c.event_time < $5::timestamptz AND c.id_time BETWEEN $6::timestamptz AND $7::timestamptz
    AND l.late IS NULL
  ORDER BY c.event_time, c.event_id LIMIT $8) AS c` + decidedSQL + `
ORDER BY c.event_time, c.event_id`

	lateClicksSQL = `
SELECT ` + decidedColumns + `
FROM (
  SELECT * FROM late_clicks AS l
  WHERE l.tenant_id = $1 AND l.source_id = $2 AND (l.event_time, l.event_id) > ($3::timestamptz, $4::uuid)
    AND l.event_time < $5::timestamptz AND l.hour = $9 AND NOT l.settled
  ORDER BY l.event_time, l.event_id LIMIT $8) AS l
CROSS JOIN LATERAL (
  SELECT * FROM clicks AS c
  WHERE c.tenant_id = l.tenant_id AND c.event_id = l.event_id AND c.id_time = l.id_time
    AND c.id_time BETWEEN $6::timestamptz AND $7::timestamptz
  LIMIT 1) AS c` + decidedSQL + `
ORDER BY l.event_time, l.event_id`
)

// qualified puts a table's alias before each of a list of columns.
func qualified(alias, columns string) string {
	list := strings.Split(columns, ",")
	for i := range list {
		list[i] = alias + "." + strings.TrimSpace(list[i])
	}
	return strings.Join(list, ", ")
}

// UnitClicks implements aggregate.ClosingTx.
func (t *closingTx) UnitClicks(ctx context.Context, u aggregate.Unit, late bool, after aggregate.ClickPosition, limit int) ([]aggregate.StoredClick, error) {
	sql := unitClicksSQL
	args := pageArgs(u, after, limit)
	if late {
		sql, args = lateClicksSQL, append(args, micros(u.Hour))
	}
	out := make([]aggregate.StoredClick, 0, max(0, min(limit, 10_000)))
	err := t.query(ctx, "clicks of a unit", sql, func(r pgx.Rows) error {
		c, err := storedClick(r)
		out = append(out, c)
		return err
	}, args...)
	return out, err
}

// pageArgs are $1 to $8.
func pageArgs(u aggregate.Unit, after aggregate.ClickPosition, limit int) []any {
	from, end, reach := after.Within(u), micros(u.Hour+hourMicros), micros(idSpan.Microseconds())
	at := micros(from.EventTime)
	return []any{u.TenantID, u.SourceID, at, [16]byte(from.EventID), end, at - reach, end + reach, limit}
}

func storedClick(r pgx.Rows) (out aggregate.StoredClick, err error) {
	s := newClickScan()
	err = r.Scan(append(s.targets(), &out.Revision, &out.State, (*bits64)(&out.Reasons), &out.Decision)...)
	out.ClickRow = s.finish()
	return out, err
}
