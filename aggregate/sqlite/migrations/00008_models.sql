-- +goose Up

-- One row: which isolation forests are in force (hashes as in clicks.model_hash, 0 is
-- none), and who trains. version rises with every change of models, fence with every
-- training lease.
CREATE TABLE model_book (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  version INTEGER NOT NULL,
  live INTEGER NOT NULL,
  shadow INTEGER NOT NULL,
  previous INTEGER NOT NULL,
  live_since INTEGER NOT NULL,
  shadow_since INTEGER NOT NULL,
  trained_at INTEGER NOT NULL,
  owner TEXT NOT NULL,
  fence INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT;

INSERT INTO model_book VALUES (1, 0, 0, 0, 0, 0, 0, 0, '', 0, 0);

CREATE TABLE models (
  hash INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  retired_at INTEGER NOT NULL DEFAULT 0, -- 0 while its file is kept
  refused TEXT NOT NULL,                 -- why the guard refused it; empty for a sound one
  manifest TEXT NOT NULL,                -- JSON
  file BLOB,                             -- NULL once it is retired, which no model is that a click names
  CHECK ((file IS NULL) = (retired_at <> 0))
) STRICT;
