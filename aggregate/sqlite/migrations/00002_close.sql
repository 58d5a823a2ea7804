-- Closing and what comes after it. The stored click never changes: later words on
-- it are revisions, and what changes in a closed hour is an adjustment.

-- +goose Up

-- The order in which the second pass reads.
CREATE INDEX clicks_unit ON clicks (tenant_id, source_id, event_time, event_id);

-- The clicks of one source in one event hour close together. state: 0 open, 1
-- sealed (what comes now is late), 2 closed. The fence rises with every lease.
-- last_seen is kept to the minute.
CREATE TABLE units (
  tenant_id TEXT NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL,
  state INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),
  sealed_at INTEGER,
  lease_owner TEXT NOT NULL DEFAULT '',
  lease_until INTEGER NOT NULL DEFAULT 0,
  fence INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, source_id, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX units_open ON units (tenant_id, hour, source_id) WHERE state < 2;

-- Clicks that were stored before there were units; states 1 and 2 are counted by
-- their receipt and are no clicks.
INSERT INTO units (tenant_id, source_id, hour, first_seen, last_seen)
SELECT DISTINCT tenant_id, source_id, minute - minute % 3600000000, unixepoch() * 1000000, unixepoch() * 1000000
FROM click_minutes WHERE state NOT IN (1, 2);

-- Clicks stored after their unit was sealed; settled: adjusted, or found to
-- change nothing.
CREATE TABLE late_clicks (
  tenant_id TEXT NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  event_time INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
  PRIMARY KEY (tenant_id, event_id, id_time)
) STRICT, WITHOUT ROWID;

CREATE INDEX late_clicks_unit ON late_clicks (tenant_id, source_id, hour);
CREATE INDEX late_clicks_open ON late_clicks (tenant_id, source_id, hour, event_time, event_id) WHERE settled = 0;

-- The one billable event of each ad opportunity; the closer alone writes it.
CREATE TABLE billed_clicks (
  tenant_id TEXT NOT NULL,
  click_id BLOB NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  event_time INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, click_id)
) STRICT, WITHOUT ROWID;

-- Billable events without an ad opportunity, by double-click key.
CREATE TABLE billed_repeats (
  tenant_id TEXT NOT NULL,
  repeat_key INTEGER NOT NULL,
  event_time INTEGER NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, repeat_key, event_time, event_id)
) STRICT, WITHOUT ROWID;

-- Later words on a verdict; the newest holds. cause: 1 second pass, 2 late click,
-- 3 analyst. decision: 0 none, 1 confirm, 2 release, 3 note.
CREATE TABLE verdict_revisions (
  tenant_id TEXT NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  at INTEGER NOT NULL,
  from_state INTEGER NOT NULL CHECK (from_state BETWEEN 0 AND 9),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 9),
  reasons INTEGER NOT NULL,
  score REAL,
  vector_version INTEGER NOT NULL,
  vector BLOB,
  lists_hash INTEGER NOT NULL,
  policy_hash INTEGER NOT NULL,
  model_hash INTEGER NOT NULL,
  model_slot INTEGER NOT NULL,
  cause INTEGER NOT NULL,
  decision INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX verdict_revisions_unit ON verdict_revisions (tenant_id, source_id, hour);

-- Closed units. hash: SHA-256 over the final rows in event-time order, without
-- gateway, receipt and revisions. forced: why it closed before all had arrived.
CREATE TABLE closed_units (
  tenant_id TEXT NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  closed_at INTEGER NOT NULL,
  clicks INTEGER NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32),
  policy_hash INTEGER NOT NULL,
  model_hash INTEGER NOT NULL,
  version TEXT NOT NULL,
  forced TEXT NOT NULL,
  PRIMARY KEY (tenant_id, source_id, hour)
) STRICT, WITHOUT ROWID;

-- What was billed and what was kept from it, of closed units.
CREATE TABLE closed_hours (
  tenant_id TEXT NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  advertiser_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL,
  ad_group_id TEXT NOT NULL,
  publisher_id TEXT NOT NULL,
  currency TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 9),
  count INTEGER NOT NULL,
  micros INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, source_id, hour, advertiser_id, campaign_id,
    ad_group_id, publisher_id, currency, state)
) STRICT, WITHOUT ROWID;

-- Changes after closing, one for a revision of a click. micros: above 0 a debit,
-- below a credit. waived: why the money is not moved; empty when it is.
CREATE TABLE adjustments (
  tenant_id TEXT NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  at INTEGER NOT NULL,
  advertiser_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL,
  ad_group_id TEXT NOT NULL,
  publisher_id TEXT NOT NULL,
  currency TEXT NOT NULL,
  from_state INTEGER NOT NULL CHECK (from_state BETWEEN 0 AND 9),
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 9),
  clicks INTEGER NOT NULL,
  micros INTEGER NOT NULL,
  cause INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  waived TEXT NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time, revision)
) STRICT, WITHOUT ROWID;

