-- +goose Up

CREATE TABLE model_book (
  only_row smallint PRIMARY KEY CHECK (only_row = 1),
  version bigint NOT NULL,
  live bigint NOT NULL,
  shadow bigint NOT NULL,
  previous bigint NOT NULL,
  fence bigint NOT NULL,
  live_since timestamptz NOT NULL,
  shadow_since timestamptz NOT NULL,
  trained_at timestamptz NOT NULL,
  until timestamptz NOT NULL,
  owner text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

INSERT INTO model_book VALUES (1, 0, 0, 0, 0, 0, to_timestamp(0), to_timestamp(0), to_timestamp(0), to_timestamp(0), '');

COMMENT ON TABLE model_book IS 'Which isolation forests are in force, and who trains; one row.';
COMMENT ON COLUMN model_book.version IS 'Rises with every change of models, so that of two changes made from one version one is refused.';
COMMENT ON COLUMN model_book.live IS 'Hash of the model, bit for bit as in clicks.model_hash; 0 is none.';
COMMENT ON COLUMN model_book.fence IS 'Rises with every training lease.';

CREATE TABLE models (
  hash bigint PRIMARY KEY,
  at timestamptz NOT NULL,
  retired_at timestamptz,
  refused text COLLATE "C" NOT NULL,
  manifest json NOT NULL,
  file bytea,
  CHECK ((file IS NULL) = (retired_at IS NOT NULL))
);

COMMENT ON TABLE models IS 'Isolation forests with their manifests.';
COMMENT ON COLUMN models.refused IS 'Why the guard refused it; empty for a sound one.';
COMMENT ON COLUMN models.file IS 'NULL once it is retired, which no model is that a click names.';
