-- +goose Up

CREATE TABLE alerts_lease (
  only_row smallint PRIMARY KEY CHECK (only_row = 1),
  fence bigint NOT NULL,
  judged timestamptz NOT NULL,
  until timestamptz NOT NULL,
  owner text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

INSERT INTO alerts_lease VALUES (1, 0, to_timestamp(0), to_timestamp(0), '');

COMMENT ON TABLE alerts_lease IS 'Which process acts on incidents.';
COMMENT ON COLUMN alerts_lease.fence IS 'Rises with every lease; only the holder of the newest writes.';
COMMENT ON COLUMN alerts_lease.judged IS 'The last minute that was judged; 1970 for none.';

CREATE TABLE incidents (
  opened_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL,
  resolved_at timestamptz,
  severity smallint NOT NULL CHECK (severity BETWEEN 1 AND 4),
  id text COLLATE "C" PRIMARY KEY,
  tenant_id text COLLATE "C" NOT NULL,
  detail json NOT NULL
);

CREATE INDEX incidents_opened ON incidents (opened_at);

COMMENT ON TABLE incidents IS 'Attacks and faults that alerts found in the minute counts.';
COMMENT ON COLUMN incidents.severity IS '1 info, 2 warning, 3 error, 4 critical; never falls.';
COMMENT ON COLUMN incidents.resolved_at IS 'NULL while it is open.';
COMMENT ON COLUMN incidents.detail IS 'Title, series with their evidence, micros at risk by currency.';

CREATE TABLE pages (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  attempted_at timestamptz,
  ended_at timestamptz,
  attempts bigint NOT NULL DEFAULT 0,
  action smallint NOT NULL CHECK (action BETWEEN 1 AND 2),
  outcome smallint NOT NULL DEFAULT 0 CHECK (outcome BETWEEN 0 AND 3),
  incident_id text COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  error text NOT NULL DEFAULT ''
);

CREATE INDEX pages_pending ON pages (seq) WHERE outcome = 0;
CREATE INDEX pages_incident ON pages (incident_id, seq);

COMMENT ON TABLE pages IS 'What PagerDuty is to be told: written with the incident, sent afterwards.';
COMMENT ON COLUMN pages.action IS '1 trigger, 2 resolve.';
COMMENT ON COLUMN pages.outcome IS '0 pending, 1 sent, 2 collapsed, 3 refused.';
COMMENT ON COLUMN pages.payload IS 'JSON of the event, without the routing key.';
