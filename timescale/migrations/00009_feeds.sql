-- What the feeds tell of clicks. No bill and no book counts it.

-- +goose Up

-- An ad is displayed a hundred times for each click, so the rows hold nothing but what
-- the second pass asks for, and go by the day.
CREATE TABLE impressions (
  shown_at timestamptz NOT NULL,
  click_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, click_id, shown_at)
);

SELECT split_by_day('impressions', 'shown_at');

COMMENT ON TABLE impressions IS 'When the ad of an opportunity was displayed; one row for each, kept for aggregate.feeds.impressions_keep.';

-- trim_by_day forgets what a table that split_by_day split has of days that ended before
-- a time. The DEFAULT partition has no days and goes row by row.
-- +goose StatementBegin
CREATE FUNCTION trim_by_day(rel name, col name, before timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  ext name;
  part regclass;
BEGIN
  IF (SELECT relkind FROM pg_class WHERE oid = to_regclass(quote_ident(rel))) <> 'p' THEN
    SELECT n.nspname INTO ext FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb';
    EXECUTE format('SELECT %I.drop_chunks(%L::regclass, older_than => $1)', ext, quote_ident(rel)) USING before;
    RETURN;
  END IF;
  FOR part IN
    SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(quote_ident(rel)) AND c.relname ~ ('^' || rel || '_d[0-9]{8}$')
      AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
  LOOP
    EXECUTE format('DROP TABLE %s', part);
  END LOOP;
  EXECUTE format('DELETE FROM %I WHERE %I < $1', rel || '_default', col) USING before;
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION trim_by_day IS 'Drops the days of a table that ended before a time.';

CREATE TABLE conversions (
  converted_at timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  value_micros bigint NOT NULL,
  key uuid NOT NULL,
  click_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  kind text COLLATE "C" NOT NULL,
  transaction_id text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, key)
);

CREATE INDEX conversions_click ON conversions (tenant_id, click_id);

COMMENT ON TABLE conversions IS 'What came of clicks: installs, sales. Evidence, not money.';
COMMENT ON COLUMN conversions.key IS 'A hash of the transaction id, or where there is none of click, time and kind.';
COMMENT ON COLUMN conversions.click_id IS 'The ad opportunity, as in clicks and billed_clicks.';
COMMENT ON COLUMN conversions.transaction_id IS 'The sender''s; empty for none.';
COMMENT ON COLUMN conversions.value_micros IS 'Millionths of one unit of currency, as the sender says; nobody is billed by it.';
