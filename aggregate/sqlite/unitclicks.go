package sqlite

import (
	"context"
	"database/sql"
	"strings"

	"clickgate/aggregate"
	"clickgate/gateway/click"
)

// unitColumns are those of a click, without evidence, and of what was decided
// since: a later revision, and the newest decision that is no note.
var unitColumns = qualified("c", clickColumns) + `, NULL,
  coalesce(r.revision, 0), coalesce(r.state, c.state), coalesce(r.reasons, c.reasons),
  coalesce((SELECT d.decision FROM verdict_revisions AS d
    WHERE d.tenant_id = c.tenant_id AND d.event_id = c.event_id AND d.id_time = c.id_time AND d.decision IN (1, 2)
    ORDER BY d.revision DESC LIMIT 1), 0)`

const newestRevision = `
LEFT JOIN verdict_revisions AS r ON r.tenant_id = c.tenant_id AND r.event_id = c.event_id AND r.id_time = c.id_time
  AND r.revision = (SELECT max(m.revision) FROM verdict_revisions AS m
    WHERE m.tenant_id = c.tenant_id AND m.event_id = c.event_id AND m.id_time = c.id_time)`

// Both read on from a place (?3, ?4) in an index, in its order, to the end ?5 of
// the hour. The place alone bounds from below: of two such bounds SQLite could
// search by the hour's start and step over all that was read before.
var (
	unitClicksSQL = `
SELECT ` + unitColumns + `
FROM clicks AS c INDEXED BY clicks_unit` + newestRevision + `
WHERE c.tenant_id = ?1 AND c.source_id = ?2 AND (c.event_time, c.event_id) > (?3, ?4)
  AND c.event_time < ?5
  AND NOT EXISTS (SELECT 1 FROM late_clicks AS l
    WHERE l.tenant_id = c.tenant_id AND l.event_id = c.event_id AND l.id_time = c.id_time)
ORDER BY c.event_time, c.event_id LIMIT ?6`

	lateClicksSQL = `
SELECT ` + unitColumns + `
FROM late_clicks AS l INDEXED BY late_clicks_open
CROSS JOIN clicks AS c ON c.tenant_id = l.tenant_id AND c.event_id = l.event_id AND c.id_time = l.id_time` + newestRevision + `
WHERE l.tenant_id = ?1 AND l.source_id = ?2 AND l.hour = ?7 AND l.settled = 0
  AND (l.event_time, l.event_id) > (?3, ?4) AND l.event_time < ?5
ORDER BY l.event_time, l.event_id LIMIT ?6`
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
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from := after.Within(u)
	args := []any{u.TenantID, u.SourceID, from.EventTime, from.EventID[:], u.Hour + hourMicros, limit}
	query := unitClicksSQL
	if late {
		query, args = lateClicksSQL, append(args, u.Hour)
	}
	var out []aggregate.StoredClick
	err := t.query("clicks of a unit", query, func(r *sql.Rows) error {
		c, err := storedClick(r)
		out = append(out, c)
		return err
	}, args...)
	return out, err
}

func storedClick(r *sql.Rows) (aggregate.StoredClick, error) {
	var s clickScan
	var out aggregate.StoredClick
	var reasons int64
	if err := r.Scan(append(s.targets(), &out.Revision, &out.State, &reasons, &out.Decision)...); err != nil {
		return out, err
	}
	row := s.row()
	out.ClickRow = aggregate.ClickRow{Click: row.Click, RepeatKey: s.repeatKey, Partition: row.Partition, Offset: row.Offset}
	out.Reasons = click.Reasons(reasons)
	return out, nil
}
