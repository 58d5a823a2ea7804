-- +goose Up

CREATE TABLE users (
  created_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  version bigint NOT NULL,
  disabled boolean NOT NULL,
  name text COLLATE "C" NOT NULL PRIMARY KEY,
  tenant_id text COLLATE "C" NOT NULL,
  role text COLLATE "C" NOT NULL,
  hash text COLLATE "C" NOT NULL
);

COMMENT ON TABLE users IS 'Who may sign in to the console.';
COMMENT ON COLUMN users.tenant_id IS 'The only tenant the user sees; * is all.';
COMMENT ON COLUMN users.hash IS 'argon2id hash of the password, with its parameters.';
COMMENT ON COLUMN users.version IS 'Rises with every change; sessions of earlier versions end.';

CREATE TABLE audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL,
  who text COLLATE "C" NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  prefix text COLLATE "C" NOT NULL,
  action text COLLATE "C" NOT NULL,
  target text COLLATE "C" NOT NULL,
  detail text COLLATE "C" NOT NULL
);

CREATE INDEX audit_tenant ON audit (tenant_id, id);

COMMENT ON TABLE audit IS 'Who did what in the console and with user commands; append-only.';
COMMENT ON COLUMN audit.tenant_id IS 'Whose administrators may read it; * is administrators of all.';
COMMENT ON COLUMN audit.prefix IS 'Network the request came from, never the whole address.';

CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Rows of a day arrive nearly in order of minutes, so a block range index finds
-- the newest ones, and costs next to nothing to keep.
CREATE INDEX click_minutes_minute ON click_minutes USING brin (minute) WITH (pages_per_range = 16);
