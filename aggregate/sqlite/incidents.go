package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"clickgate/aggregate"
)

const minuteMicros = 60 * 1_000_000

// countsSQL adds minute counts up by a step of time in microseconds.
const countsSQL = `
SELECT tenant_id, source_id, campaign_id, publisher_id, currency, minute - minute % ?3,
  coalesce(sum(count) FILTER (WHERE state = 0), 0), coalesce(sum(count) FILTER (WHERE state = 1), 0),
  coalesce(sum(count) FILTER (WHERE state = 2), 0), coalesce(sum(count) FILTER (WHERE state = 3), 0),
  coalesce(sum(count) FILTER (WHERE state = 4), 0), coalesce(sum(count) FILTER (WHERE state = 5), 0),
  coalesce(sum(count) FILTER (WHERE state = 6), 0), coalesce(sum(count) FILTER (WHERE state = 7), 0),
  coalesce(sum(count) FILTER (WHERE state = 8), 0), coalesce(sum(count) FILTER (WHERE state = 9), 0),
  sum(micros)
FROM click_minutes INDEXED BY click_minutes_minute WHERE minute >= ?1 AND minute < ?2
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`

// MinuteCounts implements aggregate.Incidents.
func (s *Store) MinuteCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error) {
	return s.counts(ctx, from, to, minuteMicros)
}

// HourCounts implements aggregate.Incidents.
func (s *Store) HourCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error) {
	return s.counts(ctx, from, to, hourMicros)
}

func (s *Store) counts(ctx context.Context, from, to, step int64) ([]aggregate.MinuteCount, error) {
	var out []aggregate.MinuteCount
	err := s.snapshot(ctx, "counts by minute", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, countsSQL, from, to, step)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var c aggregate.MinuteCount
			n := &c.Counts
			err := r.Scan(&c.TenantID, &c.SourceID, &c.CampaignID, &c.PublisherID, &c.Currency, &c.Minute,
				&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &c.Micros)
			out = append(out, c)
			return err
		})
	})
	return out, err
}

const alertsLeaseSQL = `
UPDATE alerts_lease SET owner = ?1, fence = fence + 1, until = ?3
WHERE owner = ?1 OR until <= ?2 RETURNING fence, judged`

// LeaseAlerts implements aggregate.Incidents.
func (s *Store) LeaseAlerts(ctx context.Context, owner string, now time.Time, ttl time.Duration) (aggregate.AlertsLease, error) {
	var lease aggregate.AlertsLease
	err := s.InTx(ctx, func(a aggregate.Tx) error {
		lease = aggregate.AlertsLease{}
		return a.(*tx).query("alerts lease", alertsLeaseSQL, func(r *sql.Rows) error {
			return r.Scan(&lease.Fence, &lease.Judged)
		}, owner, now.UnixMicro(), now.Add(ttl).UnixMicro())
	})
	if err == nil && lease.Fence == 0 {
		err = aggregate.ErrLeased
	}
	return lease, err
}

// fenced runs f in a transaction that a later lease prevents.
func (s *Store) fenced(ctx context.Context, fence int64, f func(*tx) error) error {
	return s.InTx(ctx, func(a aggregate.Tx) error {
		t := a.(*tx)
		n, err := t.exec("alerts lease", "UPDATE alerts_lease SET fence = fence WHERE fence = ?", fence)
		if err == nil && n == 0 {
			err = aggregate.ErrNotLeader
		}
		if err != nil {
			return err
		}
		return f(t)
	})
}

// RenewAlerts implements aggregate.Incidents.
func (s *Store) RenewAlerts(ctx context.Context, fence int64, until time.Time) error {
	return s.fenced(ctx, fence, func(t *tx) error {
		_, err := t.exec("alerts lease", "UPDATE alerts_lease SET until = ?", until.UnixMicro())
		return err
	})
}

const putIncidentSQL = `
INSERT INTO incidents (id, tenant_id, severity, opened_at, updated_at, resolved_at, detail) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET severity = excluded.severity, updated_at = excluded.updated_at,
  resolved_at = excluded.resolved_at, detail = excluded.detail`

