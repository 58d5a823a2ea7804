package timescale

import (
	"context"
	"errors"
	"fmt"

	"clickgate/aggregate"

	"github.com/jackc/pgx/v5"
)

const userColumns = `name, tenant_id, role, hash, disabled, version, created_at, changed_at`

func scanUser(r pgx.Row) (u aggregate.User, err error) {
	err = r.Scan(&u.Name, &u.TenantID, &u.Role, &u.Hash, &u.Disabled, &u.Version, (*micros)(&u.CreatedAt), (*micros)(&u.ChangedAt))
	return u, err
}

// User implements aggregate.Users.
func (s *Store) User(ctx context.Context, name string) (aggregate.User, error) {
	u, err := scanUser(s.pool.QueryRow(ctx, `SELECT `+userColumns+` FROM users WHERE name = $1`, name))
	if errors.Is(err, pgx.ErrNoRows) {
		return u, aggregate.ErrNoUser
	}
	if err != nil {
		return u, fmt.Errorf("user: %w", err)
	}
	return u, nil
}

// ListUsers implements aggregate.Users.
func (s *Store) ListUsers(ctx context.Context, tenantID string) (users []aggregate.User, err error) {
	err = s.snapshot(ctx, "users", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, `SELECT `+userColumns+` FROM users WHERE $1 = '' OR tenant_id = $1 ORDER BY name`, tenantID)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			u, err := scanUser(r)
			users = append(users, u)
			return err
		})
	})
	return users, err
}

// AddUser implements aggregate.Users.
func (s *Store) AddUser(ctx context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	return s.changed(ctx, aggregate.ErrUserExists, e, `
INSERT INTO users (`+userColumns+`) VALUES ($1, $2, $3, $4, $5, 1, $6, $7) ON CONFLICT (name) DO NOTHING`,
		u.Name, u.TenantID, u.Role, u.Hash, u.Disabled, micros(u.CreatedAt), micros(u.ChangedAt))
}

// ChangeUser implements aggregate.Users.
func (s *Store) ChangeUser(ctx context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	return s.changed(ctx, aggregate.ErrUserChanged, e, `
UPDATE users SET tenant_id = $1, role = $2, hash = $3, disabled = $4, version = version + 1, changed_at = $5
WHERE name = $6 AND version = $7`,
		u.TenantID, u.Role, u.Hash, u.Disabled, micros(u.ChangedAt), u.Name, u.Version)
}

// changed runs a statement that must touch a row, else it returns refused, and
// appends the entry in the same transaction.
func (s *Store) changed(ctx context.Context, refused error, e *aggregate.AuditEntry, sql string, args ...any) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		tag, err := t.Exec(ctx, sql, args...)
		if err != nil {
			return fmt.Errorf("user: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return refused
		}
		return writeAudit(ctx, t, e)
	})
}

// WriteAudit implements aggregate.Users.
func (s *Store) WriteAudit(ctx context.Context, e *aggregate.AuditEntry) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error { return writeAudit(ctx, t, e) })
}

func writeAudit(ctx context.Context, t pgx.Tx, e *aggregate.AuditEntry) error {
	_, err := t.Exec(ctx, `
INSERT INTO audit (at, who, tenant_id, prefix, action, target, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		micros(e.At), e.Who, e.TenantID, e.Prefix, e.Action, e.Target, e.Detail)
	if err != nil {
		return fmt.Errorf("audit entry: %w", err)
	}
	return nil
}

const auditSQL = `
SELECT id, at, who, tenant_id, prefix, action, target, detail FROM audit
WHERE ($1 = '' OR tenant_id = $1) AND ($2 = '' OR who = $2) AND ($3 = '' OR action = $3) AND ($4::bigint = 0 OR id < $4)
ORDER BY id DESC LIMIT $5`

// ReadAudit implements aggregate.Users.
func (s *Store) ReadAudit(ctx context.Context, q *aggregate.AuditQuery) (entries []aggregate.AuditEntry, err error) {
	var limit *int // NULL is no limit
	if q.Limit > 0 {
		limit = &q.Limit
	}
	err = s.snapshot(ctx, "audit", func(t pgx.Tx) error {
		rows, err := t.Query(ctx, auditSQL, q.TenantID, q.Who, q.Action, q.Before, limit)
		if err != nil {
			return err
		}
		return each(rows, func(r pgx.Rows) error {
			var e aggregate.AuditEntry
			err := r.Scan(&e.ID, (*micros)(&e.At), &e.Who, &e.TenantID, &e.Prefix, &e.Action, &e.Target, &e.Detail)
			entries = append(entries, e)
			return err
		})
	})
	return entries, err
}
