-- Closing and what comes after it. The stored click never changes: later words on
-- it are revisions, and what changes in a closed hour is an adjustment. These
-- tables are small beside clicks, and none of them is a hypertable.

-- +goose Up

CREATE INDEX clicks_unit ON clicks (tenant_id, source_id, event_time, event_id);

COMMENT ON INDEX clicks_unit IS 'The order in which the second pass reads.';

CREATE TABLE units (
  hour timestamptz NOT NULL,
  first_seen timestamptz NOT NULL DEFAULT now(),
  last_seen timestamptz NOT NULL DEFAULT now(),
  sealed_at timestamptz,
  lease_until timestamptz NOT NULL DEFAULT '-infinity',
  fence bigint NOT NULL DEFAULT 0,
  state smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),
  lease_owner text COLLATE "C" NOT NULL DEFAULT '',
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, source_id, hour)
) WITH (fillfactor = 50);

CREATE INDEX units_open ON units (tenant_id, hour, source_id) WHERE state < 2;

COMMENT ON TABLE units IS 'The clicks of one source in one event hour, which close together.';
COMMENT ON COLUMN units.state IS '0 open, 1 sealed (what comes now is late), 2 closed.';
COMMENT ON COLUMN units.last_seen IS 'When clicks of it last came, kept to the minute.';
COMMENT ON COLUMN units.sealed_at IS 'When the last transaction that took it for open had ended.';
COMMENT ON COLUMN units.fence IS 'Rises with every lease; only the holder of the newest writes.';

-- Clicks that were stored before there were units; states 1 and 2 are counted by
-- their receipt and are no clicks.
INSERT INTO units (tenant_id, source_id, hour)
SELECT DISTINCT tenant_id, source_id, date_trunc('hour', minute, 'UTC') FROM click_minutes WHERE state NOT IN (1, 2);

CREATE TABLE late_clicks (
  id_time timestamptz NOT NULL,
  hour timestamptz NOT NULL,
  event_time timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  settled boolean NOT NULL DEFAULT false,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time)
);

CREATE INDEX late_clicks_unit ON late_clicks (tenant_id, source_id, hour);
CREATE INDEX late_clicks_open ON late_clicks (tenant_id, source_id, hour, event_time, event_id) WHERE NOT settled;

COMMENT ON TABLE late_clicks IS 'Clicks stored after their unit was sealed.';
COMMENT ON COLUMN late_clicks.settled IS 'Adjusted, or found to change nothing.';

CREATE TABLE billed_clicks (
  id_time timestamptz NOT NULL,
  event_time timestamptz NOT NULL,
  hour timestamptz NOT NULL,
  click_id uuid NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, click_id)
);

COMMENT ON TABLE billed_clicks IS 'The one billable event of each ad opportunity; the closer alone writes it.';

CREATE TABLE billed_repeats (
  event_time timestamptz NOT NULL,
  id_time timestamptz NOT NULL,
  hour timestamptz NOT NULL,
  repeat_key bigint NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, repeat_key, event_time, event_id)
);

COMMENT ON TABLE billed_repeats IS 'Billable events without an ad opportunity, by double-click key.';

CREATE TABLE verdict_revisions (
  id_time timestamptz NOT NULL,
  hour timestamptz NOT NULL,
  at timestamptz NOT NULL,
  reasons bigint NOT NULL,
  score double precision NOT NULL,
  lists_hash bigint NOT NULL,
  policy_hash bigint NOT NULL,
  model_hash bigint NOT NULL,
  revision integer NOT NULL,
  vector_version integer NOT NULL,
  model_slot smallint NOT NULL,
  from_state smallint NOT NULL CHECK (from_state BETWEEN 0 AND 9),
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
  cause smallint NOT NULL,
  decision smallint NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  who text COLLATE "C" NOT NULL,
  why text COLLATE "C" NOT NULL,
  vector bytea,
  PRIMARY KEY (tenant_id, event_id, id_time, revision)
);

CREATE INDEX verdict_revisions_unit ON verdict_revisions (tenant_id, source_id, hour);

COMMENT ON TABLE verdict_revisions IS 'Later words on a verdict; the newest holds. Append only.';
COMMENT ON COLUMN verdict_revisions.revision IS 'From 1, without gaps, per click.';
COMMENT ON COLUMN verdict_revisions.cause IS '1 second pass, 2 late click, 3 analyst.';
COMMENT ON COLUMN verdict_revisions.decision IS '0 none, 1 confirm, 2 release, 3 note.';

CREATE TABLE closed_units (
  hour timestamptz NOT NULL,
  closed_at timestamptz NOT NULL,
  clicks bigint NOT NULL,
  policy_hash bigint NOT NULL,
  model_hash bigint NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  version text COLLATE "C" NOT NULL,
  forced text COLLATE "C" NOT NULL,
  hash bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (tenant_id, source_id, hour)
);

COMMENT ON TABLE closed_units IS 'Closed units; immutable.';
COMMENT ON COLUMN closed_units.hash IS 'SHA-256 over the final rows in event-time order, without gateway, receipt and revisions.';
COMMENT ON COLUMN closed_units.forced IS 'Why it closed before all had arrived; empty in the ordinary case.';

CREATE TABLE closed_hours (
  hour timestamptz NOT NULL,
  count bigint NOT NULL,
  micros bigint NOT NULL,
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  campaign_id text COLLATE "C" NOT NULL,
  ad_group_id text COLLATE "C" NOT NULL,
  publisher_id text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, source_id, hour, advertiser_id, campaign_id,
    ad_group_id, publisher_id, currency, state)
);

COMMENT ON TABLE closed_hours IS 'What was billed and what was kept from it, of closed units; immutable.';

CREATE TABLE adjustments (
  id_time timestamptz NOT NULL,
  hour timestamptz NOT NULL,
  at timestamptz NOT NULL,
  clicks bigint NOT NULL,
  micros bigint NOT NULL,
  revision integer NOT NULL,
  from_state smallint NOT NULL CHECK (from_state BETWEEN 0 AND 9),
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
  cause smallint NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  campaign_id text COLLATE "C" NOT NULL,
  ad_group_id text COLLATE "C" NOT NULL,
  publisher_id text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  who text COLLATE "C" NOT NULL,
  why text COLLATE "C" NOT NULL,
  waived text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time, revision)
);

CREATE INDEX adjustments_hour ON adjustments (tenant_id, hour);

COMMENT ON TABLE adjustments IS 'Changes after closing, one for a revision of a click. Append only.';
COMMENT ON COLUMN adjustments.micros IS 'Above 0 a debit, below a credit.';
COMMENT ON COLUMN adjustments.waived IS 'Why the money is not moved; empty when it is.';

CREATE TABLE invoices (
  month timestamptz NOT NULL,
  issued_at timestamptz NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  issued_by text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, month)
);

COMMENT ON TABLE invoices IS 'Months that were billed: no debits follow, credits for 60 days.';

CREATE TABLE retired_gateways (
  at timestamptz NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  who text COLLATE "C" NOT NULL,
  why text COLLATE "C" NOT NULL,
  PRIMARY KEY (gateway)
);

COMMENT ON TABLE retired_gateways IS 'Gateways that will not come back and hold no hour open.';

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION refuse_change IS 'Keeps the ledger as it was written.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON verdict_revisions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON closed_units
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON closed_hours
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON adjustments
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON invoices
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
