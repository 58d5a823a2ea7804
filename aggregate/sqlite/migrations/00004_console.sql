-- +goose Up

CREATE TABLE users (
  name TEXT NOT NULL PRIMARY KEY,
  tenant_id TEXT NOT NULL,      -- * is all tenants
  role TEXT NOT NULL,
  hash TEXT NOT NULL,           -- argon2id with its parameters
  disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
  version INTEGER NOT NULL,     -- rises with every change
  created_at INTEGER NOT NULL,
  changed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who did what. AUTOINCREMENT: an id is never given twice.
CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  tenant_id TEXT NOT NULL,
  prefix TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;

CREATE INDEX audit_tenant ON audit (tenant_id, id);

-- +goose StatementBegin
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
BEGIN SELECT raise(ABORT, 'audit is append-only'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER audit_keeps_content BEFORE UPDATE ON audit
BEGIN SELECT raise(ABORT, 'audit is append-only'); END;
-- +goose StatementEnd
