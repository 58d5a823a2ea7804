package timescale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

// countsSQL adds minute counts up by a unit of time.
const countsSQL = `
SELECT tenant_id, source_id, campaign_id, publisher_id, currency, date_trunc($3, minute, 'UTC'),
  coalesce(sum(count) FILTER (WHERE state = 0), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 1), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 2), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 3), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 4), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 5), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 6), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 7), 0)::bigint,
  coalesce(sum(count) FILTER (WHERE state = 8), 0)::bigint, coalesce(sum(count) FILTER (WHERE state = 9), 0)::bigint,
  sum(micros)::bigint
FROM click_minutes WHERE minute >= $1 AND minute < $2
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6`

// MinuteCounts implements aggregate.Incidents.
func (s *Store) MinuteCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error) {
	return s.counts(ctx, from, to, "minute")
}

// HourCounts implements aggregate.Incidents.
func (s *Store) HourCounts(ctx context.Context, from, to int64) ([]aggregate.MinuteCount, error) {
	return s.counts(ctx, from, to, "hour")
}

func (s *Store) counts(ctx context.Context, from, to int64, unit string) ([]aggregate.MinuteCount, error) {
	var out []aggregate.MinuteCount
	err := s.snapshot(ctx, "counts by "+unit, func(t pgx.Tx) error {
		rows, err := t.Query(ctx, countsSQL, micros(from), micros(to), unit)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var c aggregate.MinuteCount
			n := &c.Counts
			err := r.Scan(&c.TenantID, &c.SourceID, &c.CampaignID, &c.PublisherID, &c.Currency, (*micros)(&c.Minute),
				&n[0], &n[1], &n[2], &n[3], &n[4], &n[5], &n[6], &n[7], &n[8], &n[9], &c.Micros)
			out = append(out, c)
			return err
		})
	})
	return out, err
}

const alertsLeaseSQL = `
UPDATE alerts_lease SET owner = $1, fence = fence + 1, until = $3
WHERE owner = $1 OR until <= $2 RETURNING fence, judged`

// LeaseAlerts implements aggregate.Incidents. The row's lock makes two that ask at
// once come one after the other.
func (s *Store) LeaseAlerts(ctx context.Context, owner string, now time.Time, ttl time.Duration) (aggregate.AlertsLease, error) {
	var lease aggregate.AlertsLease
	err := s.pool.QueryRow(ctx, alertsLeaseSQL, owner, now, now.Add(ttl)).Scan(&lease.Fence, (*micros)(&lease.Judged))
	if errors.Is(err, pgx.ErrNoRows) {
		return lease, aggregate.ErrLeased
	}
	if err != nil {
		return lease, fmt.Errorf("alerts lease: %w", err)
	}
	return lease, nil
}

// fenced runs f in a transaction that a later lease prevents. It holds the lease's
// row, so that a lease is given out before it or after it.
func (s *Store) fenced(ctx context.Context, fence int64, f func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		var held int64
		err := t.QueryRow(ctx, "SELECT fence FROM alerts_lease FOR UPDATE").Scan(&held)
		if err != nil {
			return fmt.Errorf("alerts lease: %w", err)
		}
		if held != fence {
			return aggregate.ErrNotLeader
		}
		return f(t)
	})
}

// RenewAlerts implements aggregate.Incidents.
func (s *Store) RenewAlerts(ctx context.Context, fence int64, until time.Time) error {
	return s.fenced(ctx, fence, func(t pgx.Tx) error {
		_, err := t.Exec(ctx, "UPDATE alerts_lease SET until = $1", until)
		return err
	})
}

const putIncidentSQL = `
INSERT INTO incidents (id, tenant_id, severity, opened_at, updated_at, resolved_at, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET severity = excluded.severity, updated_at = excluded.updated_at,
  resolved_at = excluded.resolved_at, detail = excluded.detail`

// PutIncidents implements aggregate.Incidents.
func (s *Store) PutIncidents(ctx context.Context, fence, judged int64, puts []aggregate.IncidentPut) error {
	return s.fenced(ctx, fence, func(t pgx.Tx) error {
		if _, err := t.Exec(ctx, "UPDATE alerts_lease SET judged = greatest(judged, $1)", micros(judged)); err != nil {
			return fmt.Errorf("judged minute: %w", err)
		}
		for i := range puts {
			if err := putIncident(ctx, t, &puts[i]); err != nil {
				return fmt.Errorf("incident %s: %w", puts[i].ID, err)
			}
		}
		return nil
	})
}

func putIncident(ctx context.Context, t pgx.Tx, p *aggregate.IncidentPut) error {
	detail, err := json.Marshal(&p.Incident)
	if err != nil {
		return err
	}
	var resolved any
	if p.ResolvedAt != 0 {
		resolved = micros(p.ResolvedAt)
	}
	_, err = t.Exec(ctx, putIncidentSQL, p.ID, p.TenantID, int16(p.Severity), micros(p.OpenedAt), micros(p.UpdatedAt), resolved, string(detail))
	if err != nil || p.Page == nil {
		return err
	}
	_, err = t.Exec(ctx, "INSERT INTO pages (incident_id, action, payload) VALUES ($1, $2, $3)", p.ID, int16(p.Page.Action), p.Page.Payload)
	return err
}

