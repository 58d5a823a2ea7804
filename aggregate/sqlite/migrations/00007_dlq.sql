-- +goose Up

-- class is decode, check, or the code with which the tables refused the record. The
-- columns of its origin are empty where it does not tell where it comes from.
ALTER TABLE poison_records ADD COLUMN class TEXT NOT NULL DEFAULT '';
ALTER TABLE poison_records ADD COLUMN tenant_id TEXT NOT NULL DEFAULT '';
ALTER TABLE poison_records ADD COLUMN source_id TEXT NOT NULL DEFAULT '';
ALTER TABLE poison_records ADD COLUMN event_id BLOB NOT NULL DEFAULT X'00000000000000000000000000000000';
ALTER TABLE poison_records ADD COLUMN entry INTEGER NOT NULL DEFAULT 0;
ALTER TABLE poison_records ADD COLUMN received_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE poison_records ADD COLUMN gateway TEXT NOT NULL DEFAULT '';
ALTER TABLE poison_records ADD COLUMN boot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE poison_records ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
-- NULL while it is poison; then when, by whom and what it became.
ALTER TABLE poison_records ADD COLUMN replayed_at INTEGER;
ALTER TABLE poison_records ADD COLUMN replayed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE poison_records ADD COLUMN became TEXT NOT NULL DEFAULT '';