CREATE INDEX adjustments_hour ON adjustments (tenant_id, hour);

-- Months that were billed: no debits follow, credits for 60 days.
CREATE TABLE invoices (
  tenant_id TEXT NOT NULL,
  month INTEGER NOT NULL,
  issued_at INTEGER NOT NULL,
  issued_by TEXT NOT NULL,
  PRIMARY KEY (tenant_id, month)
) STRICT, WITHOUT ROWID;

-- Gateways that will not come back and hold no hour open.
CREATE TABLE retired_gateways (
  gateway TEXT NOT NULL PRIMARY KEY,
  at INTEGER NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger stays as it was written. The triggers before INSERT are for INSERT OR
-- REPLACE, which deletes without asking the others.
-- +goose StatementBegin
CREATE TRIGGER verdict_revisions_no_update BEFORE UPDATE ON verdict_revisions BEGIN
  SELECT RAISE(ABORT, 'verdict_revisions is append only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER verdict_revisions_no_delete BEFORE DELETE ON verdict_revisions BEGIN
  SELECT RAISE(ABORT, 'verdict_revisions is append only: DELETE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER verdict_revisions_no_replace BEFORE INSERT ON verdict_revisions
WHEN EXISTS (SELECT 1 FROM verdict_revisions
  WHERE tenant_id = NEW.tenant_id AND event_id = NEW.event_id AND id_time = NEW.id_time AND revision = NEW.revision) BEGIN
  SELECT RAISE(ABORT, 'verdict_revisions is append only: this row is there already');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_units_no_update BEFORE UPDATE ON closed_units BEGIN
  SELECT RAISE(ABORT, 'closed_units is append only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_units_no_delete BEFORE DELETE ON closed_units BEGIN
  SELECT RAISE(ABORT, 'closed_units is append only: DELETE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_units_no_replace BEFORE INSERT ON closed_units
WHEN EXISTS (SELECT 1 FROM closed_units WHERE tenant_id = NEW.tenant_id AND source_id = NEW.source_id AND hour = NEW.hour) BEGIN
  SELECT RAISE(ABORT, 'closed_units is append only: this row is there already');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_hours_no_update BEFORE UPDATE ON closed_hours BEGIN
  SELECT RAISE(ABORT, 'closed_hours is append only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_hours_no_delete BEFORE DELETE ON closed_hours BEGIN
  SELECT RAISE(ABORT, 'closed_hours is append only: DELETE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER closed_hours_no_replace BEFORE INSERT ON closed_hours
WHEN EXISTS (SELECT 1 FROM closed_hours
  WHERE tenant_id = NEW.tenant_id AND source_id = NEW.source_id AND hour = NEW.hour AND advertiser_id = NEW.advertiser_id AND campaign_id = NEW.campaign_id
    AND ad_group_id = NEW.ad_group_id AND publisher_id = NEW.publisher_id AND currency = NEW.currency AND state = NEW.state) BEGIN
  SELECT RAISE(ABORT, 'closed_hours is append only: this row is there already');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER adjustments_no_update BEFORE UPDATE ON adjustments BEGIN
  SELECT RAISE(ABORT, 'adjustments is append only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER adjustments_no_delete BEFORE DELETE ON adjustments BEGIN
  SELECT RAISE(ABORT, 'adjustments is append only: DELETE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER adjustments_no_replace BEFORE INSERT ON adjustments
WHEN EXISTS (SELECT 1 FROM adjustments
  WHERE tenant_id = NEW.tenant_id AND event_id = NEW.event_id AND id_time = NEW.id_time AND revision = NEW.revision) BEGIN
  SELECT RAISE(ABORT, 'adjustments is append only: this row is there already');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER invoices_no_update BEFORE UPDATE ON invoices BEGIN
  SELECT RAISE(ABORT, 'invoices is append only: UPDATE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER invoices_no_delete BEFORE DELETE ON invoices BEGIN
  SELECT RAISE(ABORT, 'invoices is append only: DELETE is refused');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER invoices_no_replace BEFORE INSERT ON invoices
WHEN EXISTS (SELECT 1 FROM invoices WHERE tenant_id = NEW.tenant_id AND month = NEW.month) BEGIN
  SELECT RAISE(ABORT, 'invoices is append only: this row is there already');
END;
-- +goose StatementEnd