// PutIncidents implements aggregate.Incidents.
func (s *Store) PutIncidents(ctx context.Context, fence, judged int64, puts []aggregate.IncidentPut) error {
	return s.fenced(ctx, fence, func(t *tx) error {
		if _, err := t.exec("judged minute", "UPDATE alerts_lease SET judged = max(judged, ?)", judged); err != nil {
			return err
		}
		for i := range puts {
			if err := t.putIncident(&puts[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) putIncident(p *aggregate.IncidentPut) error {
	detail, err := json.Marshal(&p.Incident)
	if err != nil {
		return fmt.Errorf("incident %s: %w", p.ID, err)
	}
	_, err = t.exec("incident", putIncidentSQL, p.ID, p.TenantID, int64(p.Severity), p.OpenedAt, p.UpdatedAt, p.ResolvedAt, string(detail))
	if err != nil || p.Page == nil {
		return err
	}
	_, err = t.exec("page", "INSERT INTO pages (incident_id, action, payload) VALUES (?, ?, ?)", p.ID, int64(p.Page.Action), p.Page.Payload)
	return err
}

const listIncidentsSQL = `
SELECT detail FROM incidents
WHERE (?1 = '' OR tenant_id = ?1) AND (NOT ?2 OR resolved_at = 0) AND (resolved_at = 0 OR resolved_at >= ?3)
ORDER BY opened_at DESC, id LIMIT ?4`

// ListIncidents implements aggregate.Incidents.
func (s *Store) ListIncidents(ctx context.Context, q aggregate.IncidentQuery) ([]aggregate.Incident, error) {
	limit := int64(math.MaxInt64)
	if q.Limit > 0 {
		limit = int64(q.Limit)
	}
	return s.incidents(ctx, listIncidentsSQL, q.TenantID, q.OpenOnly, q.Since, limit)
}

// GetIncident implements aggregate.Incidents.
func (s *Store) GetIncident(ctx context.Context, id string) (aggregate.Incident, bool, error) {
	list, err := s.incidents(ctx, "SELECT detail FROM incidents WHERE id = ?", id)
	if err != nil || len(list) == 0 {
		return aggregate.Incident{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) incidents(ctx context.Context, query string, args ...any) ([]aggregate.Incident, error) {
	var out []aggregate.Incident
	err := s.snapshot(ctx, "incidents", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var detail []byte
			var i aggregate.Incident
			err := r.Scan(&detail)
			if err == nil {
				err = json.Unmarshal(detail, &i)
			}
			out = append(out, i)
			return err
		})
	})
	return out, err
}

// pagesSQL reads pages with what is known to have arrived about their incidents;
// 1 is a trigger, and outcomes are 0 pending, 1 sent, 2 collapsed, 3 refused.
const pagesSQL = `
SELECT seq, incident_id, action, payload, attempts, error, coalesce(delivered, 0), EXISTS (
  SELECT 1 FROM pages a WHERE a.incident_id = p.incident_id AND a.action = 1 AND a.attempts > 0
    AND a.outcome IN (0, 2) AND a.seq > coalesce(delivered_seq, 0))
FROM (
  SELECT o.*,
    (SELECT d.action FROM pages d WHERE d.incident_id = o.incident_id AND d.outcome = 1 ORDER BY d.seq DESC LIMIT 1) AS delivered,
    (SELECT max(d.seq) FROM pages d WHERE d.incident_id = o.incident_id AND d.outcome = 1) AS delivered_seq
  FROM pages o WHERE o.outcome = `

// PendingPages implements aggregate.Incidents.
func (s *Store) PendingPages(ctx context.Context) ([]aggregate.Page, error) {
	return s.pages(ctx, pagesSQL+"0) AS p ORDER BY seq")
}

// RefusedPages implements aggregate.Incidents.
func (s *Store) RefusedPages(ctx context.Context, limit int) ([]aggregate.Page, error) {
	return s.pages(ctx, pagesSQL+"3) AS p ORDER BY seq DESC LIMIT ?", limit)
}

func (s *Store) pages(ctx context.Context, query string, args ...any) ([]aggregate.Page, error) {
	var out []aggregate.Page
	err := s.snapshot(ctx, "pages", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var p aggregate.Page
			err := r.Scan(&p.Seq, &p.IncidentID, &p.Action, &p.Payload, &p.Attempts, &p.Error, &p.Delivered, &p.Maybe)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// IncidentPages implements aggregate.Incidents.
func (s *Store) IncidentPages(ctx context.Context, incidentID string, limit int) ([]aggregate.PageRecord, error) {
	var out []aggregate.PageRecord
	err := s.snapshot(ctx, "pages of an incident", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, `
SELECT seq, action, attempts, attempted_at, outcome, ended_at, error FROM pages
WHERE incident_id = ? ORDER BY seq DESC LIMIT ?`, incidentID, limit)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var p aggregate.PageRecord
			err := r.Scan(&p.Seq, &p.Action, &p.Attempts, &p.AttemptedAt, &p.Outcome, &p.EndedAt, &p.Error)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// errNoPage says that a page is not pending; only a mistake in this program asks.
var errNoPage = errors.New("no such page is pending")

// AttemptPage implements aggregate.Incidents.
func (s *Store) AttemptPage(ctx context.Context, fence, seq int64, now time.Time) error {
	return s.fenced(ctx, fence, func(t *tx) error {
		n, err := t.exec("page", "UPDATE pages SET attempts = attempts + 1, attempted_at = ? WHERE seq = ? AND outcome = 0", now.UnixMicro(), seq)
		if err == nil && n == 0 {
			err = fmt.Errorf("page %d: %w", seq, errNoPage)
		}
		return err
	})
}

const pageCallsSQL = `
SELECT coalesce(sum(min(attempts, ?3)), 0) FROM pages
WHERE seq > (SELECT max(seq) FROM pages) - ?4 AND attempted_at > ?1 AND attempted_at <= ?2`

// PageCalls implements aggregate.Incidents.
func (s *Store) PageCalls(ctx context.Context, from, to int64) (n int64, err error) {
	err = s.snapshot(ctx, "calls of pages", func(t *sql.Tx) error {
		return t.QueryRowContext(ctx, pageCallsSQL, from, to, aggregate.MaxPageCalls, aggregate.PagesCounted).Scan(&n)
	})
	return n, err
}

// SettlePages implements aggregate.Incidents.
func (s *Store) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	return s.fenced(ctx, fence, func(t *tx) error {
		for _, e := range ends {
			_, err := t.exec("page", "UPDATE pages SET outcome = ?, error = ?, ended_at = ? WHERE seq = ? AND outcome = 0",
				int64(e.Outcome), e.Error, now.UnixMicro(), e.Seq)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// The numbers in SQL are those of package aggregate; a change there breaks here.
var _ = [1]struct{}{}[aggregate.PageTrigger-1|aggregate.PageAction(aggregate.PageSent-1|aggregate.PageCollapsed-2|aggregate.PageRefused-3)]
