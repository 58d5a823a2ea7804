-- Texts sort by bytes (COLLATE "C"), so that keys have one order in Go, in every
-- index and on every host. 64-bit hashes, reason sets, boots and sequences stand
-- bit for bit in bigint. No column of a unique key may be NULL, and a hypertable
-- has exactly one unique constraint: with more, ON CONFLICT lets rows through.

-- +goose Up

-- split_by_day makes a hypertable with chunks of one day where TimescaleDB is
-- installed, and otherwise a table partitioned by range with a DEFAULT partition;
-- the store adds a partition for each day it meets.
-- +goose StatementBegin
CREATE FUNCTION split_by_day(rel name, col name) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  ext name;
  shape name := rel || '_shape';
BEGIN
  SELECT n.nspname INTO ext FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
  WHERE e.extname = 'timescaledb';
  IF ext IS NOT NULL THEN
    EXECUTE format('SELECT %I.create_hypertable(%L::regclass, %L::name, '
      'chunk_time_interval => interval ''1 day'', create_default_indexes => false)', ext, quote_ident(rel), col);
    RETURN;
  END IF;
  EXECUTE format('ALTER TABLE %I RENAME TO %I', rel, shape);
  EXECUTE format('ALTER TABLE %I RENAME CONSTRAINT %I TO %I', shape, rel || '_pkey', shape || '_pkey');
  EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) PARTITION BY RANGE (%I)', rel, shape, col);
  EXECUTE format('DROP TABLE %I', shape);
  EXECUTE format('CREATE TABLE %I PARTITION OF %I DEFAULT', rel || '_default', rel);
END $$;
-- +goose StatementEnd

COMMENT ON FUNCTION split_by_day IS 'Splits an empty table into days: hypertable or declarative partitions.';

CREATE TABLE positions (
  cluster_id text COLLATE "C" NOT NULL,
  topic_id uuid NOT NULL,
  partition integer NOT NULL,
  topic text COLLATE "C" NOT NULL,
  next bigint NOT NULL,
  fence bigint NOT NULL,
  owner text COLLATE "C" NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (cluster_id, topic_id, partition)
) WITH (fillfactor = 50);

COMMENT ON TABLE positions IS 'Where ingest stands in each partition of each topic incarnation.';
COMMENT ON COLUMN positions.topic_id IS 'Kafka topic id; a topic that was made again has another.';
COMMENT ON COLUMN positions.next IS 'Offset of the first record that is not applied yet.';
COMMENT ON COLUMN positions.fence IS 'Rises with every claim; only the holder of the newest writes.';
COMMENT ON COLUMN positions.owner IS 'Who claimed last, for people.';

CREATE TABLE clicks (
  id_time timestamptz NOT NULL,
  event_time timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  price_micros bigint NOT NULL,
  repeat_key bigint NOT NULL,
  reasons bigint NOT NULL,
  score double precision NOT NULL,
  lists_hash bigint NOT NULL,
  policy_hash bigint NOT NULL,
  model_hash bigint NOT NULL,
  boot bigint NOT NULL,
  seq bigint NOT NULL,
  rec_offset bigint NOT NULL,
  asn bigint NOT NULL,
  flags integer NOT NULL,
  key_epoch integer NOT NULL,
  vector_version integer NOT NULL,
  partition integer NOT NULL,
  entry smallint NOT NULL,
  pricing smallint NOT NULL,
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
  model_slot smallint NOT NULL,
  event_id uuid NOT NULL,
  click_id uuid,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  campaign_id text COLLATE "C" NOT NULL,
  ad_group_id text COLLATE "C" NOT NULL,
  creative_id text COLLATE "C" NOT NULL,
  publisher_id text COLLATE "C" NOT NULL,
  placement_id text COLLATE "C" NOT NULL,
  landing_host text COLLATE "C" NOT NULL,
  referer_host text COLLATE "C" NOT NULL,
  country text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  rate_card text COLLATE "C" NOT NULL,
  ip_prefix text COLLATE "C" NOT NULL,
  agent_family text COLLATE "C" NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  ip_key bytea NOT NULL,
  agent_key bytea NOT NULL,
  vector bytea,
  PRIMARY KEY (tenant_id, event_id, id_time)
);

