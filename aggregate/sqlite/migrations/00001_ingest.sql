-- Times are Unix microseconds UTC, ids are 16 bytes, money is integer micros.
-- 64-bit hashes, reason sets, boots and sequences stand bit for bit in signed
-- integers. STRICT makes a sum that left 64 bits an error instead of a float.

-- +goose Up

-- One row per partition of a topic incarnation: the offset of the first record
-- not yet applied, and the fence of the aggregator that may move it.
CREATE TABLE positions (
  cluster_id TEXT NOT NULL,
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  topic TEXT NOT NULL,
  next INTEGER NOT NULL,
  fence INTEGER NOT NULL,
  owner TEXT NOT NULL,
  claimed_at INTEGER NOT NULL,
  PRIMARY KEY (cluster_id, topic_id, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE clicks (
  tenant_id TEXT NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  event_time INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  entry INTEGER NOT NULL,
  click_id BLOB,                -- NULL without a token
  repeat_key INTEGER NOT NULL,  -- double-click key; 0 when click_id is set
  flags INTEGER NOT NULL,
  advertiser_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL,
  ad_group_id TEXT NOT NULL,
  creative_id TEXT NOT NULL,
  publisher_id TEXT NOT NULL,
  placement_id TEXT NOT NULL,
  landing_host TEXT NOT NULL,
  referer_host TEXT NOT NULL,
  country TEXT NOT NULL,
  price_micros INTEGER NOT NULL,
  currency TEXT NOT NULL,
  pricing INTEGER NOT NULL,
  rate_card TEXT NOT NULL,
  ip_key BLOB NOT NULL,
  agent_key BLOB NOT NULL,
  key_epoch INTEGER NOT NULL,
  ip_prefix TEXT NOT NULL,
  asn INTEGER NOT NULL,
  agent_family TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 9),
  reasons INTEGER NOT NULL,     -- bit n: reason number n
  score REAL,                   -- NULL is NaN, which SQLite has not
  vector_version INTEGER NOT NULL,
  vector BLOB,                  -- 16 little-endian float32; NULL when vector_version is 0
  lists_hash INTEGER NOT NULL,
  policy_hash INTEGER NOT NULL,
  model_hash INTEGER NOT NULL,
  model_slot INTEGER NOT NULL,
  gateway TEXT NOT NULL,
  boot INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  partition INTEGER NOT NULL,   -- Kafka partition and offset, for tracing only
  rec_offset INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time)
) STRICT;

-- The two ways in which a click can repeat a billable one.
CREATE INDEX clicks_billable_click ON clicks (tenant_id, click_id)
  WHERE click_id IS NOT NULL AND state = 9;
CREATE INDEX clicks_billable_repeat ON clicks (tenant_id, repeat_key, event_time)
  WHERE click_id IS NULL AND state = 9;

-- Sealed personal data apart, so that erasing a person leaves the click row.
CREATE TABLE click_evidence (
  tenant_id TEXT NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  evidence BLOB NOT NULL,
  PRIMARY KEY (tenant_id, event_id, id_time)
) STRICT;

-- micros is what the clicks would cost if they were valid.
CREATE TABLE click_minutes (
  tenant_id TEXT NOT NULL,
  source_id TEXT NOT NULL,
  minute INTEGER NOT NULL,
  advertiser_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL,
  ad_group_id TEXT NOT NULL,
  publisher_id TEXT NOT NULL,
  currency TEXT NOT NULL,
  state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 9),
  partition INTEGER NOT NULL,
  count INTEGER NOT NULL,
  micros INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, source_id, minute, advertiser_id, campaign_id,
    ad_group_id, publisher_id, currency, state, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE redeliveries (
  tenant_id TEXT NOT NULL,
  gateway TEXT NOT NULL,
  boot INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  event_id BLOB NOT NULL,
  id_time INTEGER NOT NULL,
  source_id TEXT NOT NULL,
  campaign_id TEXT NOT NULL,
  entry INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, gateway, boot, seq)
) STRICT, WITHOUT ROWID;

CREATE INDEX redeliveries_event ON redeliveries (tenant_id, event_id);

CREATE TABLE dead_letters (
  tenant_id TEXT NOT NULL,
  gateway TEXT NOT NULL,
  boot INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  letter_id BLOB NOT NULL,
  source_id TEXT NOT NULL,
  entry INTEGER NOT NULL,
  received_at INTEGER NOT NULL,
  ingested_at INTEGER NOT NULL,
  code TEXT NOT NULL,
  field TEXT NOT NULL,
  message TEXT NOT NULL,
  raw BLOB,                     -- sealed
  partition INTEGER NOT NULL,
  rec_offset INTEGER NOT NULL,
  PRIMARY KEY (tenant_id, gateway, boot, seq)
) STRICT;

CREATE INDEX dead_letters_letter ON dead_letters (tenant_id, letter_id);

-- Records that could not be decoded, byte for byte. NULL and empty differ: a
-- tombstone has a NULL value.
CREATE TABLE poison_records (
  cluster_id TEXT NOT NULL,
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  rec_offset INTEGER NOT NULL,
  topic TEXT NOT NULL,
  kind BLOB NOT NULL,
  reason TEXT NOT NULL,
  key BLOB,
  value BLOB,
  ingested_at INTEGER NOT NULL,
  PRIMARY KEY (cluster_id, topic_id, partition, rec_offset)
) STRICT;

-- The newest mark of each gateway boot in each partition.
CREATE TABLE marks (
  gateway TEXT NOT NULL,
  boot INTEGER NOT NULL,
  cluster_id TEXT NOT NULL,
  topic_id BLOB NOT NULL,
  partition INTEGER NOT NULL,
  topic TEXT NOT NULL,
  number INTEGER NOT NULL,
  payload BLOB NOT NULL,        -- protobuf Mark of click.proto
  PRIMARY KEY (gateway, boot, cluster_id, topic_id, partition)
) STRICT;

-- Counts of receipt hours that were over when a mark was made: later marks stop
-- carrying them.
CREATE TABLE mark_counts (
  gateway TEXT NOT NULL,
  boot INTEGER NOT NULL,
  cluster_id TEXT NOT NULL,
  topic_id BLOB NOT NULL,
  topic TEXT NOT NULL,
  partition INTEGER NOT NULL,
  tenant_id TEXT NOT NULL,
  source_id TEXT NOT NULL,
  hour INTEGER NOT NULL,
  received INTEGER NOT NULL,
  shed INTEGER NOT NULL,
  unrecorded INTEGER NOT NULL,
  PRIMARY KEY (gateway, boot, cluster_id, topic_id, topic, partition, tenant_id, source_id, hour)
) STRICT, WITHOUT ROWID;
