package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"clickgate/aggregate"
)

const userColumns = `name, tenant_id, role, hash, disabled, version, created_at, changed_at`

// User implements aggregate.Users.
func (s *Store) User(ctx context.Context, name string) (u aggregate.User, err error) {
	row := s.readers.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users WHERE name = ?`, name)
	err = row.Scan(&u.Name, &u.TenantID, &u.Role, &u.Hash, &u.Disabled, &u.Version, &u.CreatedAt, &u.ChangedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return u, aggregate.ErrNoUser
	}
	if err != nil {
		return u, fmt.Errorf("user: %w", err)
	}
	return u, nil
}

// ListUsers implements aggregate.Users.
func (s *Store) ListUsers(ctx context.Context, tenantID string) (users []aggregate.User, err error) {
	err = s.snapshot(ctx, "users", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, `SELECT `+userColumns+` FROM users WHERE ?1 = '' OR tenant_id = ?1 ORDER BY name`, tenantID)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var u aggregate.User
			err := r.Scan(&u.Name, &u.TenantID, &u.Role, &u.Hash, &u.Disabled, &u.Version, &u.CreatedAt, &u.ChangedAt)
			users = append(users, u)
			return err
		})
	})
	return users, err
}

// AddUser implements aggregate.Users.
func (s *Store) AddUser(ctx context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	return s.changed(ctx, aggregate.ErrUserExists, e, `
INSERT INTO users (`+userColumns+`) VALUES (?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT (name) DO NOTHING`,
		u.Name, u.TenantID, u.Role, u.Hash, u.Disabled, u.CreatedAt, u.ChangedAt)
}

// ChangeUser implements aggregate.Users.
func (s *Store) ChangeUser(ctx context.Context, u *aggregate.User, e *aggregate.AuditEntry) error {
	return s.changed(ctx, aggregate.ErrUserChanged, e, `
UPDATE users SET tenant_id = ?, role = ?, hash = ?, disabled = ?, version = version + 1, changed_at = ?
WHERE name = ? AND version = ?`,
		u.TenantID, u.Role, u.Hash, u.Disabled, u.ChangedAt, u.Name, u.Version)
}

// changed runs a statement that must touch a row, else it returns refused, and
// appends the entry in the same transaction.
func (s *Store) changed(ctx context.Context, refused error, e *aggregate.AuditEntry, query string, args ...any) error {
	return s.InTx(ctx, func(a aggregate.Tx) error {
		t := a.(*tx)
		n, err := t.exec("user", query, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return refused
		}
		return t.writeAudit(e)
	})
}

// WriteAudit implements aggregate.Users.
func (s *Store) WriteAudit(ctx context.Context, e *aggregate.AuditEntry) error {
	return s.InTx(ctx, func(a aggregate.Tx) error { return a.(*tx).writeAudit(e) })
}

func (t *tx) writeAudit(e *aggregate.AuditEntry) error {
	_, err := t.exec("audit entry", `
INSERT INTO audit (at, who, tenant_id, prefix, action, target, detail) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		e.At, e.Who, e.TenantID, e.Prefix, e.Action, e.Target, e.Detail)
	return err
}

const auditSQL = `
SELECT id, at, who, tenant_id, prefix, action, target, detail FROM audit
WHERE (?1 = '' OR tenant_id = ?1) AND (?2 = '' OR who = ?2) AND (?3 = '' OR action = ?3) AND (?4 = 0 OR id < ?4)
ORDER BY id DESC LIMIT ?5`

// ReadAudit implements aggregate.Users.
func (s *Store) ReadAudit(ctx context.Context, q *aggregate.AuditQuery) (entries []aggregate.AuditEntry, err error) {
	limit := q.Limit
	if limit <= 0 {
		limit = -1
	}
	err = s.snapshot(ctx, "audit", func(t *sql.Tx) error {
		rows, err := t.QueryContext(ctx, auditSQL, q.TenantID, q.Who, q.Action, q.Before, limit)
		if err != nil {
			return err
		}
		return each(rows, func(r *sql.Rows) error {
			var e aggregate.AuditEntry
			err := r.Scan(&e.ID, &e.At, &e.Who, &e.TenantID, &e.Prefix, &e.Action, &e.Target, &e.Detail)
			entries = append(entries, e)
			return err
		})
	})
	return entries, err
}