SELECT split_by_day('clicks', 'id_time');

CREATE INDEX clicks_billable_click ON clicks (tenant_id, click_id)
  WHERE click_id IS NOT NULL AND state = 9;
CREATE INDEX clicks_billable_repeat ON clicks (tenant_id, repeat_key, event_time)
  WHERE click_id IS NULL AND state = 9;

COMMENT ON TABLE clicks IS 'One row per click event; further copies stand in redeliveries.';
COMMENT ON COLUMN clicks.id_time IS 'A function of event_id alone, within a second of event_time; splits the table into days.';
COMMENT ON COLUMN clicks.event_time IS 'When the click happened; its UTC hour is the billing hour.';
COMMENT ON COLUMN clicks.received_at IS 'Gateway clock at admission.';
COMMENT ON COLUMN clicks.price_micros IS 'Millionths of one unit of currency.';
COMMENT ON COLUMN clicks.repeat_key IS 'Double-click key of tenant, campaign, placement, address and agent; 0 when click_id is set.';
COMMENT ON COLUMN clicks.reasons IS 'Bit n is reason number n.';
COMMENT ON COLUMN clicks.score IS '0 ordinary to 1 certainly invalid.';
COMMENT ON COLUMN clicks.state IS '0 unscored, 3 test, 4 givt, 5 sivt, 6 undecidable, 7 suspect, 8 duplicate, 9 valid.';
COMMENT ON COLUMN clicks.vector IS '16 little-endian float32; NULL when vector_version is 0.';
COMMENT ON COLUMN clicks.click_id IS 'The ad opportunity, from the token; NULL without one.';
COMMENT ON COLUMN clicks.entry IS '1 redirect, 2 beacon, 3 batch API, 4 log line.';
COMMENT ON COLUMN clicks.pricing IS '0 none, 1 CPC, 2 CPM, 3 CPA, 4 flat; only CPC is billed by the click.';
COMMENT ON COLUMN clicks.rate_card IS 'Version that set the price; empty when the token did.';
COMMENT ON COLUMN clicks.ip_key IS 'Keyed pseudonym of the address (IPv6: of its /64), of key_epoch.';
COMMENT ON COLUMN clicks.agent_key IS 'Keyed pseudonym of the agent, of key_epoch.';
COMMENT ON COLUMN clicks.gateway IS 'With boot and seq: which copy of the event this row is.';
COMMENT ON COLUMN clicks.partition IS 'Kafka partition, with rec_offset, for tracing only.';

CREATE TABLE click_evidence (
  id_time timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  evidence bytea NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time)
);

SELECT split_by_day('click_evidence', 'id_time');

COMMENT ON TABLE click_evidence IS 'Sealed personal data of clicks, apart so that erasing a person leaves the click.';
COMMENT ON COLUMN click_evidence.evidence IS 'Sealed address, agent, referer and query; opening it is audited.';

CREATE TABLE click_minutes (
  minute timestamptz NOT NULL,
  count bigint NOT NULL,
  micros bigint NOT NULL,
  partition integer NOT NULL,
  state smallint NOT NULL CHECK (state BETWEEN 0 AND 9),
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  advertiser_id text COLLATE "C" NOT NULL,
  campaign_id text COLLATE "C" NOT NULL,
  ad_group_id text COLLATE "C" NOT NULL,
  publisher_id text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, source_id, minute, advertiser_id, campaign_id,
    ad_group_id, publisher_id, currency, state, partition)
) WITH (fillfactor = 70);

SELECT split_by_day('click_minutes', 'minute');