const listIncidentsSQL = `
SELECT detail::text FROM incidents
WHERE ($1 = '' OR tenant_id = $1) AND (NOT $2 OR resolved_at IS NULL) AND (resolved_at IS NULL OR resolved_at >= $3)
ORDER BY opened_at DESC, id LIMIT $4`

// ListIncidents implements aggregate.Incidents.
func (s *Store) ListIncidents(ctx context.Context, q aggregate.IncidentQuery) ([]aggregate.Incident, error) {
	var limit *int64 // NULL is no limit
	if q.Limit > 0 {
		n := int64(q.Limit)
		limit = &n
	}
	return s.incidents(ctx, listIncidentsSQL, q.TenantID, q.OpenOnly, micros(q.Since), limit)
}

// GetIncident implements aggregate.Incidents.
func (s *Store) GetIncident(ctx context.Context, id string) (aggregate.Incident, bool, error) {
	list, err := s.incidents(ctx, "SELECT detail::text FROM incidents WHERE id = $1", id)
	if err != nil || len(list) == 0 {
		return aggregate.Incident{}, false, err
	}
	return list[0], true, nil
}

func (s *Store) incidents(ctx context.Context, query string, args ...any) ([]aggregate.Incident, error) {
	var out []aggregate.Incident
	err := s.snapshot(ctx, "incidents", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var detail string
			var i aggregate.Incident
			err := r.Scan(&detail)
			if err == nil {
				err = json.Unmarshal([]byte(detail), &i)
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
SELECT seq, incident_id, action, payload, attempts, error, coalesce(delivered, 0::smallint), EXISTS (
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
	return s.pages(ctx, pagesSQL+"3) AS p ORDER BY seq DESC LIMIT $1", limit)
}

func (s *Store) pages(ctx context.Context, query string, args ...any) ([]aggregate.Page, error) {
	var out []aggregate.Page
	err := s.snapshot(ctx, "pages", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var p aggregate.Page
			var action, delivered int16
			err := r.Scan(&p.Seq, &p.IncidentID, &action, &p.Payload, &p.Attempts, &p.Error, &delivered, &p.Maybe)
			p.Action, p.Delivered = aggregate.PageAction(action), aggregate.PageAction(delivered)
			out = append(out, p)
			return err
		})
	})
	return out, err
}

// IncidentPages implements aggregate.Incidents.
func (s *Store) IncidentPages(ctx context.Context, incidentID string, limit int) ([]aggregate.PageRecord, error) {
	var out []aggregate.PageRecord
	err := s.snapshot(ctx, "pages of an incident", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, `
SELECT seq, action, attempts, coalesce(attempted_at, 'epoch'), outcome, coalesce(ended_at, 'epoch'), error FROM pages
WHERE incident_id = $1 ORDER BY seq DESC LIMIT $2`, incidentID, limit)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var p aggregate.PageRecord
			var action, outcome int16
			err := r.Scan(&p.Seq, &action, &p.Attempts, (*micros)(&p.AttemptedAt), &outcome, (*micros)(&p.EndedAt), &p.Error)
			p.Action, p.Outcome = aggregate.PageAction(action), aggregate.PageOutcome(outcome)
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
	return s.fenced(ctx, fence, func(t pgx.Tx) error {
		tag, err := t.Exec(ctx, "UPDATE pages SET attempts = attempts + 1, attempted_at = $1 WHERE seq = $2 AND outcome = 0", now, seq)
		if err == nil && tag.RowsAffected() == 0 {
			err = errNoPage
		}
		if err != nil {
			return fmt.Errorf("page %d: %w", seq, err)
		}
		return nil
	})
}

const pageCallsSQL = `
SELECT coalesce(sum(least(attempts, $3::bigint)), 0)::bigint FROM pages
WHERE seq > (SELECT max(seq) FROM pages) - $4::bigint AND attempted_at > $1 AND attempted_at <= $2`

// PageCalls implements aggregate.Incidents.
func (s *Store) PageCalls(ctx context.Context, from, to int64) (n int64, err error) {
	err = s.snapshot(ctx, "calls of pages", func(t pgx.Tx) error {
		return t.QueryRow(ctx, pageCallsSQL, micros(from), micros(to), aggregate.MaxPageCalls, aggregate.PagesCounted).Scan(&n)
	})
	return n, err
}

// SettlePages implements aggregate.Incidents.
func (s *Store) SettlePages(ctx context.Context, fence int64, now time.Time, ends []aggregate.PageEnd) error {
	return s.fenced(ctx, fence, func(t pgx.Tx) error {
		for _, e := range ends {
			_, err := t.Exec(ctx, "UPDATE pages SET outcome = $1, error = $2, ended_at = $3 WHERE seq = $4 AND outcome = 0",
				int16(e.Outcome), e.Error, now, e.Seq)
			if err != nil {
				return fmt.Errorf("page %d: %w", e.Seq, err)
			}
		}
		return nil
	})
}

// The numbers in SQL are those of package aggregate; a change there breaks here.
var _ = [1]struct{}{}[aggregate.PageTrigger-1|aggregate.PageAction(aggregate.PageSent-1|aggregate.PageCollapsed-2|aggregate.PageRefused-3)]
