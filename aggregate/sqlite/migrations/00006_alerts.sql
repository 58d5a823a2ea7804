-- +goose Up

-- Alerts read the last minutes of all tenants.
CREATE INDEX click_minutes_minute ON click_minutes (minute);

-- One row: which process acts on incidents, and how far minutes are judged.
CREATE TABLE alerts_lease (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  until INTEGER NOT NULL,
  judged INTEGER NOT NULL
) STRICT;

INSERT INTO alerts_lease VALUES (1, '', 0, 0, 0);

CREATE TABLE incidents (
  id TEXT PRIMARY KEY,
  tenant_id TEXT NOT NULL,
  severity INTEGER NOT NULL CHECK (severity BETWEEN 1 AND 4),
  opened_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  resolved_at INTEGER NOT NULL, -- 0 while it is open
  detail TEXT NOT NULL          -- JSON: title, series with their evidence, money at risk
) STRICT;

CREATE INDEX incidents_opened ON incidents (opened_at);

-- What PagerDuty is to be told: written with the incident, sent afterwards.
CREATE TABLE pages (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  incident_id TEXT NOT NULL,
  action INTEGER NOT NULL CHECK (action BETWEEN 1 AND 2),
  payload BLOB NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  attempted_at INTEGER NOT NULL DEFAULT 0,
  outcome INTEGER NOT NULL DEFAULT 0 CHECK (outcome BETWEEN 0 AND 3),
  ended_at INTEGER NOT NULL DEFAULT 0,
  error TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX pages_pending ON pages (seq) WHERE outcome = 0;
CREATE INDEX pages_incident ON pages (incident_id, seq);
