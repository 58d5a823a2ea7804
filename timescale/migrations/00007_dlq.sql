-- +goose Up

ALTER TABLE poison_records
  ADD COLUMN class text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN tenant_id text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN source_id text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN gateway text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN event_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
  ADD COLUMN received_at timestamptz NOT NULL DEFAULT to_timestamp(0),
  ADD COLUMN boot bigint NOT NULL DEFAULT 0,
  ADD COLUMN seq bigint NOT NULL DEFAULT 0,
  ADD COLUMN entry smallint NOT NULL DEFAULT 0,
  ADD COLUMN replayed_at timestamptz,
  ADD COLUMN replayed_by text COLLATE "C" NOT NULL DEFAULT '',
  ADD COLUMN became text COLLATE "C" NOT NULL DEFAULT '';

COMMENT ON TABLE poison_records IS 'Records that could not become events, byte for byte.';
COMMENT ON COLUMN poison_records.class IS 'decode, check, or the code with which the tables refused it.';
COMMENT ON COLUMN poison_records.tenant_id IS 'Empty where the record does not tell where it comes from; then the columns of its origin are empty too.';
COMMENT ON COLUMN poison_records.event_id IS 'Of the click or the dead letter that it was to be.';
COMMENT ON COLUMN poison_records.replayed_at IS 'When it became what became says; NULL while it is poison.';