COMMENT ON TABLE click_minutes IS 'Events counted by minute; always equal to the rows.';
COMMENT ON COLUMN click_minutes.minute IS 'Event minute; receipt minute of redelivered and malformed events.';
COMMENT ON COLUMN click_minutes.micros IS 'What the clicks would cost if they were valid.';
COMMENT ON COLUMN click_minutes.partition IS 'Kafka partition: two aggregators never lock one row.';
COMMENT ON COLUMN click_minutes.state IS 'As clicks.state; 1 malformed, 2 redelivered.';
COMMENT ON COLUMN click_minutes.currency IS 'Empty when nothing says what the click costs.';

CREATE TABLE redeliveries (
  boot bigint NOT NULL,
  seq bigint NOT NULL,
  id_time timestamptz NOT NULL,
  received_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  entry smallint NOT NULL,
  event_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  campaign_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant_id, gateway, boot, seq)
);

CREATE INDEX redeliveries_event ON redeliveries (tenant_id, event_id);

COMMENT ON TABLE redeliveries IS 'Further copies of stored events that a sender delivered.';

CREATE TABLE dead_letters (
  boot bigint NOT NULL,
  seq bigint NOT NULL,
  received_at timestamptz NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  rec_offset bigint NOT NULL,
  partition integer NOT NULL,
  entry smallint NOT NULL,
  letter_id uuid NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  code text COLLATE "C" NOT NULL,
  field text COLLATE "C" NOT NULL,
  message text COLLATE "C" NOT NULL,
  raw bytea NOT NULL,
  PRIMARY KEY (tenant_id, gateway, boot, seq)
);

CREATE INDEX dead_letters_letter ON dead_letters (tenant_id, letter_id);

COMMENT ON TABLE dead_letters IS 'Events of known tenants that could not be read as clicks.';
COMMENT ON COLUMN dead_letters.raw IS 'The event as it came, sealed.';

CREATE TABLE poison_records (
  rec_offset bigint NOT NULL,
  ingested_at timestamptz NOT NULL DEFAULT now(),
  partition integer NOT NULL,
  topic_id uuid NOT NULL,
  cluster_id text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  kind bytea NOT NULL,
  reason text COLLATE "C" NOT NULL,
  key bytea,
  value bytea,
  PRIMARY KEY (cluster_id, topic_id, partition, rec_offset)
);

COMMENT ON TABLE poison_records IS 'Records that could not be decoded, byte for byte.';
COMMENT ON COLUMN poison_records.value IS 'NULL is a tombstone; empty is empty.';
COMMENT ON COLUMN poison_records.kind IS 'Value of the kind header, whatever its bytes.';

CREATE TABLE marks (
  boot bigint NOT NULL,
  number bigint NOT NULL,
  partition integer NOT NULL,
  topic_id uuid NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  cluster_id text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  payload bytea NOT NULL,
  PRIMARY KEY (gateway, boot, cluster_id, topic_id, partition)
) WITH (fillfactor = 50);

COMMENT ON TABLE marks IS 'The newest mark of each gateway boot in each partition.';
COMMENT ON COLUMN marks.payload IS 'Protobuf Mark of click.proto.';

CREATE TABLE mark_counts (
  boot bigint NOT NULL,
  hour timestamptz NOT NULL,
  received bigint NOT NULL,
  shed bigint NOT NULL,
  unrecorded bigint NOT NULL,
  partition integer NOT NULL,
  topic_id uuid NOT NULL,
  gateway text COLLATE "C" NOT NULL,
  cluster_id text COLLATE "C" NOT NULL,
  topic text COLLATE "C" NOT NULL,
  tenant_id text COLLATE "C" NOT NULL,
  source_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (gateway, boot, cluster_id, topic_id, topic, partition, tenant_id, source_id, hour)
);

COMMENT ON TABLE mark_counts IS 'Counts of receipt hours that were over when a mark was made; later marks stop carrying them.';
COMMENT ON COLUMN mark_counts.received IS 'Over the gateway boot, as every count here.';
COMMENT ON COLUMN mark_counts.shed IS 'Refused for load.';
COMMENT ON COLUMN mark_counts.unrecorded IS 'Redirected without a record.';
